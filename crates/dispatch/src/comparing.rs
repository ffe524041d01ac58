//! The worktree after a turn, compared with what was accepted of it: which pending changes stand, and what is new.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use boocoder_model::{
    AgentName, BlobRef, PendingChange, PendingDecisionKind, PendingId, PendingStatus, Project, SessionId, Task,
    WorktreeId,
};
use boocoder_store::Change;
use boocoder_wire::Frame;
use boocoder_worktree::{FileDiff, RepoPath, Repository, TreeId, WorktreeError};
use jiff::Timestamp;

use crate::command::DispatchError;
use crate::env;
use crate::lane_core::Compared;
use crate::ledger::{
    Carried, Contents, Located, Origin, Side, Steps, Verdict, Wanted, accepted, blob_of, caught_up, contributors,
    follow, go, is_deferred, pending_changed, superseded, text_blobs, texts_to_follow, without_rejected,
};
use crate::limits;
use crate::log::Entry;
use crate::touched::Touched;
use crate::workspace::{Owner, Workspace, Workspaces, keep};

/// The accepted sides of rows, as blobs.
type AcceptedSides = BTreeMap<PendingId, Option<BlobRef>>;

impl Workspaces {
    /// Brings the pending changes in line with what the worktree holds after a turn. While other turns work in the same
    /// worktree, only the files in `touched` are this one's; the others are left to the turn that ends last.
    pub(crate) async fn compare(
        &self,
        task: &Task,
        touched: Touched,
        project: &Project,
    ) -> Result<Compared, DispatchError> {
        let owner = Owner::of(task);
        let mut slot = self.existing(owner, project).await?;
        let Some(workspace) = slot.as_mut() else { return Ok(Compared::default()) };
        let alone = self.is_alone(task).await?;
        let origin = Origin {
            session_id: task.session_id,
            task_id: Some(task.id),
            worktree_id: Some(workspace.id()),
            agent: Some(task.agent.clone()),
            touched: touched.within(workspace.path()),
        };
        let rows = self.pending_changes(owner).await?;
        let (existing, caught_up) =
            if alone { catch_up(workspace, rows.clone()).await? } else { (rows.clone(), Vec::new()) };
        let snapshot = workspace.checkout().snapshot().await?;
        let before = match workspace.before(task.id) {
            Some(before) => before,
            None => workspace.last_tree(owner).await?,
        };
        let mut compared = Compared {
            before_tree: Some(before.to_string()),
            after_tree: Some(snapshot.tree.to_string()),
            ..Compared::default()
        };
        if !snapshot.missing.is_empty() {
            compared.failure = Some(format!("some files are left out: {}", snapshot.missing.join("; ")));
        }
        compared.changes = caught_up;
        if !self.is_compared(workspace, &snapshot.tree) {
            let is_own = |path: &str| alone || origin.touched.names(path);
            let more = bring_in_line(workspace, &existing, &snapshot.tree, &origin, &is_own).await?;
            compared.changes.extend(more);
            keep(workspace, &snapshot.tree, owner, Some(task)).await?;
        }
        if !compared.changes.is_empty() {
            compared.agents = Some(contributors(&rows, &compared.changes));
        }
        // Changes that are yet to be written may be refused; then the tree has to be compared again.
        workspace.set_compared((alone && compared.changes.is_empty()).then_some(snapshot.tree));
        Ok(compared)
    }

    /// Tells what a human changed in the worktree before a turn from what the turn changes. The agent has its prompt by then
    /// and may be quick, so only files that are older than the turn are a human's.
    pub(crate) async fn look_before(&self, task: &Task, began: Timestamp) -> Result<(), DispatchError> {
        let owner = Owner::of(task);
        let Some(project) = self.store().project(task.project_id).await? else { return Ok(()) };
        let mut slot = self.existing(owner, &project).await?;
        let Some(workspace) = slot.as_mut() else { return Ok(()) };
        if !self.is_alone(task).await? {
            return Ok(());
        }
        let snapshot = workspace.checkout().snapshot().await?;
        let last = workspace.last_tree(owner).await?;
        if snapshot.tree == last {
            workspace.set_before(task.id, last);
            return Ok(());
        }
        let repository = workspace.checkout().repository().clone();
        let mut paths = BTreeSet::new();
        let mut files = Vec::new();
        for file in repository.diff(&last, &snapshot.tree).await? {
            let change = file.change;
            if is_older(&workspace.path().join(change.path.as_path()), began).await {
                files.extend(change.old_path.iter().map(|old| (old.clone(), None)));
                paths.insert(change.path.to_string());
                files.push((change.path, change.target));
            }
        }
        if files.is_empty() {
            workspace.set_before(task.id, last);
            return Ok(());
        }
        let tree = repository.overlay(&last, &files).await?;
        let (changes, agents) = self.compare_by_hand(owner, workspace, Some(&paths), &tree).await?;
        workspace.set_before(task.id, tree);
        self.tell(task.session_id, changes, agents).await
    }

    /// Brings them in line with what somebody else than an agent did to the worktree.
    pub(crate) async fn compare_by_hand(
        &self,
        owner: Owner,
        workspace: &mut Workspace,
        paths: Option<&BTreeSet<String>>,
        tree: &TreeId,
    ) -> Result<(Vec<Change>, Vec<Option<AgentName>>), DispatchError> {
        let session_id = owner.session();
        let task_id = match owner {
            Owner::Session(_) => None,
            Owner::Task(id) => Some(id),
        };
        let origin = Origin { session_id, task_id, worktree_id: Some(workspace.id()), ..Origin::default() };
        let rows = self.pending_changes(owner).await?;
        let is_own = |path: &str| paths.is_none_or(|paths| paths.contains(path));
        let changes = bring_in_line(workspace, &rows, tree, &origin, &is_own).await?;
        keep(workspace, tree, owner, None).await?;
        workspace.set_compared(None);
        let agents = contributors(&rows, &changes);
        Ok((changes, agents))
    }

    /// Writes what changed, and shows who has pending changes now.
    pub(crate) async fn tell(
        &self,
        session: Option<SessionId>,
        changes: Vec<Change>,
        agents: Vec<Option<AgentName>>,
    ) -> Result<(), DispatchError> {
        if changes.is_empty() {
            return Ok(());
        }
        // Without a session there is nobody to show it to.
        let frames = session.map(|_| Frame::of_session(pending_changed(agents))).into_iter().collect();
        self.log().write(Entry { session, changes, frames }).await?;
        Ok(())
    }

    /// How many files of the worktree differ from what was accepted of it.
    pub(crate) async fn unaccepted(
        &self,
        owner: Owner,
        workspace: &Workspace,
        tree: &TreeId,
    ) -> Result<usize, DispatchError> {
        let rows = self.pending_changes(owner).await?;
        let differing = async |rows: &[PendingChange]| {
            let sides = accepted_sides(workspace.checkout().repository(), own(rows, workspace.id())).await?;
            Ok(diff(workspace, rows, &sides, tree).await?.len())
        };
        match differing(&rows).await {
            Err(DispatchError::Worktree(error)) => differing(&without_lost(workspace, &rows, error).await?).await,
            count => count,
        }
    }

    /// The task whose worktree a change is in, or its session.
    pub(crate) async fn pending_changes(&self, owner: Owner) -> Result<Vec<PendingChange>, DispatchError> {
        Ok(match owner {
            Owner::Session(session) => self.store().pending_changes(session).await?,
            Owner::Task(task) => self.store().pending_changes_of_task(task).await?,
        })
    }
}

/// Whether a file is older than a moment; of one that is gone, the directory that it was in.
async fn is_older(path: &Path, than: Timestamp) -> bool {
    for path in path.ancestors() {
        if let Ok(there) = tokio::fs::symlink_metadata(path).await {
            let modified = there.modified().ok().and_then(|at| Timestamp::try_from(at).ok());
            return modified.is_some_and(|at| at.saturating_add(limits::COARSE_CLOCK).is_ok_and(|at| at < than));
        }
    }
    false
}

/// Rows without those whose contents git has collected, since somebody took away the refs that kept them; the error that led to
/// the question, if there are none.
async fn without_lost(
    workspace: &Workspace,
    rows: &[PendingChange],
    error: WorktreeError,
) -> Result<Vec<PendingChange>, DispatchError> {
    let blobs = |row: &PendingChange| {
        let sides = row.base.iter().chain(&row.target).filter(|side| !side.is_submodule());
        sides.map(|side| side.blob.clone()).collect::<BTreeSet<_>>()
    };
    let ids = own(rows, workspace.id()).flat_map(blobs).collect();
    let missing = workspace.checkout().repository().missing(&ids).await?;
    if missing.is_empty() {
        return Err(error.into());
    }
    tracing::warn!(%error, objects = missing.len(), "what was kept of pending changes is gone");
    let is_whole = |row: &&PendingChange| row.worktree_id != Some(workspace.id()) || blobs(row).is_disjoint(&missing);
    Ok(rows.iter().filter(is_whole).cloned().collect())
}

/// What has to change for the rows to tell what a tree holds, where `origin` made what is new in it. Rows whose contents are lost
/// are superseded, and the others go on.
async fn bring_in_line(
    workspace: &Workspace,
    existing: &[PendingChange],
    tree: &TreeId,
    origin: &Origin,
    is_own: &(dyn Fn(&str) -> bool + Sync),
) -> Result<Vec<Change>, DispatchError> {
    let error = match line_up(workspace, existing, tree, origin, is_own).await {
        Err(DispatchError::Worktree(error)) => error,
        changes => return changes,
    };
    let rest = without_lost(workspace, existing, error).await?;
    let is_lost = |row: &&PendingChange| row.is_open() && rest.iter().all(|other| other.id != row.id);
    let mut changes: Vec<_> = existing.iter().filter(is_lost).cloned().map(superseded).collect();
    changes.extend(line_up(workspace, &rest, tree, origin, is_own).await?);
    Ok(changes)
}

async fn line_up(
    workspace: &Workspace,
    existing: &[PendingChange],
    tree: &TreeId,
    origin: &Origin,
    is_own: &(dyn Fn(&str) -> bool + Sync),
) -> Result<Vec<Change>, DispatchError> {
    let repository = workspace.checkout().repository();
    let sides = accepted_sides(repository, own(existing, workspace.id())).await?;
    let mut files = diff(workspace, existing, &sides, tree).await?;
    files.retain(|file| is_own(file.change.path.as_str()));
    let rows: Vec<_> = existing.iter().filter(|row| is_own(&row.file_path)).cloned().collect();
    let accepted = |row: &PendingChange| sides.get(&row.id).cloned().unwrap_or_else(|| row.base.clone());
    let contents = read(repository, texts_to_follow(&rows, &files, origin, &accepted)).await?;
    Ok(follow(&rows, &files, &contents, &accepted, origin, env::now(), &mut env::new_id))
}

fn own(rows: &[PendingChange], worktree: WorktreeId) -> impl Iterator<Item = &PendingChange> {
    rows.iter().filter(move |row| row.worktree_id == Some(worktree))
}

/// The contents of blobs.
pub(crate) async fn read(repository: &Repository, ids: BTreeSet<String>) -> Result<Contents, DispatchError> {
    Ok(repository.read_blobs(&ids).await?)
}

/// A side of a row as a blob.
pub(crate) async fn blob(
    repository: &Repository,
    row: &PendingChange,
    side: Side,
) -> Result<Option<BlobRef>, DispatchError> {
    Ok(match side {
        Side::Base => row.base.clone(),
        Side::Target => row.target.clone(),
        Side::Between(content) => {
            let blob = repository.write_blob(content).await?;
            let mode = row.target.as_ref().map_or_else(|| "100644".to_owned(), |target| target.mode.clone());
            Some(BlobRef { blob, mode })
        }
    })
}

/// The accepted sides of rows of which something was applied. All others are their bases.
async fn accepted_sides<'a>(
    repository: &Repository,
    rows: impl Iterator<Item = &'a PendingChange>,
) -> Result<AcceptedSides, DispatchError> {
    let applied = |row: &&PendingChange| {
        row.status == PendingStatus::Applied || row.hunks.iter().any(|hunk| hunk.status == PendingStatus::Applied)
    };
    let rows: Vec<_> = rows.filter(applied).collect();
    let contents = read(repository, rows.iter().flat_map(|row| text_blobs(row)).collect()).await?;
    let mut sides = AcceptedSides::new();
    for row in rows {
        sides.insert(row.id, blob(repository, row, accepted(row, &contents)).await?);
    }
    Ok(sides)
}

/// The diff of a worktree against what the project's checkout should hold by now: the commit that it was made from, and on
/// it what was accepted since, the newest row of each path last.
async fn diff(
    workspace: &Workspace,
    existing: &[PendingChange],
    sides: &AcceptedSides,
    tree: &TreeId,
) -> Result<Vec<FileDiff>, DispatchError> {
    let repository = workspace.checkout().repository();
    let mut paths: BTreeMap<RepoPath, Option<BlobRef>> = BTreeMap::new();
    for row in own(existing, workspace.id()) {
        let is_rebased = row.decisions.iter().any(|decision| decision.kind == PendingDecisionKind::Rebase);
        let Some(side) = sides.get(&row.id).cloned().or_else(|| is_rebased.then(|| row.base.clone())) else { continue };
        let path: RepoPath = row.file_path.parse()?;
        if let Some(old) = &row.old_path {
            paths.insert(old.parse()?, None);
        }
        paths.insert(path, side);
    }
    let base = workspace.checkout().base_commit();
    if paths.is_empty() {
        return Ok(repository.diff(base, tree).await?);
    }
    let base = repository.overlay(base, &paths.into_iter().collect::<Vec<_>>()).await?;
    Ok(repository.diff(&base, tree).await?)
}

/// Takes out of the worktree what a human refused while a turn ran. Gives the rows as they are then, and what that changes in the
/// store. What the turn has changed once more stays, and is offered again.
async fn catch_up(
    workspace: &Workspace,
    mut rows: Vec<PendingChange>,
) -> Result<(Vec<PendingChange>, Vec<Change>), DispatchError> {
    let mut changes = Vec::new();
    let id = workspace.id();
    let mut late: Vec<_> =
        rows.iter_mut().filter(|row| row.worktree_id == Some(id) && row.decisions.iter().any(is_deferred)).collect();
    // What is new goes first: it may be where the others come back to.
    late.sort_by_key(|row| row.base.is_some());
    for row in late {
        let repository = workspace.checkout().repository();
        let mut contents = read(repository, text_blobs(row)).await?;
        let side = without_rejected(row, &contents);
        let rest = matches!(side, Side::Between(_));
        let from = Located { path: row.file_path.parse()?, blob: row.target.clone() };
        let to = Located { path: side.path(row).parse()?, blob: blob(repository, row, side).await? };
        let taken = take_out(repository, &from, &to, &mut contents).await?;
        let (before, after) = taken;
        let against = repository.head().await?.to_string();
        let rest = to.blob.clone().filter(|_| rest);
        let kind = Verdict::Reject;
        let carried = Carried { kind, hunks: BTreeSet::new(), against, before, after, rest, at: env::now() };
        *row = caught_up(row, &carried, &contents);
        changes.push(Change::RevisePending(Box::new(row.clone())));
    }
    Ok((rows, changes))
}

/// Writes one side of a file in the worktree in place of another. What it held before and after; the same if it could not.
async fn take_out(
    repository: &Repository,
    from: &Located,
    to: &Located,
    contents: &mut Contents,
) -> Result<(Option<BlobRef>, Option<BlobRef>), DispatchError> {
    let Ok(found) = blob_of(repository.holds(&from.path).await?) else { return Ok((None, None)) };
    let sides = [found.as_ref(), from.blob.as_ref(), to.blob.as_ref()].into_iter().flatten();
    let ids = sides.filter(|side| side.mode.starts_with("100")).map(|side| side.blob.clone());
    contents.extend(read(repository, ids.collect()).await?);
    let after = match go(found.as_ref(), from, to, contents) {
        Ok(Wanted::Blob(blob)) => blob,
        Ok(Wanted::Merged(content, mode)) => Some(BlobRef { blob: repository.write_blob(content).await?, mode }),
        Err(clash) => {
            tracing::info!(
                path = clash.path,
                reason = clash.reason,
                "what was refused stays, for it was changed again"
            );
            return Ok((found.clone(), found));
        }
    };
    let mut steps = Steps::default();
    steps.add(from.path.clone(), found.clone(), None);
    steps.add(to.path.clone(), None, after.clone());
    repository.carry_out(&steps.into_steps()).await?;
    Ok((found, after))
}
