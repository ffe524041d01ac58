//! Projects, sessions, chats and worktrees.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use boocoder_model::{Chat, Project, Seq, Session, Task, TaskState, Worktree};

use super::sample::{self, World, at, chat, frame, message, project, put, session, task, worktree};
use super::{refused, write};
use crate::{Change, ReadBudget, Store, WriteBatch};

/// A project is found by id and by its exact path, whatever bytes and however many the path has.
pub async fn projects_are_found_by_id_and_by_path(store: &dyn Store) {
    let odd = Project { path: OsString::from_vec(b"/srv/caf\xe9".to_vec()).into(), ..project() };
    let long = Project { path: format!("/srv/{}", "tea/".repeat(1_000)).into(), ..project() };
    let projects = vec![project(), odd, long];
    write(store, projects.iter().cloned().map(Change::AddProject)).await;

    for project in &projects {
        assert_eq!(store.project(project.id).await.expect("a read"), Some(project.clone()));
        assert_eq!(store.project_at(&project.path).await.expect("a read"), Some(project.clone()));
    }
    assert_eq!(store.projects().await.expect("a read"), projects);
    assert_eq!(store.project(project().id).await.expect("a read"), None);
    assert_eq!(store.project_at("/srv".as_ref()).await.expect("a read"), None);

    for taken in &projects {
        let same_path = Project { path: taken.path.clone(), ..project() };
        let detail = refused(store, "project", Change::AddProject(same_path)).await;
        assert_eq!(detail, "there is one at this path already");
    }

    let moved = Project { path: "/srv/elsewhere".into(), ..projects[0].clone() };
    let change = |id, path: &Path| Change::MoveProject { id, path: path.to_owned() };
    write(store, [change(moved.id, &moved.path)]).await;
    assert_eq!(store.project_at(&moved.path).await.expect("a read"), Some(moved.clone()));
    assert_eq!(store.project_at(&projects[0].path).await.expect("a read"), None);
    write(store, [change(moved.id, &moved.path)]).await;
    let detail = refused(store, "project", change(moved.id, &projects[1].path)).await;
    assert_eq!(detail, "there is one at this path already");
    let detail = refused(store, "project", change(project().id, "/srv/nowhere".as_ref())).await;
    assert_eq!(detail, "there is none with this id");
}

/// Sessions come newest first, chats oldest first, by the order in which they were added.
pub async fn sessions_are_listed_newest_first(store: &dyn Store) {
    let world = World::stored(store).await;
    let (mut later, second_chat) = (session(&world.project), chat(&world.session));
    later.created_at = at(1);
    write(store, [Change::AddSession(later.clone()), Change::AddChat(second_chat.clone())]).await;

    assert_eq!(store.session(later.id).await.expect("a read"), Some(later.clone()));
    assert_eq!(store.sessions().await.expect("a read"), [later.clone(), world.session.clone()]);
    assert_eq!(store.chat(world.chat.id).await.expect("a read"), Some(world.chat.clone()));
    assert_eq!(store.chats(world.session.id).await.expect("a read"), [world.chat, second_chat]);
    assert_eq!(store.chats(later.id).await.expect("a read"), []);
}

/// A removed session is gone from every list, and so are its chats. Its tasks and its log are still read: what is under
/// way must come to its end, and clients must see it.
pub async fn a_removed_session_is_hidden_with_what_it_shows(store: &dyn Store) {
    let world = World::stored(store).await;
    let (session, chat) = (world.session.id, world.chat.id);
    let task = world.stored_task(store).await;
    let agent_session = sample::agent_session(&world.chat, "demo", Some(at(1)));
    let changes = [
        put(&message(&task)),
        Change::PutAgentSession(Box::new(agent_session)),
        Change::AddPending(Box::new(world.pending())),
    ];
    let frames = vec![frame(&world.session, 1)];
    let batch = WriteBatch { changes: changes.into(), frames: frames.clone(), durable: true, writer: None };
    store.commit(batch).await.expect("a batch that fits");
    write(store, [Change::RemoveSession { id: session, at: at(99) }]).await;

    assert_eq!(store.session(session).await.expect("a read"), None);
    assert_eq!(store.sessions().await.expect("a read"), []);
    assert_eq!(store.chat(chat).await.expect("a read"), None);
    assert_eq!(store.chats(session).await.expect("a read"), []);
    assert_eq!(store.messages(session, None).await.expect("a read"), []);
    assert_eq!(store.agent_sessions(session).await.expect("a read"), []);
    assert_eq!(store.pending_changes(session).await.expect("a read"), []);

    assert_eq!(store.task(task.id).await.expect("a read"), Some(task));
    let budget = ReadBudget { frames: 10, bytes: 1_000 };
    assert_eq!(store.frames_after(session, Seq::ZERO, budget).await.expect("a read"), frames);
    assert_eq!(store.last_seq(session).await.expect("a read"), Seq(1));

    let again = refused(store, "session", Change::RemoveSession { id: session, at: at(99) }).await;
    assert_eq!(again, "there is none with this id");
    refused(store, "chat", Change::RemoveChat { id: chat, at: at(99) }).await;
    refused(store, "chat", Change::AddChat(sample::chat(&world.session))).await;
}

/// A removed chat is gone from its session's lists; its neighbour is not.
pub async fn a_removed_chat_is_hidden_with_what_it_shows(store: &dyn Store) {
    let world = World::stored(store).await;
    let neighbour = chat(&world.session);
    write(store, [Change::AddChat(neighbour.clone())]).await;
    let (gone, kept) = (world.task(), task(&world.project, Some(&neighbour)));
    let (gone_message, kept_message) = (message(&gone), message(&kept));
    let agent_sessions = [&world.chat, &neighbour].map(|chat| sample::agent_session(chat, "demo", None));
    write(store, [sample::add(&gone), sample::add(&kept), put(&gone_message), put(&kept_message)]).await;
    write(store, agent_sessions.clone().map(|row| Change::PutAgentSession(Box::new(row)))).await;
    write(store, [Change::RemoveChat { id: world.chat.id, at: at(99) }]).await;

    let session = world.session.id;
    assert_eq!(store.chats(session).await.expect("a read"), [neighbour]);
    assert_eq!(store.messages(session, None).await.expect("a read"), [kept_message]);
    assert_eq!(store.messages(session, Some(world.chat.id)).await.expect("a read"), []);
    assert_eq!(store.messages_of_task(gone.id).await.expect("a read"), [gone_message]);
    assert_eq!(store.agent_sessions(session).await.expect("a read"), agent_sessions[1..]);
    // A server that starts still has to end what the removed chat left running.
    assert_eq!(store.live_agent_sessions().await.expect("a read"), agent_sessions);
}

/// A session and a chat take another title, and nothing else changes; what was removed takes none.
pub async fn what_is_renamed_keeps_its_place(store: &dyn Store) {
    let world = World::stored(store).await;
    let (later, second) = (session(&world.project), chat(&world.session));
    write(store, [Change::AddSession(later.clone()), Change::AddChat(second.clone())]).await;
    let (id, title) = (world.session.id, "Work".to_owned());
    let of_chat = Change::RenameChat { id: world.chat.id, title: "Aside".to_owned() };
    write(store, [Change::RenameSession { id, title: title.clone() }, of_chat.clone()]).await;
    let renamed = Session { title: title.clone(), ..world.session.clone() };
    assert_eq!(store.sessions().await.expect("a read"), [later, renamed]);
    let aside = Chat { title: "Aside".to_owned(), ..world.chat.clone() };
    assert_eq!(store.chats(id).await.expect("a read"), [aside, second]);

    write(store, [Change::RemoveSession { id, at: at(99) }]).await;
    assert_eq!(refused(store, "session", Change::RenameSession { id, title }).await, "there is none with this id");
    assert_eq!(refused(store, "chat", of_chat).await, "there is none with this id");
}

/// A chat may begin with what was said in another one, also once that one was removed.
pub async fn a_forked_chat_begins_with_what_was_said(store: &dyn Store) {
    let world = World::stored(store).await;
    let task = world.stored_task(store).await;
    let said: Vec<_> = (0..3).map(|_| message(&task)).collect();
    write(store, said.iter().map(put)).await;
    let forked = Chat { forked_from: Some(said[1].id), ..chat(&world.session) };
    write(store, [Change::AddChat(forked.clone())]).await;
    assert_eq!(store.chat(forked.id).await.expect("a read"), Some(forked.clone()));
    assert_eq!(store.chats(world.session.id).await.expect("a read"), [world.chat.clone(), forked.clone()]);
    write(store, [forked.id, world.chat.id].map(|id| Change::RemoveChat { id, at: at(99) })).await;
    assert_eq!(store.forked_from(forked.id).await.expect("a read"), Some(said[1].id));
    assert_eq!(store.forked_from(world.chat.id).await.expect("a read"), None);
    assert_eq!(store.messages_until(said[1].id, 10).await.expect("a read"), said[..2]);
    assert_eq!(store.messages_until(said[2].id, 2).await.expect("a read"), said[1..]);
    assert_eq!(store.messages_until(message(&task).id, 10).await.expect("a read"), []);
    let stray = Chat { forked_from: Some(message(&task).id), ..chat(&world.session) };
    assert_eq!(refused(store, "chat", Change::AddChat(stray)).await, "its message is not there");
}

/// A worktree belongs to one session or one task, which has no other until it is removed.
pub async fn a_worktree_has_one_owner_and_an_owner_one_worktree(store: &dyn Store) {
    let world = World::stored(store).await;
    let (session, project) = (&world.session, &world.project);
    let task = world.stored_task(store).await;
    let (of_session, of_task) = (worktree(project, Some(session), None), worktree(project, None, Some(&task)));
    write(store, [of_session.clone(), of_task.clone()].map(Change::AddWorktree)).await;
    assert_eq!(store.worktree_of_session(session.id).await.expect("a read"), Some(of_session.clone()));
    assert_eq!(store.worktree_of_task(task.id).await.expect("a read"), Some(of_task.clone()));

    let second = worktree(project, Some(session), None);
    let detail = refused(store, "worktree", Change::AddWorktree(second.clone())).await;
    assert_eq!(detail, "its session or its task has one already");
    for owners in [(None, None), (Some(session.id), Some(task.id))] {
        let shared = Worktree { session_id: owners.0, task_id: owners.1, ..second.clone() };
        let detail = refused(store, "worktree", Change::AddWorktree(shared)).await;
        assert_eq!(detail, "it belongs either to a session or to a task");
    }

    let of_session = Worktree { path: "/data/elsewhere".into(), ..of_session };
    let change = Change::MoveWorktree { id: of_session.id, path: of_session.path.clone() };
    write(store, [change.clone()]).await;
    assert_eq!(store.worktrees().await.expect("a read"), [of_session.clone(), of_task.clone()]);
    let removal = Change::RemoveWorktree { id: of_session.id, at: at(99) };
    write(store, [removal.clone()]).await;
    assert_eq!(store.worktree_of_session(session.id).await.expect("a read"), None);
    assert_eq!(refused(store, "worktree", removal).await, "there is none with this id");
    assert_eq!(refused(store, "worktree", change).await, "there is none with this id");
    assert_eq!(store.worktrees().await.expect("a read"), std::slice::from_ref(&of_task));
    write(store, [Change::AddWorktree(second.clone())]).await;
    assert_eq!(store.worktree_of_session(session.id).await.expect("a read"), Some(second));
    assert_eq!(store.orphaned_worktrees().await.expect("a read"), []);
    let left = store.worktree_of_session(session.id).await.expect("a read").expect("it is there");
    write(store, [Change::RemoveSession { id: session.id, at: at(98) }]).await;
    assert_eq!(store.orphaned_worktrees().await.expect("a read"), std::slice::from_ref(&left));
    write(store, [Change::RemoveWorktree { id: left.id, at: at(99) }]).await;
    assert_eq!(store.orphaned_worktrees().await.expect("a read"), []);
    let ended = Task { state: TaskState::Cancelled, ended_at: Some(at(99)), ..task.clone() };
    write(store, [Change::UpdateTask { task: Box::new(ended), from: task.state }]).await;
    assert_eq!(store.orphaned_worktrees().await.expect("a read"), std::slice::from_ref(&of_task));
    write(store, [Change::RemoveWorktree { id: of_task.id, at: at(99) }]).await;
    assert_eq!(store.orphaned_worktrees().await.expect("a read"), []);
}
