//! The one actor of a session. It owns all state, and talks by messages and requests.
//!
//! Requests run beside it, and their ends come back to it like everything else. While the consumer lags, nothing more is
//! read from the stream, but commands are still seen to.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use boocoder_model::{
    AgentCommand, AgentEvent, DecidedBy, InteractionId, InteractionOutcome, TurnId, TurnOutcome, TurnStatus,
};
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::mapper::{Asking, Mapper, Said, noise};
use super::questions::{Questions, read};
use super::server::Server;
use super::settings::Settings;
use super::settle::{Decision, Settlement};
use super::shared::Claim;
use super::stream::Incoming;
use super::turns::{Done, Sending};
use super::v1::{Client, Snapshot};
use crate::session::{Command, Outbox, Overdue, Reply, Turn};
use crate::{BackendError, Delivery, Limits, SessionEvent};

/// What a session is made of.
pub(super) struct Parts {
    pub(super) limits: Limits,
    pub(super) native_id: String,
    pub(super) client: Client,
    pub(super) server: Arc<Server>,
    pub(super) claim: Option<Claim>,
    pub(super) incoming: mpsc::Receiver<Incoming>,
    /// Reads the stream, and holds the server meanwhile.
    pub(super) reader: JoinHandle<()>,
    pub(super) since: Arc<AtomicU64>,
    pub(super) settings: Settings,
    pub(super) commands: Vec<AgentCommand>,
}

/// How far a session is from its end.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Life {
    Open,
    /// It is being ended on request: what is on its way to the server has until then.
    Closing {
        until: Instant,
    },
    /// It has ended by itself, for this reason.
    Lost(String),
}

pub(super) struct Session {
    pub(super) limits: Limits,
    pub(super) native_id: String,
    pub(super) client: Client,
    server: Arc<Server>,
    claim: Option<Claim>,
    incoming: mpsc::Receiver<Incoming>,
    reader: JoinHandle<()>,
    pub(super) since: Arc<AtomicU64>,
    pub(super) settings: Settings,
    pub(super) commands: Vec<AgentCommand>,
    pub(super) mapper: Mapper,
    pub(super) questions: Questions,
    pub(super) turn: Turn,
    pub(super) settlement: Settlement,
    /// The prompt that is on its way.
    pub(super) sending: Option<Sending>,
    pub(super) outbox: Outbox,
    pub(super) requests: FuturesUnordered<BoxFuture<'static, Done>>,
    life: Life,
    start: Instant,
    closers: Vec<Reply<()>>,
}

/// What a session sees to next.
enum Next {
    Command(Option<Command>),
    NobodyListens,
    GoOn,
    Done(Done),
    Incoming(Option<Incoming>),
    Overdue,
}

#[expect(clippy::disallowed_methods, reason = "the session is the shell that reads the clock for its machines")]
pub(super) fn now() -> Instant {
    Instant::now()
}

/// Milliseconds since 1970, as the server counts.
#[expect(clippy::disallowed_methods, reason = "the session is the shell that reads the clock for its machines")]
pub(super) fn wall_clock() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[expect(clippy::disallowed_methods, reason = "questions get their ids where they are asked")]
fn new_interaction() -> InteractionId {
    InteractionId::from_uuid(uuid::Uuid::now_v7())
}

impl Session {
    pub(super) fn new(parts: Parts, events: mpsc::Sender<Delivery>) -> Self {
        let mut session = Self {
            mapper: Mapper::new(&parts.native_id),
            turn: Turn::new(&parts.limits),
            limits: parts.limits,
            native_id: parts.native_id,
            client: parts.client,
            server: parts.server,
            claim: parts.claim,
            incoming: parts.incoming,
            reader: parts.reader,
            since: parts.since,
            settings: parts.settings,
            commands: parts.commands,
            questions: Questions::default(),
            settlement: Settlement::new(),
            sending: None,
            outbox: Outbox::new(events),
            requests: FuturesUnordered::new(),
            life: Life::Open,
            start: now(),
            closers: Vec::new(),
        };
        if !session.commands.is_empty() {
            session.emit(None, AgentEvent::Commands(session.commands.clone()));
        }
        session
    }

    /// The time as the settlement counts it.
    pub(super) fn time(&self) -> Duration {
        now().saturating_duration_since(self.start)
    }

    /// Runs until the session is closed or lost, and the consumer has all that happened.
    pub(super) async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let mut listening = true;
        loop {
            self.pump();
            let is_over = match &self.life {
                Life::Open => false,
                Life::Closing { until } => self.requests.is_empty() || now() >= *until,
                Life::Lost(_) => true,
            };
            if is_over {
                // Whoever still waits for an answer gets to know that the session is closed.
                drop(commands);
                return self.finish().await;
            }
            match self.next(&mut commands, listening).await {
                Next::Command(Some(command)) => self.command(command),
                Next::Command(None) => {
                    listening = false;
                    self.close();
                }
                Next::NobodyListens => self.close(),
                Next::GoOn => {}
                Next::Done(done) => self.done(done),
                Next::Incoming(incoming) => self.take(incoming),
                Next::Overdue => self.overdue(),
            }
        }
    }

    async fn next(&mut self, commands: &mut mpsc::Receiver<Command>, listening: bool) -> Next {
        let idle = self.outbox.is_empty();
        let limit = match &self.life {
            Life::Closing { until } => Some(*until),
            _ if !idle => None,
            Life::Open | Life::Lost(_) => {
                let look = self.settlement.poll_look().map(|at| self.start + at);
                [look, self.turn.poll_timeout(self.is_busy())].into_iter().flatten().min()
            }
        };
        tokio::select! {
            biased;
            command = commands.recv(), if listening => Next::Command(command),
            () = self.outbox.nobody_listens(), if self.life == Life::Open => Next::NobodyListens,
            () = self.outbox.room(), if !idle => Next::GoOn,
            Some(done) = self.requests.next(), if !self.requests.is_empty() => Next::Done(done),
            incoming = self.incoming.recv(), if idle => Next::Incoming(incoming),
            () = tokio::time::sleep_until(limit.unwrap_or_else(now).into()), if limit.is_some() => Next::Overdue,
        }
    }

    /// Takes what came in and, as long as the consumer keeps up, what else is there.
    fn take(&mut self, mut incoming: Option<Incoming>) {
        loop {
            match incoming {
                Some(Incoming::Event(event)) => self.event(&event),
                Some(Incoming::Noise(text)) => self.emit(None, noise(&text)),
                Some(Incoming::Gap(snapshot)) => {
                    self.mapper.handle_gap();
                    self.snapshot(*snapshot);
                }
                Some(Incoming::Lost(why)) => return self.lose(why),
                None => return self.lose("the event stream has ended".to_owned()),
            }
            self.pump();
            if !self.outbox.is_empty() {
                return;
            }
            match self.incoming.try_recv() {
                Ok(more) => incoming = Some(more),
                Err(_) => return,
            }
        }
    }

    fn event(&mut self, event: &Value) {
        for said in self.mapper.handle_event(event) {
            self.said(said);
        }
    }

    /// How the session stands, behind a gap or when it was asked for.
    pub(super) fn snapshot(&mut self, snapshot: Snapshot) {
        for child in &snapshot.children {
            self.mapper.note_child(child);
        }
        let prompt = self.settlement.prompt().map(str::to_owned);
        for said in self.mapper.handle_messages(&snapshot.messages, prompt.as_deref()) {
            self.said(said);
        }
        let asked: Vec<_> = snapshot.permissions.iter().chain(&snapshot.questions).cloned().collect();
        for id in self.questions.keep_only(&asked) {
            self.withdrawn(id, DecidedBy::Agent);
        }
        let kinds = [(Asking::Permission, snapshot.permissions), (Asking::Question, snapshot.questions)];
        for (kind, requests) in kinds {
            for request in requests {
                if request["sessionID"].as_str().is_some_and(|of| self.mapper.is_ours(of)) {
                    self.ask(kind, &request);
                }
            }
        }
        let decision = self.settlement.handle_looked(snapshot.is_busy, self.time());
        if snapshot.is_busy && self.turn.is_cancelling() {
            // It had not begun when it was aborted, or did not hear it.
            self.abort();
        }
        self.decide(decision);
    }

    fn said(&mut self, said: Said) {
        let time = self.time();
        self.turn.handle_activity(now());
        match said {
            Said::Event { prompt, event } => {
                let turn = match prompt {
                    Some(prompt) if self.settlement.handle_event(&prompt, &event, time) => self.turn.current(),
                    // What comes late of an older turn is none of this one's.
                    Some(_) => None,
                    None => self.settlement.prompt().and(self.turn.current()),
                };
                self.emit(turn, event);
            }
            Said::Asked { kind, request } => self.ask(kind, &request),
            Said::Answered { id } => {
                if let Some(id) = self.questions.taken_back(&id) {
                    self.withdrawn(id, DecidedBy::Agent);
                }
            }
            Said::Accepted { .. } | Said::Alive => {}
            Said::Ended { prompt, end } => {
                let decision = self.settlement.handle_end(prompt.as_deref(), end, time);
                self.decide(decision);
            }
            Said::Idle => {
                let decision = self.settlement.handle_idle(time);
                self.decide(decision);
            }
            Said::Failed(error) => self.settlement.handle_error(error, time),
        }
    }

    fn decide(&mut self, decision: Decision) {
        match decision {
            Decision::Wait => {}
            Decision::Settle(outcome) => self.settle(|| outcome),
            Decision::Resend => self.resend(),
        }
    }

    /// Puts a question to the consumer, unless the turn is being stopped or there are too many.
    fn ask(&mut self, kind: Asking, request: &Value) {
        let native = request["id"].as_str().unwrap_or_default();
        if native.is_empty() || self.questions.knows(native) {
            return;
        }
        let call = request["tool"]["callID"].as_str().and_then(|id| self.mapper.tool(id));
        let question = read(kind, request, call);
        let too_many = self.questions.len() >= self.limits.questions;
        if too_many || self.turn.is_cancelling() || self.life != Life::Open {
            if too_many {
                let title = question.title();
                let notice = format!("too many questions are open, so this was refused: {title}");
                self.emit(self.turn.current(), AgentEvent::Notice(notice));
            }
            return self.refuse(kind, native);
        }
        let (id, turn) = (new_interaction(), self.settlement.prompt().and(self.turn.current()));
        self.questions.ask(id, turn, kind, request, question.clone());
        self.outbox.push(SessionEvent::Asked { turn, id, question });
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Prompt(prompt, reply) if self.life == Life::Open => self.prompt(*prompt, reply),
            Command::Prompt(_, reply) => drop(reply.send(Err(BackendError::Closed))),
            Command::Answer(id, answer, reply) => self.answer(id, &answer, reply),
            Command::Cancel(turn, decided_by, reply) => {
                self.cancel(turn, TurnOutcome::cancelled(decided_by, "cancelled"));
                let _ = reply.send(Ok(()));
            }
            Command::Close(reply) => {
                self.closers.push(reply);
                self.close();
            }
        }
    }

    /// A limit has run out.
    fn overdue(&mut self) {
        if self.life != Life::Open {
            return;
        }
        if self.settlement.poll_look().is_some_and(|at| at <= self.time()) {
            self.look();
        }
        match self.turn.handle_timeout(now(), self.is_busy()) {
            None => {}
            Some(Overdue::Silence) => {
                if let Some(turn) = self.turn.current() {
                    let outcome = self.turn.silent();
                    self.cancel(turn, outcome);
                }
            }
            Some(Overdue::Control) => self.lose("opencode's server did not answer a prompt".to_owned()),
            Some(Overdue::Cancel) => self.lose("opencode did not stop when it was told to".to_owned()),
        }
    }

    /// Whether silence is to be expected.
    fn is_busy(&self) -> bool {
        self.questions.len() > 0 || self.mapper.has_running()
    }

    /// Begins to end the session: a turn that runs is aborted.
    fn close(&mut self) {
        if self.life != Life::Open {
            return;
        }
        if let Some(turn) = self.turn.current() {
            self.cancel(turn, TurnOutcome::cancelled(DecidedBy::Policy, "the agent session was closed"));
        }
        self.life = Life::Closing { until: now() + self.limits.cancel };
    }

    fn lose(&mut self, why: String) {
        if self.life == Life::Open {
            self.life = Life::Lost(why);
        } else {
            // It was to end anyway, and nothing that is on its way will arrive.
            self.life = Life::Closing { until: now() };
        }
    }

    /// What is open ends here.
    async fn finish(mut self) {
        let requested = matches!(self.life, Life::Closing { .. });
        // What was not seen to stop is the host's to stop.
        let has_stopped = self.settlement.prompt().is_none();
        let (reason, decided_by) = match &self.life {
            Life::Lost(why) => (why.clone(), DecidedBy::Crash),
            Life::Open | Life::Closing { .. } => ("the agent session was closed".to_owned(), DecidedBy::Policy),
        };
        self.fail_sending(|| BackendError::Closed);
        self.settle(|| TurnOutcome::failed(decided_by, reason.clone()));
        self.withdraw(None, decided_by);
        let (status, stderr) = if self.server.is_alive() {
            let status = if requested { "closed; the server lives on".to_owned() } else { reason };
            (status, String::new())
        } else {
            self.server.end()
        };
        self.outbox.push(SessionEvent::Exited { status, stderr });
        let Self { mut outbox, claim, server, closers, reader, .. } = self;
        reader.abort();
        // However it ended, it does not hold the server any more.
        let _ = reader.await;
        if let Some(claim) = claim.filter(|_| requested && has_stopped) {
            claim.give_up();
        }
        server.release().await;
        for closer in closers {
            let _ = closer.send(());
        }
        outbox.deliver().await;
    }

    /// Takes back the open questions of a turn, or all.
    pub(super) fn withdraw(&mut self, turn: Option<TurnId>, decided_by: DecidedBy) {
        for id in self.questions.withdraw(turn) {
            self.withdrawn(id, decided_by);
        }
    }

    fn withdrawn(&mut self, id: InteractionId, decided_by: DecidedBy) {
        self.outbox.push(SessionEvent::Withdrawn { id, outcome: InteractionOutcome::Cancelled, decided_by });
    }

    /// The turn is over, with this outcome unless it was cancelled before. What is still open of it ends first.
    pub(super) fn settle(&mut self, outcome: impl FnOnce() -> TurnOutcome) {
        if let Some(sending) = self.sending.take() {
            sending.arrived();
        }
        let Some((turn, outcome)) = self.turn.handle_end(outcome) else { return };
        self.settlement.forget(self.time());
        self.withdraw(Some(turn), outcome.decided_by);
        if outcome.status != TurnStatus::Completed {
            self.cancel_tools(turn);
        }
        self.outbox.push(SessionEvent::TurnEnded { turn, outcome });
    }

    pub(super) fn cancel_tools(&mut self, turn: TurnId) {
        for event in self.mapper.cancel_running() {
            self.emit(Some(turn), event);
        }
    }

    pub(super) fn emit(&mut self, turn: Option<TurnId>, event: AgentEvent) {
        self.outbox.push(SessionEvent::Agent { turn, event });
    }

    /// A turn begins: what the session starts from here on for parts of its work belongs to it.
    pub(super) fn count_from_now(&self) {
        self.since.store(wall_clock(), Ordering::Relaxed);
    }

    /// Gives the consumer what it can take at once. Time that it made us wait does not count against the agent.
    fn pump(&mut self) {
        while self.outbox.give_one() {}
        if let Some(stalled) = self.outbox.stall(now()) {
            self.turn.handle_stall(stalled);
        }
    }
}
