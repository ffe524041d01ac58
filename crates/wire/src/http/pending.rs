//! What clients are answered of pending changes and checkpoints.

use std::collections::BTreeSet;

use boocoder_model as model;
use boocoder_model::{ChatId, HunkId, PendingId, SessionId, TaskId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A hunk of a pending change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct Hunk {
    /// Its id.
    pub id: HunkId,
    /// Its first line before, from 1 (0 for an empty file).
    pub old_start: u32,
    /// How many lines before it covers.
    pub old_lines: u32,
    /// Its first line after, from 1.
    pub new_start: u32,
    /// How many lines after it covers.
    pub new_lines: u32,
    /// Its header and its lines, each with its `+`, `-` or space.
    pub diff: String,
    /// As for the whole change.
    pub status: String,
    /// The agent whose turn touched its lines last, or null for a human.
    pub agent: Option<String>,
    /// The task of that turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_id: Option<TaskId>,
    /// The tool call that made it, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
}

impl From<model::Hunk> for Hunk {
    fn from(hunk: model::Hunk) -> Self {
        Self {
            id: hunk.id,
            old_start: hunk.old_start,
            old_lines: hunk.old_lines,
            new_start: hunk.new_start,
            new_lines: hunk.new_lines,
            diff: hunk.diff,
            status: hunk.status.to_string(),
            agent: hunk.agent.map(|agent| agent.to_string()),
            task_id: hunk.task_id,
            tool_call_id: hunk.tool_call_id.map(|id| id.to_string()),
        }
    }
}

/// A change to one file that waits for a human, or was decided on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct PendingChange {
    /// Its id.
    pub id: PendingId,
    /// The session it belongs to.
    pub session_id: Option<SessionId>,
    /// The task that made it, or null for a human's own.
    pub task_id: Option<TaskId>,
    /// The file, relative to the project's root.
    pub file_path: String,
    /// Where a renamed file was before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old_path: Option<String>,
    /// `create`, `edit`, `delete`, `rename` or `mode`.
    pub operation: String,
    /// `pending`, `applied`, `rejected`, `reverted`, `superseded` or `stale`.
    pub status: String,
    /// The agent whose turn touched it last, or null for a human.
    pub agent: Option<String>,
    /// All whose doing it is, null for a human.
    pub agents: Vec<Option<String>>,
    /// Whether it has no lines to show: it is decided on as a whole.
    pub binary: bool,
    /// The mode before, as git writes it: `100644`, `100755`, or `120000` for a symbolic link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old_mode: Option<String>,
    /// The mode after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_mode: Option<String>,
    /// The change as a unified diff.
    pub diff: String,
    /// The same, hunk by hunk.
    pub hunks: Vec<Hunk>,
    /// What was decided on it, oldest first.
    pub decisions: Vec<PendingDecision>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// One decision on a pending change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct PendingDecision {
    /// `apply`, `reject`, `revert` or `rebase`.
    pub kind: String,
    /// The hunks that it was about; empty for a change without hunks.
    pub hunks: Vec<HunkId>,
    /// By whom: `user`.
    pub decided_by: String,
    /// When.
    pub at: Timestamp,
    /// The commit that the place stood on; empty for a refusal that is carried out when the turn ends.
    pub against: String,
}

impl From<model::PendingDecision> for PendingDecision {
    fn from(decision: model::PendingDecision) -> Self {
        Self {
            kind: decision.kind.to_string(),
            hunks: decision.hunks,
            decided_by: decision.decided_by.to_string(),
            at: decision.at,
            against: decision.against,
        }
    }
}

impl From<model::PendingChange> for PendingChange {
    fn from(change: model::PendingChange) -> Self {
        let text = |agent: &model::AgentName| agent.to_string();
        let of_hunks = change.hunks.iter().map(|hunk| hunk.agent.as_ref().map(text));
        let agents = of_hunks.chain([change.agent.as_ref().map(text)]).collect::<BTreeSet<_>>();
        let has_content =
            |side: &Option<model::BlobRef>| side.as_ref().is_some_and(|side| side.mode.starts_with("100"));
        let is_same = change.base.as_ref().map(|side| &side.blob) == change.target.as_ref().map(|side| &side.blob);
        Self {
            id: change.id,
            session_id: change.session_id,
            task_id: change.task_id,
            agents: agents.into_iter().collect(),
            binary: change.hunks.is_empty() && !is_same && (has_content(&change.base) || has_content(&change.target)),
            old_mode: change.base.as_ref().map(|side| side.mode.clone()),
            new_mode: change.target.as_ref().map(|side| side.mode.clone()),
            decisions: change.decisions.into_iter().map(Into::into).collect(),
            file_path: change.file_path,
            old_path: change.old_path,
            operation: change.operation.to_string(),
            status: change.status.to_string(),
            agent: change.agent.map(|agent| agent.to_string()),
            diff: change.diff,
            hunks: change.hunks.into_iter().map(Into::into).collect(),
            created_at: change.created_at,
        }
    }
}

/// A turn of a session, and what its worktree held before and after it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct Checkpoint {
    /// The task of the turn.
    pub turn: TaskId,
    /// The chat it was in.
    pub chat_id: Option<ChatId>,
    /// The agent.
    pub agent: String,
    /// How the task stands.
    pub state: String,
    /// When the turn began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// The git tree before, in hexadecimal.
    pub before_tree: Option<String>,
    /// The git tree after.
    pub after_tree: Option<String>,
}

/// `GET /api/sessions/:id/diff`: what changed from one moment to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct Comparison {
    /// A file each.
    pub files: Vec<FileComparison>,
}

/// What changed in one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct FileComparison {
    /// The file, relative to the project's root.
    pub file_path: String,
    /// Where a renamed file was before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old_path: Option<String>,
    /// As for a pending change.
    pub operation: String,
    /// Whether it has no lines to show.
    pub binary: bool,
    /// The change as a unified diff.
    pub diff: String,
}

/// `POST /api/sessions/:id/export`: a branch that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct Branch {
    /// Its name.
    pub branch: String,
    /// Its last commit.
    pub commit: String,
}
