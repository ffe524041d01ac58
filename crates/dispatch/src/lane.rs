//! The shell of a lane: one task that owns an agent session, feeds the machine in `lane_core` and does what it says.

use std::collections::{BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use boocoder_backend::{
    AgentBackend, AgentSession, AgentSpec, Attached, BackendError, Delivery, OpenSpec, Opened, SessionEvent,
    SessionInfo, check_answer,
};
use boocoder_model::{
    Answer, ChatId, DecidedBy, ExecutionPath, InteractionId, MessageId, MessageRole, Position, Question, RunnerId, Seq,
    Task, TaskId, TaskState, TurnId, TurnOutcome, routing,
};
use boocoder_store::{Change, Store, StoreError, TaskFilter};
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::command::DispatchError;
use crate::compaction::compact;
use crate::core::{self, LaneKey};
use crate::counters;
use crate::env;
use crate::history::history;
use crate::lane_core::{Action, Adopted, Compared, Input, LaneCore, Opening, Prepared, Served, TakenUp, TurnStart};
use crate::lease::Standing;
use crate::limits::{self, DispatchLimits};
use crate::log::{Log, Queued, gone};
use crate::workspace::{Owner, Workspaces};

/// What every lane works with.
pub(crate) struct LaneParts {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) log: Log,
    pub(crate) workspaces: Workspaces,
    pub(crate) warm: Arc<dyn AgentBackend>,
    pub(crate) oneshot: Arc<dyn AgentBackend>,
    pub(crate) limits: DispatchLimits,
    pub(crate) standing: Standing,
    /// Tells the scheduler that a task has ended.
    pub(crate) scheduler: mpsc::Sender<core::Input>,
}

/// What a lane can be told from outside.
pub(crate) enum LaneCommand {
    Run(Box<Task>),
    /// Go on with a turn that an earlier process left. The sender is dropped when all that was said is taken in.
    TakeUp(Box<TakenUp>, oneshot::Sender<()>),
    /// Take in an agent that an earlier process left.
    Adopt(Box<Adopted>, oneshot::Sender<()>),
    Cancel(TaskId, DecidedBy),
    Answer(InteractionId, Answer, oneshot::Sender<Result<(), DispatchError>>),
    /// Let the agent go if it has nothing to do.
    Evict,
    /// End, and the agent with it.
    Close,
    /// End, and leave the agent to the next process.
    Leave,
}

/// What became of something that a lane set going.
enum Step {
    Told(Input),
    Prepared(Box<Prepared>, Option<PathBuf>),
    Opened(Result<Opened, BackendError>),
    Attached(Result<Attached, BackendError>),
    OpenAbandoned,
    Answered(Result<(), DispatchError>, Option<oneshot::Sender<Result<(), DispatchError>>>),
    Nothing,
}

pub(crate) struct Lane {
    parts: Arc<LaneParts>,
    spec: AgentSpec,
    core: LaneCore,
    commands: mpsc::Receiver<LaneCommand>,
    session: Option<Arc<dyn AgentSession>>,
    events: Option<mpsc::Receiver<Delivery>>,
    steps: FuturesUnordered<BoxFuture<'static, Step>>,
    outbox: VecDeque<Queued>,
    /// Gives up the opening that is under way.
    opening: CancellationToken,
    /// Told when the agent that was closed last is no more: until then no other one is started in its place.
    closed: Option<CancellationToken>,
    /// Where the agent works, once a worktree is there.
    cwd: Option<PathBuf>,
    /// Whether the turn under way runs on an agent that stays.
    warm: bool,
    /// Whoever answered the question that is being settled.
    answering: Option<oneshot::Sender<Result<(), DispatchError>>>,
    chat: Option<ChatId>,
    /// Tasks that came while the one before was being settled: its end is in the store before we are told so.
    waiting: VecDeque<Box<Task>>,
    closing: bool,
    /// How far the journal reached when it was taken up, and whoever waits until that is taken in.
    behind: Option<(Option<Position>, oneshot::Sender<()>)>,
    /// The agent is left as it is, and what is under way is the next process's.
    leaving: bool,
    once: bool,
}

impl Lane {
    /// Starts a lane for an agent. A lane for a task of its own ends with that task.
    pub(crate) fn start(
        parts: Arc<LaneParts>,
        spec: AgentSpec,
        key: &LaneKey,
        tracker: &TaskTracker,
    ) -> mpsc::Sender<LaneCommand> {
        let (sender, commands) = mpsc::channel(limits::COMMAND_QUEUE);
        let (chat, once): (Option<ChatId>, bool) = match key {
            LaneKey::Chat(chat, _) => (Some(*chat), false),
            LaneKey::Task(_) => (None, true),
        };
        let served = Served {
            name: spec.name.clone(),
            commands: spec.commands.clone(),
            fingerprint: spec.fingerprint(),
            outlives: parts.warm.runners().is_some(),
        };
        let lane = Self {
            core: LaneCore::new(served, chat, parts.limits.clone()),
            parts,
            spec,
            commands,
            session: None,
            events: None,
            steps: FuturesUnordered::new(),
            outbox: VecDeque::new(),
            opening: CancellationToken::new(),
            closed: None,
            cwd: None,
            warm: false,
            answering: None,
            chat,
            waiting: VecDeque::new(),
            closing: false,
            behind: None,
            leaving: false,
            once,
        };
        tracker.spawn(lane.run());
        sender
    }

    async fn run(mut self) {
        let log = self.parts.log.clone();
        let mut batch = Vec::new();
        while !self.is_done() {
            self.run_next();
            self.note_caught_up();
            let timeout = self.next_timeout();
            tokio::select! {
                command = self.commands.recv(), if !self.closing => self.command(command),
                permit = log.reserve(), if !self.outbox.is_empty() => match (permit, self.outbox.pop_front()) {
                    (Some(permit), Some(queued)) => permit.send(queued),
                    (None, _) => return self.abandon().await,
                    (Some(_), None) => {}
                },
                // Events wait in their bounded channel while something is to be written: that is what slows the agent.
                count = receive(&mut self.events, &mut batch), if self.outbox.is_empty() && !self.core.is_settling() => {
                    if count == 0 {
                        self.events = None;
                    } else {
                        let gone = batch.iter().any(|it| matches!(it.event, SessionEvent::Exited { .. }));
                        self.tell(Input::Events(std::mem::take(&mut batch)));
                        if gone {
                            self.session = None;
                        }
                    }
                }
                Some(step) = self.steps.next(), if !self.steps.is_empty() => self.step(step),
                () = tokio::time::sleep(timeout.unwrap_or_default()), if timeout.is_some() => self.tell(Input::Timeout),
            }
        }
    }

    fn is_done(&self) -> bool {
        let is_done = self.core.is_idle() && self.steps.is_empty() && self.waiting.is_empty();
        self.outbox.is_empty() && (self.leaving || (self.closing && is_done))
    }

    fn note_caught_up(&mut self) {
        let reached = |last: Option<Position>| last.is_some_and(|last| self.core.has_taken(last));
        let is_caught_up = self.behind.as_ref().is_some_and(|(last, _)| reached(*last));
        if is_caught_up && self.outbox.is_empty() {
            self.behind = None;
        }
    }

    fn next_timeout(&self) -> Option<Duration> {
        let at = self.core.poll_timeout()?;
        Some(Duration::try_from(at.duration_since(env::now())).unwrap_or(Duration::ZERO))
    }

    /// The log has ended before us: there is nowhere to write to, so nothing more is done than to end the agent.
    async fn abandon(&mut self) {
        if let Some(session) = self.session.take() {
            session.close().await;
        }
    }

    fn command(&mut self, command: Option<LaneCommand>) {
        match command {
            Some(LaneCommand::Run(task)) => self.waiting.push_back(task),
            Some(LaneCommand::TakeUp(taken, caught_up)) => {
                self.behind = taken.runner.map(|_| (None, caught_up));
                self.warm = self.path(&taken.task) == ExecutionPath::AcpWarm;
                self.tell(Input::TakeUp(taken));
            }
            Some(LaneCommand::Adopt(adopted, caught_up)) => {
                self.behind = Some((None, caught_up));
                self.warm = true;
                self.tell(Input::Adopt(adopted));
            }
            Some(LaneCommand::Cancel(task, by)) if self.waiting.iter().any(|waiting| waiting.id == task) => {
                let waiting = self.waiting.iter_mut().filter(|waiting| waiting.id == task);
                waiting.for_each(|waiting| waiting.cancel_requested = Some(by));
            }
            Some(LaneCommand::Cancel(task, by)) => self.tell(Input::Cancel(task, by)),
            Some(LaneCommand::Answer(id, answer, reply)) => match check(self.core.question(id), &answer) {
                Ok(()) => {
                    self.answering = Some(reply);
                    self.tell(Input::Answer(id, answer));
                }
                Err(error) => answered(Some(reply), Err(error)),
            },
            Some(LaneCommand::Evict) => self.evict(),
            Some(LaneCommand::Close) | None => {
                self.closing = true;
                self.tell(Input::Close);
            }
            Some(LaneCommand::Leave) => (self.closing, self.leaving) = (true, true),
        }
    }

    /// Begins with the next task, once the one before is settled.
    fn run_next(&mut self) {
        if !self.core.is_idle() {
            return;
        }
        let Some(task) = self.waiting.pop_front() else { return };
        let path = self.path(&task);
        let after = task.session_id.map_or(Seq::ZERO, |session| self.parts.log.head(session));
        let start = TurnStart {
            turn: TurnId::from_uuid(env::new_id()),
            message: MessageId::from_uuid(env::new_id()),
            after,
            path,
            runners: new_runners(),
        };
        self.warm = path == ExecutionPath::AcpWarm;
        self.tell(Input::Run(task, start));
    }

    fn path(&self, task: &Task) -> ExecutionPath {
        if routing::should_use_warm_backend(self.spec.warm, task.session_id, task.chat_id) {
            ExecutionPath::AcpWarm
        } else {
            ExecutionPath::Acp
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Told(input) => self.tell(input),
            Step::Prepared(prepared, cwd) => {
                self.cwd = cwd;
                self.tell(Input::Prepared(prepared));
            }
            Step::Opened(Ok(opened)) => {
                let info = self.hold(opened);
                self.tell(Input::Opened(Ok(info)));
            }
            Step::Opened(Err(error)) => self.tell(Input::Opened(Err(error))),
            Step::Attached(Ok(Attached { opened, state })) => {
                let info = self.hold(opened);
                if let Some((last, _)) = &mut self.behind {
                    *last = Some(state.last);
                }
                self.tell(Input::Attached(Ok((info, state))));
            }
            Step::Attached(Err(error)) => {
                self.behind = None;
                self.tell(Input::Attached(Err(error)));
            }
            Step::OpenAbandoned => {
                let actions = self.core.open_abandoned(env::now());
                self.act(actions);
            }
            Step::Answered(result, reply) => answered(reply, result),
            Step::Nothing => {}
        }
    }

    fn hold(&mut self, opened: Opened) -> Box<SessionInfo> {
        let info = opened.session.info().clone();
        self.session = Some(opened.session);
        self.events = Some(opened.events);
        Box::new(info)
    }

    fn tell(&mut self, input: Input) {
        let actions = self.core.handle(input, env::now());
        self.act(actions);
    }

    fn act(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Prepare { task, know_record } => self.prepare(task, know_record),
                Action::Open(opening) => self.open(opening),
                Action::Attach(runner, after) => self.attach(runner, after),
                Action::AbandonOpen => self.opening.cancel(),
                Action::Evict => self.evict(),
                Action::Prompt(prompt) => self.with_session(move |session| async move {
                    let turn = prompt.turn;
                    let result = match session {
                        Some(session) => session.prompt(prompt).await,
                        None => Err(BackendError::Closed),
                    };
                    Step::Told(Input::Prompted(turn, result))
                }),
                Action::CancelTurn(turn, by) => self.with_session(move |session| async move {
                    if let Some(session) = session
                        && let Err(error) = session.cancel(turn, by).await
                    {
                        tracing::debug!(%turn, %error, "the turn was over before it could be cancelled");
                    }
                    Step::Nothing
                }),
                Action::Write(entry) => self.outbox.push_back(Queued::silent(entry)),
                Action::WriteThenAnswer(entry, id, answer) => {
                    let (queued, written) = Queued::acknowledged(entry);
                    self.outbox.push_back(queued);
                    self.answer(id, answer, Some(written));
                }
                Action::Answer(id, answer) => self.answer(id, answer, None),
                Action::Compare(task, touched) => self.compare(task, touched),
                Action::Settle(entry) => {
                    let outcome = entry.changes.iter().find_map(outcome_of).cloned();
                    let (queued, written) = Queued::acknowledged(entry);
                    self.outbox.push_back(queued);
                    self.steps.push(Box::pin(async move {
                        Step::Told(match written.await.unwrap_or_else(|_| Err(gone())) {
                            Ok(()) => {
                                outcome.iter().for_each(counters::turn);
                                Input::Settled
                            }
                            Err(error) => {
                                tracing::warn!(%error, "the end of a turn was refused");
                                Input::SettleRefused(error.to_string())
                            }
                        })
                    }));
                }
                Action::CloseSession(runner) => self.close_session(runner),
                Action::Discard(runner) => self.discard(runner),
                Action::Acknowledge(position) => self.with_session(move |session| async move {
                    if let Some(session) = session {
                        session.acknowledge(position).await;
                    }
                    Step::Nothing
                }),
                Action::Ended(task) => self.ended(task),
            }
        }
    }

    fn with_session<F>(&mut self, run: impl FnOnce(Option<Arc<dyn AgentSession>>) -> F)
    where
        F: Future<Output = Step> + Send + 'static,
    {
        self.steps.push(Box::pin(run(self.session.clone())));
    }

    fn prepare(&mut self, task: Box<Task>, know_record: bool) {
        let parts = Arc::clone(&self.parts);
        // An agent that is there knows what was said.
        let is_cold = self.session.is_none();
        self.steps.push(Box::pin(async move {
            let mut prepared = Box::<Prepared>::default();
            let ready = async {
                load(&parts, &task, know_record, &mut prepared).await?;
                if is_cold {
                    prepared.history = told(&parts.store, &task, parts.limits.history).await?;
                }
                worktree(&parts, &task).await
            };
            match ready.await {
                Ok(path) => Step::Prepared(prepared, Some(path)),
                Err(error) => {
                    prepared.failure = Some(error.to_string());
                    Step::Prepared(prepared, None)
                }
            }
        }));
    }

    fn backend(&self) -> Arc<dyn AgentBackend> {
        Arc::clone(if self.warm { &self.parts.warm } else { &self.parts.oneshot })
    }

    fn open(&mut self, opening: Opening) {
        let Some(cwd) = self.cwd.clone() else { return };
        let Opening { resume, runner, kept, not_before } = opening;
        let pause = not_before.and_then(|at| Duration::try_from(at.duration_since(env::now())).ok());
        self.opening = CancellationToken::new();
        let given_up = self.opening.clone();
        let backend = self.backend();
        let before = self.closed.take();
        let spec = OpenSpec { agent: self.spec.clone(), cwd, resume, runner };
        let kept = kept.map(|entry| {
            let (queued, written) = Queued::acknowledged(entry);
            self.outbox.push_back(queued);
            written
        });
        self.steps.push(Box::pin(async move {
            if let Some(kept) = kept
                && let Err(error) = kept.await.unwrap_or_else(|_| Err(gone()))
            {
                let source = std::io::Error::other(error);
                return Step::Opened(Err(BackendError::Spawn { command: spec.agent.command, source }));
            }
            let open = async {
                tokio::time::sleep(pause.unwrap_or_default()).await;
                if let Some(before) = before {
                    before.cancelled().await;
                }
                backend.open(spec).await
            };
            tokio::select! {
                result = open => Step::Opened(result),
                () = given_up.cancelled() => Step::OpenAbandoned,
            }
        }));
    }

    /// Lets an agent without work go, unless a message waits for it.
    fn evict(&mut self) {
        let (parts, agent, chat_id) = (Arc::clone(&self.parts), self.spec.name.clone(), self.chat);
        self.steps.push(Box::pin(async move {
            let waiting = TaskFilter { chat_id, state: Some(TaskState::Queued), ..TaskFilter::default() };
            match parts.store.tasks(waiting).await {
                Ok(tasks) if tasks.iter().all(|task| task.agent != agent) => Step::Told(Input::Evict),
                Ok(_) => Step::Nothing,
                Err(error) => {
                    tracing::debug!(%error, "an agent without work stays, since nobody knows what waits for it");
                    Step::Nothing
                }
            }
        }));
    }

    fn attach(&mut self, runner: RunnerId, after: Position) {
        let backend = self.backend();
        self.steps.push(Box::pin(async move {
            Step::Attached(match backend.runners() {
                Some(runners) => runners.attach(runner, after).await,
                None => Err(BackendError::Closed),
            })
        }));
    }

    fn discard(&mut self, runner: RunnerId) {
        let backend = self.backend();
        self.steps.push(Box::pin(async move {
            if let Some(runners) = backend.runners() {
                runners.discard(runner).await;
            }
            Step::Nothing
        }));
    }

    fn answer(
        &mut self,
        id: InteractionId,
        answer: Answer,
        written: Option<oneshot::Receiver<Result<(), StoreError>>>,
    ) {
        let reply = self.answering.take();
        self.with_session(move |session| async move {
            let result = async {
                if let Some(written) = written {
                    written.await.unwrap_or_else(|_| Err(gone()))?;
                }
                let session = session.ok_or_else(|| DispatchError::Conflict("the agent has gone".to_owned()))?;
                if let Err(error) = session.answer(id, answer).await {
                    // The agent must not wait for an answer that it will never be given.
                    let _ = session.answer(id, Answer::Cancel).await;
                    return Err(DispatchError::Conflict(error.to_string()));
                }
                Ok(())
            };
            Step::Answered(result.await, reply)
        });
    }

    fn compare(&mut self, task: Box<Task>, touched: BTreeSet<String>) {
        let parts = Arc::clone(&self.parts);
        self.steps.push(Box::pin(async move {
            let compared = match compare(&parts, &task, &touched).await {
                Ok(compared) => compared,
                Err(error) => Compared { failure: Some(error.to_string()), ..Compared::default() },
            };
            Step::Told(Input::Compared(Box::new(compared)))
        }));
    }

    fn close_session(&mut self, runner: Option<RunnerId>) {
        self.events = None;
        let session = self.session.take();
        let backend = self.backend();
        let closed = CancellationToken::new();
        self.closed = Some(closed.clone());
        self.steps.push(Box::pin(async move {
            let _told = closed.drop_guard();
            if let Some(session) = session {
                session.close().await;
            }
            if let Some((runner, runners)) = runner.zip(backend.runners()) {
                runners.discard(runner).await;
            }
            Step::Nothing
        }));
    }

    fn discard_unused_worktree(&mut self, task: TaskId) {
        let parts = Arc::clone(&self.parts);
        self.steps.push(Box::pin(async move {
            if let Err(error) = discard_unused(&parts, task).await {
                tracing::warn!(%task, %error, "the worktree of a task could not be removed");
            }
            Step::Nothing
        }));
    }

    fn ended(&mut self, task: TaskId) {
        if self.once {
            self.discard_unused_worktree(task);
        }
        self.closing |= self.once;
        let (scheduler, parts) = (self.parts.scheduler.clone(), Arc::clone(&self.parts));
        let session = self.core.session();
        self.steps.push(Box::pin(async move {
            if let Some(session) = session
                && let Err(error) = compact(&parts, session).await
            {
                tracing::warn!(%session, %error, "the log of a session was not compacted");
            }
            Step::Nothing
        }));
        self.steps.push(Box::pin(async move {
            // A scheduler that has gone has nothing left to schedule.
            let _ = scheduler.send(core::Input::Ended(task)).await;
            Step::Nothing
        }));
    }
}

/// How a turn ended, if this is the change that says so.
fn outcome_of(change: &Change) -> Option<&TurnOutcome> {
    if let Change::PutTurn(turn) = change { turn.outcome.as_ref() } else { None }
}

/// Names for the runners that a turn may start.
pub(crate) fn new_runners() -> [RunnerId; 2] {
    [env::new_id(), env::new_id()].map(RunnerId::from_uuid)
}

/// Removes the worktree of a task of its own if the task changed nothing in it.
async fn discard_unused(parts: &LaneParts, task: TaskId) -> Result<(), DispatchError> {
    let owner = Owner::Task(task);
    let Some(task) = parts.store.task(task).await? else { return Ok(()) };
    let project = parts.store.project(task.project_id).await?.ok_or(DispatchError::NotFound("project"))?;
    if parts.workspaces.risk(owner, &project).await?.is_none() {
        parts.workspaces.remove(owner, &project).await?;
    }
    Ok(())
}

/// Whatever events are ready, at least one; zero when the agent's stream has ended. Waits for ever without a stream.
async fn receive(events: &mut Option<mpsc::Receiver<Delivery>>, batch: &mut Vec<Delivery>) -> usize {
    match events {
        Some(events) => events.recv_many(batch, limits::EVENT_BATCH).await,
        None => std::future::pending().await,
    }
}

/// Loads what the turn needs to know.
async fn load(parts: &LaneParts, task: &Task, know_record: bool, prepared: &mut Prepared) -> Result<(), DispatchError> {
    let messages = parts.store.messages_of_task(task.id).await?;
    prepared.question = messages.into_iter().find(|message| message.role == MessageRole::User);
    prepared.record = match task.chat_id {
        Some(chat) if !know_record => parts.store.agent_session(chat, &task.agent).await?,
        Some(_) | None => None,
    };
    Ok(())
}

/// What was said in the chat, for an agent that has been in it before and may have to begin anew.
pub(crate) async fn told(store: &Arc<dyn Store>, task: &Task, budget: usize) -> Result<Option<String>, DispatchError> {
    let Some((session, chat)) = task.session_id.zip(task.chat_id) else { return Ok(None) };
    if store.agent_session(chat, &task.agent).await?.is_none() {
        return Ok(None);
    }
    let messages = store.messages(session, Some(chat)).await?;
    Ok(history(&messages, task.id, budget))
}

/// Makes sure of the worktree.
async fn worktree(parts: &LaneParts, task: &Task) -> Result<PathBuf, DispatchError> {
    let project = parts.store.project(task.project_id).await?.ok_or(DispatchError::NotFound("project"))?;
    let slot = parts.workspaces.ensure(Owner::of(task), &project).await?;
    let workspace = slot.as_ref().ok_or(DispatchError::NotFound("worktree"))?;
    Ok(workspace.path().to_owned())
}

async fn compare(parts: &LaneParts, task: &Task, touched: &BTreeSet<String>) -> Result<Compared, DispatchError> {
    let project = parts.store.project(task.project_id).await?.ok_or(DispatchError::NotFound("project"))?;
    parts.workspaces.compare(task, touched, &project).await
}

/// Whether an answer fits its question: looked at before it is committed, for what is committed stands.
fn check(question: Option<&Question>, answer: &Answer) -> Result<(), DispatchError> {
    let gone = || DispatchError::Conflict("the agent is not asking this any more".to_owned());
    check_answer(question.ok_or_else(gone)?, answer).map_err(|error| DispatchError::Invalid(error.to_string()))
}

fn answered(reply: Option<oneshot::Sender<Result<(), DispatchError>>>, result: Result<(), DispatchError>) {
    match (reply, result) {
        // Whoever answered may have gone; the answer stands.
        (Some(reply), result) => drop(reply.send(result)),
        (None, Err(error)) => tracing::debug!(%error, "an answer reached nobody"),
        (None, Ok(())) => {}
    }
}
