//! Tests of the mapper: one case a test, recorded transcripts as snapshots, and arbitrary JSON.

mod messages;
mod properties;
mod session;
mod tool_calls;
mod transcripts;

use boocoder_acp_mapper::{SessionUpdateMapper, parse_update};
use boocoder_model::{AgentEvent, ToolCallSnapshot};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

/// The params of a notification that brings this update.
fn params(update: &Value) -> Box<RawValue> {
    to_raw_value(&json!({ "sessionId": "s1", "update": update })).expect("a value is JSON")
}

/// A block of text.
fn text(text: &str) -> Value {
    json!({ "type": "text", "text": text })
}

/// What a mapper makes of the updates, one after the other, and of nothing before them.
fn map(transcript: &[Value]) -> Vec<AgentEvent> {
    let mut mapper = SessionUpdateMapper::new();
    transcript.iter().flat_map(|update| mapper.apply(parse_update(&params(update)).update)).collect()
}

/// Checks what the updates of a transcript become.
#[track_caller]
fn check(transcript: &[Value], expect: &[AgentEvent]) {
    assert_eq!(map(transcript), expect, "{transcript:#?}");
}

/// The snapshots of tool calls among the events.
fn snapshots(events: &[AgentEvent]) -> Vec<ToolCallSnapshot> {
    let snapshot = |event: &AgentEvent| {
        if let AgentEvent::ToolCall(call) | AgentEvent::ToolUpdate(call) = event { Some(call.clone()) } else { None }
    };
    events.iter().filter_map(snapshot).collect()
}
