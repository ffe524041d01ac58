//! A turn from its start to its end: prepare, open, prompt, cancel, settle.

use std::collections::{BTreeMap, VecDeque};

use boocoder_backend::{BackendError, Prompt, SessionInfo};
use boocoder_model::{
    AgentSession, AgentSessionStatus, DecidedBy, ExecutionPath, InteractionOutcome, Message, MessageStatus, Resumed,
    Task, TaskId, TaskState, Turn, TurnId, TurnOutcome, TurnStatus,
};
use boocoder_store::Change;
use boocoder_wire::FrameBody;
use jiff::Timestamp;

use super::events::Batch;
use super::{
    Action, Compared, Current, LaneCore, Live, Phase, Prepared, Preparing, TurnStart, after, settlement, task_updated,
};
use crate::history::{noted, primed};
use crate::ledger::pending_changed;
use crate::limits::{self, DispatchLimits};
use crate::recorder::Recorder;
use crate::touched::Touched;

impl LaneCore {
    pub(super) fn run(&mut self, mut task: Box<Task>, start: TurnStart, now: Timestamp) -> Vec<Action> {
        debug_assert!(self.is_idle(), "the shell holds a task back until the one before is settled");
        self.session = task.session_id;
        self.last_task = Some(task.id);
        self.keeping.stir();
        self.stopped = false;
        let mut ended = Batch::default();
        self.end_activity(now, &mut ended);
        let cancelled_by = task.cancel_requested;
        task.execution_path = Some(start.path);
        let message = Message { chat_id: task.chat_id, ..self.growing(start.message, task.id, task.session_id, now) };
        let turn = Turn {
            id: start.turn,
            task_id: task.id,
            message_id: start.message,
            after: start.after,
            before_tree: None,
            after_tree: None,
            outcome: None,
            started_at: now,
            ended_at: None,
        };
        let recorder = Recorder::new(message.clone());
        let subject = recorder.subject();
        let frames = vec![
            subject.frame(task_updated(&task)),
            subject.frame(FrameBody::MessageStarted {
                role: message.role.to_string(),
                agent: self.agent.to_string(),
                content: None,
                attachments: Vec::new(),
            }),
        ];
        let changes = vec![
            Change::UpdateTask { task: task.clone(), from: TaskState::Running },
            Change::PutMessage(Box::new(message)),
            Change::PutTurn(turn.clone()),
        ];
        self.flush(&mut ended);
        let mut actions = ended.actions;
        actions.push(Action::Prepare(Preparing {
            task: task.clone(),
            kept: Some(self.entry(changes, frames)),
            know_record: self.live.is_some() || self.coming.is_some(),
        }));
        self.phase = Phase::Preparing(Box::new(Current {
            task,
            turn,
            recorder,
            questions: BTreeMap::new(),
            settled: BTreeMap::new(),
            cancelled_by,
            deadline: after(now, self.limits.turn),
            opened: false,
            prompted: false,
            refusals: 0,
            runners: VecDeque::from(start.runners),
            history: None,
            note: None,
            end: None,
            price: None,
        }));
        actions
    }

    pub(super) fn prepared(&mut self, prepared: Prepared, now: Timestamp) -> Vec<Action> {
        let Some(mut current) = self.take(|phase| matches!(phase, Phase::Preparing(_))) else { return Vec::new() };
        if prepared.lost {
            if self.live.is_some() {
                self.keeping.rest(now);
            }
            return vec![Action::Lost(current.task.id, current.cancelled_by, prepared.refused)];
        }
        current.note = prepared.note;
        if let Some(record) = prepared.record {
            self.record = Some(record);
        }
        if let Some(ledger) = prepared.ledger {
            self.ledger = ledger;
        }
        let mut changes = Vec::new();
        if let Some(question) = prepared.question {
            let done = Message { status: MessageStatus::Complete, finished_at: Some(now), ..question };
            changes.push(Change::PutMessage(Box::new(done)));
        }
        let mut actions = Vec::new();
        if !changes.is_empty() {
            actions.push(Action::Write(self.entry(changes, Vec::new())));
        }
        if let Some(reason) = prepared.failure {
            return self.end(current, TurnOutcome::failed(DecidedBy::Policy, reason), actions, now);
        }
        if let Some(by) = current.cancelled_by {
            let outcome = TurnOutcome::cancelled(by, "cancelled before the agent was asked");
            return self.end(current, outcome, actions, now);
        }
        if self.is_outdated() {
            let gone = self.live.take().and_then(|live| live.runner);
            let ended = gone.map(|id| Change::EndRunner { id, at: now }).into_iter().collect();
            actions.extend(self.write(ended, Vec::new()));
            actions.push(Action::CloseSession(gone));
        }
        if self.live.is_some() {
            actions.extend(self.prompt(current, now));
        } else if self.coming.is_none() && !self.keeping.admits(current.task.created_at) {
            let outcome = TurnOutcome::failed(DecidedBy::Policy, self.parked());
            return self.end(current, outcome, actions, now);
        } else {
            let is_coming = self.coming.is_some();
            self.phase = Phase::Opening(current);
            if !is_coming {
                actions.push(self.opening(now));
            }
        }
        actions
    }

    pub(super) fn opened(&mut self, result: Result<Box<SessionInfo>, BackendError>, now: Timestamp) -> Vec<Action> {
        let Some(mut current) = self.take(|phase| matches!(phase, Phase::Opening(_))) else { return Vec::new() };
        let info = match result {
            Ok(info) => info,
            Err(error) => {
                let outcome = TurnOutcome::failed(decider(&error), error.to_string());
                if has_died(&error) {
                    self.keeping.died(now, &self.limits);
                }
                let actions = self.opening_failed(now).into_iter().collect();
                return self.end(current, outcome, actions, now);
            }
        };
        let path = current.task.execution_path;
        self.enter(&info, path, current.history.is_some(), now);
        current.opened = true;
        if let Some(by) = current.cancelled_by {
            // It was open before it could be given up: the agent stays for the next turn.
            let outcome = TurnOutcome::cancelled(by, "cancelled while the agent was starting");
            return self.end(current, outcome, Vec::new(), now);
        }
        let mut actions = self.prompt(current, now);
        if !self.commands.is_empty() {
            let commands = self.commands.iter().cloned().map(Into::into).collect();
            let frame = self.between_turns().frame(FrameBody::AgentCommands { commands });
            actions.push(Action::Write(self.entry(Vec::new(), vec![frame])));
        }
        actions
    }

    /// Whether the agent that is there was started with something else than the configuration says now.
    fn is_outdated(&self) -> bool {
        let known = self.record.as_ref().and_then(|record| record.config_fingerprint.as_ref());
        self.live.is_some() && known.is_some_and(|known| *known != self.fingerprint)
    }

    fn parked(&self) -> String {
        let DispatchLimits { crashes, crash_window, .. } = &self.limits;
        format!(
            "the agent died more than {crashes} times within {crash_window:?} and is parked: send the message again"
        )
    }

    /// The agent session is open, and is what is known of this agent in this chat.
    pub(super) fn enter(&mut self, info: &SessionInfo, path: Option<ExecutionPath>, has_history: bool, now: Timestamp) {
        let live = Live::new(info, self.coming.take());
        let native_id = live.native_id.clone();
        self.live = Some(live);
        self.keeping.opened(now);
        if info.resumed != Resumed::Native {
            self.ledger.counters_restarted();
        }
        // That it knows the history is a fact only once it has answered with it.
        self.unproven = (info.resumed == Resumed::New && has_history).then_some(Resumed::History);
        if let Some(chat_id) = self.chat {
            self.record = Some(AgentSession {
                chat_id,
                agent: self.agent.clone(),
                backend: path.or(self.warm_path).unwrap_or(ExecutionPath::Acp),
                native_id,
                status: AgentSessionStatus::Active,
                resumed: Some(info.resumed).filter(|_| self.unproven.is_none()),
                config_fingerprint: Some(self.fingerprint.clone()),
                last_active_at: Some(now),
            });
        }
    }

    pub(super) fn prompt(&mut self, mut current: Box<Current>, now: Timestamp) -> Vec<Action> {
        self.ledger.begin_turn();
        current.recorder.begin(self.ledger.totals());
        let input = current.task.input.clone();
        let takes_resources = self.live.as_ref().is_some_and(|live| live.takes_resources);
        let input = match current.note.take() {
            Some(note) => noted(note, input),
            None => input,
        };
        let content = match (&current.history, self.unproven) {
            (Some(history), Some(_)) => primed(history, takes_resources, input),
            (Some(_) | None, _) => input,
        };
        let prompt = Prompt {
            turn: current.turn.id,
            content,
            model: current.task.model.clone(),
            mode: current.task.mode_id.clone(),
            thinking: current.task.thinking_option_id.clone(),
        };
        self.phase = Phase::Running(current);
        let mut actions = vec![Action::Prompt(prompt)];
        actions.extend(self.agent_session_write(AgentSessionStatus::Active, now));
        actions
    }

    pub(super) fn prompted(&mut self, turn: TurnId) -> Vec<Action> {
        let Phase::Running(current) = &mut self.phase else { return Vec::new() };
        if current.turn.id != turn {
            return Vec::new();
        }
        current.prompted = true;
        let mut actions = vec![Action::LookBefore(current.task.clone(), current.turn.started_at)];
        actions.extend(current.cancelled_by.map(|by| Action::CancelTurn(turn, by)));
        actions
    }

    pub(super) fn prompt_failed(&mut self, turn: TurnId, error: BackendError, now: Timestamp) -> Vec<Action> {
        let is_it = |phase: &Phase| matches!(phase, Phase::Running(current) if current.turn.id == turn);
        let Some(current) = self.take(is_it) else { return Vec::new() };
        let gone = matches!(error, BackendError::Closed | BackendError::Exited { .. });
        if gone && !current.opened && current.cancelled_by.is_none() {
            // The process died while nobody was looking: the turn has not begun, so it may be started again.
            let gone = self.live.take().and_then(|live| live.runner);
            let ended = gone.map(|id| Change::EndRunner { id, at: now }).into_iter().collect();
            self.phase = Phase::Opening(current);
            let mut actions: Vec<_> = self.write(ended, Vec::new()).into_iter().collect();
            actions.extend([Action::CloseSession(gone), self.opening(now)]);
            return actions;
        }
        self.end(current, TurnOutcome::failed(decider(&error), error.to_string()), Vec::new(), now)
    }

    pub(super) fn cancel(&mut self, task: TaskId, by: DecidedBy) -> Vec<Action> {
        let Some(current) = self.current_mut().filter(|current| current.task.id == task) else { return Vec::new() };
        if current.cancelled_by.is_some() {
            return Vec::new();
        }
        current.cancelled_by = Some(by);
        let turn = current.turn.id;
        match &self.phase {
            Phase::Opening(_) => vec![Action::AbandonOpen],
            Phase::Running(current) if current.prompted => vec![Action::CancelTurn(turn, by)],
            // What is under way looks at it when it is done; a turn that is settling has ended already.
            Phase::Idle | Phase::Preparing(_) | Phase::Attaching(_) | Phase::Running(_) | Phase::Settling(..) => {
                Vec::new()
            }
        }
    }

    /// The opening was given up, as [`Action::AbandonOpen`] asked.
    pub(crate) fn open_abandoned(&mut self, now: Timestamp) -> Vec<Action> {
        let Some(current) = self.take(|phase| matches!(phase, Phase::Opening(_))) else { return Vec::new() };
        let by = current.cancelled_by.unwrap_or(DecidedBy::User);
        let gone = self.coming;
        let mut actions: Vec<_> = self.opening_failed(now).into_iter().collect();
        actions.extend(gone.map(Action::Discard));
        self.end(current, TurnOutcome::cancelled(by, "cancelled while the agent was starting"), actions, now)
    }

    /// The turn is over: questions nobody answered are cancelled, and the worktree is compared.
    pub(super) fn end(
        &mut self,
        mut current: Box<Current>,
        outcome: TurnOutcome,
        mut actions: Vec<Action>,
        now: Timestamp,
    ) -> Vec<Action> {
        let subject = current.recorder.subject();
        let (mut changes, mut frames) = (Vec::new(), Vec::new());
        for (id, _) in std::mem::take(&mut current.questions) {
            let (change, frame) = settlement(subject, id, InteractionOutcome::Cancelled, outcome.decided_by, now);
            changes.push(change);
            frames.push(frame);
        }
        if !changes.is_empty() {
            actions.push(Action::Write(self.entry(changes, frames)));
        }
        actions.push(Action::Compare(current.task.clone(), Touched::by(&current.recorder.message())));
        self.stopped = outcome.status == TurnStatus::Cancelled;
        self.phase = Phase::Settling(current, outcome);
        actions
    }

    pub(super) fn compared(&mut self, compared: Compared, now: Timestamp) -> Vec<Action> {
        let Phase::Settling(_, outcome) = &self.phase else { return Vec::new() };
        let settled = outcome.clone();
        let Some(mut current) = self.take(|phase| matches!(phase, Phase::Settling(..))) else { return Vec::new() };
        let (charges, charged) = self.close_account(&mut current, now);
        let mut outcome = settled.clone();
        let end = current.end;
        let subject = current.recorder.subject();
        let mut frames = Vec::new();
        if let Some(failure) = compared.failure {
            let message = format!("what the turn changed could not be read: {failure}");
            outcome.reason = format!("{}; {message}", outcome.reason);
            frames.push(subject.frame(FrameBody::Notice { message }));
        }
        let mut task = current.task.clone();
        let mut turn = current.turn.clone();
        let mut message = current.recorder.message();
        let used = current.recorder.used(&self.ledger);

        message.status = match outcome.status {
            TurnStatus::Completed => MessageStatus::Complete,
            TurnStatus::Failed => MessageStatus::Failed,
            TurnStatus::Cancelled => MessageStatus::Cancelled,
        };
        message.error = (outcome.status == TurnStatus::Failed).then(|| outcome.reason.clone());
        message.finished_at = Some(now);
        turn.outcome = Some(outcome.clone());
        turn.ended_at = Some(now);
        turn.before_tree = compared.before_tree;
        turn.after_tree = compared.after_tree;
        task.state = outcome.status.into();
        task.output_summary = Some(summary(message.error.as_deref().unwrap_or(&message.content)));
        task.outcome = Some(outcome.clone());
        task.cost_tokens = Some(used.tokens()).filter(|tokens| *tokens > 0);
        task.ended_at = Some(now);

        frames.extend(charged);
        frames.push(
            subject
                .frame(FrameBody::MessageComplete { status: message.status.to_string(), error: message.error.clone() }),
        );
        frames.extend(compared.agents.map(|agents| subject.frame(pending_changed(agents))));
        let mut changes = vec![Change::PutMessage(Box::new(message)), Change::PutTurn(turn)];
        changes.extend(charges);
        changes.extend(compared.changes);
        let warm = self.is_warm(&current.task);
        self.phase = Phase::Settling(current, settled);
        let status = match (&self.live, outcome.decided_by) {
            (None, _) if self.keeping.is_parked() => AgentSessionStatus::Parked,
            (_, DecidedBy::Crash) => AgentSessionStatus::Crashed,
            (Some(_), _) if warm => AgentSessionStatus::Idle,
            (Some(_) | None, _) => AgentSessionStatus::Closed,
        };
        if let Some((change, frame)) = self.agent_session(status, now) {
            changes.push(change);
            frames.push(frame);
        }
        frames.push(subject.frame(task_updated(&task)));
        changes.push(Change::UpdateTask { task, from: TaskState::Running });
        self.taken = end.unwrap_or(self.taken);
        changes.extend(self.consumed());
        if !warm && let Some(id) = self.live.as_ref().and_then(|live| live.runner) {
            changes.push(Change::EndRunner { id, at: now });
        }
        vec![Action::Settle(self.entry(changes, frames))]
    }

    /// What the worktree means for the pending changes is looked at again, since they are not what they were. If that
    /// does not help, the turn ends without them: it must not run for ever.
    pub(super) fn settle_refused(&mut self, reason: String, now: Timestamp) -> Vec<Action> {
        let Phase::Settling(current, _) = &mut self.phase else { return Vec::new() };
        current.refusals += 1;
        match current.refusals {
            0..=limits::SETTLE_TRIES => {
                vec![Action::Compare(current.task.clone(), Touched::by(&current.recorder.message()))]
            }
            tries if tries == limits::SETTLE_TRIES + 1 => {
                self.compared(Compared { failure: Some(reason), ..Compared::default() }, now)
            }
            _ => self.settled(now),
        }
    }

    pub(super) fn settled(&mut self, now: Timestamp) -> Vec<Action> {
        let Some(current) = self.take(|phase| matches!(phase, Phase::Settling(..))) else { return Vec::new() };
        let mut actions = Vec::new();
        let has_journal = self.live.as_ref().is_some_and(|live| live.runner.is_some());
        if !self.is_warm(&current.task) {
            let runner = self.live.take().and_then(|live| live.runner);
            self.backlog.clear();
            actions.push(Action::CloseSession(runner));
        } else if has_journal {
            self.checkpointed = self.taken;
            actions.push(Action::Acknowledge(self.taken));
        }
        if self.live.is_some() {
            self.keeping.rest(now);
        }
        // What the agent said behind the end of its turn belongs to no turn, and its exit must be known before the next.
        let backlog = std::mem::take(&mut self.backlog);
        actions.extend(self.events(backlog.into(), now));
        actions.push(Action::Ended(current.task.id));
        actions
    }
}

/// Whether an agent that did not come up died of it.
const fn has_died(error: &BackendError) -> bool {
    matches!(error, BackendError::Exited { .. } | BackendError::StartTimeout { .. })
}

/// Who decided that a turn which could not be started has failed.
pub(super) const fn decider(error: &BackendError) -> DecidedBy {
    match error {
        BackendError::Exited { .. } | BackendError::Spawn { .. } | BackendError::Runner(_) | BackendError::Closed => {
            DecidedBy::Crash
        }
        BackendError::StartTimeout { .. } => DecidedBy::Watchdog,
        BackendError::NotFound { .. }
        | BackendError::ProtocolVersion { .. }
        | BackendError::Busy
        | BackendError::UnknownInteraction(_)
        | BackendError::InvalidAnswer(_)
        | BackendError::Unsupported(_) => DecidedBy::Policy,
        BackendError::AuthRequired { .. } | BackendError::Agent { .. } | BackendError::Protocol(_) => DecidedBy::Agent,
    }
}

fn summary(text: &str) -> String {
    match text.char_indices().nth(limits::SUMMARY) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
