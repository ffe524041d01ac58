//! Runners.

use boocoder_model::{ChatId, Consumed, Position, Runner, RunnerId, TaskId};
use tokio_postgres::types::Json;

use crate::StoreError;
use crate::pg::conn::{Params, params};
use crate::pg::table::{Fields, Noun, Table, bigint};
use crate::pg::usage_doc::{TurnBegunDoc, UsageLedgerDoc};

impl Noun for Runner {
    const TABLE: Table<'static> = Table {
        what: "runner",
        name: "runners",
        key: &["id"],
        columns: &["id", "chat_id", "task_id", "agent", "consumed", "ledger", "turn", "created_at"],
    };

    fn values(&self) -> Result<Params<'_>, StoreError> {
        Ok(params![
            self.id.as_uuid(),
            self.chat_id.map(ChatId::as_uuid),
            self.task_id.as_uuid(),
            self.agent.as_str(),
            bigint("runner", self.consumed.position.0)?,
            Json(UsageLedgerDoc::from(&self.consumed.ledger)),
            self.consumed.turn.as_ref().map(|turn| Json(TurnBegunDoc::from(turn))),
            self.created_at,
        ])
    }

    fn read(row: &Fields<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.id("id", RunnerId::from_uuid)?,
            chat_id: row.id_if_any("chat_id", ChatId::from_uuid)?,
            task_id: row.id("task_id", TaskId::from_uuid)?,
            agent: row.get::<String>("agent")?.into(),
            consumed: Consumed {
                position: Position(row.count("consumed")?),
                ledger: row.doc::<UsageLedgerDoc, _>("ledger")?,
                turn: row.doc_if_any::<TurnBegunDoc, _>("turn")?,
            },
            created_at: row.get("created_at")?,
        })
    }
}
