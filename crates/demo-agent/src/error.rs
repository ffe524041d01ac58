//! What can end the agent or keep it from starting.

use std::{io, path::PathBuf};

use agent_client_protocol as acp;

/// The exit status of a process whose prompt told it to crash.
pub const CRASH_EXIT_CODE: i32 = 101;

/// Why [`run`](crate::run) ended other than by the client closing the connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DemoError {
    /// A prompt said `crash`. The host ends its process at once, with [`CRASH_EXIT_CODE`].
    #[error("told to crash by a prompt; exit with status {CRASH_EXIT_CODE}")]
    Crash,
    /// The protocol connection broke.
    #[error("the connection to the client failed; start the agent again")]
    Connection(#[source] acp::Error),
    /// The client's end of the output is gone.
    #[error("the output cannot be written; start the agent again")]
    Output(#[source] io::Error),
    /// A file or folder of the state directory cannot be read or written.
    #[error("cannot use {}; give a state directory that this account can write", path.display())]
    State {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A stored session is not what this agent writes.
    #[error("{} is not a stored session; delete it", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where it went wrong.
        source: serde_json::Error,
    },
}

impl DemoError {
    /// The status with which a process that hosts the agent exits on this error.
    #[must_use]
    pub fn exit_code(&self) -> i32 {
        match self {
            Self::Crash => CRASH_EXIT_CODE,
            Self::Connection(_) | Self::Output(_) | Self::State { .. } | Self::Corrupt { .. } => 1,
        }
    }

    /// This error as the answer to a request, with its cause in the data.
    pub(crate) fn to_protocol(&self) -> acp::Error {
        let cause = std::error::Error::source(self).map(|source| serde_json::Value::from(source.to_string()));
        acp::Error::new(acp::ErrorCode::INTERNAL_ERROR, self.to_string()).data(cause)
    }
}
