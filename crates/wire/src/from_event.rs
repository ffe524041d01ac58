//! Agent events as frames.

use boocoder_model::AgentEvent;

use crate::frame::FrameBody;
use crate::parts::PlanEntry;
use crate::usage::UsageView;

impl FrameBody {
    /// The frame of an event. `usage` tells what the ledger holds after it, should it be a report: that alone cannot tell
    /// totals, and clients are shown totals.
    pub fn from_event(event: AgentEvent, usage: impl FnOnce() -> UsageView) -> Self {
        match event {
            AgentEvent::Text(content) => Self::Delta { content },
            AgentEvent::Reasoning(content) => Self::ReasoningDelta { content },
            AgentEvent::Content(part) => Self::Attachment { content: part.into() },
            AgentEvent::UserContent(part) => Self::UserContent { content: part.into() },
            AgentEvent::ToolCall(call) | AgentEvent::ToolUpdate(call) => Self::ToolCall { tool_call: call.into() },
            AgentEvent::Plan(entries) => Self::Plan {
                entries: entries
                    .into_iter()
                    .map(|entry| PlanEntry {
                        content: entry.content,
                        priority: entry.priority.to_string(),
                        status: entry.status.to_string(),
                    })
                    .collect(),
            },
            AgentEvent::Commands(commands) => {
                Self::AgentCommands { commands: commands.into_iter().map(Into::into).collect() }
            }
            AgentEvent::Mode(mode_id) => Self::ModeChanged { mode_id },
            AgentEvent::ConfigOptions(options) => {
                Self::ConfigOptions { options: options.into_iter().map(Into::into).collect() }
            }
            AgentEvent::Title(title) => Self::AgentTitle { title },
            AgentEvent::Usage(report) => Self::usage(&usage(), report.source()),
            AgentEvent::Notice(message) => Self::Notice { message },
            AgentEvent::Compaction { summary, status } => Self::Compaction { summary, status },
            AgentEvent::Unmapped { kind, raw } => Self::Unmapped { kind, raw: raw.into() },
        }
    }
}
