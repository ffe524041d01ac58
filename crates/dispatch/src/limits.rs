//! Every limit of the dispatcher, named.

use std::time::Duration;

use boocoder_store::ReadBudget;

/// Entries that may wait for the log's writer; when it is full, whoever writes waits, and so the agents do.
pub(crate) const LOG_QUEUE: usize = 256;

/// Entries that go into one commit at most.
pub(crate) const LOG_GROUP: usize = 256;

/// The first and the longest pause between two tries to reach the database.
pub(crate) const RETRY_PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(2));

/// Events taken from an agent at once.
pub(crate) const EVENT_BATCH: usize = 512;

/// The longest text of one delta, in bytes; neighbouring chunks share a delta up to this.
pub(crate) const DELTA: usize = 64 * 1024;

/// Frames and bytes kept in memory for the clients of one session; a client further behind is healed from the log.
pub(crate) const RING: ReadBudget = ReadBudget { frames: 2048, bytes: 2 * 1024 * 1024 };

/// Frames and bytes that a client is given at once.
pub(crate) const CLIENT_BATCH: ReadBudget = ReadBudget { frames: 256, bytes: 256 * 1024 };

/// Commands that may wait for a lane or for the scheduler.
pub(crate) const COMMAND_QUEUE: usize = 64;

/// How often the end of a turn is compared and written again after the store refused it.
pub(crate) const SETTLE_TRIES: usize = 3;

/// How often, and with what pause, a settlement that is on its way to the store is looked for.
pub(crate) const SETTLEMENT_LOOKS: usize = 20;
/// The pause between two looks at something that is about to happen.
pub(crate) const SETTLEMENT_PAUSE: Duration = Duration::from_millis(50);

/// The characters of an answer that a task's summary shows.
pub(crate) const SUMMARY: usize = 500;

/// What may be set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DispatchLimits {
    /// Tasks that run at once, in all chats together.
    pub max_running: usize,
    /// How long a question waits for a human before it is cancelled.
    pub interaction: Duration,
    /// The longest that a turn may take, whatever it does.
    pub turn: Duration,
    /// How long a polite shutdown may take before processes are left to be killed.
    pub shutdown: Duration,
    /// The pause after a failed claim before the next try.
    pub claim_retry: Duration,
}

impl Default for DispatchLimits {
    fn default() -> Self {
        Self {
            max_running: 64,
            interaction: Duration::from_secs(24 * 3600),
            turn: Duration::from_secs(24 * 3600),
            shutdown: Duration::from_secs(30),
            claim_retry: Duration::from_millis(500),
        }
    }
}
