//! Agents that outlive the server: what a lane keeps about their runners, and how it takes one up again.

use std::collections::{BTreeMap, VecDeque};

use boocoder_backend::{BackendError, RunnerState, SessionInfo};
use boocoder_model::{
    AgentSessionId, AgentSessionStatus, Consumed, DecidedBy, Position, Runner, RunnerId, TurnOutcome,
};
use boocoder_store::Change;
use boocoder_usage_mapper::UsageMapper;
use jiff::Timestamp;

use super::events::policy_answer;
use super::{Action, Adopted, Current, LaneCore, Live, OpenQuestion, Opening, Phase, Preparing, TakenUp, after};
use crate::limits;
use crate::recorder::Recorder;

impl LaneCore {
    /// Goes on with a turn that an earlier process left. What it said so far is in the log; what it said since is in the
    /// journal.
    pub(super) fn take_up(&mut self, taken: TakenUp) -> Vec<Action> {
        debug_assert!(self.is_idle(), "a lane takes a turn up before it runs any");
        let TakenUp { task, turn, message, runner, record, ledger, interactions, history, runners } = taken;
        self.session = task.session_id;
        self.last_task = Some(task.id);
        self.record = record;
        let (runner, consumed) = runner.unzip();
        let Consumed { position, ledger, turn: begun } =
            consumed.unwrap_or_else(|| Consumed { ledger: ledger.ledger().clone(), ..Consumed::default() });
        self.ledger = UsageMapper::restore(ledger);
        (self.taken, self.checkpointed) = (position, position);
        let begun = begun.filter(|(id, _)| *id == turn.id).map(|(_, began)| began);
        let has_begun = begun.is_some()
            || !interactions.is_empty()
            || !(message.content.is_empty() && message.reasoning.is_empty() && message.tool_calls.is_empty());
        let (mut questions, mut settled) = (BTreeMap::new(), BTreeMap::new());
        for asked in interactions {
            match asked.settled {
                Some((outcome, _)) => drop(settled.insert(asked.id, outcome.into())),
                None => {
                    let deadline = after(asked.created_at, self.limits.interaction);
                    questions.insert(asked.id, OpenQuestion { question: asked.question, deadline });
                }
            }
        }
        let current = Box::new(Current {
            deadline: after(turn.started_at, self.limits.turn),
            recorder: Recorder::resume(message, begun.unwrap_or_else(|| self.ledger.totals())),
            cancelled_by: task.cancel_requested,
            task,
            turn,
            questions,
            settled,
            opened: false,
            prompted: has_begun,
            refusals: 0,
            runners: VecDeque::from(runners),
            history,
            note: None,
            end: None,
            price: None,
        });
        match runner {
            Some(id) => {
                self.coming = Some(id);
                self.phase = Phase::Attaching(current);
                vec![Action::Attach(id, position)]
            }
            // Nothing was asked of any agent yet: the turn begins, only that it is known already.
            None => {
                let task = current.task.clone();
                self.phase = Phase::Preparing(current);
                vec![Action::Prepare(Preparing { task, kept: None, know_record: true })]
            }
        }
    }

    /// Takes up a warm agent between turns.
    pub(super) fn adopt(&mut self, adopted: Adopted) -> Vec<Action> {
        debug_assert!(self.is_idle(), "a lane adopts an agent before it runs any turn");
        let Adopted { session, runner, record } = adopted;
        self.session = Some(session);
        self.last_task = Some(runner.task_id);
        self.record = record;
        self.ledger = UsageMapper::restore(runner.consumed.ledger);
        (self.taken, self.checkpointed) = (runner.consumed.position, runner.consumed.position);
        self.coming = Some(runner.id);
        vec![Action::Attach(runner.id, runner.consumed.position)]
    }

    /// The runner is there, alive or as its journal tells of it.
    pub(super) fn attached(&mut self, info: &SessionInfo, state: &RunnerState, now: Timestamp) -> Vec<Action> {
        let is_known = self.record.as_ref().is_some_and(|record| record.native_id.as_ref() == Some(&info.native_id));
        if is_known {
            self.live = Some(Live::new(info, self.coming.take()));
        } else {
            let has_history = self.current().is_some_and(|current| current.history.is_some());
            let path = self.current().and_then(|current| current.task.execution_path);
            self.enter(info, path, has_history, now);
        }
        match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Attaching(mut current) if state.turn == Some(current.turn.id) => {
                current.prompted = true;
                self.phase = Phase::Running(current);
                let told = (!is_known).then(|| self.agent_session_write(AgentSessionStatus::Active, now)).flatten();
                told.into_iter().chain(self.catch_up(state, now)).collect()
            }
            Phase::Attaching(current) | Phase::Opening(current) => match current.cancelled_by {
                Some(by) => {
                    let outcome = TurnOutcome::cancelled(by, "cancelled before the agent was asked");
                    self.end(current, outcome, Vec::new(), now)
                }
                None => self.prompt(current, now),
            },
            phase @ (Phase::Idle | Phase::Preparing(_) | Phase::Running(_) | Phase::Settling(..)) => {
                self.phase = phase;
                if self.is_idle() {
                    self.keeping.rest(now);
                }
                Vec::new()
            }
        }
    }

    /// Brings an agent that works on to what was decided while it could not be told.
    fn catch_up(&mut self, state: &RunnerState, now: Timestamp) -> Vec<Action> {
        let Some(current) = self.current() else { return Vec::new() };
        let decided = state.questions.iter().filter_map(|id| Some((*id, current.settled.get(id)?.clone())));
        let mut actions: Vec<_> = decided.map(|(id, answer)| Action::Answer(id, answer)).collect();
        actions.extend(current.cancelled_by.map(|by| Action::CancelTurn(current.turn.id, by)));
        let approval = current.task.approval;
        let policy = |(id, open): (&_, &OpenQuestion)| Some((*id, policy_answer(approval, &open.question)?));
        for (id, answer) in current.questions.iter().filter_map(policy).collect::<Vec<_>>() {
            actions.extend(self.settle_question(id, answer, DecidedBy::Policy, now));
        }
        actions
    }

    /// The runner could not be taken up.
    pub(super) fn not_attached(&mut self, error: &BackendError, now: Timestamp) -> Vec<Action> {
        let Some(id) = self.coming.take() else { return Vec::new() };
        let ended = vec![Change::EndRunner { id, at: now }];
        let mut actions = match std::mem::replace(&mut self.phase, Phase::Idle) {
            // What an agent has done must not be done twice.
            Phase::Attaching(current) if current.prompted && matches!(error, BackendError::Closed) => {
                let actions = vec![Action::Write(self.entry(ended, Vec::new()))];
                let outcome =
                    TurnOutcome::failed(DecidedBy::Crash, "what the agent was doing cannot be known any more");
                self.end(current, outcome, actions, now)
            }
            // Nothing is there of it, so it was never started, or what started is over and was never told to do
            // anything: it may be started again.
            Phase::Attaching(current) | Phase::Opening(current) if matches!(error, BackendError::Closed) => {
                self.phase = Phase::Opening(current);
                vec![Action::Write(self.entry(ended, Vec::new())), self.opening(now)]
            }
            Phase::Attaching(current) | Phase::Opening(current) => {
                let actions = vec![Action::Write(self.entry(ended, Vec::new()))];
                self.end(current, TurnOutcome::failed(super::turn::decider(error), error.to_string()), actions, now)
            }
            phase @ (Phase::Idle | Phase::Preparing(_) | Phase::Running(_) | Phase::Settling(..)) => {
                self.phase = phase;
                let (change, frame) = self.agent_session(AgentSessionStatus::Closed, now).unzip();
                let changes = ended.into_iter().chain(change).collect();
                vec![Action::Write(self.entry(changes, frame.into_iter().collect()))]
            }
        };
        actions.push(Action::Discard(id));
        actions
    }

    /// Starts the agent for the turn that is in [`Phase::Opening`].
    pub(super) fn opening(&mut self, now: Timestamp) -> Action {
        let resume: Option<AgentSessionId> = self.record.as_ref().and_then(|record| record.native_id.clone());
        let (agent, chat_id) = (self.agent.clone(), self.chat);
        let ledger = self.ledger.ledger().clone();
        let Some(current) = self.current_mut() else { return Action::CloseSession(None) };
        // There are as many names as a turn starts agents.
        let runner = current.runners.pop_front().unwrap_or_else(|| RunnerId::from_uuid(current.turn.id.as_uuid()));
        let (task, task_id) = (current.task.clone(), current.task.id);
        self.keeping.begin_opening(now);
        let not_before = self.keeping.not_before(now, &self.limits);
        if !self.outlives {
            return Action::Open(Opening { task, resume, runner, kept: None, not_before });
        }
        self.coming = Some(runner);
        (self.taken, self.checkpointed) = (Position::ZERO, Position::ZERO);
        let consumed = Consumed { position: Position::ZERO, ledger, turn: None };
        let runner_row = Runner { id: runner, chat_id, task_id, agent, consumed, created_at: now };
        let kept = Some(self.entry(vec![Change::AddRunner(Box::new(runner_row))], Vec::new()));
        Action::Open(Opening { task, resume, runner, kept, not_before })
    }

    /// What has to be kept of an agent that did not come up.
    pub(super) fn opening_failed(&mut self, now: Timestamp) -> Option<Action> {
        let id = self.coming.take()?;
        self.write(vec![Change::EndRunner { id, at: now }], Vec::new())
    }

    /// What makes a write a checkpoint, if it is time for one: something that has to be on disk before it counts, so that
    /// the journal up to there is needed no more. A journal that is never acknowledged would fill up in a long turn.
    pub(super) fn checkpoint(&mut self) -> Option<Change> {
        self.live.as_ref()?.runner?;
        // All of the answer is kept each time where there is no log, so the longer it is the rarer that is done.
        let (step, rarer) = (limits::CHECKPOINT, self.taken.0 / 4);
        let step = if self.session.is_some() { step } else { step.max(rarer) };
        let is_due = self.taken.0 >= self.checkpointed.0 + step;
        let Phase::Running(current) = &self.phase else { return None };
        if !is_due {
            return None;
        }
        self.checkpointed = self.taken;
        Some(match self.session {
            Some(_) => Change::PutTurn(current.turn.clone()),
            None => Change::PutMessage(Box::new(current.recorder.message())),
        })
    }

    /// How far the journal is taken in, to be kept together with what its records became.
    pub(super) fn consumed(&self) -> Option<Change> {
        let runner = self.live.as_ref()?.runner?;
        let turn = self.current().map(|current| (current.turn.id, current.recorder.began().clone()));
        let consumed = Consumed { position: self.taken, ledger: self.ledger.ledger().clone(), turn };
        Some(Change::Consume { runner, consumed })
    }
}
