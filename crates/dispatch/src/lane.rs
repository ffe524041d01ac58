//! The shell of a lane: one task that owns an agent session, feeds the machine in `lane_core` and does what it says.

use std::collections::{BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use boocoder_backend::{
    AgentBackend, AgentSession, AgentSpec, BackendError, OpenSpec, Opened, SessionEvent, check_answer,
};
use boocoder_model::{
    AgentSessionId, Answer, ChatId, DecidedBy, ExecutionPath, InteractionId, MessageId, MessageRole, Question, Seq,
    Task, TaskId, TurnId, routing,
};
use boocoder_store::{Store, StoreError};
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::command::DispatchError;
use crate::core::{self, LaneKey};
use crate::env;
use crate::lane_core::{Action, Compared, Input, LaneCore, Prepared, TurnStart};
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
    /// Tells the scheduler that a task has ended.
    pub(crate) scheduler: mpsc::Sender<core::Input>,
}

/// What a lane can be told from outside.
pub(crate) enum LaneCommand {
    Run(Box<Task>),
    Cancel(TaskId, DecidedBy),
    Answer(InteractionId, Answer, oneshot::Sender<Result<(), DispatchError>>),
    Close,
}

/// What became of something that a lane set going.
enum Step {
    Told(Input),
    Prepared(Box<Prepared>, Option<PathBuf>),
    Opened(Result<Opened, BackendError>),
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
    events: Option<mpsc::Receiver<SessionEvent>>,
    steps: FuturesUnordered<BoxFuture<'static, Step>>,
    outbox: VecDeque<Queued>,
    /// Gives up the opening that is under way.
    opening: CancellationToken,
    /// Where the agent works, once a worktree is there.
    cwd: Option<PathBuf>,
    /// Whether the turn under way runs on an agent that stays.
    warm: bool,
    /// Whoever answered the question that is being settled.
    answering: Option<oneshot::Sender<Result<(), DispatchError>>>,
    closing: bool,
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
        let lane = Self {
            core: LaneCore::new(spec.name.clone(), spec.commands.clone(), chat, parts.limits.clone()),
            parts,
            spec,
            commands,
            session: None,
            events: None,
            steps: FuturesUnordered::new(),
            outbox: VecDeque::new(),
            opening: CancellationToken::new(),
            cwd: None,
            warm: false,
            answering: None,
            closing: false,
            once,
        };
        tracker.spawn(lane.run());
        sender
    }

    async fn run(mut self) {
        let log = self.parts.log.clone();
        let mut batch = Vec::new();
        while !self.is_done() {
            let timeout = self.next_timeout();
            tokio::select! {
                command = self.commands.recv(), if !self.closing => self.command(command),
                permit = log.reserve(), if !self.outbox.is_empty() => match (permit, self.outbox.pop_front()) {
                    (Some(permit), Some(queued)) => permit.send(queued),
                    (None, _) => return self.abandon().await,
                    (Some(_), None) => {}
                },
                // Events wait in their bounded channel while something is to be written: that is what slows the agent.
                count = receive(&mut self.events, &mut batch), if self.outbox.is_empty() => {
                    if count == 0 {
                        self.events = None;
                    } else {
                        let gone = batch.iter().any(|event| matches!(event, SessionEvent::Exited { .. }));
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
        self.closing && self.core.is_idle() && self.steps.is_empty() && self.outbox.is_empty()
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
            Some(LaneCommand::Run(task)) => {
                let path = self.path(&task);
                let after = task.session_id.map_or(Seq::ZERO, |session| self.parts.log.head(session));
                let start = TurnStart {
                    turn: TurnId::from_uuid(env::new_id()),
                    message: MessageId::from_uuid(env::new_id()),
                    after,
                    path,
                };
                self.warm = path == ExecutionPath::AcpWarm;
                self.tell(Input::Run(task, start));
            }
            Some(LaneCommand::Cancel(task, by)) => self.tell(Input::Cancel(task, by)),
            Some(LaneCommand::Answer(id, answer, reply)) => match check(self.core.question(id), &answer) {
                Ok(()) => {
                    self.answering = Some(reply);
                    self.tell(Input::Answer(id, answer));
                }
                Err(error) => answered(Some(reply), Err(error)),
            },
            Some(LaneCommand::Close) | None => {
                self.closing = true;
                self.tell(Input::Close);
            }
        }
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
                let info = opened.session.info().clone();
                self.session = Some(opened.session);
                self.events = Some(opened.events);
                self.tell(Input::Opened(Ok(Box::new(info))));
            }
            Step::Opened(Err(error)) => self.tell(Input::Opened(Err(error))),
            Step::OpenAbandoned => {
                let actions = self.core.open_abandoned(env::now());
                self.act(actions);
            }
            Step::Answered(result, reply) => answered(reply, result),
            Step::Nothing => {}
        }
    }

    fn tell(&mut self, input: Input) {
        let actions = self.core.handle(input, env::now());
        self.act(actions);
    }

    fn act(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Prepare { task, know_record } => self.prepare(task, know_record),
                Action::Open(resume) => self.open(resume),
                Action::AbandonOpen => self.opening.cancel(),
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
                    let (queued, written) = Queued::acknowledged(entry);
                    self.outbox.push_back(queued);
                    self.steps.push(Box::pin(async move {
                        Step::Told(match written.await.unwrap_or_else(|_| Err(gone())) {
                            Ok(()) => Input::Settled,
                            Err(error) => {
                                tracing::warn!(%error, "the end of a turn was refused");
                                Input::SettleRefused(error.to_string())
                            }
                        })
                    }));
                }
                Action::CloseSession => self.close_session(),
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
        self.steps.push(Box::pin(async move {
            let mut prepared = Box::<Prepared>::default();
            let ready = async {
                load(&parts, &task, know_record, &mut prepared).await?;
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

    fn open(&mut self, resume: Option<AgentSessionId>) {
        let Some(cwd) = self.cwd.clone() else { return };
        self.opening = CancellationToken::new();
        let opening = self.opening.clone();
        let backend = Arc::clone(if self.warm { &self.parts.warm } else { &self.parts.oneshot });
        let spec = OpenSpec { agent: self.spec.clone(), cwd, resume };
        self.steps.push(Box::pin(async move {
            tokio::select! {
                result = backend.open(spec) => Step::Opened(result),
                () = opening.cancelled() => Step::OpenAbandoned,
            }
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

    fn close_session(&mut self) {
        self.events = None;
        if let Some(session) = self.session.take() {
            self.steps.push(Box::pin(async move {
                session.close().await;
                Step::Nothing
            }));
        }
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
        let scheduler = self.parts.scheduler.clone();
        self.steps.push(Box::pin(async move {
            // A scheduler that has gone has nothing left to schedule.
            let _ = scheduler.send(core::Input::Ended(task)).await;
            Step::Nothing
        }));
    }
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
async fn receive(events: &mut Option<mpsc::Receiver<SessionEvent>>, batch: &mut Vec<SessionEvent>) -> usize {
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
