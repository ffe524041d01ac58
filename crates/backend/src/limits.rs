//! Every limit of a backend, named. An agent's configuration may set each.

use std::time::Duration;

/// Events that may wait between an agent and whoever consumes them. A slow consumer fills it, and then slows the agent.
pub const EVENT_QUEUE: usize = 1024;

/// How much of an agent's standard error is kept for error messages, in bytes.
pub const STDERR_TAIL: usize = 64 * 1024;

/// How long standard error may stay open after a process and all of its kin have ended.
pub(crate) const STDERR_SETTLE: Duration = Duration::from_secs(1);

/// How often the rest of a process is killed before it is given up, and the pause between.
pub(crate) const SWEEP_ROUNDS: usize = 50;
/// See [`SWEEP_ROUNDS`].
pub(crate) const SWEEP_PAUSE: Duration = Duration::from_millis(10);

/// The pause between two looks at what an earlier program left running; after SIGKILL there are [`SWEEP_ROUNDS`] looks.
pub(crate) const LEFTOVERS_PAUSE: Duration = Duration::from_millis(50);

/// How long a dead agent's output may stay silent and open before it counts as read to its end.
pub(crate) const OUTPUT_SETTLE: Duration = Duration::from_secs(1);

/// Messages that may wait between the reader of an agent's output and its session.
pub(crate) const INCOMING_QUEUE: usize = 64;

/// Commands that may wait for a session.
pub(crate) const COMMAND_QUEUE: usize = 16;

/// Requests of one agent that may be without a written answer; it is not read on before one is.
pub(crate) const AGENT_REQUESTS: usize = 256;

/// The buffer of one pipe, in bytes. A line that needs more gets more, and gives it back afterwards.
pub(crate) const READ_BUFFER: usize = 8 * 1024;

/// Lines of noise reported in one turn, and how much of each, in bytes. The rest is counted.
pub(crate) const NOISE_LINES: usize = 32;
/// See [`NOISE_LINES`].
pub(crate) const NOISE_BYTES: usize = 4 * 1024;

/// How much of an agent's standard error goes into the reason of a failed turn, in bytes.
pub(crate) const REASON_TAIL: usize = 4 * 1024;

/// How much of the output of `--version` is read, in bytes.
pub(crate) const VERSION_OUTPUT: usize = 4 * 1024;

/// What a backend waits for, and how much it takes, at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// From the start of the process to an open session.
    pub start: Duration,
    /// Without a sign of life in a turn, while no tool runs and no question is open.
    pub silence: Duration,
    /// From the cancellation of a turn to the agent's answer; after it the process is ended.
    pub cancel: Duration,
    /// From each step of ending a process (closed input, SIGTERM) to the next, sterner one.
    pub kill: Duration,
    /// For a control request between turns, such as setting a mode.
    pub control: Duration,
    /// One line from the agent, in bytes. A longer one is cut and reported.
    pub line: usize,
    /// One file read or written for the agent, in bytes.
    pub file: usize,
    /// Terminals open at once in one session.
    pub terminals: usize,
    /// Output kept of one terminal, in bytes, unless the agent asks for less.
    pub terminal_output: usize,
    /// Questions open at once in one session; further ones are cancelled.
    pub questions: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            start: Duration::from_secs(60),
            silence: Duration::from_secs(600),
            cancel: Duration::from_secs(10),
            kill: Duration::from_secs(3),
            control: Duration::from_secs(30),
            line: 64 * 1024 * 1024,
            file: 64 * 1024 * 1024,
            terminals: 32,
            terminal_output: 1024 * 1024,
            questions: 64,
        }
    }
}
