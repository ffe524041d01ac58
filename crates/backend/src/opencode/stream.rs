//! The stream of events: read in order, opened anew when it breaks, and what was missed asked for behind each gap.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use eventsource_stream::Eventsource;
use futures::{Stream, StreamExt};
use reqwest::Response;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use super::server::Server;
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
        let mut events = Box::pin(bounded(response).eventsource());
        loop {
            let event = match timeout(STREAM_SILENCE, events.next()).await {
                Err(_) => return End::Broken("it was silent".to_owned()),
                Ok(None) => return End::Broken("it ended".to_owned()),
                Ok(Some(Err(error))) => return End::Broken(error.to_string()),
                Ok(Some(Ok(event))) => event,
            };
            let incoming = match serde_json::from_str::<Value>(&event.data) {
                Ok(value) => Incoming::Event(Box::new(value)),
                Err(_) => Incoming::Noise(event.data),
            };
            if self.to.send(incoming).await.is_err() {
                return End::Unheard;
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
                return Err(self.server.last_words().await);
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

/// The bytes of a stream, up to an event that is too long.
fn bounded(response: Response) -> impl Stream<Item = Result<Vec<u8>, std::io::Error>> {
    let mut since_event = 0;
    response.bytes_stream().map(move |chunk| {
        let chunk = chunk.map_err(std::io::Error::other)?;
        since_event = match chunk.windows(2).rposition(|pair| pair == b"\n\n") {
            Some(at) => chunk.len() - at,
            None => since_event + chunk.len(),
        };
        if since_event > STREAM_EVENT {
            return Err(std::io::Error::other(format!("an event is longer than {STREAM_EVENT} bytes")));
        }
        Ok(chunk.to_vec())
    })
}
