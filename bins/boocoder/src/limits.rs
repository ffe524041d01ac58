//! Every limit of the server and the command line, named.

use std::time::Duration;

/// What the server waits for, and how much it takes, at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerLimits {
    /// Connections at once. Further ones wait in the system's own queue.
    pub connections: usize,
    /// From the start of a request, or of waiting for one, to the end of its headers.
    pub header_read: Duration,
    /// The headers of one request, in bytes.
    pub header_bytes: usize,
    /// From the end of the headers to the end of the body.
    pub body_read: Duration,
    /// The body of one request, in bytes. Prompts may carry images.
    pub body_bytes: usize,
    /// WebSockets at once.
    pub sockets: usize,
    /// A message from a WebSocket client, in bytes. Clients have nothing to say but pongs and good-bye.
    pub socket_message_bytes: usize,
    /// For a WebSocket client to take a message. One that is cut off may come back with `after` and misses nothing.
    pub socket_send: Duration,
    /// The pause between pings; a client that is silent for two of them is gone.
    pub socket_ping: Duration,
    /// For the database to answer whether it is there.
    pub ready: Duration,
    /// From the end of serving to the end of the last request, before connections are cut.
    pub drain: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            connections: 1024,
            header_read: Duration::from_secs(10),
            header_bytes: 32 * 1024,
            body_read: Duration::from_secs(60),
            body_bytes: 32 * 1024 * 1024,
            sockets: 512,
            socket_message_bytes: 64 * 1024,
            socket_send: Duration::from_secs(120),
            socket_ping: Duration::from_secs(30),
            ready: Duration::from_secs(2),
            drain: Duration::from_secs(5),
        }
    }
}

/// For agents that a killed server left running to end by themselves, before they are killed too.
pub(crate) const LEFTOVERS: Duration = Duration::from_secs(2);

/// How long the servers that agents share have to end when the last agent has gone.
pub(crate) const SERVERS_REST: Duration = Duration::from_secs(10);

/// The pause after a connection could not be accepted, usually for want of file descriptors.
pub(crate) const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// For a WebSocket client to take the good-bye.
pub(crate) const SOCKET_CLOSE: Duration = Duration::from_secs(1);

/// The longest that the whole shutdown may take after the dispatcher has ended its agents.
pub(crate) const SHUTDOWN_REST: Duration = Duration::from_secs(10);

/// For a running server to answer the command line's first question.
pub(crate) const CLIENT_PROBE: Duration = Duration::from_secs(3);

/// For a running server to answer any other request of the command line.
pub(crate) const CLIENT_REQUEST: Duration = Duration::from_secs(120);

/// For a server that holds the data directory to become ready to be used by `run`.
pub(crate) const CLIENT_WAIT: Duration = Duration::from_secs(120);

/// The pause between two looks at such a server.
pub(crate) const CLIENT_POLL: Duration = Duration::from_millis(200);

/// How often `run` opens the stream of frames again after it broke, and the pause before each try.
pub(crate) const STREAM_RETRIES: u32 = 20;

/// See [`STREAM_RETRIES`].
pub(crate) const STREAM_RETRY_PAUSE: Duration = Duration::from_millis(500);

/// A message from the server to `run`, in bytes. A frame with a large tool output is one message.
pub(crate) const STREAM_MESSAGE_BYTES: usize = 256 * 1024 * 1024;

/// Lines typed ahead of a question.
pub(crate) const TYPED_LINES: usize = 16;

/// What a permission's question shows of each change or text that is asked about: lines, and characters of each.
pub(crate) const PREVIEW_LINES: usize = 20;

/// See [`PREVIEW_LINES`].
pub(crate) const PREVIEW_LINE: usize = 160;

/// The pause between two strokes of the progress line.
pub(crate) const PROGRESS_TICK: Duration = Duration::from_millis(250);

/// For an agent's program to tell its version.
pub(crate) const DOCTOR_CHECK: Duration = Duration::from_secs(30);

/// How often the lock of a data directory is tried again whose owner has gone, and the pause between two tries.
pub(crate) const DATA_DIR_WAITS: u32 = 100;

/// See [`DATA_DIR_WAITS`].
pub(crate) const DATA_DIR_WAIT: Duration = Duration::from_millis(20);
