//! What comes in: messages and tasks, kept durably before whoever sent them is told.

use boocoder_model::{
    ChatId, ContentPart, Message, MessageId, MessageRole, MessageStatus, ProjectId, Task, TaskId, TaskState,
};
use boocoder_store::{Change, StoreError};
use boocoder_wire::{Frame, FrameBody};
use tokio::sync::oneshot;

use crate::command::{Accepted, DispatchError, NewMessage, NewTask, TaskOptions};
use crate::dispatcher::Dispatcher;
use crate::env;
use crate::lane::Offer;
use crate::lane_core::task_updated;
use crate::log::Entry;
use crate::recorder::Subject;
use crate::scheduler::Request;

impl Dispatcher {
    /// Keeps a human's message, durably, and has it answered when its turn comes. The same request id in the same
    /// session gives the same answer and no second turn.
    ///
    /// # Errors
    /// [`DispatchError::NotFound`] for the session or chat, [`DispatchError::UnknownAgent`] and the like.
    pub async fn send_message(&self, message: NewMessage) -> Result<Accepted, DispatchError> {
        let store = &self.shared.store;
        let key = message.options.request_id.as_ref().map(|id| format!("session/{}/{id}", message.session_id));
        let session = async { Ok(store.session(message.session_id).await?) };
        let chat = async {
            Ok(match message.chat_id {
                Some(id) => store.chat(id).await?.filter(|chat| chat.session_id == message.session_id),
                None => store.chats(message.session_id).await?.into_iter().next(),
            })
        };
        let (session, chat, before) = futures::try_join!(session, chat, self.accepted_before(key.as_deref()))?;
        let session = session.ok_or(DispatchError::NotFound("session"))?;
        let chat = chat.ok_or(DispatchError::NotFound("chat"))?;
        check_content(&message.content)?;
        self.check_agent(&message.options)?;
        if let Some(accepted) = before {
            return Ok(accepted);
        }
        let task = Task {
            session_id: Some(session.id),
            chat_id: Some(chat.id),
            ..new_task(session.project_id, message.content, message.options)
        };
        let (entry, accepted) = question(&task, chat.id, key.clone());
        match self.take_in(task, entry).await {
            Ok(()) => Ok(accepted),
            // The same request came twice at once, and the other one was first.
            Err(error @ StoreError::Conflict { .. }) => {
                self.accepted_before(key.as_deref()).await?.ok_or_else(|| error.into())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Keeps a task: in the very transaction that begins its turn, if that may begin at once, else for a claim.
    async fn take_in(&self, task: Task, entry: Entry) -> Result<(), StoreError> {
        let id = task.id;
        let (taken, is_taken) = oneshot::channel();
        let (begun, offered) = at_once(task, entry.clone());
        let offer = Offer { entry: offered, taken };
        if self.shared.requests.send(Request::Begin(Box::new(begun), offer)).await.is_ok() {
            match is_taken.await {
                Ok(Ok(())) => return Ok(()),
                // It may not begin at once after all: another task of the chat was first, or it was sent twice.
                Ok(Err(StoreError::Conflict { .. })) | Err(_) => {}
                Ok(Err(error)) => return Err(error),
            }
        }
        match self.shared.log.write(entry).await {
            // It was taken in, and whoever was to say so has gone.
            Err(StoreError::Conflict { .. }) if self.shared.store.task(id).await?.is_some() => return Ok(()),
            result => result?,
        }
        self.wake().await;
        Ok(())
    }

    /// Keeps a task that comes from elsewhere than a chat's composer, durably, and has it done.
    ///
    /// # Errors
    /// As [`Dispatcher::send_message`].
    pub async fn add_task(&self, new: NewTask) -> Result<Task, DispatchError> {
        let store = &self.shared.store;
        if let (Some(session_id), Some(_)) = (new.session_id, new.chat_id) {
            let message = NewMessage { session_id, chat_id: new.chat_id, content: new.input, options: new.options };
            let accepted = self.send_message(message).await?;
            return store.task(accepted.task_id).await?.ok_or(DispatchError::NotFound("task"));
        }
        if new.chat_id.is_some() {
            return Err(DispatchError::Invalid("a chat needs its session: give both, or neither".to_owned()));
        }
        store.project(new.project_id).await?.ok_or(DispatchError::NotFound("project"))?;
        if let Some(id) = new.session_id {
            let session = store.session(id).await?.ok_or(DispatchError::NotFound("session"))?;
            if session.project_id != new.project_id {
                return Err(DispatchError::Invalid("the session belongs to another project".to_owned()));
            }
        }
        check_content(&new.input)?;
        self.check_agent(&new.options)?;
        let key = new.options.request_id.as_ref().map(|id| format!("project/{}/{id}", new.project_id));
        if let Some(key) = &key
            && let Some(task) = store.task_by_request(key).await?
        {
            return Ok(task);
        }
        let task = Task { session_id: new.session_id, ..new_task(new.project_id, new.input, new.options) };
        let subject = Subject { task_id: Some(task.id), ..Subject::default() };
        let entry = Entry {
            session: task.session_id,
            frames: vec![subject.frame(task_updated(&task))],
            changes: vec![Change::AddTask { task: Box::new(task.clone()), request_key: key.clone() }],
        };
        match (self.shared.log.write(entry).await, key) {
            (Ok(()), _) => {
                self.wake().await;
                Ok(task)
            }
            (Err(error @ StoreError::Conflict { .. }), Some(key)) => {
                store.task_by_request(&key).await?.ok_or_else(|| error.into())
            }
            (Err(error), _) => Err(error.into()),
        }
    }

    fn check_agent(&self, options: &TaskOptions) -> Result<(), DispatchError> {
        match self.shared.registry.get(&options.agent) {
            None => Err(DispatchError::UnknownAgent(options.agent.to_string())),
            Some(spec) if !spec.enabled => Err(DispatchError::AgentDisabled(options.agent.clone())),
            Some(_) => Ok(()),
        }
    }

    async fn accepted_before(&self, key: Option<&str>) -> Result<Option<Accepted>, DispatchError> {
        let Some(key) = key else { return Ok(None) };
        let Some(task) = self.shared.store.task_by_request(key).await? else { return Ok(None) };
        let messages = self.shared.store.messages_of_task(task.id).await?;
        let asked = messages.into_iter().find(|message| message.role == MessageRole::User);
        Ok(asked.zip(task.chat_id).map(|(message, chat_id)| Accepted {
            message_id: message.id,
            task_id: task.id,
            chat_id,
        }))
    }
}

pub(crate) fn check_content(content: &[ContentPart]) -> Result<(), DispatchError> {
    let says_nothing = |part: &ContentPart| matches!(part, ContentPart::Text(text) if text.trim().is_empty());
    if content.iter().all(says_nothing) {
        return Err(DispatchError::Invalid("there is nothing in it to ask an agent".to_owned()));
    }
    Ok(())
}

fn new_task(project_id: ProjectId, input: Vec<ContentPart>, options: TaskOptions) -> Task {
    Task {
        id: TaskId::from_uuid(env::new_id()),
        project_id,
        session_id: None,
        chat_id: None,
        agent: options.agent,
        input,
        model: options.model,
        mode_id: options.mode_id,
        thinking_option_id: options.thinking_option_id,
        approval: options.approval,
        state: TaskState::Queued,
        cancel_requested: None,
        execution_path: None,
        outcome: None,
        output_summary: None,
        cost_tokens: None,
        created_at: env::now(),
        started_at: None,
        ended_at: None,
    }
}

/// A task as it is when it begins without having waited, and what takes it in.
fn at_once(task: Task, mut entry: Entry) -> (Task, Entry) {
    let now = env::now();
    let begun = Task { state: TaskState::Running, started_at: Some(now), ..task };
    for change in &mut entry.changes {
        if let Change::AddTask { task, .. } = change {
            **task = begun.clone();
        } else if let Change::PutMessage(message) = change {
            (message.status, message.finished_at) = (MessageStatus::Complete, Some(now));
        }
    }
    (begun, entry)
}

/// What is said as it is shown: the text, and the parts that are not text.
pub(crate) fn spoken(input: &[ContentPart]) -> (String, Vec<ContentPart>) {
    let (texts, attachments): (Vec<_>, Vec<_>) =
        input.iter().cloned().partition(|part| matches!(part, ContentPart::Text(_)));
    let texts: Vec<_> = texts
        .into_iter()
        .filter_map(|part| if let ContentPart::Text(text) = part { Some(text) } else { None })
        .collect();
    (texts.join("\n"), attachments)
}

/// A human's message with its task, as they are kept and shown.
fn question(task: &Task, chat_id: ChatId, request_key: Option<String>) -> (Entry, Accepted) {
    let (content, attachments) = spoken(&task.input);
    let message = Message {
        id: MessageId::from_uuid(env::new_id()),
        chat_id: task.chat_id,
        session_id: task.session_id,
        task_id: task.id,
        role: MessageRole::User,
        agent: task.agent.clone(),
        content,
        attachments,
        reasoning: String::new(),
        tool_calls: Vec::new(),
        status: MessageStatus::Queued,
        error: None,
        created_at: task.created_at,
        finished_at: None,
    };
    let accepted = Accepted { message_id: message.id, task_id: task.id, chat_id };
    let subject = Subject { chat_id: Some(chat_id), message_id: Some(message.id), task_id: Some(task.id) };
    let started = FrameBody::MessageStarted {
        role: message.role.to_string(),
        agent: message.agent.to_string(),
        content: Some(message.content.clone()),
        attachments: message.attachments.iter().cloned().map(Into::into).collect(),
    };
    let queued = Subject { message_id: None, ..subject };
    let frames: Vec<Frame> = vec![subject.frame(started), queued.frame(task_updated(task))];
    let changes =
        vec![Change::AddTask { task: Box::new(task.clone()), request_key }, Change::PutMessage(Box::new(message))];
    (Entry { session: task.session_id, changes, frames }, accepted)
}
