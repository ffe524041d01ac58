//! A throw-away database for each test, in a server that runs as long as any test needs it.

use std::ffi::OsString;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};

use boocoder_local_pg::{LocalPg, LocalPgConfig};
use boocoder_store::conformance::Fixture;
use boocoder_store::{PgConfig, PgStore, Store};
use tempfile::TempDir;
use tokio::sync::Mutex;
use tokio_postgres::{Client, NoTls};

/// A server and the directory that it lives in.
pub(crate) struct Server {
    postgres: LocalPg,
    place: TempDir,
}

impl Server {
    pub(crate) async fn start() -> Self {
        // The server's account must be able to pass.
        let place = tempfile::Builder::new().prefix("store-").permissions(Permissions::from_mode(0o755)).tempdir();
        let place = place.unwrap();
        let mut config = LocalPgConfig::new(place.path().join("postgres"), place.path().join("cache"));
        config.search_path = search_path();
        let postgres = LocalPg::start(config).await.unwrap();
        Self { postgres, place }
    }

    pub(crate) fn connection_string(&self) -> String {
        self.postgres.connection_string()
    }

    /// Where the server writes its process id.
    pub(crate) fn pid_file(&self) -> PathBuf {
        self.place.path().join("postgres/cluster/postmaster.pid")
    }

    pub(crate) async fn stop(self) {
        self.postgres.stop().await;
    }
}

#[expect(clippy::disallowed_methods, reason = "a test is a shell: its search path is that of whoever runs it")]
fn search_path() -> OsString {
    std::env::var_os("PATH").unwrap()
}

static SHARED: Mutex<Weak<Server>> = Mutex::const_new(Weak::new());
static COUNT: AtomicU32 = AtomicU32::new(0);

/// A database of a test's own.
pub(crate) struct Database {
    server: Arc<Server>,
    name: String,
}

impl Database {
    pub(crate) async fn create() -> Self {
        let mut shared = SHARED.lock().await;
        let server = match shared.upgrade() {
            Some(server) => server,
            None => {
                let server = Arc::new(Server::start().await);
                *shared = Arc::downgrade(&server);
                server
            }
        };
        drop(shared);
        let name = format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let client = client(&server.connection_string()).await;
        client.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
        Self { server, name }
    }

    pub(crate) fn config(&self) -> PgConfig {
        // The last word on a key counts.
        PgConfig::new(format!("{} dbname={}", self.server.connection_string(), self.name))
    }

    pub(crate) async fn store(&self) -> PgStore {
        PgStore::connect(self.config()).await.unwrap()
    }

    pub(crate) async fn client(&self) -> Client {
        client(&self.config().connection).await
    }

    /// The last test stops the server and waits for its end.
    pub(crate) async fn end(self) {
        let _shared = SHARED.lock().await;
        if let Some(server) = Arc::into_inner(self.server) {
            server.stop().await;
        }
    }
}

pub(crate) async fn client(connection_string: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(connection_string, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// A store on a database of its own.
struct Postgres {
    store: PgStore,
    database: Database,
}

impl Fixture for Postgres {
    async fn new() -> Self {
        let database = Database::create().await;
        Self { store: database.store().await, database }
    }

    fn store(&self) -> &dyn Store {
        &self.store
    }

    async fn end(self) {
        self.store.close().await;
        self.database.end().await;
    }
}

boocoder_store::store_conformance!(Postgres);
