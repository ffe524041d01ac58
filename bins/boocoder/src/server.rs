//! The server as a value: started, announced, and stopped in an order that loses nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use boocoder_backend::runner::RunnerBackend;
use boocoder_backend::{OWNER, OneshotBackend};
use boocoder_dispatch::{DispatchConfig, Dispatcher, Parts};
use boocoder_local_pg::{LocalPg, LocalPgConfig};
use boocoder_store::{PgConfig, PgStore};
use boocoder_wire::http::ServerInfo;
use boocoder_worktree::Git;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::accept;
use crate::app::App;
use crate::auth::Access;
use crate::chain::chain;
use crate::cli::RUNNER;
use crate::config::{Config, DEMO_STATE};
use crate::data_dir::DataDir;
use crate::limits::{LEFTOVERS, SERVERS_REST, SHUTDOWN_REST};
use crate::routes::routes;

/// Where in the data directory the runners keep their journals.
const RUNNERS: &str = "runners";

/// Where the servers are that agents share.
const SERVERS: &str = "servers";

/// How a server stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Turns are cancelled and agents closed: nothing is left running.
    Drain,
    /// Agents, and the turns that they work on, are left to the next server.
    HandOver,
}

/// A server that runs and is announced in its data directory.
pub struct Server {
    info: ServerInfo,
    app: App,
    agents: RunnerBackend,
    store: Arc<PgStore>,
    database: Option<LocalPg>,
    accepting: JoinHandle<()>,
    closing: CancellationToken,
    dir: DataDir,
}

impl Server {
    /// Starts everything that a server is: the data directory, the database, the dispatcher, the routes.
    ///
    /// # Errors
    /// [`InUse`](crate::data_dir::InUse) if the data directory has a server; otherwise what could not be started and
    /// why. Nothing is left running.
    pub async fn start(mut config: Config, listener: TcpListener) -> anyhow::Result<Self> {
        let listen = listener.local_addr().context("the listening address cannot be read")?;
        if !listen.ip().is_loopback() {
            tracing::warn!(%listen, "other machines can reach this address, and nothing on the way is encrypted");
        }
        let own_database = config.database_url.is_none();
        let dir = DataDir::take(&config.data_dir, own_database && config.surroundings.root)?;
        // From here on it is absolute, since agents run in directories of their own.
        config.data_dir = dir.path().to_owned();
        let token = dir.token()?;
        // Before anything runs that they could get in the way of: they may still write into a worktree.
        let agents = runners(&dir)?;
        let ended = agents.end_leftovers(LEFTOVERS).await;
        if ended > 0 {
            tracing::warn!(processes = ended, "ended what agents without a runner had left running");
        }
        let database = if own_database { Some(start_database(&config, &dir).await?) } else { None };
        let url = match &database {
            Some(database) => database.connection_string(),
            None => config.database_url.clone().unwrap_or_default(),
        };
        let built = async {
            let store = PgStore::connect(PgConfig::new(url)).await.context("the database cannot be used")?;
            let store = Arc::new(store);
            let dispatcher = start_dispatcher(&config, &dir, agents.clone(), store.clone()).await?;
            anyhow::Ok((store, dispatcher))
        };
        let (store, dispatcher) = match built.await {
            Ok(built) => built,
            Err(error) => {
                if let Some(database) = database {
                    database.stop().await;
                }
                return Err(error);
            }
        };
        let access = Access::new(token.clone(), listen, config.allowed_hosts);
        let app = App::new(dispatcher, access, config.server_limits.clone(), config.surroundings.variables)
            .counted_by(config.metrics);
        let closing = CancellationToken::new();
        let accepting = tokio::spawn(accept::serve(listener, routes(&app), config.server_limits, closing.clone()));
        let info = ServerInfo {
            url: format!("http://{}", reachable(listen)),
            token: token.reveal().to_owned(),
            pid: std::process::id(),
            version: crate::VERSION.to_owned(),
        };
        let server = Self { info, app, agents, store, database, accepting, closing, dir };
        if let Err(error) = server.dir.announce(&server.info) {
            server.stop(Stop::HandOver).await;
            return Err(error);
        }
        tracing::info!(url = server.info.url, data_dir = %server.dir.path().display(), "ready");
        Ok(server)
    }

    /// Whether it goes on with what an earlier server left.
    pub fn has_taken_up(&self) -> bool {
        self.app.dispatcher().has_taken_up()
    }

    /// Where it is reached.
    pub fn info(&self) -> &ServerInfo {
        &self.info
    }

    /// Waits until the server cannot go on: its own database is given up, or another server on a shared one took over. A
    /// database elsewhere that is away may come back, and is waited for.
    pub async fn failed(&self) -> anyhow::Error {
        match &self.database {
            Some(database) => {
                let reason = database.given_up().await;
                anyhow::anyhow!("the embedded database is given up: {reason}")
            }
            None => {
                self.app.dispatcher().fenced_off().await;
                anyhow::anyhow!(
                    "another server on this database took over: this one did not renew its lease, or a server with the \
                     same id (a copy of this data directory has it) was started"
                )
            }
        }
    }

    /// Stops everything, within limits: agents first, so that clients still see how their turns end, unless they are handed
    /// over; then the clients; the database last.
    pub async fn stop(self, how: Stop) {
        if let Err(error) = self.dir.withdraw() {
            tracing::warn!(error = chain(error.as_ref()), "the announcement stays behind");
        }
        match how {
            Stop::Drain => {
                self.app.dispatcher().shutdown().await;
                self.agents.end_unused_servers(SERVERS_REST).await;
            }
            Stop::HandOver => self.app.dispatcher().hand_over().await,
        }
        self.closing.cancel();
        self.app.stop().cancel();
        self.app.tracker().close();
        let rest = async {
            self.app.tracker().wait().await;
            if let Err(error) = self.accepting.await {
                tracing::error!(%error, "the accept loop broke");
            }
        };
        if timeout(SHUTDOWN_REST, rest).await.is_err() {
            tracing::warn!("some connections were cut off");
        }
        if timeout(SHUTDOWN_REST, self.store.close()).await.is_err() {
            tracing::warn!("the connections to the database were cut off");
        }
        if let Some(database) = self.database {
            database.stop().await;
        }
        tracing::info!("stopped");
    }
}

async fn start_database(config: &Config, dir: &DataDir) -> anyhow::Result<LocalPg> {
    let around = &config.surroundings;
    let mut local = LocalPgConfig::new(dir.path().join("postgres"), dir.path().join("cache"));
    local.search_path = around.search_path();
    local.home = around.home();
    let database = LocalPg::start(local).await.context("the embedded database cannot be started")?;
    tracing::info!(source = database.source(), "the embedded database runs");
    Ok(database)
}

/// This program, which is also what runs under the names of its hidden commands.
fn program() -> anyhow::Result<PathBuf> {
    std::env::current_exe().context("the path of this program cannot be read")
}

/// The agents of this data directory, each under a runner of its own.
fn runners(dir: &DataDir) -> anyhow::Result<RunnerBackend> {
    let servers = dir.private(SERVERS)?;
    let args = [RUNNER.into(), "--servers".into(), servers.clone().into_os_string()];
    let runners = RunnerBackend::new(program()?, args, dir.private(RUNNERS)?, dir.owner()?);
    Ok(runners.with_servers(servers))
}

async fn start_dispatcher(
    config: &Config,
    dir: &DataDir,
    agents: RunnerBackend,
    store: Arc<PgStore>,
) -> anyhow::Result<Dispatcher> {
    dir.private(DEMO_STATE)?;
    let program = program()?;
    let parts = Parts {
        store,
        registry: config.registry(&program),
        warm: Arc::new(agents.clone()),
        oneshot: Arc::new(OneshotBackend::new(agents)),
        // A git that outlives this process is ended by the next one, before it can meet another in the same worktree.
        git: Git::new(boocoder_worktree::Limits::default()).with_variable(OWNER, dir.owner()?),
        // A database of its own is this server's alone.
        server: config.database_url.is_some().then(|| dir.server_id()).transpose()?,
        config: DispatchConfig {
            worktrees: dir.private("worktrees")?,
            preparations: config.preparations.clone(),
            limits: config.turn_limits.clone(),
            agents: config.keeping.clone(),
            prices: config.prices.clone(),
        },
    };
    Dispatcher::start(parts).await.context("the dispatcher cannot be started")
}

/// An address by which a server on `listen` is reached from this machine.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    SocketAddr::new(ip, listen.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_means_every_interface_is_reached_on_loopback() {
        for (listen, address) in [
            ("127.0.0.1:1", "127.0.0.1:1"),
            ("0.0.0.0:1", "127.0.0.1:1"),
            ("[::]:1", "[::1]:1"),
            ("192.168.0.7:1", "192.168.0.7:1"),
        ] {
            assert_eq!(reachable(listen.parse().unwrap()).to_string(), address, "{listen}");
        }
    }
}
