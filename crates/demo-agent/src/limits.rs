//! Every bound of this crate: what waits, queues and buffers may take at most.

use std::time::Duration;

/// The longest line that the client may send. Prompts carry images in base64, hence the room.
pub(crate) const MAX_LINE_BYTES: usize = 64 << 20;

/// Messages waiting to be written. A full queue makes the turn wait, so that a client that reads slowly slows the
/// agent instead of filling its memory.
pub(crate) const OUTPUT_QUEUE: usize = 64;

/// Waiting messages are written together up to about this many bytes.
pub(crate) const WRITE_BATCH_BYTES: usize = 64 << 10;

/// How long the last output may take when the connection ends or the agent is told to crash.
pub(crate) const FINAL_FLUSH: Duration = Duration::from_secs(1);

/// How long a line broken in two stays broken, so that the reader meets both halves apart.
pub(crate) const BROKEN_LINE_PAUSE: Duration = Duration::from_millis(50);

/// How long the client may take for what needs no human: files, starting a terminal, its output.
pub(crate) const CLIENT_REPLY: Duration = Duration::from_secs(60);

/// How long a human may take for a permission or a question.
pub(crate) const HUMAN_REPLY: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a shell command may run.
pub(crate) const COMMAND_RUN: Duration = Duration::from_secs(60 * 60);

/// How much of a shell command's output the client is asked to keep.
pub(crate) const COMMAND_OUTPUT_BYTES: u64 = 64 << 10;

/// The largest chunk that `stream` makes. With [`OUTPUT_QUEUE`] it bounds the memory of a stream.
pub(crate) const MAX_STREAM_CHUNK: usize = 1 << 20;

/// The pause after each echoed word when the model is `demo-slow`.
pub(crate) const SLOW_WORD: Duration = Duration::from_millis(30);

/// Sessions open at once in one process.
pub(crate) const MAX_OPEN_SESSIONS: usize = 256;

/// Sessions on one page of `session/list`.
pub(crate) const LIST_PAGE: usize = 50;

/// Entries of a session's history; older ones are dropped, and a replay says so.
pub(crate) const HISTORY_ENTRIES: usize = 64;

/// Bytes of text kept of one entry of the history; a replay says where one was cut.
pub(crate) const HISTORY_ENTRY_BYTES: usize = 4 << 10;

/// Characters of the first prompt that become a session's title.
pub(crate) const TITLE_CHARS: usize = 80;

/// The context window that `usage` reports, in tokens.
pub(crate) const CONTEXT_WINDOW: u64 = 200_000;
