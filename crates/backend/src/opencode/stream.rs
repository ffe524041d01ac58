//! The stream of events: read in order, opened anew when it breaks, and what was missed asked for behind each gap.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::StreamExt;
use reqwest::Response;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use super::server::Server;
use super::sse::Events;
use super::v1::{ApiError, Client, Snapshot};
use crate::limits::{RECONNECT_LONGEST, RECONNECT_SHORTEST, STREAM_EVENT, STREAM_SILENCE, UNREACHABLE};

/// What comes by the stream.
pub(super) enum Incoming {
    /// An event of the server.
    Event(Box<Value>),
    /// Something that is no event.
    Noise(String),
    /// Something may be missing here. This is how the session stands now; what comes next comes after.
    Gap(Box<Snapshot>),
    /// The server has gone, or cannot be reached any more. The last one.
    Lost(String),
}

/// Reads the stream of one session.
pub(super) struct Reader {
    pub(super) client: Client,
    pub(super) server: Arc<Server>,
    pub(super) session: String,
    /// Since when sessions count that this one has started, in milliseconds since 1970.
    pub(super) since: Arc<AtomicU64>,
    pub(super) to: mpsc::Sender<Incoming>,
}

/// Why reading ended.
enum End {
    /// The stream broke.
    Broken(String),
    /// Nobody listens any more.
    Unheard,
}

impl Reader {
    /// Reads an open stream, and those that follow it, until the server has gone or nobody listens.
    pub(super) async fn run(self, first: Response) {
        let mut response = Some(first);
        loop {
            if let Some(response) = response.take() {
                match self.read(response).await {
                    End::Unheard => return,
                    End::Broken(why) => tracing::debug!(why, "opencode's event stream is opened anew"),
                }
            }
            match self.open_again().await {
                Ok(opened) => response = Some(opened),
                Err(why) => return drop(self.to.send(Incoming::Lost(why)).await),
            }
        }
    }

    /// Hands on events until the stream breaks.
    async fn read(&self, response: Response) -> End {
        let (mut bytes, mut events) = (response.bytes_stream(), Events::default());
        loop {
            let chunk = match timeout(STREAM_SILENCE, bytes.next()).await {
                Err(_) => return End::Broken("it was silent".to_owned()),
                Ok(None) => return End::Broken("it ended".to_owned()),
                Ok(Some(Err(error))) => return End::Broken(error.to_string()),
                Ok(Some(Ok(chunk))) => chunk,
            };
            let Ok(events) = events.push(&chunk, STREAM_EVENT) else {
                return End::Broken(format!("an event was longer than {STREAM_EVENT} bytes"));
            };
            for event in events {
                let incoming = match serde_json::from_str::<Value>(&event) {
                    Ok(value) => Incoming::Event(Box::new(value)),
                    Err(_) => Incoming::Noise(event),
                };
                if self.to.send(incoming).await.is_err() {
                    return End::Unheard;
                }
            }
        }
    }

    /// Opens the stream anew and asks for what was missed. Since the stream is open first, nothing falls in between.
    async fn open_again(&self) -> Result<Response, String> {
        let deadline = Instant::now() + UNREACHABLE;
        let mut pause = RECONNECT_SHORTEST;
        loop {
            let why = match self.attempt().await {
                Ok((response, snapshot)) => {
                    // Whoever does not listen any more is noticed with the next event.
                    let _ = self.to.send(Incoming::Gap(Box::new(snapshot))).await;
                    return Ok(response);
                }
                Err(error) => error.to_string(),
            };
            if self.to.is_closed() || !self.server.is_alive() {
                return Err(self.server.last_words());
            }
            if Instant::now() >= deadline {
                return Err(why);
            }
            sleep(pause).await;
            pause = next(pause);
        }
    }

    async fn attempt(&self) -> Result<(Response, Snapshot), ApiError> {
        let response = self.client.events().await?;
        let snapshot = self.client.snapshot(&self.session, self.since.load(Ordering::Relaxed)).await?;
        Ok((response, snapshot))
    }
}

fn next(pause: Duration) -> Duration {
    (pause * 2).min(RECONNECT_LONGEST)
}
