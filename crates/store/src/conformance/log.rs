//! Frames.

use boocoder_model::Seq;
use futures::future::join;

use super::sample::{World, frame, message, put, session};
use super::write;
use crate::{Change, ReadBudget, Store, StoreError, StoredFrame, WriteBatch};

async fn append(store: &dyn Store, frames: Vec<StoredFrame>, durable: bool) -> Result<(), StoreError> {
    store.commit(WriteBatch { changes: Vec::new(), frames, durable }).await
}

fn is_conflict(result: &Result<(), StoreError>) -> bool {
    matches!(result, Err(StoreError::Conflict { what: "frame", .. }))
}

/// In order, after the number given, at most so many and so large, and always at least one.
pub async fn frames_are_read_in_order_within_the_budget(store: &dyn Store) {
    let world = World::stored(store).await;
    let id = world.session.id;
    assert_eq!(store.last_seq(id).await.expect("a read"), Seq::ZERO);
    let frames: Vec<_> = (1..=9).map(|seq| frame(&world.session, seq)).collect();
    let size = frames[0].body.len();
    append(store, frames[..4].to_vec(), false).await.expect("frames that follow on");
    append(store, frames[4..].to_vec(), true).await.expect("frames that follow on");
    assert_eq!(store.last_seq(id).await.expect("a read"), Seq(9));

    for (after, budget, expected) in [
        (0, (100, 10_000), &frames[..]),
        (4, (100, 10_000), &frames[4..]),
        (9, (100, 10_000), &[]),
        (u64::MAX, (100, 10_000), &[]),
        (2, (3, 10_000), &frames[2..5]),
        (2, (3, size), &frames[2..3]),
        (2, (3, 2 * size + 1), &frames[2..4]),
        (2, (3, 0), &frames[2..3]),
        (2, (0, 10_000), &frames[2..3]),
    ] {
        let budget = ReadBudget { frames: budget.0, bytes: budget.1 };
        let found = store.frames_after(id, Seq(after), budget).await.expect("a read");
        assert_eq!(found, expected, "after {after} within {budget:?}");
    }
}

/// A batch that does not follow on is refused whole, with its changes, durable or not.
pub async fn frames_leave_no_hole_and_no_number_twice(store: &dyn Store) {
    let world = World::stored(store).await;
    let task = world.stored_task(store).await;
    let next = |seq| frame(&world.session, seq);
    append(store, vec![next(1), next(2)], false).await.expect("frames that follow on");
    for wrong in [vec![next(2)], vec![next(4)], vec![next(2), next(3)], vec![next(3), next(5)], vec![next(0)]] {
        for durable in [false, true] {
            assert!(is_conflict(&append(store, wrong.clone(), durable).await), "{wrong:?}");
            let changes = vec![put(&message(&task))];
            let refused = store.commit(WriteBatch { changes, frames: wrong.clone(), durable }).await;
            assert!(is_conflict(&refused), "{wrong:?}");
        }
    }
    let stranger = session(&world.project);
    assert!(is_conflict(&append(store, vec![frame(&stranger, 1)], false).await), "no such session");
    assert_eq!(store.messages_of_task(task.id).await.expect("a read"), []);
    assert_eq!(store.last_seq(world.session.id).await.expect("a read"), Seq(2));
    append(store, vec![next(3)], false).await.expect("a frame that follows on");
}

/// Sessions may be mixed in a batch; one that does not follow on takes the others back.
pub async fn frames_of_several_sessions_are_written_together(store: &dyn Store) {
    let world = World::stored(store).await;
    let (here, there) = (&world.session, session(&world.project));
    let changes = vec![Change::AddSession(there.clone())];
    let frames = vec![frame(&there, 1), frame(here, 1), frame(&there, 2)];
    let batch = WriteBatch { changes, frames, durable: true };
    store.commit(batch).await.expect("a session with its first frames");

    let mixed = vec![frame(here, 2), frame(&there, 4)];
    assert!(is_conflict(&append(store, mixed, false).await));
    assert_eq!(store.last_seq(here.id).await.expect("a read"), Seq(1));
    append(store, vec![frame(here, 2), frame(&there, 3)], false).await.expect("frames that follow on");
    assert_eq!(store.last_seq(here.id).await.expect("a read"), Seq(2));
    assert_eq!(store.last_seq(there.id).await.expect("a read"), Seq(3));
}

/// A number is never given to two contents, even if two write at once.
pub async fn one_of_two_writers_gets_the_number(store: &dyn Store) {
    let world = World::stored(store).await;
    let task = world.stored_task(store).await;
    for seq in 1..=20 {
        let (mut left, mut right) = (frame(&world.session, seq), frame(&world.session, seq));
        left.body = "\"left\"".into();
        right.body = "\"right\"".into();
        let with_change = WriteBatch { changes: vec![put(&message(&task))], frames: vec![right], durable: true };
        let results: [_; 2] = join(append(store, vec![left], false), store.commit(with_change)).await.into();
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{results:?}");
        assert!(results.iter().any(is_conflict), "{results:?}");
        assert_eq!(store.last_seq(world.session.id).await.expect("a read"), Seq(seq));
    }
    write(store, [put(&message(&task))]).await;
}
