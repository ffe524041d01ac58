//! Pending changes and their hunks.

use boocoder_model::{
    BlobRef, DecidedBy, DecisionId, OpenDecision, Operation, PendingChange, PendingDecision, PendingDecisionKind,
    PendingStatus, RawJson, ServerId,
};
use uuid::Uuid;

use super::sample::{World, at, hunk, worktree};
use super::{refused, write};
use crate::{Change, Store, WriteBatch};

/// A revision replaces what may change of a pending change, and is written over the one before it alone.
pub async fn pending_changes_are_revised_one_revision_after_the_other(store: &dyn Store) {
    let world = World::stored(store).await;
    let task = world.stored_task(store).await;
    let first = world.pending();
    write(store, [Change::AddPending(Box::new(first.clone()))]).await;
    let blob = |blob: &str| Some(BlobRef { blob: blob.into(), mode: "100755".into() });
    let decision = PendingDecision {
        kind: PendingDecisionKind::Apply,
        hunks: vec![first.hunks[0].id],
        decided_by: DecidedBy::User,
        at: at(80),
        against: "\u{0}\"odd\"".into(),
        before: None,
        after: blob("cc"),
    };
    let mut second = PendingChange {
        task_id: Some(task.id),
        old_path: Some("before.rs".into()),
        operation: Operation::Mode,
        status: PendingStatus::Applied,
        agent: None,
        base: blob("aa"),
        target: None,
        diff: "another".into(),
        hunks: vec![hunk(PendingStatus::Stale), first.hunks[0].clone()],
        revision: 1,
        decisions: vec![decision],
        ..first.clone()
    };
    second.hunks[0].task_id = Some(task.id);
    second.hunks[0].tool_call_id = Some("call\u{0}1".into());
    let revise = |row: &PendingChange| Change::RevisePending(Box::new(row.clone()));
    write(store, [revise(&second)]).await;
    assert_eq!(store.pending_change(first.id).await.expect("a read"), Some(second.clone()));
    for revision in [0, 1, 3] {
        let detail = refused(store, "pending change", revise(&PendingChange { revision, ..second.clone() })).await;
        assert_eq!(detail, "it was revised in the meantime");
    }
    assert_eq!(
        refused(store, "pending change", revise(&PendingChange { revision: 1, ..world.pending() })).await,
        "there is none with this id"
    );
    assert_eq!(store.pending_change(first.id).await.expect("a read"), Some(second));
}

/// A hunk may move from one change to another within a batch, and is in one of them at a time.
pub async fn hunks_move_between_pending_changes(store: &dyn Store) {
    let world = World::stored(store).await;
    let mut first = world.pending();
    write(store, [Change::AddPending(Box::new(first.clone()))]).await;
    let moved = first.hunks.remove(0);
    let second = PendingChange { hunks: vec![moved.clone()], ..world.pending() };
    let twice = Change::AddPending(Box::new(second.clone()));
    assert_eq!(refused(store, "hunk", twice.clone()).await, "its id is taken");
    first.revision = 1;
    write(store, [Change::RevisePending(Box::new(first.clone())), twice]).await;
    let found = store.pending_changes(world.session.id).await.expect("a read");
    assert_eq!(found, [first.clone(), second.clone()]);
    // And back.
    let (mut first, mut second) = (first, second);
    (first.revision, second.revision) = (2, 1);
    first.hunks.push(second.hunks.remove(0));
    write(store, [&second, &first].map(|row| Change::RevisePending(Box::new(row.clone())))).await;
    assert_eq!(store.pending_changes(world.session.id).await.expect("a read"), [first, second]);
}

/// A decision is open from its begin to its end, and a batch that fails leaves it so.
pub async fn open_decisions_last_until_they_are_ended(store: &dyn Store) {
    let world = World::stored(store).await;
    let open = |number: u128| OpenDecision {
        id: DecisionId::from_uuid(Uuid::from_u128(world.project.id.as_uuid().as_u128() ^ number)),
        project_id: world.project.id,
        server: (number > 1).then(|| ServerId::from_uuid(Uuid::from_u128(7))),
        body: RawJson::new(r#"{"b":1,"a":"\u0000"}"#),
        at: at(90),
    };
    let ours = async || {
        let found = store.open_decisions().await.expect("a read");
        found.into_iter().filter(|found| found.project_id == world.project.id).collect::<Vec<_>>()
    };
    write(store, [open(1), open(2)].map(|open| Change::BeginDecision(Box::new(open)))).await;
    assert_eq!(ours().await, [open(1), open(2)]);
    assert_eq!(refused(store, "decision", Change::BeginDecision(Box::new(open(1)))).await, "its id is taken");
    let batch = WriteBatch {
        changes: vec![Change::EndDecision { id: open(1).id }, Change::EndDecision { id: open(3).id }],
        ..WriteBatch::default()
    };
    store.commit(batch).await.expect_err("one of them is not there");
    assert_eq!(ours().await, [open(1), open(2)]);
    write(store, [Change::EndDecision { id: open(1).id }]).await;
    assert_eq!(ours().await, [open(2)]);
    assert_eq!(refused(store, "decision", Change::EndDecision { id: open(1).id }).await, "there is none with this id");
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
