//! Where the database is.

use std::fmt;

use tokio_postgres::Config;

use super::failure::Failure;
use crate::StoreError;
use crate::limits::PgLimits;

/// What connections call themselves in the server's own lists, unless the connection string says otherwise.
const APPLICATION: &str = "boocoder";

/// How to reach a database.
///
/// Connections are not encrypted: across a network, use a tunnel. `Debug` shows no password.
#[derive(Clone)]
pub struct PgConfig {
    /// A URL (`postgres://user@host/database`) or key and value pairs (`host=/run/pg user=me dbname=boocoder`).
    pub connection: String,
    /// The bounds.
    pub limits: PgLimits,
}

impl PgConfig {
    /// This database, with the default limits.
    pub fn new(connection: impl Into<String>) -> Self {
        Self { connection: connection.into(), limits: PgLimits::default() }
    }

    /// The connection string, read.
    pub(super) fn target(&self) -> Result<Config, StoreError> {
        let mut target: Config = self.connection.parse().map_err(Failure::Driver)?;
        if target.get_application_name().is_none() {
            target.application_name(APPLICATION);
        }
        target.connect_timeout(self.limits.connect);
        Ok(target)
    }
}

impl fmt::Debug for PgConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PgConfig").field("connection", &self.target()).field("limits", &self.limits).finish()
    }
}
