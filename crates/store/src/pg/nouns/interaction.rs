//! Interactions.

use boocoder_model::{ChatId, DecidedBy, Interaction, InteractionId, SessionId, TaskId};
use tokio_postgres::types::Json;

use crate::StoreError;
use crate::pg::conn::{Params, params};
use crate::pg::doc::{InteractionOutcomeDoc, QuestionDoc};
use crate::pg::table::{Fields, Noun, Table};

impl Noun for Interaction {
    const TABLE: Table<'static> = Table {
        what: "interaction",
        name: "interactions",
        key: &["id"],
        columns: &[
            "id",
            "session_id",
            "chat_id",
            "task_id",
            "agent",
            "question",
            "outcome",
            "decided_by",
            "created_at",
        ],
    };

    fn values(&self) -> Result<Params<'_>, StoreError> {
        let settled = self.settled.as_ref();
        Ok(params![
            self.id.as_uuid(),
            self.session_id.map(SessionId::as_uuid),
            self.chat_id.map(ChatId::as_uuid),
            self.task_id.as_uuid(),
            self.agent.as_str(),
            Json(QuestionDoc::from(&self.question)),
            settled.map(|(outcome, _)| Json(InteractionOutcomeDoc::from(outcome))),
            settled.map(|(_, decided_by)| decided_by.as_str()),
            self.created_at,
        ])
    }

    fn read(row: &Fields<'_>) -> Result<Self, StoreError> {
        let outcome = row.doc_if_any::<InteractionOutcomeDoc, _>("outcome")?;
        let decided_by = row.name_if_any::<DecidedBy>("decided_by")?;
        Ok(Self {
            id: row.id("id", InteractionId::from_uuid)?,
            session_id: row.id_if_any("session_id", SessionId::from_uuid)?,
            chat_id: row.id_if_any("chat_id", ChatId::from_uuid)?,
            task_id: row.id("task_id", TaskId::from_uuid)?,
            agent: row.get::<String>("agent")?.into(),
            question: row.doc::<QuestionDoc, _>("question")?,
            settled: outcome.zip(decided_by),
            created_at: row.get("created_at")?,
        })
    }
}
