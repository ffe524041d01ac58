//! Tasks, and what executes them: turns and agent sessions.

use boocoder_model::{
    AgentName, AgentSession, AgentSessionId, Approval, ChatId, DecidedBy, ExecutionPath, MessageId, ProjectId, Resumed,
    Seq, SessionId, Task, TaskId, Turn, TurnId,
};
use tokio_postgres::types::Json;

use crate::StoreError;
use crate::pg::conn::{Params, params};
use crate::pg::doc::{ContentPartDoc, TurnOutcomeDoc, docs};
use crate::pg::table::{Fields, Noun, Table, bigint};

impl Noun for Task {
    const TABLE: Table<'static> = Table {
        what: "task",
        name: "tasks",
        key: &["id"],
        columns: &[
            "id",
            "project_id",
            "session_id",
            "chat_id",
            "agent",
            "input",
            "model",
            "mode_id",
            "thinking_option_id",
            "approval",
            "state",
            "cancel_requested",
            "execution_path",
            "outcome",
            "output_summary",
            "cost_tokens",
            "created_at",
            "started_at",
            "ended_at",
        ],
    };

    fn values(&self) -> Result<Params<'_>, StoreError> {
        Ok(params![
            self.id.as_uuid(),
            self.project_id.as_uuid(),
            self.session_id.map(SessionId::as_uuid),
            self.chat_id.map(ChatId::as_uuid),
            self.agent.as_str(),
            Json(docs::<_, ContentPartDoc>(&self.input)),
            self.model.as_ref().map(Json),
            self.mode_id.as_ref().map(Json),
            self.thinking_option_id.as_ref().map(Json),
            self.approval.as_str(),
            self.state.as_str(),
            self.cancel_requested.map(DecidedBy::as_str),
            self.execution_path.map(ExecutionPath::as_str),
            self.outcome.as_ref().map(|outcome| Json(TurnOutcomeDoc::from(outcome))),
            self.output_summary.as_ref().map(Json),
            self.cost_tokens.map(|tokens| bigint("task", tokens)).transpose()?,
            self.created_at,
            self.started_at,
            self.ended_at,
        ])
    }

    fn read(row: &Fields<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.id("id", TaskId::from_uuid)?,
            project_id: row.id("project_id", ProjectId::from_uuid)?,
            session_id: row.id_if_any("session_id", SessionId::from_uuid)?,
            chat_id: row.id_if_any("chat_id", ChatId::from_uuid)?,
            agent: row.get::<String>("agent")?.into(),
            input: row.docs::<ContentPartDoc, _>("input")?,
            model: row.json_if_any("model")?,
            mode_id: row.json_if_any("mode_id")?,
            thinking_option_id: row.json_if_any("thinking_option_id")?,
            approval: row.name::<Approval>("approval")?,
            state: row.name("state")?,
            cancel_requested: row.name_if_any("cancel_requested")?,
            execution_path: row.name_if_any("execution_path")?,
            outcome: row.doc_if_any::<TurnOutcomeDoc, _>("outcome")?,
            output_summary: row.json_if_any("output_summary")?,
            cost_tokens: row.count_if_any("cost_tokens")?,
            created_at: row.get("created_at")?,
            started_at: row.get("started_at")?,
            ended_at: row.get("ended_at")?,
        })
    }
}

impl Noun for Turn {
    const TABLE: Table<'static> = Table {
        what: "turn",
        name: "turns",
        key: &["id"],
        columns: &[
            "id",
            "task_id",
            "message_id",
            "after",
            "before_tree",
            "after_tree",
            "outcome",
            "started_at",
            "ended_at",
        ],
    };

    fn values(&self) -> Result<Params<'_>, StoreError> {
        Ok(params![
            self.id.as_uuid(),
            self.task_id.as_uuid(),
            self.message_id.as_uuid(),
            bigint("turn", self.after.0)?,
            &self.before_tree,
            &self.after_tree,
            self.outcome.as_ref().map(|outcome| Json(TurnOutcomeDoc::from(outcome))),
            self.started_at,
            self.ended_at,
        ])
    }

    fn read(row: &Fields<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.id("id", TurnId::from_uuid)?,
            task_id: row.id("task_id", TaskId::from_uuid)?,
            message_id: row.id("message_id", MessageId::from_uuid)?,
            after: Seq(row.count("after")?),
            before_tree: row.get("before_tree")?,
            after_tree: row.get("after_tree")?,
            outcome: row.doc_if_any::<TurnOutcomeDoc, _>("outcome")?,
            started_at: row.get("started_at")?,
            ended_at: row.get("ended_at")?,
        })
    }
}

impl Noun for AgentSession {
    const TABLE: Table<'static> = Table {
        what: "agent session",
        name: "agent_sessions",
        key: &["chat_id", "agent"],
        columns: &[
            "chat_id",
            "agent",
            "backend",
            "native_id",
            "status",
            "resumed",
            "config_fingerprint",
            "last_active_at",
        ],
    };

    fn values(&self) -> Result<Params<'_>, StoreError> {
        Ok(params![
            self.chat_id.as_uuid(),
            self.agent.as_str(),
            self.backend.as_str(),
            self.native_id.as_ref().map(Json),
            self.status.as_str(),
            self.resumed.map(Resumed::as_str),
            self.config_fingerprint.as_ref().map(Json),
            self.last_active_at,
        ])
    }

    fn read(row: &Fields<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            chat_id: row.id("chat_id", ChatId::from_uuid)?,
            agent: AgentName::from(row.get::<String>("agent")?),
            backend: row.name("backend")?,
            native_id: row.json_if_any::<AgentSessionId>("native_id")?,
            status: row.name("status")?,
            resumed: row.name_if_any("resumed")?,
            config_fingerprint: row.json_if_any("config_fingerprint")?,
            last_active_at: row.get("last_active_at")?,
        })
    }
}
