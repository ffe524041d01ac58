//! What keeps a runner from doing its work.

use std::io;

/// An error of a runner's own.
#[derive(Debug, thiserror::Error)]
pub enum RunnerError {
    /// Another runner works in the directory.
    #[error("a runner works in this directory already")]
    Locked,
    /// Something that it needs of the system failed.
    #[error("cannot {action}: {source}")]
    Io {
        /// What it tried.
        action: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}

/// Says what was being done when an error came up.
pub(crate) trait Doing<T> {
    fn doing(self, action: &'static str) -> Result<T, RunnerError>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, action: &'static str) -> Result<T, RunnerError> {
        self.map_err(|source| RunnerError::Io { action, source })
    }
}
