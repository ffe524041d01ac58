//! Tasks, their messages and their turns.

use boocoder_model::{
    Approval, DecidedBy, ExecutionPath, Message, MessageRole, MessageStatus, StopReason, Task, TaskState, TurnOutcome,
};

use super::sample::{World, add, at, message, moved, put, task, turn};
use super::{refused, write};
use crate::{Change, Store, TaskFilter};

/// Every field comes back, with every name that it can have.
pub async fn tasks_read_back_as_they_were_written(store: &dyn Store) {
    let world = World::stored(store).await;
    for (number, path) in (0..).zip(ExecutionPath::ALL) {
        let mut queued = task(&world.project, None);
        queued.model = Some("small".into());
        queued.mode_id = Some("plan".into());
        queued.thinking_option_id = Some("high".into());
        queued.approval = Approval::Auto;
        write(store, [add(&queued)]).await;
        assert_eq!(store.task(queued.id).await.expect("a read"), Some(queued.clone()));

        let done = Task {
            state: [TaskState::Completed, TaskState::Failed, TaskState::Cancelled][number % 3],
            execution_path: Some(*path),
            outcome: Some(TurnOutcome::failed(DecidedBy::ALL[number % DecidedBy::ALL.len()], "no water")),
            output_summary: Some("tea".into()),
            cost_tokens: Some(9_007_199_254_740_993),
            started_at: Some(at(41)),
            ended_at: Some(at(42)),
            ..queued
        };
        write(store, [Change::UpdateTask { task: Box::new(done.clone()), from: TaskState::Queued }]).await;
        assert_eq!(store.task(done.id).await.expect("a read"), Some(done));
    }
    assert_eq!(store.task(world.task().id).await.expect("a read"), None);
}

/// The guard of an update says what it found.
pub async fn a_task_changes_only_from_the_state_it_is_in(store: &dyn Store) {
    let world = World::stored(store).await;
    let queued = world.stored_task(store).await;
    let running = Task { state: TaskState::Running, ..queued.clone() };
    assert_eq!(refused(store, "task", moved(&running, TaskState::Completed)).await, "it is queued");
    write(store, [moved(&queued, TaskState::Running), moved(&running, TaskState::Cancelled)]).await;
    assert_eq!(refused(store, "task", moved(&running, TaskState::Completed)).await, "it is cancelled");

    let (first, second) = (world.stored_task(store).await, world.stored_task(store).await);
    write(store, [moved(&first, TaskState::Running)]).await;
    let detail = refused(store, "task", moved(&second, TaskState::Running)).await;
    assert_eq!(detail, "another task of its chat is running");
}

/// The same request again finds the task that it made, whatever the key looks like.
pub async fn a_request_key_is_taken_once(store: &dyn Store) {
    let world = World::stored(store).await;
    for key in ["key", "", "k\0ey", &"long ".repeat(10_000)] {
        let (first, second) = (world.task(), world.task());
        let keyed = |task: &Task| Change::AddTask { task: Box::new(task.clone()), request_key: Some(key.to_owned()) };
        write(store, [keyed(&first)]).await;
        assert_eq!(refused(store, "task", keyed(&second)).await, "this request was made already");
        assert_eq!(store.task_by_request(key).await.expect("a read"), Some(first.clone()));
        write(store, [moved(&first, TaskState::Failed)]).await;
        assert_eq!(refused(store, "task", keyed(&second)).await, "this request was made already");
    }
    assert_eq!(store.task_by_request("other").await.expect("a read"), None);
}

/// Each field of a filter narrows, and the limit keeps the newest.
pub async fn tasks_are_listed_newest_first_as_narrowed(store: &dyn Store) {
    let (here, there) = (World::stored(store).await, World::stored(store).await);
    let loose = task(&here.project, None);
    let tasks = [here.task(), there.task(), loose, here.task()];
    write(store, tasks.iter().map(add)).await;
    write(store, [moved(&tasks[0], TaskState::Running)]).await;

    let list = async |filter: TaskFilter| {
        let found = store.tasks(filter).await.expect("a read");
        found.into_iter().map(|task| task.id).collect::<Vec<_>>()
    };
    let ids = tasks.each_ref().map(|task| task.id);
    let all = TaskFilter::default;
    assert_eq!(list(all()).await, [ids[3], ids[2], ids[1], ids[0]]);
    assert_eq!(list(TaskFilter { limit: Some(2), ..all() }).await, [ids[3], ids[2]]);
    assert_eq!(list(TaskFilter { session_id: Some(here.session.id), ..all() }).await, [ids[3], ids[0]]);
    assert_eq!(list(TaskFilter { chat_id: Some(there.chat.id), ..all() }).await, [ids[1]]);
    assert_eq!(list(TaskFilter { state: Some(TaskState::Running), ..all() }).await, [ids[0]]);
    let narrow = TaskFilter { state: Some(TaskState::Queued), session_id: Some(here.session.id), ..all() };
    assert_eq!(list(narrow).await, [ids[3]]);
}

/// A task for what was removed would wait for ever.
pub async fn a_removed_chat_takes_no_task(store: &dyn Store) {
    let world = World::stored(store).await;
    write(store, [Change::RemoveChat { id: world.chat.id, at: at(99) }]).await;
    let detail = refused(store, "task", add(&world.task())).await;
    assert_eq!(detail, "its session or its chat is not there or was removed");
}

/// Whoever replaces a task writes what it knew of it, and a request that came in between is still there.
pub async fn a_request_to_cancel_stays_with_its_task(store: &dyn Store) {
    let world = World::stored(store).await;
    let queued = world.stored_task(store).await;
    let request = |by| Change::RequestCancel { task: queued.id, by };
    assert_eq!(refused(store, "task", request(DecidedBy::User)).await, "it is queued");
    let running = store.claim_task(None, at(41)).await.expect("a claim").expect("a task");
    assert_eq!(running.cancel_requested, None);

    for (position, by) in DecidedBy::ALL.iter().enumerate() {
        write(store, [request(*by)]).await;
        let found = store.task(queued.id).await.expect("a read").expect("a task");
        assert_eq!(found, Task { cancel_requested: Some(DecidedBy::ALL[0]), ..running.clone() }, "request {position}");
    }
    let older = Task { output_summary: Some("tea".into()), ..running.clone() };
    write(store, [Change::UpdateTask { task: Box::new(older.clone()), from: TaskState::Running }]).await;
    let requested = Task { cancel_requested: Some(DecidedBy::ALL[0]), ..older };
    assert_eq!(store.task(queued.id).await.expect("a read"), Some(requested.clone()));

    let forged = Task { cancel_requested: Some(DecidedBy::Crash), state: TaskState::Cancelled, ..requested.clone() };
    write(store, [Change::UpdateTask { task: Box::new(forged), from: TaskState::Running }]).await;
    let ended = Task { state: TaskState::Cancelled, ..requested };
    assert_eq!(store.task(queued.id).await.expect("a read"), Some(ended));
    assert_eq!(refused(store, "task", request(DecidedBy::User)).await, "it is cancelled");
    let unknown = Change::RequestCancel { task: world.task().id, by: DecidedBy::User };
    assert_eq!(refused(store, "task", unknown).await, "there is none with this id");

    // Each name is kept, and a task can be added with one.
    for by in DecidedBy::ALL {
        let running = Task { cancel_requested: Some(*by), state: TaskState::Running, ..task(&world.project, None) };
        write(store, [add(&running)]).await;
        assert_eq!(store.task(running.id).await.expect("a read"), Some(running));
    }
}

/// Messages come oldest first, by when they were first put; putting one again replaces it where it is.
pub async fn messages_are_replaced_in_their_place(store: &dyn Store) {
    let world = World::stored(store).await;
    let task = world.stored_task(store).await;
    let (asked, mut answer, next) = (message(&task), message(&task), message(&task));
    answer.role = MessageRole::Assistant;
    answer.created_at = at(1);
    write(store, [put(&asked), put(&answer), put(&next)]).await;
    for status in MessageStatus::ALL {
        answer.status = *status;
        answer.content.push_str(" more");
        answer.reasoning.push_str(" because");
        answer.error = Some("spilt".into());
        answer.finished_at = Some(at(52));
        write(store, [put(&answer)]).await;
        let messages = [asked.clone(), answer.clone(), next.clone()];
        assert_eq!(store.messages(world.session.id, None).await.expect("a read"), messages);
        assert_eq!(store.messages(world.session.id, Some(world.chat.id)).await.expect("a read"), messages);
        assert_eq!(store.messages_of_task(task.id).await.expect("a read"), messages);
    }

    let later = world.stored_task(store).await;
    let before = async |limit| store.messages_before(world.chat.id, later.id, limit).await.expect("a read");
    assert_eq!(before(5).await, [], "it has no messages");
    write(store, [put(&message(&later)), put(&message(&later))]).await;
    assert_eq!(before(5).await, [asked, answer.clone(), next.clone()]);
    assert_eq!(before(2).await, [answer.clone(), next], "the newest, oldest first");

    assert_eq!(store.message(answer.id).await.expect("a read"), Some(answer.clone()));
    let all = store.messages(world.session.id, None).await.expect("a read");
    assert_eq!(all.len(), 5);
    let (session, chat) = (world.session.id, world.chat.id);
    let page = async |chat, before, limit| store.messages_page(session, chat, before, limit).await.expect("a read");
    assert_eq!(page(None, None, 2).await, all[3..], "the newest, oldest first");
    assert_eq!(page(Some(chat), Some(all[3].id), 2).await, all[1..3]);
    assert_eq!(page(Some(chat), Some(all[1].id), 2).await, all[..1]);
    assert_eq!(page(None, Some(all[0].id), 2).await, []);
    assert_eq!(page(None, Some(message(&task).id), 2).await, [], "there is no such message");
    assert_eq!(page(None, None, 0).await, []);

    let mut loose = super::sample::task(&world.project, None);
    loose.session_id = None;
    let lonely = message(&loose);
    write(store, [add(&loose), put(&lonely)]).await;
    assert_eq!(store.messages_of_task(loose.id).await.expect("a read"), [lonely]);
    assert_eq!(store.messages(world.session.id, None).await.expect("a read").len(), 5);
}

/// Of all sessions, even of removed ones, and of tasks without any: each has to come to its end.
pub async fn messages_that_grow_are_found_in_all_sessions(store: &dyn Store) {
    let (here, there) = (World::stored(store).await, World::stored(store).await);
    let tasks = [here.task(), there.task(), task(&here.project, None)];
    write(store, tasks.iter().map(add)).await;
    let mut growing = tasks.each_ref().map(|task| {
        let whole = message(task);
        Message { role: MessageRole::Assistant, status: MessageStatus::Streaming, ..whole }
    });
    // The times do not tell which is older.
    growing[2].created_at = at(1);
    let settled = MessageStatus::ALL.iter().filter(|status| **status != MessageStatus::Streaming);
    let settled = settled.map(|status| Message { status: *status, ..message(&tasks[0]) });
    write(store, settled.map(|message| put(&message))).await;
    assert_eq!(store.streaming_messages().await.expect("a read"), []);

    write(store, growing.each_ref().map(put)).await;
    write(store, [Change::RemoveSession { id: there.session.id, at: at(99) }]).await;
    growing[0].content.push_str(" more");
    write(store, [put(&growing[0])]).await;
    assert_eq!(store.streaming_messages().await.expect("a read"), growing);
    let whole = Message { status: MessageStatus::Complete, ..growing[0].clone() };
    write(store, [put(&whole)]).await;
    assert_eq!(store.streaming_messages().await.expect("a read"), growing[1..]);
}

/// A task may be added running, if nothing runs in its chat.
pub async fn a_task_that_begins_as_it_is_added_takes_its_chat(store: &dyn Store) {
    let world = World::stored(store).await;
    let begun = Task { state: TaskState::Running, started_at: Some(at(50)), ..world.task() };
    write(store, [add(&begun)]).await;
    assert_eq!(store.task(begun.id).await.expect("a read"), Some(begun.clone()));
    let second = Task { id: world.task().id, ..begun };
    assert_eq!(refused(store, "task", add(&second)).await, "another task of its chat is running");
    assert_eq!(store.claim_task(None, at(60)).await.expect("a claim"), None, "there is nothing to claim");
}

/// A turn is put when it begins and again when it has ended.
pub async fn turns_are_replaced_in_their_place(store: &dyn Store) {
    let world = World::stored(store).await;
    let task = world.stored_task(store).await;
    let answer = message(&task);
    let (mut first, second) = (turn(&answer), turn(&answer));
    write(store, [put(&answer), Change::PutTurn(first.clone()), Change::PutTurn(second.clone())]).await;
    assert_eq!(store.turns_of_task(task.id).await.expect("a read"), [first.clone(), second.clone()]);

    first.outcome = Some(TurnOutcome::stopped(&StopReason::Other("paused".into())));
    first.after_tree = Some("beef".into());
    first.ended_at = Some(at(61));
    write(store, [Change::PutTurn(first.clone())]).await;
    assert_eq!(store.turns_of_task(task.id).await.expect("a read"), [first.clone(), second.clone()]);

    // Those of a session are of all its tasks and of no other session's, also once their chat is hidden.
    let (other, elsewhere) = (world.stored_task(store).await, World::stored(store).await);
    let strange = elsewhere.stored_task(store).await;
    let (answer, far) = (message(&other), message(&strange));
    let (third, fourth) = (turn(&answer), turn(&far));
    let changes = [put(&answer), put(&far), Change::PutTurn(third.clone()), Change::PutTurn(fourth)];
    write(store, changes).await;
    write(store, [Change::RemoveChat { id: world.chat.id, at: at(90) }]).await;
    assert_eq!(store.turns_of_session(world.session.id).await.expect("a read"), [first, second, third]);
}
