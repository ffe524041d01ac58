//! What we say in a prompt, in the agent's form.

use boocoder_model::ContentPart;
use serde_json::{Value, json};

use crate::{BackendError, PromptSupport};

/// The content blocks of a prompt.
///
/// # Errors
/// [`BackendError::Unsupported`] for a part that the agent does not take, or that is of an unknown kind.
pub(super) fn prompt_blocks(content: &[ContentPart], support: PromptSupport) -> Result<Vec<Value>, BackendError> {
    if content.is_empty() {
        // Some agents never answer it.
        return Err(BackendError::Unsupported("an empty prompt".to_owned()));
    }
    content.iter().map(|part| block(part, support)).collect()
}

fn block(part: &ContentPart, support: PromptSupport) -> Result<Value, BackendError> {
    let needs = |supported: bool, what: &str| {
        if supported { Ok(()) } else { Err(BackendError::Unsupported(format!("{what} in a prompt"))) }
    };
    Ok(match part {
        ContentPart::Text(text) => json!({ "type": "text", "text": text }),
        ContentPart::Image { mime_type, data, uri } => {
            needs(support.image, "images")?;
            with(json!({ "type": "image", "mimeType": mime_type, "data": data }), "uri", uri.as_deref())
        }
        ContentPart::Audio { mime_type, data } => {
            needs(support.audio, "audio")?;
            json!({ "type": "audio", "mimeType": mime_type, "data": data })
        }
        ContentPart::ResourceLink { uri, name, mime_type } => {
            with(json!({ "type": "resource_link", "uri": uri, "name": name }), "mimeType", mime_type.as_deref())
        }
        ContentPart::Resource { uri, mime_type, text } => {
            needs(support.embedded, "embedded resources")?;
            let resource = with(json!({ "uri": uri, "text": text }), "mimeType", mime_type.as_deref());
            json!({ "type": "resource", "resource": resource })
        }
        ContentPart::ResourceBlob { uri, mime_type, blob } => {
            needs(support.embedded, "embedded resources")?;
            let resource = with(json!({ "uri": uri, "blob": blob }), "mimeType", mime_type.as_deref());
            json!({ "type": "resource", "resource": resource })
        }
        ContentPart::Unknown(_) => return Err(BackendError::Unsupported("content of an unknown kind".to_owned())),
    })
}

/// Adds a field, if there is something to put into it.
fn with(mut object: Value, name: &str, value: Option<&str>) -> Value {
    if let Some(value) = value {
        object[name] = value.into();
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_links_always_go_and_the_rest_where_the_agent_takes_it() {
        let image = ContentPart::Image { mime_type: "image/png".into(), data: "AA==".into(), uri: None };
        let link = ContentPart::ResourceLink { uri: "file:///a".into(), name: "a".into(), mime_type: None };
        let none = PromptSupport::default();
        let blocks = prompt_blocks(&[ContentPart::Text("hi".into()), link], none).expect("always taken");
        assert_eq!(blocks[1], json!({ "type": "resource_link", "uri": "file:///a", "name": "a" }));
        let error = prompt_blocks(std::slice::from_ref(&image), none).expect_err("no images");
        assert_eq!(error.to_string(), "the agent does not support images in a prompt");
        prompt_blocks(&[image], PromptSupport { image: true, ..none }).expect("images");
        prompt_blocks(&[], none).expect_err("nothing to say");
    }

    #[test]
    fn blocks_read_back_as_the_protocol_says() {
        let all = PromptSupport { image: true, audio: true, embedded: true };
        let text = Some("text/plain".to_owned());
        let parts = [
            ContentPart::Audio { mime_type: "audio/wav".into(), data: "AA==".into() },
            ContentPart::Resource { uri: "file:///a".into(), mime_type: text.clone(), text: "x".into() },
            ContentPart::ResourceBlob { uri: "file:///b".into(), mime_type: text, blob: "AA==".into() },
        ];
        for (block, part) in prompt_blocks(&parts, all).expect("taken").into_iter().zip(parts) {
            let read: agent_client_protocol::v1::schema::ContentBlock = serde_json::from_value(block).expect("valid");
            assert_eq!(boocoder_acp_mapper::content_part(read), part);
        }
    }
}
