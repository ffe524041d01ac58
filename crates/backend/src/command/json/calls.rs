//! Tool calls as whole snapshots.

use std::collections::{BTreeMap, BTreeSet};

use boocoder_model::{AgentEvent, ToolCallId, ToolCallSnapshot, ToolStatus};

/// The calls of one process: those that run with their state, of the others their ids.
#[derive(Default)]
pub(super) struct Calls {
    running: BTreeMap<ToolCallId, ToolCallSnapshot>,
    known: BTreeSet<ToolCallId>,
}

impl Calls {
    /// A call as it was last told, or one of which nothing but the id is known.
    pub(super) fn of(&self, id: ToolCallId) -> ToolCallSnapshot {
        self.running.get(&id).cloned().unwrap_or_else(|| ToolCallSnapshot::new(id))
    }

    /// A call has come this far.
    pub(super) fn put(&mut self, call: ToolCallSnapshot) -> AgentEvent {
        if call.status.is_final() {
            self.running.remove(&call.id);
        } else {
            self.running.insert(call.id.clone(), call.clone());
        }
        if self.known.insert(call.id.clone()) { AgentEvent::ToolCall(call) } else { AgentEvent::ToolUpdate(call) }
    }

    /// What still runs will not end any more.
    pub(super) fn cancel_running(&mut self) -> Vec<AgentEvent> {
        let running = std::mem::take(&mut self.running);
        let cancelled = |call: ToolCallSnapshot| ToolCallSnapshot { status: ToolStatus::Canceled, ..call };
        running.into_values().map(|call| AgentEvent::ToolUpdate(cancelled(call))).collect()
    }
}
