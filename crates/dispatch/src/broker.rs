//! Fans frames out to any number of clients.
//!
//! The log is the truth. What is published here wakes the clients of a session and fills a small ring in memory, so that
//! a client that keeps up never reads the database; one that lags or reconnects is healed from the log, at its own pace.
//! Nothing is queued for a client, so a slow one costs no memory and misses nothing.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use boocoder_model::{Seq, SessionId};
use boocoder_store::{ReadBudget, Store, StoreError, StoredFrame};
use boocoder_wire::{Frame, FrameBody};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::limits;

/// Frames on their way to clients.
#[derive(Clone)]
pub struct Broker {
    hubs: Arc<Mutex<BTreeMap<SessionId, Weak<Hub>>>>,
    store: Arc<dyn Store>,
    closed: CancellationToken,
}

/// One session that somebody watches.
struct Hub {
    ring: Mutex<Ring>,
    head: watch::Sender<Seq>,
    /// The session was removed: whoever watches it is let go.
    ended: CancellationToken,
}

#[derive(Default)]
struct Ring {
    frames: VecDeque<StoredFrame>,
    bytes: usize,
}

impl Broker {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self { hubs: Arc::default(), store, closed: CancellationToken::new() }
    }

    /// Shows committed frames, in order, to whoever watches their sessions.
    pub(crate) fn publish(&self, frames: &[StoredFrame]) {
        for run in frames.chunk_by(|a, b| a.session_id == b.session_id) {
            let Some(first) = run.first() else { continue };
            let hub = lock(&self.hubs).get(&first.session_id).and_then(Weak::upgrade);
            if let Some(hub) = hub {
                hub.publish(run);
            }
        }
    }

    /// A frame that was shown, if it is still in memory.
    pub(crate) fn recall(&self, session: SessionId, seq: Seq) -> Option<StoredFrame> {
        let hub = lock(&self.hubs).get(&session).and_then(Weak::upgrade)?;
        let frames = lock(&hub.ring).after(Seq(seq.0.checked_sub(1)?), ReadBudget { frames: 1, bytes: 0 })?;
        frames.into_iter().next()
    }

    /// Another server wrote to a session: whoever watches it here is shown what is new in the log.
    pub(crate) async fn look(&self, session: SessionId) -> Result<(), StoreError> {
        let hub = lock(&self.hubs).get(&session).and_then(Weak::upgrade);
        if let Some(hub) = hub {
            let last = self.store.last_seq(session).await?;
            hub.head.send_if_modified(|head| raise(head, last));
        }
        Ok(())
    }

    /// The sessions that somebody watches.
    pub(crate) fn watched(&self) -> Vec<SessionId> {
        lock(&self.hubs).iter().filter(|(_, hub)| hub.strong_count() > 0).map(|(session, _)| *session).collect()
    }

    /// Watches a session from the frame after `after` on.
    ///
    /// # Errors
    /// Whatever the store says when it is asked where the log ends.
    pub async fn subscribe(&self, session: SessionId, after: Seq) -> Result<Subscription, StoreError> {
        let hub = self.hub(session);
        // Asked after the hub is there: what is committed from now on is published to it.
        let last = self.store.last_seq(session).await?;
        hub.head.send_if_modified(|head| raise(head, last));
        let head = hub.head.subscribe();
        let lost = after > *head.borrow() || after < self.store.log_floor(session).await?;
        let (store, closed) = (Arc::clone(&self.store), self.closed.clone());
        Ok(Subscription { session, after, lost, hub, head, store, closed })
    }

    /// Lets go whoever watches a session that was removed.
    pub(crate) fn end(&self, session: SessionId) {
        if let Some(hub) = lock(&self.hubs).remove(&session).and_then(|hub| hub.upgrade()) {
            hub.ended.cancel();
        }
    }

    /// Ends every subscription.
    pub(crate) fn close(&self) {
        self.closed.cancel();
    }

    fn hub(&self, session: SessionId) -> Arc<Hub> {
        let mut hubs = lock(&self.hubs);
        if let Some(hub) = hubs.get(&session).and_then(Weak::upgrade) {
            return hub;
        }
        hubs.retain(|_, hub| hub.strong_count() > 0);
        let ended = CancellationToken::new();
        let hub = Arc::new(Hub { ring: Mutex::default(), head: watch::Sender::new(Seq::ZERO), ended });
        hubs.insert(session, Arc::downgrade(&hub));
        hub
    }
}

impl Hub {
    fn publish(&self, run: &[StoredFrame]) {
        lock(&self.ring).extend(run);
        if let Some(last) = run.last() {
            self.head.send_if_modified(|head| raise(head, last.seq));
        }
    }
}

impl Ring {
    fn extend(&mut self, run: &[StoredFrame]) {
        // Frames of another server in between are in the log alone, and a ring has no hole.
        if self.frames.back().zip(run.first()).is_some_and(|(last, first)| last.seq.next() != first.seq) {
            *self = Self::default();
        }
        for frame in run {
            self.bytes += frame.body.len();
            self.frames.push_back(frame.clone());
        }
        while self.frames.len() > limits::RING.frames || (self.bytes > limits::RING.bytes && self.frames.len() > 1) {
            if let Some(old) = self.frames.pop_front() {
                self.bytes -= old.body.len();
            }
        }
    }

    /// The frames after `after`, at least one, if the ring holds them.
    fn after(&self, after: Seq, budget: ReadBudget) -> Option<Vec<StoredFrame>> {
        let first = self.frames.front()?.seq;
        let skip = usize::try_from(after.next().0.checked_sub(first.0)?).ok()?;
        let mut bytes = 0;
        let within = |frame: &&StoredFrame| {
            let fits = bytes == 0 || bytes + frame.body.len() <= budget.bytes;
            bytes += frame.body.len();
            fits
        };
        let frames: Vec<_> = self.frames.iter().skip(skip).take(budget.frames).take_while(within).cloned().collect();
        (!frames.is_empty()).then_some(frames)
    }
}

fn raise(head: &mut Seq, to: Seq) -> bool {
    let higher = to > *head;
    *head = to.max(*head);
    higher
}

/// A panic while the lock was held left data that is whole: every step under these locks is.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One client's view of a session: every frame after the one it named, once and in order.
pub struct Subscription {
    session: SessionId,
    after: Seq,
    /// The client named a frame that the log does not have, not yet or not any more.
    lost: bool,
    hub: Arc<Hub>,
    head: watch::Receiver<Seq>,
    store: Arc<dyn Store>,
    closed: CancellationToken,
}

impl Subscription {
    /// The next frames, at least one, consecutive, as many as are ready within the budget of one client; none once the
    /// session is removed or the server shuts down. Safe to drop and call again.
    ///
    /// A client that named a frame which the log does not have is told first, by a `resync` that carries the number of the
    /// last one; it goes on from there. So is one that has fallen behind what the log still holds.
    ///
    /// # Errors
    /// Whatever the store says; the call may be repeated.
    pub async fn next(&mut self) -> Result<Option<Vec<StoredFrame>>, StoreError> {
        if std::mem::take(&mut self.lost) {
            return Ok(Some(vec![self.resync()]));
        }
        loop {
            if self.after < *self.head.borrow_and_update() {
                let ring = lock(&self.hub.ring).after(self.after, limits::CLIENT_BATCH);
                let frames = match ring {
                    Some(frames) => frames,
                    None => self.store.frames_after(self.session, self.after, limits::CLIENT_BATCH).await?,
                };
                if frames.first().is_some_and(|first| first.seq != self.after.next()) {
                    return Ok(Some(vec![self.resync()]));
                }
                if let Some(last) = frames.last() {
                    self.after = last.seq;
                    return Ok(Some(frames));
                }
            }
            tokio::select! {
                changed = self.head.changed() => if changed.is_err() { return Ok(None) },
                () = self.hub.ended.cancelled() => return Ok(None),
                () = self.closed.cancelled() => return Ok(None),
            }
        }
    }

    /// Whether there are no more frames because the session was removed, and not because the server shuts down.
    pub fn is_session_removed(&self) -> bool {
        self.hub.ended.is_cancelled()
    }

    fn resync(&mut self) -> StoredFrame {
        let head = *self.head.borrow_and_update();
        let reason = if self.after > head {
            format!("there is no frame {} yet", self.after)
        } else {
            format!("what came after frame {} is not in the log any more", self.after)
        };
        self.after = head;
        let frame = Frame::of_session(FrameBody::Resync { reason });
        StoredFrame { session_id: self.session, seq: self.after, body: frame.encode(self.after).into() }
    }
}
