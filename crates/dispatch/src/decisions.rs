//! A human's decisions on pending changes: apply, reject, revert, and a change of the human's own.

use boocoder_model::{PendingChange, PendingId, PendingStatus, Project, SessionId};
use boocoder_store::{Change, TaskFilter};
use boocoder_wire::{Frame, FrameBody};
use boocoder_worktree::RepoPath;

use crate::command::DispatchError;
use crate::dispatcher::Dispatcher;
use crate::env;
use crate::log::Entry;
use crate::pending::{Origin, contributors, row};
use crate::workspace::{Owner, new_file};

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
        let path: RepoPath = file_path.parse()?;
        let owner = self.store().session(session).await?.ok_or(DispatchError::NotFound("session"))?;
        let project = self.project(owner.project_id).await?;
        let repository = self.shared.workspaces.repository(&project).await?;
        if tokio::fs::symlink_metadata(repository.root().join(path.as_path())).await.is_ok() {
            return Err(DispatchError::Conflict(format!("{path} exists in the project already")));
        }
        let file = new_file(&repository, &path, content).await?;
        let file = file.ok_or_else(|| DispatchError::Conflict(format!("{path} is in the project's HEAD as it is")))?;
        let origin = Origin { session_id: Some(session), task_id: None, worktree_id: None, agent: None };
        let queued = row(&file, &origin, env::now(), &mut env::new_id);
        let _one_at_a_time = self.shared.deciding.lock().await;
        let rows = self.store().pending_changes(session).await?;
        let earlier = rows.iter().filter(|row| row.worktree_id.is_none() && row.file_path == queued.file_path);
        let (from, to) = (PendingStatus::Pending, PendingStatus::Superseded);
        let mut steps: Vec<_> = earlier
            .filter(|row| row.status == from)
            .map(|row| Change::SetPendingStatus { id: row.id, from, to, at: env::now() })
            .collect();
        steps.push(Change::AddPending(Box::new(queued.clone())));
        self.decide(session, steps).await?;
        Ok(queued)
    }

    /// Writes a pending change to the project's checkout. Doing it again is harmless.
    ///
    /// # Errors
    /// [`DispatchError::Worktree`] with a conflict if the file there is not what the change starts from;
    /// [`DispatchError::Conflict`] if it was decided otherwise.
    pub async fn apply(&self, id: PendingId) -> Result<PendingChange, DispatchError> {
        let _one_at_a_time = self.shared.deciding.lock().await;
        let (change, project) = self.decidable(id, PendingStatus::Pending, PendingStatus::Applied).await?;
        if change.status == PendingStatus::Pending {
            let repository = self.shared.workspaces.repository(&project).await?;
            repository.apply(&[(&change).try_into()?]).await?;
        }
        self.decided(change, PendingStatus::Pending, PendingStatus::Applied).await
    }

    /// Takes a pending change out of the worktree. Doing it again is harmless.
    ///
    /// # Errors
    /// [`DispatchError::Conflict`] while a turn of the session runs, or if it was decided otherwise.
    pub async fn reject(&self, id: PendingId) -> Result<PendingChange, DispatchError> {
        let _one_at_a_time = self.shared.deciding.lock().await;
        let (change, project) = self.decidable(id, PendingStatus::Pending, PendingStatus::Rejected).await?;
        if let (PendingStatus::Pending, Some(owner)) = (change.status, self.owner_of(&change).await?) {
            if matches!(owner, Owner::Session(_)) {
                let tasks = TaskFilter { session_id: change.session_id, ..TaskFilter::default() };
                self.refuse_while_running(&tasks, "the session").await?;
            }
            self.refuse_if_applied(&change, &project).await?;
            let slot = self.shared.workspaces.existing(owner, &project).await?;
            if let Some(workspace) = slot.as_ref() {
                workspace.checkout().reject(&[(&change).try_into()?]).await?;
            }
        }
        self.decided(change, PendingStatus::Pending, PendingStatus::Rejected).await
    }

    /// Takes an applied change back out of the project's checkout. Doing it again is harmless.
    ///
    /// # Errors
    /// [`DispatchError::Worktree`] with a conflict if the file has moved on; [`DispatchError::Conflict`] if it is not
    /// applied.
    pub async fn revert(&self, id: PendingId) -> Result<PendingChange, DispatchError> {
        let _one_at_a_time = self.shared.deciding.lock().await;
        let (change, project) = self.decidable(id, PendingStatus::Applied, PendingStatus::Reverted).await?;
        if change.status == PendingStatus::Applied {
            let repository = self.shared.workspaces.repository(&project).await?;
            repository.revert(&[(&change).try_into()?]).await?;
        }
        self.decided(change, PendingStatus::Applied, PendingStatus::Reverted).await
    }

    async fn decidable(
        &self,
        id: PendingId,
        from: PendingStatus,
        to: PendingStatus,
    ) -> Result<(PendingChange, Project), DispatchError> {
        let change = self.store().pending_change(id).await?.ok_or(DispatchError::NotFound("pending change"))?;
        if change.status != from && change.status != to {
            let text = format!("the change is {}: only one that is {from} can become {to}", change.status);
            return Err(DispatchError::Conflict(text));
        }
        let project_id = match (change.session_id, change.task_id) {
            (Some(id), _) => self.store().session(id).await?.map(|session| session.project_id),
            (None, Some(id)) => self.store().task(id).await?.map(|task| task.project_id),
            (None, None) => None,
        };
        let project = self.project(project_id.ok_or(DispatchError::NotFound("session"))?).await?;
        Ok((change, project))
    }

    async fn decided(
        &self,
        mut change: PendingChange,
        from: PendingStatus,
        to: PendingStatus,
    ) -> Result<PendingChange, DispatchError> {
        if change.status == to {
            return Ok(change);
        }
        let step = Change::SetPendingStatus { id: change.id, from, to, at: env::now() };
        match change.session_id {
            Some(session) => self.decide(session, vec![step]).await?,
            None => self.write(None, vec![step]).await?,
        }
        match self.owner_of(&change).await? {
            Some(owner @ Owner::Session(_)) => self.shared.workspaces.decided(owner).await,
            Some(owner @ Owner::Task(task)) => {
                self.shared.workspaces.decided(owner).await;
                // The last decision on what a task has done leaves its worktree without a use.
                if let Err(error) = self.shared.workspaces.discard_unused(task).await {
                    tracing::warn!(%task, %error, "the worktree of a task could not be removed");
                }
            }
            None => {}
        }
        change.status = to;
        for hunk in change.hunks.iter_mut().filter(|hunk| hunk.status == from) {
            hunk.status = to;
        }
        Ok(change)
    }

    /// Writes a decision, and shows who has pending changes after it.
    async fn decide(&self, session: SessionId, changes: Vec<Change>) -> Result<(), DispatchError> {
        let rows = self.store().pending_changes(session).await?;
        let agents = contributors(&rows, &changes);
        let agents = agents.into_iter().map(|agent| agent.map(|name| name.to_string())).collect();
        let frames = vec![Frame::of_session(FrameBody::PendingChanged { agents })];
        self.shared.log.write(Entry { session: Some(session), changes, frames }).await?;
        Ok(())
    }

    /// Whose worktree a change came from; a human's own came from none. A task that belongs to a session and to no chat of
    /// it has one of its own.
    async fn owner_of(&self, change: &PendingChange) -> Result<Option<Owner>, DispatchError> {
        if change.worktree_id.is_none() {
            return Ok(None);
        }
        let task = match change.task_id {
            Some(id) => self.store().task(id).await?,
            None => None,
        };
        Ok(task.as_ref().map(Owner::of).or(change.session_id.map(Owner::Session)))
    }

    /// Refuses to reject what is in the project's checkout: a process that died while it applied the change left it so.
    async fn refuse_if_applied(&self, change: &PendingChange, project: &Project) -> Result<(), DispatchError> {
        let repository = self.shared.workspaces.repository(project).await?;
        let path: RepoPath = change.file_path.parse()?;
        let found = match tokio::fs::read(repository.root().join(path.as_path())).await {
            Ok(content) => Some(repository.store_blob(&path, content).await?),
            Err(_) => None,
        };
        let target = change.target.as_ref().map(|target| target.blob.clone());
        let base = change.base.as_ref().map(|base| base.blob.clone());
        if found == target && found != base {
            let text = "the project's checkout holds this change already: apply it, then revert it";
            return Err(DispatchError::Conflict(text.to_owned()));
        }
        Ok(())
    }
}
