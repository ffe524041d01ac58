//! Servers that share the database: their leases, their fences, and what each of them owns.
//!
//! Whoever writes locks its server's row with `FOR KEY SHARE`, whoever raises a fence with `FOR UPDATE`: the one waits for the
//! other, and then sees what it did. A renewal, which changes neither key nor fence, waits for no write and holds none up.

use std::time::Duration;

use boocoder_model::{Fence, InteractionId, InteractionOutcome, Runner, ServerId, Task, TaskId};
use jiff::Timestamp;
use tokio_postgres::Row;
use tokio_postgres::types::Json;

use super::PgStore;
use super::commit::{Setback, Undone, transact};
use super::conn::{Params, Query, params};
use super::doc::InteractionOutcomeDoc;
use super::failure::Attempts;
use super::mark::Mark;
use super::steps::{CHANNEL, Guard, Step};
use super::table::{Fields, Noun, bigint};
use crate::{Owned, StoreError, Wish, Writer};

/// The row of a server, if it is still at this fence, and held there until the transaction ends.
pub(super) const HELD: &str = "SELECT 1 FROM servers WHERE id = $1 AND fence = $2 FOR KEY SHARE";

/// The end of a lease of so many microseconds from now.
const ALIVE_UNTIL: &str = "clock_timestamp() + $2 * interval '1 microsecond'";

/// Ends a server's runners. Their agents are not live any more.
fn end_runners() -> String {
    format!(
        "WITH ended AS (UPDATE runners SET ended_at = $2 WHERE server_id = $1 AND ended_at IS NULL RETURNING *), \
         left_behind AS (\
           UPDATE agent_sessions SET status = CASE status WHEN 'active' THEN 'crashed' ELSE 'closed' END FROM ended \
           WHERE agent_sessions.chat_id = ended.chat_id AND agent_sessions.agent = ended.agent \
             AND agent_sessions.status IN ('active', 'idle')) \
         SELECT {} FROM ended ORDER BY position",
        Runner::TABLE.columns.join(", ")
    )
}

/// What nobody owns becomes a server's own if no other one is alive.
fn adopt(table: &str, condition: &str) -> String {
    format!(
        "UPDATE {table} SET server_id = $1 WHERE server_id IS NULL AND {condition} \
         AND NOT EXISTS (SELECT FROM servers WHERE id <> $1 AND alive_until > clock_timestamp())"
    )
}

/// Writes nothing unless the writer may.
pub(super) fn held(writer: Writer) -> Result<Step<'static>, StoreError> {
    let params = params![writer.server.as_uuid(), bigint("server", writer.fence.0)?];
    Ok(Step::guarded(Guard::Writer, HELD, params))
}

fn micros(lease: Duration) -> f64 {
    lease.as_secs_f64() * 1e6
}

impl PgStore {
    pub(super) async fn enter(&self, server: ServerId, lease: Duration) -> Result<Fence, StoreError> {
        let id = server.as_uuid();
        let registered = format!(
            "INSERT INTO servers (id, fence, alive_until, registered_at) \
             VALUES ($1, 1, {ALIVE_UNTIL}, clock_timestamp()) \
             ON CONFLICT (id) DO UPDATE SET fence = servers.fence + 1, alive_until = excluded.alive_until, \
               registered_at = excluded.registered_at RETURNING fence"
        );
        let steps = [
            Step::plain(Query::new("SELECT 1 FROM servers WHERE id = $1 FOR UPDATE", params![id])),
            Step::plain(Query::new(registered, params![id, micros(lease)])),
            Step::plain(Query::new(adopt("tasks", "state = 'running'"), params![id])),
            Step::plain(Query::new(adopt("runners", "ended_at IS NULL"), params![id])),
        ];
        let answers = self.together(&steps).await?;
        let row = answers.get(1).and_then(|rows| rows.first());
        let row = row.ok_or_else(|| StoreError::Corrupt { what: "server", detail: "it has no fence".to_owned() })?;
        Fields::new(row, "server").count("fence").map(Fence)
    }

    pub(super) async fn extend(&self, writer: Writer, lease: Duration) -> Result<(), StoreError> {
        let sql = format!("UPDATE servers SET alive_until = {ALIVE_UNTIL} WHERE id = $1 AND fence = $3 RETURNING 1");
        let fence = bigint("server", writer.fence.0)?;
        let rows = self.rows(&Query::new(sql, params![writer.server.as_uuid(), micros(lease), fence])).await?;
        if rows.is_empty() { Err(StoreError::FencedOff) } else { Ok(()) }
    }

    pub(super) async fn lapsed_servers(&self) -> Result<Vec<Writer>, StoreError> {
        let sql = "SELECT id, fence FROM servers WHERE alive_until <= clock_timestamp() AND (\
                     EXISTS (SELECT FROM tasks WHERE server_id = servers.id AND state = 'running') \
                     OR EXISTS (SELECT FROM runners WHERE server_id = servers.id AND ended_at IS NULL)) \
                   ORDER BY position";
        let read = |row: &Row| {
            let fields = Fields::new(row, "server");
            Ok(Writer { server: fields.id("id", ServerId::from_uuid)?, fence: Fence(fields.count("fence")?) })
        };
        self.rows(&Query::new(sql, params![])).await?.iter().map(read).collect()
    }

    pub(super) async fn replace(
        &self,
        taker: Writer,
        lapsed: Writer,
        now: Timestamp,
    ) -> Result<Vec<Runner>, StoreError> {
        let id = lapsed.server.as_uuid();
        let ended =
            "SELECT 1 FROM servers WHERE id = $1 AND fence = $2 AND alive_until <= clock_timestamp() FOR UPDATE";
        let tasks = "UPDATE tasks SET server_id = $2, taken_from = coalesce(taken_from, $1) \
                     WHERE server_id = $1 AND state = 'running'";
        let steps = [
            held(taker)?,
            Step::guarded(Guard::Lapsed, ended, params![id, bigint("server", lapsed.fence.0)?]),
            Step::plain(Query::new("UPDATE servers SET fence = fence + 1 WHERE id = $1", params![id])),
            Step::plain(Query::new(end_runners(), params![id, now])),
            Step::plain(Query::new(tasks, params![id, taker.server.as_uuid()])),
            Step::plain(Query::new("SELECT pg_notify($1, '')", params![CHANNEL])),
        ];
        let answers = self.together(&steps).await?;
        self.ears.wake();
        let rows = answers.get(3).map(Vec::as_slice).unwrap_or_default();
        rows.iter().map(|row| Runner::read(&Fields::new(row, Runner::TABLE.what))).collect()
    }

    pub(super) async fn owned_by(&self, server: ServerId) -> Result<Owned, StoreError> {
        let own = || -> Params<'_> { params![server.as_uuid()] };
        let running = |taken: &str| {
            format!("WHERE server_id = $1 AND state = 'running' AND taken_from IS {taken} ORDER BY position DESC")
        };
        Ok(Owned {
            running: self.list::<Task>(&running("NULL"), own()).await?,
            taken_over: self.list::<Task>(&running("NOT NULL"), own()).await?,
            runners: self.list("WHERE server_id = $1 AND ended_at IS NULL ORDER BY position", own()).await?,
        })
    }

    pub(super) async fn owner_of(&self, task: TaskId) -> Result<Option<ServerId>, StoreError> {
        let query = Query::new("SELECT server_id FROM tasks WHERE id = $1", params![task.as_uuid()]);
        let rows = self.rows(&query).await?;
        let read = |row: &Row| Fields::new(row, "task").id_if_any("server_id", ServerId::from_uuid);
        Ok(rows.first().map(read).transpose()?.flatten())
    }

    pub(super) async fn wishes_of(&self, server: ServerId) -> Result<Vec<Wish>, StoreError> {
        let sql = "SELECT wishes.interaction_id, wishes.outcome, wishes.wished_at FROM wishes \
                   JOIN interactions ON interactions.id = wishes.interaction_id \
                   JOIN tasks ON tasks.id = interactions.task_id \
                   WHERE interactions.settled_at IS NULL AND tasks.server_id = $1 AND tasks.state = 'running' \
                   ORDER BY interactions.position";
        let read = |row: &Row| {
            let fields = Fields::new(row, "wish");
            let outcome: InteractionOutcome = fields.doc::<InteractionOutcomeDoc, _>("outcome")?;
            let interaction_id = fields.id("interaction_id", InteractionId::from_uuid)?;
            Ok(Wish { interaction_id, outcome, wished_at: fields.get("wished_at")? })
        };
        self.rows(&Query::new(sql, params![server.as_uuid()])).await?.iter().map(read).collect()
    }

    /// Runs steps in one transaction, again while the database cannot be reached, and brings the rows of each.
    async fn together(&self, steps: &[Step<'_>]) -> Result<Vec<Vec<Row>>, StoreError> {
        let mut mark = self.marks.take();
        let result = self.together_marked(steps, &mut mark).await;
        if !mark.in_doubt {
            self.marks.give_back(mark);
        }
        result
    }

    async fn together_marked(&self, steps: &[Step<'_>], mark: &mut Mark) -> Result<Vec<Vec<Row>>, StoreError> {
        let mut attempts = Attempts::new(&self.limits);
        loop {
            let mut rows = Vec::new();
            mark.renew();
            let failure = match self.attempt_together(mark, steps, &mut rows).await {
                Ok(()) => return Ok(rows),
                Err(Setback::Unknown(failure)) => {
                    if self.was_committed(mark).await? {
                        return Ok(rows);
                    }
                    failure
                }
                Err(Setback::Undone(Undone::Failed(failure))) if failure.is_transient() => failure,
                Err(Setback::Undone(undone)) => return Err(self.explain(undone).await?),
            };
            tracing::debug!(%failure, "what concerns a server is tried again");
            if !attempts.another().await {
                return Err(failure.into());
            }
        }
    }

    async fn attempt_together(&self, mark: &Mark, steps: &[Step<'_>], rows: &mut Vec<Vec<Row>>) -> Result<(), Setback> {
        transact(&mut self.durable.get().await?, mark, steps, rows).await
    }
}

/// The step that keeps a wish, for a question that is open.
pub(super) fn put_wish(wish: &Wish) -> Step<'static> {
    let sql = "INSERT INTO wishes (interaction_id, outcome, wished_at) \
               SELECT $1, $2, $3 WHERE EXISTS (SELECT FROM interactions WHERE id = $1 AND settled_at IS NULL) \
               ON CONFLICT (interaction_id) DO UPDATE SET outcome = excluded.outcome, wished_at = excluded.wished_at \
               RETURNING 1";
    let params =
        params![wish.interaction_id.as_uuid(), Json(InteractionOutcomeDoc::from(&wish.outcome)), wish.wished_at];
    Step::guarded(Guard::Interaction(wish.interaction_id), sql, params)
}
