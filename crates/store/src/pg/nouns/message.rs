//! Messages.

use boocoder_model::{ChatId, Message, MessageId, SessionId, TaskId};
use tokio_postgres::types::Json;

use crate::StoreError;
use crate::pg::conn::{Params, params};
use crate::pg::doc::{ContentPartDoc, ToolCallDoc, docs};
use crate::pg::table::{Fields, Noun, Table};

impl Noun for Message {
    const TABLE: Table<'static> = Table {
        what: "message",
        name: "messages",
        key: &["id"],
        columns: &[
            "id",
            "chat_id",
            "session_id",
            "task_id",
            "role",
            "agent",
            "content",
            "attachments",
            "reasoning",
            "tool_calls",
            "status",
            "error",
            "created_at",
            "finished_at",
        ],
    };

    fn values(&self) -> Result<Params<'_>, StoreError> {
        Ok(params![
            self.id.as_uuid(),
            self.chat_id.map(ChatId::as_uuid),
            self.session_id.map(SessionId::as_uuid),
            self.task_id.as_uuid(),
            self.role.as_str(),
            self.agent.as_str(),
            Json(&self.content),
            Json(docs::<_, ContentPartDoc>(&self.attachments)),
            Json(&self.reasoning),
            Json(docs::<_, ToolCallDoc>(&self.tool_calls)),
            self.status.as_str(),
            self.error.as_ref().map(Json),
            self.created_at,
            self.finished_at,
        ])
    }

    fn read(row: &Fields<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.id("id", MessageId::from_uuid)?,
            chat_id: row.id_if_any("chat_id", ChatId::from_uuid)?,
            session_id: row.id_if_any("session_id", SessionId::from_uuid)?,
            task_id: row.id("task_id", TaskId::from_uuid)?,
            role: row.name("role")?,
            agent: row.get::<String>("agent")?.into(),
            content: row.json("content")?,
            attachments: row.docs::<ContentPartDoc, _>("attachments")?,
            reasoning: row.json("reasoning")?,
            tool_calls: row.docs::<ToolCallDoc, _>("tool_calls")?,
            status: row.name("status")?,
            error: row.json_if_any("error")?,
            created_at: row.get("created_at")?,
            finished_at: row.get("finished_at")?,
        })
    }
}
