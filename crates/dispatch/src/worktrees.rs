//! All worktrees: how each is, mended when it was moved or taken away, and cleared away when nobody knows of it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use boocoder_model::{Project, ProjectId, Task, TaskState, Worktree, WorktreeId};
use boocoder_store::{Change, TaskFilter};
use boocoder_worktree::{Checkout, CheckoutEntry, CommitId, Preparation, Repository, WorktreeError};

use crate::command::DispatchError;
use crate::dispatcher::Dispatcher;
use crate::log::Entry;
use crate::workspace::{Owner, Workspace, Workspaces, last_tree};

/// How new worktrees are made ready.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preparations {
    /// Those of every project that is not in `projects`.
    pub all: Preparation,
    /// Those of a project by the root of its checkout.
    pub projects: BTreeMap<PathBuf, Preparation>,
}

impl Preparations {
    /// The one for a project.
    pub(crate) fn of(&self, root: &Path) -> &Preparation {
        self.projects.get(root).unwrap_or(&self.all)
    }
}

/// A worktree, how it is, and who works in it.
#[derive(Clone, Debug)]
pub struct WorktreeReport {
    /// The worktree.
    pub worktree: Worktree,
    /// How it is.
    pub state: WorktreeState,
    /// The tasks that run in it now.
    pub tasks: Vec<Task>,
}

/// How a worktree is. All but the first are mended by whoever uses it next, or by [`Dispatcher::repair_worktree`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WorktreeState {
    /// As it should be.
    Ready,
    /// Its directory is not there. It comes back as the last turn left it.
    Gone,
    /// It and its project do not know each other any more: one of them was moved.
    Unlinked,
    /// Its making or its removal was cut short.
    Incomplete,
    /// Its project cannot be opened.
    NoProject(String),
}

impl WorktreeState {
    /// The state in one word.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Gone => "gone",
            Self::Unlinked => "unlinked",
            Self::Incomplete => "incomplete",
            Self::NoProject(_) => "no_project",
        }
    }
}

impl Dispatcher {
    /// All worktrees, oldest first, or those of one project.
    ///
    /// # Errors
    /// [`DispatchError::NotFound`] for an unknown project.
    pub async fn worktrees(&self, project: Option<ProjectId>) -> Result<Vec<WorktreeReport>, DispatchError> {
        if let Some(project) = project {
            self.project(project).await?;
        }
        let mut worktrees = self.store().worktrees().await?;
        worktrees.retain(|worktree| project.is_none_or(|project| worktree.project_id == project));
        let mut known: BTreeMap<ProjectId, Result<Vec<CheckoutEntry>, String>> = BTreeMap::new();
        for id in worktrees.iter().map(|worktree| worktree.project_id).collect::<BTreeSet<_>>() {
            let entries = async {
                let project = self.project(id).await?;
                Ok::<_, DispatchError>(self.shared.workspaces.repository(&project).await?.checkouts().await?)
            };
            known.insert(id, entries.await.map_err(|error| error.to_string()));
        }
        let running = TaskFilter { state: Some(TaskState::Running), limit: Some(usize::MAX), ..TaskFilter::default() };
        let running = self.store().tasks(running).await?;
        let mut reports = Vec::new();
        for worktree in worktrees {
            let state = match &known[&worktree.project_id] {
                Ok(entries) => look(&worktree, entries).await?,
                Err(reason) => WorktreeState::NoProject(reason.clone()),
            };
            let owner = Owner::of_worktree(&worktree);
            let tasks = running.iter().filter(|task| Some(Owner::of(task)) == owner).cloned().collect();
            reports.push(WorktreeReport { worktree, state, tasks });
        }
        Ok(reports)
    }

    /// Mends a worktree that was moved or taken away, and tells how it is then.
    ///
    /// # Errors
    /// [`DispatchError::NotFound`] for an unknown worktree; [`DispatchError::Worktree`] if it cannot be mended.
    pub async fn repair_worktree(&self, id: WorktreeId) -> Result<WorktreeReport, DispatchError> {
        let found = self.store().worktrees().await?.into_iter().find(|worktree| worktree.id == id);
        let worktree = found.ok_or(DispatchError::NotFound("worktree"))?;
        let project = self.project(worktree.project_id).await?;
        if let Some(owner) = Owner::of_worktree(&worktree) {
            self.shared.workspaces.existing(owner, &project).await?;
        }
        let reports = self.worktrees(Some(project.id)).await?;
        reports.into_iter().find(|report| report.worktree.id == id).ok_or(DispatchError::NotFound("worktree"))
    }

    /// Notes that a project's checkout is elsewhere now. Its worktrees are tied to it when they are used next.
    ///
    /// # Errors
    /// [`DispatchError::NotFound`] for an unknown project; [`DispatchError::Invalid`] if another repository is there;
    /// [`DispatchError::Conflict`] if that is a project already, or while a turn of this one runs.
    pub async fn move_project(&self, id: ProjectId, path: &Path) -> Result<Project, DispatchError> {
        let project = self.project(id).await?;
        let repository = self.shared.workspaces.repository_at(path).await?;
        let root = repository.root().to_owned();
        if root == project.path {
            return Ok(project);
        }
        if self.store().project_at(&root).await?.is_some() {
            return Err(DispatchError::Conflict(format!("{} is a project already", root.display())));
        }
        let reports = self.worktrees(Some(id)).await?;
        if reports.iter().any(|report| !report.tasks.is_empty()) {
            return Err(DispatchError::Conflict("a turn of the project is running: cancel it first".to_owned()));
        }
        let entries = repository.checkouts().await?;
        if let Some(stranger) = reports
            .iter()
            .map(|report| &report.worktree)
            .find(|worktree| !entries.iter().any(|entry| entry.path == worktree.path))
        {
            let (root, path) = (root.display(), stranger.path.display());
            return Err(DispatchError::Invalid(format!("{root} is another repository: it does not know {path}")));
        }
        self.write(None, vec![Change::MoveProject { id, path: root.clone() }]).await?;
        for owner in reports.iter().filter_map(|report| Owner::of_worktree(&report.worktree)) {
            *self.shared.workspaces.slot(owner).lock().await = None;
        }
        Ok(Project { path: root, ..project })
    }
}

impl Workspaces {
    /// Opens a worktree that is recorded.
    pub(crate) async fn open(
        &self,
        owner: Owner,
        record: Worktree,
        project: &Project,
    ) -> Result<Workspace, DispatchError> {
        let repository = self.repository(project).await?;
        let record = self.found(owner, record).await?;
        let base: CommitId = record.base_commit.parse()?;
        let checkout = match repository.open_checkout(&record.path, &base).await {
            Err(error) => self.mend(owner, &repository, &record.path, &base, error).await?,
            Ok(checkout) => checkout,
        };
        Ok(Workspace::new(record.id, checkout))
    }

    /// A worktree moves with the directory that all of them are in.
    async fn found(&self, owner: Owner, record: Worktree) -> Result<Worktree, DispatchError> {
        let here = self.root.join(owner.name());
        if !is_absent(&record.path).await || is_absent(&here).await {
            return Ok(record);
        }
        tracing::warn!(from = %record.path.display(), to = %here.display(), "a worktree was moved");
        let changes = vec![Change::MoveWorktree { id: record.id, path: here.clone() }];
        self.log().write(Entry { session: None, changes, frames: Vec::new() }).await?;
        Ok(Worktree { path: here, ..record })
    }

    /// Opens a worktree all the same that could not be opened.
    async fn mend(
        &self,
        owner: Owner,
        repository: &Repository,
        path: &Path,
        base: &CommitId,
        error: WorktreeError,
    ) -> Result<Checkout, DispatchError> {
        let is_absent = matches!(&error, WorktreeError::Io { source, .. } if source.kind() == ErrorKind::NotFound)
            // Where the directory around it is gone as well, a disk may be away: nothing is made in its place.
            && path.parent().is_some_and(Path::exists);
        if matches!(error, WorktreeError::Incomplete { .. })
            && repository.entry_at(path).await?.is_some_and(|entry| !entry.removing)
        {
            // It was whole when it was recorded.
            tracing::warn!(path = %path.display(), "a worktree gets back what tells that it is whole");
            repository.complete(path).await?;
            return Ok(repository.open_checkout(path, base).await?);
        }
        if is_absent || matches!(error, WorktreeError::Incomplete { .. }) {
            tracing::warn!(path = %path.display(), %error, "a worktree is put back as it was last seen");
            let tree = last_tree(repository, base, owner).await?;
            let preparation = self.preparations.of(repository.root());
            return Ok(repository.restore_worktree(path, base, &tree, preparation).await?);
        }
        if matches!(error, WorktreeError::NotARepository { .. } | WorktreeError::NotOurs { .. }) {
            tracing::warn!(path = %path.display(), %error, "a worktree and its project are tied together again");
            repository.repair(path).await?;
            return Ok(repository.open_checkout(path, base).await?);
        }
        Err(error.into())
    }

    /// Removes the worktrees that nobody knows of: whoever made one died before it was recorded, so nobody has worked in it.
    /// One that holds work all the same stays. Says how many went.
    pub(crate) async fn remove_strays(&self) -> Result<usize, DispatchError> {
        // By name: one that is recorded elsewhere may have been moved here.
        let recorded = self.store().worktrees().await?;
        let known: BTreeSet<PathBuf> =
            recorded.iter().filter_map(Owner::of_worktree).map(|owner| self.root.join(owner.name())).collect();
        let mut strays = Vec::new();
        let listing = std::fs::read_dir(&self.root).into_iter().flatten().flatten();
        strays.extend(listing.map(|item| item.path()).filter(|path| is_name_of_ours(path) && !known.contains(path)));
        if strays.is_empty() {
            return Ok(0);
        }
        let mut removed = 0;
        for project in self.store().projects().await? {
            let Ok(repository) = self.repository(&project).await else { continue };
            for entry in repository.checkouts().await?.into_iter().filter(|entry| strays.contains(&entry.path)) {
                match clear(&repository, &entry).await {
                    Ok(()) => removed += 1,
                    Err(error) => tracing::warn!(path = %entry.path.display(), %error, "a worktree of nobody stays"),
                }
            }
        }
        Ok(removed)
    }
}

async fn clear(repository: &Repository, entry: &CheckoutEntry) -> Result<(), WorktreeError> {
    if !entry.complete {
        return repository.discard(entry).await;
    }
    let checkout = repository.open_checkout(&entry.path, &repository.head().await?).await?;
    checkout.remove("stray", false).await.map(drop)
}

/// Whether a directory is named as those of [`Owner`]s are.
fn is_name_of_ours(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.starts_with("session-") || name.starts_with("task-")
}

async fn look(worktree: &Worktree, entries: &[CheckoutEntry]) -> Result<WorktreeState, DispatchError> {
    if is_absent(&worktree.path).await {
        return Ok(WorktreeState::Gone);
    }
    Ok(match entries.iter().find(|entry| entry.path == worktree.path) {
        Some(entry) if !entry.complete => WorktreeState::Incomplete,
        Some(entry) if entry.is_linked().await? => WorktreeState::Ready,
        Some(_) | None => WorktreeState::Unlinked,
    })
}

/// Whether there is nothing at a path.
pub(crate) async fn is_absent(path: &Path) -> bool {
    tokio::fs::symlink_metadata(path).await.is_err_and(|error| error.kind() == ErrorKind::NotFound)
}
