//! The handle that callers hold: starts everything, takes tasks and answers, and stops everything.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use boocoder_backend::{AgentBackend, Registry};
use boocoder_model::{
    AgentName, DecidedBy, Message, MessageStatus, ProjectId, Seq, ServerId, SessionId, Task, TaskId, TaskState,
    TurnOutcome,
};
use boocoder_store::{Change, Store, StoreError};
use boocoder_usage_mapper::PriceTable;
use boocoder_worktree::Git;
use tokio::sync::{Mutex, mpsc, oneshot};

use crate::broker::{Broker, Subscription};
use crate::command::DispatchError;
use crate::env;
use crate::keeper::Keeper;
use crate::lane::LaneParts;
use crate::lane_core::task_updated;
use crate::lease::{Lease, Standing};
use crate::limits::{self, AgentKeeping, DispatchLimits};
use crate::log::{Entry, Log};
use crate::offers::{Offered, Offers};
use crate::recorder::Subject;
use crate::scheduler::{self, Request, Scheduler};
use crate::stale::Looked;
use crate::sweep::Sweep;
use crate::takeover::{Estate, take_over};
use crate::workspace::Workspaces;
use crate::worktrees::Preparations;

/// What may be configured.
#[derive(Clone, Debug)]
pub struct DispatchConfig {
    /// The directory in which worktrees are made.
    pub worktrees: PathBuf,
    /// How new ones are made ready.
    pub preparations: Preparations,
    /// The limits.
    pub limits: DispatchLimits,
    /// Agents that are kept otherwise than the limits say.
    pub agents: BTreeMap<AgentName, AgentKeeping>,
    /// What tokens cost by model, where the agent tells no cost. What is not in it stays unknown.
    pub prices: PriceTable,
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
    offers: Offers,
    pub(crate) workspaces: Workspaces,
    /// Held while a decision on a pending change is carried out and written: one at a time in a project, so that files and
    /// records never tell of different ones.
    pub(crate) deciding: std::sync::Mutex<BTreeMap<ProjectId, Arc<Mutex<()>>>>,
    /// What was last looked at for rows that are stale.
    pub(crate) looked: std::sync::Mutex<Looked>,
    /// This server, where several share the store.
    pub(crate) server: Option<ServerId>,
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

/// Does something to its end, even if whoever waits for it goes away: a plan that was written down is carried out or taken back,
/// and not left to the next decision.
pub(crate) async fn to_its_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, DispatchError>> + Send + 'static,
) -> Result<T, DispatchError> {
    match tokio::spawn(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(DispatchError::ShuttingDown),
        },
    }
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
        let workspaces = Workspaces::new(
            Arc::clone(&parts.store),
            log.clone(),
            git,
            parts.config.worktrees,
            parts.config.preparations,
            parts.server.is_some(),
        );
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
        let offers = Offers::default();
        let lanes = LaneParts {
            store: Arc::clone(&parts.store),
            log: log.clone(),
            workspaces: workspaces.clone(),
            warm: parts.warm,
            oneshot: parts.oneshot,
            limits: parts.config.limits.clone(),
            keeping: parts.config.agents,
            prices: Arc::new(parts.config.prices),
            standing: standing.clone(),
            offers: offers.clone(),
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
            offers,
            workspaces,
            deciding: std::sync::Mutex::default(),
            looked: std::sync::Mutex::default(),
            server: parts.server,
            outlives,
            has_taken_up,
            limits,
            requests,
            standing,
            lease,
        };
        let dispatcher = Self { shared: Arc::new(shared) };
        dispatcher.finish_open_decisions(None).await?;
        Ok(dispatcher)
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

    /// What an agent offers to choose from, as far as its sessions have told since the start.
    pub fn offered(&self, agent: &AgentName) -> Offered {
        self.shared.offers.of(agent)
    }

    /// The agents.
    pub fn registry(&self) -> &Registry {
        &self.shared.registry
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

    pub(crate) async fn wake(&self) {
        // A scheduler that has gone is shutting down; the next process takes the task up.
        let _ = self.shared.requests.send(Request::Wake).await;
    }
}
