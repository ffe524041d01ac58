//! What can go wrong with an agent, by what the caller can do about it.

use std::time::Duration;

use boocoder_model::InteractionId;

use crate::limits::REASON_TAIL;

/// An error of a backend.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// There is no such program: install the agent, or configure its path.
    #[error("{command} was not found: install it, or set its path in the configuration")]
    NotFound {
        /// What was looked for.
        command: String,
    },
    /// The program is there and could not be started.
    #[error("{command} could not be started: {source}")]
    Spawn {
        /// What was started.
        command: String,
        /// Why it did not start.
        source: std::io::Error,
    },
    /// The process ended.
    #[error("the agent exited ({status}){}", tail(.stderr))]
    Exited {
        /// Its exit status, in words.
        status: String,
        /// The end of what it wrote to standard error.
        stderr: String,
    },
    /// It did not come up within the limit.
    #[error("the agent did not answer {stage} within {limit:?}{}", tail(.stderr))]
    StartTimeout {
        /// What it was asked.
        stage: &'static str,
        /// How long it had.
        limit: Duration,
        /// The end of what it wrote to standard error.
        stderr: String,
    },
    /// It speaks another version of the protocol.
    #[error("the agent speaks version {theirs} of the protocol, and this program version {ours}")]
    ProtocolVersion {
        /// The version that it answered.
        theirs: String,
        /// The version that we asked for.
        ours: u16,
    },
    /// A human has to log in first.
    #[error("the agent needs a login: {instructions}")]
    AuthRequired {
        /// The agent's own instructions.
        instructions: String,
    },
    /// The agent answered a request with an error.
    #[error("the agent refused: {message} ({code})")]
    Agent {
        /// The JSON-RPC code.
        code: i64,
        /// Its message, with the data it sent along if that says more.
        message: String,
    },
    /// It does not keep to the protocol.
    #[error("the agent does not keep to the protocol: {0}")]
    Protocol(String),
    /// A turn runs already; turns of one session run one at a time.
    #[error("a turn is running in this agent session")]
    Busy,
    /// The session is closed or its process has gone; open it again.
    #[error("the agent session is closed")]
    Closed,
    /// Nobody is asking this.
    #[error("interaction {0} is not open in this agent session")]
    UnknownInteraction(InteractionId),
    /// The answer does not fit the question.
    #[error("the answer does not fit the question: {0}")]
    InvalidAnswer(String),
    /// The runner that keeps the agent did not start, does not answer, or does not understand.
    #[error("the runner of the agent {0}")]
    Runner(String),
    /// The agent cannot do this.
    #[error("the agent does not support {0}")]
    Unsupported(String),
}

/// The end of what was said on standard error, short enough for a message.
fn tail(stderr: &str) -> String {
    let end = &stderr[stderr.ceil_char_boundary(stderr.len().saturating_sub(REASON_TAIL))..];
    if end.is_empty() { String::new() } else { format!(": {end}") }
}
