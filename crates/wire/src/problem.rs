//! The body of every error.

use boocoder_model as model;
use serde::{Deserialize, Serialize};

use crate::http::Risk;
use crate::parts::Settlement;

/// `{"error": "lower-case message", "code": "stable_code"}`: the message is for a human, the code for a program.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct Problem {
    /// What is wrong, in words.
    pub error: String,
    /// What is wrong, for programs: it does not change between versions.
    pub code: String,
    /// What a program needs to go on, beside the two; absent for most errors.
    #[cfg_attr(feature = "openapi", schema(ignore))]
    #[cfg_attr(feature = "typescript", ts(skip))]
    #[serde(flatten, default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Details>,
}

/// What some errors tell beside their message and code.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(untagged)]
pub enum Details {
    /// How the question was settled before.
    Settled {
        /// How.
        outcome: Settlement,
        /// By whom: `agent`, `user`, `policy`, `watchdog` or `crash`.
        decided_by: String,
    },
    /// The work that would be lost.
    Risk(Risk),
    /// The files that stand in the way of a decision.
    Conflicts {
        /// One for each.
        conflicts: Vec<FileConflict>,
    },
}

/// A file that was changed on both sides. A side that has no lines to show is null.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct FileConflict {
    /// The file, relative to the project's root.
    pub file_path: String,
    /// Why it cannot be written, in words.
    pub reason: String,
    /// What the file holds where both sides changed it, or all of it.
    pub ours: Option<String>,
    /// What both sides started from.
    pub base: Option<String>,
    /// What was to be written.
    pub theirs: Option<String>,
}

impl Problem {
    /// A problem without details.
    pub fn new(code: impl Into<String>, error: impl Into<String>) -> Self {
        Self { error: error.into(), code: code.into(), details: None }
    }

    /// The same problem with the work that would be lost.
    #[must_use]
    pub fn with_risk(mut self, risk: Risk) -> Self {
        self.details = Some(Details::Risk(risk));
        self
    }

    /// The same problem with the files that stand in the way.
    #[must_use]
    pub fn with_conflicts(mut self, conflicts: Vec<FileConflict>) -> Self {
        self.details = Some(Details::Conflicts { conflicts });
        self
    }

    /// The same problem with how the question was settled.
    #[must_use]
    pub fn with_settlement(mut self, outcome: model::InteractionOutcome, decided_by: model::DecidedBy) -> Self {
        self.details = Some(Details::Settled { outcome: outcome.into(), decided_by: decided_by.to_string() });
        self
    }
}
