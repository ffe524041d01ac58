//! The lines between us and an agent: a path of our own for updates, the SDK for requests and responses, one order.
//!
//! The SDK's queues have no bound and its typed path drops what it does not know, so only requests, responses and
//! cancellations go through it. `session/update`, other notifications and noise go straight to the session, over a
//! bounded queue: a slow session stops this reader, a stopped reader fills the pipe, and a full pipe stops the agent.
//!
//! Both paths end in the same queue, and a fence keeps them in the order of the wire. After each line for the SDK goes a
//! notification of our own; the SDK dispatches in order, so once the notification has come through, the line before it
//! has been queued, and the next line may be read.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use agent_client_protocol::{RawJsonRpcMessage, TransportFrame};
use boocoder_acp_mapper::parse_update;
use boocoder_model::{AgentSessionId, RawJson};
use futures::StreamExt as _;
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;
use serde_json::value::RawValue;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::connection::Incoming;
use crate::limits::{AGENT_REQUESTS, NOISE_BYTES};
use crate::lines::{Line, Lines};

/// The method of the notification that follows each line for the SDK.
pub(super) const FENCE: &str = "_boocoder/fence";

/// The cancellation of a request, which the SDK has to see.
const CANCEL_REQUEST: &str = "$/cancel_request";

/// What the reader and the writer of one connection share: how many requests the agent may still make.
#[derive(Clone, Debug)]
pub(super) struct RequestBudget(Arc<Semaphore>);

impl RequestBudget {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(AGENT_REQUESTS)))
    }
}

/// The parts of a line that decide where it goes.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
    #[serde(default)]
    id: Option<IgnoredAny>,
}

/// Reads an agent's output to its end and queues what it says.
pub(super) struct Reader {
    /// To the session.
    pub(super) incoming: mpsc::Sender<Incoming>,
    /// To the SDK.
    pub(super) frames: UnboundedSender<TransportFrame>,
    /// The number of the last fence that came through.
    pub(super) passed: watch::Receiver<u64>,
    pub(super) budget: RequestBudget,
    /// The session, once it is known. Updates of another one (an agent's own helper) are not this one's.
    pub(super) session: Arc<OnceLock<AgentSessionId>>,
}

/// The session or the SDK is no more, so nobody is left to read for.
struct NobodyListens;

impl Reader {
    /// Runs until the output ends or nobody listens.
    pub(super) async fn run(mut self, output: impl AsyncRead + Unpin, limit: usize) {
        let mut lines = Lines::new(output, limit);
        let mut fences = 0;
        loop {
            let heard = match lines.next().await {
                Ok(Some(Line::Whole(line))) => self.take(&String::from_utf8_lossy(line), &mut fences).await,
                Ok(Some(Line::TooLong { head, bytes })) => {
                    let head = excerpt(&String::from_utf8_lossy(&head[..head.len().min(NOISE_BYTES)]));
                    self.queue(Incoming::TooLong { head, bytes }).await
                }
                Ok(None) | Err(_) => break,
            };
            if heard.is_err() {
                return;
            }
        }
        let _ = self.queue(Incoming::Eof).await;
    }

    async fn take(&mut self, line: &str, fences: &mut u64) -> Result<(), NobodyListens> {
        if line.trim().is_empty() {
            return Ok(());
        }
        let Ok(envelope) = serde_json::from_str::<Envelope<'_>>(line) else {
            return self.queue(Incoming::Noise(excerpt(line))).await;
        };
        match (envelope.method, envelope.id) {
            (Some(method), None) if method == "session/update" => {
                let Some(params) = envelope.params else { return self.queue(Incoming::Noise(excerpt(line))).await };
                let update = parse_update(params);
                let ours = match (&update.session_id, self.session.get()) {
                    (Some(named), Some(ours)) => named == ours,
                    _ => true,
                };
                if ours {
                    self.queue(Incoming::Update(Box::new(update))).await
                } else {
                    let params = RawJson::new(params.get());
                    self.queue(Incoming::Notification { method: method.into_owned(), params }).await
                }
            }
            (Some(method), None) => {
                if method == CANCEL_REQUEST {
                    self.hand_over(line, fences).await?;
                }
                let params = RawJson::new(envelope.params.map_or("null", RawValue::get));
                self.queue(Incoming::Notification { method: method.into_owned(), params }).await
            }
            (_, _) => self.hand_over(line, fences).await,
        }
    }

    /// Gives a line to the SDK and waits until it has been dispatched.
    async fn hand_over(&mut self, line: &str, fences: &mut u64) -> Result<(), NobodyListens> {
        let TransportFrame::Single(message) = TransportFrame::parse_json(line) else {
            // The SDK would answer it, and an agent that writes such things is not helped by answers.
            return self.queue(Incoming::Noise(excerpt(line))).await;
        };
        if matches!(message, RawJsonRpcMessage::Request(_)) {
            self.budget.0.acquire().await.map_err(|_| NobodyListens)?.forget();
        }
        *fences += 1;
        let fence = RawJsonRpcMessage::notification(FENCE.to_owned(), json!({ "number": *fences }))
            .map_err(|_| NobodyListens)?;
        for message in [message, fence] {
            self.frames.unbounded_send(TransportFrame::Single(message)).map_err(|_| NobodyListens)?;
        }
        self.passed.wait_for(|passed| *passed >= *fences).await.map(drop).map_err(|_| NobodyListens)
    }

    async fn queue(&self, incoming: Incoming) -> Result<(), NobodyListens> {
        self.incoming.send(incoming).await.map_err(|_| NobodyListens)
    }
}

/// The beginning of a line of noise, cut at a character.
fn excerpt(line: &str) -> String {
    let end = line.floor_char_boundary(NOISE_BYTES);
    if end == line.len() { line.to_owned() } else { format!("{}… ({} bytes in all)", &line[..end], line.len()) }
}

/// Writes what the SDK has to say, until `close` says that the input is to be closed.
pub(super) async fn write(
    mut input: impl AsyncWrite + Unpin,
    mut frames: UnboundedReceiver<TransportFrame>,
    budget: RequestBudget,
    close: CancellationToken,
) {
    let writing = async {
        while let Some(frame) = frames.next().await {
            let Ok(mut line) = frame.to_json() else { continue };
            line.push('\n');
            if input.write_all(line.as_bytes()).await.is_err() || input.flush().await.is_err() {
                return;
            }
            budget.answered(&frame);
        }
    };
    tokio::select! {
        () = writing => {}
        () = close.cancelled() => {}
    }
    drop(input);
    while let Some(frame) = frames.next().await {
        budget.answered(&frame);
    }
}

impl RequestBudget {
    fn answered(&self, frame: &TransportFrame) {
        if matches!(frame, TransportFrame::Single(RawJsonRpcMessage::Response(_))) {
            self.0.add_permits(1);
        }
    }
}
