//! What runs inside a runner: one session, its journal, and whichever server is connected.
//!
//! | module | does |
//! | --- | --- |
//! | `mod` | the life of the process: its lock, its signals, its end |
//! | `keeper` | the session and the journal: carries out commands, writes down what happens |
//! | `server` | one connected server |
//!
//! Nothing that happens is held back in memory: it goes into the journal, and a server is only told how far that is.

mod keeper;
mod server;

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UnixListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{sleep, timeout};

use self::keeper::Keeper;
use self::server::Servers;
use super::error::{Doing, RunnerError};
use super::journal::Writer;
use super::place::Place;
use crate::AgentBackend;
use crate::limits::{LAST_RECORD, LAST_WORDS, LOCK_PAUSE, LOCK_ROUNDS, RunnerLimits};

/// Is a runner: keeps one session of `backend` alive, writes down in `dir` all that happens in it, and does what the
/// server says that connects to the socket in there. Returns when the session has ended, or never began. The program
/// that calls it does nothing else, and ends when it returns.
///
/// It leaves the terminal and the process group of whoever started it. SIGINT and SIGHUP are not for it; SIGTERM closes
/// the session.
///
/// # Errors
/// [`RunnerError`], if it cannot begin.
pub async fn host(dir: PathBuf, backend: Arc<dyn AgentBackend>, limits: RunnerLimits) -> Result<(), RunnerError> {
    // A process that leads its group, being started by hand, cannot and need not leave it.
    let _ = rustix::process::setsid();
    let mut signals = Signals::catch()?;
    let place = Place::new(dir);
    let lock = lock(&place).await?;
    let secret = place.secret().doing("read the secret")?;
    let writer = Writer::create(place.dir().to_owned(), limits.segment).doing("begin the journal")?;
    let listener = place.listen().doing("listen on the socket")?;
    let keeper = Arc::new(Keeper::new(backend, writer, limits));
    let servers = Arc::new(Servers::new(secret, Arc::clone(&keeper)));
    let life = Life { listener, keeper, servers, limits };
    life.run(&mut signals).await;
    drop(lock);
    Ok(())
}

/// Whoever looks whether a runner lives holds the lock for a moment.
async fn lock(place: &Place) -> Result<File, RunnerError> {
    for _ in 0..LOCK_ROUNDS {
        match place.lock() {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => sleep(LOCK_PAUSE).await,
            result => return result.doing("take the lock"),
        }
    }
    Err(RunnerError::Locked)
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn catch() -> Result<Self, RunnerError> {
        let catch = |kind| signal(kind).doing("catch signals");
        Ok(Self {
            terminate: catch(SignalKind::terminate())?,
            interrupt: catch(SignalKind::interrupt())?,
            hang_up: catch(SignalKind::hangup())?,
        })
    }

    /// Done when the runner is asked to end.
    async fn terminate(&mut self) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => {}
                _ = self.hang_up.recv() => {}
            }
        }
    }
}

struct Life {
    listener: UnixListener,
    keeper: Arc<Keeper>,
    servers: Arc<Servers>,
    limits: RunnerLimits,
}

impl Life {
    async fn run(self, signals: &mut Signals) {
        let mut over = self.keeper.over();
        let ended = tokio::select! {
            _ = over.wait_for(|over| *over) => true,
            () = self.accept() => false,
            () = signals.terminate() => false,
            () = self.orphaned() => false,
        };
        if !ended {
            self.keeper.close().await;
            // A disk that is full and stays so does not keep the process: its server says the last words then.
            let _ = timeout(LAST_RECORD, over.wait_for(|over| *over)).await;
        }
        let _ = timeout(LAST_WORDS, self.servers.finish()).await;
    }

    /// Lets servers in. Each is looked at in a task of its own, so that nobody keeps another one waiting.
    async fn accept(&self) {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => drop(tokio::spawn(Arc::clone(&self.servers).welcome(stream))),
                Err(error) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    sleep(LOCK_PAUSE).await;
                }
            }
        }
    }

    /// Done when there has been no server for too long.
    async fn orphaned(&self) {
        let mut connected = self.servers.connected();
        loop {
            let limit = if self.keeper.is_idle() { self.limits.idle } else { self.limits.orphan };
            if timeout(limit, connected.wait_for(|connected| *connected)).await.is_err() {
                tracing::info!(?limit, "nobody has come for the session, and it is closed");
                return;
            }
            let _ = connected.wait_for(|connected| !*connected).await;
        }
    }
}

/// The time that closing takes at most, given what each step of ending a process has.
pub(crate) fn closing_time(kill: Duration) -> Duration {
    kill * 4 + LAST_RECORD + LAST_WORDS
}
