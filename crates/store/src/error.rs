//! What can go wrong with a store, by what the caller can do about it.

/// An error of a store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The change does not fit the state: its guard failed or its key is taken. Nothing was written.
    #[error("{what} is not as expected: {detail}")]
    Conflict {
        /// The noun that did not fit.
        what: &'static str,
        /// What was found, or which rule it broke.
        detail: String,
    },
    /// Another process speaks for this server now: its lease had ended and was taken over, or it was started again.
    /// Nothing was written, and nothing that this one writes will be.
    #[error("this server was fenced off: its lease ended, and another one has taken over what it owned")]
    FencedOff,
    /// What is stored cannot be read as what it should be.
    #[error("stored {what} cannot be read: {detail}")]
    Corrupt {
        /// The noun.
        what: &'static str,
        /// What was found.
        detail: String,
    },
    /// The database cannot be reached at the moment; the same call may succeed later.
    #[error("the database cannot be reached: {0}")]
    Unreachable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The database refused or failed.
    #[error("the database refused: {0}")]
    Driver(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The migrations could not be run.
    #[error("the database could not be migrated: {0}")]
    Migration(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The database is older than this version supports.
    #[error("postgres {found} is too old: version {least} or newer is needed")]
    TooOld {
        /// Its version.
        found: String,
        /// The least one that will do.
        least: u32,
    },
}

impl StoreError {
    /// Whether the same call may succeed a little later.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable(_))
    }
}
