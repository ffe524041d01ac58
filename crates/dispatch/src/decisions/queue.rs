//! Changes that are queued by hand or by tools of our own: no agent's worktree has them.

use boocoder_model::{AgentName, BlobRef, PendingChange, SessionId};
use boocoder_store::Change;
use boocoder_worktree::{FileDiff, Found, RepoPath, Repository, WorktreeError};

use crate::command::DispatchError;
use crate::comparing::read;
use crate::dispatcher::Dispatcher;
use crate::env;
use crate::ledger::{Origin, new_row, superseded};

/// The agent that native tools queue changes for, unless they name another.
pub const NATIVE_AGENT: &str = "boocode";

/// What becomes of a file that is queued.
enum Queued {
    Create(String),
    Edit(String),
    Delete,
}

impl Dispatcher {
    /// Queues a new file of a human's own. Nothing is written to the project until it is applied.
    ///
    /// # Errors
    /// [`DispatchError::Worktree`] for a path outside the project; [`DispatchError::Conflict`] if the file is there.
    pub async fn queue_file(
        &self,
        session: SessionId,
        file_path: &str,
        content: String,
    ) -> Result<PendingChange, DispatchError> {
        self.queue(session, file_path, Queued::Create(content), None).await
    }

    /// Queues a new file for a native tool, as [`NATIVE_AGENT`] unless another name is given.
    ///
    /// # Errors
    /// As [`Dispatcher::queue_file`].
    pub async fn queue_create(
        &self,
        session: SessionId,
        file_path: &str,
        content: String,
        agent: Option<AgentName>,
    ) -> Result<PendingChange, DispatchError> {
        self.queue(session, file_path, Queued::Create(content), Some(native(agent))).await
    }

    /// Queues another content of a file of the project.
    ///
    /// # Errors
    /// As [`Dispatcher::queue_file`]; [`DispatchError::Conflict`] if the project's HEAD has no such file.
    pub async fn queue_edit(
        &self,
        session: SessionId,
        file_path: &str,
        content: String,
        agent: Option<AgentName>,
    ) -> Result<PendingChange, DispatchError> {
        self.queue(session, file_path, Queued::Edit(content), Some(native(agent))).await
    }

    /// Queues the removal of a file of the project.
    ///
    /// # Errors
    /// As [`Dispatcher::queue_edit`].
    pub async fn queue_delete(
        &self,
        session: SessionId,
        file_path: &str,
        agent: Option<AgentName>,
    ) -> Result<PendingChange, DispatchError> {
        self.queue(session, file_path, Queued::Delete, Some(native(agent))).await
    }

    async fn queue(
        &self,
        session: SessionId,
        file_path: &str,
        queued: Queued,
        agent: Option<AgentName>,
    ) -> Result<PendingChange, DispatchError> {
        let path: RepoPath = file_path.parse()?;
        let owner = self.store().session(session).await?.ok_or(DispatchError::NotFound("session"))?;
        let project = self.project(owner.project_id).await?;
        let repository = self.shared.workspaces.repository(&project).await?;
        if matches!(queued, Queued::Create(_))
            && tokio::fs::symlink_metadata(repository.root().join(path.as_path())).await.is_ok()
        {
            return Err(DispatchError::Conflict(format!("{path} exists in the project already")));
        }
        // What is on its way to the file is checked now, not only once it is applied.
        if repository.holds(&path).await? == Found::BehindLink {
            let reason = "one of its directories is a symbolic link";
            return Err(WorktreeError::UnsafePath { path: path.to_string(), reason }.into());
        }
        let file = diff(&repository, &path, queued).await?;
        let sides = file.change.base.iter().chain(&file.change.target).map(|side| side.blob.clone());
        let contents = read(&repository, sides.collect()).await?;
        let origin = Origin { session_id: Some(session), agent, ..Origin::default() };
        let row = new_row(&file, None, &contents, &origin, env::now(), &mut env::new_id);
        let _one_at_a_time = self.one_at_a_time(project.id).await?;
        let rows = self.store().pending_changes(session).await?;
        let earlier = rows
            .into_iter()
            .filter(|earlier| earlier.worktree_id.is_none() && earlier.file_path == row.file_path && earlier.is_open());
        let mut changes: Vec<_> = earlier.map(superseded).collect();
        changes.push(Change::AddPending(Box::new(row.clone())));
        self.show(Some(session), changes).await?;
        Ok(row)
    }
}

fn native(agent: Option<AgentName>) -> AgentName {
    agent.unwrap_or_else(|| NATIVE_AGENT.into())
}

/// A file against the project's HEAD.
async fn diff(repository: &Repository, path: &RepoPath, queued: Queued) -> Result<FileDiff, DispatchError> {
    let head = repository.head().await?;
    let base = repository.entry(&head, path).await?;
    if base.as_ref().is_some_and(BlobRef::is_submodule) {
        return Err(WorktreeError::Submodule { path: path.clone() }.into());
    }
    let target = match (queued, &base) {
        (Queued::Create(content), _) => {
            let blob = repository.store_blob(path, content.into_bytes()).await?;
            Some(BlobRef { blob, mode: "100644".to_owned() })
        }
        (Queued::Edit(content), Some(base)) => {
            let blob = repository.store_blob(path, content.into_bytes()).await?;
            Some(BlobRef { blob, mode: base.mode.clone() })
        }
        (Queued::Delete, Some(_)) => None,
        (Queued::Edit(_) | Queued::Delete, None) => {
            return Err(DispatchError::Conflict(format!("{path} is not in the project's HEAD")));
        }
    };
    let tree = repository.overlay(&head, &[(path.clone(), target)]).await?;
    let file = repository.diff(&head, &tree).await?.into_iter().find(|file| file.change.path == *path);
    file.ok_or_else(|| DispatchError::Conflict(format!("{path} is in the project's HEAD as it is")))
}
