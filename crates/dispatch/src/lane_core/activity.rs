//! What an agent does between turns: shown as a message of its own that comes to an end of its own.

use boocoder_model::{AgentEvent, Message, MessageId, MessageRole, MessageStatus, SessionId, TaskId};
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

impl LaneCore {
    /// Records work that belongs to no turn, in a message that begins with it. Without any turn before it there is nothing
    /// that the message could follow, and so it is shown without one.
    pub(super) fn record_activity(&mut self, event: AgentEvent, now: Timestamp, batch: &mut Batch, join: bool) {
        if self.activity.is_none() {
            let Some(message) = self.new_activity(now) else {
                let subject = self.between_turns();
                return crate::recorder::record_between_turns(event, &self.ledger, subject, &mut batch.frames, join);
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
            activity.recorder.record(event, &self.ledger, &mut batch.frames, join);
        }
    }

    fn new_activity(&self, now: Timestamp) -> Option<Message> {
        let task_id = self.last_task?;
        // Its id follows from what it begins with, so that a journal that is read again makes the same message.
        let place = format!("{}/{}", task_id, self.taken);
        let source = self.live.as_ref().and_then(|live| live.runner).map_or(task_id.as_uuid(), |id| id.as_uuid());
        let id = MessageId::from_uuid(Uuid::new_v5(&source, place.as_bytes()));
        Some(self.growing(id, task_id, self.session, now))
    }

    /// An agent's message that has yet to grow.
    pub(super) fn growing(
        &self,
        id: MessageId,
        task_id: TaskId,
        session_id: Option<SessionId>,
        now: Timestamp,
    ) -> Message {
        Message {
            id,
            chat_id: self.chat,
            session_id,
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
        }
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
