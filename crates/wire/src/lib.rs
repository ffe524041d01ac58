//! The JSON that crosses the network: frames, and the bodies of the HTTP routes.
//!
//! Domain types (`boocoder-model`) have no JSON form of their own; they get it here and nowhere else, so the contract
//! with clients can be read in one place and a change to the domain does not silently change it. Every conversion is an
//! exhaustive match: a new event does not compile until it has a wire form.
//!
//! | module | holds |
//! | --- | --- |
//! | [`frame`] | [`Frame`], the numbered event that clients of a session receive |
//! | [`parts`] | what frames and bodies are made of: content, tool calls, interactions, outcomes |
//! | [`usage`] | what was used: tokens, and costs by currency |
//! | [`http`] | request and response bodies |
//! | [`problem`] | the body of every error |
//!
//! With the feature `typescript` there is also a module that tells the same types in TypeScript, for the page.
//!
//! ```
//! use boocoder_model::Seq;
//! use boocoder_wire::{Frame, FrameBody};
//!
//! let frame = Frame::of_session(FrameBody::Delta { content: "hello".into() });
//! assert_eq!(frame.encode(Seq(7)), r#"{"seq":7,"type":"delta","content":"hello"}"#);
//! ```

pub mod frame;
mod from_event;
pub mod http;
mod json;
pub mod parts;
pub mod problem;
#[cfg(feature = "typescript")]
pub mod typescript;
pub mod usage;

pub use frame::{Frame, FrameBody};
pub use json::Json;
pub use problem::{FileConflict, Problem};
pub use usage::{UsageView, Used};
