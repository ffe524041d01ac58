//! Tables of the file that change some fields of a struct and leave the others.

use std::fmt;
use std::num::NonZeroUsize;
use std::time::Duration;

use boocoder_backend::Limits;
use boocoder_dispatch::DispatchLimits;
use serde::de::{Deserialize, Deserializer, Error, Visitor};

use crate::limits::ServerLimits;

/// A length of time, written as in `30s`, `2m` or `1h 30m`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Time(Duration);

impl From<Time> for Duration {
    fn from(time: Time) -> Self {
        time.0
    }
}

impl From<Time> for Option<Duration> {
    fn from(time: Time) -> Self {
        Some(time.0)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TimeVisitor)
    }
}

struct TimeVisitor;

impl Visitor<'_> for TimeVisitor {
    type Value = Time;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration such as \"30s\", \"2m\" or \"1h 30m\"")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Time, E> {
        let signed: jiff::SignedDuration = text.parse().map_err(|error| E::custom(format!("{text:?}: {error}")))?;
        Duration::try_from(signed).map(Time).map_err(|_| E::custom(format!("{text:?} is negative")))
    }
}

/// A length of time that is more than none: nothing could ever happen within no time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span(Duration);

impl From<Span> for Duration {
    fn from(span: Span) -> Self {
        span.0
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Time::deserialize(deserializer)?.0 {
            Duration::ZERO => Err(D::Error::custom("it has to be more than zero")),
            time => Ok(Self(time)),
        }
    }
}

/// Declares a table whose fields are all optional, and how it changes a struct with the same fields. A field that the
/// struct gains has to be named here, or this does not compile.
macro_rules! overrides {
    ($(#[$meta:meta])* $table:ident changes $target:ident { $($field:ident: $kind:ty,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default, serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub(super) struct $table { $($field: Option<$kind>,)+ }

        impl $table {
            /// The struct with what is given here in place of what was there.
            pub(super) fn apply(self, base: $target) -> $target {
                $target { $($field: self.$field.map_or(base.$field, Into::into),)+ }
            }
        }
    };
}

overrides! {
    /// `[limits.server]`
    ServerTable changes ServerLimits {
        connections: NonZeroUsize,
        header_read: Span,
        header_bytes: NonZeroUsize,
        body_read: Span,
        body_bytes: NonZeroUsize,
        sockets: NonZeroUsize,
        socket_message_bytes: NonZeroUsize,
        socket_send: Span,
        socket_ping: Span,
        ready: Span,
        drain: Span,
    }
}

overrides! {
    /// `[limits.turns]`
    TurnTable changes DispatchLimits {
        max_running: NonZeroUsize,
        interaction: Span,
        turn: Span,
        shutdown: Span,
        claim_retry: Time,
        idle: Time,
        max_warm: usize,
        crashes: usize,
        crash_window: Span,
        crash_pause: Time,
        activity: Time,
        log_frames: u64,
        lease: Span,
        renewal: Span,
        history: usize,
    }
}

overrides! {
    /// `[agents.NAME.limits]`
    AgentLimitsTable changes Limits {
        start: Span,
        silence: Span,
        cancel: Span,
        kill: Span,
        control: Span,
        line: NonZeroUsize,
        file: NonZeroUsize,
        terminals: usize,
        terminal_output: NonZeroUsize,
        questions: usize,
        run: Span,
        output: NonZeroUsize,
    }
}
