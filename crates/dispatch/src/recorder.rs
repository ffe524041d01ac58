//! What an agent says in a turn, as frames for its clients and as the message that is kept.

use std::collections::BTreeSet;

use boocoder_model::{
    AgentEvent, ChatId, ContextUse, Message, MessageId, StepUsage, TaskId, ToolCallId, ToolCallSnapshot, ToolContent,
};
use boocoder_usage_mapper::UsageMapper;
use boocoder_wire::{Frame, FrameBody};
use indexmap::IndexMap;

use crate::limits;

/// What frames are about.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Subject {
    pub(crate) chat_id: Option<ChatId>,
    pub(crate) message_id: Option<MessageId>,
    pub(crate) task_id: Option<TaskId>,
}

impl Subject {
    /// A frame about this.
    pub(crate) const fn frame(self, body: FrameBody) -> Frame {
        Frame { body, chat_id: self.chat_id, message_id: self.message_id, task_id: self.task_id }
    }
}

/// Collects one turn.
#[derive(Debug)]
pub(crate) struct Recorder {
    message: Message,
    tool_calls: IndexMap<ToolCallId, ToolCallSnapshot>,
    used: StepUsage,
    subject: Subject,
}

impl Recorder {
    /// Begins with an empty message.
    pub(crate) fn new(message: Message) -> Self {
        let subject =
            Subject { chat_id: message.chat_id, message_id: Some(message.id), task_id: Some(message.task_id) };
        Self { message, tool_calls: IndexMap::new(), used: StepUsage::default(), subject }
    }

    /// What the turn's frames are about.
    pub(crate) const fn subject(&self) -> Subject {
        self.subject
    }

    /// What the turn used so far.
    pub(crate) const fn used(&self) -> StepUsage {
        self.used
    }

    /// Takes in one event: the message grows, and `frames` too.
    pub(crate) fn record(&mut self, event: AgentEvent, ledger: &mut UsageMapper, frames: &mut Vec<Frame>) {
        match &event {
            AgentEvent::Text(text) => self.message.content.push_str(text),
            AgentEvent::Reasoning(text) => self.message.reasoning.push_str(text),
            AgentEvent::Content(part) => self.message.attachments.push(part.clone()),
            AgentEvent::ToolCall(call) | AgentEvent::ToolUpdate(call) => {
                self.tool_calls.insert(call.id.clone(), call.clone());
            }
            AgentEvent::Usage(report) => {
                let delta = ledger.apply(report);
                self.used.input += delta.input;
                self.used.output += delta.output;
                self.used.cost += delta.cost;
            }
            AgentEvent::UserContent(_)
            | AgentEvent::Plan(_)
            | AgentEvent::Commands(_)
            | AgentEvent::Mode(_)
            | AgentEvent::ConfigOptions(_)
            | AgentEvent::Title(_)
            | AgentEvent::Notice(_)
            | AgentEvent::Compaction { .. }
            | AgentEvent::Unmapped { .. } => {}
        }
        push_frame(frames, self.subject, FrameBody::from_event(event, ledger.totals(), ledger.context()));
    }

    /// The message as it stands.
    pub(crate) fn message(&self) -> Message {
        Message { tool_calls: self.tool_calls.values().cloned().collect(), ..self.message.clone() }
    }
}

/// The files that a message's tool calls name, as the agent names them.
pub(crate) fn touched(message: &Message) -> BTreeSet<String> {
    let changed = |content: &ToolContent| match content {
        ToolContent::Diff { path, .. } => Some(path.clone()),
        ToolContent::Part(_) | ToolContent::Terminal { .. } | ToolContent::Unknown(_) => None,
    };
    let named = |call: &ToolCallSnapshot| {
        let locations = call.locations.iter().map(|at| at.path.clone());
        locations.chain(call.content.iter().filter_map(changed)).collect::<Vec<_>>()
    };
    message.tool_calls.iter().flat_map(named).collect()
}

/// The frame of an event that belongs to no turn.
pub(crate) fn record_between_turns(
    event: AgentEvent,
    ledger: &mut UsageMapper,
    subject: Subject,
    frames: &mut Vec<Frame>,
) {
    if let AgentEvent::Usage(report) = &event {
        ledger.apply(report);
    }
    let context: Option<ContextUse> = ledger.context();
    push_frame(frames, subject, FrameBody::from_event(event, ledger.totals(), context));
}

/// Appends a frame; text that follows text of the same sort and message shares its delta, up to a limit.
fn push_frame(frames: &mut Vec<Frame>, subject: Subject, body: FrameBody) {
    let same = |frame: &&mut Frame| frame.message_id == subject.message_id && frame.chat_id == subject.chat_id;
    if let Some(last) = frames.last_mut().filter(same) {
        match (&mut last.body, &body) {
            (FrameBody::Delta { content: tail }, FrameBody::Delta { content: more })
            | (FrameBody::ReasoningDelta { content: tail }, FrameBody::ReasoningDelta { content: more })
                if tail.len() + more.len() <= limits::DELTA =>
            {
                tail.push_str(more);
                return;
            }
            _ => {}
        }
    }
    frames.push(subject.frame(body));
}
