//! Marks: how it is known for certain what became of a transaction whose end nobody has seen.
//!
//! The number of a transaction does not tell. What the database loses in a crash leaves its number to a later transaction,
//! and then "committed" is said of that one. So each transaction writes a token into a row of its own, a mark, and after a
//! doubt the row has the token or it has not. Whoever asks writes the row, too: that waits until the transaction in doubt
//! has ended, and puts on disk what came before, so that the answer stands.
//!
//! A mark is one transaction's at a time, and stays its own for as long as it is in doubt. Then it is used again, so there
//! are no more rows than transactions were open at once. What a process leaves behind goes when it is old.

use std::sync::{Mutex, PoisonError};

use tokio_postgres::Client;
use uuid::Uuid;

use super::PgStore;
use super::conn::{Query, params};
use super::failure::{Attempts, Failure};
use super::table::Fields;
use crate::StoreError;
use crate::limits::{DOUBTS, MARK_DAYS};

/// The row gets the token.
const PUT: &str = "INSERT INTO commit_marks (id, token, used_at) VALUES ($1, $2, now()) \
     ON CONFLICT (id) DO UPDATE SET token = excluded.token, used_at = excluded.used_at";

/// The token that the row has; zero, which is nobody's, if there was no row.
const ASK: &str = "INSERT INTO commit_marks (id, token, used_at) VALUES ($1, 0, now()) \
     ON CONFLICT (id) DO UPDATE SET used_at = excluded.used_at RETURNING token";

/// A row for transactions, one at a time.
#[derive(Debug)]
pub(super) struct Mark {
    pub(super) id: Uuid,
    /// That of the transaction under way. It rises with each.
    pub(super) token: i64,
    /// Whether it is open what became of that transaction.
    pub(super) in_doubt: bool,
}

impl Mark {
    /// The statement that a transaction marks itself with.
    pub(super) fn put(&self) -> Query<'static> {
        Query::new(PUT, params![self.id, self.token])
    }

    /// A token for another transaction, which no transaction had before.
    pub(super) const fn renew(&mut self) {
        self.token += 1;
    }
}

/// The marks that are free.
#[derive(Debug, Default)]
pub(super) struct Marks(Mutex<Vec<Mark>>);

impl Marks {
    pub(super) fn take(&self) -> Mark {
        let free = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        free.unwrap_or_else(|| Mark { id: new_id(), token: 0, in_doubt: false })
    }

    /// Whoever cannot know whether its transaction has ended does not give its mark back.
    pub(super) fn give_back(&self, mark: Mark) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(mark);
    }
}

#[expect(clippy::disallowed_methods, reason = "the engine is a shell: its rows are no other process's")]
fn new_id() -> Uuid {
    Uuid::new_v4()
}

/// Transactions whose callers were told that the database is away before it could say what became of them. It is asked when
/// they come back.
#[derive(Debug)]
pub(super) struct Doubts<T>(Mutex<Vec<(Mark, T)>>);

impl<T> Default for Doubts<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Doubts<T> {
    /// Remembers one. If there are too many, the oldest is forgotten: its caller has not come back.
    pub(super) fn keep(&self, mark: Mark, what: T) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= DOUBTS {
            kept.remove(0);
        }
        kept.push((mark, what));
    }

    /// One that fits, which is forgotten.
    pub(super) fn take(&self, fits: impl Fn(&T) -> bool) -> Option<(Mark, T)> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = kept.iter().position(|(_, what)| fits(what))?;
        Some(kept.remove(place))
    }
}

impl PgStore {
    /// What became of the mark's transaction, whose end nobody has seen.
    pub(super) async fn was_committed(&self, mark: &mut Mark) -> Result<bool, StoreError> {
        mark.in_doubt = true;
        let mut attempts = Attempts::new(&self.limits);
        let rows = loop {
            match self.attempt_rows(&Query::new(ASK, params![mark.id])).await {
                Ok(rows) => break rows,
                Err(failure) if !failure.is_transient() && !failure.is_out_of_time() => return Err(failure.into()),
                Err(failure) => {
                    tracing::debug!(%failure, "nobody knows yet whether a transaction was committed");
                    if !attempts.another().await {
                        return Err(StoreError::Unreachable(failure.into()));
                    }
                }
            }
        };
        let found = rows.first().map(|row| Fields::new(row, "mark").get::<i64>("token")).transpose()?;
        mark.in_doubt = false;
        Ok(found == Some(mark.token))
    }
}

/// Deletes marks that were last used so long ago that whoever used them is gone.
pub(super) async fn clean_up(client: &Client) -> Result<(), Failure> {
    let old = "DELETE FROM commit_marks WHERE used_at < now() - $1 * interval '1 day'";
    client.execute(old, &[&MARK_DAYS]).await?;
    Ok(())
}
