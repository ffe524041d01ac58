//! The one writer: gives frames their numbers, commits them in groups together with the state that they tell of, and
//! shows them once they are committed. `docs/decisions/0001-one-log-one-writer.md` tells why and what happens on each failure.

#[cfg(test)]
mod faulty;
mod mend;
#[cfg(test)]
mod mend_tests;
#[cfg(test)]
mod tests;
mod volatile;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use boocoder_model::{Seq, SessionId};
use boocoder_store::{Change, ReadBudget, Store, StoreError, StoredFrame, WriteBatch};
use boocoder_wire::Frame;
use tokio::sync::{mpsc, oneshot};

use self::mend::Found;
use self::volatile::Volatile;
use crate::broker::Broker;
use crate::lease::Standing;
use crate::{counters, limits};

/// What is written together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Entry {
    /// The session whose frames these are; without one the frames have nowhere to go and are not written.
    pub(crate) session: Option<SessionId>,
    pub(crate) changes: Vec<Change>,
    pub(crate) frames: Vec<Frame>,
}

type Done = oneshot::Sender<Result<(), StoreError>>;

/// An entry on its way to the writer.
pub(crate) struct Queued {
    entry: Entry,
    done: Option<Done>,
}

/// The way to the writer.
#[derive(Clone)]
pub(crate) struct Log {
    queue: mpsc::Sender<Queued>,
    heads: Heads,
}

/// The last committed number of each session that was written to.
type Heads = Arc<Mutex<BTreeMap<SessionId, Seq>>>;

impl Log {
    /// Starts the writer. It ends when every `Log` is gone and all that was queued is written.
    pub(crate) fn start(
        store: Arc<dyn Store>,
        broker: Broker,
        standing: Standing,
    ) -> (Self, tokio::task::JoinHandle<()>) {
        let (queue, inbox) = mpsc::channel(limits::LOG_QUEUE);
        let heads = Heads::default();
        let writer = Writer { store, broker, standing, heads: Arc::clone(&heads), volatile: Volatile::default() };
        (Self { queue, heads }, tokio::spawn(writer.run(inbox)))
    }

    /// Writes an entry and waits until it is on disk.
    pub(crate) async fn write(&self, entry: Entry) -> Result<(), StoreError> {
        let (queued, done) = Queued::acknowledged(entry);
        if self.queue.send(queued).await.is_err() {
            return Err(gone());
        }
        done.await.unwrap_or_else(|_| Err(gone()))
    }

    /// Waits for room; what is sent through the permit is written in that order.
    pub(crate) async fn reserve(&self) -> Option<mpsc::Permit<'_, Queued>> {
        self.queue.reserve().await.ok()
    }

    /// Waits until all that was written before is on disk.
    pub(crate) async fn flush(&self) -> Result<(), StoreError> {
        self.write(Entry::default()).await
    }

    /// The last number of a session that is known to be committed: a lower bound.
    pub(crate) fn head(&self, session: SessionId) -> Seq {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner).get(&session).copied().unwrap_or(Seq::ZERO)
    }
}

impl Queued {
    /// An entry whose commit nobody waits for.
    pub(crate) const fn silent(entry: Entry) -> Self {
        Self { entry, done: None }
    }

    /// An entry, and what will tell that it is committed.
    pub(crate) fn acknowledged(entry: Entry) -> (Self, oneshot::Receiver<Result<(), StoreError>>) {
        let (done, receiver) = oneshot::channel();
        (Self { entry, done: Some(done) }, receiver)
    }
}

/// The error of a writer that has ended.
pub(crate) fn gone() -> StoreError {
    StoreError::Unreachable("the log's writer has ended".into())
}

struct Writer {
    store: Arc<dyn Store>,
    broker: Broker,
    standing: Standing,
    heads: Heads,
    /// What was shown and may not be on disk yet.
    volatile: Volatile,
}

impl Writer {
    async fn run(mut self, mut inbox: mpsc::Receiver<Queued>) {
        let mut group = Vec::with_capacity(limits::LOG_GROUP);
        loop {
            let received = inbox.recv_many(&mut group, limits::LOG_GROUP);
            let count = if self.volatile.is_empty() {
                received.await
            } else {
                match tokio::time::timeout(limits::VOLATILE.1, received).await {
                    Ok(count) => count,
                    Err(_) => {
                        self.flush().await;
                        continue;
                    }
                }
            };
            if count == 0 {
                return self.flush().await;
            }
            let (entries, dones): (Vec<_>, Vec<_>) = group.drain(..).map(|queued| (queued.entry, queued.done)).unzip();
            match self.commit(&entries).await {
                Ok(()) => dones.into_iter().for_each(|done| tell(done, Ok(()))),
                // None of them is taken from a server that is fenced off.
                Err(error) if entries.len() == 1 || self.standing.is_fenced_off() => {
                    dones.into_iter().for_each(|done| refused(done, &error));
                }
                // One of them does not fit; each is tried alone, so that only that one is refused.
                Err(_) => {
                    for (entry, done) in entries.into_iter().zip(dones) {
                        match self.commit(std::slice::from_ref(&entry)).await {
                            Ok(()) => tell(done, Ok(())),
                            Err(error) => refused(done, &error),
                        }
                    }
                }
            }
        }
    }

    /// Commits entries as one transaction and shows their frames. An unreachable database is waited for.
    async fn commit(&mut self, entries: &[Entry]) -> Result<(), StoreError> {
        let writer = self.standing.writer();
        // Where others give numbers, too, those of frames that are shown must be on disk.
        let durable = writer.is_some() || !self.volatile.takes(entries);
        let mut changes: Vec<_> = entries.iter().flat_map(|entry| entry.changes.iter().cloned()).collect();
        if durable {
            // It puts on disk what was volatile, if that is still there.
            changes.extend(self.volatile.expected());
        }
        let frames = self.number(entries).await?;
        let mut batch = WriteBatch { changes, frames, durable, writer };
        for _ in 0..limits::RENUMBERINGS {
            let result = self.put(&batch).await;
            let found = match &result {
                Ok(()) => Found::Written,
                Err(error) => self.mend(&batch.frames, error).await.inspect_err(|error| self.standing.note(error))?,
            };
            match found {
                Found::Written => {
                    self.committed(entries, batch);
                    return Ok(());
                }
                Found::AsThought => return result.inspect_err(|error| self.standing.note(error)),
                Found::Elsewhere => batch.frames = self.number(entries).await?,
            }
        }
        Err(StoreError::Conflict { what: "frame", detail: "others write to its session all the time".to_owned() })
    }

    /// Shows what is committed.
    fn committed(&mut self, entries: &[Entry], batch: WriteBatch) {
        let durable = batch.durable;
        self.show(&batch.frames);
        if durable {
            self.volatile.clear();
        } else {
            self.volatile.add(entries, batch);
        }
    }

    /// Puts all that was shown on disk.
    async fn flush(&mut self) {
        if self.volatile.is_empty() {
            return;
        }
        let changes = self.volatile.consumed().into_iter().chain(self.volatile.expected()).collect();
        let batch = WriteBatch { changes, frames: Vec::new(), durable: true, writer: self.standing.writer() };
        match self.put(&batch).await {
            Ok(()) => self.volatile.clear(),
            Err(error) => tracing::error!(%error, "what was shown could not be put on disk; it is tried again"),
        }
    }

    /// Writes one batch. An unreachable database is waited for; what it lost of the volatile batches is written first.
    async fn put(&mut self, batch: &WriteBatch) -> Result<(), StoreError> {
        let mut pause = limits::RETRY_PAUSE.0;
        loop {
            let error = match self.store.commit(batch.clone()).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            if error.is_transient() {
                tracing::warn!(%error, "the database cannot be reached; trying again");
                wait(&mut pause).await;
                if self.is_committed(&batch.frames).await? {
                    return Ok(());
                }
            }
            let restored = self.restore().await?;
            if !restored && !error.is_transient() {
                return Err(error);
            }
        }
    }

    /// Writes again what the database lost in a crash of its own of what it had taken. Says whether there was such.
    async fn restore(&mut self) -> Result<bool, StoreError> {
        let mut lost = Vec::new();
        for session in self.volatile.sessions() {
            let stored = self.stored_seq(session).await?;
            let frames = self.volatile.frames_after(session, stored);
            if let Some(first) = frames.first().filter(|first| first.seq > stored.next()) {
                self.refill(session, stored, Seq(first.seq.0 - 1)).await?;
            }
            lost.extend(frames);
        }
        if lost.is_empty() {
            return Ok(false);
        }
        counters::restored(lost.len());
        tracing::warn!(frames = lost.len(), "the database lost frames that were shown; they are written again");
        let (changes, writer) = (self.volatile.consumed(), self.standing.writer());
        self.insist(&WriteBatch { changes, frames: lost, durable: true, writer }).await?;
        self.volatile.clear();
        Ok(true)
    }

    fn show(&self, frames: &[StoredFrame]) {
        {
            let mut heads = self.heads.lock().unwrap_or_else(PoisonError::into_inner);
            heads.extend(frames.iter().map(|frame| (frame.session_id, frame.seq)));
        }
        self.broker.publish(frames);
    }

    /// Gives the entries' frames the numbers that follow on, and encodes them.
    async fn number(&self, entries: &[Entry]) -> Result<Vec<StoredFrame>, StoreError> {
        let mut next: BTreeMap<SessionId, Seq> = BTreeMap::new();
        let mut frames = Vec::with_capacity(entries.iter().map(|entry| entry.frames.len()).sum());
        for entry in entries.iter().filter(|entry| !entry.frames.is_empty()) {
            let Some(session_id) = entry.session else { continue };
            if let std::collections::btree_map::Entry::Vacant(unknown) = next.entry(session_id) {
                unknown.insert(self.last_seq(session_id).await?);
            }
            let Some(seq) = next.get_mut(&session_id) else { continue };
            for frame in &entry.frames {
                *seq = seq.next();
                frames.push(StoredFrame { session_id, seq: *seq, body: frame.encode(*seq).into() });
            }
        }
        // Runs of one session are shown together; a stable sort keeps each session's order.
        frames.sort_by_key(|frame| frame.session_id);
        Ok(frames)
    }

    async fn last_seq(&self, session: SessionId) -> Result<Seq, StoreError> {
        match self.shown(session) {
            Some(seq) => Ok(seq),
            None => self.stored_seq(session).await,
        }
    }

    /// The last number of the session that was given away, as far as this writer knows.
    fn shown(&self, session: SessionId) -> Option<Seq> {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner).get(&session).copied()
    }

    /// The session's log ends there, by whoever wrote it.
    fn remember(&self, session: SessionId, last: Seq) {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner).insert(session, last);
    }

    /// The session's last number as the database has it, waiting for a database that is unreachable.
    async fn stored_seq(&self, session: SessionId) -> Result<Seq, StoreError> {
        let mut pause = limits::RETRY_PAUSE.0;
        loop {
            match self.store.last_seq(session).await {
                Err(error) if error.is_transient() => wait(&mut pause).await,
                result => return result,
            }
        }
    }

    /// After a failure that left it open: whether this very group was committed after all.
    async fn is_committed(&self, frames: &[StoredFrame]) -> Result<bool, StoreError> {
        let Some(last) = frames.last() else { return Ok(false) };
        // That there is a frame under its number says nothing: it has to be this one.
        let before = Seq(last.seq.0.saturating_sub(1));
        let one = ReadBudget { frames: 1, bytes: 0 };
        let mut pause = limits::RETRY_PAUSE.0;
        loop {
            match self.store.frames_after(last.session_id, before, one).await {
                Err(error) if error.is_transient() => wait(&mut pause).await,
                found => return Ok(found?.first() == Some(last)),
            }
        }
    }
}

async fn wait(pause: &mut Duration) {
    tokio::time::sleep(*pause).await;
    *pause = (*pause * 2).min(limits::RETRY_PAUSE.1);
}

fn tell(done: Option<Done>, result: Result<(), StoreError>) {
    if let Some(done) = done {
        // Whoever waited may have gone; what was to be written is written.
        let _ = done.send(result);
    }
}

fn refused(done: Option<Done>, error: &StoreError) {
    let Some(done) = done else {
        counters::refused();
        tracing::error!(%error, "an entry of the log was refused");
        return;
    };
    let copy = match error {
        StoreError::Conflict { what, detail } => StoreError::Conflict { what, detail: detail.clone() },
        StoreError::FencedOff => StoreError::FencedOff,
        StoreError::Corrupt { .. }
        | StoreError::Unreachable(_)
        | StoreError::Driver(_)
        | StoreError::Migration(_)
        | StoreError::TooOld { .. } => StoreError::Driver(error.to_string().into()),
    };
    tell(Some(done), Err(copy));
}
