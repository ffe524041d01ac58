//! From the session updates of the Agent Client Protocol to [`AgentEvent`]s.
//!
//! Mapping cannot fail. What is known becomes an event, and what is not (a kind of update from a later protocol, a block
//! of content nobody has seen, a counter below zero) becomes [`AgentEvent::Unmapped`] or one of the `Unknown` parts, with
//! its JSON untouched. Only a chunk with nothing in it gives no event.
//!
//! * [`SessionUpdateMapper`] keeps what updates are merged over: the tool calls of one agent session.
//! * [`parse_update`] reads the params of a `session/update` notification from their text. This is the entry for
//!   transports: it keeps what the typed schema drops, and costs less than parsing the line into a JSON value.
//! * [`content_part`] and [`config_options`] convert what else an agent sends in the schema's types.
//!
//! There is one reading of an update and it works on text. A typed [`SessionUpdate`] is written out and read back, so
//! that it means the same whichever way it came.
//!
//! Deliberately not here: transports, requests and responses, time, and anything that remembers more than the tool calls
//! in sight. A new kind of update gets an arm in `update.rs` and, if it says something new, an event in the model.
//!
//! [`AgentEvent`]: boocoder_model::AgentEvent
//! [`AgentEvent::Unmapped`]: boocoder_model::AgentEvent::Unmapped
//! [`SessionUpdate`]: agent_client_protocol_schema::v1::SessionUpdate
//!
//! ```
//! use boocoder_acp_mapper::{SessionUpdateMapper, parse_update};
//! use boocoder_model::{AgentEvent, ToolStatus};
//! use serde_json::value::RawValue;
//!
//! let mut mapper = SessionUpdateMapper::new();
//! let mut events = |params: &str| -> Result<Vec<AgentEvent>, serde_json::Error> {
//!     let params: &RawValue = serde_json::from_str(params)?;
//!     Ok(mapper.apply(parse_update(params).update))
//! };
//!
//! let text = r#"{"sessionId":"s","update":{"sessionUpdate":"agent_message_chunk","content":{"type":"text","text":"hi"}}}"#;
//! assert_eq!(events(text)?, [AgentEvent::Text("hi".into())]);
//!
//! events(r#"{"sessionId":"s","update":{"sessionUpdate":"tool_call","toolCallId":"1","title":"read a.rs"}}"#)?;
//! let done = events(r#"{"sessionId":"s","update":{"sessionUpdate":"tool_call_update","toolCallId":"1","status":"completed"}}"#)?;
//! let [AgentEvent::ToolUpdate(call)] = &done[..] else { panic!("one snapshot") };
//! assert_eq!((call.title.as_str(), call.status), ("read a.rs", ToolStatus::Completed));
//!
//! let news = events(r#"{"sessionId":"s","update":{"sessionUpdate":"weather","sunny":true}}"#)?;
//! assert!(matches!(&news[..], [AgentEvent::Unmapped { kind, .. }] if kind == "weather"));
//! # Ok::<(), serde_json::Error>(())
//! ```

pub mod limits;

mod content;
mod mapper;
mod raw;
mod session;
mod tool_calls;
mod update;

pub use content::content_part;
pub use mapper::SessionUpdateMapper;
pub use session::config_options;
pub use update::{KnownUpdate, ParsedUpdate, Update, parse_update};
