//! The form of errors: whoever drives a session through a runner gets the error that it would get without one.

use std::io;
use std::time::Duration;

use boocoder_model::InteractionId;
use serde::{Deserialize, Serialize};

use crate::BackendError;

/// What an agent may have been asked when its time ran out. The error names it by a fixed word.
const STAGES: [&str; 8] = [
    "initialize",
    "session/new",
    "session/load",
    "session/resume",
    "session/set_config_option",
    "session/set_mode",
    "session/set_model",
    "--version",
];

/// A [`BackendError`] in its JSON form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ErrorForm {
    NotFound { command: String },
    Spawn { command: String, os: Option<i32>, message: String },
    Exited { status: String, stderr: String },
    StartTimeout { stage: String, limit: Duration, stderr: String },
    ProtocolVersion { theirs: String, ours: u16 },
    AuthRequired { instructions: String },
    Agent { code: i64, message: String },
    Protocol(String),
    Busy,
    Closed,
    UnknownInteraction(InteractionId),
    InvalidAnswer(String),
    Unsupported(String),
    Runner(String),
}

impl From<&BackendError> for ErrorForm {
    fn from(error: &BackendError) -> Self {
        use BackendError as Error;
        match error {
            Error::NotFound { command } => Self::NotFound { command: command.clone() },
            Error::Spawn { command, source } => {
                Self::Spawn { command: command.clone(), os: source.raw_os_error(), message: source.to_string() }
            }
            Error::Exited { status, stderr } => Self::Exited { status: status.clone(), stderr: stderr.clone() },
            Error::StartTimeout { stage, limit, stderr } => {
                Self::StartTimeout { stage: (*stage).to_owned(), limit: *limit, stderr: stderr.clone() }
            }
            Error::ProtocolVersion { theirs, ours } => Self::ProtocolVersion { theirs: theirs.clone(), ours: *ours },
            Error::AuthRequired { instructions } => Self::AuthRequired { instructions: instructions.clone() },
            Error::Agent { code, message } => Self::Agent { code: *code, message: message.clone() },
            Error::Protocol(message) => Self::Protocol(message.clone()),
            Error::Busy => Self::Busy,
            Error::Closed => Self::Closed,
            Error::UnknownInteraction(id) => Self::UnknownInteraction(*id),
            Error::InvalidAnswer(message) => Self::InvalidAnswer(message.clone()),
            Error::Unsupported(what) => Self::Unsupported(what.clone()),
            Error::Runner(message) => Self::Runner(message.clone()),
        }
    }
}

impl From<ErrorForm> for BackendError {
    fn from(error: ErrorForm) -> Self {
        use ErrorForm as Form;
        match error {
            Form::NotFound { command } => Self::NotFound { command },
            Form::Spawn { command, os, message } => {
                let source = os.map_or_else(|| io::Error::other(message), io::Error::from_raw_os_error);
                Self::Spawn { command, source }
            }
            Form::Exited { status, stderr } => Self::Exited { status, stderr },
            Form::StartTimeout { stage, limit, stderr } => {
                let stage = STAGES.into_iter().find(|known| *known == stage).unwrap_or("a request");
                Self::StartTimeout { stage, limit, stderr }
            }
            Form::ProtocolVersion { theirs, ours } => Self::ProtocolVersion { theirs, ours },
            Form::AuthRequired { instructions } => Self::AuthRequired { instructions },
            Form::Agent { code, message } => Self::Agent { code, message },
            Form::Protocol(message) => Self::Protocol(message),
            Form::Busy => Self::Busy,
            Form::Closed => Self::Closed,
            Form::UnknownInteraction(id) => Self::UnknownInteraction(id),
            Form::InvalidAnswer(message) => Self::InvalidAnswer(message),
            Form::Unsupported(what) => Self::Unsupported(what),
            Form::Runner(message) => Self::Runner(message),
        }
    }
}
