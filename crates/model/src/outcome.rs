//! How a turn ended, and who decided it.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use crate::TaskState;
use crate::text_enum::text_enum;

text_enum! {
    /// Who decided how something ended.
    pub enum DecidedBy ("decider") {
        /// The agent itself.
        Agent = "agent",
        /// A human.
        User = "user",
        /// A rule of this server or an explicit setting.
        Policy = "policy",
        /// A limit that ran out.
        Watchdog = "watchdog",
        /// The death of a process.
        Crash = "crash",
    }
}

text_enum! {
    /// The three ways a turn ends.
    pub enum TurnStatus ("turn status") {
        /// It ended well.
        Completed = "completed",
        /// It did not.
        Failed = "failed",
        /// It was stopped.
        Cancelled = "cancelled",
    }
}

impl From<TurnStatus> for TaskState {
    fn from(status: TurnStatus) -> Self {
        match status {
            TurnStatus::Completed => Self::Completed,
            TurnStatus::Failed => Self::Failed,
            TurnStatus::Cancelled => Self::Cancelled,
        }
    }
}

/// Why an agent says that it stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// It was done.
    EndTurn,
    /// The model's answer reached its token limit.
    MaxTokens,
    /// The turn reached its limit of model requests.
    MaxTurnRequests,
    /// The model refused.
    Refusal,
    /// It was cancelled.
    Cancelled,
    /// A reason that this version does not know.
    Other(String),
}

impl FromStr for StopReason {
    type Err = Infallible;

    fn from_str(name: &str) -> Result<Self, Infallible> {
        Ok(match name {
            "end_turn" => Self::EndTurn,
            "max_tokens" => Self::MaxTokens,
            "max_turn_requests" => Self::MaxTurnRequests,
            "refusal" => Self::Refusal,
            "cancelled" => Self::Cancelled,
            other => Self::Other(other.to_owned()),
        })
    }
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EndTurn => "end_turn",
            Self::MaxTokens => "max_tokens",
            Self::MaxTurnRequests => "max_turn_requests",
            Self::Refusal => "refusal",
            Self::Cancelled => "cancelled",
            Self::Other(name) => name,
        })
    }
}

/// How a turn ended. Every turn reaches exactly one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TurnOutcome {
    /// The way it ended.
    pub status: TurnStatus,
    /// Who decided that.
    pub decided_by: DecidedBy,
    /// Why: a stop reason, or an error in words.
    pub reason: String,
}

impl TurnOutcome {
    /// The agent stopped by itself, for this reason.
    pub fn stopped(reason: &StopReason) -> Self {
        let status = if *reason == StopReason::Cancelled {
            TurnStatus::Cancelled
        } else if crate::routing::is_turn_ok_for_stop_reason(Some(reason)) {
            TurnStatus::Completed
        } else {
            TurnStatus::Failed
        };
        Self { status, decided_by: DecidedBy::Agent, reason: reason.to_string() }
    }

    /// It failed, decided by `decided_by`, for the reason in words.
    pub fn failed(decided_by: DecidedBy, reason: impl Into<String>) -> Self {
        Self { status: TurnStatus::Failed, decided_by, reason: reason.into() }
    }

    /// It was cancelled, decided by `decided_by`, for the reason in words.
    pub fn cancelled(decided_by: DecidedBy, reason: impl Into<String>) -> Self {
        Self { status: TurnStatus::Cancelled, decided_by, reason: reason.into() }
    }
}
