//! Tool calls, always as the whole state and never as a patch: a reader that missed a snapshot is right again with the next.

use crate::text_enum::text_enum;
use crate::{ContentPart, RawJson, ToolCallId};

text_enum! {
    /// What sort of thing a tool does; it picks an icon and a default for permissions, nothing more.
    #[derive(Default)]
    pub enum ToolKind ("tool kind") {
        /// Reads files or data.
        Read = "read",
        /// Changes files.
        Edit = "edit",
        /// Deletes files.
        Delete = "delete",
        /// Moves or renames files.
        Move = "move",
        /// Searches.
        Search = "search",
        /// Runs commands.
        Execute = "execute",
        /// Reasons in the open.
        Think = "think",
        /// Fetches from elsewhere.
        Fetch = "fetch",
        /// Switches the session's mode.
        SwitchMode = "switch_mode",
        /// Anything else, and every kind that this version does not know.
        #[default]
        Other = "other",
    }
}

text_enum! {
    /// How far a tool call has come.
    #[derive(Default)]
    pub enum ToolStatus ("tool status") {
        /// Announced: its input may still be streaming, or it waits for a permission.
        #[default]
        Pending = "pending",
        /// Running.
        InProgress = "in_progress",
        /// Ended well.
        Completed = "completed",
        /// Ended badly.
        Failed = "failed",
        /// Still running when its turn was cancelled. Agents have no such status; the mapper makes it.
        Canceled = "canceled",
    }
}

impl ToolStatus {
    /// Whether the call has ended.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Canceled)
    }
}

/// A place in a file that a tool call touches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// The path as the agent gave it.
    pub path: String,
    /// The line, from 0 or 1 as the agent counts.
    pub line: Option<u32>,
}

/// What a tool call shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToolContent {
    /// Text, an image, …
    Part(ContentPart),
    /// A change to a file, as the agent tells it. What really changed is read from git.
    Diff {
        /// The path as the agent gave it.
        path: String,
        /// The text before, absent for a new file.
        old_text: Option<String>,
        /// The text after.
        new_text: String,
    },
    /// A terminal that the agent runs through its client. The end of what it had said by then follows as text.
    Terminal {
        /// The terminal's id.
        id: String,
    },
    /// A kind that this version does not know, kept whole.
    Unknown(RawJson),
}

/// The whole state of one tool call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolCallSnapshot {
    /// The agent's id for the call, unique within its session.
    pub id: ToolCallId,
    /// What it does, in words.
    pub title: String,
    /// What sort of thing it does.
    pub kind: ToolKind,
    /// How far it has come.
    pub status: ToolStatus,
    /// Its arguments.
    pub input: Option<RawJson>,
    /// Its result.
    pub output: Option<RawJson>,
    /// The files it touches.
    pub locations: Vec<Location>,
    /// What it shows.
    pub content: Vec<ToolContent>,
}

impl ToolCallSnapshot {
    /// A call of which nothing but the id is known.
    pub fn new(id: ToolCallId) -> Self {
        Self {
            id,
            title: String::new(),
            kind: ToolKind::default(),
            status: ToolStatus::default(),
            input: None,
            output: None,
            locations: Vec::new(),
            content: Vec::new(),
        }
    }
}
