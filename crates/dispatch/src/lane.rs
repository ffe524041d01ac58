//! The shell of a lane: one task that owns an agent session, feeds the machine in `lane_core` and does what it says.

mod steps;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use boocoder_backend::{
    AgentBackend, AgentSession, AgentSpec, Attached, BackendError, Delivery, Opened, Protocol, SessionEvent,
    SessionInfo, check_answer,
};
use boocoder_model::{
    AgentName, Answer, ChatId, DecidedBy, ExecutionPath, InteractionId, MessageId, Position, Question, RunnerId, Seq,
    Task, TaskId, TurnId, TurnOutcome,
};
use boocoder_store::{Change, Store, StoreError};
use boocoder_usage_mapper::PriceTable;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use self::steps::{ledger, told};
use crate::command::DispatchError;
use crate::core::{self, LaneKey};
use crate::counters;
use crate::env;
use crate::lane_core::{Action, Adopted, Input, LaneCore, Prepared, Served, TakenUp, TurnStart};
use crate::lease::Standing;
use crate::limits::{self, AgentKeeping, DispatchLimits};
use crate::log::{Entry, Log, Queued, gone};
use crate::offers::Offers;
use crate::workspace::Workspaces;

/// What every lane works with.
pub(crate) struct LaneParts {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) log: Log,
    pub(crate) workspaces: Workspaces,
    pub(crate) warm: Arc<dyn AgentBackend>,
    pub(crate) oneshot: Arc<dyn AgentBackend>,
    pub(crate) limits: DispatchLimits,
    /// Agents that are kept otherwise than the limits say.
    pub(crate) keeping: BTreeMap<AgentName, AgentKeeping>,
    /// What models cost whose agents do not tell.
    pub(crate) prices: Arc<PriceTable>,
    pub(crate) standing: Standing,
    /// What agents told that they offer.
    pub(crate) offers: Offers,
    /// Tells the scheduler that a task has ended.
    pub(crate) scheduler: mpsc::Sender<core::Input>,
}

/// A task that is to be taken in and begun in one transaction: what takes it in, and whoever waits for that.
pub(crate) struct Offer {
    pub(crate) entry: Entry,
    pub(crate) taken: oneshot::Sender<Result<(), StoreError>>,
}

/// What a lane can be told from outside.
pub(crate) enum LaneCommand {
    /// Run a task; one with an offer is not in the store yet.
    Run(Box<Task>, Option<Offer>),
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
    Prepared(Box<Prepared>),
    /// The agent, and what it has to be told of the chat if it begins anew.
    Opened(Result<(Opened, Option<String>), BackendError>),
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
    /// Told when agents that were closed are no more: until then no other one is started in their place.
    closed: Vec<CancellationToken>,
    /// Whether the turn under way runs on an agent that stays.
    warm: bool,
    /// Whoever answered the question that is being settled.
    answering: Option<oneshot::Sender<Result<(), DispatchError>>>,
    chat: Option<ChatId>,
    /// Tasks that came while the one before was being settled: its end is in the store before we are told so.
    waiting: VecDeque<(Box<Task>, Option<Offer>)>,
    /// What comes with the task that is being begun.
    offer: Option<Offer>,
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
            warm_path: warm_path(&spec),
            prices: Arc::clone(&parts.prices),
        };
        let own_idle = parts.keeping.get(&spec.name).and_then(|keeping| keeping.idle);
        let limits = DispatchLimits { idle: own_idle.or(parts.limits.idle), ..parts.limits.clone() };
        let lane = Self {
            core: LaneCore::new(served, chat, limits),
            parts,
            spec,
            commands,
            session: None,
            events: None,
            steps: FuturesUnordered::new(),
            outbox: VecDeque::new(),
            opening: CancellationToken::new(),
            closed: Vec::new(),
            warm: false,
            answering: None,
            chat,
            waiting: VecDeque::new(),
            offer: None,
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
                        let status = batch.iter().find_map(exit_status);
                        let gone = status.is_some();
                        if let Some(status) = status {
                            tracing::warn!(agent = %self.spec.name, chat = ?self.chat, status, "an agent has gone");
                        }
                        self.parts.offers.note(&self.spec.name, &batch);
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
            Some(LaneCommand::Run(task, offer)) => self.waiting.push_back((task, offer)),
            Some(LaneCommand::TakeUp(taken, caught_up)) => {
                self.behind = taken.runner.is_some().then_some((None, caught_up));
                self.warm = self.core.is_warm(&taken.task);
                self.tell(Input::TakeUp(taken));
            }
            Some(LaneCommand::Adopt(adopted, caught_up)) => {
                self.behind = Some((None, caught_up));
                self.warm = true;
                self.tell(Input::Adopt(adopted));
            }
            Some(LaneCommand::Cancel(task, by)) if self.waiting.iter().any(|(waiting, _)| waiting.id == task) => {
                let waiting = self.waiting.iter_mut().filter(|(waiting, _)| waiting.id == task);
                waiting.for_each(|(waiting, _)| waiting.cancel_requested = Some(by));
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
        let Some((task, offer)) = self.waiting.pop_front() else { return };
        self.offer = offer;
        let path = self.path(&task);
        let after = task.session_id.map_or(Seq::ZERO, |session| self.parts.log.head(session));
        let start = TurnStart {
            turn: TurnId::from_uuid(env::new_id()),
            message: MessageId::from_uuid(env::new_id()),
            after,
            path,
            runners: new_runners(),
        };
        self.warm = self.core.is_warm(&task);
        self.tell(Input::Run(task, start));
    }

    fn path(&self, task: &Task) -> ExecutionPath {
        match self.spec.protocol {
            Protocol::Pty => ExecutionPath::Pty,
            Protocol::Opencode => ExecutionPath::Opencode,
            Protocol::Acp if self.core.is_warm(task) => ExecutionPath::AcpWarm,
            Protocol::Acp => ExecutionPath::Acp,
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Told(input) => self.tell(input),
            Step::Prepared(prepared) => self.tell(Input::Prepared(prepared)),
            Step::Opened(Ok((opened, history))) => {
                history.into_iter().for_each(|history| self.tell(Input::History(history)));
                let info = self.hold(opened);
                let (agent, resumed) = (&self.spec.name, info.resumed);
                tracing::info!(%agent, chat = ?self.chat, pid = info.pid, %resumed, "an agent was started");
                self.tell(Input::Opened(Ok(info)));
            }
            Step::Opened(Err(error)) => {
                tracing::warn!(agent = %self.spec.name, chat = ?self.chat, %error, "an agent did not start");
                self.tell(Input::Opened(Err(error)));
            }
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
        self.parts.offers.opened(&self.spec.name, &info.options);
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
                Action::Prepare(preparing) => self.prepare(preparing),
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
                Action::WriteThenAcknowledge(entry, position) => {
                    let (queued, written) = Queued::acknowledged(entry);
                    self.outbox.push_back(queued);
                    self.acknowledge(position, Some(written));
                }
                Action::WriteThenAnswer(entry, id, answer) => {
                    let (queued, written) = Queued::acknowledged(entry);
                    self.outbox.push_back(queued);
                    self.answer(id, answer, Some(written));
                }
                Action::Answer(id, answer) => self.answer(id, answer, None),
                Action::LookBefore(task, began) => self.look_before(task, began),
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
                Action::Acknowledge(position) => self.acknowledge(position, None),
                Action::Ended(task) => self.ended(task),
                Action::Lost(task, by, is_refused) => self.lost(task, by, is_refused),
            }
        }
    }
}

/// How an agent's process ended, if this says so.
fn exit_status(delivery: &Delivery) -> Option<String> {
    if let SessionEvent::Exited { status, .. } = &delivery.event { Some(status.clone()) } else { None }
}

/// How a turn ended, if this is the change that says so.
fn outcome_of(change: &Change) -> Option<&TurnOutcome> {
    if let Change::PutTurn(turn) = change { turn.outcome.as_ref() } else { None }
}

/// Names for the runners that a turn may start.
pub(crate) fn new_runners() -> [RunnerId; 2] {
    [env::new_id(), env::new_id()].map(RunnerId::from_uuid)
}

/// Whatever events are ready, at least one; zero when the agent's stream has ended. Waits for ever without a stream.
async fn receive(events: &mut Option<mpsc::Receiver<Delivery>>, batch: &mut Vec<Delivery>) -> usize {
    match events {
        Some(events) => events.recv_many(batch, limits::EVENT_BATCH).await,
        None => std::future::pending().await,
    }
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

/// How an agent is run where it stays warm, if it may. A plain command line never does, whatever its configuration says: its
/// process is over with its turn.
fn warm_path(spec: &AgentSpec) -> Option<ExecutionPath> {
    let path = match spec.protocol {
        Protocol::Acp => ExecutionPath::AcpWarm,
        Protocol::Opencode => ExecutionPath::Opencode,
        Protocol::Pty => return None,
    };
    spec.warm.then_some(path)
}
