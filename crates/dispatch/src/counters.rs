//! What the dispatcher counts, by the names under which it is counted. Where no recorder is installed, nothing is.

use boocoder_model::TurnOutcome;

use crate::sweep::Swept;

/// Turns that were settled, by `status` and `decided_by`.
const TURNS: &str = "boocoder_turns_total";
/// What a start found left by an earlier process, by `what` it was.
const SWEPT: &str = "boocoder_swept_total";
/// Frames that the database lost in a crash of its own and that were written again.
const RESTORED: &str = "boocoder_frames_restored_total";
/// Frames that the database had said were on disk, and did not have.
const LOST: &str = "boocoder_frames_lost_total";
/// Logs that held what their only writer did not know of.
const STRAYED: &str = "boocoder_log_strays_total";
/// Tasks whose claim the database lost in a crash of its own before their turn began.
const CLAIMS_LOST: &str = "boocoder_claims_lost_total";
/// Entries of the log that the store refused although nobody was there to be told.
const REFUSED: &str = "boocoder_log_entries_refused_total";

/// A turn was settled.
pub(crate) fn turn(outcome: &TurnOutcome) {
    let (status, decided_by) = (outcome.status.to_string(), outcome.decided_by.to_string());
    metrics::counter!(TURNS, "status" => status, "decided_by" => decided_by).increment(1);
}

/// A start saw to what was left.
pub(crate) fn swept(swept: &Swept) {
    let counts = [
        ("turns_taken_up", swept.turns_taken_up),
        ("agents_taken_up", swept.agents_taken_up),
        ("interactions", swept.interactions),
        ("tasks", swept.tasks),
        ("runners", swept.runners),
        ("agent_sessions", swept.agent_sessions),
        ("messages", swept.messages),
        ("worktrees", swept.worktrees),
    ];
    for (what, count) in counts {
        metrics::counter!(SWEPT, "what" => what).increment(count as u64);
    }
}

/// Frames were written again.
pub(crate) fn restored(frames: usize) {
    metrics::counter!(RESTORED).increment(frames as u64);
}

/// Frames that were on disk are not there.
pub(crate) fn lost(frames: usize) {
    metrics::counter!(LOST).increment(frames as u64);
}

/// A log held what its only writer did not know of.
pub(crate) fn strayed() {
    metrics::counter!(STRAYED).increment(1);
}

/// A claim is not in the store any more.
pub(crate) fn claim_lost() {
    metrics::counter!(CLAIMS_LOST).increment(1);
}

/// An entry was refused.
pub(crate) fn refused() {
    metrics::counter!(REFUSED).increment(1);
}
