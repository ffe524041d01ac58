//! What can go wrong while a test sets up its surroundings.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Why a helper could not do its part. The message says what the person who runs the tests can do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TestkitError {
    /// A file, socket or process operation failed.
    #[error("{what}: check that it exists, may be accessed and that the disk is not full")]
    Io {
        /// What was tried, with the path or program.
        what: String,
        /// The system's own error.
        source: io::Error,
    },
    /// Text that should be JSON is not.
    #[error("{what} is not the expected JSON: record or write it again")]
    Json {
        /// Which file and line, or which value.
        what: String,
        /// Where it went wrong.
        source: serde_json::Error,
    },
    /// What was awaited did not happen in time.
    #[error("{what} did not happen within {limit:?}")]
    Timeout {
        /// What was awaited.
        what: String,
        /// How long it was awaited.
        limit: Duration,
    },
    /// A program that the tests need is not on this machine.
    #[error("{program} was not found: {remedy}")]
    Missing {
        /// The program's name.
        program: &'static str,
        /// How to get it.
        remedy: &'static str,
    },
    /// A program ran and failed.
    #[error("{command} failed: {output}")]
    Command {
        /// The command line.
        command: String,
        /// The end of what it printed.
        output: String,
    },
    /// The pinned agents do not exist for this kind of machine.
    #[error("the pinned agents are built for linux on x86_64 only: run the tests that need them there")]
    Platform,
}

impl TestkitError {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    pub(crate) fn path(verb: &str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        Self::io(format!("cannot {verb} {}", PathBuf::from(path).display()))
    }
}
