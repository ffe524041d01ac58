//! A human's decisions on pending changes: apply, reject, revert, rebase, and changes that are queued by hand.
//! `docs/decisions/0009-pending-changes.md` tells what each means, and what a crash leaves.

mod open;
mod place;
mod queue;

pub use self::queue::NATIVE_AGENT;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};

use boocoder_model::{HunkId, PendingChange, PendingId, Project, ProjectId, SessionId, TaskState};
use boocoder_store::{Change, StoreError, TaskFilter};
use boocoder_worktree::WorktreeError;
use tokio::sync::OwnedMutexGuard;

pub(crate) use self::open::Plan;
pub(crate) use self::place::Files;
use self::place::Place;
use crate::command::DispatchError;
use crate::dispatcher::{Dispatcher, to_its_end};
use crate::env;
use crate::ledger::{self, Carried, Refusal, Verdict, contributors, outcome};
use crate::workspace::Owner;

/// What a decision is about: a pending change, or some of its hunks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pick {
    /// The change.
    pub id: PendingId,
    /// Its hunks; none for all that can be decided on.
    pub hunks: Vec<HunkId>,
}

/// A row that is being decided on, with the hunks that are meant.
struct Chosen {
    row: PendingChange,
    hunks: BTreeSet<HunkId>,
}

/// Refuses a change that only git itself can write.
pub(crate) fn files_alone(row: &PendingChange) -> Result<(), DispatchError> {
    if row.is_submodule() {
        return Err(WorktreeError::Submodule { path: row.file_path.parse()? }.into());
    }
    Ok(())
}

impl Dispatcher {
    /// Waits until nothing else is decided on in a project, and until what was begun there and never recorded is finished.
    pub(crate) async fn one_at_a_time(&self, project: ProjectId) -> Result<OwnedMutexGuard<()>, DispatchError> {
        let lock = {
            let mut locks = self.shared.deciding.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(locks.entry(project).or_default())
        };
        let guard = lock.lock_owned().await;
        self.finish_open_decisions(Some(project)).await?;
        Ok(guard)
    }

    /// Carries out what a human decides on pending changes, or on some of their hunks: on all of them or on none, and to the
    /// end, even if whoever asked for it goes away. Doing it again is harmless.
    ///
    /// # Errors
    /// [`DispatchError::Clash`] if a file has changed in the same places, or, for what is reverted, at all;
    /// [`DispatchError::Conflict`] if one was decided otherwise; [`DispatchError::NotFound`] for a change or a hunk that
    /// there is not; [`DispatchError::Invalid`] for several projects, or refusals in several worktrees;
    /// [`WorktreeError::Submodule`] for one of a repository inside the project.
    pub async fn decide(&self, verdict: Verdict, picks: &[Pick]) -> Result<Vec<PendingChange>, DispatchError> {
        let (this, picks) = (self.clone(), picks.to_vec());
        to_its_end(async move { this.decide_on(verdict, &picks).await }).await
    }

    async fn decide_on(&self, verdict: Verdict, picks: &[Pick]) -> Result<Vec<PendingChange>, DispatchError> {
        let Some(first) = picks.first() else { return Ok(Vec::new()) };
        let first = self.store().pending_change(first.id).await?.ok_or(DispatchError::NotFound("pending change"))?;
        let project = self.project_of(&first).await?.id;
        let _one_at_a_time = self.one_at_a_time(project).await?;
        let mut done = Vec::new();
        // One project, or one worktree, at a time.
        let mut groups: Vec<(Place, Vec<Chosen>)> = Vec::new();
        for pick in picks {
            let (chosen, any) = self.chosen(pick, verdict).await?;
            files_alone(&chosen.row)?;
            if !any {
                done.push(chosen.row);
                continue;
            }
            let place = self.place_of(&chosen.row, verdict).await?;
            if place.project.id != project {
                let text = "these changes are of several projects: decide on each's alone";
                return Err(DispatchError::Invalid(text.to_owned()));
            }
            let Some((_, rows)) = groups.iter_mut().find(|(other, _)| *other == place) else {
                groups.push((place, vec![chosen]));
                continue;
            };
            // One change may be picked hunk by hunk.
            match rows.iter_mut().find(|other| other.row.id == chosen.row.id) {
                Some(other) => other.hunks.extend(chosen.hunks),
                None => rows.push(chosen),
            }
        }
        // What is in no worktree is only recorded, and that last.
        groups.sort_by_key(|(place, _)| place.files == Files::Nowhere);
        if groups.iter().filter(|(place, _)| place.files != Files::Nowhere).count() > 1 {
            let text = "these changes are of several worktrees: decide on each's alone";
            return Err(DispatchError::Invalid(text.to_owned()));
        }
        for (place, mut rows) in groups {
            // What a later change started from is written before it, and taken back after it.
            rows.sort_by_key(|chosen| (chosen.row.created_at, chosen.row.id));
            if verdict == Verdict::Revert {
                rows.reverse();
            }
            done.extend(self.decide_at(&place, verdict, rows).await?);
        }
        done.sort_by_key(|row| picks.iter().position(|pick| pick.id == row.id));
        Ok(done)
    }

    /// The same for several changes of a session, or, with none picked, for all that can be decided on so.
    ///
    /// # Errors
    /// As [`Dispatcher::decide`]; [`DispatchError::NotFound`] for a change of another session too.
    pub async fn decide_in(
        &self,
        session: SessionId,
        verdict: Verdict,
        picks: Option<Vec<Pick>>,
    ) -> Result<Vec<PendingChange>, DispatchError> {
        let rows = self.store().pending_changes(session).await?;
        let picks = match picks {
            Some(picks) if picks.iter().all(|pick| rows.iter().any(|row| row.id == pick.id)) => picks,
            Some(_) => return Err(DispatchError::NotFound("pending change")),
            None => {
                let meant = rows.iter().filter(|row| verdict.is_possible(row));
                meant.map(|row| Pick { id: row.id, hunks: Vec::new() }).collect()
            }
        };
        self.decide(verdict, &picks).await
    }

    /// The row that a pick means. Hunks move on when their file does: they are looked for where they are now.
    async fn chosen(&self, pick: &Pick, verdict: Verdict) -> Result<(Chosen, bool), DispatchError> {
        let mut row = self.store().pending_change(pick.id).await?.ok_or(DispatchError::NotFound("pending change"))?;
        let has_all = |row: &PendingChange| pick.hunks.iter().all(|id| row.hunks.iter().any(|hunk| hunk.id == *id));
        if !has_all(&row)
            && let Some(owner) = self.owner_of(&row).await?
        {
            let moved = self.shared.workspaces.pending_changes(owner).await?.into_iter().find(has_all);
            row = moved.unwrap_or(row);
        }
        match ledger::choose(&row, &pick.hunks, verdict) {
            Ok((hunks, any)) => Ok((Chosen { row, hunks }, any)),
            Err(Refusal::UnknownHunk(_)) => Err(DispatchError::NotFound("hunk")),
            Err(Refusal::Decided(status)) => {
                let wanted = match verdict {
                    Verdict::Apply | Verdict::Reject => "what is pending",
                    Verdict::Revert => "what is applied",
                };
                let text = format!("that is {status}: only {wanted} can be decided on so");
                Err(DispatchError::Conflict(text))
            }
        }
    }

    async fn decide_at(
        &self,
        place: &Place,
        verdict: Verdict,
        rows: Vec<Chosen>,
    ) -> Result<Vec<PendingChange>, DispatchError> {
        if verdict == Verdict::Reject && self.is_busy(place).await? {
            // Carried out when the turn ends.
            return self.refuse(rows, "").await;
        }
        if verdict == Verdict::Reject {
            for chosen in &rows {
                self.refuse_if_applied(&chosen.row, &place.project).await?;
            }
        }
        let held = self.hold(place).await?;
        let Some(repository) = &held.repository else {
            // A change of a human's own is in no worktree.
            return self.refuse(rows, "-").await;
        };
        let (plan, contents) = self.plan(repository, place, verdict, &rows).await?;
        let id = self.carry_out(repository, &place.project, &plan).await?;
        match self.record(rows, plan.carried(), &contents, Some(id)).await {
            Ok(rows) => {
                drop(held);
                self.decided(&rows).await?;
                Ok(rows)
            }
            Err(DispatchError::Store(error @ StoreError::Conflict { .. })) => {
                self.give_up(repository, id, plan.steps()?).await?;
                tracing::debug!(%error, "a change moved on while it was decided on");
                Err(DispatchError::Conflict("the change moved on: look at it again".to_owned()))
            }
            // It is finished by the next decision, or by the next start.
            Err(error) => Err(error),
        }
    }

    /// Writes down what was decided, and shows who has pending changes after it.
    async fn record(
        &self,
        rows: Vec<Chosen>,
        carried: Vec<Carried>,
        contents: &ledger::Contents,
        open: Option<boocoder_model::DecisionId>,
    ) -> Result<Vec<PendingChange>, DispatchError> {
        let after: Vec<_> =
            rows.iter().zip(&carried).map(|(chosen, carried)| outcome(&chosen.row, carried, contents)).collect();
        let mut changes: Vec<_> = after.iter().map(|row| Change::RevisePending(Box::new(row.clone()))).collect();
        changes.extend(open.map(|id| Change::EndDecision { id }));
        let session = after.first().and_then(|row| row.session_id);
        self.show(session, changes).await?;
        if carried.iter().any(|carried| carried.kind == Verdict::Reject)
            && let Some(session) = session
        {
            self.shared.workspaces.refused(session);
        }
        Ok(after)
    }

    /// Writes changes of pending changes, and shows who has some after them.
    pub(crate) async fn show(&self, session: Option<SessionId>, changes: Vec<Change>) -> Result<(), DispatchError> {
        let rows = match session {
            Some(session) => self.store().pending_changes(session).await?,
            None => Vec::new(),
        };
        let agents = contributors(&rows, &changes);
        self.shared.workspaces.tell(session, changes, agents).await
    }

    /// Records refusals that change no file now.
    async fn refuse(&self, rows: Vec<Chosen>, against: &str) -> Result<Vec<PendingChange>, DispatchError> {
        let at = env::now();
        let carried = |chosen: &Chosen| Carried {
            kind: Verdict::Reject,
            hunks: chosen.hunks.clone(),
            against: against.to_owned(),
            before: None,
            after: None,
            rest: None,
            at,
        };
        let carried: Vec<_> = rows.iter().map(carried).collect();
        self.record(rows, carried, &BTreeMap::new(), None).await
    }

    /// Whether a turn runs in the worktree.
    async fn is_busy(&self, place: &Place) -> Result<bool, DispatchError> {
        match place.files.owner() {
            Some(owner) => self.works_in(owner).await,
            None => Ok(false),
        }
    }

    /// Refuses while a turn runs in a worktree.
    pub(crate) async fn refuse_while_busy(&self, owner: Owner) -> Result<(), DispatchError> {
        if self.works_in(owner).await? {
            return Err(DispatchError::Conflict("a turn is running in its worktree: cancel it first".to_owned()));
        }
        Ok(())
    }

    async fn works_in(&self, owner: Owner) -> Result<bool, DispatchError> {
        let running = TaskFilter { state: Some(TaskState::Running), ..TaskFilter::default() };
        Ok(match owner {
            Owner::Session(session) => {
                let tasks = self.store().tasks(TaskFilter { session_id: Some(session), ..running }).await?;
                tasks.iter().any(|task| task.chat_id.is_some())
            }
            Owner::Task(task) => self.store().task(task).await?.is_some_and(|task| task.state == TaskState::Running),
        })
    }

    /// What was compared with the worktrees of these rows is compared anew.
    async fn decided(&self, rows: &[PendingChange]) -> Result<(), DispatchError> {
        let mut owners = BTreeSet::new();
        for row in rows {
            owners.extend(self.owner_of(row).await?);
        }
        for owner in owners {
            self.shared.workspaces.decided(owner).await;
            if let Owner::Task(task) = owner
                // The last decision on what a task has done leaves its worktree without a use.
                && let Err(error) = self.shared.workspaces.discard_unused(task).await
            {
                tracing::warn!(%task, %error, "the worktree of a task could not be removed");
            }
        }
        Ok(())
    }

    /// Whose worktree a change came from; a human's own came from none. A task that belongs to a session and to no chat of
    /// it has one of its own.
    pub(crate) async fn owner_of(&self, change: &PendingChange) -> Result<Option<Owner>, DispatchError> {
        if change.worktree_id.is_none() {
            return Ok(None);
        }
        let task = match change.task_id {
            Some(id) => self.store().task(id).await?,
            None => None,
        };
        Ok(task.as_ref().map(Owner::of).or(change.session_id.map(Owner::Session)))
    }

    /// Refuses to reject what is in the project's checkout already, put there by hand.
    async fn refuse_if_applied(&self, change: &PendingChange, project: &Project) -> Result<(), DispatchError> {
        let repository = self.shared.workspaces.repository(project).await?;
        let found = repository.holds(&change.file_path.parse()?).await?;
        if repository.is(&found, change.target.as_ref()) && !repository.is(&found, change.base.as_ref()) {
            let text = "the project's checkout holds this change already: apply it, then revert it";
            return Err(DispatchError::Conflict(text.to_owned()));
        }
        Ok(())
    }

    pub(crate) async fn project_of(&self, change: &PendingChange) -> Result<Project, DispatchError> {
        let project = match (change.session_id, change.task_id) {
            (Some(id), _) => self.store().session(id).await?.map(|session| session.project_id),
            (None, Some(id)) => self.store().task(id).await?.map(|task| task.project_id),
            (None, None) => None,
        };
        self.project(project.ok_or(DispatchError::NotFound("session"))?).await
    }
}
