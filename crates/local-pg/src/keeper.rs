//! The thread that keeps the server: it prepares and starts it, starts it again when it dies, and stops it.
//!
//! It is a thread of its own, with a runtime of its own, for one reason: on Linux the parent-death signal follows the
//! thread that started a child. On a worker of somebody else's runtime the database would die with that worker.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep};

use crate::account::Accounts;
use crate::binaries::select;
use crate::cluster::{DataDir, ROLE};
use crate::config::LocalPgConfig;
use crate::error::{LocalPgError, chain};
use crate::limits::Limits;
use crate::postmaster::{Launch, Postmaster};
use crate::version::Version;

/// How the database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PgState {
    /// It accepts connections.
    Running {
        /// How often it has been started again since [`LocalPg::start`](crate::LocalPg::start).
        restarts: u32,
    },
    /// It died and is being started again; connections fail until it runs.
    Restarting {
        /// How it died, with the last lines of its log.
        reason: String,
    },
    /// It died too often, or could not be started again. This is final.
    Failed {
        /// The last failure.
        reason: String,
    },
    /// It was stopped. This is final.
    Stopped,
}

/// What the keeper reports of a start.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) connection_string: String,
    pub(crate) socket_dir: PathBuf,
    pub(crate) version: Version,
    pub(crate) source: String,
    pub(crate) state: watch::Receiver<PgState>,
}

/// The reins of a keeper.
#[derive(Debug)]
pub(crate) struct Reins {
    /// Dropped to have the keeper stop the server and end.
    pub(crate) stop: oneshot::Sender<()>,
    /// Resolves when it has.
    pub(crate) done: oneshot::Receiver<()>,
}

/// Starts the thread, and waits until the database runs.
pub(crate) async fn start(config: LocalPgConfig) -> Result<(Started, Reins), LocalPgError> {
    let (report, started) = oneshot::channel();
    let (stop, stopped) = oneshot::channel();
    let (finish, done) = oneshot::channel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(gone)?;
    let keep = move || {
        runtime.block_on(keep(config, report, stopped));
        drop(runtime);
        drop(finish);
    };
    std::thread::Builder::new().name("local-pg".to_owned()).spawn(keep).map_err(gone)?;
    let started = started.await.map_err(|_| LocalPgError::Keeper(None))??;
    Ok((started, Reins { stop, done }))
}

fn gone(error: io::Error) -> LocalPgError {
    LocalPgError::Keeper(Some(error))
}

/// The life of the thread. A caller that gives up waiting for the start drops `stopped`'s other end, which ends it.
async fn keep(
    config: LocalPgConfig,
    report: oneshot::Sender<Result<Started, LocalPgError>>,
    mut stopped: oneshot::Receiver<()>,
) {
    let starting = async {
        let launch = prepare(config).await?;
        let postmaster = launch.start().await?;
        Ok((launch, postmaster))
    };
    let outcome = tokio::select! {
        outcome = starting => outcome,
        _ = &mut stopped => return,
    };
    let (launch, postmaster) = match outcome {
        Ok(running) => running,
        Err(error) => return drop(report.send(Err(error))),
    };
    let (sender, state) = watch::channel(PgState::Running { restarts: 0 });
    let started = Started {
        connection_string: launch.connection_string(ROLE),
        socket_dir: launch.socket_dir.clone(),
        version: launch.binaries.version,
        source: launch.binaries.source.clone(),
        state,
    };
    // If nobody waits for the answer any more, `stopped` has resolved, too, and the server is stopped at once.
    drop(report.send(Ok(started)));
    supervise(&launch, postmaster, &sender, stopped).await;
}

/// Everything before the first start: the lock, the account, the programs, the cluster.
async fn prepare(config: LocalPgConfig) -> Result<Launch, LocalPgError> {
    let data_dir = DataDir::lock(&config.data_dir)?;
    let (cluster, existing) = (data_dir.cluster(), data_dir.existing()?);
    let accounts = Accounts::decide(&config, &cluster, existing).await?;
    let binaries = select(&config, &accounts, &cluster, existing).await?;
    tracing::info!("database: {}", binaries.source);
    data_dir.ensure_cluster(&accounts, &binaries, &config.search_path, &config.limits).await?;
    data_dir.write_access_rules(&accounts)?;
    let socket_dir = data_dir.ensure_socket_dir(&accounts)?;
    Ok(Launch { data_dir, accounts, binaries, socket_dir, limits: config.limits })
}

/// Watches the server until it is to stop, and starts it again each time it dies.
async fn supervise(
    launch: &Launch,
    mut postmaster: Postmaster,
    state: &watch::Sender<PgState>,
    mut stopped: oneshot::Receiver<()>,
) {
    let limits = &launch.limits;
    let mut restarts = 0;
    let mut in_a_row = 0;
    loop {
        let since = Instant::now();
        let mut reason = tokio::select! {
            _ = &mut stopped => {
                postmaster.stop(limits).await;
                state.send_replace(PgState::Stopped);
                return;
            }
            reason = postmaster.ended() => reason,
        };
        if since.elapsed() >= limits.restart_window {
            in_a_row = 0;
        }
        postmaster = loop {
            if in_a_row >= limits.max_restarts {
                tracing::error!(reason, restarts, "the database server died too often and is given up");
                state.send_replace(PgState::Failed { reason });
                return;
            }
            tracing::warn!(reason, "the database server died and is started again");
            state.send_replace(PgState::Restarting { reason });
            let again = async {
                sleep(pause(limits, in_a_row)).await;
                launch.start().await
            };
            let outcome = tokio::select! {
                _ = &mut stopped => {
                    state.send_replace(PgState::Stopped);
                    return;
                }
                outcome = again => outcome,
            };
            restarts += 1;
            in_a_row += 1;
            match outcome {
                Ok(postmaster) => break postmaster,
                Err(error) => reason = chain(&error),
            }
        };
        state.send_replace(PgState::Running { restarts });
    }
}

/// The pause before a restart: none before the first, then twice as long each time.
fn pause(limits: &Limits, in_a_row: u32) -> Duration {
    let doublings = in_a_row.checked_sub(1).map(|exponent| 2_u32.saturating_pow(exponent));
    doublings.map_or(Duration::ZERO, |factor| limits.restart_pause.saturating_mul(factor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_after_the_first_restart() {
        let limits = Limits { restart_pause: Duration::from_millis(100), ..Limits::default() };
        let pauses: Vec<u128> = (0..5).map(|in_a_row| pause(&limits, in_a_row).as_millis()).collect();
        assert_eq!(pauses, [0, 100, 200, 400, 800]);
        assert!(pause(&limits, u32::MAX) > Duration::from_secs(1), "no overflow");
    }
}
