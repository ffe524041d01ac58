//! Giving out tasks.

use boocoder_model::{Task, TaskState};
use jiff::Timestamp;
use tokio_postgres::Row;

use super::PgStore;
use super::commit::{Setback, Undone, end};
use super::conn::{Params, Query, params};
use super::failure::Attempts;
use super::mark::Mark;
use super::servers::held;
use super::steps::{Guard, Step};
use super::table::{Fields, Noun};
use crate::{Store, StoreError, Writer};

/// Takes the oldest queued task with nothing of its chat before it. Rows that another claim holds are passed over; a
/// claim that this cannot see yet is met by the rule that a chat runs one task at a time.
///
/// The transaction is marked if it takes one. Among several servers, a task is passed over whose agent lives under a runner of
/// another one, which will claim it.
fn claim_sql(is_shared: bool) -> String {
    let (owned, here) = if is_shared {
        let here = "AND NOT EXISTS (SELECT FROM runners WHERE runners.chat_id = next.chat_id \
                      AND runners.agent = next.agent AND ended_at IS NULL AND server_id IS DISTINCT FROM $4) ";
        (", server_id = $4", here)
    } else {
        ("", "")
    };
    format!(
        "WITH claimed AS (UPDATE tasks SET state = 'running', started_at = $1{owned} WHERE id = (\
           SELECT id FROM tasks next WHERE state = 'queued' \
             AND NOT EXISTS (SELECT FROM sessions WHERE id = next.session_id AND removed_at IS NOT NULL) \
             AND NOT EXISTS (SELECT FROM chats WHERE id = next.chat_id AND removed_at IS NOT NULL) \
             AND NOT EXISTS (SELECT FROM tasks other WHERE other.chat_id = next.chat_id \
               AND other.state IN ('queued', 'running') AND (other.state = 'running' OR other.position < next.position)) \
             {here}\
           ORDER BY position LIMIT 1 FOR UPDATE SKIP LOCKED) \
         RETURNING {}), \
         marked AS (INSERT INTO commit_marks (id, token, used_at) SELECT $2, $3, now() FROM claimed \
           ON CONFLICT (id) DO UPDATE SET token = excluded.token, used_at = excluded.used_at) \
         SELECT * FROM claimed",
        Task::TABLE.columns.join(", ")
    )
}

impl PgStore {
    pub(super) async fn claim(&self, by: Option<Writer>, now: Timestamp) -> Result<Option<Task>, StoreError> {
        if let Some(task) = self.claimed_before().await? {
            return Ok(Some(task));
        }
        let (mut mark, mut row) = (self.marks.take(), None);
        let result = self.claim_marked(by, now, &mut mark, &mut row).await;
        let task = read(row.filter(|_| mark.in_doubt || result.is_ok()))?;
        match &task {
            Some(task) if mark.in_doubt => self.claims_in_doubt.keep(mark, task.id),
            Some(_) | None => self.marks.give_back(mark),
        }
        result.map(|()| task)
    }

    /// A task that was claimed for a caller who was told that the database is away, if there is one: nobody else has it.
    async fn claimed_before(&self) -> Result<Option<Task>, StoreError> {
        while let Some((mut mark, id)) = self.claims_in_doubt.take(|_| true) {
            let asked = async { if self.was_committed(&mut mark).await? { self.task(id).await } else { Ok(None) } };
            match asked.await {
                Ok(task) => {
                    self.marks.give_back(mark);
                    if let Some(task) = task.filter(|task| task.state == TaskState::Running) {
                        return Ok(Some(task));
                    }
                }
                Err(error) => {
                    self.claims_in_doubt.keep(mark, id);
                    return Err(error);
                }
            }
        }
        Ok(None)
    }

    /// Claims, and leaves the row with the caller.
    async fn claim_marked(
        &self,
        by: Option<Writer>,
        now: Timestamp,
        mark: &mut Mark,
        row: &mut Option<Row>,
    ) -> Result<(), StoreError> {
        let mut attempts = Attempts::new(&self.limits);
        loop {
            mark.renew();
            let mut params: Params<'_> = params![now, mark.id, mark.token];
            params.extend(by.map(|by| Box::new(by.server.as_uuid()) as _));
            let mut steps = Vec::from_iter(by.map(held).transpose()?);
            steps.push(Step::plain(Query::new(claim_sql(by.is_some()), params)));
            *row = None;
            let failure = match self.attempt_claim(&steps, by.is_some(), row).await {
                Ok(()) => return Ok(()),
                Err(Setback::Unknown(failure)) => {
                    if self.was_committed(mark).await? {
                        return Ok(());
                    }
                    failure
                }
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
    ///
    /// A claim that the database loses in a crash makes the task queued again, and whoever wrote on from there is refused.
    /// Where others claim, too, one of them could have it by then: there it is on disk first.
    async fn attempt_claim(&self, steps: &[Step<'_>], is_shared: bool, row: &mut Option<Row>) -> Result<(), Setback> {
        let mut conn = if is_shared { &self.durable } else { &self.relaxed }.get().await?;
        let queries: Vec<_> = steps.iter().map(|step| &step.query).collect();
        let mut answers = conn.begin(&queries).await?;
        let answer = answers.pop().transpose();
        match answers.pop() {
            None => {}
            Some(Ok(held)) if !held.is_empty() => {}
            Some(Ok(_)) => {
                conn.rollback().await?;
                return Err(Setback::Undone(Undone::Refused(Guard::Writer)));
            }
            Some(Err(failure)) => {
                if failure.is_verdict() {
                    conn.rollback().await?;
                }
                return Err(failure.into());
            }
        }
        if matches!(&answer, Err(failure) if !failure.is_verdict()) {
            return Ok(answer.map(drop)?);
        }
        *row = answer.as_ref().ok().and_then(|rows| rows.as_ref()?.first()).cloned();
        match row {
            Some(_) => end(&mut conn).await,
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
