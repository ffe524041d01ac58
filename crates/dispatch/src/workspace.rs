//! The worktrees of sessions and of tasks of their own: made once, compared after each turn, never removed at a risk.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use boocoder_model::{
    AgentName, ContentPart, PendingChange, Project, SessionId, Task, TaskId, TaskState, Worktree, WorktreeId,
};
use boocoder_store::{Change, Store, TaskFilter};
use boocoder_worktree::{Checkout, CommitId, Git, Repository, Risk, TreeId};
use tokio::sync::OwnedMutexGuard;

use crate::command::DispatchError;
use crate::env;
use crate::log::{Entry, Log};
use crate::worktrees::{Preparations, is_absent};

/// Who owns a worktree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Owner {
    Session(SessionId),
    Task(TaskId),
}

impl Owner {
    pub(crate) fn of_worktree(worktree: &Worktree) -> Option<Self> {
        worktree.session_id.map(Self::Session).or(worktree.task_id.map(Self::Task))
    }

    /// A task of a chat works in its session's worktree; any other in one of its own.
    pub(crate) fn of(task: &Task) -> Self {
        match (task.session_id, task.chat_id) {
            (Some(session), Some(_)) => Self::Session(session),
            (Some(_) | None, _) => Self::Task(task.id),
        }
    }

    /// The session, if it is one's.
    pub(crate) const fn session(self) -> Option<SessionId> {
        match self {
            Self::Session(id) => Some(id),
            Self::Task(_) => None,
        }
    }

    pub(crate) fn name(self) -> String {
        match self {
            Self::Session(id) => format!("session-{id}"),
            Self::Task(id) => format!("task-{id}"),
        }
    }

    /// What the snapshots of its worktree are pinned under.
    pub(crate) fn snapshots(self) -> String {
        format!("turns/{}", self.name())
    }
}

/// An open worktree.
pub(crate) struct Workspace {
    id: WorktreeId,
    checkout: Checkout,
    /// The tree that the pending changes were last brought in line with.
    compared: Option<TreeId>,
    /// What it held when the turn began that runs in it.
    before: Option<(TaskId, TreeId)>,
}

impl Workspace {
    pub(crate) const fn new(id: WorktreeId, checkout: Checkout) -> Self {
        Self { id, checkout, compared: None, before: None }
    }

    pub(crate) fn path(&self) -> &Path {
        self.checkout.path()
    }

    pub(crate) const fn checkout(&self) -> &Checkout {
        &self.checkout
    }

    pub(crate) const fn id(&self) -> WorktreeId {
        self.id
    }

    pub(crate) fn set_compared(&mut self, tree: Option<TreeId>) {
        self.compared = tree;
    }

    /// What it held when a turn began, if that was looked at.
    pub(crate) fn before(&self, task: TaskId) -> Option<TreeId> {
        self.before.as_ref().filter(|(before, _)| *before == task).map(|(_, tree)| tree.clone())
    }

    pub(crate) fn set_before(&mut self, task: TaskId, tree: TreeId) {
        self.before = Some((task, tree));
    }

    /// What it held when it was last looked at: the last snapshot that was kept, or what it was made with.
    pub(crate) async fn last_tree(&self, owner: Owner) -> Result<TreeId, DispatchError> {
        last_tree(self.checkout.repository(), self.checkout.base_commit(), owner).await
    }
}

/// What a worktree held when it was last looked at.
pub(crate) async fn last_tree(repository: &Repository, base: &CommitId, owner: Owner) -> Result<TreeId, DispatchError> {
    let last = repository.pinned(&owner.snapshots()).await?;
    Ok(repository.tree(last.as_ref().unwrap_or(base)).await?)
}

type Slot = Arc<tokio::sync::Mutex<Option<Workspace>>>;

/// All worktrees. Whoever works on one holds its slot; git runs under it, agents do not.
#[derive(Clone)]
pub(crate) struct Workspaces {
    store: Arc<dyn Store>,
    log: Log,
    git: Git,
    pub(crate) root: PathBuf,
    pub(crate) preparations: Arc<Preparations>,
    /// Whether other servers work with the same worktrees: then what was compared here may be out of date.
    shared: bool,
    slots: Arc<Mutex<BTreeMap<Owner, Slot>>>,
    /// The agents that there is nothing to tell of refusals.
    pub(crate) told: Arc<Mutex<BTreeSet<(SessionId, AgentName)>>>,
}

impl Workspaces {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        log: Log,
        git: Git,
        root: PathBuf,
        preparations: Preparations,
        shared: bool,
    ) -> Self {
        let preparations = Arc::new(preparations);
        Self { store, log, git, root, preparations, shared, slots: Arc::default(), told: Arc::default() }
    }

    pub(crate) const fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    pub(crate) const fn is_shared(&self) -> bool {
        self.shared
    }

    pub(crate) const fn log(&self) -> &Log {
        &self.log
    }

    /// Whether the pending changes tell what this tree holds already.
    pub(crate) fn is_compared(&self, workspace: &Workspace, tree: &TreeId) -> bool {
        !self.shared && workspace.compared.as_ref() == Some(tree)
    }

    /// The project's own checkout.
    pub(crate) async fn repository(&self, project: &Project) -> Result<Repository, DispatchError> {
        Ok(Repository::open(&self.git, &project.path).await?)
    }

    /// The repository at a path that is no project yet.
    pub(crate) async fn repository_at(&self, path: &Path) -> Result<Repository, DispatchError> {
        Ok(Repository::open(&self.git, path).await?)
    }

    /// The owner's worktree, opened, or made from the project's HEAD if there is none yet. It is held until the guard
    /// is dropped.
    pub(crate) async fn ensure(
        &self,
        owner: Owner,
        project: &Project,
    ) -> Result<OwnedMutexGuard<Option<Workspace>>, DispatchError> {
        let mut slot = self.existing(owner, project).await?;
        if slot.is_none() {
            *slot = Some(self.make(owner, project).await?);
        }
        Ok(slot)
    }

    /// The owner's worktree, if there is one. One that somebody moved or took away is mended first.
    pub(crate) async fn existing(
        &self,
        owner: Owner,
        project: &Project,
    ) -> Result<OwnedMutexGuard<Option<Workspace>>, DispatchError> {
        let mut slot = self.slot(owner).lock_owned().await;
        if let Some(workspace) = &*slot
            && !workspace.checkout.is_there().await?
        {
            *slot = None;
        }
        if slot.is_none()
            && let Some(record) = self.recorded(owner).await?
        {
            *slot = Some(self.open(owner, record, project).await?);
        }
        Ok(slot)
    }

    /// What would be lost with the owner's worktree. What was applied to the project's checkout is not.
    pub(crate) async fn risk(&self, owner: Owner, project: &Project) -> Result<Risk, DispatchError> {
        let slot = self.existing(owner, project).await?;
        let Some(workspace) = slot.as_ref() else { return Ok(Risk::default()) };
        let risk = workspace.checkout.risk().await?;
        if risk.uncommitted == 0 || risk.unmerged > 0 {
            return Ok(risk);
        }
        let snapshot = workspace.checkout.snapshot().await?;
        let files = self.unaccepted(owner, workspace, &snapshot.tree).await?;
        Ok(Risk { uncommitted: (files + snapshot.missing.len()) as u64, ..risk })
    }

    /// Removes the worktree of a task of its own that has ended, if nothing would be lost with it: no file, no commit and
    /// no change that waits for a human. Says whether there is none any more.
    pub(crate) async fn discard_unused(&self, task: TaskId) -> Result<bool, DispatchError> {
        let owner = Owner::Task(task);
        let Some(task) = self.store.task(task).await? else { return Ok(false) };
        if Owner::of(&task) != owner || !task.state.is_final() {
            return Ok(false);
        }
        if self.pending_changes(owner).await?.iter().any(PendingChange::is_open) {
            return Ok(false);
        }
        let project = self.store.project(task.project_id).await?.ok_or(DispatchError::NotFound("project"))?;
        let is_unused = self.risk(owner, &project).await?.is_none();
        if is_unused {
            self.remove(owner, &project).await?;
        }
        Ok(is_unused)
    }

    /// Refuses if the owner's worktree holds what a removal could not keep, or if that cannot be found out for now.
    pub(crate) async fn refuse_unkept(&self, owner: Owner, project: &Project) -> Result<(), DispatchError> {
        match self.existing(owner, project).await {
            Ok(slot) => match slot.as_ref() {
                Some(workspace) => Ok(workspace.checkout().all_that_is_here().await.map(drop)?),
                None => Ok(()),
            },
            Err(error) if is_out_of_reach(&error) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Removes the owner's worktree. Whatever git finds uncommitted or unmerged in it is kept under a private ref first.
    /// Whether it may be removed is the caller's to find out, by [`Workspaces::risk`] and [`Workspaces::refuse_unkept`].
    pub(crate) async fn remove(&self, owner: Owner, project: &Project) -> Result<(), DispatchError> {
        let Some(record) = self.recorded(owner).await? else { return Ok(()) };
        let mut slot = match self.retire(owner, &record, project).await {
            Ok(slot) => slot,
            // Nothing of it can be kept, so nothing of it is touched.
            Err(error) if is_out_of_reach(&error) => {
                tracing::warn!(path = %record.path.display(), %error, "a worktree is forgotten and left as it is");
                self.slot(owner).lock_owned().await
            }
            Err(error) => return Err(error),
        };
        let changes = vec![Change::RemoveWorktree { id: record.id, at: env::now() }];
        self.log.write(Entry { session: None, changes, frames: Vec::new() }).await?;
        *slot = None;
        self.slots.lock().unwrap_or_else(PoisonError::into_inner).remove(&owner);
        Ok(())
    }

    /// Takes the files of a worktree away, once their work is kept. What an earlier removal began is brought to its end.
    async fn retire(
        &self,
        owner: Owner,
        record: &Worktree,
        project: &Project,
    ) -> Result<OwnedMutexGuard<Option<Workspace>>, DispatchError> {
        let repository = self.repository(project).await?;
        match repository.entry_at(&record.path).await? {
            // Its work was kept before the first of it was removed.
            Some(entry) if entry.removing => {
                repository.discard(&entry).await?;
                return Ok(self.slot(owner).lock_owned().await);
            }
            None if is_absent(&record.path).await => return Ok(self.slot(owner).lock_owned().await),
            Some(_) | None => {}
        }
        let slot = self.existing(owner, project).await?;
        if let Some(workspace) = &*slot
            && let Some(commit) = workspace.checkout.remove(&owner.name(), true).await?
        {
            tracing::info!(owner = owner.name(), %commit, "unmerged work was kept under refs/boocoder/retired");
        }
        Ok(slot)
    }

    /// Whether no other turn works in the task's worktree.
    pub(crate) async fn is_alone(&self, task: &Task) -> Result<bool, DispatchError> {
        let Owner::Session(session) = Owner::of(task) else { return Ok(true) };
        let running =
            TaskFilter { session_id: Some(session), state: Some(TaskState::Running), ..TaskFilter::default() };
        let others = self.store.tasks(running).await?;
        Ok(others.iter().all(|other| other.id == task.id || other.chat_id.is_none()))
    }

    /// Forgets what was compared, for a decision changed what the pending changes start from.
    pub(crate) async fn decided(&self, owner: Owner) {
        if let Some(workspace) = self.slot(owner).lock().await.as_mut() {
            workspace.compared = None;
        }
    }

    pub(crate) fn slot(&self, owner: Owner) -> Slot {
        Arc::clone(self.slots.lock().unwrap_or_else(PoisonError::into_inner).entry(owner).or_default())
    }

    pub(crate) async fn recorded(&self, owner: Owner) -> Result<Option<Worktree>, DispatchError> {
        Ok(match owner {
            Owner::Session(id) => self.store.worktree_of_session(id).await?,
            Owner::Task(id) => self.store.worktree_of_task(id).await?,
        })
    }

    async fn make(&self, owner: Owner, project: &Project) -> Result<Workspace, DispatchError> {
        let repository = self.repository(project).await?;
        let dest = self.root.join(owner.name());
        let (checkout, is_new) = match repository.create_prepared(&dest, self.preparations.of(&project.path)).await {
            // Made, and then this process died before it was recorded: nobody has worked in it.
            Err(boocoder_worktree::WorktreeError::AlreadyExists { .. }) => {
                let entries = repository.checkouts().await?;
                let left = entries.iter().find(|entry| entry.path.ends_with(owner.name()));
                let base = repository.head().await?;
                match left {
                    Some(entry) => (repository.open_checkout(&entry.path, &base).await?, false),
                    None => return Err(boocoder_worktree::WorktreeError::AlreadyExists { path: dest }.into()),
                }
            }
            result => (result?, true),
        };
        let (session_id, task_id) = match owner {
            Owner::Session(id) => (Some(id), None),
            Owner::Task(id) => (None, Some(id)),
        };
        let record = Worktree {
            id: WorktreeId::from_uuid(env::new_id()),
            project_id: project.id,
            session_id,
            task_id,
            path: checkout.path().to_owned(),
            base_commit: checkout.base_commit().to_string(),
            created_at: env::now(),
        };
        let id = record.id;
        let changes = vec![Change::AddWorktree(record)];
        match self.log.write(Entry { session: None, changes, frames: Vec::new() }).await {
            Ok(()) => {
                let mut workspace = Workspace::new(id, checkout);
                if is_new && self.preparations.of(&project.path).setup.is_some() {
                    self.note_setup(owner, &mut workspace).await?;
                }
                Ok(workspace)
            }
            Err(error) => {
                // Another server was first, and its worktree is the owner's.
                let Some(record) = self.recorded(owner).await? else { return Err(error.into()) };
                if is_new && let Err(error) = checkout.remove(&owner.name(), false).await {
                    tracing::warn!(path = %checkout.path().display(), %error, "a worktree too many was left behind");
                }
                self.open(owner, record, project).await
            }
        }
    }

    /// What the setup command changed is nobody's.
    async fn note_setup(&self, owner: Owner, workspace: &mut Workspace) -> Result<(), DispatchError> {
        let tree = workspace.checkout.snapshot().await?.tree;
        if tree == workspace.checkout.repository().tree(workspace.checkout.base_commit()).await? {
            return Ok(());
        }
        let (changes, agents) = self.compare_by_hand(owner, workspace, None, &tree).await?;
        self.tell(owner.session(), changes, agents).await
    }
}

/// Whether it is certain that there is no worktree of ours where one is recorded, or no project that it belongs to: more than
/// git being slow, or a store that is away.
fn is_out_of_reach(error: &DispatchError) -> bool {
    use boocoder_worktree::WorktreeError as E;
    let DispatchError::Worktree(error) = error else { return false };
    matches!(error, E::NotARepository { .. } | E::Bare { .. } | E::NotOurs { .. } | E::InvalidId { .. })
        || matches!(error, E::Io { source, .. } if matches!(source.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory))
}

/// Keeps what a worktree holds, and through its parent what it held before, from git's garbage collection: a commit by the
/// agent of the turn, or by nobody.
pub(crate) async fn keep(
    workspace: &Workspace,
    tree: &TreeId,
    owner: Owner,
    task: Option<&Task>,
) -> Result<(), DispatchError> {
    let repository = workspace.checkout.repository();
    let name = owner.snapshots();
    let parent = match repository.pinned(&name).await? {
        Some(commit) if repository.tree(&commit).await? == *tree => return Ok(()),
        Some(commit) => commit,
        None => workspace.checkout.base_commit().clone(),
    };
    let message = task.map_or_else(|| "By hand".to_owned(), message);
    let author = task.map(|task| task.agent.to_string());
    repository.pin_as(tree, &[parent], &name, &message, author.as_deref()).await?;
    Ok(())
}

/// What the commit of a turn says: what the agent was asked for.
fn message(task: &Task) -> String {
    const SUBJECT: usize = 72;
    let text = task.input.iter().find_map(|part| {
        let ContentPart::Text(text) = part else { return None };
        text.lines().find(|line| !line.trim().is_empty())
    });
    let subject: String = text.unwrap_or("A turn").trim().chars().take(SUBJECT).collect();
    format!("{subject}\n\nTask: {}\nAgent: {}\n", task.id, task.agent)
}
