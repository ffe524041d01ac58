//! A lane's decisions: the phases of a turn, as a machine that is told what happened and says what to do.

mod events;
#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
mod turn;

use std::collections::{BTreeMap, BTreeSet};

use boocoder_backend::{BackendError, Prompt, SessionEvent, SessionInfo};
use boocoder_model::{
    AgentCommand, AgentName, AgentSession, AgentSessionId, AgentSessionStatus, Answer, ChatId, DecidedBy,
    ExecutionPath, InteractionId, InteractionOutcome, Message, MessageId, Question, Seq, SessionId, Task, TaskId, Turn,
    TurnId, TurnOutcome,
};
use boocoder_store::Change;
use boocoder_usage_mapper::UsageMapper;
use boocoder_wire::{Frame, FrameBody};
use jiff::Timestamp;

use crate::limits::DispatchLimits;
use crate::log::Entry;
use crate::recorder::{Recorder, Subject};

/// The ids and facts that a shell gives a new turn.
#[derive(Clone, Debug)]
pub(crate) struct TurnStart {
    pub(crate) turn: TurnId,
    pub(crate) message: MessageId,
    pub(crate) after: Seq,
    pub(crate) path: ExecutionPath,
}

/// What preparing a turn brought.
#[derive(Clone, Debug, Default)]
pub(crate) struct Prepared {
    /// The human's message that the task answers.
    pub(crate) question: Option<Message>,
    /// What is known of the agent in this chat, if the lane did not know it yet.
    pub(crate) record: Option<AgentSession>,
    /// Why the turn cannot go on, if it cannot.
    pub(crate) failure: Option<String>,
}

/// What comparing the worktree brought.
#[derive(Clone, Debug, Default)]
pub(crate) struct Compared {
    pub(crate) after_tree: Option<String>,
    pub(crate) changes: Vec<Change>,
    /// Who has pending changes now, if that is not what it was.
    pub(crate) agents: Option<Vec<Option<AgentName>>>,
    /// Why the comparison failed, if it did.
    pub(crate) failure: Option<String>,
}

/// Something that a lane is told.
#[derive(Debug)]
pub(crate) enum Input {
    Run(Box<Task>, TurnStart),
    Prepared(Box<Prepared>),
    Opened(Result<Box<SessionInfo>, BackendError>),
    Prompted(TurnId, Result<(), BackendError>),
    Events(Vec<SessionEvent>),
    Cancel(TaskId, DecidedBy),
    Answer(InteractionId, Answer),
    Compared(Box<Compared>),
    Settled,
    /// The end of the turn was refused: a decision on a pending change came in between.
    SettleRefused(String),
    Timeout,
    Close,
}

/// Something that a lane wants done.
#[derive(Debug)]
pub(crate) enum Action {
    /// Load what the turn needs and make sure of the worktree.
    Prepare {
        task: Box<Task>,
        know_record: bool,
    },
    /// Open an agent session, going on with this one if possible.
    Open(Option<AgentSessionId>),
    /// Give up the opening.
    AbandonOpen,
    Prompt(Prompt),
    CancelTurn(TurnId, DecidedBy),
    /// Write, without waiting.
    Write(Entry),
    /// Write, and once that is committed hand the agent this answer.
    WriteThenAnswer(Entry, InteractionId, Answer),
    /// Hand the agent this answer: its question was never shown, or is settled already.
    Answer(InteractionId, Answer),
    /// Compare the worktree with its baseline. The paths are those that the turn's tool calls named.
    Compare(Box<Task>, BTreeSet<String>),
    /// Write the end of the turn, and report when it is committed.
    Settle(Entry),
    /// Close the agent session, if one is open.
    CloseSession,
    /// The turn of this task is settled.
    Ended(TaskId),
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
    cancelled_by: Option<DecidedBy>,
    deadline: Timestamp,
    /// Whether the session was opened for this turn: then a closed one is not opened once more.
    opened: bool,
    /// Whether the agent has taken the prompt: only then is there something that it can cancel.
    prompted: bool,
    /// How often the store refused the end of the turn.
    refusals: usize,
}

/// Where a lane stands.
#[derive(Debug)]
enum Phase {
    Idle,
    Preparing(Box<Current>),
    Opening(Box<Current>),
    Running(Box<Current>),
    Settling(Box<Current>, TurnOutcome),
}

/// What is known of the open agent session.
#[derive(Debug)]
struct Live {
    native_id: AgentSessionId,
    resumable: bool,
}

/// Decides for one lane. It does not act, wait or read a clock.
#[derive(Debug)]
pub(crate) struct LaneCore {
    agent: AgentName,
    /// The chat, or none for a task of its own.
    chat: Option<ChatId>,
    /// The commands that the agent is known to offer before it tells.
    commands: Vec<AgentCommand>,
    limits: DispatchLimits,
    phase: Phase,
    live: Option<Live>,
    record: Option<AgentSession>,
    ledger: UsageMapper,
    session: Option<SessionId>,
}

impl LaneCore {
    pub(crate) fn new(
        agent: AgentName,
        commands: Vec<AgentCommand>,
        chat: Option<ChatId>,
        limits: DispatchLimits,
    ) -> Self {
        Self {
            agent,
            chat,
            commands,
            limits,
            phase: Phase::Idle,
            live: None,
            record: None,
            ledger: UsageMapper::new(),
            session: None,
        }
    }

    /// Whether no turn is under way.
    pub(crate) const fn is_idle(&self) -> bool {
        matches!(self.phase, Phase::Idle)
    }

    /// The question with this id, if it waits for a human.
    pub(crate) fn question(&self, id: InteractionId) -> Option<&Question> {
        self.current()?.questions.get(&id).map(|open| &open.question)
    }

    /// When to call with [`Input::Timeout`], if at all.
    pub(crate) fn poll_timeout(&self) -> Option<Timestamp> {
        let current = self.current()?;
        let questions = current.questions.values().map(|open| open.deadline);
        let turn =
            (matches!(self.phase, Phase::Running(_)) && current.cancelled_by.is_none()).then_some(current.deadline);
        questions.chain(turn).min()
    }

    /// Takes in what happened, and says what to do about it.
    pub(crate) fn handle(&mut self, input: Input, now: Timestamp) -> Vec<Action> {
        match input {
            Input::Run(task, start) => self.run(task, start, now),
            Input::Prepared(prepared) => self.prepared(*prepared, now),
            Input::Opened(result) => self.opened(result, now),
            Input::Prompted(turn, Ok(())) => self.prompted(turn),
            Input::Prompted(turn, Err(error)) => self.prompt_failed(turn, error, now),
            Input::Events(events) => self.events(events, now),
            Input::Cancel(task, by) => self.cancel(task, by),
            Input::Answer(id, answer) => self.settle_question(id, answer, DecidedBy::User, now),
            Input::Compared(compared) => self.compared(*compared, now),
            Input::Settled => self.settled(),
            Input::SettleRefused(reason) => self.settle_refused(reason, now),
            Input::Timeout => self.timeout(now),
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
            | Phase::Running(current)
            | Phase::Settling(current, _) => Some(current),
        }
    }

    fn current(&self) -> Option<&Current> {
        match &self.phase {
            Phase::Idle => None,
            Phase::Preparing(current)
            | Phase::Opening(current)
            | Phase::Running(current)
            | Phase::Settling(current, _) => Some(current),
        }
    }

    fn current_mut(&mut self) -> Option<&mut Current> {
        match &mut self.phase {
            Phase::Idle => None,
            Phase::Preparing(current)
            | Phase::Opening(current)
            | Phase::Running(current)
            | Phase::Settling(current, _) => Some(current),
        }
    }

    fn entry(&self, changes: Vec<Change>, frames: Vec<Frame>) -> Entry {
        Entry { session: self.session, changes, frames }
    }

    fn between_turns(&self) -> Subject {
        Subject { chat_id: self.chat, ..Subject::default() }
    }

    fn timeout(&mut self, now: Timestamp) -> Vec<Action> {
        let Some(current) = self.current_mut() else { return Vec::new() };
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

    /// The lane is to end. A turn is cancelled by whoever ends the lane, before this.
    fn close(&mut self, now: Timestamp) -> Vec<Action> {
        let Some(live) = self.live.take() else { return vec![Action::CloseSession] };
        if let Some(record) = &mut self.record {
            record.native_id = record.native_id.take().filter(|_| live.resumable);
        }
        let mut actions: Vec<_> = self.agent_session_write(AgentSessionStatus::Closed, now).into_iter().collect();
        actions.push(Action::CloseSession);
        actions
    }

    /// The agent session in its new state, to be kept and shown; none for a task of its own.
    fn agent_session(&mut self, status: AgentSessionStatus, now: Timestamp) -> Option<(Change, Frame)> {
        let subject = self.between_turns();
        let native_id = self.live.as_ref().map(|live| live.native_id.clone());
        let usage = self.ledger.totals();
        let record = self.record.as_mut()?;
        record.status = status;
        record.usage = usage;
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
