//! One process for one turn, and what it says.

use std::process::Stdio;
use std::time::Instant;

use boocoder_model::{AgentEvent, DecidedBy, StopReason, TurnId, TurnOutcome};
use tokio::io::AsyncWriteExt;
use tokio::net::unix::pipe;
use tokio::process::ChildStdout;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::invocation::{Given, Invocation};
use super::json::Mapper;
use super::terminal::{self, Terminal};
use super::text::TerminalText;
use crate::BackendError;
use crate::limits::{NOISE_BYTES, NOISE_LINES, READ_BUFFER, REASON_TAIL};
use crate::lines::{Line, Lines};
use crate::process::{self, Exit, Process, Rest};

/// A process that works on a turn.
pub(super) struct Run {
    pub(super) turn: TurnId,
    pub(super) process: Process,
    /// When it has to have ended.
    pub(super) until: Instant,
    /// How the turn ends, if that was decided before the process ended.
    pub(super) stopped: Option<TurnOutcome>,
    /// What it says has been read to its end.
    pub(super) output_ended: bool,
    output: Output,
    /// Writes its prompt.
    _input: Option<AbortOnDropHandle<()>>,
}

/// What a process says, and what becomes of it.
enum Output {
    Text { terminal: Terminal, text: Box<TerminalText> },
    Json { lines: mpsc::Receiver<Piece>, _reader: AbortOnDropHandle<()>, mapper: Mapper, noise: usize },
}

/// What was read.
pub(super) enum Piece {
    Bytes(Vec<u8>),
    Line(Vec<u8>),
    TooLong { head: Vec<u8>, bytes: u64 },
    End,
}

impl Run {
    /// Starts the process for a turn.
    pub(super) fn start(
        invocation: &Invocation,
        given: Given,
        turn: TurnId,
        until: Instant,
    ) -> Result<Self, BackendError> {
        let agent = &invocation.agent;
        let spawn_error = |source| BackendError::Spawn { command: agent.command.clone(), source };
        let mut command = process::command(&invocation.program, &given.args, &invocation.environment, &invocation.cwd);
        // The pipe is made here, so that the process is not waited for in vain at the end of its input.
        let input = match given.input {
            Some(text) => {
                let (theirs, ours) = std::io::pipe().map_err(spawn_error)?;
                command.stdin(theirs);
                let ours = pipe::Sender::from_owned_fd(ours.into()).map_err(spawn_error)?;
                Some(AbortOnDropHandle::new(tokio::spawn(write(ours, text))))
            }
            None => {
                command.stdin(Stdio::null());
                None
            }
        };
        let mapper = Mapper::of(agent.command_line.output);
        let terminal = if mapper.is_none() {
            let (ours, theirs) = terminal::open().map_err(spawn_error)?;
            command.stdout(theirs.try_clone().map_err(spawn_error)?).stderr(theirs);
            Some(ours)
        } else {
            None
        };
        let owner = invocation.owner.as_deref();
        let (process, pipes) = Process::spawn(command, owner, Rest::Dies, agent.limits.kill).map_err(spawn_error)?;
        let output = match (terminal, mapper, pipes.stdout) {
            (Some(terminal), _, _) => {
                let text = TerminalText::new(agent.limits.line, agent.limits.output);
                Output::Text { terminal, text: Box::new(text) }
            }
            (None, Some(mapper), Some(stdout)) => {
                let (lines_tx, lines) = mpsc::channel(1);
                let reader = tokio::spawn(read_lines(Lines::new(stdout, agent.limits.line), lines_tx));
                let reader = AbortOnDropHandle::new(reader);
                Output::Json { lines, _reader: reader, mapper, noise: 0 }
            }
            (None, _, _) => return Err(spawn_error(std::io::Error::other("its pipes are missing"))),
        };
        Ok(Self { turn, process, until, stopped: None, output_ended: false, output, _input: input })
    }

    /// Waits for more of what it says. May be given up at any time.
    pub(super) async fn read(&mut self) -> Piece {
        match &mut self.output {
            Output::Text { terminal, .. } => {
                let mut buffer = vec![0; READ_BUFFER];
                match terminal.read(&mut buffer).await {
                    0 => Piece::End,
                    read => {
                        buffer.truncate(read);
                        Piece::Bytes(buffer)
                    }
                }
            }
            Output::Json { lines, .. } => lines.recv().await.unwrap_or(Piece::End),
        }
    }

    /// Takes what was read.
    pub(super) fn take(&mut self, piece: Piece) -> Vec<AgentEvent> {
        match (piece, &mut self.output) {
            (Piece::End, _) => {
                self.output_ended = true;
                Vec::new()
            }
            (Piece::Bytes(bytes), Output::Text { text, .. }) => said(text.push(&bytes)),
            (Piece::Line(line), Output::Json { mapper, noise, .. }) => {
                let line = String::from_utf8_lossy(&line);
                if line.trim().is_empty() {
                    return Vec::new();
                }
                mapper.read(&line).unwrap_or_else(|| {
                    let end = line.floor_char_boundary(NOISE_BYTES);
                    let cut =
                        if end < line.len() { format!(" [{} more bytes]", line.len() - end) } else { String::new() };
                    noted(noise, || format!("{}{cut}", &line[..end]))
                })
            }
            (Piece::TooLong { head, bytes }, Output::Json { noise, .. }) => {
                let head = String::from_utf8_lossy(&head);
                noted(noise, || format!("a line of {bytes} bytes was over the limit and was not read: {head}"))
            }
            (Piece::Bytes(_), Output::Json { .. }) | (Piece::Line(_) | Piece::TooLong { .. }, Output::Text { .. }) => {
                Vec::new()
            }
        }
    }

    /// The process has ended and all that it said was taken: what is left of that, and how the turn ends.
    pub(super) fn finish(&mut self) -> (Vec<AgentEvent>, TurnOutcome) {
        let exit = self.process.exit().unwrap_or(Exit { code: None, signal: None });
        let stopped = self.stopped.take();
        match &mut self.output {
            Output::Text { text, .. } => {
                let events = said(text.finish());
                let done = || TurnOutcome::stopped(&StopReason::EndTurn);
                let outcome = stopped.unwrap_or_else(|| by_exit(exit, text.tail(), done));
                (events, outcome)
            }
            Output::Json { mapper, noise, .. } => {
                let mut events = Vec::new();
                let unsaid = noise.saturating_sub(NOISE_LINES);
                if unsaid > 0 {
                    let notice = format!("{unsaid} more lines on standard output were no messages");
                    events.push(AgentEvent::Notice(notice));
                }
                let stderr = self.process.stderr();
                let outcome = stopped.unwrap_or_else(|| by_word(exit, mapper, &stderr));
                events.extend(mapper.cancel_running());
                (events, outcome)
            }
        }
    }
}

/// How a turn ends whose process has ended by itself.
fn by_exit(exit: Exit, tail: &str, done: impl FnOnce() -> TurnOutcome) -> TurnOutcome {
    let reason = if tail.is_empty() {
        format!("the agent exited ({exit})")
    } else {
        format!("the agent exited ({exit}): {tail}")
    };
    match exit.code {
        Some(0) => done(),
        Some(_) => TurnOutcome::failed(DecidedBy::Agent, reason),
        None => TurnOutcome::failed(DecidedBy::Crash, reason),
    }
}

/// How a turn ends whose process says so itself, as far as its exit agrees.
fn by_word(exit: Exit, mapper: &Mapper, stderr: &str) -> TurnOutcome {
    let word = mapper.outcome();
    if let (Some(word), Some(_)) = (&word, exit.code)
        && word.status != boocoder_model::TurnStatus::Completed
    {
        return word.clone();
    }
    let tail = mapper.trouble().unwrap_or(stderr);
    let tail = &tail[tail.ceil_char_boundary(tail.len().saturating_sub(REASON_TAIL))..];
    let silent = || TurnOutcome::failed(DecidedBy::Agent, "the agent exited without a word on how the turn ended");
    by_exit(exit, tail, || word.unwrap_or_else(silent))
}

fn said(text: String) -> Vec<AgentEvent> {
    if text.is_empty() { Vec::new() } else { vec![AgentEvent::Text(text)] }
}

/// A line that is no message: told, or only counted once there have been many.
fn noted(noise: &mut usize, line: impl FnOnce() -> String) -> Vec<AgentEvent> {
    *noise += 1;
    if *noise <= NOISE_LINES { vec![AgentEvent::Notice(line())] } else { Vec::new() }
}

/// Reads lines, of which one may wait. A task of its own does so, since the reading of a line cannot be given up and
/// taken up again.
async fn read_lines(mut lines: Lines<ChildStdout>, pieces: mpsc::Sender<Piece>) {
    loop {
        let piece = match lines.next().await {
            Ok(Some(Line::Whole(line))) => Piece::Line(line.to_vec()),
            Ok(Some(Line::TooLong { head, bytes })) => {
                Piece::TooLong { head: head[..head.len().min(NOISE_BYTES)].to_vec(), bytes }
            }
            Ok(None) | Err(_) => return,
        };
        if pieces.send(piece).await.is_err() {
            return;
        }
    }
}

/// Writes the prompt, and closes the pipe behind it. A program that does not read all of it is free to do so.
async fn write(mut pipe: pipe::Sender, text: String) {
    if let Err(error) = pipe.write_all(text.as_bytes()).await {
        tracing::debug!(%error, "a command line did not read all of its prompt");
    }
}
