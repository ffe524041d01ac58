//! What a server does for and because of the others on its store: it takes over from those that have gone, and acts on
//! what it hears from those that are there.

use std::sync::Arc;

use boocoder_model::{Runner, SessionId};
use boocoder_store::{About, News, Store, StoreError, Writer};
use jiff::Timestamp;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::broker::Broker;
use crate::env;
use crate::lease::{Lease, Standing};
use crate::limits::{self, DispatchLimits};
use crate::log::Log;
use crate::scheduler::Request;
use crate::takeover::{Estate, take_over};
use crate::workspace::Workspaces;

/// What it works with. It does not keep the dispatcher alive.
#[derive(Clone)]
pub(crate) struct Keeper {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) log: Log,
    pub(crate) broker: Broker,
    pub(crate) workspaces: Workspaces,
    pub(crate) requests: mpsc::WeakSender<Request>,
    pub(crate) standing: Standing,
    pub(crate) limits: DispatchLimits,
}

impl Keeper {
    /// Starts to listen and to look, until the lease is not renewed any more.
    pub(crate) fn start(self, lease: &Lease, writer: Writer, news: broadcast::Receiver<News>) {
        let (left, estates) = mpsc::channel(limits::COMMAND_QUEUE);
        let well_since = lease.well_since();
        until(lease.ended(), self.clone().watch(writer, well_since, left));
        until(lease.ended(), self.clone().settle(writer, estates));
        until(lease.ended(), self.listen(writer, news));
    }

    /// Looks from time to time whether a server has gone. To settle what it left may take long, and is done elsewhere.
    async fn watch(self, writer: Writer, well_since: watch::Receiver<Timestamp>, left: mpsc::Sender<Vec<Runner>>) {
        while !self.standing.is_fenced_off() {
            tokio::time::sleep(self.limits.between_renewals()).await;
            if env::now() < *well_since.borrow() {
                continue;
            }
            match take_over(&self.store, writer).await {
                Ok(ended) => drop(left.send(ended).await),
                Err(error) => {
                    self.standing.note(&error);
                    tracing::warn!(%error, "whether other servers have gone could not be seen; trying again");
                }
            }
        }
    }

    async fn settle(self, writer: Writer, mut estates: mpsc::Receiver<Vec<Runner>>) {
        while let Some(ended) = estates.recv().await {
            let estate = Estate { store: &self.store, log: &self.log, workspaces: &self.workspaces };
            if let Err(error) = estate.settle(writer, &ended).await {
                tracing::warn!(%error, "what a server left could not be settled; trying again");
            }
        }
    }

    async fn listen(self, writer: Writer, mut news: broadcast::Receiver<News>) {
        // What was said before this listened was not heard.
        let mut heard = vec![News::Missed];
        loop {
            for told in std::mem::take(&mut heard) {
                if let Err(error) = self.act(writer, told).await {
                    tracing::warn!(%error, ?told, "what another server wrote could not be looked at");
                }
            }
            heard.push(match news.recv().await {
                Ok(told) => told,
                Err(RecvError::Lagged(_)) => News::Missed,
                Err(RecvError::Closed) => return,
            });
            // A log that grows fast is looked at once.
            while let Ok(told) = news.try_recv() {
                if !heard.contains(&told) {
                    heard.push(told);
                }
            }
        }
    }

    async fn act(&self, writer: Writer, told: News) -> Result<(), StoreError> {
        let about = match told {
            News::Missed => return self.catch_up(writer).await,
            News::Written { by, .. } if by == writer.server => return Ok(()),
            News::Written { about, .. } => about,
        };
        match about {
            About::Frames(session) => return self.broker.look(session).await,
            About::SessionRemoved(session) => {
                self.broker.end(session);
                self.request(Request::CloseRemoved).await;
            }
            About::ChatRemoved(_) => self.request(Request::CloseRemoved).await,
            About::CancelRequested(task) => self.request(Request::Cancel(task)).await,
            About::Wished(_) => return self.carry_out_wishes(writer).await,
        }
        Ok(())
    }

    /// Looks at everything that may have been told.
    async fn catch_up(&self, writer: Writer) -> Result<(), StoreError> {
        for session in self.broker.watched() {
            self.look(session).await?;
        }
        for task in self.store.owned(writer.server).await?.running {
            if task.cancel_requested.is_some() {
                self.request(Request::Cancel(task.id)).await;
            }
        }
        self.request(Request::CloseRemoved).await;
        self.carry_out_wishes(writer).await
    }

    async fn look(&self, session: SessionId) -> Result<(), StoreError> {
        self.broker.look(session).await?;
        if self.store.session(session).await?.is_none() {
            self.broker.end(session);
        }
        Ok(())
    }

    /// Hands answers that were given to other servers to the lanes that asked.
    async fn carry_out_wishes(&self, writer: Writer) -> Result<(), StoreError> {
        for wish in self.store.wishes(writer.server).await? {
            let Some(asked) = self.store.interaction(wish.interaction_id).await? else { continue };
            // Whoever answered sees in the store what comes of it.
            let (reply, _) = oneshot::channel();
            self.request(Request::Answer(Box::new(asked), wish.outcome.into(), reply)).await;
        }
        Ok(())
    }

    async fn request(&self, request: Request) {
        if let Some(requests) = self.requests.upgrade() {
            // A scheduler that has gone is shutting down.
            let _ = requests.send(request).await;
        }
    }
}

fn until(ended: CancellationToken, work: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(async move {
        tokio::select! {
            () = ended.cancelled() => {}
            () = work => {}
        }
    });
}
