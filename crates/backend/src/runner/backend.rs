//! Sessions that runners keep, through the same port as sessions in this process.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use boocoder_model::{Position, RunnerId};
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};

use super::host::closing_time;
use super::journal::{Reader, read_state};
use super::launch::Program;
use super::link::{Asked, Connection, Feed, Link, Progress, Runner, RunnerSession};
use super::place::Place;
use super::protocol::{Command, Told};
use super::state::{Opening, State};
use crate::limits::{COMMAND_QUEUE, EVENT_QUEUE, RUNNER_PAUSE, RUNNER_REPLY};
use crate::opencode::shared::{self, end_unused};
use crate::process::{Whose, end};
use crate::{AgentBackend, Attached, BackendError, Limits, OpenSpec, Opened, Runners};

/// Keeps each session in a runner, a process of its own that outlives this one. Dropping a session leaves it to its
/// runner; [`close`](crate::AgentSession::close) ends agent and runner.
#[derive(Clone, Debug)]
pub struct RunnerBackend {
    program: Program,
    runners: PathBuf,
    owner: String,
    /// Where the servers are that the runners' agents share.
    servers: Option<PathBuf>,
}

impl RunnerBackend {
    /// A backend that starts its runners as `program` with `args`, to which it adds two: the runner's directory, made
    /// under `runners`, and the mark of its agents. The program calls [`host`](super::host) with the directory and an
    /// [`AcpBackend`](crate::AcpBackend) that is [`owned_by`](crate::AcpBackend::owned_by) the mark.
    ///
    /// The `owner` is what the mark begins with: a name without NUL that outlives this program and that no two
    /// programs have at a time. The path of `runners` is absolute.
    pub fn new(
        program: impl Into<PathBuf>,
        args: impl IntoIterator<Item = impl Into<OsString>>,
        runners: impl Into<PathBuf>,
        owner: impl Into<String>,
    ) -> Self {
        let program = Program { path: program.into(), args: args.into_iter().map(Into::into).collect() };
        Self { program, runners: runners.into(), owner: owner.into(), servers: None }
    }

    /// Names the directory of the servers that agents of its runners share, with hosts that are marked as the same owner's:
    /// see [`OpencodeBackend::shared`](crate::OpencodeBackend::shared). They outlive this program, too.
    #[must_use]
    pub fn with_servers(mut self, servers: impl Into<PathBuf>) -> Self {
        self.servers = Some(servers.into());
        self
    }

    /// Ends the shared servers that nobody uses, without waiting whether somebody will. Done when they have ended, or after
    /// `limit`.
    pub async fn end_unused_servers(&self, limit: Duration) {
        if let Some(servers) = &self.servers {
            end_unused(servers, &self.owner, limit).await;
        }
    }

    /// Ends what is left of agents whose runners have died, and of those that a program without runners had started
    /// for the same owner; see [`end_leftovers`](crate::end_leftovers). The agents of runners that live are spared.
    pub async fn end_leftovers(&self, limit: Duration) -> usize {
        let living = self.list().await.into_iter().filter(|id| Place::of(&self.runners, *id).is_alive());
        let servers = self.servers.as_deref().map(shared::living).unwrap_or_default();
        let living = living.map(RunnerId::as_uuid).chain(servers).collect();
        end(Whose::Owner { owner: self.owner.clone(), living }, limit).await
    }

    fn runner(&self, id: RunnerId, limits: &Limits) -> Runner {
        let mark = format!("{}/{id}", self.owner);
        Runner { place: Place::of(&self.runners, id), mark, kill: limits.kill }
    }

    /// Opens a session through a runner that has just been started.
    async fn open_in(&self, runner: &Runner, spec: OpenSpec) -> Result<Opened, BackendError> {
        let limits = spec.agent.limits.clone();
        let mut connection = self.program.launch(runner, limits.start).await?;
        // The agent has its own limit for the start, and its end takes time, too, if it fails.
        let limit = limits.start + limits.kill * 4 + RUNNER_REPLY;
        let opening = timeout(limit, open_through(&mut connection, spec)).await;
        opening.map_err(|_| BackendError::Runner(format!("did not answer the opening within {limit:?}")))??;
        let state = state_of(runner).await?.unwrap_or_default();
        follow(runner.clone(), state, Position::ZERO, Some(connection)).await
    }
}

#[async_trait]
impl AgentBackend for RunnerBackend {
    async fn open(&self, spec: OpenSpec) -> Result<Opened, BackendError> {
        let runner = self.runner(spec.runner, &spec.agent.limits);
        let command = self.program.path.to_string_lossy().into_owned();
        runner.place.create().map_err(|source| BackendError::Spawn { command, source })?;
        // Whoever does not wait for the end leaves nothing behind either.
        let mut unopened = Unopened(Some(runner.clone()));
        let opened = self.open_in(&runner, spec).await;
        unopened.0 = None;
        if opened.is_err() {
            remove(&runner).await;
        }
        opened
    }

    fn runners(&self) -> Option<&dyn Runners> {
        Some(self)
    }
}

#[async_trait]
impl Runners for RunnerBackend {
    async fn list(&self) -> Vec<RunnerId> {
        let runners = self.runners.clone();
        let names = tokio::task::spawn_blocking(move || {
            let entries = runners.read_dir().into_iter().flatten().flatten();
            let mut ids: Vec<_> = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
            ids.sort_unstable();
            ids
        });
        names.await.unwrap_or_default()
    }

    async fn attach(&self, id: RunnerId, after: Position) -> Result<Attached, BackendError> {
        let mut runner = self.runner(id, &Limits::default());
        let mut connection = None;
        if runner.place.is_alive() {
            match runner.connect().await {
                Ok(connected) => connection = Some(connected),
                // One that nobody can talk to is as good as dead, and must not work on unseen.
                Err(error) => {
                    tracing::warn!(%error, mark = runner.mark, "a runner is killed");
                    runner.kill().await;
                    if runner.place.is_alive() {
                        return Err(error);
                    }
                }
            }
        }
        let state = match &mut connection {
            Some(connection) => decided(&runner, connection).await?,
            None => runner.bury().await?.0,
        };
        if let Some(limits) = &state.limits {
            runner.kill = limits.kill;
        }
        let told = state.told();
        let opened = follow(runner, state, after, connection).await?;
        Ok(Attached { opened, state: told })
    }

    async fn discard(&self, id: RunnerId) {
        remove(&self.runner(id, &Limits::default())).await;
    }
}

/// Asks a runner to open its session, before anything else is asked of it.
async fn open_through(connection: &mut Connection, spec: OpenSpec) -> Result<(), BackendError> {
    let broken = || BackendError::Runner("ended while the agent started".to_owned());
    connection.send(0, &Command::Open(Box::new(spec))).await.map_err(|_| broken())?;
    loop {
        match connection.told.recv().await {
            Some(Told::Reply { id: 0, error }) => return error.map_or(Ok(()), |error| Err(error.into())),
            Some(Told::Reply { .. }) => {}
            Some(Told::Written(written)) => connection.written = written,
            Some(Told::Replaced) | None => return Err(broken()),
        }
    }
}

/// Where a living runner's session stands, once its opening is decided.
async fn decided(runner: &Runner, connection: &mut Connection) -> Result<State, BackendError> {
    let deciding = async {
        loop {
            let state = state_of(runner).await?.unwrap_or_default();
            if state.opening != Opening::UnderWay || !runner.place.is_alive() {
                return Ok(state);
            }
            sleep(RUNNER_PAUSE).await;
        }
    };
    let limit = state_of(runner).await?.and_then(|state| state.limits).unwrap_or_default().start + RUNNER_REPLY;
    let deciding = timeout(limit, deciding).await;
    let state: State =
        deciding.unwrap_or_else(|_| Err(BackendError::Runner(format!("did not open a session within {limit:?}"))))?;
    if state.opening == Opening::Idle {
        // Whoever would have asked for a session has been replaced by us: nobody will, and it is not needed.
        let _ = connection.send(0, &Command::Close).await;
        return Err(BackendError::Closed);
    }
    Ok(state)
}

/// A session where it stands, its events from `after` on. Without a connection its runner has died and is buried.
async fn follow(
    runner: Runner,
    state: State,
    after: Position,
    connection: Option<Connection>,
) -> Result<Opened, BackendError> {
    let info = state.opened().unwrap_or(Err(BackendError::Closed))?;
    let dir = runner.place.dir().to_owned();
    let reader = tokio::task::spawn_blocking(move || Reader::open(&dir, after)).await;
    let unreadable =
        |error: &dyn std::fmt::Display| BackendError::Runner(format!("has an unreadable journal: {error}"));
    let reader = reader.map_err(|error| unreadable(&error))?.map_err(|error| unreadable(&error))?;
    let reader = reader.ok_or(BackendError::Closed)?;
    let limits = state.limits.clone().unwrap_or_default();
    let (asked_tx, asked) = mpsc::channel::<Asked>(COMMAND_QUEUE);
    let (consumed_tx, consumed) = watch::channel(Position::ZERO);
    let (progress_tx, progress) = watch::channel(Progress::Written(Position::ZERO));
    let (events_tx, events) = mpsc::channel(EVENT_QUEUE);
    tokio::spawn(Feed::new(reader, progress, events_tx).run());
    let link = Link::new(runner.clone(), asked, consumed, progress_tx);
    match connection {
        Some(connection) => drop(tokio::spawn(link.run(connection))),
        None => drop(tokio::spawn(link.mourn())),
    }
    let session = RunnerSession { info, runner, limits, asked: asked_tx, consumed: consumed_tx };
    Ok(Opened { session: std::sync::Arc::new(session), events })
}

async fn state_of(runner: &Runner) -> Result<Option<State>, BackendError> {
    let dir = runner.place.dir().to_owned();
    match tokio::task::spawn_blocking(move || read_state(&dir)).await {
        Ok(Ok(state)) => Ok(state),
        Ok(Err(error)) => Err(BackendError::Runner(format!("has an unreadable journal: {error}"))),
        Err(error) => Err(BackendError::Runner(format!("has a journal that was not read: {error}"))),
    }
}

/// Ends a runner and its agent, and removes its directory.
async fn remove(runner: &Runner) {
    if runner.place.is_alive() {
        if let Ok(mut connection) = runner.connect().await {
            let _ = connection.send(0, &Command::Close).await;
            // It ends on its own, and the connection with it.
            let closing = async { while connection.told.recv().await.is_some() {} };
            let _ = timeout(closing_time(runner.kill), closing).await;
        }
        let _ = timeout(RUNNER_REPLY, gone(runner)).await;
        runner.kill().await;
    }
    end(Whose::Agents(runner.mark.clone()), runner.kill).await;
    if let Err(error) = tokio::fs::remove_dir_all(runner.place.dir()).await
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(%error, mark = runner.mark, "what a runner has left was not removed");
    }
}

/// Done when the runner has ended.
async fn gone(runner: &Runner) {
    while runner.place.is_alive() {
        sleep(RUNNER_PAUSE).await;
    }
}

/// A runner that was started, and whose session nobody holds yet.
struct Unopened(Option<Runner>);

impl Drop for Unopened {
    fn drop(&mut self) {
        if let Some(runner) = self.0.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(async move { remove(&runner).await });
        }
    }
}
