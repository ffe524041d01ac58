//! What the agent says while the lane listens, and the questions that it asks.

use boocoder_backend::{BackendError, Delivery, SessionEvent};
use boocoder_model::{
    AgentSessionStatus, Answer, Approval, DecidedBy, Interaction, InteractionId, InteractionOutcome, PermissionKind,
    Position, Question, TurnId, TurnOutcome, TurnStatus,
};
use boocoder_store::Change;
use boocoder_wire::{Frame, FrameBody};
use jiff::Timestamp;

use super::{Action, Current, LaneCore, OpenQuestion, Phase, after, settlement};
use crate::recorder::record_between_turns;

/// What a batch of events collects before it is written.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) frames: Vec<Frame>,
    pub(super) changes: Vec<Change>,
    pub(super) actions: Vec<Action>,
}

impl LaneCore {
    /// Takes in what happened, in order. What comes behind the end of a turn waits until that is settled, so that the
    /// journal is never taken in beyond an end that is not on disk.
    pub(super) fn events(&mut self, deliveries: Vec<Delivery>, now: Timestamp) -> Vec<Action> {
        let mut batch = Batch::default();
        for delivery in deliveries {
            if self.is_settling() {
                self.backlog.push_back(delivery);
            } else {
                self.delivery(delivery, now, &mut batch);
            }
        }
        self.flush(&mut batch);
        batch.actions
    }

    fn delivery(&mut self, delivery: Delivery, now: Timestamp, batch: &mut Batch) {
        let Delivery { position, event } = delivery;
        let ends_here = match &event {
            SessionEvent::TurnEnded { .. } | SessionEvent::Exited { .. } => true,
            SessionEvent::Agent { .. } | SessionEvent::Asked { .. } | SessionEvent::Withdrawn { .. } => false,
        };
        if ends_here {
            // What came before is kept for itself; the end is kept with what comes of it.
            self.flush(batch);
        } else {
            self.taken = position.unwrap_or(self.taken);
        }
        self.event(position, event, now, batch);
        if ends_here && !self.is_settling() {
            self.taken = position.unwrap_or(self.taken);
        }
    }

    fn event(&mut self, position: Option<Position>, event: SessionEvent, now: Timestamp, batch: &mut Batch) {
        // What shares a frame is fixed by the journal, where there is one.
        let join = position.is_none();
        match event {
            SessionEvent::Agent { turn, event } => {
                self.account(position, turn, &event, now, batch);
                match &mut self.phase {
                    Phase::Running(current) if turn == Some(current.turn.id) => {
                        current.recorder.record(event, &self.ledger, &mut batch.frames, join);
                        self.prove(now, batch);
                    }
                    Phase::Idle if event.is_work() => self.record_activity(event, now, batch, join),
                    Phase::Idle
                    | Phase::Preparing(_)
                    | Phase::Opening(_)
                    | Phase::Attaching(_)
                    | Phase::Running(_)
                    | Phase::Settling(..) => {
                        let subject = self.between_turns();
                        record_between_turns(event, &self.ledger, subject, &mut batch.frames, join);
                    }
                }
            }
            SessionEvent::Asked { turn, id, question } => self.asked(turn, id, question, now, batch),
            SessionEvent::Withdrawn { id, outcome, decided_by } => {
                self.withdrawn(id, outcome, decided_by, now, batch);
            }
            SessionEvent::TurnEnded { turn, outcome } => {
                let is_it = |phase: &Phase| matches!(phase, Phase::Running(current) if current.turn.id == turn);
                if let Some(mut current) = self.take(is_it) {
                    current.end = position;
                    let outcome = match current.cancelled_by {
                        Some(by) if outcome.status == TurnStatus::Cancelled => {
                            TurnOutcome::cancelled(by, cancellation(by))
                        }
                        Some(_) | None => outcome,
                    };
                    let actions = self.end(current, outcome, Vec::new(), now);
                    batch.actions.extend(actions);
                }
            }
            SessionEvent::Exited { status, stderr } => self.exited(&status, &stderr, now, batch),
        }
    }

    /// Turns what a batch collected into a write, so that what follows is ordered behind it.
    pub(super) fn flush(&mut self, batch: &mut Batch) {
        if batch.frames.is_empty() && batch.changes.is_empty() {
            return;
        }
        let mut changes = std::mem::take(&mut batch.changes);
        let checkpoint = self.checkpoint();
        let is_checkpoint = checkpoint.is_some();
        changes.extend(checkpoint);
        // Without a session there are no frames that would tell what was taken in, so from one checkpoint to the next the
        // journal would be read again.
        if self.session.is_some() || is_checkpoint {
            changes.extend(self.consumed());
        }
        let entry = self.entry(changes, std::mem::take(&mut batch.frames));
        batch.actions.push(if is_checkpoint {
            Action::WriteThenAcknowledge(entry, self.taken)
        } else {
            Action::Write(entry)
        });
    }

    fn asked(
        &mut self,
        turn: Option<TurnId>,
        id: InteractionId,
        question: Question,
        now: Timestamp,
        batch: &mut Batch,
    ) {
        let deadline = after(now, self.limits.interaction);
        let running = match &mut self.phase {
            Phase::Running(current) => Some(current),
            Phase::Idle | Phase::Preparing(_) | Phase::Opening(_) | Phase::Attaching(_) | Phase::Settling(..) => None,
        };
        if running.as_ref().is_some_and(|current| current.knows(id)) {
            return;
        }
        let in_turn = |current: &&mut Box<Current>| turn == Some(current.turn.id) && current.cancelled_by.is_none();
        let Some(current) = running.filter(in_turn) else {
            // Nobody waits for this turn any more, or there is none: a question without an asker is cancelled.
            batch.actions.push(Action::Answer(id, Answer::Cancel));
            return;
        };
        let subject = current.recorder.subject();
        let asked = Interaction {
            id,
            session_id: current.task.session_id,
            chat_id: current.task.chat_id,
            task_id: current.task.id,
            agent: self.agent.clone(),
            question: question.clone(),
            settled: None,
            created_at: now,
        };
        let policy = policy_answer(current.task.approval, &question);
        current.questions.insert(id, OpenQuestion { question, deadline });
        batch.changes.push(Change::OpenInteraction(Box::new(asked.clone())));
        let body = FrameBody::InteractionRequested { interaction: Box::new(asked.into()) };
        batch.frames.push(subject.frame(body));
        if let Some(answer) = policy {
            self.flush(batch);
            let actions = self.settle_question(id, answer, DecidedBy::Policy, now);
            batch.actions.extend(actions);
        }
    }

    fn withdrawn(
        &mut self,
        id: InteractionId,
        outcome: InteractionOutcome,
        decided_by: DecidedBy,
        now: Timestamp,
        batch: &mut Batch,
    ) {
        let Some(current) = self.current_mut() else { return };
        if current.questions.remove(&id).is_none() {
            return;
        }
        let subject = current.recorder.subject();
        let (change, frame) = settlement(subject, id, outcome, decided_by, now);
        batch.changes.push(change);
        batch.frames.push(frame);
    }

    /// Settles an open question and hands the agent the answer. One that is not open is left alone: whoever asked to
    /// answer it looked before, with [`LaneCore::question`].
    pub(super) fn settle_question(
        &mut self,
        id: InteractionId,
        answer: Answer,
        by: DecidedBy,
        now: Timestamp,
    ) -> Vec<Action> {
        let Some(current) = self.current_mut() else { return Vec::new() };
        if current.questions.remove(&id).is_none() {
            return Vec::new();
        }
        let subject = current.recorder.subject();
        let (change, frame) = settlement(subject, id, answer.clone().into(), by, now);
        vec![Action::WriteThenAnswer(self.entry(vec![change], vec![frame]), id, answer)]
    }

    /// The agent has said something in its turn: it does have the context that it was given.
    fn prove(&mut self, now: Timestamp, batch: &mut Batch) {
        let Some(resumed) = self.unproven.take() else { return };
        if let Some(record) = &mut self.record {
            record.resumed = Some(resumed);
        }
        if let Some((change, frame)) = self.agent_session(AgentSessionStatus::Active, now) {
            batch.changes.push(change);
            batch.frames.push(frame);
        }
    }

    fn exited(&mut self, status: &str, stderr: &str, now: Timestamp, batch: &mut Batch) {
        let live = self.live.take();
        let resumable = live.as_ref().is_some_and(|live| live.resumable);
        let has_died = live.is_some() && !self.stopped;
        let is_parked = has_died && self.keeping.died(now, &self.limits);
        self.keeping.stir();
        self.end_activity(now, batch);
        self.flush(batch);
        let now_is = match (is_parked, self.stopped) {
            (true, _) => AgentSessionStatus::Parked,
            (false, true) => AgentSessionStatus::Closed,
            (false, false) => AgentSessionStatus::Crashed,
        };
        let runner = live.and_then(|live| live.runner);
        let ended = runner.map(|id| Change::EndRunner { id, at: now });
        if let Some(record) = &mut self.record {
            record.native_id = record.native_id.take().filter(|_| resumable);
        }
        match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Running(current) => {
                batch.actions.extend(self.write(ended.into_iter().collect(), Vec::new()));
                // The backend ends the turn before it reports the exit; this is for one that could not.
                let reason = BackendError::Exited { status: status.to_owned(), stderr: stderr.to_owned() }.to_string();
                let actions = self.end(current, TurnOutcome::failed(DecidedBy::Crash, reason), Vec::new(), now);
                batch.actions.extend(actions);
            }
            Phase::Idle => {
                let (change, frame) = self.agent_session(now_is, now).unzip();
                let changes = ended.into_iter().chain(change).collect();
                batch.actions.extend(self.write(changes, frame.into_iter().collect()));
            }
            // The end of the turn says how the agent session is.
            phase @ (Phase::Preparing(_) | Phase::Opening(_) | Phase::Attaching(_) | Phase::Settling(..)) => {
                self.phase = phase;
                batch.actions.extend(self.write(ended.into_iter().collect(), Vec::new()));
            }
        }
        batch.actions.extend(runner.map(Action::Discard));
    }
}

impl Current {
    /// Whether this question was taken in before: a journal that is read again tells of it once more.
    fn knows(&self, id: InteractionId) -> bool {
        self.questions.contains_key(&id) || self.settled.contains_key(&id)
    }
}

/// Why a turn was cancelled, in words.
const fn cancellation(by: DecidedBy) -> &'static str {
    match by {
        DecidedBy::User => "cancelled by the user",
        DecidedBy::Policy => "the server was shutting down",
        DecidedBy::Watchdog => "the turn took longer than its limit",
        DecidedBy::Agent | DecidedBy::Crash => "cancelled",
    }
}

/// What autonomous mode answers, if it may: what can be allowed once is allowed, and a form that nobody fills in is
/// declined. Where only "always" is on offer the human is asked after all.
pub(super) fn policy_answer(approval: Approval, question: &Question) -> Option<Answer> {
    match (approval, question) {
        (Approval::Ask, _) => None,
        (Approval::Auto, Question::Permission { options, .. }) => {
            let once = options.iter().find(|option| option.kind == PermissionKind::AllowOnce)?;
            Some(Answer::Select(once.id.clone()))
        }
        (Approval::Auto, Question::Form { .. } | Question::Url { .. }) => Some(Answer::Decline),
    }
}
