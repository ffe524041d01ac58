//! The one actor of a session: it takes commands, runs a process for each turn and tells what that says.
//!
//! While the consumer lags, nothing more is read from the process, which then waits to write; commands and the end of
//! the process are still seen to. The limit on a turn does not run while it is the consumer that is waited for.

use std::time::Instant;

use boocoder_model::{DecidedBy, TurnId, TurnOutcome};
use tokio::sync::mpsc;

use super::invocation::{Invocation, given};
use super::run::{Piece, Run};
use crate::limits::OUTPUT_SETTLE;
use crate::process::wait_gone;
use crate::session::{Command, Outbox, Reply};
use crate::{BackendError, Delivery, Prompt, SessionEvent};

pub(super) struct Session {
    invocation: Invocation,
    run: Option<Run>,
    outbox: Outbox,
    /// No further turn begins.
    closing: bool,
    closers: Vec<Reply<()>>,
    /// How the last process ended.
    status: String,
    stderr: String,
}

/// What a session sees to next.
enum Next {
    Command(Option<Command>),
    NobodyListens,
    GoOn,
    Piece(Piece),
    /// The process has gone.
    Gone,
    /// A limit has run out: that of the turn, or that on the silence of what a dead process has left.
    Overdue,
}

#[expect(clippy::disallowed_methods, reason = "the session is the shell that reads the clock")]
fn now() -> Instant {
    Instant::now()
}

impl Session {
    pub(super) fn new(invocation: Invocation, events: mpsc::Sender<Delivery>) -> Self {
        let (status, stderr) = ("no process was running".to_owned(), String::new());
        let outbox = Outbox::new(events);
        Self { invocation, run: None, outbox, closing: false, closers: Vec::new(), status, stderr }
    }

    /// Runs until it is closed and the consumer has all that happened.
    pub(super) async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let mut listening = true;
        let mut settle_at = None;
        loop {
            self.pump();
            let has_settled = settle_at.is_some_and(|at| at <= now());
            if let Some(run) = &self.run
                && settle_at.is_some()
                && self.outbox.is_empty()
                && (run.output_ended || has_settled)
            {
                settle_at = None;
                self.finish();
                continue;
            }
            if self.closing && self.run.is_none() {
                for closer in self.closers.drain(..) {
                    let _ = closer.send(());
                }
                self.outbox.push(SessionEvent::Exited { status: self.status, stderr: self.stderr });
                drop(commands);
                return self.outbox.deliver().await;
            }
            match self.next(&mut commands, listening, settle_at).await {
                Next::Command(Some(command)) => self.command(command),
                Next::Command(None) => {
                    listening = false;
                    self.close();
                }
                Next::NobodyListens => self.close(),
                Next::GoOn => {}
                Next::Piece(piece) => {
                    settle_at = settle_at.map(|_| now() + OUTPUT_SETTLE);
                    self.take(piece);
                }
                Next::Gone => settle_at = Some(now() + OUTPUT_SETTLE),
                Next::Overdue if settle_at.is_some() => {}
                Next::Overdue => self.overdue(),
            }
        }
    }

    /// Waits for the next thing to see to. Commands come first, so that nothing an agent says keeps it from being stopped.
    async fn next(
        &mut self,
        commands: &mut mpsc::Receiver<Command>,
        listening: bool,
        settle_at: Option<Instant>,
    ) -> Next {
        let idle = self.outbox.is_empty();
        let limit = match &self.run {
            Some(run) if idle && run.stopped.is_none() => settle_at.or(Some(run.until)),
            // Whoever stopped it has set limits to its steps.
            Some(_) if idle => settle_at,
            Some(_) | None => None,
        };
        let gone = self.run.as_ref().map(|run| run.process.goes());
        let reads = idle && self.run.as_ref().is_some_and(|run| !run.output_ended);
        let waits = self.run.is_some() && settle_at.is_none();
        let (run, outbox) = (&mut self.run, &self.outbox);
        tokio::select! {
            biased;
            command = commands.recv(), if listening => Next::Command(command),
            () = outbox.nobody_listens(), if !self.closing => Next::NobodyListens,
            () = outbox.room(), if !idle => Next::GoOn,
            piece = read(run), if reads => Next::Piece(piece),
            () = gone_of(gone), if waits => Next::Gone,
            () = tokio::time::sleep_until(limit.unwrap_or_else(now).into()), if limit.is_some() => Next::Overdue,
        }
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Prompt(prompt, reply) => drop(reply.send(self.prompt(&prompt))),
            // A command line asks nothing.
            Command::Answer(id, _, reply) => drop(reply.send(Err(BackendError::UnknownInteraction(id)))),
            Command::Cancel(turn, decided_by, reply) => {
                self.stop(Some(turn), TurnOutcome::cancelled(decided_by, "cancelled"));
                let _ = reply.send(Ok(()));
            }
            Command::Close(reply) => {
                self.closers.push(reply);
                self.close();
            }
        }
    }

    fn prompt(&mut self, prompt: &Prompt) -> Result<(), BackendError> {
        if self.closing {
            return Err(BackendError::Closed);
        }
        if self.run.is_some() {
            return Err(BackendError::Busy);
        }
        let given = given(&self.invocation.agent, prompt)?;
        let until = now() + self.invocation.agent.limits.run;
        self.run = Some(Run::start(&self.invocation, given, prompt.turn, until)?);
        Ok(())
    }

    /// Ends the process of a turn, or of whichever there is. The first one who does so says how the turn ends.
    fn stop(&mut self, turn: Option<TurnId>, outcome: TurnOutcome) {
        if let Some(run) = &mut self.run
            && turn.is_none_or(|turn| turn == run.turn)
            && run.stopped.is_none()
        {
            run.stopped = Some(outcome);
            run.process.stop();
        }
    }

    fn close(&mut self) {
        self.closing = true;
        self.stop(None, TurnOutcome::cancelled(DecidedBy::Policy, "the agent session was closed"));
    }

    fn overdue(&mut self) {
        let limit = self.invocation.agent.limits.run;
        self.stop(None, TurnOutcome::failed(DecidedBy::Watchdog, format!("the agent did not end within {limit:?}")));
    }

    fn take(&mut self, piece: Piece) {
        let Some(run) = &mut self.run else { return };
        let turn = Some(run.turn);
        run.take(piece).into_iter().for_each(|event| self.outbox.push(SessionEvent::Agent { turn, event }));
    }

    /// The process has gone and all that it said is with the consumer: the turn ends.
    fn finish(&mut self) {
        let Some(mut run) = self.run.take() else { return };
        let (events, outcome) = run.finish();
        let turn = run.turn;
        events.into_iter().for_each(|event| self.outbox.push(SessionEvent::Agent { turn: Some(turn), event }));
        self.status = run.process.exit().map_or_else(|| "exit status unknown".to_owned(), |exit| exit.to_string());
        self.stderr = run.process.stderr();
        self.outbox.push(SessionEvent::TurnEnded { turn, outcome });
    }

    /// Gives the consumer what it can take at once. Time that it made us wait does not count against the agent.
    fn pump(&mut self) {
        while self.outbox.give_one() {}
        if let Some(stalled) = self.outbox.stall(now())
            && let Some(run) = &mut self.run
        {
            run.until += stalled;
        }
    }
}

async fn read(run: &mut Option<Run>) -> Piece {
    match run {
        Some(run) => run.read().await,
        None => std::future::pending().await,
    }
}

async fn gone_of(gone: Option<tokio::sync::watch::Receiver<bool>>) {
    match gone {
        Some(gone) => wait_gone(gone).await,
        None => std::future::pending().await,
    }
}
