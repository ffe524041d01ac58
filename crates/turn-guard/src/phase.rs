//! The state of the guard, all of it.

use std::sync::Arc;
use std::time::Duration;

use boocoder_model::TurnId;

/// What the wire calls a turn, for example the id of the message that began it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TurnKey(Arc<str>);

impl TurnKey {
    /// Wraps the text as it is.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The text as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for TurnKey {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

/// Leftover ends of older turns that may still come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Orphans {
    /// How many are expected.
    pub left: u8,
    /// The moment after which none is expected any more.
    pub until: Duration,
}

impl Orphans {
    /// Takes one of those still expected, if there is one.
    pub(crate) fn take(&mut self, now: Duration) -> bool {
        let expected = self.left > 0 && now < self.until;
        self.left = if expected { self.left - 1 } else { 0 };
        expected
    }

    /// Expects so many more of them.
    pub(crate) fn expect(&mut self, more: u8, now: Duration, until: Duration) {
        let still = if now < self.until { self.left } else { 0 };
        *self = Self { left: still.saturating_add(more), until };
    }
}

/// Where the session is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TurnPhase {
    /// No turn runs.
    Idle {
        /// What older turns may still send.
        orphans: Orphans,
    },
    /// A turn runs.
    Running {
        /// The turn.
        turn: TurnId,
        /// What the wire calls it, if it does.
        key: Option<TurnKey>,
        /// What older turns may still send.
        orphans: Orphans,
        /// When to give up on the turn: set by an end that may or may not have been its own, cleared by activity.
        doubt: Option<Duration>,
    },
    /// A turn was cancelled and has not ended yet.
    Cancelling {
        /// The turn.
        turn: TurnId,
        /// What the wire calls it, if it does.
        key: Option<TurnKey>,
        /// What older turns may still send.
        orphans: Orphans,
        /// When to give up on it.
        deadline: Duration,
    },
}

impl TurnPhase {
    /// The turn that has begun and has not ended, if there is one.
    pub const fn turn(&self) -> Option<TurnId> {
        match self {
            Self::Idle { .. } => None,
            Self::Running { turn, .. } | Self::Cancelling { turn, .. } => Some(*turn),
        }
    }

    /// What the wire calls that turn, if it does.
    pub const fn key(&self) -> Option<&TurnKey> {
        match self {
            Self::Idle { .. } => None,
            Self::Running { key, .. } | Self::Cancelling { key, .. } => key.as_ref(),
        }
    }

    pub(crate) const fn orphans_mut(&mut self) -> &mut Orphans {
        match self {
            Self::Idle { orphans } | Self::Running { orphans, .. } | Self::Cancelling { orphans, .. } => orphans,
        }
    }
}
