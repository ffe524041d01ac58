//! Every limit of the dispatcher, named.

use std::time::Duration;

use boocoder_store::ReadBudget;

/// Entries that may wait for the log's writer; when it is full, whoever writes waits, and so the agents do.
pub(crate) const LOG_QUEUE: usize = 256;

/// Entries that go into one commit at most.
pub(crate) const LOG_GROUP: usize = 256;

/// The first and the longest pause between two tries to reach the database.
pub(crate) const RETRY_PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(2));

/// How often a group is numbered anew because another server gave its numbers away first.
pub(crate) const RENUMBERINGS: usize = 100;

/// Frames that are written at once where a database lost what it had promised to keep.
pub(crate) const REFILL: u64 = 256;

/// How much may be shown before it is on disk, in bytes, and for how long; see `log::volatile`.
pub(crate) const VOLATILE: (usize, Duration) = (4 * 1024 * 1024, Duration::from_millis(200));

/// Events taken from an agent at once.
pub(crate) const EVENT_BATCH: usize = 512;

/// The longest text of one delta, in bytes; neighbouring chunks share a delta up to this.
pub(crate) const DELTA: usize = 64 * 1024;

/// Frames and bytes kept in memory for the clients of one session; a client further behind is healed from the log.
pub(crate) const RING: ReadBudget = ReadBudget { frames: 2048, bytes: 2 * 1024 * 1024 };

/// Frames and bytes that a client is given at once.
pub(crate) const CLIENT_BATCH: ReadBudget = ReadBudget { frames: 256, bytes: 256 * 1024 };

/// How long a start waits until what agents said while there was no server is taken in.
pub(crate) const CATCH_UP: Duration = Duration::from_secs(10);

/// Of how many messages of a chat's history an agent is told at most.
pub(crate) const HISTORY_MESSAGES: usize = 256;

/// Records of a journal after which what was taken in is put on disk for good, so that the journal need not hold it.
pub(crate) const CHECKPOINT: u64 = 256;

/// Commands that may wait for a lane or for the scheduler.
pub(crate) const COMMAND_QUEUE: usize = 64;

/// How often the end of a turn is compared and written again after the store refused it.
pub(crate) const SETTLE_TRIES: usize = 3;

/// How often, and with what pause, a settlement that is on its way to the store is looked for.
pub(crate) const SETTLEMENT_LOOKS: usize = 20;
/// The pause between two looks at something that is about to happen.
pub(crate) const SETTLEMENT_PAUSE: Duration = Duration::from_millis(50);

/// The shortest and the longest time for which an agent without work is kept, unless that is configured.
pub(crate) const IDLE: (Duration, Duration) = (Duration::from_secs(15 * 60), Duration::from_secs(4 * 3600));
/// How much longer an agent is kept than it takes to open it.
pub(crate) const IDLE_PER_OPENING: u32 = 1200;

/// The characters of an answer that a task's summary shows.
pub(crate) const SUMMARY: usize = 500;

/// How agents of one name are kept, where that differs from the rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AgentKeeping {
    /// How long one without work is kept.
    pub idle: Option<Duration>,
    /// How many of them are kept warm at once.
    pub max_warm: Option<usize>,
}

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
    /// How long a server may be silent before the others on its database take over what it runs.
    pub lease: Duration,
    /// How often it says that it is there, and looks whether the others are. It is not less often than three times in a
    /// lease.
    pub renewal: Duration,
    /// How long a warm agent without work is kept; none for as long as its opening is worth.
    pub idle: Option<Duration>,
    /// Warm agents that are kept at once; one more lets the one go that has been without work for longest.
    pub max_warm: usize,
    /// How often an agent may die within `crash_window` before it is parked.
    pub crashes: usize,
    /// How long a death counts.
    pub crash_window: Duration,
    /// The pause before the start after a second death; it doubles with each further one.
    pub crash_pause: Duration,
    /// How long an agent that works without having been asked may be silent before that counts as over.
    pub activity: Duration,
    /// Frames of a session that the log keeps at least; older ones go once the turns that they tell of have ended.
    pub log_frames: u64,
    /// How much of a chat's history an agent is told that cannot go on with its own session, in bytes.
    pub history: usize,
}

impl DispatchLimits {
    /// The pause between two renewals of a lease.
    pub(crate) fn between_renewals(&self) -> Duration {
        self.renewal.min(self.lease / 3)
    }
}

impl Default for DispatchLimits {
    fn default() -> Self {
        Self {
            max_running: 64,
            interaction: Duration::from_secs(24 * 3600),
            turn: Duration::from_secs(24 * 3600),
            shutdown: Duration::from_secs(30),
            claim_retry: Duration::from_millis(500),
            lease: Duration::from_secs(30),
            renewal: Duration::from_secs(10),
            idle: None,
            max_warm: 32,
            crashes: 4,
            crash_window: Duration::from_secs(600),
            crash_pause: Duration::from_secs(1),
            activity: Duration::from_secs(10),
            log_frames: 200_000,
            history: 64 * 1024,
        }
    }
}

/// After how long a decision that another server has begun on files counts as left behind. Files are written within
/// seconds; git's own limits are far below this.
pub(crate) const OPEN_DECISION: Duration = Duration::from_secs(600);

/// How much an agent is told of what was refused, in bytes.
pub(crate) const NOTE_BYTES: usize = 8 << 10;

/// By how much the time of a file may lag behind the clock: what an agent wrote at once must not look older than its turn.
pub(crate) const COARSE_CLOCK: Duration = Duration::from_millis(20);
