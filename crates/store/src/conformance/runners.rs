//! Runners, and how far their journals are taken in.

use boocoder_model::{ChatId, Consumed, Position, Runner, RunnerId, Seq, TaskId, TaskState};
use futures::future::join;

use super::sample::{self, World, at, chat, consumed, frame, moved, runner, session};
use super::{refused, try_write, write};
use crate::{Change, Store, StoreError, StoredFrame, WriteBatch};

const PASSED: &str = "it is not there, it has ended, or more of its journal was taken in already";

fn add(runner: &Runner) -> Change {
    Change::AddRunner(Box::new(runner.clone()))
}

fn consume(runner: &Runner, position: u64) -> Change {
    Change::Consume { runner: runner.id, consumed: consumed(position) }
}

fn end(runner: &Runner) -> Change {
    Change::EndRunner { id: runner.id, at: at(90) }
}

/// A runner that is stored, of a world's chat.
async fn stored(store: &dyn Store, world: &World, agent: &str) -> Runner {
    let task = world.stored_task(store).await;
    let runner = runner(&task, agent);
    write(store, [add(&runner)]).await;
    runner
}

async fn position(store: &dyn Store, runner: &Runner) -> u64 {
    store.runner(runner.id).await.expect("a read").expect("a runner").consumed.position.0
}

/// Commits changes with frames. That a batch need not be on disk at once changes nothing here, so some need and some need
/// not.
async fn commit(store: &dyn Store, changes: Vec<Change>, frames: Vec<StoredFrame>) -> Result<(), StoreError> {
    let durable = frames.len().is_multiple_of(2);
    store.commit(WriteBatch { changes, frames, durable, writer: None }).await
}

fn is_conflict(result: &Result<(), StoreError>, noun: &str) -> bool {
    matches!(result, Err(StoreError::Conflict { what, .. }) if *what == noun)
}

/// Every field comes back to the last bit, and those that have not ended are listed oldest first.
pub async fn runners_read_back_as_they_were_written(store: &dyn Store) {
    let world = World::stored(store).await;
    let task = world.stored_task(store).await;
    let mut first = runner(&task, "demo");
    let mut second = Runner { chat_id: None, created_at: at(1), ..runner(&task, "qwen") };
    second.consumed = consumed(3);
    assert_eq!(store.runners().await.expect("a read"), []);
    assert_eq!(store.runner(first.id).await.expect("a read"), None);
    write(store, [add(&first), add(&second)]).await;
    assert_eq!(store.runners().await.expect("a read"), [first.clone(), second.clone()]);

    for taken in [consumed(9), Consumed { turn: None, ..consumed(9) }, Consumed { turn: None, ..Consumed::default() }] {
        let taken = Consumed { position: Position(taken.position.0.max(9)), ..taken };
        write(store, [Change::Consume { runner: first.id, consumed: taken.clone() }]).await;
        first.consumed = taken;
        assert_eq!(store.runner(first.id).await.expect("a read"), Some(first.clone()));
    }
    write(store, [end(&first)]).await;
    assert_eq!(store.runners().await.expect("a read"), [second]);
    assert_eq!(store.runner(first.id).await.expect("a read"), Some(first));
}

/// What it names must be there, and one that has not ended keeps others of its agent from its chat.
pub async fn a_chat_has_one_runner_of_an_agent(store: &dyn Store) {
    let world = World::stored(store).await;
    let first = stored(store, &world, "demo").await;
    let task = world.stored_task(store).await;
    let rival = runner(&task, "demo");
    assert_eq!(refused(store, "runner", add(&rival)).await, "its chat has one for this agent already");
    assert_eq!(
        refused(store, "runner", add(&Runner { agent: "qwen".into(), ..first.clone() })).await,
        "its id is taken"
    );
    let lost = Runner { chat_id: Some(ChatId::from_uuid(sample::fresh())), ..runner(&task, "qwen") };
    assert_eq!(refused(store, "runner", add(&lost)).await, "its chat is not there");
    let aimless = Runner { task_id: TaskId::from_uuid(sample::fresh()), ..runner(&task, "qwen") };
    assert_eq!(refused(store, "runner", add(&aimless)).await, "its task is not there");

    let other = chat(&world.session);
    let elsewhere = Runner { chat_id: Some(other.id), ..runner(&task, "demo") };
    let loose = [1, 2].map(|_| Runner { chat_id: None, ..runner(&task, "demo") });
    let changes =
        [add(&runner(&task, "qwen")), Change::AddChat(other), add(&elsewhere), add(&loose[0]), add(&loose[1])];
    write(store, changes).await;
    write(store, [end(&first), add(&rival)]).await;
    let taken = refused(store, "runner", add(&runner(&task, "demo"))).await;
    assert_eq!(taken, "its chat has one for this agent already");
}

/// Once it has ended, nothing of it changes any more.
pub async fn a_runner_ends_once_and_takes_nothing_more(store: &dyn Store) {
    let world = World::stored(store).await;
    let runner = stored(store, &world, "demo").await;
    let unknown = Runner { id: RunnerId::from_uuid(sample::fresh()), ..runner.clone() };
    let ended = "it is not there, or it has ended";
    assert_eq!(refused(store, "runner", end(&unknown)).await, ended);
    write(store, [consume(&runner, 5), end(&runner)]).await;
    assert_eq!(refused(store, "runner", end(&runner)).await, ended);
    for gone in [&runner, &unknown] {
        assert_eq!(refused(store, "runner", consume(gone, 6)).await, PASSED);
        let result = commit(store, vec![consume(gone, 6)], vec![frame(&world.session, 1)]).await;
        assert!(is_conflict(&result, "runner"), "{result:?}");
    }
    assert_eq!(position(store, &runner).await, 5);
    assert_eq!(store.last_seq(world.session.id).await.expect("a read"), Seq::ZERO);
}

/// To write the same position again is no conflict, however often; a lower one is, even within a batch.
pub async fn a_journal_is_never_taken_in_backwards(store: &dyn Store) {
    let world = World::stored(store).await;
    let runner = stored(store, &world, "demo").await;
    write(store, [consume(&runner, 5)]).await;
    write(store, [consume(&runner, 5)]).await;
    write(store, [consume(&runner, 5), consume(&runner, 5), consume(&runner, 8)]).await;
    assert_eq!(store.runner(runner.id).await.expect("a read").map(|found| found.consumed), Some(consumed(8)));
    assert_eq!(refused(store, "runner", consume(&runner, 7)).await, PASSED);
    for back in [[9, 8], [7, 9], [0, 8]] {
        let changes = back.map(|position| consume(&runner, position));
        for other in [None, Some(Change::AddSession(session(&world.project)))] {
            let result = try_write(store, changes.iter().cloned().chain(other)).await;
            assert!(is_conflict(&result, "runner"), "{back:?}: {result:?}");
        }
    }
    assert_eq!(position(store, &runner).await, 8);
    write(store, [consume(&runner, 9)]).await;
}

/// Neither is there without the other, whichever does not fit.
pub async fn a_journal_and_its_frames_are_taken_in_together(store: &dyn Store) {
    let world = World::stored(store).await;
    let runner = stored(store, &world, "demo").await;
    let next = |seq| frame(&world.session, seq);
    commit(store, vec![consume(&runner, 2)], vec![next(1)]).await.expect("a batch that fits");
    commit(store, vec![consume(&runner, 3), consume(&runner, 4)], vec![next(2), next(3)]).await.expect("one that fits");
    assert_eq!(position(store, &runner).await, 4);
    assert_eq!(store.last_seq(world.session.id).await.expect("a read"), Seq(3));

    let stranger = session(&world.project);
    for wrong in [vec![next(3)], vec![next(5), next(6)], vec![next(4), frame(&stranger, 1)], vec![next(0)]] {
        let result = commit(store, vec![consume(&runner, 5)], wrong.clone()).await;
        assert!(is_conflict(&result, "frame"), "{wrong:?}: {result:?}");
    }
    for frames in [vec![next(4)], vec![next(4), next(5)]] {
        let result = commit(store, vec![consume(&runner, 3)], frames).await;
        assert!(is_conflict(&result, "runner"), "{result:?}");
    }
    // If neither fits, it is the change that is named, since changes come first.
    let result = commit(store, vec![consume(&runner, 3)], vec![next(9)]).await;
    assert!(is_conflict(&result, "runner"), "{result:?}");
    assert_eq!(position(store, &runner).await, 4);
    assert_eq!(store.last_seq(world.session.id).await.expect("a read"), Seq(3));
    commit(store, vec![consume(&runner, 5)], vec![next(4)]).await.expect("a batch that fits");
}

/// One that does not fit takes the others back, with frames and without.
pub async fn journals_are_taken_in_all_or_none(store: &dyn Store) {
    let world = World::stored(store).await;
    let runners = [stored(store, &world, "demo").await, stored(store, &world, "qwen").await];
    let [first, second] = &runners;
    let gone = Runner { id: RunnerId::from_uuid(sample::fresh()), ..first.clone() };
    write(store, [consume(first, 5), consume(second, 5), consume(first, 6)]).await;
    for wrong in [[consume(first, 7), consume(second, 4)], [consume(&gone, 1), consume(second, 7)]] {
        for frames in [vec![], vec![frame(&world.session, 1)]] {
            let result = commit(store, wrong.to_vec(), frames).await;
            assert!(is_conflict(&result, "runner"), "{wrong:?}: {result:?}");
        }
    }
    assert_eq!((position(store, first).await, position(store, second).await), (6, 5));
    assert_eq!(store.last_seq(world.session.id).await.expect("a read"), Seq::ZERO);
    let frames = vec![frame(&world.session, 1), frame(&world.session, 2)];
    commit(store, vec![consume(second, 6), consume(first, 7), consume(second, 7)], frames).await.expect("it fits");
    assert_eq!((position(store, first).await, position(store, second).await), (7, 7));
}

/// If two take the same records in at once, what is kept is of the one whose frames are kept.
pub async fn one_of_two_readers_of_a_journal_takes_it_in(store: &dyn Store) {
    let world = World::stored(store).await;
    let runner = stored(store, &world, "demo").await;
    for seq in 1..=20 {
        let taken = [None, consumed(seq).turn].map(|turn| Consumed { turn, ..consumed(seq) });
        let [left, right] = taken.clone().map(|consumed| {
            let changes = vec![Change::Consume { runner: runner.id, consumed }];
            WriteBatch { changes, frames: vec![frame(&world.session, seq)], durable: false, writer: None }
        });
        let results: [_; 2] = join(store.commit(left), store.commit(right)).await.into();
        let winners: Vec<_> = (0..2).filter(|side| results[*side].is_ok()).collect();
        assert_eq!(winners.len(), 1, "{results:?}");
        assert!(results.iter().any(|result| is_conflict(result, "frame")), "{results:?}");
        let found = store.runner(runner.id).await.expect("a read").expect("a runner");
        assert_eq!(found.consumed, taken[winners[0]]);
    }
}

/// Among other changes the same rules hold, and a conflict anywhere leaves the position.
pub async fn a_journal_is_taken_in_with_other_changes(store: &dyn Store) {
    let world = World::stored(store).await;
    let task = world.stored_task(store).await;
    let runner = runner(&task, "demo");
    let changes = vec![moved(&task, TaskState::Running), add(&runner), consume(&runner, 1), consume(&runner, 2)];
    commit(store, changes, vec![frame(&world.session, 1)]).await.expect("a batch that fits");

    let running = store.task(task.id).await.expect("a read").expect("a task");
    let ends = moved(&running, TaskState::Completed);
    for (changes, what) in [
        (vec![ends.clone(), consume(&runner, 1)], "runner"),
        (vec![consume(&runner, 3), end(&runner), consume(&runner, 4)], "runner"),
        (vec![consume(&runner, 3), moved(&task, TaskState::Failed)], "task"),
    ] {
        let result = commit(store, changes, vec![frame(&world.session, 2)]).await;
        assert!(is_conflict(&result, what), "{what}: {result:?}");
    }
    let result = commit(store, vec![consume(&runner, 3), ends.clone()], vec![frame(&world.session, 3)]).await;
    assert!(is_conflict(&result, "frame"), "{result:?}");
    assert_eq!(store.runners().await.expect("a read").len(), 1);
    assert_eq!(position(store, &runner).await, 2);
    assert_eq!(store.task(task.id).await.expect("a read"), Some(running));
    let batch = vec![consume(&runner, 3), ends, end(&runner)];
    commit(store, batch, vec![frame(&world.session, 2)]).await.expect("a batch that fits");
    assert_eq!(position(store, &runner).await, 3);
}
