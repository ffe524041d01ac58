//! How long the guard waits, and for how much.

use std::time::Duration;

/// The guard's limits. Every wait of the guard is one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many leftover ends one abort or failure is known to leave behind.
    pub orphans: u8,
    /// How long after the end of a cancelled or failed turn its leftovers are still expected.
    pub orphan_window: Duration,
    /// How long a cancelled turn may take to end.
    pub cancel: Duration,
    /// How long an end without a key is held back for the one with the key.
    pub key: Duration,
    /// How long a turn may stay silent after an end was swallowed in it. If that end was the turn's own after all, the
    /// turn would otherwise never end; if it was not, the model may still be thinking, so this is long.
    pub silence: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            orphans: 1,
            orphan_window: Duration::from_secs(10),
            cancel: Duration::from_secs(10),
            key: Duration::from_secs(5),
            silence: Duration::from_secs(120),
        }
    }
}
