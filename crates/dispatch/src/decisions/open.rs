//! Decisions that are being carried out: written down before the first file is, so that a crash leaves all or nothing.

use std::collections::BTreeSet;

use boocoder_model::{
    BlobRef, DecisionId, HunkId, OpenDecision, PendingChange, PendingId, Project, ProjectId, RawJson,
};
use boocoder_store::Change;
use boocoder_worktree::{Repository, Step, WorktreeError};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Chosen;
use super::place::{Files, Place};
use crate::command::DispatchError;
use crate::comparing::read;
use crate::dispatcher::Dispatcher;
use crate::env;
use crate::ledger::{Carried, Verdict, text_blobs};
use crate::limits;

/// All that is needed to carry a decision out, or to take it back.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Plan {
    files: Files,
    steps: Vec<PlannedStep>,
    rows: Vec<PlannedRow>,
}

#[derive(Debug, Serialize, Deserialize)]
struct PlannedStep {
    path: String,
    before: Option<Blob>,
    after: Option<Blob>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PlannedRow {
    id: PendingId,
    revision: u32,
    kind: Verdict,
    hunks: BTreeSet<HunkId>,
    against: String,
    before: Option<Blob>,
    after: Option<Blob>,
    rest: Option<Blob>,
    at: Timestamp,
}

/// A blob and its mode.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Blob(String, String);

impl From<BlobRef> for Blob {
    fn from(BlobRef { blob, mode }: BlobRef) -> Self {
        Self(blob, mode)
    }
}

impl From<Blob> for BlobRef {
    fn from(Blob(blob, mode): Blob) -> Self {
        Self { blob, mode }
    }
}

impl PlannedRow {
    pub(super) fn new(row: &PendingChange, carried: Carried) -> Self {
        Self {
            id: row.id,
            revision: row.revision,
            kind: carried.kind,
            hunks: carried.hunks,
            against: carried.against,
            before: carried.before.map(Into::into),
            after: carried.after.map(Into::into),
            rest: carried.rest.map(Into::into),
            at: carried.at,
        }
    }

    fn carried(&self) -> Carried {
        let blob = |blob: &Option<Blob>| blob.clone().map(Into::into);
        Carried {
            kind: self.kind,
            hunks: self.hunks.clone(),
            against: self.against.clone(),
            before: blob(&self.before),
            after: blob(&self.after),
            rest: blob(&self.rest),
            at: self.at,
        }
    }
}

impl Plan {
    pub(super) fn new(files: Files, steps: Vec<Step>, rows: Vec<PlannedRow>) -> Self {
        let steps = steps.into_iter().map(|step| PlannedStep {
            path: step.path.to_string(),
            before: step.before.map(Into::into),
            after: step.after.map(Into::into),
        });
        Self { files, steps: steps.collect(), rows }
    }

    /// Steps that stand for no row.
    pub(crate) fn of_steps(files: Files, steps: Vec<Step>) -> Self {
        Self::new(files, steps, Vec::new())
    }

    pub(super) fn steps(&self) -> Result<Vec<Step>, WorktreeError> {
        let step = |step: &PlannedStep| {
            let blob = |blob: &Option<Blob>| blob.clone().map(Into::into);
            Ok(Step { path: step.path.parse()?, before: blob(&step.before), after: blob(&step.after) })
        };
        self.steps.iter().map(step).collect()
    }

    pub(super) fn carried(&self) -> Vec<Carried> {
        self.rows.iter().map(PlannedRow::carried).collect()
    }
}

impl Dispatcher {
    /// Carries a plan out, written down as open before the first file is changed; whoever records its outcome ends it. If
    /// it fails, the files are as before.
    pub(crate) async fn carry_out(
        &self,
        repository: &Repository,
        project: &Project,
        plan: &Plan,
    ) -> Result<DecisionId, DispatchError> {
        let (id, steps) = (DecisionId::from_uuid(env::new_id()), plan.steps()?);
        let body = serde_json::to_string(plan).map_err(|error| DispatchError::Invalid(error.to_string()))?;
        let (server, body) = (self.shared.server, RawJson::new(body));
        let open = OpenDecision { id, project_id: project.id, server, body, at: env::now() };
        self.write(None, vec![Change::BeginDecision(Box::new(open))]).await?;
        if let Err(error) = repository.carry_out(&steps).await {
            self.give_up(repository, id, steps).await?;
            return Err(error.into());
        }
        Ok(id)
    }

    /// Puts back what was written of a decision, and takes it away.
    pub(super) async fn give_up(
        &self,
        repository: &Repository,
        id: DecisionId,
        steps: Vec<Step>,
    ) -> Result<(), DispatchError> {
        take_back(repository, steps).await;
        self.end(id).await
    }

    async fn end(&self, id: DecisionId) -> Result<(), DispatchError> {
        Ok(self.write(None, vec![Change::EndDecision { id }]).await?)
    }

    /// Finishes the decisions, of one project or of all, that were begun and never recorded: this server's own, for one is
    /// carried out at a time in a project, and those of other servers that were begun so long ago that their servers must have gone.
    pub(crate) async fn finish_open_decisions(&self, project: Option<ProjectId>) -> Result<(), DispatchError> {
        let now = env::now();
        let is_meant = |open: &OpenDecision| project.is_none_or(|project| open.project_id == project);
        for open in self.store().open_decisions().await?.into_iter().filter(is_meant) {
            let age = now.duration_since(open.at).unsigned_abs();
            if open.server != self.shared.server && age <= limits::OPEN_DECISION {
                continue;
            }
            match self.finish(&open).await {
                Err(DispatchError::Store(error)) => return Err(error.into()),
                // A project that is not there for the moment, say, is no reason not to start.
                Err(error) => {
                    tracing::warn!(decision = %open.id, %error, "a decision that was begun waits to be finished");
                }
                Ok(()) => {}
            }
        }
        Ok(())
    }

    async fn finish(&self, open: &OpenDecision) -> Result<(), DispatchError> {
        let id = open.id;
        let plan: Plan = match serde_json::from_str(open.body.as_str()) {
            Ok(plan) => plan,
            Err(error) => {
                tracing::error!(decision = %id, %error, "a decision that was begun cannot be read, and is given up");
                return self.end(id).await;
            }
        };
        let place = Place { project: self.project(open.project_id).await?, files: plan.files };
        let held = self.hold(&place).await?;
        let Some(repository) = &held.repository else { return self.end(id).await };
        let steps = plan.steps()?;
        if let Err(error) = repository.carry_out(&steps).await {
            tracing::warn!(decision = %id, %error, "a decision that was begun is taken back");
            return self.give_up(repository, id, steps).await;
        }
        let mut rows = Vec::new();
        for planned in &plan.rows {
            match self.store().pending_change(planned.id).await? {
                Some(row) if row.revision == planned.revision => {
                    rows.push(Chosen { row, hunks: planned.hunks.clone() });
                }
                Some(_) | None => {
                    tracing::warn!(decision = %id, change = %planned.id, "a change moved on before it was decided on");
                    return self.give_up(repository, id, steps).await;
                }
            }
        }
        let blobs: BTreeSet<_> = rows.iter().flat_map(|chosen| text_blobs(&chosen.row)).collect();
        let contents = read(repository, blobs).await?;
        let rows = self.record(rows, plan.carried(), &contents, Some(id)).await?;
        tracing::info!(decision = %id, "a decision that was begun is finished");
        drop(held);
        self.decided(&rows).await
    }
}

/// Puts back what was written, file by file: one that a human has changed meanwhile stays as it is.
async fn take_back(repository: &Repository, steps: Vec<Step>) {
    let mut steps: Vec<_> = steps.into_iter().map(Step::inverse).collect();
    // A directory may come back where a file was written, and the other way round.
    steps.sort_by_key(|step| step.after.is_some());
    for step in steps {
        let path = step.path.clone();
        if let Err(error) = repository.carry_out(&[step]).await {
            tracing::warn!(%path, %error, "a file was changed meanwhile, and stays as it is");
        }
    }
}
