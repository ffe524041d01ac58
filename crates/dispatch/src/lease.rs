//! This server among others on one store: under which fence it writes, and how it keeps its lease.
//! `docs/decisions/0005-two-servers-one-database.md` tells why and what happens on each failure.

use std::sync::Arc;
use std::time::Duration;

use boocoder_model::ServerId;
use boocoder_store::{Store, StoreError, Writer};
use jiff::Timestamp;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::env;
use crate::limits::DispatchLimits;

/// Under which fence this server writes, and whether it still may. The default is a server that has the store for itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Standing {
    writer: Option<Writer>,
    fenced_off: CancellationToken,
}

impl Standing {
    pub(crate) fn of(writer: Writer) -> Self {
        Self { writer: Some(writer), fenced_off: CancellationToken::new() }
    }

    /// Who writes, if the store is shared.
    pub(crate) const fn writer(&self) -> Option<Writer> {
        self.writer
    }

    /// Takes in what the store said: once it has refused one write because of the fence, it refuses all.
    pub(crate) fn note(&self, error: &StoreError) {
        if matches!(error, StoreError::FencedOff) && !self.fenced_off.is_cancelled() {
            tracing::error!("{error}: nothing more is written, claimed or closed");
            self.fenced_off.cancel();
        }
    }

    pub(crate) fn is_fenced_off(&self) -> bool {
        self.fenced_off.is_cancelled()
    }

    /// Waits until this server is fenced off; for ever if it has the store for itself.
    pub(crate) async fn fenced_off(&self) {
        self.fenced_off.cancelled().await;
    }
}

/// A lease that is renewed until it is dropped or ended.
pub(crate) struct Lease {
    store: Arc<dyn Store>,
    standing: Standing,
    length: Duration,
    well_since: watch::Receiver<Timestamp>,
    ended: CancellationToken,
    _ends: DropGuard,
}

impl Lease {
    /// Registers the server and renews its lease from now on.
    pub(crate) async fn begin(
        store: &Arc<dyn Store>,
        server: ServerId,
        limits: &DispatchLimits,
    ) -> Result<Self, StoreError> {
        let fence = store.register(server, limits.lease, env::now()).await?;
        let writer = Writer { server, fence };
        tracing::info!(%server, %fence, "registered among the servers of this database");
        let standing = Standing::of(writer);
        let (well, well_since) = watch::channel(Timestamp::UNIX_EPOCH);
        let ended = CancellationToken::new();
        let renewals = renew(Arc::clone(store), writer, standing.clone(), limits.clone(), well);
        let until = ended.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = until.cancelled() => {}
                () = renewals => {}
            }
        });
        let (store, length) = (Arc::clone(store), limits.lease);
        Ok(Self { store, standing, length, well_since, _ends: ended.clone().drop_guard(), ended })
    }

    pub(crate) fn standing(&self) -> Standing {
        self.standing.clone()
    }

    /// Is cancelled when the lease is not renewed any more.
    pub(crate) fn ended(&self) -> CancellationToken {
        self.ended.clone()
    }

    /// The time since which this server may judge others: after a time without the database they are given as long as a
    /// lease to renew theirs.
    pub(crate) fn well_since(&self) -> watch::Receiver<Timestamp> {
        self.well_since.clone()
    }

    /// Renews it no more. What is left is another server's at once.
    pub(crate) async fn release(&self) {
        self.end(Duration::ZERO).await;
    }

    /// Renews it once more and then no more. What is left waits that long for this server to come back.
    pub(crate) async fn leave(&self) {
        self.end(self.length).await;
    }

    async fn end(&self, length: Duration) {
        self.ended.cancel();
        if let Some(writer) = self.standing.writer
            && let Err(error) = self.store.renew(writer, length, env::now()).await
        {
            tracing::debug!(%error, "the lease ends when it would have");
        }
    }
}

async fn renew(
    store: Arc<dyn Store>,
    writer: Writer,
    standing: Standing,
    limits: DispatchLimits,
    well: watch::Sender<Timestamp>,
) {
    let mut last = env::now();
    while !standing.is_fenced_off() {
        tokio::time::sleep(limits.between_renewals()).await;
        let renewed = store.renew(writer, limits.lease, env::now()).await;
        let now = env::now();
        let ends = last.checked_add(limits.lease).unwrap_or(Timestamp::MAX);
        if let Err(error) = &renewed {
            standing.note(error);
            tracing::warn!(%error, "the lease of this server was not renewed");
        }
        if renewed.is_err() || ends < now {
            // The database was away, or this machine slept: the others may have had no better time of it.
            well.send_replace(now.checked_add(limits.lease).unwrap_or(Timestamp::MAX));
        }
        if renewed.is_ok() {
            last = now;
        }
    }
}
