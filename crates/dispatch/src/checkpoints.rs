//! What a session's worktree held after each turn: listed, compared, brought back, and taken elsewhere.

use std::collections::BTreeSet;

use boocoder_model::{Session, SessionId, Task, TaskId, Turn};
use boocoder_store::TaskFilter;
use boocoder_worktree::{Change as FileChange, CommitId, FileDiff, Step, TreeId, WorktreeError};

use crate::command::DispatchError;
use crate::decisions::{Files, Plan};
use crate::dispatcher::{Dispatcher, to_its_end};
use crate::workspace::{Owner, Workspace, keep};

/// A turn, and what the worktree held before and after it.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// What was asked.
    pub task: Task,
    /// The turn, with its trees.
    pub turn: Turn,
}

/// A moment in the life of a session's worktree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Moment {
    /// When it was made.
    Base,
    /// As it is.
    Now,
    /// After the turn of a task.
    After(TaskId),
    /// When it held a tree that a turn of the session began or ended with.
    Tree(String),
}

impl Dispatcher {
    /// The turns of a session that have ended and whose worktree was looked at, oldest first.
    ///
    /// # Errors
    /// [`DispatchError::NotFound`] for an unknown session.
    pub async fn checkpoints(&self, id: SessionId) -> Result<Vec<Checkpoint>, DispatchError> {
        self.store().session(id).await?.ok_or(DispatchError::NotFound("session"))?;
        let tasks = self.store().tasks(TaskFilter { session_id: Some(id), ..TaskFilter::default() }).await?;
        let turns = self.store().turns_of_session(id).await?;
        let kept = turns.into_iter().filter(|turn| turn.after_tree.is_some()).filter_map(|turn| {
            // A task of the session with a worktree of its own is no part of this one's life.
            let task = tasks.iter().find(|task| task.id == turn.task_id && Owner::of(task) == Owner::Session(id))?;
            Some(Checkpoint { task: task.clone(), turn })
        });
        Ok(kept.collect())
    }

    /// What changed in a session's worktree from one moment to another.
    ///
    /// # Errors
    /// [`DispatchError::NotFound`] for a session or a turn that there is not; [`DispatchError::Conflict`] if the session has
    /// no worktree yet.
    pub async fn compare(&self, id: SessionId, from: Moment, to: Moment) -> Result<Vec<FileDiff>, DispatchError> {
        let session = self.store().session(id).await?.ok_or(DispatchError::NotFound("session"))?;
        let turns = self.checkpoints(id).await?;
        let slot = self.workspace(&session).await?;
        let workspace = slot.as_ref().ok_or_else(no_worktree)?;
        let (from, to) = (tree(workspace, &turns, from).await?, tree(workspace, &turns, to).await?);
        Ok(workspace.checkout().repository().diff(&from, &to).await?)
    }

    /// Brings a session's worktree back to what it held after a turn. What it holds now is kept as a snapshot first.
    ///
    /// # Errors
    /// [`DispatchError::Conflict`] while a turn runs, or if what the worktree holds cannot be kept;
    /// [`DispatchError::NotFound`] for an unknown turn.
    pub async fn restore(&self, id: SessionId, task: TaskId) -> Result<(), DispatchError> {
        let this = self.clone();
        to_its_end(async move { this.restore_to(id, task).await }).await
    }

    async fn restore_to(&self, id: SessionId, task: TaskId) -> Result<(), DispatchError> {
        let session = self.store().session(id).await?.ok_or(DispatchError::NotFound("session"))?;
        let _one_at_a_time = self.one_at_a_time(session.project_id).await?;
        let tasks = TaskFilter { session_id: Some(id), ..TaskFilter::default() };
        self.refuse_while_running(&tasks, "the session").await?;
        let turns = self.checkpoints(id).await?;
        let mut slot = self.workspace(&session).await?;
        let workspace = slot.as_mut().ok_or_else(no_worktree)?;
        let target = tree(workspace, &turns, Moment::After(task)).await?;
        let snapshot = workspace.checkout().snapshot().await?;
        if !snapshot.missing.is_empty() {
            let text = format!("the worktree holds what cannot be kept: {}", snapshot.missing.join("; "));
            return Err(DispatchError::Conflict(text));
        }
        let owner = Owner::Session(id);
        keep(workspace, &snapshot.tree, owner, None).await?;
        let repository = workspace.checkout().repository().clone();
        let files = repository.diff(&snapshot.tree, &target).await?;
        let changes: Vec<FileChange> = files.into_iter().map(|file| file.change).collect();
        let steps: Vec<Step> =
            changes.iter().map(FileChange::steps).collect::<Result<Vec<_>, WorktreeError>>()?.concat();
        let project = self.project(session.project_id).await?;
        let open = self.carry_out(&repository, &project, &Plan::of_steps(Files::Session(id), steps)).await?;
        let (mut changes, agents) = self.shared.workspaces.compare_by_hand(owner, workspace, None, &target).await?;
        changes.push(boocoder_store::Change::EndDecision { id: open });
        self.shared.workspaces.tell(Some(id), changes, agents).await
    }

    /// All that a session changed, as one patch that `git apply` takes.
    ///
    /// # Errors
    /// As [`Dispatcher::compare`].
    pub async fn export_patch(&self, id: SessionId) -> Result<Vec<u8>, DispatchError> {
        let session = self.store().session(id).await?.ok_or(DispatchError::NotFound("session"))?;
        let slot = self.workspace(&session).await?;
        let workspace = slot.as_ref().ok_or_else(no_worktree)?;
        let now = workspace.checkout().snapshot().await?.tree;
        Ok(workspace.checkout().repository().patch(workspace.checkout().base_commit(), &now).await?)
    }

    /// Makes a branch of a session's snapshots: a commit for each turn that changed something, by its agent. Nothing is
    /// checked out.
    ///
    /// # Errors
    /// As [`Dispatcher::compare`]; [`DispatchError::Conflict`] if the branch is there or the session changed nothing;
    /// [`DispatchError::Invalid`] for a name that is none of a branch.
    pub async fn export_branch(&self, id: SessionId, name: &str) -> Result<CommitId, DispatchError> {
        let session = self.store().session(id).await?.ok_or(DispatchError::NotFound("session"))?;
        let slot = self.workspace(&session).await?;
        let workspace = slot.as_ref().ok_or_else(no_worktree)?;
        let repository = workspace.checkout().repository();
        let Some(last) = repository.pinned(&Owner::Session(id).snapshots()).await? else {
            return Err(DispatchError::Conflict("the session has changed nothing".to_owned()));
        };
        if !repository.is_branch_name(name).await? {
            return Err(DispatchError::Invalid(format!("{name:?} is no name of a branch")));
        }
        if !repository.add_branch(name, &last).await? {
            return Err(DispatchError::Conflict(format!("there is a branch {name} already")));
        }
        Ok(last)
    }

    async fn workspace(
        &self,
        session: &Session,
    ) -> Result<tokio::sync::OwnedMutexGuard<Option<Workspace>>, DispatchError> {
        let project = self.project(session.project_id).await?;
        self.shared.workspaces.existing(Owner::Session(session.id), &project).await
    }
}

fn no_worktree() -> DispatchError {
    DispatchError::Conflict("the session has no worktree yet".to_owned())
}

async fn tree(workspace: &Workspace, turns: &[Checkpoint], moment: Moment) -> Result<TreeId, DispatchError> {
    let repository = workspace.checkout().repository();
    let id: String = match moment {
        Moment::Base => return Ok(repository.tree(workspace.checkout().base_commit()).await?),
        Moment::Now => return Ok(workspace.checkout().snapshot().await?.tree),
        Moment::After(task) => {
            let turn = turns.iter().rev().find(|checkpoint| checkpoint.task.id == task);
            turn.and_then(|checkpoint| checkpoint.turn.after_tree.clone()).ok_or(DispatchError::NotFound("turn"))?
        }
        Moment::Tree(id) => {
            let of_turn =
                |turn: &Turn| [&turn.before_tree, &turn.after_tree].into_iter().flatten().any(|tree| *tree == id);
            if !turns.iter().any(|checkpoint| of_turn(&checkpoint.turn)) {
                return Err(DispatchError::NotFound("turn"));
            }
            id
        }
    };
    if !workspace.checkout().repository().missing(&BTreeSet::from([id.clone()])).await?.is_empty() {
        return Err(WorktreeError::Gone { id }.into());
    }
    Ok(id.parse()?)
}
