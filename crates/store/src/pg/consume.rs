//! Taking journals in: how far each is, in one statement with the frames that its records became.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use boocoder_model::{Consumed, Position, RunnerId};
use tokio_postgres::types::Json;

use super::conn::{Query, params};
use super::news;
use super::steps::{Guard, NUMBERED, Step, columns};
use super::table::bigint;
use super::usage_doc::{TurnBegunDoc, UsageLedgerDoc};
use crate::rule::{self, conflict};
use crate::{Change, StoreError, StoredFrame, Writer};

/// Writes how far journals are taken in, then the frames. If one of the runners does not let that through, a frame of no
/// session comes before the others; no row may hold it, so nothing is written. If the writer is fenced off, a frame
/// without a body does the same, and else the other servers are told of the sessions, each once.
fn statement(is_fenced: bool) -> String {
    let (held, barred, told) = if is_fenced {
        let held = "held AS (SELECT 1 FROM servers WHERE id = $10 AND fence = $11 FOR KEY SHARE), ";
        let barred = "SELECT $10::uuid, 0, NULL WHERE NOT EXISTS (SELECT FROM held) UNION ALL ";
        let told =
            format!(" RETURNING pg_notify('{}', '{} ' || $10::uuid || ' ' || session_id)", news::CHANNEL, news::FRAMES);
        (held, barred, told)
    } else {
        ("", "", String::new())
    };
    format!(
        "WITH {held}taken AS (\
           UPDATE runners SET consumed = new.consumed, ledger = new.ledger, turn = new.turn \
           FROM unnest($5::uuid[], $6::bigint[], $7::bigint[], $8::json[], $9::json[]) \
             AS new (id, least, consumed, ledger, turn) \
           WHERE runners.id = new.id AND runners.ended_at IS NULL AND runners.consumed <= new.least RETURNING 1) \
         INSERT INTO frames (session_id, seq, body) \
         {barred}SELECT NULL, NULL, NULL WHERE (SELECT count(*) FROM taken) < cardinality($5::uuid[]) \
         UNION ALL {NUMBERED}{told}"
    )
}

/// What a batch does to one journal.
pub(super) struct Taken<'a> {
    /// The first position that it writes, which must not be behind the one that is kept.
    least: Position,
    /// What it leaves behind.
    pub(super) last: &'a Consumed,
}

/// What changes that do nothing else do to each journal; none if they do something else, too. Conflict if a journal goes
/// back within them.
pub(super) fn taken(changes: &[Change]) -> Result<Option<BTreeMap<RunnerId, Taken<'_>>>, StoreError> {
    let mut journals = BTreeMap::new();
    for change in changes {
        let Change::Consume { runner, consumed } = change else { return Ok(None) };
        match journals.entry(*runner) {
            Entry::Vacant(entry) => {
                entry.insert(Taken { least: consumed.position, last: consumed });
            }
            Entry::Occupied(mut entry) => {
                let taken = entry.get_mut();
                if consumed.position < taken.last.position {
                    return Err(conflict("runner", rule::PASSED));
                }
                taken.last = consumed;
            }
        }
    }
    Ok(Some(journals))
}

/// The one statement for all of a batch.
pub(super) fn all<'a>(
    journals: &BTreeMap<RunnerId, Taken<'a>>,
    frames: &'a [StoredFrame],
    writer: Option<Writer>,
) -> Result<Query<'a>, StoreError> {
    let number = |position: Position| bigint("runner", position.0);
    let ids: Vec<_> = journals.keys().map(|id| id.as_uuid()).collect();
    let least = journals.values().map(|taken| number(taken.least)).collect::<Result<Vec<_>, _>>()?;
    let last = journals.values().map(|taken| number(taken.last.position)).collect::<Result<Vec<_>, _>>()?;
    let ledgers: Vec<_> = journals.values().map(|taken| ledger(taken.last)).collect();
    let turns: Vec<_> = journals.values().map(|taken| turn(taken.last)).collect();
    let mut params = columns(frames)?;
    params.extend(params![ids, least, last, ledgers, turns]);
    if let Some(writer) = writer {
        params.extend(params![writer.server.as_uuid(), bigint("server", writer.fence.0)?]);
    }
    Ok(Query::new(statement(writer.is_some()), params))
}

/// The step of a transaction that does other things, too.
pub(super) fn step(runner: RunnerId, consumed: &Consumed) -> Result<Step<'static>, StoreError> {
    let sql = "UPDATE runners SET consumed = $2, ledger = $3, turn = $4 \
               WHERE id = $1 AND ended_at IS NULL AND consumed <= $2 RETURNING 1";
    let position = bigint("runner", consumed.position.0)?;
    let params = params![runner.as_uuid(), position, ledger(consumed), turn(consumed)];
    Ok(Step::guarded(Guard::Rule("runner", rule::PASSED), sql, params))
}

fn ledger(consumed: &Consumed) -> Json<UsageLedgerDoc> {
    Json((&consumed.ledger).into())
}

fn turn(consumed: &Consumed) -> Option<Json<TurnBegunDoc>> {
    consumed.turn.as_ref().map(|turn| Json(turn.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn consume(runner: u128, position: u64) -> Change {
        let consumed = Consumed { position: Position(position), ..Consumed::default() };
        Change::Consume { runner: RunnerId::from_uuid(uuid::Uuid::from_u128(runner)), consumed }
    }

    #[test]
    fn of_each_journal_the_first_position_is_compared_and_the_last_is_written() {
        let changes = [consume(1, 4), consume(2, 1), consume(1, 4), consume(1, 9)];
        let journals = taken(&changes).expect("nothing goes back").expect("nothing else");
        let found: Vec<_> = journals.values().map(|taken| (taken.least.0, taken.last.position.0)).collect();
        assert_eq!(found, [(4, 9), (1, 1)]);
    }

    #[test]
    fn a_journal_that_goes_back_within_a_batch_is_a_conflict() {
        let error = taken(&[consume(1, 4), consume(2, 1), consume(1, 3)]).err().expect("it goes back");
        assert!(matches!(error, StoreError::Conflict { what: "runner", .. }), "{error:?}");
    }
}
