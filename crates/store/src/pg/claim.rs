//! Giving out tasks.

use boocoder_model::Task;
use jiff::Timestamp;
use tokio_postgres::Row;

use super::PgStore;
use super::commit::{Setback, Undone, end};
use super::conn::{Query, params};
use super::failure::{Attempts, Failure};
use super::table::{Fields, Noun};
use crate::StoreError;

/// Takes the oldest queued task with nothing of its chat before it. Rows that another claim holds are passed over; a
/// claim that this cannot see yet is met by the rule that a chat runs one task at a time.
fn claim_sql() -> String {
    format!(
        "UPDATE tasks SET state = 'running', started_at = $1 WHERE id = (\
           SELECT id FROM tasks next WHERE state = 'queued' \
             AND NOT EXISTS (SELECT FROM sessions WHERE id = next.session_id AND removed_at IS NOT NULL) \
             AND NOT EXISTS (SELECT FROM chats WHERE id = next.chat_id AND removed_at IS NOT NULL) \
             AND NOT EXISTS (SELECT FROM tasks other WHERE other.chat_id = next.chat_id \
               AND other.state IN ('queued', 'running') AND (other.state = 'running' OR other.position < next.position)) \
           ORDER BY position LIMIT 1 FOR UPDATE SKIP LOCKED) \
         RETURNING {}, pg_current_xact_id()::text AS transaction",
        Task::TABLE.columns.join(", ")
    )
}

impl PgStore {
    pub(super) async fn claim(&self, now: Timestamp) -> Result<Option<Task>, StoreError> {
        let claim = Query::new(claim_sql(), params![now]);
        let mut attempts = Attempts::new(&self.limits);
        loop {
            let mut row = None;
            let failure = match self.attempt_claim(&claim, &mut row).await {
                Ok(()) => return read(row),
                Err(Setback::Unknown(_, Some(transaction))) if self.was_committed(&transaction).await? => {
                    return read(row);
                }
                Err(Setback::Unknown(failure, _)) => failure,
                Err(Setback::Undone(Undone::Failed(failure))) if failure.is_transient() || failure.is_busy_chat() => {
                    failure
                }
                Err(Setback::Undone(undone)) => return Err(self.explain(undone).await?),
            };
            tracing::debug!(%failure, "a claim is tried again");
            if !attempts.another().await {
                return Err(failure.into());
            }
        }
    }

    /// One claim. The row stays with the caller, who needs it if the end remains unknown.
    async fn attempt_claim(&self, claim: &Query<'_>, row: &mut Option<Row>) -> Result<(), Setback> {
        let mut conn = self.durable.get().await?;
        let answer = conn.begin(&[claim]).await?.pop().transpose();
        if matches!(&answer, Err(failure) if !failure.is_verdict()) {
            return Ok(answer.map(drop)?);
        }
        *row = answer.as_ref().ok().and_then(|rows| rows.as_ref()?.first()).cloned();
        match row {
            Some(row) => {
                let transaction = row.try_get("transaction").map_err(Failure::Driver)?;
                end(&mut conn, transaction).await
            }
            None => {
                conn.rollback().await?;
                Ok(answer.map(drop)?)
            }
        }
    }
}

fn read(row: Option<Row>) -> Result<Option<Task>, StoreError> {
    row.map(|row| Task::read(&Fields::new(&row, Task::TABLE.what))).transpose()
}
