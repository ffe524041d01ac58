//! Starts a runner, and waits until it takes connections.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::link::{Connection, Runner};
use crate::BackendError;
use crate::limits::{RUNNER_LOG_TAIL, RUNNER_PAUSE};
use crate::process::RUNNER;

/// How a runner is started: the program, and its arguments before the runner's own two (see
/// [`RunnerBackend::new`](super::RunnerBackend::new)).
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    pub(crate) args: Vec<OsString>,
}

impl Program {
    /// Starts a runner in its place and connects to it, within `limit`.
    pub(crate) async fn launch(&self, runner: &Runner, limit: Duration) -> Result<Connection, BackendError> {
        let spawn_error = |source| BackendError::Spawn { command: self.path.to_string_lossy().into_owned(), source };
        let mut command = Command::new(&self.path);
        command.args(&self.args).arg(runner.place.dir()).arg(&runner.mark).env(RUNNER, &runner.mark);
        let log = runner.place.log().map_err(spawn_error)?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).current_dir("/");
        let ended = reap(command.spawn().map_err(spawn_error)?);
        match timeout(limit, connect(runner, ended)).await {
            Ok(connected) => connected,
            Err(_) => Err(BackendError::Runner(format!("did not start within {limit:?}"))),
        }
    }
}

/// Waits for the child in a task of its own, so that it leaves no zombie and yet lives as long as it likes. Told how it
/// ended.
fn reap(mut child: Child) -> watch::Receiver<Option<String>> {
    let (ended_tx, ended) = watch::channel(None);
    tokio::spawn(async move {
        let status = child.wait().await.map_or_else(|error| error.to_string(), |status| status.to_string());
        ended_tx.send_replace(Some(status));
    });
    ended
}

async fn connect(runner: &Runner, ended: watch::Receiver<Option<String>>) -> Result<Connection, BackendError> {
    loop {
        // A socket comes into being after the lock was taken.
        if runner.place.is_alive()
            && let Ok(connection) = runner.connect().await
        {
            return Ok(connection);
        }
        if let Some(status) = ended.borrow().as_ref() {
            let log = runner.place.log_tail(RUNNER_LOG_TAIL);
            return Err(BackendError::Runner(format!("ended while it started ({status}): {log}")));
        }
        sleep(RUNNER_PAUSE).await;
    }
}
