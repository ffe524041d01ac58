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

/// How much of a terminal's output is shown with a tool call, in bytes: its end. A call is told whole each time that it changes.
pub(crate) const SHOWN_OUTPUT: usize = 64 * 1024;

/// The same while the command runs and its agent says nothing of it, and the pause between two looks at what is new.
pub(crate) const LIVE_OUTPUT: usize = 4 * 1024;
/// See [`LIVE_OUTPUT`].
pub(crate) const LIVE_PAUSE: Duration = Duration::from_secs(1);

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

/// The line of a command line's terminal that may still be overwritten, in characters. A longer one is given in pieces.
pub(crate) const HELD_LINE: usize = 64 * 1024;

/// The size of a command line's terminal. It is wide, since many programs break their lines at its width.
pub(crate) const TERMINAL_COLUMNS: u16 = 160;
/// See [`TERMINAL_COLUMNS`].
pub(crate) const TERMINAL_ROWS: u16 = 50;

/// The longest prompt that is given as an argument, in bytes: Linux takes no argument of 128 KiB.
pub(crate) const PROMPT_ARGUMENT: usize = 128 * 1024 - 1;

/// Neighbouring chunks of an answer share one record of a journal up to this many bytes.
pub(crate) const JOINED_TEXT: usize = 64 * 1024;

/// How many answers a runner remembers, to know one that comes again.
pub(crate) const ANSWERS_KEPT: usize = 64;

/// How much of a journal is written at once, in bytes. A record that needs more gets more.
pub(crate) const JOURNAL_WRITE: usize = 128 * 1024;

/// Events that a runner takes from its session at once.
pub(crate) const JOURNAL_BATCH: usize = 256;

/// The pause before what could not be written to a journal is tried again.
pub(crate) const DISK_PAUSE: Duration = Duration::from_millis(500);

/// How long a prompt that a session refuses without asking its agent may take. Behind one that takes longer, a session
/// is busy.
pub(crate) const REFUSAL: Duration = Duration::from_millis(200);

/// The longest path that the address of a socket holds on every system.
pub(crate) const SOCKET_PATH: usize = 100;

/// How long either end of a connection between server and runner has for its first line.
pub(crate) const HANDSHAKE: Duration = Duration::from_secs(10);

/// The first line of a connection to a runner, in bytes: whoever sends more is no server of ours.
pub(crate) const HELLO_LINE: usize = 1024;

/// One command to a runner, in bytes. Prompts hold images.
pub(crate) const COMMAND_LINE: usize = 256 * 1024 * 1024;

/// One line from a runner, in bytes.
pub(crate) const TOLD_LINE: usize = 1024 * 1024;

/// Commands of one server that a runner carries out at once.
pub(crate) const RUNNER_COMMANDS: usize = 64;

/// How long a runner that has nothing more to do sees to it that its server gets its last words.
pub(crate) const LAST_WORDS: Duration = Duration::from_secs(1);

/// How long a runner that is to close waits for the end to be written, when the session itself is closed.
pub(crate) const LAST_RECORD: Duration = Duration::from_secs(10);

/// How often a runner looks whether a lock that somebody looked at is free, and the pause between.
pub(crate) const LOCK_ROUNDS: usize = 100;
/// See [`LOCK_ROUNDS`].
pub(crate) const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// How long a runner has for the answer to a command, beside the time that the agent has for it.
pub(crate) const RUNNER_REPLY: Duration = Duration::from_secs(30);

/// How long a runner that has not answered yet is waited for before it is asked for a sign of life, and how long for that.
pub(crate) const SIGN_OF_LIFE: Duration = Duration::from_secs(5);

/// The pause before a broken connection to a runner that lives is made anew, which doubles up to the longest.
pub(crate) const RECONNECT_SHORTEST: Duration = Duration::from_millis(5);
/// See [`RECONNECT_SHORTEST`].
pub(crate) const RECONNECT_LONGEST: Duration = Duration::from_secs(1);

/// How often it is looked whether a runner that starts or ends has done so.
pub(crate) const RUNNER_PAUSE: Duration = Duration::from_millis(5);

/// How much of a journal is read at once, in bytes.
pub(crate) const FEED_BATCH: u64 = 256 * 1024;

/// How much of what a runner wrote to standard error goes into an error, in bytes.
pub(crate) const RUNNER_LOG_TAIL: u64 = 4 * 1024;

/// How long after a sign that a turn of opencode may be over the server is asked, and the pause before it is asked again.
pub(crate) const LOOK_PAUSE: Duration = Duration::from_millis(200);
/// See [`LOOK_PAUSE`].
pub(crate) const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// How long an idle opencode may take to begin with a prompt that was aborted, or to say how a turn ended.
pub(crate) const PROMPT_BEGINS: Duration = Duration::from_secs(4);

/// How long an idle opencode may have a prompt without working on it before it counts as forgotten.
pub(crate) const PROMPT_LOST: Duration = Duration::from_secs(15);

/// Without a word from opencode's event stream, which has a heartbeat every 10 s; then it is opened anew.
pub(crate) const STREAM_SILENCE: Duration = Duration::from_secs(30);

/// One event of opencode's stream, in bytes.
pub(crate) const STREAM_EVENT: usize = 64 * 1024 * 1024;

/// One answer of opencode's server, in bytes.
pub(crate) const HTTP_ANSWER: usize = 256 * 1024 * 1024;

/// Messages that are asked for behind a gap in opencode's event stream.
pub(crate) const MESSAGES_ASKED: usize = 200;

/// How long opencode's server may be unreachable while its process lives.
pub(crate) const UNREACHABLE: Duration = Duration::from_secs(20);

/// How long an opencode server that several sessions share lives on after the last of them.
pub(crate) const SERVER_LINGER: Duration = Duration::from_secs(120);

/// How long a shared server has to answer whoever wants to use it.
pub(crate) const SERVER_ANSWERS: Duration = Duration::from_secs(10);

/// The pause between two looks at a shared server that starts or ends.
pub(crate) const SERVER_LOOK: Duration = Duration::from_millis(20);

/// The longest line of opencode's server that is looked at until it says where it listens, in bytes.
pub(crate) const READY_LINE: u64 = 64 * 1024;

/// How much of an answer is held back for one element of metadata, in bytes. What is longer is none.
pub(crate) const METADATA: usize = 16 * 1024;

/// How many ended messages of opencode are remembered, so that what comes late of them is known as such.
pub(crate) const ENDED_MESSAGES: usize = 256;

/// How often the process that keeps a shared server looks whether anybody uses it.
pub(crate) const SERVER_PAUSE: Duration = Duration::from_millis(200);

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
    /// From the start of a command line without a protocol to its end; after it the process is ended.
    pub run: Duration,
    /// The text of one turn of a command line without a protocol, in bytes. The rest is left out, and that is marked.
    pub output: usize,
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
            run: Duration::from_secs(3600),
            output: 16 * 1024 * 1024,
        }
    }
}

/// What a runner waits for, and how much it writes, at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunnerLimits {
    /// From its start to the first command.
    pub idle: Duration,
    /// Without a server; then it closes its agent and ends.
    pub orphan: Duration,
    /// One segment of the journal, in bytes. A larger record has one of its own.
    pub segment: u64,
    /// All of the journal that is not acknowledged, in bytes. Beyond it no more is taken from the agent, which slows
    /// down.
    pub journal: u64,
}

impl Default for RunnerLimits {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(60),
            orphan: Duration::from_secs(48 * 3600),
            segment: 4 * 1024 * 1024,
            journal: 256 * 1024 * 1024,
        }
    }
}
