//! Worktrees as clients see them.

use boocoder_model as model;
use boocoder_model::{ProjectId, SessionId, TaskId, WorktreeId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// An element of `GET /api/worktrees`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct Worktree {
    /// Its id.
    pub id: WorktreeId,
    /// The project that it was made from.
    pub project_id: ProjectId,
    /// The session that owns it, if one does.
    pub session_id: Option<SessionId>,
    /// The task that owns it, if one does.
    pub task_id: Option<TaskId>,
    /// Where it is.
    pub path: String,
    /// The commit that it was made from.
    pub base_commit: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// `ready`; or `gone`, `unlinked` or `incomplete`, which is mended by whoever uses it next or by a repair; or
    /// `no_project`.
    pub state: String,
    /// Why its project cannot be opened, if it cannot.
    pub problem: Option<String>,
    /// The tasks that run in it now.
    pub running: Vec<TaskId>,
}

impl Worktree {
    /// A worktree as it was found.
    pub fn new(worktree: model::Worktree, state: &str, problem: Option<String>, running: Vec<TaskId>) -> Self {
        Self {
            id: worktree.id,
            project_id: worktree.project_id,
            session_id: worktree.session_id,
            task_id: worktree.task_id,
            path: worktree.path.to_string_lossy().into_owned(),
            base_commit: worktree.base_commit,
            created_at: worktree.created_at,
            state: state.to_owned(),
            problem,
            running,
        }
    }
}
