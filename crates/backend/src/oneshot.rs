//! One turn and out: for tasks that belong to no chat.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use boocoder_model::{Answer, DecidedBy, InteractionId, Position, TurnId};
use tokio::sync::mpsc;

use crate::limits::EVENT_QUEUE;
use crate::{AgentBackend, AgentSession, BackendError, OpenSpec, Opened, Prompt, Runners, SessionEvent, SessionInfo};

/// Runs each session for one turn: when the turn has ended, the session is closed. The events are those of the backend
/// that it wraps.
#[derive(Clone, Debug)]
pub struct OneshotBackend<B> {
    inner: B,
}

impl<B> OneshotBackend<B> {
    /// Wraps a backend.
    pub fn new(inner: B) -> Self {
        Self { inner }
    }
}

#[async_trait]
impl<B: AgentBackend> AgentBackend for OneshotBackend<B> {
    async fn open(&self, spec: OpenSpec) -> Result<Opened, BackendError> {
        let Opened { session, events: mut inner } = self.inner.open(spec).await?;
        let (events_tx, events) = mpsc::channel(EVENT_QUEUE);
        let closing = Arc::clone(&session);
        tokio::spawn(async move {
            loop {
                // Without a consumer the inner one is dropped too, which ends the session.
                let event = tokio::select! {
                    event = inner.recv() => event,
                    () = events_tx.closed() => return,
                };
                let Some(event) = event else { return };
                let is_end = matches!(event.event, SessionEvent::TurnEnded { .. });
                if events_tx.send(event).await.is_err() {
                    return;
                }
                if is_end {
                    let closing = Arc::clone(&closing);
                    // The events have to be read on while it closes.
                    tokio::spawn(async move { closing.close().await });
                }
            }
        });
        Ok(Opened { session: Arc::new(OneshotSession { inner: session, used: AtomicBool::new(false) }), events })
    }
    /// Those of the backend that it wraps. A session that is taken up again has its one turn behind it or under way, and
    /// is closed by whoever took it up.
    fn runners(&self) -> Option<&dyn Runners> {
        self.inner.runners()
    }
}

struct OneshotSession {
    inner: Arc<dyn AgentSession>,
    used: AtomicBool,
}

#[async_trait]
impl AgentSession for OneshotSession {
    fn info(&self) -> &SessionInfo {
        self.inner.info()
    }

    async fn prompt(&self, prompt: Prompt) -> Result<(), BackendError> {
        if self.used.swap(true, Ordering::AcqRel) {
            return Err(BackendError::Closed);
        }
        let prompted = self.inner.prompt(prompt).await;
        if prompted.is_err() {
            // No turn came of it, so there is still one to come.
            self.used.store(false, Ordering::Release);
        }
        prompted
    }

    async fn answer(&self, id: InteractionId, answer: Answer) -> Result<(), BackendError> {
        self.inner.answer(id, answer).await
    }

    async fn cancel(&self, turn: TurnId, decided_by: DecidedBy) -> Result<(), BackendError> {
        self.inner.cancel(turn, decided_by).await
    }

    async fn close(&self) {
        self.inner.close().await;
    }

    async fn acknowledge(&self, consumed: Position) {
        self.inner.acknowledge(consumed).await;
    }
}
