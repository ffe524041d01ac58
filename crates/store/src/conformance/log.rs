//! Frames.

use boocoder_model::{Seq, Session};
use futures::future::join;

use super::sample::{World, at, frame, message, put, session};
use super::{refused, write};
use crate::{Change, ReadBudget, Store, StoreError, StoredFrame, WriteBatch};

async fn append(store: &dyn Store, frames: Vec<StoredFrame>, durable: bool) -> Result<(), StoreError> {
    store.commit(WriteBatch { changes: Vec::new(), frames, durable, writer: None }).await
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
            let refused = store.commit(WriteBatch { changes, frames: wrong.clone(), durable, writer: None }).await;
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
    let batch = WriteBatch { changes, frames, durable: true, writer: None };
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
        let with_change =
            WriteBatch { changes: vec![put(&message(&task))], frames: vec![right], durable: true, writer: None };
        let results: [_; 2] = join(append(store, vec![left], false), store.commit(with_change)).await.into();
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{results:?}");
        assert!(results.iter().any(is_conflict), "{results:?}");
        assert_eq!(store.last_seq(world.session.id).await.expect("a read"), Seq(seq));
    }
    write(store, [put(&message(&task))]).await;
}

/// Whoever counts on frames is told if they are not there, and then nothing of the batch is written.
pub async fn frames_that_are_expected_are_there_or_nothing_is_written(store: &dyn Store) {
    let world = World::stored(store).await;
    let session = &world.session;
    let expect = |through| Change::ExpectFrames { session: session.id, through: Seq(through) };
    append(store, vec![frame(session, 1), frame(session, 2)], false).await.expect("frames");
    write(store, [expect(2)]).await;
    let batch = WriteBatch { changes: vec![expect(3)], frames: vec![frame(session, 3)], durable: true, writer: None };
    let refused = store.commit(batch).await;
    assert!(matches!(refused, Err(StoreError::Conflict { what: "session", .. })), "its own frames do not count");
    assert_eq!(store.last_seq(session.id).await.expect("a read"), Seq(2));
    write(store, [compact(session, 2), expect(2)]).await;
}

fn compact(session: &Session, through: u64) -> Change {
    Change::CompactFrames { session: session.id, through: Seq(through) }
}

/// Where the log begins and ends, and the numbers of the frames that a read brings after a number.
async fn numbers(store: &dyn Store, session: &Session, after: u64) -> (u64, u64, Vec<u64>) {
    let budget = ReadBudget { frames: usize::MAX, bytes: usize::MAX };
    let found = store.frames_after(session.id, Seq(after), budget).await.expect("a read");
    for read in &found {
        assert_eq!(*read, frame(session, read.seq.0));
    }
    let floor = store.log_floor(session.id).await.expect("a read");
    let last = store.last_seq(session.id).await.expect("a read");
    (floor.0, last.0, found.into_iter().map(|frame| frame.seq.0).collect())
}

/// The numbers go on whatever was removed, even if it was everything; what is left is read from any point.
pub async fn a_compacted_log_goes_on_from_its_floor(store: &dyn Store) {
    let world = World::stored(store).await;
    let (session, other) = (&world.session, session(&world.project));
    write(store, [Change::AddSession(other.clone())]).await;
    append(store, vec![frame(&other, 1), frame(&other, 2)], true).await.expect("frames that follow on");
    write(store, [compact(session, 0)]).await;
    assert_eq!(numbers(store, session, 0).await, (0, 0, vec![]));
    append(store, (1..=5).map(|seq| frame(session, seq)).collect(), false).await.expect("frames that follow on");

    write(store, [compact(session, 3)]).await;
    for after in [0, 2, 3] {
        assert_eq!(numbers(store, session, after).await, (3, 5, vec![4, 5]), "after {after}");
    }
    assert_eq!(numbers(store, session, 4).await, (3, 5, vec![5]));
    assert_eq!(numbers(store, session, u64::MAX).await, (3, 5, vec![]));
    let budget = ReadBudget { frames: 1, bytes: usize::MAX };
    assert_eq!(store.frames_after(session.id, Seq(1), budget).await.expect("a read"), [frame(session, 4)]);
    append(store, vec![frame(session, 6)], false).await.expect("a frame that follows on");

    // A floor does not go down, and what is below it is not given out again.
    write(store, [compact(session, 2)]).await;
    assert_eq!(numbers(store, session, 0).await, (3, 6, vec![4, 5, 6]));
    write(store, [compact(session, 6), compact(session, 6)]).await;
    assert_eq!(numbers(store, session, 0).await, (6, 6, vec![]));
    for wrong in [1, 4, 6, 8] {
        for durable in [false, true] {
            assert!(is_conflict(&append(store, vec![frame(session, wrong)], durable).await), "{wrong}");
        }
    }
    append(store, vec![frame(session, 7), frame(&other, 3), frame(session, 8)], true).await.expect("they follow on");
    assert_eq!(numbers(store, session, 0).await, (6, 8, vec![7, 8]));
    assert_eq!(numbers(store, &other, 0).await, (0, 3, vec![1, 2, 3]));

    // A session that was removed keeps its log, which still takes room.
    write(store, [Change::RemoveSession { id: other.id, at: at(99) }, compact(&other, 2)]).await;
    assert_eq!(numbers(store, &other, 0).await, (2, 3, vec![3]));
}

/// Changes come first and frames after, so a batch removes only what was there before it.
pub async fn a_log_is_compacted_before_the_batch_is_appended(store: &dyn Store) {
    let world = World::stored(store).await;
    let session = &world.session;
    append(store, vec![frame(session, 1), frame(session, 2)], true).await.expect("frames that follow on");
    let batch = |through, seq| WriteBatch {
        changes: vec![compact(session, through)],
        frames: vec![frame(session, seq)],
        durable: true,
        writer: None,
    };
    let error = store.commit(batch(3, 3)).await.expect_err("the log has two frames");
    assert!(matches!(error, StoreError::Conflict { what: "session", .. }), "{error:?}");
    assert_eq!(numbers(store, session, 0).await, (0, 2, vec![1, 2]));
    store.commit(batch(2, 3)).await.expect("a batch that fits");
    assert_eq!(numbers(store, session, 0).await, (2, 3, vec![3]));
}

/// Neither a number beyond the end nor a conflict later in the batch removes anything.
pub async fn a_refused_compaction_leaves_the_log(store: &dyn Store) {
    let world = World::stored(store).await;
    let session = &world.session;
    append(store, vec![frame(session, 1), frame(session, 2)], true).await.expect("frames that follow on");
    let detail = "it is not there, or its log ends before";
    assert_eq!(refused(store, "session", compact(session, 3)).await, detail);
    let stranger = super::sample::session(&world.project);
    assert_eq!(refused(store, "session", compact(&stranger, 0)).await, detail);

    let changes = vec![compact(session, 1)];
    let refused =
        store.commit(WriteBatch { changes, frames: vec![frame(session, 4)], durable: true, writer: None }).await;
    assert!(is_conflict(&refused), "{refused:?}");
    assert_eq!(numbers(store, session, 0).await, (0, 2, vec![1, 2]));
    write(store, [compact(session, 1)]).await;
    let changes = vec![compact(session, 2), compact(session, 3)];
    store.commit(WriteBatch { changes, ..WriteBatch::default() }).await.expect_err("the second one is beyond the end");
    assert_eq!(numbers(store, session, 0).await, (1, 2, vec![2]));
}
