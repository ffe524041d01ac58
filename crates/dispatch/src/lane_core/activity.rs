//! What an agent does between turns: shown as a message of its own that comes to an end of its own.

use boocoder_model::{AgentEvent, Message, MessageId, MessageRole, MessageStatus};
use boocoder_store::Change;
use boocoder_wire::FrameBody;
use jiff::Timestamp;
use uuid::Uuid;

use super::events::Batch;
use super::{LaneCore, after};
use crate::recorder::Recorder;

/// An agent's message that nobody asked for, while it grows.
#[derive(Debug)]
pub(super) struct Activity {
    recorder: Recorder,
    /// When the agent last said something of it.
    heard: Timestamp,
}

/// Whether an event is part of an answer, and not news of the session as a whole.
pub(super) const fn is_work(event: &AgentEvent) -> bool {
    match event {
        AgentEvent::Text(_)
        | AgentEvent::Reasoning(_)
        | AgentEvent::Content(_)
        | AgentEvent::ToolCall(_)
        | AgentEvent::ToolUpdate(_)
        | AgentEvent::Plan(_) => true,
        AgentEvent::UserContent(_)
        | AgentEvent::Commands(_)
        | AgentEvent::Mode(_)
        | AgentEvent::ConfigOptions(_)
        | AgentEvent::Title(_)
        | AgentEvent::Usage(_)
        | AgentEvent::Notice(_)
        | AgentEvent::Compaction { .. }
        | AgentEvent::Unmapped { .. } => false,
    }
}

impl LaneCore {
    /// Records work that belongs to no turn, in a message that begins with it. Without any turn before it there is nothing
    /// that the message could follow, and so it is shown without one.
    pub(super) fn record_activity(&mut self, event: AgentEvent, now: Timestamp, batch: &mut Batch, join: bool) {
        if self.activity.is_none() {
            let Some(message) = self.new_activity(now) else {
                let subject = self.between_turns();
                return crate::recorder::record_between_turns(
                    event,
                    &mut self.ledger,
                    subject,
                    &mut batch.frames,
                    join,
                );
            };
            let recorder = Recorder::new(message.clone());
            batch.frames.push(recorder.subject().frame(FrameBody::MessageStarted {
                role: message.role.to_string(),
                agent: self.agent.to_string(),
                content: None,
                attachments: Vec::new(),
            }));
            batch.changes.push(Change::PutMessage(Box::new(message)));
            self.activity = Some(Activity { recorder, heard: now });
        }
        if let Some(activity) = &mut self.activity {
            activity.heard = now;
            activity.recorder.record(event, &mut self.ledger, &mut batch.frames, join);
        }
    }

    fn new_activity(&self, now: Timestamp) -> Option<Message> {
        let task_id = self.last_task?;
        // Its id follows from what it begins with, so that a journal that is read again makes the same message.
        let place = format!("{}/{}", task_id, self.taken);
        let source = self.live.as_ref().and_then(|live| live.runner).map_or(task_id.as_uuid(), |id| id.as_uuid());
        Some(Message {
            id: MessageId::from_uuid(Uuid::new_v5(&source, place.as_bytes())),
            chat_id: self.chat,
            session_id: self.session,
            task_id,
            role: MessageRole::Assistant,
            agent: self.agent.clone(),
            content: String::new(),
            attachments: Vec::new(),
            reasoning: String::new(),
            tool_calls: Vec::new(),
            status: MessageStatus::Streaming,
            error: None,
            created_at: now,
            finished_at: None,
        })
    }

    /// When the activity counts as over if nothing more comes.
    pub(super) fn activity_until(&self) -> Option<Timestamp> {
        self.activity.as_ref().map(|activity| after(activity.heard, self.limits.activity))
    }

    /// The activity is over: the message is whole.
    pub(super) fn end_activity(&mut self, now: Timestamp, batch: &mut Batch) {
        let Some(activity) = self.activity.take() else { return };
        let subject = activity.recorder.subject();
        let status = MessageStatus::Complete;
        let message = Message { status, finished_at: Some(now), ..activity.recorder.message() };
        batch.frames.push(subject.frame(FrameBody::MessageComplete { status: status.to_string(), error: None }));
        batch.changes.push(Change::PutMessage(Box::new(message)));
    }
}
