//! One server for all sessions of a data directory: kept by a process of its own, its *host*, that outlives whoever
//! started it.
//!
//! Host and sessions meet in a directory that is named by all that the server is started with:
//!
//! | file | |
//! | --- | --- |
//! | `lock` | held by the host while it lives |
//! | `lease` | held, shared, by everybody who uses the server; when nobody does for long enough, the host ends it |
//! | `address.json` | where the server listens and its password; locked by the host that keeps this very server, while it lives |
//! | `end.json` | how the last server ended |
//! | `sessions/` | a file for each session, locked by whoever looks after it; one that nobody looks after any more, since that process was killed, the host stops |
//! | `log` | what the host had to say |
//!
//! Locks end with the process that holds them, however that dies, so nothing here goes stale.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use boocoder_model::RunnerId;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep, timeout_at};
use uuid::Uuid;

use super::server::{self, Server};
use super::turns::abort;
use super::v1::{Address, Client};
use crate::limits::{
    LOCK_PAUSE, LOCK_ROUNDS, RUNNER_LOG_TAIL, SERVER_ANSWERS, SERVER_LINGER, SERVER_LOOK, SERVER_PAUSE,
};
use crate::process::{RUNNER, Whose, end, wait_gone};
use crate::runner::{By, Doing, OpenForm, Place, Read, RunnerError};
use crate::{AgentSpec, BackendError, Environment, OpenSpec, environment_for};

const ADDRESS: &str = "address.json";
const END: &str = "end.json";
const SESSIONS: &str = "sessions";

/// How a host is started, and where.
#[derive(Clone, Debug)]
pub(super) struct Hosts {
    pub(super) program: PathBuf,
    pub(super) args: Vec<std::ffi::OsString>,
    pub(super) dir: PathBuf,
    pub(super) owner: String,
}

/// What a session holds while it uses a server.
pub(super) struct Lease {
    place: Place,
    _held: File,
}

#[derive(Serialize, Deserialize)]
struct Listening {
    address: Address,
    pid: u32,
}

#[derive(Default, Serialize, Deserialize)]
struct Ended {
    status: String,
    stderr: String,
}

/// Says that somebody looks after a session.
pub(super) struct Claim {
    path: PathBuf,
    _held: File,
}

/// Which session that is.
#[derive(Serialize, Deserialize)]
struct Claimed {
    session: String,
    directory: String,
}

impl Claim {
    /// The session has stopped in good order.
    pub(super) fn give_up(self) {
        // What stays is looked at by the host, and then removed.
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Lease {
    /// Claims a session, once the host has stopped what an earlier owner has left. The file is whole and locked before
    /// it is where the host looks.
    pub(super) async fn claim(&self, session: &str, directory: &str) -> io::Result<Claim> {
        let dir = self.place.dir().join(SESSIONS);
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        let name = hex(&Sha256::digest(session));
        let path = dir.join(&name);
        // Held until ours is in its place, so that the host does not take ours for it.
        let _left = loop {
            let left = File::open(&path).ok();
            match left.as_ref().map(File::try_lock) {
                Some(Err(TryLockError::WouldBlock)) => sleep(SERVER_LOOK).await,
                Some(Ok(()) | Err(TryLockError::Error(_))) | None => break left,
            }
        };
        let claimed = Claimed { session: session.to_owned(), directory: directory.to_owned() };
        let new = self.place.dir().join(format!("{name}.{}", std::process::id()));
        let held = write_as(&new, &path, &claimed)?;
        Ok(Claim { path, _held: held })
    }

    pub(super) fn is_alive(&self) -> bool {
        self.place.is_alive()
    }

    pub(super) fn end(&self) -> (String, String) {
        let ended: Ended = read(&self.place.dir().join(END)).unwrap_or_default();
        let status = if ended.status.is_empty() { "its host has gone".to_owned() } else { ended.status };
        (status, ended.stderr)
    }
}

impl Hosts {
    /// The server of this agent, started if it does not run, within the agent's start limit.
    pub(super) async fn acquire(&self, agent: &AgentSpec, ours: &Environment) -> Result<Arc<Server>, BackendError> {
        let id = identity(agent, ours);
        let place = Place::new(self.dir.join(id.to_string()));
        let spawn_error = |source| BackendError::Spawn { command: agent.command.clone(), source };
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(place.dir()).map_err(spawn_error)?;
        let limit = agent.limits.start;
        let acquiring = self.wait(&place, id, agent);
        match timeout_at(Instant::now() + limit + agent.limits.kill * 2, acquiring).await {
            Ok(server) => server.map(Arc::new),
            Err(_) => Err(BackendError::StartTimeout {
                stage: "the start of its server",
                limit,
                stderr: place.log_tail(RUNNER_LOG_TAIL),
            }),
        }
    }

    async fn wait(&self, place: &Place, id: Uuid, agent: &AgentSpec) -> Result<Server, BackendError> {
        let spawn_error = |source| BackendError::Spawn { command: agent.command.clone(), source };
        let mut started: Option<Child> = None;
        loop {
            if let Some(held) = lease(place.dir(), File::try_lock_shared).map_err(spawn_error)? {
                if let Some(Listening { address, pid }) = kept(place.dir())
                    && listens(&address).await
                {
                    reap(started);
                    return Ok(Server::shared(address, pid, Lease { place: place.clone(), _held: held }));
                }
                if let Some(child) = &mut started
                    && let Some(status) = child.try_wait().map_err(spawn_error)?
                {
                    // One that found another in its place is no failure.
                    if !status.success() {
                        let ended: Ended = read(&place.dir().join(END)).unwrap_or_default();
                        let stderr =
                            if ended.stderr.is_empty() { place.log_tail(RUNNER_LOG_TAIL) } else { ended.stderr };
                        let status = if ended.status.is_empty() { status.to_string() } else { ended.status };
                        return Err(BackendError::Exited { status, stderr });
                    }
                    started = None;
                }
                if started.is_none() && !place.is_alive() {
                    started = Some(self.launch(place, id, agent).await.map_err(spawn_error)?);
                }
            }
            sleep(SERVER_LOOK).await;
        }
    }

    /// Starts a host. What it has to know goes by a pipe, since there may be secrets in it.
    async fn launch(&self, place: &Place, id: Uuid, agent: &AgentSpec) -> io::Result<Child> {
        let mark = format!("{}/{id}", self.owner);
        let mut command = Command::new(&self.program);
        command.args(&self.args).arg(place.dir()).arg(&mark).env(RUNNER, &mark);
        // What an earlier host had to say would pass for this one's words, and grow without end.
        let log = place.log()?;
        log.set_len(0)?;
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log).current_dir("/");
        let mut child = command.spawn()?;
        let (agent, cwd) = (agent.clone(), place.dir().to_owned());
        let spec = OpenSpec { agent, cwd, resume: None, runner: RunnerId::from_uuid(id) };
        let told = serde_json::to_vec(&By::<OpenForm>(&spec))?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(&told).await?;
        }
        Ok(child)
    }
}

/// Ends the servers under `dir` that nobody uses: the hosts are asked, and what a host that was killed has left is ended.
/// Done when they have ended, or after `limit`.
pub(crate) async fn end_unused(dir: &Path, owner: &str, limit: Duration) {
    let ending = places(dir).map(|(id, place)| {
        let mark = format!("{owner}/{id}");
        async move {
            // Whoever was the last one may still be on its way out.
            let deadline = Instant::now() + limit;
            while place.is_alive() && Instant::now() < deadline {
                if lease(place.dir(), File::try_lock).ok().flatten().is_some() {
                    end(Whose::Runner(mark.clone()), deadline.saturating_duration_since(Instant::now())).await;
                }
                sleep(SERVER_LOOK).await;
            }
            if !place.is_alive() {
                end(Whose::Agents(mark), SERVER_PAUSE).await;
                let _ = std::fs::remove_file(place.dir().join(ADDRESS));
            }
        }
    });
    futures::future::join_all(ending).await;
}

/// The hosts under `dir` that live.
pub(crate) fn living(dir: &Path) -> Vec<Uuid> {
    places(dir).filter(|(_, place)| place.is_alive()).map(|(id, _)| id).collect()
}

fn places(dir: &Path) -> impl Iterator<Item = (Uuid, Place)> {
    let entries = dir.read_dir().into_iter().flatten().flatten();
    entries.filter_map(|entry| {
        let id = entry.file_name().to_str()?.parse().ok()?;
        Some((id, Place::new(entry.path())))
    })
}

/// Is the host of a server: starts it, keeps it while anybody uses it, and ends it when nobody does for long enough or,
/// after SIGTERM, as soon as nobody does. Returns when it has ended, or when another host is there already. The agent is
/// read from standard input. The program that calls it does nothing else.
///
/// # Errors
/// [`RunnerError`] if it cannot begin, or if the server does not start.
pub async fn host_server(dir: PathBuf, mark: String, ours: Environment) -> Result<(), RunnerError> {
    let _ = rustix::process::setsid();
    let place = Place::new(dir);
    let mut told = Vec::new();
    tokio::io::stdin().read_to_end(&mut told).await.doing("read the agent")?;
    let Read(spec) =
        serde_json::from_slice::<Read<OpenForm>>(&told).map_err(io::Error::from).doing("read the agent")?;
    let Some(_lock) = lock(&place).await? else { return Ok(()) };
    let _ = std::fs::remove_file(place.dir().join(ADDRESS));
    // What an earlier host that was killed has left.
    end(Whose::Agents(mark.clone()), spec.agent.limits.kill).await;
    let result = keep(&place, &mark, &spec.agent, &ours).await;
    let _ = std::fs::remove_file(place.dir().join(ADDRESS));
    result
}

/// The lock; none if another host has it.
async fn lock(place: &Place) -> Result<Option<File>, RunnerError> {
    for _ in 0..LOCK_ROUNDS {
        match place.lock() {
            Ok(lock) => return Ok(Some(lock)),
            // Whoever looks whether a host lives holds it for a moment.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => sleep(LOCK_PAUSE).await,
            Err(error) => return Err(error).doing("take the lock"),
        }
    }
    Ok(None)
}

/// Starts the server and keeps it.
async fn keep(place: &Place, mark: &str, agent: &AgentSpec, ours: &Environment) -> Result<(), RunnerError> {
    let mut terminate = signal(SignalKind::terminate()).doing("catch signals")?;
    // Caught, and no concern of ours: they are meant for whoever started us.
    let _interrupt = signal(SignalKind::interrupt()).doing("catch signals")?;
    let _hang_up = signal(SignalKind::hangup()).doing("catch signals")?;
    let _ = std::fs::remove_file(place.dir().join(END));
    let told = |ended| write(&place.dir().join(END), &ended).map(drop).doing("write down how the server ended");
    let (process, address) = match server::start(agent, ours, Some(mark), place.dir()).await {
        Ok(started) => started,
        Err(BackendError::Exited { status, stderr }) => {
            told(Ended { status, stderr })?;
            return Err(io::Error::other("it exited")).doing("start the server");
        }
        Err(error) => {
            told(Ended { status: error.to_string(), stderr: String::new() })?;
            return Err(io::Error::other(error)).doing("start the server");
        }
    };
    let listening = Listening { address: address.clone(), pid: process.pid() };
    let _address = write(&place.dir().join(ADDRESS), &listening).doing("write down where the server listens")?;
    let mut gone = process.goes();
    let (mut unused_since, mut asked) = (None, false);
    let _held = loop {
        tokio::select! {
            _ = gone.wait_for(|gone| *gone) => break None,
            _ = terminate.recv() => asked = true,
            () = sleep(SERVER_PAUSE) => stop_orphans(place, &address).await,
        }
        match lease(place.dir(), File::try_lock).doing("take the lease")? {
            None => unused_since = None,
            Some(held) => {
                let since = *unused_since.get_or_insert_with(Instant::now);
                if asked || since.elapsed() >= SERVER_LINGER {
                    break Some(held);
                }
            }
        }
    };
    // From here on nobody takes this one for one that lives.
    let _ = std::fs::remove_file(place.dir().join(ADDRESS));
    process.stop();
    wait_gone(process.goes()).await;
    let status = process.exit().map_or_else(String::new, |exit| exit.to_string());
    told(Ended { status, stderr: process.stderr() })
}

/// Stops the sessions that nobody looks after any more: what they do is not to go on unseen.
async fn stop_orphans(place: &Place, address: &Address) {
    for entry in place.dir().join(SESSIONS).read_dir().into_iter().flatten().flatten() {
        let path = entry.path();
        let Some(file) = File::open(&path).ok().filter(|file| file.try_lock().is_ok()) else { continue };
        if let Some(Claimed { session, directory }) = read(&path) {
            let stopped = async {
                let client = Client::new(address.clone(), directory, SERVER_ANSWERS)?;
                abort(&client, &session, std::slice::from_ref(&session)).await
            };
            if let Err(error) = stopped.await {
                tracing::warn!(%error, session, "a session that nobody looks after was not stopped");
                continue;
            }
            tracing::info!(session, "a session that nobody looks after was stopped");
        }
        // Whoever claims the session holds the lock until its own file is here, so it is still the same one.
        let _ = std::fs::remove_file(&path);
        drop(file);
    }
}

/// Whether a server answers there.
async fn listens(address: &Address) -> bool {
    match Client::new(address.clone(), "/".to_owned(), SERVER_ANSWERS) {
        // What it answers is looked at when a session is entered.
        Ok(client) => !matches!(client.version().await, Err(BackendError::Closed)),
        Err(_) => false,
    }
}

/// A lock on the lease, of the kind that `take` takes; none while somebody holds another that does not go with it.
fn lease(dir: &Path, take: fn(&File) -> Result<(), TryLockError>) -> io::Result<Option<File>> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(dir.join("lease"))?;
    match take(&file) {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

/// Where the server listens that a living host keeps. One whose host was killed may still answer, and is on its way out:
/// the next host lives before it has ended it, so that somebody holds the host's lock proves nothing of an address.
fn kept(dir: &Path) -> Option<Listening> {
    let file = File::open(dir.join(ADDRESS)).ok()?;
    matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)).then(|| serde_json::from_reader(file).ok())?
}

/// Writes a file for its owner's eyes, whole or not at all, and holds it locked.
fn write(path: &Path, value: &impl Serialize) -> io::Result<File> {
    write_as(&path.with_extension("new"), path, value)
}

/// The same, with the name that it has until it is whole.
fn write_as(new: &Path, path: &Path, value: &impl Serialize) -> io::Result<File> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(new)?;
    file.lock()?;
    file.write_all(&serde_json::to_vec(value)?)?;
    std::fs::rename(new, path)?;
    Ok(file)
}

/// Waits for a host in a task of its own, so that it leaves no zombie and yet lives as long as it likes.
fn reap(child: Option<Child>) {
    if let Some(mut child) = child {
        tokio::spawn(async move { child.wait().await });
    }
}

/// What tells one server from another: all that it is started with.
fn identity(agent: &AgentSpec, ours: &Environment) -> Uuid {
    let mut environment = environment_for(agent, ours);
    environment.remove(std::ffi::OsStr::new("OPENCODE_SERVER_PASSWORD"));
    let digest = Sha256::digest(format!("{}{environment:?}", agent.fingerprint()));
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_good_while_the_host_that_wrote_it_lives() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::new(dir.path().to_owned());
        let address = Address { url: "http://127.0.0.1:1".to_owned(), password: "secret".to_owned() };
        let written = write(&dir.path().join(ADDRESS), &Listening { address, pid: 7 }).unwrap();
        assert_eq!(kept(dir.path()).map(|kept| kept.pid), Some(7));
        drop(written);
        let _next_host = place.lock().unwrap();
        assert!(place.is_alive() && kept(dir.path()).is_none(), "the next host has not come to remove it yet");
    }
}
