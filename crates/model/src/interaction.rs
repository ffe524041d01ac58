//! Questions from an agent to a human, and what became of them.

use crate::text_enum::text_enum;
use crate::{RawJson, ToolCallSnapshot};

text_enum! {
    /// The two sorts of question.
    pub enum InteractionKind ("interaction kind") {
        /// May this tool call run?
        Permission = "permission",
        /// Please tell me something.
        Elicitation = "elicitation",
    }
}

text_enum! {
    /// What choosing an option means. Options are chosen by kind, never by their place: several agents list
    /// `allow_always` first.
    pub enum PermissionKind ("permission kind") {
        /// Yes, this once.
        AllowOnce = "allow_once",
        /// Yes, and do not ask again.
        AllowAlways = "allow_always",
        /// No, this once.
        RejectOnce = "reject_once",
        /// No, and do not ask again.
        RejectAlways = "reject_always",
        /// A kind that this version does not know. It is never chosen for a human.
        Other = "other",
    }
}

/// One way to answer a permission request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PermissionOption {
    /// The agent's id for it.
    pub id: String,
    /// What to show.
    pub name: String,
    /// What choosing it means.
    pub kind: PermissionKind,
}

/// What an agent asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// May this tool call run?
    Permission {
        /// What to show as the question.
        title: String,
        /// The call in question.
        tool_call: Option<ToolCallSnapshot>,
        /// The ways to answer.
        options: Vec<PermissionOption>,
    },
    /// Please fill in this form.
    Form {
        /// What to show as the question.
        title: String,
        /// The JSON schema of the answer.
        schema: RawJson,
    },
    /// Please open this address and come back.
    Url {
        /// What to show as the question.
        title: String,
        /// The address.
        url: String,
    },
}

impl Question {
    /// Which of the two sorts it is.
    pub const fn kind(&self) -> InteractionKind {
        match self {
            Self::Permission { .. } => InteractionKind::Permission,
            Self::Form { .. } | Self::Url { .. } => InteractionKind::Elicitation,
        }
    }

    /// What to show as the question.
    pub fn title(&self) -> &str {
        match self {
            Self::Permission { title, .. } | Self::Form { title, .. } | Self::Url { title, .. } => title,
        }
    }
}

/// A human's answer, or a policy's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// This option of a permission request.
    Select(String),
    /// Yes, with the form's content.
    Accept(Option<RawJson>),
    /// No.
    Decline,
    /// Neither: the question is withdrawn.
    Cancel,
}

/// How an interaction was settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InteractionOutcome {
    /// This option was chosen.
    Selected(String),
    /// The form was accepted, with this content.
    Accepted(Option<RawJson>),
    /// The answer was no.
    Declined,
    /// Nobody answered, or the turn ended first.
    Cancelled,
}

impl InteractionOutcome {
    /// The outcome's name on the wire and in the database.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Selected(_) => "selected",
            Self::Accepted(_) => "accepted",
            Self::Declined => "declined",
            Self::Cancelled => "cancelled",
        }
    }
}

impl From<InteractionOutcome> for Answer {
    fn from(outcome: InteractionOutcome) -> Self {
        match outcome {
            InteractionOutcome::Selected(option) => Self::Select(option),
            InteractionOutcome::Accepted(content) => Self::Accept(content),
            InteractionOutcome::Declined => Self::Decline,
            InteractionOutcome::Cancelled => Self::Cancel,
        }
    }
}

impl From<Answer> for InteractionOutcome {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::Select(option) => Self::Selected(option),
            Answer::Accept(content) => Self::Accepted(content),
            Answer::Decline => Self::Declined,
            Answer::Cancel => Self::Cancelled,
        }
    }
}
