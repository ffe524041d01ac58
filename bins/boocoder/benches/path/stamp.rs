//! Times that two processes of one machine can compare, and what many of them say.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Nanoseconds since the epoch.
pub(crate) fn now() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()
}

/// How long ago each of the stamps in a text was made.
pub(crate) fn ages(text: &str) -> impl Iterator<Item = Duration> {
    let now = now();
    text.split_whitespace().filter_map(move |stamp| {
        let age = now.saturating_sub(stamp.parse::<u128>().ok()?);
        Some(Duration::from_nanos(u64::try_from(age).ok()?))
    })
}

/// The median and the 99th percentile.
pub(crate) fn percentiles(mut times: Vec<Duration>) -> (Duration, Duration) {
    times.sort_unstable();
    (times[times.len() / 2], times[times.len() * 99 / 100])
}

/// In milliseconds, for printing.
pub(crate) fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
