//! The parts of a prompt: text is a script, anything else is described in words and echoed.

use agent_client_protocol::v1::schema::{ContentBlock, EmbeddedResourceResource};

use crate::script::{self, Step};

/// What a prompt asks for.
pub(crate) fn steps(prompt: &[ContentBlock]) -> Vec<Step> {
    let part = |block: &ContentBlock| {
        if let ContentBlock::Text(text) = block { script::parse(&text.text) } else { vec![Step::Echo(describe(block))] }
    };
    prompt.iter().flat_map(part).collect()
}

/// The prompt as the history keeps it.
pub(crate) fn summary(prompt: &[ContentBlock]) -> String {
    prompt.iter().map(describe).collect::<Vec<_>>().join("\n")
}

/// A part in words. The protocol's enums are open, so there may be parts of kinds yet unknown.
fn describe(block: &ContentBlock) -> String {
    match block {
        ContentBlock::Text(text) => text.text.clone(),
        ContentBlock::Image(image) => format!("[image {} {} bytes]", image.mime_type, decoded_len(&image.data)),
        ContentBlock::Audio(audio) => format!("[audio {} {} bytes]", audio.mime_type, decoded_len(&audio.data)),
        ContentBlock::ResourceLink(link) => format!("[link {} {}]", link.name, link.uri),
        ContentBlock::Resource(embedded) => match &embedded.resource {
            EmbeddedResourceResource::TextResourceContents(text) => {
                format!("[resource {} {} bytes]", text.uri, text.text.len())
            }
            EmbeddedResourceResource::BlobResourceContents(blob) => {
                format!("[resource {} {} bytes]", blob.uri, decoded_len(&blob.blob))
            }
            _ => "[resource of an unknown kind]".to_owned(),
        },
        _ => "[part of an unknown kind]".to_owned(),
    }
}

/// How many bytes a base64 text stands for.
fn decoded_len(base64: &str) -> usize {
    base64.trim_end_matches('=').len() * 3 / 4
}

#[cfg(test)]
mod tests {
    use agent_client_protocol::v1::schema::{EmbeddedResource, ImageContent, ResourceLink, TextResourceContents};

    use super::*;

    #[test]
    fn parts_other_than_text_are_described() {
        let text = TextResourceContents::new("four", "file:///a.txt");
        let prompt = [
            ContentBlock::from("say hi"),
            ContentBlock::Image(ImageContent::new("aGVsbG8=", "image/png")),
            ContentBlock::ResourceLink(ResourceLink::new("a.txt", "file:///a.txt")),
            ContentBlock::Resource(EmbeddedResource::new(EmbeddedResourceResource::TextResourceContents(text))),
        ];
        let echo = |text: &str| Step::Echo(text.to_owned());
        let expected = [
            Step::Say("hi".to_owned()),
            echo("[image image/png 5 bytes]"),
            echo("[link a.txt file:///a.txt]"),
            echo("[resource file:///a.txt 4 bytes]"),
        ];
        assert_eq!(steps(&prompt), expected);
        assert!(summary(&prompt).starts_with("say hi\n[image image/png 5 bytes]\n"));
    }
}
