//! The mapper: updates in, events out, tool calls remembered in between.

use agent_client_protocol_schema::v1::ToolCallUpdate;
use boocoder_model::{AgentEvent, RawJson, ToolCallId, ToolCallSnapshot};
use serde_json::value::RawValue;

use crate::raw::{Raw, to_json};
use crate::tool_calls::{ToolCalls, ToolPatch};
use crate::update::Update;

/// Maps the updates of one agent session.
#[derive(Clone, Debug, Default)]
pub struct SessionUpdateMapper {
    calls: ToolCalls,
}

impl SessionUpdateMapper {
    /// A mapper of a session that has said nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A turn begins: tool calls that ended in older turns are forgotten.
    pub fn begin_turn(&mut self) {
        self.calls.forget_finished();
    }

    /// Maps one update: an [`Update`] that [`parse_update`](crate::parse_update) read, or a typed
    /// [`SessionUpdate`](agent_client_protocol_schema::v1::SessionUpdate).
    ///
    /// Only a chunk with nothing in it gives no event.
    pub fn apply(&mut self, update: impl Into<Update>) -> Vec<AgentEvent> {
        match update.into() {
            Update::Unknown { kind, raw } => vec![self.apply_unknown(&kind, raw)],
            Update::Known(known) => match known.tool {
                None => known.events,
                Some(patch) => {
                    let event = if patch.announced { AgentEvent::ToolCall } else { AgentEvent::ToolUpdate };
                    let mut events = vec![event(self.calls.merge(*patch))];
                    events.extend(known.events);
                    events
                }
            },
        }
    }

    /// The event for an update that is not known.
    pub fn apply_unknown(&mut self, kind: &str, raw: RawJson) -> AgentEvent {
        AgentEvent::Unmapped { kind: kind.to_owned(), raw }
    }

    /// What is known of a tool call.
    pub fn tool_call(&self, id: &ToolCallId) -> Option<&ToolCallSnapshot> {
        self.calls.get(id)
    }

    /// The turn was cancelled: every tool call that has not ended is shown as canceled. What an agent says of such a
    /// call later (that it was done after all) is merged as ever.
    pub fn cancel_running(&mut self) -> Vec<AgentEvent> {
        self.calls.cancel_running().map(AgentEvent::ToolUpdate).collect()
    }

    /// The call that a permission request is about, merged with what is known of it. Some agents ask before they
    /// announce the call, so this is remembered too.
    pub fn tool_call_from_update(&mut self, update: ToolCallUpdate) -> ToolCallSnapshot {
        // Text cannot hold a path that is not UTF-8, which no agent can send either; the rest of such a call is known.
        to_json(&update)
            .and_then(|raw| self.tool_call_from_json(&raw))
            .unwrap_or_else(|| ToolCallSnapshot::new(ToolCallId::new(update.tool_call_id.0)))
    }

    /// The same from the request's `toolCall` as text, or none if it has no id.
    pub fn tool_call_from_json(&mut self, tool_call: &RawValue) -> Option<ToolCallSnapshot> {
        let wire = Raw::from(tool_call).object()?;
        let patch = ToolPatch::read(&wire, false, &mut Vec::new())?;
        Some(self.calls.merge(patch))
    }
}
