//! What a worktree's diff means for the queue of pending changes. Pure.

use std::collections::BTreeSet;

use boocoder_model::{AgentName, Hunk, HunkId, PendingChange, PendingId, PendingStatus, SessionId, TaskId, WorktreeId};
use boocoder_store::Change;
use boocoder_worktree::FileDiff;
use jiff::Timestamp;
use uuid::Uuid;

/// Who made a diff, and where.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) session_id: Option<SessionId>,
    pub(crate) task_id: Option<TaskId>,
    pub(crate) worktree_id: Option<WorktreeId>,
    pub(crate) agent: Option<AgentName>,
}

/// Brings the pending changes of one worktree in line with its diff.
///
/// A change that is in the diff as it was stays, with the agent that made it; one that is not is superseded; what is new
/// is added for the agent of this turn. Only pending changes of this very worktree are touched, and a change that a human
/// applied and then took back is not offered again as it was.
pub(crate) fn reconcile(
    existing: &[PendingChange],
    files: &[FileDiff],
    origin: &Origin,
    at: Timestamp,
    new_id: &mut dyn FnMut() -> Uuid,
) -> Vec<Change> {
    let own = || existing.iter().filter(|row| row.worktree_id.is_some() && row.worktree_id == origin.worktree_id);
    let mut changes = Vec::new();
    for row in own().filter(|row| row.status == PendingStatus::Pending) {
        if !files.iter().any(|file| same(row, file)) {
            let (from, to) = (PendingStatus::Pending, PendingStatus::Superseded);
            changes.push(Change::SetPendingStatus { id: row.id, from, to, at });
        }
    }
    let stands = |row: &PendingChange| matches!(row.status, PendingStatus::Pending | PendingStatus::Reverted);
    for file in files {
        if !own().any(|row| stands(row) && same(row, file)) {
            changes.push(Change::AddPending(Box::new(row(file, origin, at, new_id))));
        }
    }
    changes
}

/// A new pending change.
pub(crate) fn row(file: &FileDiff, origin: &Origin, at: Timestamp, new_id: &mut dyn FnMut() -> Uuid) -> PendingChange {
    let change = &file.change;
    PendingChange {
        id: PendingId::from_uuid(new_id()),
        session_id: origin.session_id,
        task_id: origin.task_id,
        worktree_id: origin.worktree_id,
        file_path: change.path.to_string(),
        old_path: change.old_path.as_ref().map(ToString::to_string),
        operation: change.operation,
        status: PendingStatus::Pending,
        agent: origin.agent.clone(),
        base: change.base.clone(),
        target: change.target.clone(),
        diff: file.diff.clone(),
        hunks: file
            .hunks
            .iter()
            .map(|hunk| Hunk {
                id: HunkId::from_uuid(new_id()),
                old_start: hunk.old_start,
                old_lines: hunk.old_lines,
                new_start: hunk.new_start,
                new_lines: hunk.new_lines,
                diff: hunk.text.clone(),
                status: PendingStatus::Pending,
                agent: origin.agent.clone(),
            })
            .collect(),
        created_at: at,
    }
}

/// The agents that have pending changes once `changes` are made to `existing`, a human (none) first.
pub(crate) fn contributors(existing: &[PendingChange], changes: &[Change]) -> Vec<Option<AgentName>> {
    let moved_on = |row: &PendingChange| {
        changes.iter().any(|change| matches!(change, Change::SetPendingStatus { id, .. } if *id == row.id))
    };
    let stay = existing.iter().filter(|row| row.status == PendingStatus::Pending && !moved_on(row));
    let come =
        changes.iter().filter_map(|change| if let Change::AddPending(row) = change { Some(&**row) } else { None });
    stay.chain(come).map(|row| row.agent.clone()).collect::<BTreeSet<_>>().into_iter().collect()
}

/// Whether a row says of its file just what the diff says.
fn same(row: &PendingChange, file: &FileDiff) -> bool {
    let change = &file.change;
    row.file_path == change.path.as_str()
        && row.old_path.as_deref() == change.old_path.as_ref().map(|path| path.as_str())
        && row.operation == change.operation
        && row.base == change.base
        && row.target == change.target
}

#[cfg(test)]
mod tests {
    use boocoder_model::{BlobRef, Operation};
    use boocoder_worktree::Change as FileChange;

    use super::*;

    fn origin(agent: &str) -> Origin {
        let worktree_id = Some(WorktreeId::from_uuid(Uuid::from_u128(1)));
        Origin { session_id: None, task_id: None, worktree_id, agent: Some(agent.into()) }
    }

    fn file(path: &str, target: &str) -> FileDiff {
        let blob = |text: &str| BlobRef { blob: text.repeat(40), mode: "100644".into() };
        let change = FileChange {
            path: path.parse().unwrap(),
            old_path: None,
            operation: Operation::Edit,
            base: Some(blob("0")),
            target: Some(blob(target)),
        };
        FileDiff { change, binary: false, omitted: false, diff: format!("to {target}"), hunks: Vec::new() }
    }

    fn ids() -> impl FnMut() -> Uuid {
        let mut last = 100;
        move || {
            last += 1;
            Uuid::from_u128(last)
        }
    }

    fn reconciled(existing: &[PendingChange], files: &[FileDiff], agent: &str) -> Vec<Change> {
        reconcile(existing, files, &origin(agent), Timestamp::UNIX_EPOCH, &mut ids())
    }

    fn kept(path: &str, target: &str, agent: &str) -> PendingChange {
        row(&file(path, target), &origin(agent), Timestamp::UNIX_EPOCH, &mut ids())
    }

    #[test]
    fn what_is_new_is_added_for_the_agent_of_the_turn() {
        let changes = reconciled(&[], &[file("a", "1")], "demo");
        assert!(matches!(&changes[..], [Change::AddPending(row)] if row.agent == Some("demo".into())));
    }

    #[test]
    fn another_agents_change_that_is_as_it_was_keeps_its_name() {
        let existing = [kept("a", "1", "goose")];
        assert_eq!(reconciled(&existing, &[file("a", "1")], "qwen"), []);
    }

    #[test]
    fn a_file_that_changed_again_is_superseded_and_one_that_is_back_as_it_was_too() {
        let existing = [kept("a", "1", "goose")];
        let changes = reconciled(&existing, &[file("a", "2")], "qwen");
        assert!(matches!(
            &changes[..],
            [Change::SetPendingStatus { to: PendingStatus::Superseded, .. }, Change::AddPending(row)]
                if row.agent == Some("qwen".into())
        ));
        let changes = reconciled(&existing, &[], "qwen");
        assert!(matches!(&changes[..], [Change::SetPendingStatus { to: PendingStatus::Superseded, .. }]));
    }

    #[test]
    fn a_humans_own_change_and_another_worktrees_are_left_alone() {
        let human = PendingChange { worktree_id: None, agent: None, ..kept("a", "1", "demo") };
        let other = Some(WorktreeId::from_uuid(Uuid::from_u128(2)));
        let elsewhere = PendingChange { worktree_id: other, ..kept("b", "1", "demo") };
        assert_eq!(reconciled(&[human, elsewhere], &[], "demo"), []);
    }

    #[test]
    fn decisions_already_taken_stand() {
        for status in [PendingStatus::Applied, PendingStatus::Rejected] {
            let decided = PendingChange { status, ..kept("a", "1", "demo") };
            let changes = reconciled(&[decided], &[file("a", "2")], "demo");
            assert!(matches!(&changes[..], [Change::AddPending(_)]), "{status}");
        }
    }

    #[test]
    fn what_was_applied_and_taken_back_is_not_offered_again_as_it_was() {
        let reverted = PendingChange { status: PendingStatus::Reverted, ..kept("a", "1", "demo") };
        assert_eq!(reconciled(std::slice::from_ref(&reverted), &[file("a", "1")], "demo"), []);
        assert_eq!(reconciled(&[reverted], &[file("a", "2")], "demo").len(), 1);
    }

    #[test]
    fn contributors_are_those_whose_changes_are_pending_afterwards() {
        let id = PendingId::from_uuid(Uuid::from_u128(7));
        let existing = [kept("a", "1", "goose"), PendingChange { id, agent: None, ..kept("b", "1", "x") }];
        let changes = reconciled(&existing[..1], &[file("a", "2")], "qwen");
        assert_eq!(contributors(&existing, &changes), [None, Some("qwen".into())]);
    }
}
