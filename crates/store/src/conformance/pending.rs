//! Pending changes and their hunks.

use boocoder_model::{BlobRef, Operation, PendingChange, PendingStatus};

use super::sample::{World, at, hunk, worktree};
use super::{refused, write};
use crate::{Change, Store};

/// Hunks that were decided on by themselves stay as they are.
pub async fn pending_changes_move_on_with_their_hunks(store: &dyn Store) {
    let world = World::stored(store).await;
    let mut pending = world.pending();
    pending.hunks.push(hunk(PendingStatus::Rejected));
    write(store, [Change::AddPending(Box::new(pending.clone()))]).await;

    let set = |from, to| Change::SetPendingStatus { id: pending.id, from, to, at: at(80) };
    let detail = refused(store, "pending change", set(PendingStatus::Applied, PendingStatus::Reverted)).await;
    assert_eq!(detail, "it is pending");
    let mut from = PendingStatus::Pending;
    for to in PendingStatus::ALL.iter().copied().filter(|status| *status != PendingStatus::Rejected) {
        write(store, [set(from, to)]).await;
        let found = store.pending_change(pending.id).await.expect("a read").expect("the change");
        let statuses: Vec<_> = found.hunks.iter().map(|hunk| hunk.status).collect();
        assert_eq!((found.status, statuses), (to, vec![to, to, PendingStatus::Rejected]));
        from = to;
    }
    let unknown = Change::SetPendingStatus { id: world.pending().id, from, to: from, at: at(80) };
    assert_eq!(refused(store, "pending change", unknown).await, "there is none with this id");
}

/// Every field comes back, and hunks come in the order in which they were given.
pub async fn pending_changes_keep_their_hunks_in_order(store: &dyn Store) {
    let world = World::stored(store).await;
    let task = world.stored_task(store).await;
    let tree = worktree(&world.project, Some(&world.session), None);
    write(store, [Change::AddWorktree(tree.clone())]).await;
    let blob = |blob: &str| Some(BlobRef { blob: blob.into(), mode: "100644".into() });
    let mut changes = Vec::new();
    for operation in Operation::ALL {
        let mut hunks: Vec<_> = (0..30).map(|_| hunk(PendingStatus::Pending)).collect();
        hunks.reverse();
        hunks[0].agent = None;
        changes.push(PendingChange {
            task_id: Some(task.id),
            worktree_id: Some(tree.id),
            old_path: (*operation == Operation::Rename).then(|| "old.rs".into()),
            operation: *operation,
            base: (*operation != Operation::Create).then(|| blob("aa")).flatten(),
            target: (*operation != Operation::Delete).then(|| blob("bb")).flatten(),
            hunks,
            ..world.pending()
        });
    }
    // A human's own.
    changes.push(PendingChange { agent: None, hunks: Vec::new(), ..world.pending() });
    write(store, changes.iter().map(|change| Change::AddPending(Box::new(change.clone())))).await;
    assert_eq!(store.pending_changes(world.session.id).await.expect("a read"), changes);
    assert_eq!(store.pending_change(changes[0].id).await.expect("a read").as_ref(), Some(&changes[0]));
    let of_task: Vec<_> = changes.iter().filter(|change| change.task_id == Some(task.id)).cloned().collect();
    assert_eq!(store.pending_changes_of_task(task.id).await.expect("a read"), of_task);
}
