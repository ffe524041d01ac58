//! The rules of the log: numbers follow on, and one read stays within its budget.

use std::collections::BTreeMap;

use boocoder_model::{Seq, SessionId};

use crate::rule::{SEQ, conflict};
use crate::{ReadBudget, StoreError, StoredFrame};

/// For each session of a batch, the number that its log must have reached. Conflict if the batch has a hole in itself.
pub(crate) fn follows(frames: &[StoredFrame]) -> Result<BTreeMap<SessionId, Seq>, StoreError> {
    let mut before = BTreeMap::new();
    let mut last = BTreeMap::new();
    for frame in frames {
        let expected = match last.get(&frame.session_id) {
            Some(last) => Seq::next(*last),
            None => {
                let previous = frame.seq.0.checked_sub(1).ok_or_else(|| conflict("frame", SEQ))?;
                before.insert(frame.session_id, Seq(previous));
                frame.seq
            }
        };
        if frame.seq != expected {
            return Err(conflict("frame", SEQ));
        }
        last.insert(frame.session_id, frame.seq);
    }
    Ok(before)
}

/// Counts what a read has brought so far.
pub(crate) struct Spent {
    budget: ReadBudget,
    frames: usize,
    bytes: usize,
}

impl Spent {
    pub(crate) const fn new(budget: ReadBudget) -> Self {
        Self { budget, frames: 0, bytes: 0 }
    }

    /// Whether a frame of so many bytes still fits. The first one always does.
    pub(crate) const fn take(&mut self, bytes: usize) -> bool {
        let fits = self.frames == 0
            || (self.frames < self.budget.frames && self.bytes.saturating_add(bytes) <= self.budget.bytes);
        self.frames += 1;
        self.bytes = self.bytes.saturating_add(bytes);
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use boocoder_model::SessionId;

    fn frame(session: u128, seq: u64) -> StoredFrame {
        let session_id = SessionId::from_uuid(uuid::Uuid::from_u128(session));
        StoredFrame { session_id, seq: Seq(seq), body: "{}".into() }
    }

    #[test]
    fn sessions_may_be_mixed_as_long_as_each_follows_on() {
        let frames = [frame(1, 4), frame(2, 1), frame(1, 5), frame(2, 2)];
        let before = follows(&frames).expect("no hole");
        assert_eq!(before.into_values().collect::<Vec<_>>(), [Seq(3), Seq(0)]);
    }

    #[test]
    fn holes_repeats_and_zero_are_conflicts() {
        for frames in [[frame(1, 4), frame(1, 6)], [frame(1, 4), frame(1, 4)], [frame(1, 0), frame(1, 1)]] {
            assert!(matches!(follows(&frames), Err(StoreError::Conflict { what: "frame", .. })), "{frames:?}");
        }
    }
}
