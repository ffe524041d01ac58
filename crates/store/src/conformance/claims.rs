//! Giving out tasks: in order, once, and one at a time for each chat.

use std::collections::BTreeMap;

use boocoder_model::{ChatId, Task, TaskId, TaskState};
use futures::future::join_all;
use tokio::time::timeout;

use super::sample::{World, add, at, chat, moved, session, task};
use super::{PATIENCE, write};
use crate::{Change, Store};

async fn claim(store: &dyn Store) -> Option<Task> {
    store.claim_task(None, at(77)).await.expect("a claim")
}

async fn claimed_id(store: &dyn Store) -> Option<TaskId> {
    claim(store).await.map(|task| task.id)
}

/// The oldest first; a claimed task is running from then on.
pub async fn tasks_are_claimed_in_order(store: &dyn Store) {
    assert_eq!(claim(store).await, None);
    let world = World::stored(store).await;
    let tasks = [task(&world.project, None), world.task(), task(&world.project, None)];
    write(store, tasks.iter().map(add)).await;
    for task in &tasks {
        let running = Task { state: TaskState::Running, started_at: Some(at(77)), ..task.clone() };
        assert_eq!(claim(store).await, Some(running.clone()));
        assert_eq!(store.task(task.id).await.expect("a read"), Some(running));
    }
    assert_eq!(claim(store).await, None);
}

/// The next task of a chat waits until the one before has ended, or is passed over once that one was cancelled.
pub async fn a_chat_runs_one_task_at_a_time(store: &dyn Store) {
    let world = World::stored(store).await;
    let other = chat(&world.session);
    write(store, [Change::AddChat(other.clone())]).await;
    let [first, second, third] = [world.task(), world.task(), world.task()];
    let neighbour = task(&world.project, Some(&other));
    write(store, [&first, &second, &third, &neighbour].map(add)).await;

    assert_eq!(claimed_id(store).await, Some(first.id));
    assert_eq!(claimed_id(store).await, Some(neighbour.id));
    assert_eq!(claimed_id(store).await, None);
    write(store, [moved(&second, TaskState::Cancelled)]).await;
    assert_eq!(claimed_id(store).await, None);
    let running = Task { state: TaskState::Running, ..first };
    write(store, [moved(&running, TaskState::Failed)]).await;
    assert_eq!(claimed_id(store).await, Some(third.id));
}

/// Nobody works for what was removed.
pub async fn nothing_removed_is_claimed(store: &dyn Store) {
    let world = World::stored(store).await;
    let gone = session(&world.project);
    write(store, [Change::AddSession(gone.clone())]).await;
    let mut of_session = task(&world.project, None);
    of_session.session_id = Some(gone.id);
    let survivor = task(&world.project, None);
    write(store, [add(&world.task()), add(&of_session), add(&survivor)]).await;
    write(store, [Change::RemoveChat { id: world.chat.id, at: at(99) }]).await;
    write(store, [Change::RemoveSession { id: gone.id, at: at(99) }]).await;
    assert_eq!(claimed_id(store).await, Some(survivor.id));
    assert_eq!(claimed_id(store).await, None);
}

/// Eight claimers, many chats: each task once, each chat in order.
pub async fn claimers_at_once_never_share_a_task(store: &dyn Store) {
    const CHATS: usize = 12;
    const TASKS: usize = 6;
    const CLAIMERS: usize = 8;
    let world = World::stored(store).await;
    let chats: Vec<_> = (0..CHATS).map(|_| chat(&world.session)).collect();
    write(store, chats.iter().cloned().map(Change::AddChat)).await;
    let mut queued: BTreeMap<ChatId, Vec<TaskId>> = BTreeMap::new();
    for _ in 0..TASKS {
        let round: Vec<_> = chats.iter().map(|chat| task(&world.project, Some(chat))).collect();
        write(store, round.iter().map(add)).await;
        for task in round {
            queued.entry(task.chat_id.expect("a task of a chat")).or_default().push(task.id);
        }
    }

    let given = tokio::sync::Mutex::new(BTreeMap::<ChatId, Vec<TaskId>>::new());
    let work = async || {
        let left = async || given.lock().await.values().map(Vec::len).sum::<usize>() < CHATS * TASKS;
        while left().await {
            let Some(task) = claim(store).await else {
                tokio::task::yield_now().await;
                continue;
            };
            given.lock().await.entry(task.chat_id.expect("a task of a chat")).or_default().push(task.id);
            // While it runs, nobody else may get a task of its chat.
            tokio::task::yield_now().await;
            write(store, [moved(&task, TaskState::Completed)]).await;
        }
    };
    timeout(PATIENCE, join_all((0..CLAIMERS).map(|_| work()))).await.expect("all tasks are given out");
    assert_eq!(given.into_inner(), queued);
}

/// Whoever waits hears of a task that was added and of one that ended.
pub async fn a_waiting_claimer_is_woken(store: &dyn Store) {
    let world = World::stored(store).await;
    let mut wakeups = store.wakeups();
    wakeups.mark_unchanged();
    let queued = world.stored_task(store).await;
    timeout(PATIENCE, wakeups.changed()).await.expect("a wake-up in time").expect("the store is there");
    let running = claim(store).await.expect("a task");
    assert_eq!(running.id, queued.id);
    wakeups.mark_unchanged();
    write(store, [moved(&running, TaskState::Completed)]).await;
    timeout(PATIENCE, wakeups.changed()).await.expect("a wake-up in time").expect("the store is there");
}
