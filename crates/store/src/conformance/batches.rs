//! Batches: all or nothing, and nothing that hangs in the air.

use boocoder_model::{ChatId, InteractionOutcome, MessageId, ProjectId, Seq, SessionId, TaskId, TaskState, WorktreeId};

use super::sample::{self, World, add, at, chat, frame, interaction, message, moved, project, put, session, turn};
use super::{refused, try_write, write};
use crate::{Change, Store, StoreError, WriteBatch};

/// One conflict at the end, and none of the batch is there: nothing added, nothing replaced, nothing moved on.
pub async fn a_conflict_takes_the_whole_batch_back(store: &dyn Store) {
    let world = World::stored(store).await;
    let task = world.stored_task(store).await;
    let (question, pending, mut answer) = (interaction(&task), world.pending(), message(&task));
    let changes = [
        Change::OpenInteraction(Box::new(question.clone())),
        Change::AddPending(Box::new(pending.clone())),
        put(&answer),
    ];
    write(store, changes).await;

    let (later, other) = (session(&world.project), project());
    let before = answer.clone();
    answer.content.push_str(", please");
    let keyed = Change::AddTask { task: Box::new(world.task()), request_key: Some("key".into()) };
    let changes = vec![
        Change::AddProject(other.clone()),
        Change::AddSession(later.clone()),
        Change::AddChat(chat(&later)),
        moved(&task, TaskState::Running),
        put(&answer),
        Change::PutTurn(turn(&answer)),
        Change::PutAgentSession(Box::new(sample::agent_session(&world.chat, "demo", None))),
        Change::SettleInteraction {
            id: question.id,
            outcome: InteractionOutcome::Declined,
            decided_by: boocoder_model::DecidedBy::User,
            at: at(80),
        },
        Change::RevisePending(Box::new(boocoder_model::PendingChange {
            revision: 1,
            status: boocoder_model::PendingStatus::Rejected,
            hunks: Vec::new(),
            ..pending.clone()
        })),
        keyed,
        Change::RemoveSession { id: world.session.id, at: at(80) },
        // The guard that fails: the task was just set running.
        moved(&task, TaskState::Completed),
    ];
    let batch = WriteBatch { changes, frames: vec![frame(&world.session, 1)], durable: true, writer: None };
    let error = store.commit(batch).await.expect_err("the last change does not fit");
    assert!(matches!(error, StoreError::Conflict { what: "task", .. }), "{error:?}");

    assert_eq!(store.project(other.id).await.expect("a read"), None);
    assert_eq!(store.session(later.id).await.expect("a read"), None);
    assert_eq!(store.session(world.session.id).await.expect("a read"), Some(world.session.clone()));
    assert_eq!(store.chat(world.chat.id).await.expect("a read"), Some(world.chat.clone()));
    assert_eq!(store.messages_of_task(task.id).await.expect("a read"), [before]);
    assert_eq!(store.turns_of_task(task.id).await.expect("a read"), []);
    assert_eq!(store.task_by_request("key").await.expect("a read"), None);
    assert_eq!(store.agent_sessions(world.session.id).await.expect("a read"), []);
    assert_eq!(store.interaction(question.id).await.expect("a read"), Some(question));
    assert_eq!(store.pending_change(pending.id).await.expect("a read"), Some(pending));
    assert_eq!(store.task(task.id).await.expect("a read"), Some(task));
    assert_eq!(store.last_seq(world.session.id).await.expect("a read"), Seq::ZERO);
}

/// Adding something twice is a conflict, even with other content.
pub async fn an_id_is_taken_once(store: &dyn Store) {
    let world = World::stored(store).await;
    let task = world.stored_task(store).await;
    let pending = world.pending();
    let mut same_hunk = world.pending();
    same_hunk.hunks = pending.hunks.clone();
    let mut twin = world.project.clone();
    twin.path = "/srv/elsewhere".into();
    let question = interaction(&task);
    let worktree = sample::worktree(&world.project, None, Some(&task));
    let other_task = world.stored_task(store).await;
    let same_worktree = boocoder_model::Worktree { task_id: Some(other_task.id), ..worktree.clone() };
    let first = [
        Change::AddPending(Box::new(pending.clone())),
        Change::OpenInteraction(Box::new(question.clone())),
        Change::AddWorktree(worktree),
    ];
    write(store, first).await;
    for (what, change) in [
        ("project", Change::AddProject(twin)),
        ("session", Change::AddSession(world.session.clone())),
        ("chat", Change::AddChat(world.chat.clone())),
        ("task", add(&task)),
        ("pending change", Change::AddPending(Box::new(pending))),
        ("hunk", Change::AddPending(Box::new(same_hunk))),
        ("interaction", Change::OpenInteraction(Box::new(question))),
        ("worktree", Change::AddWorktree(same_worktree)),
    ] {
        assert_eq!(refused(store, what, change).await, "its id is taken", "{what}");
    }
}

/// Whatever a change names must be there, and a chat must be one of the session that is named with it.
pub async fn what_is_named_must_be_there(store: &dyn Store) {
    let world = World::stored(store).await;
    let task = world.stored_task(store).await;
    let elsewhere = World::stored(store).await;
    let nowhere = sample::fresh();

    let mut lost = session(&world.project);
    lost.project_id = ProjectId::from_uuid(nowhere);
    assert_eq!(refused(store, "session", Change::AddSession(lost)).await, "its project is not there");

    let mut of_other_session = world.task();
    of_other_session.session_id = Some(elsewhere.session.id);
    assert_eq!(refused(store, "task", add(&of_other_session)).await, "its chat is of another session");
    of_other_session.session_id = Some(SessionId::from_uuid(nowhere));
    let gone = "its session or its chat is not there or was removed";
    assert_eq!(refused(store, "task", add(&of_other_session)).await, gone);
    let mut of_no_chat = world.task();
    of_no_chat.chat_id = Some(ChatId::from_uuid(nowhere));
    assert_eq!(refused(store, "task", add(&of_no_chat)).await, gone);
    assert_eq!(refused(store, "chat", Change::AddChat(chat(&session(&world.project)))).await, gone);

    let mut orphan = message(&task);
    orphan.task_id = TaskId::from_uuid(nowhere);
    assert_eq!(refused(store, "message", put(&orphan)).await, "its task is not there");
    let mut misplaced = message(&task);
    misplaced.session_id = Some(elsewhere.session.id);
    assert_eq!(refused(store, "message", put(&misplaced)).await, "its chat is of another session");

    let mut unheard = turn(&message(&task));
    unheard.message_id = MessageId::from_uuid(nowhere);
    assert_eq!(refused(store, "turn", Change::PutTurn(unheard)).await, "its message is not there");

    let stray = sample::agent_session(&chat(&world.session), "demo", None);
    let detail = refused(store, "agent session", Change::PutAgentSession(Box::new(stray))).await;
    assert_eq!(detail, "its chat is not there");

    let mut aimless = interaction(&task);
    aimless.task_id = TaskId::from_uuid(nowhere);
    let detail = refused(store, "interaction", Change::OpenInteraction(Box::new(aimless))).await;
    assert_eq!(detail, "its task is not there");

    let mut rootless = world.pending();
    rootless.worktree_id = Some(WorktreeId::from_uuid(nowhere));
    let detail = refused(store, "pending change", Change::AddPending(Box::new(rootless))).await;
    assert_eq!(detail, "its worktree is not there");

    let unknown = Change::RemoveChat { id: ChatId::from_uuid(nowhere), at: at(1) };
    assert_eq!(refused(store, "chat", unknown).await, "there is none with this id");
    let unknown = moved(&world.task(), TaskState::Running);
    assert_eq!(refused(store, "task", unknown).await, "there is none with this id");
    try_write(store, []).await.expect("a batch without anything is written at once");
}
