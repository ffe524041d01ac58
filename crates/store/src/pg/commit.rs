//! Writing a batch.
//!
//! A batch of frames, and of how far journals were taken in for them, is one statement. Any other is a transaction of
//! two round trips: everything but its end, then, once every guard has held, `COMMIT`. When the connection breaks while a
//! transaction ends, nobody has said whether it was committed. Then its mark tells (`mark`). One statement is tried again,
//! and if it does not fit any more, what it was to write is looked for: a frame's number is never given to other content, and
//! a journal is taken in by one writer. So a batch is written once, and an error says for certain that it was not, unless the
//! database stays away. A caller that comes back with such a batch has it written if it was not.

use tokio_postgres::Row;

use super::PgStore;
use super::conn::{Conn, Pool, Query, params};
use super::consume;
use super::failure::{Attempts, Failure};
use super::mark::Mark;
use super::steps::{self, Guard, Plan, Step};
use super::table::bigint;
use crate::rule::{self, conflict};
use crate::{Store, StoreError, StoredFrame, WriteBatch};

/// Why a transaction did not come to its end.
pub(super) enum Setback {
    /// Nothing was written.
    Undone(Undone),
    /// It may have been written: the connection broke in the middle of the end.
    Unknown(Failure),
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
        let (mut mark, again) = match self.batches_in_doubt.take(|earlier| earlier == batch) {
            Some((mark, batch)) => (mark, Some(batch)),
            None => (self.marks.take(), None),
        };
        let result = self.write_marked(batch, &mut mark).await;
        if mark.in_doubt {
            self.batches_in_doubt.keep(mark, again.unwrap_or_else(|| batch.clone()));
        } else {
            self.marks.give_back(mark);
        }
        result?;
        if batch.wakes_claimers() {
            // The notification comes back to this process, too, but later.
            self.ears.wake();
        }
        Ok(())
    }

    async fn write_marked(&self, batch: &WriteBatch, mark: &mut Mark) -> Result<(), StoreError> {
        let plan = steps::plan(batch)?;
        let pool = if batch.durable { &self.durable } else { &self.relaxed };
        let mut attempts = Attempts::new(&self.limits);
        let is_marked = matches!(plan, Plan::Together(_));
        if is_marked && mark.in_doubt && self.was_committed(mark).await? {
            return Ok(());
        }
        loop {
            mark.renew();
            let failure = match attempt(pool, mark, &plan).await {
                Ok(()) => {
                    mark.in_doubt = false;
                    return Ok(());
                }
                Err(Setback::Undone(Undone::Failed(failure))) if failure.is_transient() => failure,
                Err(Setback::Undone(undone)) => {
                    let is_there = mark.in_doubt && self.holds(batch).await?;
                    mark.in_doubt = false;
                    return if is_there { Ok(()) } else { Err(self.explain(undone).await?) };
                }
                Err(Setback::Unknown(failure)) => {
                    mark.in_doubt = true;
                    if is_marked && self.was_committed(mark).await? {
                        return Ok(());
                    }
                    failure
                }
            };
            tracing::warn!(%failure, "the database did not take a batch");
            if !attempts.another().await {
                return Err(StoreError::Unreachable(failure.into()));
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
                let found = self.pending_change(id).await?;
                conflict("pending change", if found.is_some() { rule::REVISED } else { rule::ABSENT })
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

async fn attempt(pool: &Pool, mark: &Mark, plan: &Plan<'_>) -> Result<(), Setback> {
    match plan {
        Plan::Nothing => Ok(()),
        Plan::Alone(query) => {
            let mut conn = pool.get().await?;
            match conn.query(query).await {
                Err(failure) if !failure.is_verdict() => Err(Setback::Unknown(failure)),
                answer => Ok(answer.map(drop)?),
            }
        }
        Plan::Together(steps) => transact(&mut pool.get().await?, mark, steps, &mut Vec::new()).await,
    }
}

/// Runs steps in one transaction, which is marked. What each brought stays with the caller, who needs it if the end remains
/// unknown.
pub(super) async fn transact(
    conn: &mut Conn,
    mark: &Mark,
    steps: &[Step<'_>],
    brought: &mut Vec<Vec<Row>>,
) -> Result<(), Setback> {
    let put = mark.put();
    let queries: Vec<_> = [&put].into_iter().chain(steps.iter().map(|step| &step.query)).collect();
    let mut answers = conn.begin(&queries).await?.into_iter();
    answers.next().transpose()?;
    let guarded = steps.iter().zip(answers).find_map(|(step, answer)| match (answer, step.guard) {
        (Err(failure), _) => Some(Undone::Failed(failure)),
        (Ok(rows), Some(guard)) if rows.is_empty() => Some(Undone::Refused(guard)),
        (Ok(rows), _) => {
            brought.push(rows);
            None
        }
    });
    let Some(undone) = guarded else { return end(conn).await };
    if !matches!(&undone, Undone::Failed(failure) if !failure.is_verdict()) {
        conn.rollback().await?;
    }
    Err(Setback::Undone(undone))
}

/// Commits. From here on a broken connection leaves the end unknown.
pub(super) async fn end(conn: &mut Conn) -> Result<(), Setback> {
    match conn.commit().await {
        Err(failure) if !failure.is_verdict() => Err(Setback::Unknown(failure)),
        ended => Ok(ended?),
    }
}
