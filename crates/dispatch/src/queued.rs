//! Messages that wait: changed, moved and dropped, until their turn begins.

use boocoder_model::{AgentName, ContentPart, Message, MessageId, MessageRole, Task, TaskState};
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
        self.say_instead([(message.clone(), task, None)]).await?;
        Ok(message)
    }

    /// Has two messages that wait in one chat change places: each says what the other said, to the agent and with the options
    /// that the other had.
    ///
    /// # Errors
    /// [`DispatchError::NotFound`] for an unknown message, [`DispatchError::Invalid`] for messages of two chats,
    /// [`DispatchError::Conflict`] if one of them does not wait any more. Then neither has moved.
    pub async fn swap_messages(&self, one: MessageId, other: MessageId) -> Result<(), DispatchError> {
        let (one, other) = (self.waiting(one).await?, self.waiting(other).await?);
        if one.0.chat_id != other.0.chat_id {
            return Err(DispatchError::Invalid("the messages wait in two chats".to_owned()));
        }
        if one.0.id == other.0.id {
            return Ok(());
        }
        self.say_instead([in_place_of(&one, &other), in_place_of(&other, &one)]).await
    }

    /// Writes what messages that wait say from now on: all of them or, if the turn of one begins meanwhile, none.
    async fn say_instead<const N: usize>(
        &self,
        messages: [(Message, Task, Option<AgentName>); N],
    ) -> Result<(), DispatchError> {
        let mut entry = Entry { session: None, changes: Vec::new(), frames: Vec::new() };
        for (message, task, agent) in messages {
            let subject = Subject { chat_id: task.chat_id, message_id: Some(message.id), task_id: Some(task.id) };
            entry.session = task.session_id;
            entry.frames.push(subject.frame(FrameBody::MessageEdited {
                agent: agent.map(|agent| agent.to_string()),
                content: message.content.clone(),
                attachments: message.attachments.iter().cloned().map(Into::into).collect(),
            }));
            // What begins in the meantime is not queued any more, and then nothing of this is written.
            entry.changes.push(Change::UpdateTask { task: Box::new(task), from: TaskState::Queued });
            entry.changes.push(Change::PutMessage(Box::new(message)));
        }
        self.shared.log.write(entry).await.map_err(begun)
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

/// What one message and its task become when another one takes their place, and to which agent that goes, if to another.
fn in_place_of(
    (message, task): &(Message, Task),
    (other, wanted): &(Message, Task),
) -> (Message, Task, Option<AgentName>) {
    let agent = (message.agent != other.agent).then(|| other.agent.clone());
    let message = Message {
        agent: other.agent.clone(),
        content: other.content.clone(),
        attachments: other.attachments.clone(),
        ..message.clone()
    };
    let task = Task {
        agent: wanted.agent.clone(),
        input: wanted.input.clone(),
        model: wanted.model.clone(),
        mode_id: wanted.mode_id.clone(),
        thinking_option_id: wanted.thinking_option_id.clone(),
        approval: wanted.approval,
        ..task.clone()
    };
    (message, task, agent)
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
