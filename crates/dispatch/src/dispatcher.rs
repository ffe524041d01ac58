//! The handle that callers hold: starts everything, takes tasks and answers, and stops everything.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use boocoder_backend::{AgentBackend, Registry};
use boocoder_model::{
    AgentName, ContentPart, DecidedBy, Message, MessageId, MessageRole, MessageStatus, Seq, ServerId, SessionId, Task,
    TaskId, TaskState, TurnOutcome,
};
use boocoder_store::{Change, Store, StoreError};
use boocoder_wire::{Frame, FrameBody};
use boocoder_worktree::Git;
use tokio::sync::{Mutex, mpsc, oneshot};

use crate::broker::{Broker, Subscription};
use crate::command::{Accepted, DispatchError, NewMessage, NewTask, TaskOptions};
use crate::env;
use crate::keeper::Keeper;
use crate::lane::LaneParts;
use crate::lane_core::task_updated;
use crate::lease::{Lease, Standing};
use crate::limits::{self, AgentKeeping, DispatchLimits};
use crate::log::{Entry, Log};
use crate::recorder::Subject;
use crate::scheduler::{self, Request, Scheduler};
use crate::sweep::Sweep;
use crate::takeover::{Estate, take_over};
use crate::workspace::Workspaces;

/// What may be configured.
#[derive(Clone, Debug)]
pub struct DispatchConfig {
    /// The directory in which worktrees are made.
    pub worktrees: PathBuf,
    /// The limits.
    pub limits: DispatchLimits,
    /// Agents that are kept otherwise than the limits say.
    pub agents: BTreeMap<AgentName, AgentKeeping>,
}

/// What a dispatcher is made of.
pub struct Parts {
    /// Where everything is kept.
    pub store: Arc<dyn Store>,
    /// The agents.
    pub registry: Registry,
    /// Runs the agents that stay warm.
    pub warm: Arc<dyn AgentBackend>,
    /// Runs the agents of tasks without a chat.
    pub oneshot: Arc<dyn AgentBackend>,
    /// Git, within its limits.
    pub git: Git,
    /// This server, where several share the store; none if it has the store for itself. It must be the same one after a
    /// restart, since its agents are where they were.
    pub server: Option<ServerId>,
    /// The rest.
    pub config: DispatchConfig,
}

/// Takes messages, tasks, answers and decisions, and sees to it that they are carried out. Cloning is cheap.
#[derive(Clone)]
pub struct Dispatcher {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) log: Log,
    pub(crate) broker: Broker,
    pub(crate) workspaces: Workspaces,
    /// Held while a decision on a pending change is carried out and written: one at a time, so that files and records
    /// never tell of different ones.
    pub(crate) deciding: Mutex<()>,
    /// Whether agents outlive this process.
    outlives: bool,
    /// Whether an earlier process left something that goes on.
    has_taken_up: bool,
    limits: DispatchLimits,
    pub(crate) requests: mpsc::Sender<Request>,
    pub(crate) standing: Standing,
    /// What is shared is this server's to write to as long as it is renewed.
    lease: Option<Lease>,
}

impl Dispatcher {
    /// Settles what an earlier process left running, then takes up what it left queued. Where servers share the store, that
    /// is what this one left, and what those left whose lease has ended.
    ///
    /// # Errors
    /// Whatever the store says.
    pub async fn start(parts: Parts) -> Result<Self, DispatchError> {
        let lease = match parts.server {
            Some(server) => Some(Lease::begin(&parts.store, server, &parts.config.limits).await?),
            None => None,
        };
        let standing = lease.as_ref().map(Lease::standing).unwrap_or_default();
        // Heard from here on, so that nothing is missed of what comes while this one starts.
        let news = parts.store.news();
        let broker = Broker::new(Arc::clone(&parts.store));
        // The writer ends by itself once everything that writes has gone.
        let (log, _writer) = Log::start(Arc::clone(&parts.store), broker.clone(), standing.clone());
        let git = parts.git.clone();
        let workspaces =
            Workspaces::new(Arc::clone(&parts.store), log.clone(), git, parts.config.worktrees, parts.server.is_some());
        let registry = Arc::new(parts.registry);
        let sweep = Sweep {
            store: &parts.store,
            log: &log,
            workspaces: &workspaces,
            registry: &registry,
            runners: parts.warm.runners(),
            history: parts.config.limits.history,
            writer: standing.writer(),
        };
        let ended = match standing.writer() {
            Some(writer) => take_over(&parts.store, writer).await?,
            None => Vec::new(),
        };
        let (swept, left) = sweep.run().await?;
        swept.tell();
        let has_taken_up = !left.is_empty();
        if let Some(writer) = standing.writer() {
            let estate = Estate { store: &parts.store, log: &log, workspaces: &workspaces };
            estate.settle(writer, &ended).await?;
        }
        let (requests, request_inbox) = mpsc::channel(scheduler::REQUESTS);
        let (inputs, input_inbox) = mpsc::channel(limits::COMMAND_QUEUE);
        let outlives = parts.warm.runners().is_some();
        let lanes = LaneParts {
            store: Arc::clone(&parts.store),
            log: log.clone(),
            workspaces: workspaces.clone(),
            warm: parts.warm,
            oneshot: parts.oneshot,
            limits: parts.config.limits.clone(),
            keeping: parts.config.agents,
            standing: standing.clone(),
            scheduler: inputs,
        };
        let ready = Scheduler::start(Arc::new(lanes), Arc::clone(&registry), left, request_inbox, input_inbox);
        // A scheduler that is no more has nothing left to take up.
        let _ = ready.await;
        let limits = parts.config.limits;
        if let Some((lease, writer)) = lease.as_ref().zip(standing.writer()) {
            let keeper = Keeper {
                store: Arc::clone(&parts.store),
                log: log.clone(),
                broker: broker.clone(),
                workspaces: workspaces.clone(),
                requests: requests.downgrade(),
                standing: standing.clone(),
                limits: limits.clone(),
            };
            keeper.start(lease, writer, news);
        }
        let shared = Shared {
            store: parts.store,
            registry,
            log,
            broker,
            workspaces,
            deciding: Mutex::default(),
            outlives,
            has_taken_up,
            limits,
            requests,
            standing,
            lease,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Waits until this server has lost what it shares with others: its lease ended and another one has taken over, or it
    /// was started a second time. Nothing that it does is written any more; what is left is to
    /// [hand over](Dispatcher::hand_over) and to end. For ever where the store is not shared.
    pub async fn fenced_off(&self) {
        self.shared.standing.fenced_off().await;
    }

    /// Stops politely: nothing new is claimed, running turns are cancelled by policy, agents are closed, clients are
    /// let go. Returns when that is done or its limit is over.
    pub async fn shutdown(&self) {
        let (done, drained) = oneshot::channel();
        if self.shared.requests.send(Request::Drain(done)).await.is_ok() {
            let limit = self.shared.limits.shutdown;
            if tokio::time::timeout(limit, drained).await.is_err() {
                tracing::warn!(?limit, "not every agent could be closed within the limit");
            }
        }
        if let Some(lease) = &self.shared.lease {
            lease.release().await;
        }
        self.shared.broker.close();
    }

    /// Stops and leaves the agents, and the turns that they work on, to the next process. Where agents do not outlive this
    /// one, it is a [shutdown](Dispatcher::shutdown).
    pub async fn hand_over(&self) {
        if !self.shared.outlives {
            return self.shutdown().await;
        }
        let (done, left) = oneshot::channel();
        let leaving = async {
            if self.shared.requests.send(Request::Leave(done)).await.is_ok() {
                // A scheduler that has ended has left.
                let _ = left.await;
            }
            if let Err(error) = self.shared.log.flush().await {
                tracing::warn!(%error, "the log could not be put on disk; its frames are made again from the journals");
            }
        };
        let limit = self.shared.limits.shutdown;
        // A database that is away for good would be waited for without end.
        if tokio::time::timeout(limit, leaving).await.is_err() {
            tracing::warn!(?limit, "not everything could be handed over within the limit; the journals have it");
        }
        if let Some(lease) = &self.shared.lease {
            lease.leave().await;
        }
        self.shared.broker.close();
    }

    /// Whether it goes on with turns or agents that an earlier process left.
    pub fn has_taken_up(&self) -> bool {
        self.shared.has_taken_up
    }

    /// Where everything is kept, for reading.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.shared.store
    }

    /// The agents.
    pub fn registry(&self) -> &Registry {
        &self.shared.registry
    }

    /// Keeps a human's message, durably, and has it answered when its turn comes. The same request id in the same
    /// session gives the same answer and no second turn.
    ///
    /// # Errors
    /// [`DispatchError::NotFound`] for the session or chat, [`DispatchError::UnknownAgent`] and the like.
    pub async fn send_message(&self, message: NewMessage) -> Result<Accepted, DispatchError> {
        let store = &self.shared.store;
        let session = store.session(message.session_id).await?.ok_or(DispatchError::NotFound("session"))?;
        let chat = match message.chat_id {
            Some(id) => store.chat(id).await?.filter(|chat| chat.session_id == session.id),
            None => store.chats(session.id).await?.into_iter().next(),
        };
        let chat = chat.ok_or(DispatchError::NotFound("chat"))?;
        check_content(&message.content)?;
        self.check_agent(&message.options)?;
        let key = message.options.request_id.as_ref().map(|id| format!("session/{}/{id}", session.id));
        if let Some(accepted) = self.accepted_before(key.as_deref()).await? {
            return Ok(accepted);
        }
        let task = Task {
            session_id: Some(session.id),
            chat_id: Some(chat.id),
            ..new_task(session.project_id, message.content, message.options)
        };
        let (entry, accepted) = question(&task, chat.id, key.clone());
        match self.shared.log.write(entry).await {
            Ok(()) => {
                self.wake().await;
                Ok(accepted)
            }
            // The same request came twice at once, and the other one was first.
            Err(error @ StoreError::Conflict { .. }) => {
                self.accepted_before(key.as_deref()).await?.ok_or_else(|| error.into())
            }
            Err(error) => Err(error.into()),
        }
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

    /// Stops a task: one that waits never runs, one that runs is cancelled, one that has ended stays as it is. Returns
    /// the task as it is at that moment; a running one ends a little later.
    ///
    /// # Errors
    /// [`DispatchError::NotFound`].
    pub async fn cancel_task(&self, id: TaskId) -> Result<Task, DispatchError> {
        let store = &self.shared.store;
        let mut task = store.task(id).await?.ok_or(DispatchError::NotFound("task"))?;
        if task.state == TaskState::Queued {
            match self.cancel_queued(&mut task).await {
                Ok(()) => return Ok(task),
                // It was claimed in the meantime.
                Err(StoreError::Conflict { .. }) => {
                    task = store.task(id).await?.ok_or(DispatchError::NotFound("task"))?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        if task.state == TaskState::Running {
            let wanted = Change::RequestCancel { task: id, by: DecidedBy::User };
            match self.write(task.session_id, vec![wanted]).await {
                Ok(()) => {}
                // It has ended in the meantime.
                Err(StoreError::Conflict { .. }) => {
                    return store.task(id).await?.ok_or(DispatchError::NotFound("task"));
                }
                Err(error) => return Err(error.into()),
            }
            let request = Request::Cancel(id);
            self.shared.requests.send(request).await.map_err(|_| DispatchError::ShuttingDown)?;
        }
        Ok(task)
    }

    pub(crate) async fn cancel_queued(&self, task: &mut Task) -> Result<(), StoreError> {
        let now = env::now();
        task.state = TaskState::Cancelled;
        task.ended_at = Some(now);
        task.outcome = Some(TurnOutcome::cancelled(DecidedBy::User, "cancelled before it ran"));
        let subject = Subject { chat_id: task.chat_id, message_id: None, task_id: Some(task.id) };
        let frames = vec![subject.frame(task_updated(task))];
        let mut changes = vec![Change::UpdateTask { task: Box::new(task.clone()), from: TaskState::Queued }];
        for message in self.shared.store.messages_of_task(task.id).await? {
            let cancelled = Message { status: MessageStatus::Cancelled, finished_at: Some(now), ..message };
            changes.push(Change::PutMessage(Box::new(cancelled)));
        }
        self.shared.log.write(Entry { session: task.session_id, changes, frames }).await
    }

    /// Watches a session from the frame after `after` on.
    ///
    /// # Errors
    /// [`DispatchError::NotFound`] for an unknown session.
    pub async fn subscribe(&self, session: SessionId, after: Seq) -> Result<Subscription, DispatchError> {
        self.shared.store.session(session).await?.ok_or(DispatchError::NotFound("session"))?;
        Ok(self.shared.broker.subscribe(session, after).await?)
    }

    /// Cancels a running task and waits until it has ended, as long as a shutdown may take.
    pub(crate) async fn stop_task(&self, id: TaskId) -> Result<(), DispatchError> {
        let until_ended = async {
            loop {
                match self.cancel_task(id).await? {
                    task if task.state.is_final() => return Ok(()),
                    _ => tokio::time::sleep(limits::SETTLEMENT_PAUSE).await,
                }
            }
        };
        let still_runs = || DispatchError::Conflict("a turn of it cannot be stopped".to_owned());
        tokio::time::timeout(self.shared.limits.shutdown, until_ended).await.map_err(|_| still_runs())?
    }

    /// Ends a chat's agents; nothing may run in it.
    pub(crate) async fn close_chat(&self, chat: boocoder_model::ChatId) {
        let _ = self.shared.requests.send(Request::CloseChat(chat)).await;
    }

    async fn wake(&self) {
        // A scheduler that has gone is shutting down; the next process takes the task up.
        let _ = self.shared.requests.send(Request::Wake).await;
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

fn check_content(content: &[ContentPart]) -> Result<(), DispatchError> {
    let says_nothing = |part: &ContentPart| matches!(part, ContentPart::Text(text) if text.trim().is_empty());
    if content.iter().all(says_nothing) {
        return Err(DispatchError::Invalid("there is nothing in it to ask an agent".to_owned()));
    }
    Ok(())
}

fn new_task(project_id: boocoder_model::ProjectId, input: Vec<ContentPart>, options: TaskOptions) -> Task {
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

/// A human's message with its task, as they are kept and shown.
fn question(task: &Task, chat_id: boocoder_model::ChatId, request_key: Option<String>) -> (Entry, Accepted) {
    let (texts, attachments): (Vec<_>, Vec<_>) =
        task.input.iter().cloned().partition(|part| matches!(part, ContentPart::Text(_)));
    let texts: Vec<_> = texts
        .into_iter()
        .filter_map(|part| if let ContentPart::Text(text) = part { Some(text) } else { None })
        .collect();
    let message = Message {
        id: MessageId::from_uuid(env::new_id()),
        chat_id: task.chat_id,
        session_id: task.session_id,
        task_id: task.id,
        role: MessageRole::User,
        agent: task.agent.clone(),
        content: texts.join("\n"),
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
