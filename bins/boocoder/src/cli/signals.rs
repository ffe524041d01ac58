//! SIGINT and SIGTERM, which end; SIGHUP, which hands over.

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Waits for SIGHUP: the terminal has gone, or another server is to take over. Whoever started this with SIGHUP ignored, as
/// `nohup` does, wants it to stay.
pub(super) async fn hang_up() -> anyhow::Result<()> {
    if is_ignored(&std::fs::read_to_string("/proc/self/status").unwrap_or_default(), HANGUP) {
        return std::future::pending().await;
    }
    let mut hang_ups = signal(SignalKind::hangup()).context("signals cannot be listened for")?;
    hang_ups.recv().await;
    Ok(())
}

/// Tells of each SIGINT and SIGTERM from now on. Each value tells by itself.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    pub(super) fn listen() -> anyhow::Result<Self> {
        let open = |kind| signal(kind).context("signals cannot be listened for");
        Ok(Self { interrupt: open(SignalKind::interrupt())?, terminate: open(SignalKind::terminate())? })
    }

    /// Waits for the next one. Cancel-safe.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// The number of SIGHUP.
const HANGUP: u32 = 1;

/// Whether a process with this `/proc/PID/status` ignores a signal. Where there is no such file, it does not.
fn is_ignored(status: &str, signal: u32) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_that_is_ignored_is_known_by_its_bit() {
        assert!(is_ignored("Name:\tx\nSigIgn:\t0000000000001001\n", HANGUP));
        assert!(!is_ignored("Name:\tx\nSigIgn:\t0000000000001000\n", HANGUP));
        assert!(!is_ignored("", HANGUP));
    }
}
