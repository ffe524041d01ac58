//! The one actor of a session. It owns the process, the connection and all state, and talks by messages.
//!
//! What happens is put into an outbox and goes from there to the consumer. While the consumer lags, commands and the end
//! of the process are still seen to, but nothing more is read from the agent: so memory stays bounded and the agent slows
//! down. Limits on the agent do not run while it is the consumer that is waited for.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use boocoder_acp_mapper::SessionUpdateMapper;
use boocoder_model::{AgentEvent, AgentSessionId, DecidedBy, ToolCallId, TurnId, TurnOutcome};
use boocoder_usage_mapper::acp::PromptUsage;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::client_fs::ClientFs;
use super::connection::{Connection, Incoming};
use super::questions::Questions;
use super::settings::Settings;
use super::terminal::Terminals;
use super::turns::Preparing;
use crate::limits::{LIVE_PAUSE, NOISE_LINES, OUTPUT_SETTLE, REASON_TAIL};
use crate::process::{Process, wait_gone};
use crate::session::{Command, Outbox, Overdue, Reply, Turn};
use crate::{BackendError, Delivery, Limits, PromptSupport, SessionEvent};

/// What a session is made of.
pub(super) struct Parts {
    pub(super) limits: Limits,
    pub(super) process: Process,
    pub(super) connection: Connection,
    pub(super) incoming: mpsc::Receiver<Incoming>,
    pub(super) files: ClientFs,
    pub(super) terminals: Terminals,
}

/// How far a session is from its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    /// It is being opened.
    Opening {
        /// The agent replays its history, which is known already.
        replaying: bool,
    },
    /// It works.
    Open,
    /// Its process is being ended, on request or because it failed.
    Ending {
        /// Somebody asked for it.
        requested: bool,
    },
}

pub(super) struct Session {
    pub(super) limits: Limits,
    pub(super) native_id: AgentSessionId,
    pub(super) prompt_support: PromptSupport,
    pub(super) life: Life,
    pub(super) connection: Connection,
    pub(super) incoming: mpsc::Receiver<Incoming>,
    pub(super) process: Process,
    pub(super) files: Arc<ClientFs>,
    pub(super) terminals: Terminals,
    pub(super) mapper: SessionUpdateMapper,
    pub(super) usage: PromptUsage,
    pub(super) settings: Settings,
    pub(super) questions: Questions,
    pub(super) turn: Turn,
    pub(super) preparing: Option<Preparing>,
    /// The request that carries the turn's prompt.
    pub(super) prompted: Option<u64>,
    /// Tool calls of the turn that have not ended.
    pub(super) running: BTreeSet<ToolCallId>,
    /// Writes to files that are under way. A turn does not end before they have.
    pub(super) writes: watch::Sender<usize>,
    pub(super) outbox: Outbox,
    noise: usize,
    /// When the terminals are looked at for what is new in them.
    look_at: Instant,
    /// The agent's output has been read to its end.
    output_ended: bool,
    /// The terminals on their way out.
    leaving: Option<JoinHandle<()>>,
    /// Nothing of the process and the terminals is left.
    all_gone: bool,
    closers: Vec<Reply<()>>,
}

/// What a session sees to next.
enum Next {
    /// A command, or the end of the commands.
    Command(Option<Command>),
    /// The consumer has gone.
    NobodyListens,
    /// Whatever waits in the outbox may move on.
    GoOn,
    /// Something from the agent, or the end of it.
    Incoming(Box<Option<Incoming>>),
    /// The process has gone, or it and the terminals have.
    Left,
    /// The terminals of running tool calls may have something new to show.
    Look,
    /// A limit has run out.
    Overdue,
}

#[expect(clippy::disallowed_methods, reason = "the session is the shell that reads the clock for its machines")]
pub(super) fn now() -> Instant {
    Instant::now()
}

impl Session {
    pub(super) fn new(parts: Parts, events: mpsc::Sender<Delivery>) -> Self {
        Self {
            native_id: AgentSessionId::from(""),
            prompt_support: PromptSupport::default(),
            life: Life::Opening { replaying: false },
            connection: parts.connection,
            incoming: parts.incoming,
            process: parts.process,
            files: Arc::new(parts.files),
            terminals: parts.terminals,
            mapper: SessionUpdateMapper::new(),
            usage: PromptUsage::new(),
            settings: Settings::default(),
            questions: Questions::default(),
            turn: Turn::new(&parts.limits),
            limits: parts.limits,
            preparing: None,
            prompted: None,
            running: BTreeSet::new(),
            writes: watch::Sender::new(0),
            outbox: Outbox::new(events),
            noise: 0,
            look_at: now(),
            output_ended: false,
            leaving: None,
            all_gone: false,
            closers: Vec::new(),
        }
    }

    /// Runs until the process has gone and the consumer has all that happened.
    pub(super) async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let mut gone = self.process.goes();
        let mut listening = true;
        let mut settle_at = None;
        loop {
            self.pump();
            if self.all_gone && self.outbox.is_empty() && (self.output_ended || settle_at.is_some_and(|at| at <= now()))
            {
                // Whoever still waits for an answer gets to know that the session is closed.
                drop(commands);
                return self.finish().await;
            }
            match self.next(&mut commands, listening, &mut gone, settle_at).await {
                Next::Command(Some(command)) => self.command(command),
                Next::Command(None) => {
                    listening = false;
                    self.end(true);
                }
                Next::NobodyListens => self.end(true),
                Next::GoOn => {}
                Next::Incoming(incoming) => {
                    settle_at = settle_at.map(|_| now() + OUTPUT_SETTLE);
                    self.take(*incoming);
                }
                Next::Left if self.leaving.take().is_some() => {
                    self.all_gone = true;
                    settle_at = Some(now() + OUTPUT_SETTLE);
                    for closer in self.closers.drain(..) {
                        let _ = closer.send(());
                    }
                }
                // It is dead, whoever may still hold its output open.
                Next::Left => {
                    self.end(false);
                    self.leave();
                }
                Next::Look => self.look_at_terminals(),
                Next::Overdue => self.overdue(),
            }
        }
    }

    /// Waits for the next thing to see to. Commands come first, so that nothing an agent says keeps it from being stopped.
    async fn next(
        &mut self,
        commands: &mut mpsc::Receiver<Command>,
        listening: bool,
        gone: &mut watch::Receiver<bool>,
        settle_at: Option<Instant>,
    ) -> Next {
        let idle = self.outbox.is_empty();
        let held = self.is_held();
        let limit = match self.life {
            _ if !idle => None,
            // From here on it is the process whose steps have limits, and then its output.
            Life::Ending { .. } => settle_at,
            Life::Opening { .. } | Life::Open => self.turn.poll_timeout(self.is_busy()),
        };
        let mut writes = self.writes.subscribe();
        tokio::select! {
            biased;
            command = commands.recv(), if listening => Next::Command(command),
            () = self.outbox.nobody_listens(), if !self.is_ending() => Next::NobodyListens,
            () = self.outbox.room(), if !idle && !held => Next::GoOn,
            _ = writes.wait_for(|writes| *writes == 0), if held => Next::GoOn,
            incoming = self.incoming.recv(), if idle && !self.output_ended => Next::Incoming(Box::new(incoming)),
            () = left(gone, &mut self.leaving), if !self.all_gone => Next::Left,
            () = tokio::time::sleep_until(self.look_at.into()), if idle && self.is_in_terminals() => Next::Look,
            () = tokio::time::sleep_until(limit.unwrap_or_else(now).into()), if limit.is_some() => Next::Overdue,
        }
    }

    /// Takes what came in and, as long as the consumer keeps up, what else is there.
    fn take(&mut self, mut incoming: Option<Incoming>) {
        loop {
            match incoming {
                Some(Incoming::Eof) | None => {
                    self.output_ended = true;
                    self.end(false);
                    return;
                }
                Some(incoming) => self.handle_incoming(incoming),
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

    fn command(&mut self, command: Command) {
        match command {
            Command::Prompt(prompt, reply) => self.prompt(*prompt, reply),
            Command::Answer(id, answer, reply) => {
                let result = self.questions.answer(id, &answer);
                self.turn.handle_activity(now());
                let _ = reply.send(result);
            }
            Command::Cancel(turn, decided_by, reply) => {
                self.cancel(turn, TurnOutcome::cancelled(decided_by, "cancelled"));
                let _ = reply.send(Ok(()));
            }
            Command::Close(reply) if self.all_gone => {
                let _ = reply.send(());
            }
            Command::Close(reply) => {
                self.closers.push(reply);
                self.end(true);
            }
        }
    }

    /// Whether a tool call runs, maybe in a terminal.
    fn is_in_terminals(&self) -> bool {
        !self.running.is_empty() && self.terminals.is_any_open()
    }

    /// Shows what commands say while their agent waits for them.
    fn look_at_terminals(&mut self) {
        self.look_at = now() + LIVE_PAUSE;
        let running: Vec<_> = self.running.iter().filter_map(|id| self.mapper.tool_call(id).cloned()).collect();
        for mut call in running {
            if self.terminals.show_news(&mut call) {
                self.emit(AgentEvent::ToolUpdate(call));
            }
        }
    }

    /// A limit has run out.
    fn overdue(&mut self) {
        match self.turn.handle_timeout(now(), self.is_busy()) {
            None => {}
            Some(Overdue::Silence) => {
                if let Some(turn) = self.turn.current() {
                    let outcome = self.turn.silent();
                    self.cancel(turn, outcome);
                }
            }
            Some(Overdue::Control) => {
                let stage = self.preparing.as_ref().map_or("a request", |preparing| preparing.stage());
                let stderr = self.process.stderr();
                self.fail_preparing(BackendError::StartTimeout { stage, limit: self.limits.control, stderr });
                self.end(false);
            }
            Some(Overdue::Cancel) => self.end(false),
        }
    }

    /// Whether silence is to be expected.
    fn is_busy(&self) -> bool {
        self.questions.len() > 0 || !self.running.is_empty() || self.terminals.runs(self.turn.current())
    }

    pub(super) fn is_ending(&self) -> bool {
        matches!(self.life, Life::Ending { .. })
    }

    /// Begins to end the process. A turn that runs is told to stop and gets its outcome when the process has gone.
    pub(super) fn end(&mut self, requested: bool) {
        if self.is_ending() {
            return;
        }
        if requested && let Some(turn) = self.turn.current() {
            self.cancel(turn, TurnOutcome::cancelled(DecidedBy::Policy, "the agent session was closed"));
        }
        self.life = Life::Ending { requested };
        self.leave();
        self.process.stop();
    }

    fn leave(&mut self) {
        if self.leaving.is_none() {
            self.leaving = Some(tokio::spawn(self.terminals.close()));
        }
    }

    /// Ends a session that never opened. Done when the returned word comes.
    pub(super) fn stop(mut self) -> watch::Receiver<bool> {
        self.leave();
        self.process.stop();
        self.process.goes()
    }

    /// The process has gone and all that it wrote has been read: what is open ends here.
    async fn finish(mut self) {
        let status = self.process.exit().map_or_else(|| "exit status unknown".to_owned(), |exit| exit.to_string());
        let stderr = self.process.stderr();
        self.fail_preparing(BackendError::Exited { status: status.clone(), stderr: stderr.clone() });
        let reason = match tail(&stderr) {
            "" => format!("the agent exited ({status})"),
            tail => format!("the agent exited ({status}): {tail}"),
        };
        self.settle(|| TurnOutcome::failed(DecidedBy::Crash, reason));
        let requested = self.life == Life::Ending { requested: true };
        self.withdraw(None, if requested { DecidedBy::Policy } else { DecidedBy::Crash });
        self.outbox.push(SessionEvent::Exited { status, stderr });
        let mut writes = self.writes.subscribe();
        let _ = writes.wait_for(|writes| *writes == 0).await;
        self.outbox.deliver().await;
    }

    /// Puts an event of the turn that runs, or of none, into the outbox.
    pub(super) fn emit(&mut self, event: AgentEvent) {
        let turn = self.prompted.and(self.turn.current());
        self.emit_in(turn, event);
    }

    pub(super) fn emit_in(&mut self, turn: Option<TurnId>, event: AgentEvent) {
        self.outbox.push(SessionEvent::Agent { turn, event });
    }

    /// Reports a line of noise, or only counts it once there have been many.
    pub(super) fn noise(&mut self, line: impl FnOnce() -> String) {
        self.noise += 1;
        if self.noise <= NOISE_LINES {
            self.emit(AgentEvent::Notice(line()));
        }
    }

    /// Says how much noise went unreported, and begins to count anew.
    pub(super) fn report_noise(&mut self, turn: Option<TurnId>) {
        let dropped = std::mem::take(&mut self.noise).saturating_sub(NOISE_LINES);
        if dropped > 0 {
            self.emit_in(turn, AgentEvent::Notice(format!("{dropped} more lines on standard output were no messages")));
        }
    }

    /// Whether the next event has to wait for writes that are under way.
    fn is_held(&self) -> bool {
        self.outbox.is_turn_end_next() && *self.writes.borrow() > 0
    }

    /// Gives the consumer what it can take at once. Time that it made us wait does not count against the agent.
    fn pump(&mut self) {
        while !self.is_held() && self.outbox.give_one() {}
        if let Some(stalled) = self.outbox.stall(now()) {
            self.turn.handle_stall(stalled);
        }
    }
}

/// Done when the process has gone, or when it and the terminals have.
async fn left(gone: &mut watch::Receiver<bool>, leaving: &mut Option<JoinHandle<()>>) {
    wait_gone(gone.clone()).await;
    if let Some(leaving) = leaving {
        let _ = leaving.await;
    }
}

/// The end of a text, short enough for a reason.
fn tail(text: &str) -> &str {
    &text[text.ceil_char_boundary(text.len().saturating_sub(REASON_TAIL))..]
}
