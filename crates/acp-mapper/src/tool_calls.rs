//! Tool calls: patches in, whole snapshots out.

use boocoder_model::{AgentEvent, Location, RawJson, ToolCallId, ToolCallSnapshot, ToolContent, ToolKind, ToolStatus};
use indexmap::IndexMap;

use crate::content::read_tool_content;
use crate::limits::MAX_TOOL_CALLS;
use crate::raw::Raw;
use crate::update::Wire;

/// What one update says about a tool call. Absent fields stay as they were; lists replace the ones before.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ToolPatch {
    id: ToolCallId,
    /// Whether the update announces the call, which makes it a new one if a call of that id has ended.
    pub(crate) announced: bool,
    title: Option<String>,
    name: Option<String>,
    kind: Option<ToolKind>,
    status: Option<ToolStatus>,
    input: Option<RawJson>,
    output: Option<RawJson>,
    locations: Option<Vec<Location>>,
    content: Option<Vec<ToolContent>>,
}

impl ToolPatch {
    /// Reads the fields of a tool call, or none if it has no id. Locations that are none go to `leftovers`.
    pub(crate) fn read(wire: &Wire<'_>, announced: bool, leftovers: &mut Vec<AgentEvent>) -> Option<Self> {
        Some(Self {
            id: ToolCallId::new(wire.tool_call_id.read::<String>()?),
            announced,
            title: wire.title.read(),
            name: wire.name.read(),
            kind: wire.kind.read::<String>().map(|kind| kind.parse().unwrap_or_default()),
            status: wire.status.read::<String>().and_then(|status| status.parse().ok()),
            input: wire.raw_input.json(),
            output: wire.raw_output.json(),
            locations: wire.locations.read_entries("tool_call.locations", leftovers, |raw| {
                let location: agent_client_protocol_schema::v1::ToolCallLocation = Raw::from(raw).object()?;
                Some(Location { path: location.path.to_string_lossy().into_owned(), line: location.line })
            }),
            content: wire.content.entries().map(|entries| entries.into_iter().map(read_tool_content).collect()),
        })
    }

    fn apply_to(self, call: &mut ToolCallSnapshot) {
        if let Some(title) = self.title {
            call.title = title;
        } else if let (true, Some(name)) = (call.title.is_empty(), self.name) {
            call.title = name;
        }
        if let Some(kind) = self.kind {
            call.kind = kind;
        }
        // A call that has ended does not run again because an update about its running was late.
        if let Some(status) = self.status.filter(|status| status.is_final() || !call.status.is_final()) {
            call.status = status;
        }
        if let Some(locations) = self.locations {
            call.locations = locations;
        }
        if let Some(content) = self.content {
            call.content = content;
        }
        call.input = self.input.or(call.input.take());
        call.output = self.output.or(call.output.take());
    }
}

/// The tool calls of one agent session, in the order in which they were first heard of.
#[derive(Clone, Debug, Default)]
pub(crate) struct ToolCalls {
    calls: IndexMap<ToolCallId, ToolCallSnapshot>,
}

impl ToolCalls {
    /// Merges a patch over what is known of its call and returns the whole.
    pub(crate) fn merge(&mut self, patch: ToolPatch) -> ToolCallSnapshot {
        if self.calls.len() >= MAX_TOOL_CALLS && !self.calls.contains_key(&patch.id) {
            let finished = self.calls.values().position(|call| call.status.is_final());
            self.calls.shift_remove_index(finished.unwrap_or(0));
        }
        let call = self.calls.entry(patch.id.clone()).or_insert_with(|| ToolCallSnapshot::new(patch.id.clone()));
        if patch.announced && call.status.is_final() {
            *call = ToolCallSnapshot::new(patch.id.clone());
        }
        patch.apply_to(call);
        call.clone()
    }

    pub(crate) fn get(&self, id: &ToolCallId) -> Option<&ToolCallSnapshot> {
        self.calls.get(id)
    }

    /// Marks every call that has not ended as canceled and returns those.
    pub(crate) fn cancel_running(&mut self) -> impl Iterator<Item = ToolCallSnapshot> {
        self.calls.values_mut().filter(|call| !call.status.is_final()).map(|call| {
            call.status = ToolStatus::Canceled;
            call.clone()
        })
    }

    /// Forgets the calls that have ended.
    pub(crate) fn forget_finished(&mut self) {
        self.calls.retain(|_, call| !call.status.is_final());
    }
}
