//! What an agent says in a turn, as frames for its clients and as the message that is kept.

use boocoder_model::{AgentEvent, ChatId, Message, MessageId, TaskId, ToolCallId, ToolCallSnapshot, UsageTotals};
use boocoder_usage_mapper::UsageMapper;
use boocoder_wire::{Frame, FrameBody, UsageView};
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
    /// The totals when the turn began.
    began: UsageTotals,
    subject: Subject,
}

impl Recorder {
    /// Begins with a message as it is.
    pub(crate) fn new(message: Message) -> Self {
        let subject =
            Subject { chat_id: message.chat_id, message_id: Some(message.id), task_id: Some(message.task_id) };
        let tool_calls = message.tool_calls.iter().map(|call| (call.id.clone(), call.clone())).collect();
        Self { message, tool_calls, began: UsageTotals::default(), subject }
    }

    /// Goes on with a message that an earlier process began, when the totals were `began`.
    pub(crate) fn resume(message: Message, began: UsageTotals) -> Self {
        Self { began, ..Self::new(message) }
    }

    /// The agent is asked: what is used from now on is this turn's.
    pub(crate) fn begin(&mut self, totals: UsageTotals) {
        self.began = totals;
    }

    /// The totals when the turn began.
    pub(crate) const fn began(&self) -> &UsageTotals {
        &self.began
    }

    /// What the turn's frames are about.
    pub(crate) const fn subject(&self) -> Subject {
        self.subject
    }

    /// What the turn used so far.
    pub(crate) fn used(&self, ledger: &UsageMapper) -> UsageTotals {
        ledger.totals().since(&self.began)
    }

    /// What the ledger holds, as this turn's frames show it.
    pub(crate) fn view(&self, ledger: &UsageMapper) -> UsageView {
        UsageView { turn: Some(self.used(ledger)), ..view(ledger) }
    }

    /// Takes in one event: the message grows, and `frames` too. Text may `join` the frame before. A report of usage is in
    /// the ledger already.
    pub(crate) fn record(&mut self, event: AgentEvent, ledger: &UsageMapper, frames: &mut Vec<Frame>, join: bool) {
        match &event {
            AgentEvent::Text(text) => self.message.content.push_str(text),
            AgentEvent::Reasoning(text) => self.message.reasoning.push_str(text),
            AgentEvent::Content(part) => self.message.attachments.push(part.clone()),
            AgentEvent::ToolCall(call) | AgentEvent::ToolUpdate(call) => {
                self.tool_calls.insert(call.id.clone(), call.clone());
            }
            AgentEvent::UserContent(_)
            | AgentEvent::Usage(_)
            | AgentEvent::Plan(_)
            | AgentEvent::Commands(_)
            | AgentEvent::Mode(_)
            | AgentEvent::ConfigOptions(_)
            | AgentEvent::Title(_)
            | AgentEvent::Notice(_)
            | AgentEvent::Compaction { .. }
            | AgentEvent::Unmapped { .. } => {}
        }
        let body = FrameBody::from_event(event, || self.view(ledger));
        push_frame(frames, self.subject, body, join);
    }

    /// The message as it stands.
    pub(crate) fn message(&self) -> Message {
        Message { tool_calls: self.tool_calls.values().cloned().collect(), ..self.message.clone() }
    }
}

/// The frame of an event that belongs to no turn.
pub(crate) fn record_between_turns(
    event: AgentEvent,
    ledger: &UsageMapper,
    subject: Subject,
    frames: &mut Vec<Frame>,
    join: bool,
) {
    push_frame(frames, subject, FrameBody::from_event(event, || view(ledger)), join);
}

/// What the ledger holds, as frames show it that belong to no turn.
fn view(ledger: &UsageMapper) -> UsageView {
    UsageView { totals: ledger.totals(), turn: None, context: ledger.context() }
}

/// Appends a frame. Where it may join, text that follows text of the same sort and message shares its delta, up to a
/// limit.
fn push_frame(frames: &mut Vec<Frame>, subject: Subject, body: FrameBody, join: bool) {
    let same = |frame: &&mut Frame| join && frame.message_id == subject.message_id && frame.chat_id == subject.chat_id;
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
