//! From the journal to the consumer, at the consumer's pace.

use boocoder_model::Position;
use tokio::sync::{mpsc, watch};

use crate::limits::FEED_BATCH;
use crate::runner::journal::{JournalError, Reader};
use crate::runner::record::{Entry, Record};
use crate::{Delivery, SessionEvent};

/// How far there is something to read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Progress {
    /// The runner lives and has written all up to this record.
    Written(Position),
    /// The runner has died: everything that can be read counts, and then these records.
    Ended(Vec<Record>),
    /// Another server reads on.
    Replaced,
}

/// Reads the journal of one runner.
pub(crate) struct Feed {
    reader: Option<Reader>,
    progress: watch::Receiver<Progress>,
    events: mpsc::Sender<Delivery>,
}

impl Feed {
    pub(crate) fn new(reader: Reader, progress: watch::Receiver<Progress>, events: mpsc::Sender<Delivery>) -> Self {
        Self { reader: Some(reader), progress, events }
    }

    /// Delivers events to the last one, or for as long as somebody takes them.
    pub(crate) async fn run(mut self) {
        loop {
            let progress = self.progress.borrow_and_update().clone();
            let upto = match &progress {
                Progress::Written(upto) => Some(*upto),
                Progress::Ended(_) => None,
                Progress::Replaced => return,
            };
            match self.read(upto).await {
                Err(error) => return self.lose(&error).await,
                Ok(records) if !records.is_empty() => {
                    if !self.deliver(records).await {
                        return;
                    }
                    continue;
                }
                Ok(_) => {}
            }
            if let Progress::Ended(ending) = progress {
                self.deliver(ending).await;
                return;
            }
            let changed = tokio::select! {
                changed = self.progress.changed() => changed.is_ok(),
                () = self.events.closed() => false,
            };
            if !changed {
                return;
            }
        }
    }

    async fn read(&mut self, upto: Option<Position>) -> Result<Vec<Record>, JournalError> {
        let Some(mut reader) = self.reader.take() else { return Ok(Vec::new()) };
        let reading = tokio::task::spawn_blocking(move || {
            let records = reader.read(upto, FEED_BATCH);
            (reader, records)
        });
        // A runtime that goes down reads nothing more.
        let Ok((reader, records)) = reading.await else { return Ok(Vec::new()) };
        self.reader = Some(reader);
        records
    }

    /// Delivers the events among the records. Says whether there is more to come.
    async fn deliver(&self, records: Vec<Record>) -> bool {
        for Record { n, entry } in records {
            let event = match entry {
                Entry::Event(event) => event,
                Entry::Sent(_) | Entry::Opened(_) | Entry::Refused(_) | Entry::State(_) => continue,
            };
            let is_last = matches!(event, SessionEvent::Exited { .. });
            if self.events.send(Delivery { position: Some(n), event }).await.is_err() || is_last {
                return false;
            }
        }
        true
    }

    /// The journal cannot be read on, so nobody will ever know what else happened.
    async fn lose(&self, error: &JournalError) {
        tracing::error!(%error, "a journal cannot be read");
        let position = self.reader.as_ref().map(|reader| reader.last().next());
        let event =
            SessionEvent::Exited { status: format!("its journal cannot be read: {error}"), stderr: String::new() };
        let _ = self.events.send(Delivery { position, event }).await;
    }
}
