//! Every limit of the crate in one place.

use std::time::Duration;

/// The longest request line and headers together that the mock model reads.
pub const MAX_HEAD_BYTES: u64 = 64 * 1024;
/// The longest request body that the mock model reads; agents send their whole history each time.
pub const MAX_BODY_BYTES: usize = 32 * 1024 * 1024;
/// How many connections the mock model serves at once; one more is closed unanswered.
pub const MAX_CONNECTIONS: usize = 256;
/// How many requests the mock model remembers; the oldest go first.
pub const MAX_RECORDED: usize = 1024;
/// How long a connection to the mock model may stand idle between two requests.
pub const IDLE_CONNECTION: Duration = Duration::from_secs(300);
/// How long the mock model waits for a client that does not read.
pub const STALLED_WRITE: Duration = Duration::from_secs(30);
/// The longest that `MOCK:HANG` holds a request open.
pub const HANG: Duration = Duration::from_secs(30 * 60);
/// The most chunks that one `MOCK:SLOW` sends.
pub const MAX_SLOW_CHUNKS: u32 = 100_000;
/// How long one test binary waits for another that installs the agents.
pub const INSTALL_TURN: Duration = Duration::from_secs(20 * 60);
/// How long npm may take to install the agents.
pub const INSTALL: Duration = Duration::from_secs(15 * 60);
/// How much of a failed program's output goes into the error.
pub const OUTPUT_TAIL_BYTES: usize = 2048;
/// How often a condition is looked at while it is awaited.
pub const POLL: Duration = Duration::from_millis(10);
