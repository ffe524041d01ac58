//! Where work happens: projects, sessions, chats and worktrees.

use std::os::unix::ffi::OsStrExt;

use boocoder_model::{Chat, ChatId, MessageId, Project, ProjectId, Session, SessionId, TaskId, Worktree, WorktreeId};
use tokio_postgres::types::Json;

use crate::StoreError;
use crate::pg::conn::{Params, params};
use crate::pg::table::{Fields, Noun, Table};

impl Noun for Project {
    const TABLE: Table<'static> =
        Table { what: "project", name: "projects", key: &["id"], columns: &["id", "name", "path", "created_at"] };

    fn values(&self) -> Result<Params<'_>, StoreError> {
        Ok(params![self.id.as_uuid(), Json(&self.name), self.path.as_os_str().as_bytes(), self.created_at])
    }

    fn read(row: &Fields<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.id("id", ProjectId::from_uuid)?,
            name: row.json("name")?,
            path: row.path("path")?,
            created_at: row.get("created_at")?,
        })
    }
}

impl Noun for Session {
    const TABLE: Table<'static> = Table {
        what: "session",
        name: "sessions",
        key: &["id"],
        columns: &["id", "project_id", "title", "created_at"],
    };

    fn values(&self) -> Result<Params<'_>, StoreError> {
        Ok(params![self.id.as_uuid(), self.project_id.as_uuid(), Json(&self.title), self.created_at])
    }

    fn read(row: &Fields<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.id("id", SessionId::from_uuid)?,
            project_id: row.id("project_id", ProjectId::from_uuid)?,
            title: row.json("title")?,
            created_at: row.get("created_at")?,
        })
    }
}

impl Noun for Chat {
    const TABLE: Table<'static> = Table {
        what: "chat",
        name: "chats",
        key: &["id"],
        columns: &["id", "session_id", "title", "forked_from", "created_at"],
    };

    fn values(&self) -> Result<Params<'_>, StoreError> {
        let forked_from = self.forked_from.map(MessageId::as_uuid);
        Ok(params![self.id.as_uuid(), self.session_id.as_uuid(), Json(&self.title), forked_from, self.created_at])
    }

    fn read(row: &Fields<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.id("id", ChatId::from_uuid)?,
            session_id: row.id("session_id", SessionId::from_uuid)?,
            title: row.json("title")?,
            forked_from: row.id_if_any("forked_from", MessageId::from_uuid)?,
            created_at: row.get("created_at")?,
        })
    }
}

impl Noun for Worktree {
    const TABLE: Table<'static> = Table {
        what: "worktree",
        name: "worktrees",
        key: &["id"],
        columns: &["id", "project_id", "session_id", "task_id", "path", "base_commit", "created_at"],
    };

    fn values(&self) -> Result<Params<'_>, StoreError> {
        Ok(params![
            self.id.as_uuid(),
            self.project_id.as_uuid(),
            self.session_id.map(SessionId::as_uuid),
            self.task_id.map(TaskId::as_uuid),
            self.path.as_os_str().as_bytes(),
            &self.base_commit,
            self.created_at,
        ])
    }

    fn read(row: &Fields<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.id("id", WorktreeId::from_uuid)?,
            project_id: row.id("project_id", ProjectId::from_uuid)?,
            session_id: row.id_if_any("session_id", SessionId::from_uuid)?,
            task_id: row.id_if_any("task_id", TaskId::from_uuid)?,
            path: row.path("path")?,
            base_commit: row.get("base_commit")?,
            created_at: row.get("created_at")?,
        })
    }
}
