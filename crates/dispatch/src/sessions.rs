//! Projects, sessions and chats: made, listed and removed without losing work.

use std::path::Path;

use boocoder_model::{
    Chat, ChatId, Message, MessageId, MessageStatus, Project, ProjectId, Session, SessionId, TaskState,
};
use boocoder_store::{Change, StoreError, TaskFilter};
use boocoder_wire::{Frame, FrameBody};

use crate::command::{DispatchError, SessionRisk};
use crate::dispatcher::{Dispatcher, to_its_end};
use crate::env;
use crate::log::Entry;
use crate::workspace::Owner;

/// The title of a session or chat that was given none.
const UNTITLED: &str = "New session";

impl Dispatcher {
    /// Adds the project whose checkout holds this path. The same checkout again gives the same project.
    ///
    /// # Errors
    /// [`DispatchError::Worktree`] if it is no git repository.
    pub async fn add_project(&self, path: &Path, name: Option<String>) -> Result<Project, DispatchError> {
        let repository = self.shared.workspaces.repository_at(path).await?;
        let root = repository.root().to_owned();
        if let Some(project) = self.store().project_at(&root).await? {
            return Ok(project);
        }
        let fallback = || root.file_name().map_or_else(|| "/".to_owned(), |name| name.to_string_lossy().into_owned());
        let project = Project {
            id: ProjectId::from_uuid(env::new_id()),
            name: name.unwrap_or_else(fallback),
            path: root.clone(),
            created_at: env::now(),
        };
        match self.write(None, vec![Change::AddProject(project.clone())]).await {
            Ok(()) => Ok(project),
            // Somebody added it at the same moment.
            Err(error @ StoreError::Conflict { .. }) => {
                self.store().project_at(&root).await?.ok_or_else(|| error.into())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Begins a session with its first chat.
    ///
    /// # Errors
    /// [`DispatchError::NotFound`] for an unknown project.
    pub async fn add_session(
        &self,
        project: ProjectId,
        title: Option<String>,
    ) -> Result<(Session, Chat), DispatchError> {
        self.store().project(project).await?.ok_or(DispatchError::NotFound("project"))?;
        let session = Session {
            id: SessionId::from_uuid(env::new_id()),
            project_id: project,
            title: title.unwrap_or_else(|| UNTITLED.to_owned()),
            created_at: env::now(),
        };
        let chat = new_chat(session.id, None);
        let changes = vec![Change::AddSession(session.clone()), Change::AddChat(chat.clone())];
        self.write(Some(session.id), changes).await?;
        Ok((session, chat))
    }

    /// Removes a session, its worktree and its chats from view. What was said stays stored; with `force`, work that is
    /// nowhere else is kept under a private ref.
    ///
    /// # Errors
    /// [`DispatchError::AtRisk`] without `force` if work would be lost; [`WorktreeError::NotPreserved`] if some of it could
    /// not be kept even so; [`DispatchError::Conflict`] while a turn runs.
    ///
    /// [`WorktreeError::NotPreserved`]: boocoder_worktree::WorktreeError::NotPreserved
    pub async fn remove_session(&self, id: SessionId, force: bool) -> Result<(), DispatchError> {
        let this = self.clone();
        to_its_end(async move { this.remove_whole_session(id, force).await }).await
    }

    async fn remove_whole_session(&self, id: SessionId, force: bool) -> Result<(), DispatchError> {
        let session = self.store().session(id).await?.ok_or(DispatchError::NotFound("session"))?;
        let tasks = TaskFilter { session_id: Some(id), ..TaskFilter::default() };
        self.refuse_while_running(&tasks, "the session").await?;
        if !force {
            let risk = self.worktree_risk(id).await?;
            if !risk.is_none() {
                return Err(DispatchError::AtRisk(risk));
            }
        }
        let project = self.project(session.project_id).await?;
        self.shared.workspaces.refuse_unkept(Owner::Session(id), &project).await?;
        let chats = self.store().chats(id).await?;
        // From here on no message is taken and none is claimed; what came in between is stopped.
        self.write(Some(id), vec![Change::RemoveSession { id, at: env::now() }]).await?;
        self.stop_tasks(&tasks).await?;
        for chat in chats {
            self.close_chat(chat.id).await;
        }
        self.shared.workspaces.remove(Owner::Session(id), &project).await?;
        self.shared.workspaces.refused(id);
        self.looked().remove(&id);
        self.shared.broker.end(id);
        Ok(())
    }

    /// Gives a session another title.
    ///
    /// # Errors
    /// [`DispatchError::NotFound`] for an unknown session, [`DispatchError::Invalid`] for a title without a word in it.
    pub async fn rename_session(&self, id: SessionId, title: String) -> Result<Session, DispatchError> {
        let session = self.store().session(id).await?.ok_or(DispatchError::NotFound("session"))?;
        let (title, frame) = renamed(&title, None)?;
        self.write_with(id, Change::RenameSession { id, title: title.clone() }, frame).await?;
        Ok(Session { title, ..session })
    }

    /// Gives a chat another title.
    ///
    /// # Errors
    /// [`DispatchError::NotFound`] for an unknown chat, [`DispatchError::Invalid`] for a title without a word in it.
    pub async fn rename_chat(&self, id: ChatId, title: String) -> Result<Chat, DispatchError> {
        let chat = self.store().chat(id).await?.ok_or(DispatchError::NotFound("chat"))?;
        let (title, frame) = renamed(&title, Some(id))?;
        self.write_with(chat.session_id, Change::RenameChat { id, title: title.clone() }, frame).await?;
        Ok(Chat { title, ..chat })
    }

    async fn write_with(&self, session: SessionId, change: Change, frame: Frame) -> Result<(), StoreError> {
        self.shared.log.write(Entry { session: Some(session), changes: vec![change], frames: vec![frame] }).await
    }

    /// Opens another chat in a session.
    ///
    /// # Errors
    /// [`DispatchError::NotFound`] for an unknown session.
    pub async fn add_chat(&self, session: SessionId, title: Option<String>) -> Result<Chat, DispatchError> {
        self.store().session(session).await?.ok_or(DispatchError::NotFound("session"))?;
        let chat = new_chat(session, title);
        self.write(Some(session), vec![Change::AddChat(chat.clone())]).await?;
        Ok(chat)
    }

    /// Opens a chat that begins with what was said in another one, up to and including a message, or up to the last one that
    /// was said to its end. Its agents begin anew and are told of it.
    ///
    /// # Errors
    /// [`DispatchError::NotFound`] for an unknown chat, or a message that is not in it; [`DispatchError::Conflict`] if the
    /// message is not said to its end, or there is none.
    pub async fn fork_chat(
        &self,
        id: ChatId,
        message: Option<MessageId>,
        title: Option<String>,
    ) -> Result<Chat, DispatchError> {
        let chat = self.store().chat(id).await?.ok_or(DispatchError::NotFound("chat"))?;
        let is_said = |message: &Message| !matches!(message.status, MessageStatus::Queued | MessageStatus::Streaming);
        let forked_from = match message {
            Some(id) => {
                let found = self.store().message(id).await?.filter(|message| message.chat_id == Some(chat.id));
                let found = found.ok_or(DispatchError::NotFound("message"))?;
                Some(found).filter(is_said).map(|message| message.id)
            }
            None => {
                let said = self.store().messages(chat.session_id, Some(chat.id)).await?;
                let last = said.iter().rev().find(|message| is_said(message)).map(|message| message.id);
                // A fork in which nothing was said yet goes on where it came from.
                last.or(chat.forked_from)
            }
        };
        if forked_from.is_none() {
            return Err(DispatchError::Conflict("nothing was said to its end there yet".to_owned()));
        }
        let forked = Chat { forked_from, ..new_chat(chat.session_id, title.or(Some(chat.title))) };
        self.write(Some(chat.session_id), vec![Change::AddChat(forked.clone())]).await?;
        Ok(forked)
    }

    /// Removes a chat from view and closes its agents. Its messages stay stored.
    ///
    /// # Errors
    /// [`DispatchError::Conflict`] while a turn runs in it.
    pub async fn remove_chat(&self, id: ChatId) -> Result<(), DispatchError> {
        let chat = self.store().chat(id).await?.ok_or(DispatchError::NotFound("chat"))?;
        let tasks = TaskFilter { chat_id: Some(id), ..TaskFilter::default() };
        self.refuse_while_running(&tasks, "the chat").await?;
        self.write(Some(chat.session_id), vec![Change::RemoveChat { id, at: env::now() }]).await?;
        self.stop_tasks(&tasks).await?;
        self.close_chat(id).await;
        Ok(())
    }

    /// What would be lost with a session's worktree.
    ///
    /// # Errors
    /// [`DispatchError::NotFound`] for an unknown session.
    pub async fn worktree_risk(&self, id: SessionId) -> Result<SessionRisk, DispatchError> {
        let session = self.store().session(id).await?.ok_or(DispatchError::NotFound("session"))?;
        let project = self.project(session.project_id).await?;
        let risk = self.shared.workspaces.risk(Owner::Session(id), &project).await?;
        let rows = self.store().pending_changes(id).await?;
        let pending = rows.iter().filter(|row| row.is_open()).count();
        Ok(SessionRisk::new(risk, pending as u64))
    }

    pub(crate) async fn project(&self, id: ProjectId) -> Result<Project, DispatchError> {
        self.store().project(id).await?.ok_or(DispatchError::NotFound("project"))
    }

    pub(crate) async fn write(&self, session: Option<SessionId>, changes: Vec<Change>) -> Result<(), StoreError> {
        self.shared.log.write(Entry { session, changes, frames: Vec::new() }).await
    }

    pub(crate) async fn refuse_while_running(&self, tasks: &TaskFilter, of: &str) -> Result<(), DispatchError> {
        let running = TaskFilter { state: Some(TaskState::Running), ..tasks.clone() };
        if self.store().tasks(running).await?.is_empty() {
            return Ok(());
        }
        Err(DispatchError::Conflict(format!("a turn of {of} is running: cancel it first")))
    }

    /// Sees to it that none of these tasks runs or will run.
    async fn stop_tasks(&self, tasks: &TaskFilter) -> Result<(), DispatchError> {
        for state in [TaskState::Queued, TaskState::Running] {
            for task in self.store().tasks(TaskFilter { state: Some(state), ..tasks.clone() }).await? {
                self.stop_task(task.id).await?;
            }
        }
        Ok(())
    }
}

/// A title as it is kept, and the frame that tells of it.
fn renamed(title: &str, chat_id: Option<ChatId>) -> Result<(String, Frame), DispatchError> {
    let title = title.trim().to_owned();
    if title.is_empty() {
        return Err(DispatchError::Invalid("a title needs a word".to_owned()));
    }
    let frame = Frame { chat_id, ..Frame::of_session(FrameBody::Renamed { title: title.clone() }) };
    Ok((title, frame))
}

fn new_chat(session_id: SessionId, title: Option<String>) -> Chat {
    Chat {
        id: ChatId::from_uuid(env::new_id()),
        session_id,
        title: title.unwrap_or_else(|| UNTITLED.to_owned()),
        forked_from: None,
        created_at: env::now(),
    }
}
