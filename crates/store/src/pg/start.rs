//! What is done once before a store is used, on a connection of its own: the version check and the migrations.

use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::{Client, Config, NoTls};

use super::failure::{Attempts, Failure};
use super::mark;
use crate::StoreError;
use crate::limits::PgLimits;

/// The oldest version that is tested.
const LEAST_VERSION: u32 = 15;

/// What everybody locks who migrates this database: "boocoder" in ASCII.
const MIGRATION_LOCK: i64 = 0x626f_6f63_6f64_6572;

mod embedded {
    refinery::embed_migrations!("../../migrations");
}

/// Checks the version and migrates the database.
pub(super) async fn prepare(target: &Config, limits: &PgLimits) -> Result<(), StoreError> {
    let mut client = reach(target, limits).await?;
    check_version(&client).await?;
    let migrated = timeout(limits.migrate, migrate(&mut client, limits.migrate)).await;
    migrated.unwrap_or_else(|_| Err(StoreError::Migration(Failure::Silent(limits.migrate).into())))
}

/// Connects, trying again while nothing answers: the database may be starting, too.
async fn reach(target: &Config, limits: &PgLimits) -> Result<Client, StoreError> {
    let mut attempts = Attempts::new(limits);
    loop {
        let connected = timeout(limits.connect, target.connect(NoTls)).await;
        let failure = match connected.map_err(|_| Failure::Silent(limits.connect)).and_then(|ok| Ok(ok?)) {
            Ok((client, connection)) => {
                // It ends with the client.
                tokio::spawn(connection);
                return Ok(client);
            }
            Err(failure) => failure,
        };
        if !failure.is_transient() || !attempts.another().await {
            return Err(failure.into());
        }
    }
}

async fn check_version(client: &Client) -> Result<(), StoreError> {
    let sql = "SELECT current_setting('server_version_num')::int / 10000 AS major, \
               current_setting('server_version') AS version";
    let row = client.query_one(sql, &[]).await.map_err(Failure::Driver)?;
    let major: i32 = row.try_get("major").map_err(Failure::Driver)?;
    if i64::from(major) >= i64::from(LEAST_VERSION) {
        return Ok(());
    }
    Err(StoreError::TooOld { found: row.try_get("version").map_err(Failure::Driver)?, least: LEAST_VERSION })
}

/// Applies what is missing, one starter at a time: the migration tool itself takes no lock. The lock goes with the
/// connection.
async fn migrate(client: &mut Client, limit: Duration) -> Result<(), StoreError> {
    let patience = format!("SET statement_timeout = {}", limit.as_millis());
    client.batch_execute(&patience).await.map_err(Failure::Driver)?;
    client.execute("SELECT pg_advisory_lock($1)", &[&MIGRATION_LOCK]).await.map_err(Failure::Driver)?;
    let report = embedded::migrations::runner().run_async(client).await;
    let report = report.map_err(|error| StoreError::Migration(error.into()))?;
    mark::clean_up(client).await?;
    for migration in report.applied_migrations() {
        tracing::info!(%migration, "the database was migrated");
    }
    Ok(())
}
