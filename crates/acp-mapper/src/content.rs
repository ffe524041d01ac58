//! The parts of messages and of tool calls.

use agent_client_protocol_schema::v1::{ContentBlock, EmbeddedResourceResource, ToolCallContent};
use boocoder_model::{ContentPart, RawJson, ToolContent};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

use crate::raw::{Raw, to_json, untouched};

/// Converts a block of content. A kind that this version does not know is kept whole.
pub fn content_part(block: ContentBlock) -> ContentPart {
    match block {
        ContentBlock::Text(text) => ContentPart::Text(text.text),
        ContentBlock::Image(image) => {
            ContentPart::Image { mime_type: image.mime_type, data: image.data, uri: image.uri }
        }
        ContentBlock::Audio(audio) => ContentPart::Audio { mime_type: audio.mime_type, data: audio.data },
        ContentBlock::ResourceLink(link) => {
            ContentPart::ResourceLink { uri: link.uri, name: link.name, mime_type: link.mime_type }
        }
        ContentBlock::Resource(embedded) => match embedded.resource {
            EmbeddedResourceResource::TextResourceContents(text) => {
                ContentPart::Resource { uri: text.uri, mime_type: text.mime_type, text: text.text }
            }
            EmbeddedResourceResource::BlobResourceContents(blob) => {
                ContentPart::ResourceBlob { uri: blob.uri, mime_type: blob.mime_type, blob: blob.blob }
            }
            other => unknown(&other),
        },
        other => unknown(&other),
    }
}

fn unknown(block: &(impl serde::Serialize + std::fmt::Debug)) -> ContentPart {
    ContentPart::Unknown(to_json(block).map_or_else(|| debugged(block), |raw| untouched(&raw)))
}

/// What JSON cannot hold, told in words, as a JSON string.
pub(crate) fn debugged(value: &impl std::fmt::Debug) -> RawJson {
    RawJson::new(serde_json::Value::String(format!("{value:?}")).to_string())
}

/// The common block, borrowed from the line.
#[derive(Deserialize)]
struct TextBlock<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    text: Cow<'a, str>,
}

/// Reads a block of content; what is none is kept whole.
pub(crate) fn read_content(raw: &RawValue) -> ContentPart {
    let field = Raw::from(raw);
    match field.object::<TextBlock<'_>>() {
        Some(block) if block.kind == "text" => ContentPart::Text(block.text.into_owned()),
        _ => field.object().map_or_else(|| ContentPart::Unknown(untouched(raw)), content_part),
    }
}

/// Reads one entry of a tool call's content; what is none is kept whole.
pub(crate) fn read_tool_content(raw: &RawValue) -> ToolContent {
    match Raw::from(raw).object::<ToolCallContent>() {
        Some(ToolCallContent::Content(content)) => ToolContent::Part(content_part(content.content)),
        Some(ToolCallContent::Diff(diff)) => ToolContent::Diff {
            path: diff.path.to_string_lossy().into_owned(),
            old_text: diff.old_text,
            new_text: diff.new_text,
        },
        Some(ToolCallContent::Terminal(terminal)) => ToolContent::Terminal { id: terminal.terminal_id.to_string() },
        _ => ToolContent::Unknown(untouched(raw)),
    }
}
