//! Writing a batch.
//!
//! A batch of frames, and of how far journals were taken in for them, is one statement. Any other is a transaction of
//! two round trips: everything but its end, then, once every guard has held, `COMMIT`. When the connection breaks while a
//! transaction ends, nobody has said whether it was committed. Then the database is asked for the fate of that
//! transaction. One statement is tried again, and if it does not fit any more, what it was to write is looked for: a
//! frame's number is never given to other content, and a journal is taken in by one writer. So a batch is written once,
//! and an error says for certain that it was not, unless the database stays away.

use tokio_postgres::Row;

use super::PgStore;
use super::conn::{Conn, Pool, Query, params};
use super::consume;
use super::failure::{Attempts, Failure};
use super::steps::{self, Guard, Plan, Step};
use super::table::{Fields, bigint};
use crate::rule::{self, conflict};
use crate::{Store, StoreError, StoredFrame, WriteBatch};

/// The number of the transaction that is open, which outlives the connection.
const TRANSACTION: &str = "SELECT pg_current_xact_id()::text AS id";

/// Why a transaction did not come to its end.
pub(super) enum Setback {
    /// Nothing was written.
    Undone(Undone),
    /// It may have been written: the connection broke in the middle of the end. The transaction's number tells, if there
    /// is one.
    Unknown(Failure, Option<String>),
}

/// Why nothing was written.
pub(super) enum Undone {
    /// A guard did not hold.
    Refused(Guard),
    /// A round trip failed.
    Failed(Failure),
}

impl From<Failure> for Setback {
    fn from(failure: Failure) -> Self {
        Self::Undone(Undone::Failed(failure))
    }
}

impl PgStore {
    pub(super) async fn write(&self, batch: &WriteBatch) -> Result<(), StoreError> {
        let plan = steps::plan(batch)?;
        let pool = if batch.durable { &self.durable } else { &self.relaxed };
        let mut attempts = Attempts::new(&self.limits);
        let mut in_doubt = false;
        loop {
            let setback = match attempt(pool, &plan).await {
                Ok(()) => break,
                Err(setback) => setback,
            };
            let failure = match setback {
                Setback::Undone(Undone::Failed(failure)) if failure.is_transient() => failure,
                Setback::Undone(undone) => {
                    if in_doubt && self.holds(batch).await? {
                        break;
                    }
                    return Err(self.explain(undone).await?);
                }
                Setback::Unknown(_, Some(transaction)) if self.was_committed(&transaction).await? => break,
                Setback::Unknown(failure, transaction) => {
                    in_doubt |= transaction.is_none();
                    failure
                }
            };
            tracing::warn!(%failure, "the database did not take a batch");
            if !attempts.another().await {
                return Err(StoreError::Unreachable(failure.into()));
            }
        }
        if batch.wakes_claimers() {
            // The notification comes back to this process, too, but later.
            self.ears.wake();
        }
        Ok(())
    }

    /// What became of a transaction whose end nobody has seen.
    pub(super) async fn was_committed(&self, transaction: &str) -> Result<bool, StoreError> {
        let mut attempts = Attempts::new(&self.limits);
        loop {
            let query = Query::new("SELECT pg_xact_status($1::text::xid8) AS status", params![transaction]);
            let rows = self.rows(&query).await?;
            let fields = rows.first().map(|row| Fields::new(row, "transaction"));
            match fields.map(|fields| fields.get::<Option<String>>("status")).transpose()?.flatten().as_deref() {
                Some("committed") => return Ok(true),
                Some("aborted") => return Ok(false),
                status if !attempts.another().await => {
                    let detail = format!("a transaction did not end in time: {}", status.unwrap_or("forgotten"));
                    return Err(StoreError::Unreachable(detail.into()));
                }
                _ => {}
            }
        }
    }

    /// Why nothing was written, as the caller is told: what a guard found is read again.
    pub(super) async fn explain(&self, undone: Undone) -> Result<StoreError, StoreError> {
        let refused = match undone {
            Undone::Failed(failure) => return Ok(failure.into()),
            Undone::Refused(guard) => guard,
        };
        Ok(match refused {
            Guard::Rule(what, detail) => conflict(what, detail),
            Guard::Writer => StoreError::FencedOff,
            Guard::Lapsed => conflict("server", rule::ALIVE),
            Guard::Task(id) => found("task", self.task(id).await?.map(|task| task.state.as_str())),
            Guard::Pending(id) => {
                found("pending change", self.pending_change(id).await?.map(|pending| pending.status.as_str()))
            }
            Guard::Interaction(id) => match self.interaction(id).await? {
                Some(interaction) => {
                    rule::opens(&interaction).err().unwrap_or_else(|| found("interaction", Some("open")))
                }
                None => found("interaction", None),
            },
        })
    }

    /// Whether what one statement was to write is there: its last frame, or, if it has none, how far it took journals in.
    async fn holds(&self, batch: &WriteBatch) -> Result<bool, StoreError> {
        if let Some(frame) = batch.frames.last() {
            return self.has_frame(frame).await;
        }
        let Some(journals) = consume::taken(&batch.changes)? else { return Ok(false) };
        for (id, taken) in journals {
            if self.runner(id).await?.is_none_or(|runner| runner.consumed != *taken.last) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether the log has this very frame.
    async fn has_frame(&self, frame: &StoredFrame) -> Result<bool, StoreError> {
        let seq = bigint("frame", frame.seq.0)?;
        let query = Query::new(
            "SELECT FROM frames WHERE session_id = $1 AND seq = $2 AND body = $3",
            params![frame.session_id.as_uuid(), seq, &*frame.body],
        );
        Ok(!self.rows(&query).await?.is_empty())
    }
}

fn found(what: &'static str, state: Option<&str>) -> StoreError {
    conflict(what, state.map_or_else(|| rule::ABSENT.to_owned(), rule::found_in))
}

async fn attempt(pool: &Pool, plan: &Plan<'_>) -> Result<(), Setback> {
    match plan {
        Plan::Nothing => Ok(()),
        Plan::Alone(query) => {
            let mut conn = pool.get().await?;
            match conn.query(query).await {
                Err(failure) if !failure.is_verdict() => Err(Setback::Unknown(failure, None)),
                answer => Ok(answer.map(drop)?),
            }
        }
        Plan::Together(steps) => transact(&mut pool.get().await?, steps, &mut Vec::new()).await,
    }
}

/// Runs steps in one transaction. What each brought stays with the caller, who needs it if the end remains unknown.
pub(super) async fn transact(conn: &mut Conn, steps: &[Step<'_>], brought: &mut Vec<Vec<Row>>) -> Result<(), Setback> {
    let transaction = Query::new(TRANSACTION, params![]);
    let queries: Vec<_> = [&transaction].into_iter().chain(steps.iter().map(|step| &step.query)).collect();
    let mut answers = conn.begin(&queries).await?.into_iter();
    let number = transaction_number(answers.next())?;
    let guarded = steps.iter().zip(answers).find_map(|(step, answer)| match (answer, step.guard) {
        (Err(failure), _) => Some(Undone::Failed(failure)),
        (Ok(rows), Some(guard)) if rows.is_empty() => Some(Undone::Refused(guard)),
        (Ok(rows), _) => {
            brought.push(rows);
            None
        }
    });
    let Some(undone) = guarded else { return end(conn, number).await };
    if !matches!(&undone, Undone::Failed(failure) if !failure.is_verdict()) {
        conn.rollback().await?;
    }
    Err(Setback::Undone(undone))
}

/// The first answer of a transaction that asked for its number.
fn transaction_number(answer: Option<Result<Vec<Row>, Failure>>) -> Result<Option<String>, Failure> {
    let rows = answer.transpose()?.unwrap_or_default();
    Ok(rows.first().map(|row| row.try_get("id")).transpose()?)
}

/// Commits. From here on a broken connection leaves the end unknown.
pub(super) async fn end(conn: &mut Conn, transaction: Option<String>) -> Result<(), Setback> {
    match conn.commit().await {
        Err(failure) if !failure.is_verdict() => Err(Setback::Unknown(failure, transaction)),
        ended => Ok(ended?),
    }
}
