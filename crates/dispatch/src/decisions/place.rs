//! Where a decision is carried out, and what it comes down to there.

use std::collections::BTreeSet;

use boocoder_model::{
    BlobRef, HunkId, PendingChange, PendingDecision, PendingDecisionKind, PendingStatus, Project, SessionId, TaskId,
};
use boocoder_worktree::{RepoPath, Repository};
use serde::{Deserialize, Serialize};
use tokio::sync::OwnedMutexGuard;

use super::Chosen;
use super::open::{Plan, PlannedRow};
use crate::command::DispatchError;
use crate::comparing::{blob, read};
use crate::dispatcher::Dispatcher;
use crate::env;
use crate::ledger::{
    Carried, Clash, Contents, Located, Side, Steps, Verdict, Wanted, accepted, go, put_off, side, text_blobs,
};
use crate::workspace::{Owner, Workspace};

/// The files that a decision changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) project: Project,
    pub(super) files: Files,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Files {
    /// The project's own checkout.
    Project,
    /// The worktree of a session, or of a task of its own.
    Session(SessionId),
    Task(TaskId),
    /// A change that is in no worktree is refused.
    Nowhere,
}

impl Files {
    /// Whose worktree it is, if it is one.
    pub(super) const fn owner(self) -> Option<Owner> {
        match self {
            Self::Session(id) => Some(Owner::Session(id)),
            Self::Task(id) => Some(Owner::Task(id)),
            Self::Project | Self::Nowhere => None,
        }
    }
}

/// A place that nobody else changes meanwhile.
pub(super) struct Held {
    pub(super) repository: Option<Repository>,
    _slot: Option<OwnedMutexGuard<Option<Workspace>>>,
}

impl Dispatcher {
    pub(super) async fn place_of(&self, row: &PendingChange, verdict: Verdict) -> Result<Place, DispatchError> {
        let project = self.project_of(row).await?;
        let files = match verdict {
            Verdict::Apply | Verdict::Revert => Files::Project,
            Verdict::Reject => match self.owner_of(row).await? {
                Some(Owner::Session(id)) => Files::Session(id),
                Some(Owner::Task(id)) => Files::Task(id),
                None => Files::Nowhere,
            },
        };
        Ok(Place { project, files })
    }

    pub(super) async fn hold(&self, place: &Place) -> Result<Held, DispatchError> {
        let workspaces = &self.shared.workspaces;
        let Some(owner) = place.files.owner() else {
            let repository = match place.files {
                Files::Nowhere => None,
                Files::Project | Files::Session(_) | Files::Task(_) => {
                    Some(workspaces.repository(&place.project).await?)
                }
            };
            return Ok(Held { repository, _slot: None });
        };
        let slot = workspaces.existing(owner, &place.project).await?;
        let repository = slot.as_ref().map(|workspace| workspace.checkout().repository().clone());
        Ok(Held { repository, _slot: Some(slot) })
    }

    /// What carrying out a decision means for the files of a place. Nothing is changed yet.
    pub(super) async fn plan(
        &self,
        repository: &Repository,
        place: &Place,
        verdict: Verdict,
        rows: &[Chosen],
    ) -> Result<(Plan, Contents), DispatchError> {
        let against = repository.head().await?.to_string();
        let mut contents = read(repository, rows.iter().flat_map(|chosen| text_blobs(&chosen.row)).collect()).await?;
        let (mut steps, mut planned, mut clashes) = (Steps::default(), Vec::new(), Vec::new());
        for Chosen { row, hunks } in rows {
            let (from, to) = sides(row, hunks, verdict, &contents);
            let rest = matches!(to, Side::Between(_)) && verdict == Verdict::Reject;
            let from = Located { path: from.path(row).parse()?, blob: blob(repository, row, from).await? };
            let to_path: RepoPath = to.path(row).parse()?;
            let to = Located { path: to_path, blob: blob(repository, row, to).await? };
            let last = row.decisions.iter().rev().find_map(|decision| decision.after.as_ref());
            let expected: Vec<&BlobRef> = [from.blob.as_ref(), to.blob.as_ref(), last].into_iter().flatten().collect();
            let found = match look(repository, &mut steps, &from.path, &expected).await? {
                Ok(found) => found,
                Err(reason) => {
                    clashes.push(refusal(&from.path, reason));
                    continue;
                }
            };
            let exact = match verdict {
                Verdict::Revert => last_left(row, hunks, &from, &found),
                Verdict::Apply | Verdict::Reject => Last::AsLeft,
            };
            let ids = [found.as_ref(), from.blob.as_ref(), to.blob.as_ref()].into_iter().flatten();
            let ids = ids.filter(|side| side.mode.starts_with("100") && !contents.contains_key(&side.blob));
            contents.extend(read(repository, ids.map(|side| side.blob.clone()).collect()).await?);
            let is_there = from.path != to.path && found.is_none() && from.blob.is_some() && {
                look(repository, &mut steps, &to.path, &expected).await? == Ok(to.blob.clone())
            };
            let after = match (exact, go(found.as_ref(), &from, &to, &contents)) {
                (Last::Elsewhere, _) => {
                    clashes.push(refusal(&from.path, "it is not as the last decision left it".to_owned()));
                    continue;
                }
                (Last::TakenBackWhole(before), _) => before,
                (Last::AsLeft, _) if is_there => to.blob.clone(),
                (Last::AsLeft, Ok(Wanted::Blob(blob))) => blob,
                (Last::AsLeft, Ok(Wanted::Merged(content, mode))) => {
                    Some(BlobRef { blob: repository.write_blob(content).await?, mode })
                }
                (Last::AsLeft, Err(clash)) => {
                    let crossed = steps.crossed(&from.path).filter(|_| found.is_none());
                    clashes.push(crossed.map_or(clash, |reason| refusal(&from.path, reason)));
                    continue;
                }
            };
            if found.is_none() && from.blob.is_some() && after.is_none() {
                steps.note_gone(&from.path);
            }
            if from.path == to.path {
                steps.add(to.path, found.clone(), after.clone());
            } else {
                match look(repository, &mut steps, &to.path, &expected).await? {
                    Ok(there) if there.is_none() || there == after => steps.add(to.path, there, after.clone()),
                    Ok(_) | Err(_) => {
                        clashes.push(refusal(&to.path, "there is another file in its place".to_owned()));
                        continue;
                    }
                }
                steps.add(from.path, found.clone(), None);
            }
            let rest = to.blob.filter(|_| rest);
            let carried = Carried {
                kind: verdict,
                hunks: hunks.clone(),
                against: against.clone(),
                before: found,
                after,
                rest,
                at: env::now(),
            };
            planned.push(PlannedRow::new(row, carried));
        }
        clashes.extend(steps.in_the_way().into_iter().map(|(path, reason)| refusal(&path, reason)));
        if !clashes.is_empty() {
            return Err(DispatchError::Clash(clashes));
        }
        Ok((Plan::new(place.files, steps.into_steps(), planned), contents))
    }
}

/// From what a decision goes to what, at its place.
fn sides(row: &PendingChange, hunks: &BTreeSet<HunkId>, verdict: Verdict, contents: &Contents) -> (Side, Side) {
    let chosen = |id: &HunkId| hunks.contains(id);
    match verdict {
        Verdict::Apply => {
            let to = side(row, contents, |hunk| {
                hunk.is_none_or(|hunk| hunk.status == PendingStatus::Applied || chosen(&hunk.id))
            });
            (accepted(row, contents), to)
        }
        Verdict::Revert => {
            let to = side(row, contents, |hunk| {
                hunk.is_some_and(|hunk| hunk.status == PendingStatus::Applied && !chosen(&hunk.id))
            });
            (accepted(row, contents), to)
        }
        Verdict::Reject => {
            let late = put_off(row);
            let to = side(row, contents, |hunk| hunk.is_some_and(|hunk| !chosen(&hunk.id) && !late.contains(&hunk.id)));
            (Side::Target, to)
        }
    }
}

/// How a file is, compared with what the last decision on its change left.
enum Last {
    AsLeft,
    /// As left, and by nothing else than the hunks that are taken back now: what was there before is known.
    TakenBackWhole(Option<BlobRef>),
    Elsewhere,
}

fn last_left(row: &PendingChange, hunks: &BTreeSet<HunkId>, from: &Located, found: &Option<BlobRef>) -> Last {
    let in_project = |kind| matches!(kind, PendingDecisionKind::Apply | PendingDecisionKind::Revert);
    let is_about = |decision: &PendingDecision| decision.hunks.iter().copied().collect::<BTreeSet<_>>() == *hunks;
    let Some(last) = row.decisions.iter().rev().find(|decision| in_project(decision.kind)) else {
        // It was applied by an earlier version, which wrote the change itself and nothing else.
        return if *found == from.blob { Last::AsLeft } else { Last::Elsewhere };
    };
    if *found != last.after {
        return Last::Elsewhere;
    }
    if last.kind == PendingDecisionKind::Apply && is_about(last) {
        return Last::TakenBackWhole(last.before.clone());
    }
    Last::AsLeft
}

fn refusal(path: &RepoPath, reason: String) -> Clash {
    Clash { path: path.to_string(), reason, ours: None, base: None, theirs: None }
}

/// What a path holds, or will by the steps that are planned already.
async fn look(
    repository: &Repository,
    steps: &mut Steps,
    path: &RepoPath,
    expected: &[&BlobRef],
) -> Result<Result<Option<BlobRef>, String>, DispatchError> {
    if let Some(planned) = steps.planned(path) {
        return Ok(Ok(planned.clone()));
    }
    Ok(steps.found(path, repository.holds_one_of(path, expected).await?))
}
