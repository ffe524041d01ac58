//! The one place of this crate that reads the clock and draws ids.

use jiff::Timestamp;
use uuid::Uuid;

/// The time now, to the microsecond, which is what a database keeps: a time told at once and the same one told later
/// are equal.
#[expect(clippy::disallowed_methods, reason = "the shell of this crate reads the clock here and passes it on")]
pub(crate) fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
}

/// A new id. Ids rise with time, which keeps the database's indexes compact.
#[expect(clippy::disallowed_methods, reason = "the shell of this crate draws ids here and passes them on")]
pub(crate) fn new_id() -> Uuid {
    Uuid::now_v7()
}
