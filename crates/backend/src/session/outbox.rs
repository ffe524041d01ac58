//! What waits for the consumer, in order.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use boocoder_model::AgentEvent;
use tokio::sync::mpsc;

use crate::{Delivery, SessionEvent};

/// Events on their way to the consumer. It holds what one step of the session brings; whoever fills it further has to
/// wait until it is empty.
pub(crate) struct Outbox {
    waiting: VecDeque<SessionEvent>,
    consumer: mpsc::Sender<Delivery>,
    /// Since when the consumer has not taken what is there.
    stalled: Option<Instant>,
}

impl Outbox {
    pub(crate) fn new(consumer: mpsc::Sender<Delivery>) -> Self {
        Self { waiting: VecDeque::new(), consumer, stalled: None }
    }

    /// Whether the consumer has everything.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// How many events wait.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether the next event is the end of a turn.
    pub(crate) fn is_turn_end_next(&self) -> bool {
        matches!(self.waiting.front(), Some(SessionEvent::TurnEnded { .. }))
    }

    /// Adds an event.
    pub(crate) fn push(&mut self, event: SessionEvent) {
        self.waiting.push_back(event);
    }

    /// Takes out the events of this kind, which a newer one makes needless.
    pub(crate) fn forget(&mut self, kind: &AgentEvent) {
        let kind = std::mem::discriminant(kind);
        let same = |old: &SessionEvent| matches!(old, SessionEvent::Agent { event, .. } if std::mem::discriminant(event) == kind);
        self.waiting.retain(|old| !same(old));
    }

    /// Gives the consumer one event, if there is one and room for it.
    pub(crate) fn give_one(&mut self) -> bool {
        let Some(event) = self.waiting.pop_front() else { return false };
        match self.consumer.try_send(here(event)) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Full(Delivery { event, .. })) => {
                self.waiting.push_front(event);
                false
            }
            Err(mpsc::error::TrySendError::Closed(_)) => {
                self.waiting.clear();
                false
            }
        }
    }

    /// Gives the consumer everything, at its own pace.
    pub(crate) async fn deliver(&mut self) {
        for event in self.waiting.drain(..) {
            if self.consumer.send(here(event)).await.is_err() {
                return;
            }
        }
    }

    /// Done when there is room for one event, or nobody who will ever take it.
    pub(crate) async fn room(&self) {
        let _ = self.consumer.reserve().await;
    }

    /// Done when the consumer has gone.
    pub(crate) async fn nobody_listens(&self) {
        self.consumer.closed().await;
    }

    /// How long the consumer has made others wait, once it has caught up.
    pub(crate) fn stall(&mut self, now: Instant) -> Option<Duration> {
        if self.waiting.is_empty() {
            return self.stalled.take().map(|since| now.saturating_duration_since(since));
        }
        self.stalled.get_or_insert(now);
        None
    }
}

/// An event of a session that lives in this process.
const fn here(event: SessionEvent) -> Delivery {
    Delivery { position: None, event }
}
