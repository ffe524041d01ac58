//! How rows follow a worktree from turn to turn.

use std::collections::BTreeSet;

use boocoder_model::{AgentName, BlobRef, PendingChange, PendingId, PendingStatus};
use boocoder_store::Change;
use boocoder_wire::FrameBody;
use boocoder_worktree::FileDiff;
use jiff::Timestamp;
use uuid::Uuid;

use super::{Contents, Origin, is_deferred, new_row, state, text_blobs};

/// What the accepted side of a row is, as a blob.
pub(crate) type Accepted<'a> = &'a (dyn Fn(&PendingChange) -> Option<BlobRef> + Sync);

/// Whether a row says of its file just what the worktree's diff says, so that it stands as it is.
pub(crate) fn stands(row: &PendingChange, file: &FileDiff, accepted: Accepted<'_>) -> bool {
    let change = &file.change;
    let is_offered = |status: PendingStatus| status.is_open() || status == PendingStatus::Reverted;
    // What a human refused while the agent worked is in the worktree until the turn ends.
    (is_offered(row.status)
        || row.hunks.iter().any(|hunk| is_offered(hunk.status))
        || row.decisions.iter().any(is_deferred))
        && row.file_path == change.path.as_str()
        && row.target == change.target
        && accepted(row) == change.base
}

/// The row that a file's new one follows: the newest of this worktree that told of the file, by this name or by the one
/// that it had before.
pub(crate) fn predecessor<'a>(
    existing: &'a [PendingChange],
    file: &FileDiff,
    origin: &Origin,
) -> Option<&'a PendingChange> {
    let own = || existing.iter().rev().filter(|row| is_own(row, origin) && row.status != PendingStatus::Superseded);
    let named = |name: &str| own().find(|row| row.file_path == name);
    named(file.change.path.as_str()).or_else(|| named(file.change.old_path.as_ref()?.as_str()))
}

/// The blobs whose contents [`follow`] needs.
pub(crate) fn texts_to_follow(
    existing: &[PendingChange],
    files: &[FileDiff],
    origin: &Origin,
    accepted: Accepted<'_>,
) -> BTreeSet<String> {
    let mut wanted = BTreeSet::new();
    for file in files.iter().filter(|file| !file.binary) {
        let before = predecessor(existing, file, origin);
        if before.is_none_or(|row| !stands(row, file, accepted)) {
            let sides = file.change.base.iter().chain(&file.change.target);
            wanted.extend(sides.filter(|side| side.mode.starts_with("100")).map(|side| side.blob.clone()));
            wanted.extend(before.map(text_blobs).unwrap_or_default());
        }
    }
    wanted
}

/// Brings the rows of one worktree in line with its diff, which `origin` is the last to have had a hand in.
///
/// A row that stands is left alone. Every other file gets a new row, to which the hunks move that are as they were; what
/// was pending and is so no more is superseded. Rows of another worktree, and a human's own, are never touched.
pub(crate) fn follow(
    existing: &[PendingChange],
    files: &[FileDiff],
    contents: &Contents,
    accepted: Accepted<'_>,
    origin: &Origin,
    at: Timestamp,
    new_id: &mut dyn FnMut() -> Uuid,
) -> Vec<Change> {
    let mut standing: BTreeSet<PendingId> = BTreeSet::new();
    let mut new = Vec::new();
    for file in files {
        match predecessor(existing, file, origin) {
            Some(row) if stands(row, file, accepted) => {
                standing.insert(row.id);
            }
            before => new.push(new_row(file, before, contents, origin, at, new_id)),
        }
    }
    let moved: BTreeSet<_> = new.iter().flat_map(|row| row.hunks.iter().map(|hunk| hunk.id)).collect();
    let mut changes = Vec::new();
    for row in existing.iter().filter(|row| is_own(row, origin) && !standing.contains(&row.id)) {
        let mut after = row.clone();
        after.hunks.retain(|hunk| !moved.contains(&hunk.id));
        for hunk in after.hunks.iter_mut().filter(|hunk| hunk.status.is_open()) {
            hunk.status = PendingStatus::Superseded;
        }
        let all_moved = after.hunks.is_empty() && !row.hunks.is_empty();
        after.status = if all_moved || (row.hunks.is_empty() && row.status.is_open()) {
            PendingStatus::Superseded
        } else {
            state(&after)
        };
        // What was taken back and is in the worktree no more may be offered again, once an agent does it again.
        let is_back = after.status == PendingStatus::Reverted && files.iter().all(|file| !is_about(file, row));
        if is_back {
            after.target.clone_from(&after.base);
        }
        if after != *row {
            after.revision += 1;
            changes.push(Change::RevisePending(Box::new(after)));
        }
    }
    changes.extend(new.into_iter().map(|row| Change::AddPending(Box::new(row))));
    changes
}

/// The frame that says who has pending changes now.
pub(crate) fn pending_changed(agents: Vec<Option<AgentName>>) -> FrameBody {
    FrameBody::PendingChanged { agents: agents.into_iter().map(|agent| agent.map(|name| name.to_string())).collect() }
}

fn is_about(file: &FileDiff, row: &PendingChange) -> bool {
    file.change.path.as_str() == row.file_path
}

fn is_own(row: &PendingChange, origin: &Origin) -> bool {
    row.worktree_id.is_some() && row.worktree_id == origin.worktree_id
}

/// Who made what a row offers still, a human (none) first.
pub(crate) fn makers(row: &PendingChange) -> BTreeSet<Option<AgentName>> {
    let of_hunks = row.hunks.iter().filter(|hunk| hunk.status.is_open()).map(|hunk| hunk.agent.clone());
    let of_row = (row.hunks.is_empty() && row.status.is_open()).then(|| row.agent.clone());
    of_hunks.chain(of_row).collect()
}

/// The agents that have pending changes once `changes` are made to `existing`, a human (none) first.
pub(crate) fn contributors(existing: &[PendingChange], changes: &[Change]) -> Vec<Option<AgentName>> {
    let revised = |row: &PendingChange| {
        changes.iter().rev().find_map(|change| {
            let Change::RevisePending(revised) = change else { return None };
            (revised.id == row.id).then(|| (**revised).clone())
        })
    };
    let stay = existing.iter().map(|row| revised(row).unwrap_or_else(|| row.clone()));
    let come = changes
        .iter()
        .filter_map(|change| if let Change::AddPending(row) = change { Some((**row).clone()) } else { None });
    stay.chain(come).flat_map(|row| makers(&row)).collect::<BTreeSet<_>>().into_iter().collect()
}

/// A row of which nothing waits any more.
pub(crate) fn superseded(mut row: PendingChange) -> Change {
    row.revision += 1;
    row.status = PendingStatus::Superseded;
    let open = row.hunks.iter_mut().filter(|hunk| hunk.status.is_open());
    open.for_each(|hunk| hunk.status = PendingStatus::Superseded);
    Change::RevisePending(Box::new(row))
}
