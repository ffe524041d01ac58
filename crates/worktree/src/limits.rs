//! Every limit that this crate keeps, with its default.

use std::time::Duration;

/// How much git may do at once, for how long, and how much it may say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Git processes at once, over all clones of one [`Git`](crate::Git). A caller beyond that waits its turn; one of
    /// several stays free for short commands.
    pub processes: usize,
    /// The longest that a command may take, its wait for a turn included.
    pub command_time: Duration,
    /// The same for commands that read or write a whole tree: making a worktree, a snapshot, a diff.
    pub tree_time: Duration,
    /// The most that a command may print, in bytes; also the largest file that can be applied.
    pub output_bytes: usize,
    /// How much of a command's standard error is kept, in bytes, from its end.
    pub stderr_bytes: usize,
    /// The largest file whose lines a diff shows, in bytes. A larger one is shown as binary is.
    pub diff_file_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            processes: 4,
            command_time: Duration::from_secs(30),
            tree_time: Duration::from_secs(600),
            output_bytes: 64 << 20,
            stderr_bytes: 64 << 10,
            diff_file_bytes: 4 << 20,
        }
    }
}
