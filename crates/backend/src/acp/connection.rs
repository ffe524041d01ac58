//! One connection to an agent: requests out, everything that comes in through one bounded queue.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use agent_client_protocol::{
    Agent, Builder, Channel, Client, ConnectionTo, Dispatch, Error, RawJsonRpcId, Responder, UntypedMessage,
};
use boocoder_acp_mapper::ParsedUpdate;
use boocoder_model::{AgentSessionId, RawJson};
use serde_json::Value;
use tokio::process::{ChildStdin, ChildStdout};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::transport::{self, FENCE, Reader, RequestBudget};
use crate::BackendError;
use crate::limits::INCOMING_QUEUE;

/// Something that came from the agent, in the order in which it was written.
#[derive(Debug)]
pub(super) enum Incoming {
    /// A `session/update`.
    Update(Box<ParsedUpdate>),
    /// Any other notification.
    Notification {
        /// Its method.
        method: String,
        /// Its params as they were written.
        params: RawJson,
    },
    /// A request.
    Request(AgentRequest),
    /// The response to a request of ours.
    Response {
        /// The number that [`Connection::request`] gave.
        serial: u64,
        /// The result, or the agent's error.
        result: Result<Value, Error>,
    },
    /// A line that is no message: its beginning.
    Noise(String),
    /// A line that was longer than the limit: its beginning and its length.
    TooLong {
        /// The beginning.
        head: String,
        /// The length, in bytes.
        bytes: u64,
    },
    /// The end of the agent's output. Nothing of its writing follows.
    Eof,
}

/// A request of the agent, to be answered exactly once. Dropping it answers it with an error.
#[derive(Debug)]
pub(super) struct AgentRequest {
    pub(super) method: String,
    pub(super) params: Value,
    responder: Responder<Value>,
}

impl AgentRequest {
    /// The agent's id for it.
    pub(super) fn id(&self) -> &RawJsonRpcId {
        self.responder.id()
    }

    /// Done when the agent has taken the request back.
    pub(super) fn taken_back(&self) -> impl Future<Output = ()> + Send + use<> {
        let cancellation = self.responder.cancellation();
        async move { cancellation.cancelled().await }
    }

    /// Answers it.
    pub(super) fn answer(self, result: Result<Value, Error>) {
        if let Err(error) = self.responder.respond_with_result(result) {
            tracing::debug!(%error, "an answer came too late for its connection");
        }
    }
}

/// The sending half of a connection.
pub(super) struct Connection {
    sdk: ConnectionTo<Agent>,
    incoming: mpsc::Sender<Incoming>,
    serials: AtomicU64,
    session: Arc<OnceLock<AgentSessionId>>,
    _driver: AbortOnDropHandle<()>,
}

impl Connection {
    /// Connects to the agent behind the pipes. `close_input` closes its input and nothing else.
    pub(super) async fn open(
        stdin: ChildStdin,
        stdout: ChildStdout,
        line_limit: usize,
        close_input: CancellationToken,
    ) -> Result<(Self, mpsc::Receiver<Incoming>), BackendError> {
        let (incoming_tx, incoming) = mpsc::channel(INCOMING_QUEUE);
        let (ours, theirs) = Channel::duplex();
        let (to_agent, to_sdk) = theirs.into_parts();
        let (passed_tx, passed) = watch::channel(0);
        let budget = RequestBudget::new();
        let session = Arc::new(OnceLock::new());
        let reader = Reader {
            incoming: incoming_tx.clone(),
            frames: to_sdk,
            passed,
            budget: budget.clone(),
            session: Arc::clone(&session),
        };
        let (handle_tx, handle) = oneshot::channel();
        let sdk = drive(ours, incoming_tx.clone(), passed_tx, handle_tx);
        let driver = AbortOnDropHandle::new(tokio::spawn(async move {
            let reading = tokio::spawn(reader.run(stdout, line_limit));
            let writing = tokio::spawn(transport::write(stdin, to_agent, budget, close_input));
            let (_reading, _writing) = (AbortOnDropHandle::new(reading), AbortOnDropHandle::new(writing));
            if let Err(error) = sdk.await {
                tracing::warn!(%error, "the connection to an agent failed");
            }
        }));
        let sdk = handle.await.map_err(|_| BackendError::Protocol("the connection did not come up".to_owned()))?;
        Ok((Self { sdk, incoming: incoming_tx, serials: AtomicU64::new(0), session, _driver: driver }, incoming))
    }

    /// Says which session is ours. The first word counts.
    pub(super) fn set_session(&self, session: AgentSessionId) {
        let _ = self.session.set(session);
    }

    /// Sends a request. Its response comes in with the number returned here.
    pub(super) fn request(&self, method: &str, params: Value) -> u64 {
        let serial = self.serials.fetch_add(1, Ordering::Relaxed) + 1;
        let incoming = self.incoming.clone();
        let message = UntypedMessage { method: method.to_owned(), params };
        let sent = self.sdk.send_request(message).on_receiving_result(async move |result| {
            let _ = incoming.send(Incoming::Response { serial, result }).await;
            Ok(())
        });
        if let Err(error) = sent {
            // The end of the agent's output is on its way and says the same.
            tracing::debug!(%error, method, "a request came too late for its connection");
        }
        serial
    }

    /// Sends a notification.
    pub(super) fn notify(&self, method: &str, params: Value) {
        let message = UntypedMessage { method: method.to_owned(), params };
        if let Err(error) = self.sdk.send_notification(message) {
            tracing::debug!(%error, method, "a notification came too late for its connection");
        }
    }
}

/// Runs the SDK's side until it is dropped. Its handlers only queue: whoever blocks in one blocks the connection.
async fn drive(
    channel: Channel,
    incoming: mpsc::Sender<Incoming>,
    passed: watch::Sender<u64>,
    handle: oneshot::Sender<ConnectionTo<Agent>>,
) -> Result<(), Error> {
    Builder::new(Client)
        .on_receive_dispatch(
            async move |dispatch: Dispatch, _cx: ConnectionTo<Agent>| {
                match dispatch {
                    Dispatch::Request(message, responder) => {
                        let (method, params) = message.into_parts();
                        let _ = incoming.send(Incoming::Request(AgentRequest { method, params, responder })).await;
                    }
                    Dispatch::Notification(message) if message.method() == FENCE => {
                        passed.send_replace(message.params()["number"].as_u64().unwrap_or_default());
                    }
                    // Notifications have come in over the direct path.
                    Dispatch::Notification(_) => {}
                    Dispatch::Response(result, router) => router.route_with_result(result)?,
                }
                Ok(())
            },
            agent_client_protocol::on_receive_dispatch!(),
        )
        .connect_with(channel, async move |cx| {
            let _ = handle.send(cx);
            std::future::pending::<Result<(), Error>>().await
        })
        .await
}
