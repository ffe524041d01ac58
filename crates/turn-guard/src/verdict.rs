//! What the guard is told and what it answers.

use boocoder_model::TurnId;

/// How an agent says that a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The session went idle: the turn is done or was aborted.
    Stopped,
    /// An error ended it. Leftovers are expected after it, as after an abort.
    Failed,
}

/// What to make of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "the verdict says which turn the input belongs to"]
pub enum Verdict {
    /// It is part of this turn.
    Belongs(TurnId),
    /// It concerns the session, whether a turn runs or not: keep it.
    Session,
    /// It ends this turn.
    Settled(TurnId),
    /// It is left over from an older turn: it neither adds to the present turn nor ends it.
    Orphan,
    /// Nothing is decided yet: an end with a key may follow, or no limit has run out.
    Undecided,
    /// A limit ran out before anything ended this turn. It is over, and the watchdog decided it.
    Expired(TurnId),
}
