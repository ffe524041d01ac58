//! A lane's decisions: the phases of a turn, as a machine that is told what happened and says what to do.

mod account;
#[cfg(test)]
mod account_tests;
mod activity;
#[cfg(test)]
mod between_tests;
#[cfg(test)]
mod ends_tests;
mod events;
mod given;
mod journal;
mod keeping;
#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
mod turn;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use boocoder_backend::{BackendError, Delivery, Prompt, RunnerState, SessionInfo};
use boocoder_model::{
    AgentCommand, AgentName, AgentSession, AgentSessionId, AgentSessionStatus, Answer, ChatId, Cost, DecidedBy,
    ExecutionPath, InteractionId, InteractionOutcome, Position, Question, Resumed, RunnerId, SessionId, Task, TaskId,
    Turn, TurnId, TurnOutcome, routing,
};
use boocoder_store::Change;
use boocoder_usage_mapper::{PriceTable, UsageMapper};
use boocoder_wire::{Frame, FrameBody};
use jiff::Timestamp;

use self::activity::Activity;
use self::events::Batch;
pub(crate) use self::given::{Adopted, Compared, Opening, Prepared, Preparing, Served, TakenUp, TurnStart};
use self::keeping::Keeping;
use crate::limits::DispatchLimits;
use crate::log::Entry;
use crate::recorder::{Recorder, Subject};
use crate::touched::Touched;

/// Something that a lane is told.
#[derive(Debug)]
pub(crate) enum Input {
    Run(Box<Task>, TurnStart),
    /// A turn goes on that an earlier process left.
    TakeUp(Box<TakenUp>),
    /// An agent is there that an earlier process left.
    Adopt(Box<Adopted>),
    Prepared(Box<Prepared>),
    /// What was said in the chat before, which the agent that is about to be opened has to be told.
    History(String),
    Opened(Result<Box<SessionInfo>, BackendError>),
    /// What became of taking up a runner.
    Attached(Result<(Box<SessionInfo>, RunnerState), BackendError>),
    Prompted(TurnId, Result<(), BackendError>),
    Events(Vec<Delivery>),
    Cancel(TaskId, DecidedBy),
    Answer(InteractionId, Answer),
    Compared(Box<Compared>),
    Settled,
    /// The end of the turn was refused: a decision on a pending change came in between.
    SettleRefused(String),
    Timeout,
    /// Let the agent go if it has nothing to do.
    Evict,
    Close,
}

/// Something that a lane wants done.
#[derive(Debug)]
pub(crate) enum Action {
    /// Load what the turn needs and make sure of the worktree.
    Prepare(Preparing),
    /// Open an agent session.
    Open(Opening),
    /// Take up this runner where its journal was left.
    Attach(RunnerId, Position),
    /// Give up the opening.
    AbandonOpen,
    /// The agent has had nothing to do for long: let it go, unless a message waits for it.
    Evict,
    Prompt(Prompt),
    CancelTurn(TurnId, DecidedBy),
    /// Write, without waiting.
    Write(Entry),
    /// Write, and once that is committed tell the journal that it need not hold what came up to this record.
    WriteThenAcknowledge(Entry, Position),
    /// Write, and once that is committed hand the agent this answer.
    WriteThenAnswer(Entry, InteractionId, Answer),
    /// The agent has its prompt: look what a human changed in the worktree before this moment.
    LookBefore(Box<Task>, Timestamp),
    /// Hand the agent this answer: its question was never shown, or is settled already.
    Answer(InteractionId, Answer),
    /// Compare the worktree with its baseline, given what the turn's tool calls named.
    Compare(Box<Task>, Touched),
    /// Write the end of the turn, and report when it is committed.
    Settle(Entry),
    /// Close the agent session, if one is open, and forget its runner.
    CloseSession(Option<RunnerId>),
    /// Forget a runner that has ended, and end what is left of it.
    Discard(RunnerId),
    /// All up to this record is kept for good.
    Acknowledge(Position),
    /// The turn of this task is settled.
    Ended(TaskId),
    /// The turn of this task has not begun and will not: nothing of it is kept. With who wanted it to stop, if somebody did.
    Lost(TaskId, Option<DecidedBy>, bool),
}

/// A question that waits for a human.
#[derive(Debug)]
struct OpenQuestion {
    question: Question,
    deadline: Timestamp,
}

/// A turn under way.
#[derive(Debug)]
struct Current {
    task: Box<Task>,
    turn: Turn,
    recorder: Recorder,
    questions: BTreeMap<InteractionId, OpenQuestion>,
    /// Questions that were settled before this process took the turn up.
    settled: BTreeMap<InteractionId, Answer>,
    cancelled_by: Option<DecidedBy>,
    deadline: Timestamp,
    /// Whether the session was opened for this turn: then a closed one is not opened once more.
    opened: bool,
    /// Whether the agent has taken the prompt: only then is there something that it can cancel.
    prompted: bool,
    /// How often the store refused the end of the turn.
    refusals: usize,
    /// Names for the runners that the turn may start.
    runners: VecDeque<RunnerId>,
    /// What was said in the chat before, should the agent have to be told.
    history: Option<String>,
    /// What the agent is to be told of decisions on its changes.
    note: Option<String>,
    /// The record of the journal that told of the turn's end.
    end: Option<Position>,
    /// What the turn costs by the price table, if it does, once that is decided.
    price: Option<Option<Cost>>,
}

/// Where a lane stands.
#[derive(Debug)]
enum Phase {
    Idle,
    Preparing(Box<Current>),
    Opening(Box<Current>),
    /// The agent of an earlier process is being taken up.
    Attaching(Box<Current>),
    Running(Box<Current>),
    Settling(Box<Current>, TurnOutcome),
}

/// What is known of the open agent session.
#[derive(Debug)]
struct Live {
    /// The agent's own id for the session, if it has one.
    native_id: Option<AgentSessionId>,
    resumable: bool,
    runner: Option<RunnerId>,
    /// Whether a prompt may hold resources with their content in place.
    takes_resources: bool,
}

impl Live {
    fn new(info: &SessionInfo, runner: Option<RunnerId>) -> Self {
        Self {
            native_id: Some(info.native_id.clone()).filter(|id| !id.as_str().is_empty()),
            resumable: info.resumable,
            runner,
            takes_resources: info.prompt.embedded,
        }
    }
}

/// Decides for one lane. It does not act, wait or read a clock.
#[derive(Debug)]
pub(crate) struct LaneCore {
    agent: AgentName,
    /// The chat, or none for a task of its own.
    chat: Option<ChatId>,
    /// The commands that the agent is known to offer before it tells.
    commands: Vec<AgentCommand>,
    /// What the agent is to be started with.
    fingerprint: String,
    limits: DispatchLimits,
    /// Whether agents live under runners.
    outlives: bool,
    /// How the agent is run where it stays warm, if it may.
    warm_path: Option<ExecutionPath>,
    phase: Phase,
    live: Option<Live>,
    /// The runner that is being started or taken up.
    coming: Option<RunnerId>,
    /// The last record of the runner's journal that was taken in.
    taken: Position,
    /// The record up to which the journal is not needed any more, or will not be in a moment.
    checkpointed: Position,
    /// What came behind the end of a turn that is not settled yet.
    backlog: VecDeque<Delivery>,
    record: Option<AgentSession>,
    /// How the agent will have come to its context once it has answered.
    unproven: Option<Resumed>,
    ledger: UsageMapper,
    /// What models cost whose agents do not tell.
    prices: Arc<PriceTable>,
    /// The model that the agent says it uses.
    model: Option<String>,
    /// How many lines of the ledger have come without a journal.
    reports: u64,
    session: Option<SessionId>,
    keeping: Keeping,
    /// The last turn was stopped, so that an agent which had to be ended for it has not died of itself.
    stopped: bool,
    /// What the agent does without having been asked.
    activity: Option<Activity>,
    last_task: Option<TaskId>,
}

impl LaneCore {
    pub(crate) fn new(agent: Served, chat: Option<ChatId>, limits: DispatchLimits) -> Self {
        let Served { name, commands, fingerprint, outlives, warm_path, prices } = agent;
        Self {
            agent: name,
            chat,
            commands,
            fingerprint,
            limits,
            outlives,
            warm_path,
            phase: Phase::Idle,
            live: None,
            coming: None,
            taken: Position::ZERO,
            checkpointed: Position::ZERO,
            backlog: VecDeque::new(),
            record: None,
            unproven: None,
            ledger: UsageMapper::new(),
            prices,
            model: None,
            reports: 0,
            session: None,
            keeping: Keeping::default(),
            stopped: false,
            activity: None,
            last_task: None,
        }
    }

    /// Whether a task goes to the warm agent of its chat.
    pub(crate) const fn is_warm(&self, task: &Task) -> bool {
        routing::should_use_warm_backend(self.warm_path.is_some(), task.session_id, task.chat_id)
    }

    /// Whether no turn is under way.
    pub(crate) const fn is_idle(&self) -> bool {
        matches!(self.phase, Phase::Idle)
    }

    /// The session that the lane has worked in.
    pub(crate) const fn session(&self) -> Option<SessionId> {
        self.session
    }

    /// Whether a turn is being settled: what the agent says until then waits.
    pub(crate) const fn is_settling(&self) -> bool {
        matches!(self.phase, Phase::Settling(..))
    }

    /// Whether all that the journal holds up to this record is taken in, or waits for its turn to be settled.
    pub(crate) fn has_taken(&self, last: Position) -> bool {
        self.is_settling() || self.taken >= last
    }

    /// The question with this id, if it waits for a human. In a turn that is being cancelled none does any more.
    pub(crate) fn question(&self, id: InteractionId) -> Option<&Question> {
        self.current().filter(|current| current.cancelled_by.is_none())?.questions.get(&id).map(|open| &open.question)
    }

    /// When to call with [`Input::Timeout`], if at all.
    pub(crate) fn poll_timeout(&self) -> Option<Timestamp> {
        let Some(current) = self.current() else {
            let idle = self.live.as_ref().and_then(|_| self.keeping.until(&self.limits));
            return idle.into_iter().chain(self.activity_until()).min();
        };
        let questions = current.questions.values().map(|open| open.deadline);
        let turn =
            (matches!(self.phase, Phase::Running(_)) && current.cancelled_by.is_none()).then_some(current.deadline);
        questions.chain(turn).min()
    }

    /// Takes in what happened, and says what to do about it.
    pub(crate) fn handle(&mut self, input: Input, now: Timestamp) -> Vec<Action> {
        match input {
            Input::Run(task, start) => self.run(task, start, now),
            Input::TakeUp(taken) => self.take_up(*taken),
            Input::Adopt(adopted) => self.adopt(*adopted),
            Input::Prepared(prepared) => self.prepared(*prepared, now),
            Input::History(history) => {
                if let Some(current) = self.current_mut() {
                    current.history = Some(history);
                }
                Vec::new()
            }
            Input::Opened(result) => self.opened(result, now),
            Input::Attached(Ok((info, state))) => self.attached(&info, &state, now),
            Input::Attached(Err(error)) => self.not_attached(&error, now),
            Input::Prompted(turn, Ok(())) => self.prompted(turn),
            Input::Prompted(turn, Err(error)) => self.prompt_failed(turn, error, now),
            Input::Events(events) => self.events(events, now),
            Input::Cancel(task, by) => self.cancel(task, by),
            Input::Answer(id, answer) => self.settle_question(id, answer, DecidedBy::User, now),
            Input::Compared(compared) => self.compared(*compared, now),
            Input::Settled => self.settled(now),
            Input::SettleRefused(reason) => self.settle_refused(reason, now),
            Input::Timeout => self.timeout(now),
            Input::Evict => self.evict(now),
            Input::Close => self.close(now),
        }
    }

    /// The turn, if the lane stands where `here` says; the lane is idle then. Anything else is left as it is: what comes
    /// late must not end what has begun since.
    fn take(&mut self, here: impl FnOnce(&Phase) -> bool) -> Option<Box<Current>> {
        if !here(&self.phase) {
            return None;
        }
        match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Idle => None,
            Phase::Preparing(current)
            | Phase::Opening(current)
            | Phase::Attaching(current)
            | Phase::Running(current)
            | Phase::Settling(current, _) => Some(current),
        }
    }

    fn current(&self) -> Option<&Current> {
        match &self.phase {
            Phase::Idle => None,
            Phase::Preparing(current)
            | Phase::Opening(current)
            | Phase::Attaching(current)
            | Phase::Running(current)
            | Phase::Settling(current, _) => Some(current),
        }
    }

    fn current_mut(&mut self) -> Option<&mut Current> {
        match &mut self.phase {
            Phase::Idle => None,
            Phase::Preparing(current)
            | Phase::Opening(current)
            | Phase::Attaching(current)
            | Phase::Running(current)
            | Phase::Settling(current, _) => Some(current),
        }
    }

    fn entry(&self, changes: Vec<Change>, frames: Vec<Frame>) -> Entry {
        Entry { session: self.session, changes, frames }
    }

    /// Has something written, if there is anything to write.
    fn write(&self, changes: Vec<Change>, frames: Vec<Frame>) -> Option<Action> {
        let is_empty = changes.is_empty() && frames.is_empty();
        (!is_empty).then(|| Action::Write(self.entry(changes, frames)))
    }

    fn between_turns(&self) -> Subject {
        Subject { chat_id: self.chat, ..Subject::default() }
    }

    fn timeout(&mut self, now: Timestamp) -> Vec<Action> {
        let Some(current) = self.current_mut() else { return self.idle_timeout(now) };
        let due = |open: &OpenQuestion| open.deadline <= now;
        let expired: Vec<_> = current.questions.iter().filter(|(_, open)| due(open)).map(|(id, _)| *id).collect();
        let too_long = current.deadline <= now && current.cancelled_by.is_none();
        let task = current.task.id;
        let mut actions = Vec::new();
        for id in expired {
            actions.extend(self.settle_question(id, Answer::Cancel, DecidedBy::Watchdog, now));
        }
        if too_long && matches!(self.phase, Phase::Running(_)) {
            actions.extend(self.cancel(task, DecidedBy::Watchdog));
        }
        actions
    }

    /// Between turns: an activity may be over, and an agent without work may go.
    fn idle_timeout(&mut self, now: Timestamp) -> Vec<Action> {
        let mut batch = Batch::default();
        if self.activity_until().is_some_and(|until| until <= now) {
            self.end_activity(now, &mut batch);
            self.flush(&mut batch);
        }
        if self.keeping.until(&self.limits).is_some_and(|until| until <= now) {
            // Should it have to stay, it is looked at again after as long once more.
            self.keeping.rest(now);
            batch.actions.push(Action::Evict);
        }
        batch.actions
    }

    /// Lets the agent go if it has nothing to do. The next message has it resume.
    fn evict(&mut self, now: Timestamp) -> Vec<Action> {
        if self.is_idle() && self.activity.is_none() && self.live.is_some() { self.close(now) } else { Vec::new() }
    }

    /// The lane is to end. A turn is cancelled by whoever ends the lane, before this.
    fn close(&mut self, now: Timestamp) -> Vec<Action> {
        let mut batch = Batch::default();
        self.end_activity(now, &mut batch);
        self.keeping.stir();
        let Some(live) = self.live.take() else { return vec![Action::CloseSession(None)] };
        if let Some(record) = &mut self.record {
            record.native_id = record.native_id.take().filter(|_| live.resumable);
        }
        let Batch { mut changes, mut frames, .. } = batch;
        changes.extend(live.runner.map(|id| Change::EndRunner { id, at: now }));
        if let Some((change, frame)) = self.agent_session(AgentSessionStatus::Closed, now) {
            changes.push(change);
            frames.push(frame);
        }
        self.write(changes, frames).into_iter().chain([Action::CloseSession(live.runner)]).collect()
    }

    /// The agent session in its new state, to be kept and shown; none for a task of its own.
    fn agent_session(&mut self, status: AgentSessionStatus, now: Timestamp) -> Option<(Change, Frame)> {
        let subject = self.between_turns();
        let native_id = self.live.as_ref().and_then(|live| live.native_id.clone());
        let record = self.record.as_mut()?;
        record.status = status;
        record.last_active_at = Some(now);
        if native_id.is_some() {
            record.native_id = native_id;
        }
        let frame = subject.frame(FrameBody::AgentSessionUpdated {
            agent: record.agent.to_string(),
            status: status.to_string(),
            has_session: record.native_id.is_some(),
            resumed: record.resumed.map(|resumed| resumed.to_string()),
        });
        Some((Change::PutAgentSession(Box::new(record.clone())), frame))
    }

    fn agent_session_write(&mut self, status: AgentSessionStatus, now: Timestamp) -> Option<Action> {
        let (change, frame) = self.agent_session(status, now)?;
        Some(Action::Write(self.entry(vec![change], vec![frame])))
    }
}

/// The frame of a task in its present state.
pub(crate) fn task_updated(task: &Task) -> FrameBody {
    FrameBody::TaskUpdated { state: task.state.to_string(), outcome: task.outcome.clone().map(Into::into) }
}

/// A question's settlement, as the change to keep and the frame to show.
pub(crate) fn settlement(
    subject: Subject,
    id: InteractionId,
    outcome: InteractionOutcome,
    decided_by: DecidedBy,
    at: Timestamp,
) -> (Change, Frame) {
    let frame = subject.frame(FrameBody::InteractionResolved {
        id,
        outcome: outcome.clone().into(),
        decided_by: decided_by.to_string(),
    });
    (Change::SettleInteraction { id, outcome, decided_by, at }, frame)
}

/// `now` and so much later, as far as there is a later.
fn after(now: Timestamp, wait: std::time::Duration) -> Timestamp {
    now.checked_add(wait).unwrap_or(Timestamp::MAX)
}
