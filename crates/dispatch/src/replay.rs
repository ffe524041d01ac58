//! A message put together again from the frames that told of it: what clients were shown is what it says.

use std::sync::Arc;

use boocoder_model::{ChatId, Message, MessageId, MessageStatus, Seq, SessionId, ToolCallSnapshot};
use boocoder_store::{ReadBudget, Store, StoreError, StoredFrame};
use boocoder_wire::{Frame, FrameBody};

use crate::command::DispatchError;
use crate::dispatcher::Dispatcher;

/// How much of the log is read at once.
const READ: ReadBudget = ReadBudget { frames: 4096, bytes: 8 * 1024 * 1024 };

impl Dispatcher {
    /// The messages of a session, or of one of its chats, oldest first. One that still grows is shown as far as it
    /// has come.
    ///
    /// # Errors
    /// [`DispatchError::NotFound`] for an unknown session; whatever the store says.
    pub async fn messages(&self, session: SessionId, chat: Option<ChatId>) -> Result<Vec<Message>, DispatchError> {
        self.store().session(session).await?.ok_or(DispatchError::NotFound("session"))?;
        let messages = self.store().messages(session, chat).await?;
        self.as_shown(session, messages).await
    }

    /// The newest of those messages, or of those before one of them: at most `limit`, oldest first.
    ///
    /// # Errors
    /// [`DispatchError::NotFound`] for an unknown session, or if `before` is no message of it.
    pub async fn messages_page(
        &self,
        session: SessionId,
        chat: Option<ChatId>,
        before: Option<MessageId>,
        limit: usize,
    ) -> Result<Vec<Message>, DispatchError> {
        let store = self.store();
        store.session(session).await?.ok_or(DispatchError::NotFound("session"))?;
        if let Some(id) = before {
            let found = store.message(id).await?.filter(|message| message.session_id == Some(session));
            found.ok_or(DispatchError::NotFound("message"))?;
        }
        let messages = store.messages_page(session, chat, before, limit).await?;
        self.as_shown(session, messages).await
    }

    /// Messages with what was shown of those that still grow.
    async fn as_shown(&self, session: SessionId, mut messages: Vec<Message>) -> Result<Vec<Message>, DispatchError> {
        let store = self.store();
        for message in messages.iter_mut().filter(|message| message.status == MessageStatus::Streaming) {
            let turns = store.turns_of_task(message.task_id).await?;
            let after = turns.iter().find(|turn| turn.message_id == message.id).map_or(Seq::ZERO, |turn| turn.after);
            *message = put_together(store, session, after, message.clone()).await?;
        }
        Ok(messages)
    }
}

/// What the agent had said of a message, read back from the log: what clients were shown is what is kept.
pub(crate) async fn put_together(
    store: &Arc<dyn Store>,
    session: SessionId,
    mut after: Seq,
    mut message: Message,
) -> Result<Message, DispatchError> {
    loop {
        let frames = store.frames_after(session, after, READ).await?;
        let Some(last) = frames.last() else { return Ok(message) };
        after = last.seq;
        for frame in &frames {
            let frame = decode(frame)?;
            if frame.message_id == Some(message.id) {
                append(&mut message, frame.body);
            }
        }
    }
}

fn decode(frame: &StoredFrame) -> Result<Frame, DispatchError> {
    Frame::decode(&frame.body).map_err(|error| {
        let detail = format!("frame {} of session {}: {error}", frame.seq, frame.session_id);
        DispatchError::Store(StoreError::Corrupt { what: "frame", detail })
    })
}

fn append(message: &mut Message, body: FrameBody) {
    match body {
        FrameBody::Delta { content } => message.content.push_str(&content),
        FrameBody::ReasoningDelta { content } => message.reasoning.push_str(&content),
        FrameBody::Attachment { content } => message.attachments.push(content.into()),
        FrameBody::ToolCall { tool_call } => {
            if let Ok(call) = ToolCallSnapshot::try_from(tool_call) {
                match message.tool_calls.iter_mut().find(|known| known.id == call.id) {
                    Some(known) => *known = call,
                    None => message.tool_calls.push(call),
                }
            }
        }
        FrameBody::MessageStarted { .. }
        | FrameBody::UserContent { .. }
        | FrameBody::AgentCommands { .. }
        | FrameBody::Plan { .. }
        | FrameBody::ModeChanged { .. }
        | FrameBody::ConfigOptions { .. }
        | FrameBody::AgentTitle { .. }
        | FrameBody::Usage { .. }
        | FrameBody::Notice { .. }
        | FrameBody::Compaction { .. }
        | FrameBody::Unmapped { .. }
        | FrameBody::InteractionRequested { .. }
        | FrameBody::InteractionResolved { .. }
        | FrameBody::MessageComplete { .. }
        | FrameBody::TaskUpdated { .. }
        | FrameBody::PendingChanged { .. }
        | FrameBody::Renamed { .. }
        | FrameBody::MessageEdited { .. }
        | FrameBody::AgentSessionUpdated { .. }
        | FrameBody::Resync { .. } => {}
    }
}
