//! The parts that messages, thoughts, prompts and tool results are made of.

use crate::RawJson;

/// One part of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContentPart {
    /// Plain or Markdown text.
    Text(String),
    /// An image.
    Image {
        /// Its media type, such as `image/png`.
        mime_type: String,
        /// Its bytes, in base64.
        data: String,
        /// Where it came from, if the agent said so.
        uri: Option<String>,
    },
    /// A sound.
    Audio {
        /// Its media type.
        mime_type: String,
        /// Its bytes, in base64.
        data: String,
    },
    /// A pointer to something that the reader can fetch.
    ResourceLink {
        /// Where it is.
        uri: String,
        /// What to call it.
        name: String,
        /// Its media type, if known.
        mime_type: Option<String>,
    },
    /// A resource with its text in place.
    Resource {
        /// Where it is.
        uri: String,
        /// Its media type, if known.
        mime_type: Option<String>,
        /// Its text.
        text: String,
    },
    /// A resource with its bytes in place.
    ResourceBlob {
        /// Where it is.
        uri: String,
        /// Its media type, if known.
        mime_type: Option<String>,
        /// Its bytes, in base64.
        blob: String,
    },
    /// A kind of part that this version does not know, kept whole.
    Unknown(RawJson),
}
