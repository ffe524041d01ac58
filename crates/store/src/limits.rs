//! The limits of a store, each with its reason.

use std::time::Duration;

/// Tasks that one listing brings unless its filter says otherwise: more than a page shows, less than a memory holds.
pub const LISTED_TASKS: usize = 1_000;

/// Groups that statistics have at most unless their query says otherwise: more than anybody reads, less than a memory
/// holds.
pub const STATS_GROUPS: usize = 5_000;

/// News that may wait for a server to hear of them. One that lags further behind is told that it has missed something.
pub(crate) const NEWS: usize = 1_024;

/// Transactions of which it is remembered that nobody could say whether they were committed: more than callers wait at
/// once while the database is away.
#[cfg(feature = "postgres")]
pub(crate) const DOUBTS: usize = 64;

/// Days after which a row is deleted by which transactions were told apart: longer than a database stays away while a server
/// waits for it.
#[cfg(feature = "postgres")]
pub(crate) const MARK_DAYS: f64 = 30.0;

/// The bounds of a store on Postgres.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PgLimits {
    /// Connections for reads and durable writes.
    pub connections: usize,
    /// Connections for writes that need not be on disk yet. They are few, because such writes are short.
    pub relaxed_connections: usize,
    /// How long to wait for a free connection.
    pub acquire: Duration,
    /// How long a new connection may take.
    pub connect: Duration,
    /// How long one round trip may take. The server gives a statement up after the same time.
    pub answer: Duration,
    /// How long the migrations may take, the wait for another process that runs them included.
    pub migrate: Duration,
    /// How often a call is tried when the database cannot be reached.
    pub attempts: u32,
    /// The pause after the first attempt; each pause is twice the one before.
    pub first_pause: Duration,
    /// The longest pause between two attempts, and between two attempts to listen again.
    pub longest_pause: Duration,
    /// How long the listening connection may be silent before it is asked whether it is still there.
    pub silence: Duration,
}

impl Default for PgLimits {
    fn default() -> Self {
        Self {
            connections: 8,
            relaxed_connections: 2,
            acquire: Duration::from_secs(10),
            connect: Duration::from_secs(5),
            answer: Duration::from_secs(30),
            migrate: Duration::from_secs(120),
            attempts: 10,
            first_pause: Duration::from_millis(50),
            longest_pause: Duration::from_secs(1),
            silence: Duration::from_secs(30),
        }
    }
}
