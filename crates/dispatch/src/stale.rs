//! Pending changes that the project has moved on from under, and bringing them onto what it holds by now.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{MutexGuard, PoisonError};

use boocoder_model::{
    BlobRef, DecidedBy, PendingChange, PendingDecision, PendingDecisionKind, PendingId, PendingStatus, SessionId,
};
use boocoder_store::{Change, StoreError};
use boocoder_worktree::{Change as FileChange, CommitId, FileDiff, RepoPath, Repository, Step};

use crate::command::DispatchError;
use crate::comparing::{blob, read};
use crate::decisions::{Files, Plan, files_alone};
use crate::dispatcher::{Dispatcher, to_its_end};
use crate::env;
use crate::ledger::{Contents, Located, Origin, Side, Wanted, accepted, go, new_row, state, text_blobs};
use crate::workspace::Owner;

/// What rows were last looked at, and against which commit.
pub(crate) type Looked = BTreeMap<SessionId, (CommitId, Vec<(PendingId, u32)>)>;

impl Dispatcher {
    /// The pending changes of a session, each known to be stale if it is. The project is looked at again only if its HEAD
    /// or the rows have changed since.
    ///
    /// # Errors
    /// Whatever the store says. A project that cannot be read is no reason to show nothing.
    pub async fn pending_changes(&self, session: SessionId) -> Result<Vec<PendingChange>, DispatchError> {
        let rows = self.store().pending_changes(session).await?;
        match self.refresh(session, &rows).await {
            Ok(false) => Ok(rows),
            Ok(true) => Ok(self.store().pending_changes(session).await?),
            Err(DispatchError::Store(error)) => Err(error.into()),
            Err(error) => {
                tracing::warn!(%session, %error, "whether pending changes are stale could not be found out");
                Ok(rows)
            }
        }
    }

    /// Marks what is stale, and what is so no more; says whether anything changed.
    async fn refresh(&self, session: SessionId, rows: &[PendingChange]) -> Result<bool, DispatchError> {
        let open: Vec<_> = rows.iter().filter(|row| row.is_open()).collect();
        let Some(owner) = self.store().session(session).await?.filter(|_| !open.is_empty()) else { return Ok(false) };
        let repository = self.shared.workspaces.repository(&self.project(owner.project_id).await?).await?;
        let head = repository.head().await?;
        let seen = (head.clone(), open.iter().map(|row| (row.id, row.revision)).collect::<Vec<_>>());
        if self.looked().get(&session) == Some(&seen) {
            return Ok(false);
        }
        let paths: BTreeSet<RepoPath> = open.iter().map(|row| base_path(row).parse()).collect::<Result<_, _>>()?;
        let entries = repository.entries(&head, &paths).await?;
        let mut changes = Vec::new();
        let there = |row: &PendingChange| Ok::<_, DispatchError>(entries.get(&base_path(row).parse()?));
        let mut texts = BTreeSet::new();
        for row in &open {
            if !is_either_side(row, there(row)?) {
                texts.extend(telling(row, rows).flat_map(text_blobs));
            }
        }
        let contents = read(&repository, texts).await?;
        for row in open {
            let is_stale = !is_known(&repository, row, rows, there(row)?, &contents).await?;
            changes.extend(marked(row, is_stale).map(|row| Change::RevisePending(Box::new(row))));
        }
        if changes.is_empty() {
            self.looked().insert(session, seen);
            return Ok(false);
        }
        match self.show(Some(session), changes).await {
            Ok(()) => Ok(true),
            // Somebody else was first; whoever looks next finds out.
            Err(DispatchError::Store(StoreError::Conflict { .. })) => Ok(true),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn looked(&self) -> MutexGuard<'_, Looked> {
        self.shared.looked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings a pending change onto what the project's HEAD holds by now: its lines are merged into that, in the worktree
    /// too. What was decided of it stays with the old row.
    ///
    /// # Errors
    /// [`DispatchError::Clash`] if both changed the same lines; [`DispatchError::Conflict`] while a turn runs, or if it is
    /// not pending.
    pub async fn rebase(&self, id: PendingId) -> Result<PendingChange, DispatchError> {
        let this = self.clone();
        to_its_end(async move { this.rebase_one(id).await }).await
    }

    async fn rebase_one(&self, id: PendingId) -> Result<PendingChange, DispatchError> {
        let row = || async { self.store().pending_change(id).await?.ok_or(DispatchError::NotFound("pending change")) };
        let project = self.project_of(&row().await?).await?;
        let _one_at_a_time = self.one_at_a_time(project.id).await?;
        let row = row().await?;
        if !row.is_open() {
            return Err(DispatchError::Conflict(format!("it is {}: only what is pending can be rebased", row.status)));
        }
        files_alone(&row)?;
        let owner = self.owner_of(&row).await?;
        if let Some(owner) = owner {
            self.refuse_while_busy(owner).await?;
        }
        let repository = self.shared.workspaces.repository(&project).await?;
        let head = repository.head().await?;
        let path: RepoPath = base_path(&row).parse()?;
        let there = repository.entry(&head, &path).await?;
        let rows = match row.session_id {
            Some(session) => self.store().pending_changes(session).await?,
            None => Vec::new(),
        };
        let contents = read(&repository, telling(&row, &rows).flat_map(text_blobs).collect()).await?;
        if is_known(&repository, &row, &rows, there.as_ref(), &contents).await? {
            return Ok(row);
        }
        let side = blob(&repository, &row, accepted(&row, &contents)).await?;
        let merged = merged(&repository, &row, side, there.clone()).await?;
        let rebased = self.rebased(&repository, &row, there, Some(merged.clone()), &head).await?;
        let changes = follow_up(&row, &rebased);
        let Some(owner) = owner else {
            self.show(row.session_id, changes).await?;
            return Ok(rebased);
        };
        let slot = self.shared.workspaces.existing(owner, &project).await?;
        let Some(workspace) = slot.as_ref() else {
            return Err(DispatchError::Conflict("its worktree is not there any more".to_owned()));
        };
        let worktree = workspace.checkout().repository();
        let step = Step { path: row.file_path.parse()?, before: row.target.clone(), after: Some(merged) };
        let files = match owner {
            Owner::Session(id) => Files::Session(id),
            Owner::Task(id) => Files::Task(id),
        };
        let open = self.carry_out(worktree, &project, &Plan::of_steps(files, vec![step])).await?;
        let changes = changes.into_iter().chain([Change::EndDecision { id: open }]).collect();
        self.show(row.session_id, changes).await?;
        drop(slot);
        self.shared.workspaces.decided(owner).await;
        Ok(rebased)
    }

    /// The row that goes on from the project's HEAD.
    async fn rebased(
        &self,
        repository: &Repository,
        row: &PendingChange,
        base: Option<BlobRef>,
        target: Option<BlobRef>,
        head: &CommitId,
    ) -> Result<PendingChange, DispatchError> {
        let sides = [&row.base, &row.target, &base, &target].into_iter().flatten();
        let contents = read(repository, sides.map(|side| side.blob.clone()).collect()).await?;
        let change = FileChange {
            path: row.file_path.parse()?,
            old_path: row.old_path.as_deref().map(str::parse).transpose()?,
            operation: row.operation,
            base,
            target: target.clone(),
        };
        let old: BTreeMap<_, _> = change.base.iter().map(|base| (base_path(row), base.clone())).collect();
        let before: Vec<_> = old
            .into_iter()
            .map(|(path, base)| Ok((path.parse()?, Some(base))))
            .collect::<Result<_, DispatchError>>()?;
        let mut after = before.clone();
        after.iter_mut().for_each(|(_, side)| *side = None);
        after.push((change.path.clone(), target));
        let (from, to) = (repository.overlay(head, &before).await?, repository.overlay(head, &after).await?);
        let shown = repository.diff(&from, &to).await?.into_iter().find(|file| file.change.path == change.path);
        let (diff, binary) = shown.map_or_else(Default::default, |file| (file.diff, file.binary));
        let file = FileDiff { change, binary, omitted: false, diff, hunks: Vec::new() };
        let origin = Origin {
            session_id: row.session_id,
            task_id: row.task_id,
            worktree_id: row.worktree_id,
            agent: row.agent.clone(),
            ..Origin::default()
        };
        let mut rebased = new_row(&file, Some(row), &contents, &origin, env::now(), &mut env::new_id);
        rebased.hunks.iter_mut().filter(|hunk| hunk.status == PendingStatus::Stale).for_each(|hunk| {
            hunk.status = PendingStatus::Pending;
        });
        rebased.status = state(&rebased);
        if rebased.base == rebased.target {
            // The project has it already: nothing is left to decide on.
            rebased.status = PendingStatus::Superseded;
        }
        rebased.decisions.push(PendingDecision {
            kind: PendingDecisionKind::Rebase,
            hunks: rebased.hunks.iter().map(|hunk| hunk.id).collect(),
            decided_by: DecidedBy::User,
            at: env::now(),
            against: head.to_string(),
            before: row.target.clone(),
            after: rebased.target.clone(),
        });
        Ok(rebased)
    }
}

/// Whether this is what a row starts from or leads to.
fn is_either_side(row: &PendingChange, there: Option<&BlobRef>) -> bool {
    there == row.base.as_ref() || there == row.target.as_ref()
}

/// The rows that tell what is known of where a row starts: the earlier ones of its worktree on the same file, and itself. One that
/// was rebased starts anew.
fn telling<'a>(row: &'a PendingChange, rows: &'a [PendingChange]) -> impl Iterator<Item = &'a PendingChange> {
    let is_rebased = row.decisions.iter().any(|decision| decision.kind == PendingDecisionKind::Rebase);
    let is_earlier = move |other: &&PendingChange| {
        !is_rebased && other.worktree_id == row.worktree_id && (other.created_at, other.id) < (row.created_at, row.id)
    };
    let is_about = |other: &&PendingChange| other.file_path == base_path(row) || base_path(other) == base_path(row);
    rows.iter().filter(is_earlier).filter(is_about).chain([row])
}

/// Whether the project's HEAD holds, where a row starts, what is known of it: what it, or an earlier one, starts from or leads
/// to. What was applied need not be committed.
async fn is_known(
    repository: &Repository,
    row: &PendingChange,
    rows: &[PendingChange],
    there: Option<&BlobRef>,
    contents: &Contents,
) -> Result<bool, DispatchError> {
    if is_either_side(row, there) {
        return Ok(true);
    }
    let path = base_path(row);
    for other in telling(row, rows) {
        let was = other.base.as_ref().filter(|_| base_path(other) == path);
        let side = accepted(other, contents);
        let is_here = side.path(other) == path;
        let side = blob(repository, other, side).await?;
        if there == was || there == side.as_ref().filter(|_| is_here) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Where the project has what a row starts from.
fn base_path(row: &PendingChange) -> &str {
    Side::Base.path(row)
}

/// A row that is stale, or not any more; none if it is known already.
fn marked(row: &PendingChange, is_stale: bool) -> Option<PendingChange> {
    let (from, to) = if is_stale {
        (PendingStatus::Pending, PendingStatus::Stale)
    } else {
        (PendingStatus::Stale, PendingStatus::Pending)
    };
    let mut after = row.clone();
    after.hunks.iter_mut().filter(|hunk| hunk.status == from).for_each(|hunk| hunk.status = to);
    if after.hunks.is_empty() && after.status == from {
        after.status = to;
    }
    after.status = state(&after);
    after.revision += 1;
    (after.status != row.status || after.hunks != row.hunks).then_some(after)
}

/// What the old row keeps, and the new one.
fn follow_up(row: &PendingChange, rebased: &PendingChange) -> Vec<Change> {
    let mut after = row.clone();
    after.revision += 1;
    after.hunks.retain(|hunk| rebased.hunks.iter().all(|moved| moved.id != hunk.id));
    after
        .hunks
        .iter_mut()
        .filter(|hunk| hunk.status.is_open())
        .for_each(|hunk| hunk.status = PendingStatus::Superseded);
    after.status = if after.hunks.is_empty() { PendingStatus::Superseded } else { state(&after) };
    vec![Change::RevisePending(Box::new(after)), Change::AddPending(Box::new(rebased.clone()))]
}

/// A row's target, with what the project has changed since.
async fn merged(
    repository: &Repository,
    row: &PendingChange,
    side: Option<BlobRef>,
    there: Option<BlobRef>,
) -> Result<BlobRef, DispatchError> {
    let path: RepoPath = row.file_path.parse()?;
    let ids = [&side, &there, &row.target].into_iter().flatten();
    let ids = ids.filter(|side| side.mode.starts_with("100")).map(|side| side.blob.clone());
    let contents = read(repository, ids.collect()).await?;
    let from = Located { path: path.clone(), blob: side };
    let to = Located { path, blob: row.target.clone() };
    match go(there.as_ref(), &from, &to, &contents) {
        Ok(Wanted::Blob(Some(blob))) => Ok(blob),
        Ok(Wanted::Merged(text, mode)) => Ok(BlobRef { blob: repository.write_blob(text).await?, mode }),
        Ok(Wanted::Blob(None)) => Err(DispatchError::Conflict("what is deleted cannot be rebased".to_owned())),
        Err(clash) => Err(DispatchError::Clash(vec![clash])),
    }
}
