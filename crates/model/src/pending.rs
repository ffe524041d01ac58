//! Pending changes: edits to files that wait for a human, and what was decided on them.

use jiff::Timestamp;

use crate::text_enum::text_enum;
use crate::{
    AgentName, DecidedBy, DecisionId, HunkId, PendingId, ProjectId, RawJson, ServerId, SessionId, TaskId, ToolCallId,
    WorktreeId,
};

text_enum! {
    /// What a pending change does to its file.
    pub enum Operation ("operation") {
        /// Makes it.
        Create = "create",
        /// Changes its content, and maybe its mode.
        Edit = "edit",
        /// Removes it.
        Delete = "delete",
        /// Moves it here from another path.
        Rename = "rename",
        /// Changes its mode alone.
        Mode = "mode",
    }
}

text_enum! {
    /// What became of a pending change.
    pub enum PendingStatus ("pending status") {
        /// Nobody has decided yet.
        Pending = "pending",
        /// Written to the project's checkout.
        Applied = "applied",
        /// Refused by a human.
        Rejected = "rejected",
        /// Applied, then taken back.
        Reverted = "reverted",
        /// A later turn changed the same file again.
        Superseded = "superseded",
        /// The project moved on underneath it.
        Stale = "stale",
    }
}

impl PendingStatus {
    /// Whether it waits for a human's decision.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Pending | Self::Stale)
    }
}

impl PendingChange {
    /// Whether anything of it waits for a human's decision.
    pub fn is_open(&self) -> bool {
        self.status.is_open() || self.hunks.iter().any(|hunk| hunk.status.is_open())
    }

    /// Whether one of its sides is a repository inside the project, which is no file to write.
    pub fn is_submodule(&self) -> bool {
        self.base.iter().chain(&self.target).any(BlobRef::is_submodule)
    }
}

/// One hunk of a pending change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hunk {
    /// Its id.
    pub id: HunkId,
    /// Its first line in the base, from 1 (0 for an empty base).
    pub old_start: u32,
    /// How many lines of the base it covers.
    pub old_lines: u32,
    /// Its first line in the new content, from 1.
    pub new_start: u32,
    /// How many lines of the new content it covers.
    pub new_lines: u32,
    /// Its lines, each with its `+`, `-` or space, and its header.
    pub diff: String,
    /// What became of it.
    pub status: PendingStatus,
    /// The agent whose turn touched its lines last, or none for a human.
    pub agent: Option<AgentName>,
    /// The task of that turn.
    pub task_id: Option<TaskId>,
    /// The tool call that made it, where it is known.
    pub tool_call_id: Option<ToolCallId>,
}

text_enum! {
    /// What a human decided on a pending change.
    pub enum PendingDecisionKind ("kind of decision") {
        /// To write it to the project.
        Apply = "apply",
        /// To take it out of the worktree.
        Reject = "reject",
        /// To take it back out of the project.
        Revert = "revert",
        /// To bring it onto what the project holds by now.
        Rebase = "rebase",
    }
}

/// A decision on a pending change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingDecision {
    /// What was decided.
    pub kind: PendingDecisionKind,
    /// The hunks that it was about; empty for a change without hunks.
    pub hunks: Vec<HunkId>,
    /// By whom.
    pub decided_by: DecidedBy,
    /// When.
    pub at: Timestamp,
    /// The commit that the place stood on, in hexadecimal; empty for a refusal that is yet to be carried out.
    pub against: String,
    /// What the file held before, none for no file.
    pub before: Option<BlobRef>,
    /// What it held after.
    pub after: Option<BlobRef>,
}

/// A decision that is being carried out on files: written before the first file is changed, and taken away in the
/// transaction that records the outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenDecision {
    /// Its id.
    pub id: DecisionId,
    /// The project whose files, or whose worktree's, it changes.
    pub project_id: ProjectId,
    /// The server that carries it out, where several share the store.
    pub server: Option<ServerId>,
    /// What it comes down to: the dispatcher's own JSON.
    pub body: RawJson,
    /// When it was begun.
    pub at: Timestamp,
}

/// An edit to one file, held back from the project's own checkout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingChange {
    /// Its id.
    pub id: PendingId,
    /// The session it belongs to, if any.
    pub session_id: Option<SessionId>,
    /// The task that made it, or none for a human's own.
    pub task_id: Option<TaskId>,
    /// The worktree whose diff it came from, or none for a human's own.
    pub worktree_id: Option<WorktreeId>,
    /// The path, relative to the project's root.
    pub file_path: String,
    /// The path before, for a rename.
    pub old_path: Option<String>,
    /// What it does to the file.
    pub operation: Operation,
    /// What became of it.
    pub status: PendingStatus,
    /// The agent that made it, or none for a human.
    pub agent: Option<AgentName>,
    /// The git blob it starts from and its mode, none for a new file.
    pub base: Option<BlobRef>,
    /// The git blob it leads to and its mode, none for a deletion.
    pub target: Option<BlobRef>,
    /// The change as a unified diff.
    pub diff: String,
    /// The same, hunk by hunk. Empty for what has no lines, such as a binary file.
    pub hunks: Vec<Hunk>,
    /// How often it was revised: a revision is written only over the one before it.
    pub revision: u32,
    /// What was decided on it, oldest first.
    pub decisions: Vec<PendingDecision>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A file's content in the project's object store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobRef {
    /// The blob's id, in hexadecimal.
    pub blob: String,
    /// The file's mode as git writes it, such as `100644`.
    pub mode: String,
}

impl BlobRef {
    /// Whether it is a submodule: then its id is that of a commit, in another repository.
    pub fn is_submodule(&self) -> bool {
        self.mode == "160000"
    }
}
