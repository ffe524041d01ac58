//! What every handler has at hand.

use std::sync::Arc;

use boocoder_backend::Environment;
use boocoder_dispatch::Dispatcher;
use boocoder_store::Store;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::auth::Access;
use crate::limits::ServerLimits;
use crate::metrics::Metrics;

/// The state behind the routes. Clones share it.
#[derive(Clone)]
pub struct App(Arc<Inner>);

struct Inner {
    dispatcher: Dispatcher,
    access: Access,
    limits: ServerLimits,
    environment: Environment,
    sockets: Arc<Semaphore>,
    stop: CancellationToken,
    tracker: TaskTracker,
    metrics: Option<Metrics>,
}

impl App {
    /// The state of a server over this dispatcher. Agents' programs are looked for in `environment`.
    pub fn new(dispatcher: Dispatcher, access: Access, limits: ServerLimits, environment: Environment) -> Self {
        let sockets = Arc::new(Semaphore::new(limits.sockets));
        let (stop, tracker) = (CancellationToken::new(), TaskTracker::new());
        let metrics = None;
        Self(Arc::new(Inner { dispatcher, access, limits, environment, sockets, stop, tracker, metrics }))
    }

    /// The same, with what this process counts.
    #[must_use]
    pub fn counted_by(mut self, metrics: Option<Metrics>) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.0) {
            inner.metrics = metrics;
        }
        self
    }

    /// What this process counts, in the form that Prometheus reads, if it counts.
    pub fn metrics(&self) -> Option<String> {
        self.0.metrics.as_ref().map(Metrics::render)
    }

    /// What carries requests out.
    pub fn dispatcher(&self) -> &Dispatcher {
        &self.0.dispatcher
    }

    /// What is kept, for reading.
    pub fn store(&self) -> &dyn Store {
        self.0.dispatcher.store().as_ref()
    }

    /// Who may ask.
    pub fn access(&self) -> &Access {
        &self.0.access
    }

    /// What is waited for and taken at most.
    pub fn limits(&self) -> &ServerLimits {
        &self.0.limits
    }

    /// The environment that agents get their part of.
    pub fn environment(&self) -> &Environment {
        &self.0.environment
    }

    /// One permit for each WebSocket that may be open.
    pub(crate) fn sockets(&self) -> &Arc<Semaphore> {
        &self.0.sockets
    }

    /// Cancelled when the server goes; WebSockets say good-bye then.
    pub fn stop(&self) -> &CancellationToken {
        &self.0.stop
    }

    /// Counts the WebSockets that are open, so that the server can wait for them.
    pub fn tracker(&self) -> &TaskTracker {
        &self.0.tracker
    }
}
