//! opencode through its HTTP server.
//!
//! | module | holds |
//! | --- | --- |
//! | `v1` | the protocol: every path, every body, the version |
//! | `server`, `shared` | the server's process: our own, or one that all sessions of a data directory share |
//! | `stream`, `sse` | the event stream, opened anew when it breaks, and what was missed asked for |
//! | `session`, `turns` | the one actor of a session |
//! | `mapper`, `reading`, `filter` | from events to what the agent said and did: pure |
//! | `settle` | when a turn is over: pure |
//! | `questions`, `settings` | what is asked and what can be set |
//!
//! A second version of the protocol gets a module beside `v1`.

mod filter;
mod mapper;
mod questions;
mod reading;
mod server;
mod session;
mod settings;
mod settle;
pub(crate) mod shared;
mod sse;
mod stream;
mod turns;
mod v1;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Weak};

use async_trait::async_trait;
use boocoder_model::{AgentSessionId, Resumed};
use tokio::sync::{Mutex, mpsc};
use tokio::time::{Instant, sleep, timeout};

use self::server::Server;
use self::session::{Parts, Session, wall_clock};
use self::settings::Settings;
use self::shared::Hosts;
pub use self::shared::host_server;
use self::stream::Reader;
use self::v1::Client;
pub use self::v1::check_version as check_opencode_version;
use crate::limits::{COMMAND_QUEUE, EVENT_QUEUE, INCOMING_QUEUE, LOOK_PAUSE};
use crate::session::SessionHandle;
use crate::{AgentBackend, BackendError, Environment, OpenSpec, Opened, PromptSupport, Protocol, SessionInfo};

/// The title of a session in opencode's own list.
const TITLE: &str = "BooCoder";

/// opencode, warm: one server for all sessions, and a native session for each [`open`](AgentBackend::open).
///
/// Closing a session stops what it does and leaves it to be resumed by its native id. A server of this program's own
/// ends with its last session; a shared one a while after the last of anybody's.
#[derive(Clone, Debug)]
pub struct OpencodeBackend {
    ours: Environment,
    servers: Servers,
}

#[derive(Clone, Debug)]
enum Servers {
    /// Children of this program, by what they are started with.
    Own { owner: Option<String>, running: Arc<Mutex<BTreeMap<String, Weak<Server>>>> },
    /// Each kept by a host.
    Shared(Hosts),
}

impl OpencodeBackend {
    /// A backend whose servers are this program's own, see what is allowed of the environment `ours`, and end with it.
    pub fn new(ours: Environment) -> Self {
        Self { ours, servers: Servers::Own { owner: None, running: Arc::default() } }
    }

    /// Marks what its servers start as `owner`'s; see [`AcpBackend::owned_by`](crate::AcpBackend::owned_by).
    #[must_use]
    pub fn owned_by(mut self, owner: impl Into<String>) -> Self {
        if let Servers::Own { owner: of, .. } = &mut self.servers {
            *of = Some(owner.into());
        }
        self
    }

    /// A backend whose servers outlive this program and are shared by all that use the directory `dir`, which is
    /// absolute and its owner's alone. Each is kept by a host, started as `program` with `args` and two more, which calls
    /// [`host_server`] with them: its directory, and the mark of what it starts. The `owner` is what the mark begins with.
    pub fn shared(
        ours: Environment,
        program: impl Into<PathBuf>,
        args: impl IntoIterator<Item = impl Into<OsString>>,
        dir: impl Into<PathBuf>,
        owner: impl Into<String>,
    ) -> Self {
        let args = args.into_iter().map(Into::into).collect();
        let hosts = Hosts { program: program.into(), args, dir: dir.into(), owner: owner.into() };
        Self { ours, servers: Servers::Shared(hosts) }
    }

    async fn server(&self, spec: &OpenSpec) -> Result<Arc<Server>, BackendError> {
        let agent = &spec.agent;
        match &self.servers {
            Servers::Shared(hosts) => hosts.acquire(agent, &self.ours).await,
            Servers::Own { owner, running } => {
                let mut running = running.lock().await;
                running.retain(|_, server| server.strong_count() > 0);
                let key = agent.fingerprint();
                if let Some(server) = running.get(&key).and_then(Weak::upgrade).filter(|server| server.is_alive()) {
                    return Ok(server);
                }
                let server = Arc::new(Server::start(agent, &self.ours, owner.as_deref(), &spec.cwd).await?);
                running.insert(key, Arc::downgrade(&server));
                Ok(server)
            }
        }
    }
}

#[async_trait]
impl AgentBackend for OpencodeBackend {
    async fn open(&self, spec: OpenSpec) -> Result<Opened, BackendError> {
        let limits = &spec.agent.limits;
        if spec.agent.protocol != Protocol::Opencode {
            return Err(BackendError::Unsupported("opencode's protocol, by its configuration".to_owned()));
        }
        let server = self.server(&spec).await?;
        match timeout(limits.start, enter(&spec, &server)).await {
            Ok(Ok(opened)) => Ok(opened),
            failed => {
                let stderr = server.end().1;
                server.release().await;
                let limit = limits.start;
                failed.unwrap_or(Err(BackendError::StartTimeout { stage: "for a session", limit, stderr }))
            }
        }
    }
}

/// Enters a session, of old or new, and sets its actor going.
async fn enter(spec: &OpenSpec, server: &Arc<Server>) -> Result<Opened, BackendError> {
    let limits = &spec.agent.limits;
    let directory = spec.cwd.to_str().ok_or_else(|| BackendError::Unsupported("a path that is no text".to_owned()))?;
    if directory.contains('%') {
        // The server takes escapes out of it twice, and would work elsewhere.
        return Err(BackendError::Unsupported(format!("a path with % in it: {directory}")));
    }
    let client = Client::new(server.address.clone(), directory.to_owned(), limits.control)?;
    let version = client.version().await?;
    let (native_id, resumed) = match &spec.resume {
        Some(old) if client.has_session(old.as_str()).await? => (old.as_str().to_owned(), Resumed::Native),
        Some(_) | None => (client.create_session(TITLE).await?, Resumed::New),
    };
    let claim = server.claim(&native_id, directory).await?;
    let response = client.events().await?;
    if resumed == Resumed::Native {
        stop_left(&client, &native_id, spec).await?;
    }
    let settings = Settings::read(&client.providers().await?, &client.modes().await?, &client.config().await?);
    let commands = reading::commands(&client.commands().await?);
    let info = SessionInfo {
        native_id: AgentSessionId::from(native_id.as_str()),
        resumable: true,
        resumed,
        agent_version: Some(format!("opencode {version}")),
        pid: server.pid,
        prompt: PromptSupport { image: true, audio: false, embedded: true },
        options: settings.all(),
    };
    let since = Arc::new(AtomicU64::new(wall_clock()));
    let (to, incoming) = mpsc::channel(INCOMING_QUEUE);
    let reader = Reader {
        client: client.clone(),
        server: Arc::clone(server),
        session: native_id.clone(),
        since: Arc::clone(&since),
        to,
    };
    let reader = tokio::spawn(reader.run(response));
    let (events_tx, events) = mpsc::channel(EVENT_QUEUE);
    let (limits, server) = (limits.clone(), Arc::clone(server));
    let parts = Parts { limits, native_id, client, server, claim, incoming, reader, since, settings, commands };
    let (commands_tx, commands) = mpsc::channel(COMMAND_QUEUE);
    tokio::spawn(Session::new(parts, events_tx).run(commands));
    Ok(Opened { session: Arc::new(SessionHandle::new(info, commands_tx)), events })
}

/// What is left of a turn of which nobody knows any more is stopped: it is not to work on unseen, nor into the next turn.
async fn stop_left(client: &Client, session: &str, spec: &OpenSpec) -> Result<(), BackendError> {
    let limit = spec.agent.limits.cancel;
    let deadline = Instant::now() + limit;
    while client.is_busy(session).await? {
        if Instant::now() >= deadline {
            return Err(BackendError::Protocol(format!("opencode did not stop an older turn within {limit:?}")));
        }
        turns::abort(client, session, &[session.to_owned()]).await?;
        sleep(LOOK_PAUSE).await;
    }
    Ok(())
}
