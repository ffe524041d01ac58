//! Frames that are shown before they are on disk, since a journal would make them again.
//!
//! A frame that comes from a runner's journal alone may be committed without waiting for the disk: should server and
//! database die together, the same records become the same frames under the same numbers. That holds only while nothing
//! else gets numbers in the same session meanwhile, so whatever comes from elsewhere puts all of it on disk first. Should
//! the database die alone, what it lost is written again from here.

use std::collections::BTreeMap;

use boocoder_model::{RunnerId, Seq, SessionId};
use boocoder_store::{Change, StoredFrame, WriteBatch};

use super::Entry;
use crate::limits;

#[derive(Default)]
pub(super) struct Volatile {
    /// For each session with such frames, the one runner that they come from.
    sources: BTreeMap<SessionId, RunnerId>,
    frames: Vec<StoredFrame>,
    bytes: usize,
    /// How far each runner's journal was taken in.
    consumed: BTreeMap<RunnerId, Change>,
}

impl Volatile {
    pub(super) fn is_empty(&self) -> bool {
        self.consumed.is_empty()
    }

    /// Whether entries may be committed without waiting for the disk.
    pub(super) fn takes(&self, entries: &[Entry]) -> bool {
        let mut sources = self.sources.clone();
        let follows = |entry: &Entry| match (entry.session, source(entry)) {
            (Some(session), Some(runner)) => *sources.entry(session).or_insert(runner) == runner,
            (Some(_) | None, _) => false,
        };
        self.bytes < limits::VOLATILE.0 && !entries.is_empty() && entries.iter().all(follows)
    }

    /// Remembers entries that were committed without waiting, and the batch that they became.
    pub(super) fn add(&mut self, entries: &[Entry], batch: WriteBatch) {
        self.sources.extend(entries.iter().filter_map(|entry| Some((entry.session?, source(entry)?))));
        for change in batch.changes {
            if let Change::Consume { runner, .. } = &change {
                self.consumed.insert(*runner, change);
            }
        }
        self.bytes += batch.frames.iter().map(|frame| frame.body.len()).sum::<usize>();
        self.frames.extend(batch.frames);
    }

    /// All of it is on disk.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// How far the journals were taken in.
    pub(super) fn consumed(&self) -> Vec<Change> {
        self.consumed.values().cloned().collect()
    }

    /// What has to be so for a batch behind these to be the truth: that the database still has all of them.
    pub(super) fn expected(&self) -> impl Iterator<Item = Change> {
        let mut last = BTreeMap::new();
        last.extend(self.frames.iter().map(|frame| (frame.session_id, frame.seq)));
        last.into_iter().map(|(session, through)| Change::ExpectFrames { session, through })
    }

    pub(super) fn sessions(&self) -> Vec<SessionId> {
        self.sources.keys().copied().collect()
    }

    /// The frame with this number.
    pub(super) fn frame(&self, session: SessionId, seq: Seq) -> Option<StoredFrame> {
        self.frames.iter().find(|frame| frame.session_id == session && frame.seq == seq).cloned()
    }

    /// The session's frames behind `after`.
    pub(super) fn frames_after(&self, session: SessionId, after: Seq) -> Vec<StoredFrame> {
        let lost = |frame: &&StoredFrame| frame.session_id == session && frame.seq > after;
        self.frames.iter().filter(lost).cloned().collect()
    }
}

/// The runner whose journal would make this entry again, if there is one: nothing but frames, and how far they reach.
fn source(entry: &Entry) -> Option<RunnerId> {
    match entry.changes[..] {
        [Change::Consume { runner, .. }] => Some(runner),
        _ => None,
    }
}
