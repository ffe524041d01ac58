//! Messages that wait: changed and dropped, until their turn begins.

use boocoder_model::{ContentPart, Message, MessageId, MessageRole, Task, TaskState};
use boocoder_store::{Change, StoreError};
use boocoder_wire::FrameBody;

use crate::command::DispatchError;
use crate::dispatcher::Dispatcher;
use crate::intake::{check_content, spoken};
use crate::log::Entry;
use crate::recorder::Subject;

impl Dispatcher {
    /// Has a message that waits say something else. It keeps its place.
    ///
    /// # Errors
    /// [`DispatchError::NotFound`] for an unknown message, [`DispatchError::Invalid`] for nothing to say,
    /// [`DispatchError::Conflict`] if it does not wait any more.
    pub async fn edit_message(&self, id: MessageId, content: Vec<ContentPart>) -> Result<Message, DispatchError> {
        let (message, task) = self.waiting(id).await?;
        check_content(&content)?;
        let (text, attachments) = spoken(&content);
        let message = Message { content: text, attachments, ..message };
        let task = Task { input: content, ..task };
        let subject = Subject { chat_id: task.chat_id, message_id: Some(id), task_id: Some(task.id) };
        let edited = FrameBody::MessageEdited {
            content: message.content.clone(),
            attachments: message.attachments.iter().cloned().map(Into::into).collect(),
        };
        let entry = Entry {
            session: task.session_id,
            frames: vec![subject.frame(edited)],
            changes: vec![
                // What begins in the meantime is not queued any more, and then nothing of this is written.
                Change::UpdateTask { task: Box::new(task), from: TaskState::Queued },
                Change::PutMessage(Box::new(message.clone())),
            ],
        };
        self.shared.log.write(entry).await.map_err(begun)?;
        Ok(message)
    }

    /// Drops a message that waits: its task is cancelled by the user, and no agent is asked.
    ///
    /// # Errors
    /// [`DispatchError::NotFound`] for an unknown message, [`DispatchError::Conflict`] if it does not wait any more.
    pub async fn drop_message(&self, id: MessageId) -> Result<(), DispatchError> {
        let (_, mut task) = self.waiting(id).await?;
        self.cancel_queued(&mut task).await.map_err(begun)
    }

    /// A human's message that waits, and its task.
    async fn waiting(&self, id: MessageId) -> Result<(Message, Task), DispatchError> {
        let store = self.store();
        let unknown = || DispatchError::NotFound("message");
        let message = store.message(id).await?.ok_or_else(unknown)?;
        let chat = message.chat_id.ok_or_else(unknown)?;
        store.chat(chat).await?.ok_or_else(unknown)?;
        let task = store.task(message.task_id).await?.ok_or_else(unknown)?;
        if message.role != MessageRole::User || task.state != TaskState::Queued {
            return Err(not_waiting());
        }
        Ok((message, task))
    }
}

fn begun(error: StoreError) -> DispatchError {
    match error {
        StoreError::Conflict { .. } => not_waiting(),
        StoreError::Unreachable(_)
        | StoreError::FencedOff
        | StoreError::Corrupt { .. }
        | StoreError::Driver(_)
        | StoreError::Migration(_)
        | StoreError::TooOld { .. } => error.into(),
    }
}

fn not_waiting() -> DispatchError {
    DispatchError::Conflict("the message does not wait any more".to_owned())
}
