//! What is done when the log of a session does not end where the writer thought that it does.
//!
//! A number that was shown is never given to other content, so it matters which of the two is behind. Where the database has
//! more than was shown here, somebody else wrote it, or a batch was written that was said not to be: nothing of it was
//! shown, so the writer goes on behind it. Where it has less, it lost what it had promised to keep. Then the numbers that
//! were shown are filled: with the frames themselves as far as they are still in memory, else with a `resync`, which tells
//! whoever reads them to fetch the state. Either way the next entry is written.

use boocoder_model::{Seq, SessionId};
use boocoder_store::{StoreError, StoredFrame, WriteBatch};
use boocoder_wire::{Frame, FrameBody};

use super::{Writer, wait};
use crate::{counters, limits};

/// What was found where frames were refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The numbers are right; something else is wrong with them.
    AsThought,
    /// The log ended elsewhere. They are to be numbered anew.
    Elsewhere,
    /// They are there: whoever said that they were not was wrong.
    Written,
}

impl Writer {
    /// Looks where the logs of the frames' sessions end, after they were refused, and sees to it that they end where this
    /// writer goes on.
    pub(super) async fn mend(&mut self, frames: &[StoredFrame], error: &StoreError) -> Result<Found, StoreError> {
        if !matches!(error, StoreError::Conflict { what: "frame", .. }) {
            return Ok(Found::AsThought);
        }
        let is_alone = self.standing.writer().is_none();
        if is_alone && self.is_committed(frames).await? {
            tracing::error!("a batch was written though the database had said that it was not");
            counters::strayed();
            return Ok(Found::Written);
        }
        let mut found = Found::AsThought;
        for run in frames.chunk_by(|a, b| a.session_id == b.session_id) {
            let Some(first) = run.first() else { continue };
            let session = first.session_id;
            let stored = self.stored_seq(session).await?;
            if stored.next() == first.seq {
                continue;
            }
            found = Found::Elsewhere;
            match self.shown(session) {
                Some(shown) if stored < shown => self.refill(session, stored, shown).await?,
                shown => {
                    if is_alone {
                        let shown = shown.unwrap_or(Seq::ZERO);
                        tracing::error!(%session, %stored, %shown, "a log has frames that this server did not write");
                        counters::strayed();
                    }
                    self.remember(session, stored);
                }
            }
        }
        Ok(found)
    }

    /// Fills the numbers after `stored` up to `shown`, which were shown and which the database does not have.
    pub(super) async fn refill(&self, session: SessionId, stored: Seq, shown: Seq) -> Result<(), StoreError> {
        tracing::error!(%session, %stored, %shown, "the database lost frames that it had said were on disk");
        let mut after = stored;
        while after < shown {
            let last = Seq(shown.0.min(after.0 + limits::REFILL));
            let frames: Vec<_> = (after.0 + 1..=last.0).map(|seq| self.recall(session, Seq(seq))).collect();
            let count = frames.len();
            let writer = self.standing.writer();
            self.insist(&WriteBatch { changes: Vec::new(), frames, durable: true, writer }).await?;
            counters::lost(count);
            after = last;
        }
        Ok(())
    }

    /// What was shown under a number, or what stands for it if nobody knows.
    fn recall(&self, session_id: SessionId, seq: Seq) -> StoredFrame {
        let known = self.volatile.frame(session_id, seq).or_else(|| self.broker.recall(session_id, seq));
        known.unwrap_or_else(|| {
            let reason = "the database lost what stood here".to_owned();
            let body = Frame::of_session(FrameBody::Resync { reason }).encode(seq).into();
            StoredFrame { session_id, seq, body }
        })
    }

    /// Writes one batch as it is. An unreachable database is waited for.
    pub(super) async fn insist(&self, batch: &WriteBatch) -> Result<(), StoreError> {
        let mut pause = limits::RETRY_PAUSE.0;
        loop {
            match self.store.commit(batch.clone()).await {
                Err(error) if error.is_transient() => {
                    wait(&mut pause).await;
                    if self.is_committed(&batch.frames).await? {
                        return Ok(());
                    }
                }
                result => return result,
            }
        }
    }
}
