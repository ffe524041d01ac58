//! A human's decision on a row: which hunks it means, and what it makes of the row.

use std::collections::BTreeSet;

use boocoder_hunks as lines;
use boocoder_model::{
    BlobRef, DecidedBy, Hunk, HunkId, PendingChange, PendingDecision, PendingDecisionKind, PendingStatus,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::row::{Lines, hunk, in_target, lines_of, text};
use super::{Contents, state};

/// What a human decides on pending changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// To write them to the project's checkout.
    Apply,
    /// To take them out of the worktree: at once or, while a turn runs in it, when that ends.
    Reject,
    /// To take what was applied back out of the project's checkout.
    Revert,
}

/// Why a decision cannot be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The row has no such hunk.
    UnknownHunk(HunkId),
    /// It was decided otherwise.
    Decided(PendingStatus),
}

/// What carrying out a decision on one row did to its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Carried {
    pub(crate) kind: Verdict,
    /// The hunks that it was about; empty for a row without hunks.
    pub(crate) hunks: BTreeSet<HunkId>,
    /// The commit or tree that the place held; empty for a refusal that is yet to be carried out.
    pub(crate) against: String,
    /// What the file held before and after.
    pub(crate) before: Option<BlobRef>,
    pub(crate) after: Option<BlobRef>,
    /// What is left of the target, if a refusal leaves some hunks in it.
    pub(crate) rest: Option<BlobRef>,
    pub(crate) at: Timestamp,
}

impl Verdict {
    const fn ends_in(self) -> PendingStatus {
        match self {
            Self::Apply => PendingStatus::Applied,
            Self::Reject => PendingStatus::Rejected,
            Self::Revert => PendingStatus::Reverted,
        }
    }

    const fn begins_at(self, status: PendingStatus) -> bool {
        match self {
            Self::Apply | Self::Reject => status.is_open(),
            Self::Revert => matches!(status, PendingStatus::Applied),
        }
    }

    /// Whether anything of a row can be decided on so.
    pub(crate) fn is_possible(self, row: &PendingChange) -> bool {
        !row.is_submodule() && (self.begins_at(row.status) || row.hunks.iter().any(|hunk| self.begins_at(hunk.status)))
    }

    const fn kind(self) -> PendingDecisionKind {
        match self {
            Self::Apply => PendingDecisionKind::Apply,
            Self::Reject => PendingDecisionKind::Reject,
            Self::Revert => PendingDecisionKind::Revert,
        }
    }
}

/// The hunks of a row that a decision is about: those named, or all that it can be about. None of them if it was made
/// before; of a row without hunks, none of them means the row itself, and `false` that it was decided so before.
pub(crate) fn choose(
    row: &PendingChange,
    named: &[HunkId],
    verdict: Verdict,
) -> Result<(BTreeSet<HunkId>, bool), Refusal> {
    if row.hunks.is_empty() {
        return match named.first() {
            Some(id) => Err(Refusal::UnknownHunk(*id)),
            None if verdict.begins_at(row.status) => Ok((BTreeSet::new(), true)),
            None if row.status == verdict.ends_in() => Ok((BTreeSet::new(), false)),
            None => Err(Refusal::Decided(row.status)),
        };
    }
    let find = |id: &HunkId| row.hunks.iter().find(|hunk| hunk.id == *id).ok_or(Refusal::UnknownHunk(*id));
    let asked: Vec<&Hunk> = named.iter().map(find).collect::<Result<_, _>>()?;
    if let Some(other) = asked.iter().find(|hunk| !verdict.begins_at(hunk.status) && hunk.status != verdict.ends_in()) {
        return Err(Refusal::Decided(other.status));
    }
    let among: Vec<&Hunk> = if named.is_empty() { row.hunks.iter().collect() } else { asked };
    let chosen: BTreeSet<_> = among.iter().filter(|hunk| verdict.begins_at(hunk.status)).map(|hunk| hunk.id).collect();
    if chosen.is_empty() && among.iter().all(|hunk| hunk.status != verdict.ends_in()) {
        return Err(Refusal::Decided(row.status));
    }
    let any = !chosen.is_empty();
    Ok((chosen, any))
}

/// Whether a refusal was recorded and its lines are in the worktree still.
pub(crate) fn is_deferred(decision: &PendingDecision) -> bool {
    decision.kind == PendingDecisionKind::Reject && decision.against.is_empty()
}

/// The row after a decision was carried out.
pub(crate) fn outcome(row: &PendingChange, carried: &Carried, contents: &Contents) -> PendingChange {
    let mut after = row.clone();
    after.revision += 1;
    after.decisions.push(PendingDecision {
        kind: carried.kind.kind(),
        hunks: carried.hunks.iter().copied().collect(),
        decided_by: DecidedBy::User,
        at: carried.at,
        against: carried.against.clone(),
        before: carried.before.clone(),
        after: carried.after.clone(),
    });
    let status = carried.kind.ends_in();
    for hunk in after.hunks.iter_mut().filter(|hunk| carried.hunks.contains(&hunk.id)) {
        hunk.status = status;
    }
    if row.hunks.is_empty() {
        after.status = status;
    }
    if carried.kind == Verdict::Reject && !carried.against.is_empty() {
        after = taken_out(row, after, &carried.hunks, carried.rest.as_ref(), contents);
    }
    after.status = state(&after);
    after
}

/// The hunks whose refusal was put off, and is yet to be carried out.
pub(crate) fn put_off(row: &PendingChange) -> BTreeSet<HunkId> {
    let deferred = |hunk: &&Hunk| hunk.status == PendingStatus::Rejected && in_target(row, hunk);
    row.hunks.iter().filter(deferred).map(|hunk| hunk.id).collect()
}

/// The row once the refusals that were put off are carried out. Of `carried`, the kind and the hunks do not matter.
pub(crate) fn caught_up(row: &PendingChange, carried: &Carried, contents: &Contents) -> PendingChange {
    let mut after = row.clone();
    after.revision += 1;
    for decision in after.decisions.iter_mut().filter(|decision| is_deferred(decision)) {
        (decision.before, decision.after) = (carried.before.clone(), carried.after.clone());
        decision.against.clone_from(&carried.against);
    }
    after = taken_out(row, after, &put_off(row), carried.rest.as_ref(), contents);
    after.status = state(&after);
    after
}

/// Takes hunks out of a row's target: what is left of it, and where the others stand in it. A row that nothing is left of
/// stays as it was, as a record.
fn taken_out(
    row: &PendingChange,
    mut after: PendingChange,
    out: &BTreeSet<HunkId>,
    rest: Option<&BlobRef>,
    contents: &Contents,
) -> PendingChange {
    let known = lines_of(row, contents);
    let is_out = |line: &Lines| row.hunks.get(line.origin.0).is_some_and(|hunk| out.contains(&hunk.id));
    if known.iter().all(is_out) {
        return after;
    }
    let (base, target) = (text(row.base.as_ref(), contents), text(row.target.as_ref(), contents));
    let (left_text, left) = lines::without(base, target, &known, is_out);
    for line in &left {
        let (place, maker) = &line.origin;
        let before = &after.hunks[*place];
        let moved = hunk(line, base, &left_text, before.id, before.status, maker);
        after.hunks[*place] = Hunk { tool_call_id: before.tool_call_id.clone(), ..moved };
    }
    after.diff = unified(&row.diff, base, &left_text);
    after.target = rest.cloned();
    after
}

/// The header of a unified diff, with the lines between two other texts.
fn unified(diff: &str, base: &[u8], target: &[u8]) -> String {
    let is_header = |line: &&str| !line.starts_with("@@ ") && !line.starts_with("index ");
    let header: String =
        diff.split_inclusive('\n').take_while(|line| !line.starts_with("@@ ")).filter(is_header).collect();
    let hunks = lines::hunks(base, target, ()).iter().map(|hunk| hunk.text(base, target)).collect::<String>();
    header + &hunks
}
