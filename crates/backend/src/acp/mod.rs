//! Agents that speak the Agent Client Protocol on standard input and output.
//!
//! | module | holds |
//! | --- | --- |
//! | `transport`, `connection` | the wire: two paths in one order, requests and responses |
//! | `session`, `inbound`, `turns`, `opening` | the one actor of a session, by what it reacts to |
//! | `questions`, `settings`, `content`, `reading` | what the two sides say, read leniently and written strictly |
//! | `client_fs`, `terminal` | what an agent may do through us |

mod client_fs;
mod connection;
mod content;
mod inbound;
mod opening;
mod questions;
mod reading;
mod session;
mod settings;
mod terminal;
mod transport;
mod turns;

pub use questions::check_answer;
use std::ffi::OsStr;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::mpsc;

use self::client_fs::ClientFs;
use self::connection::Connection;

use self::session::{Parts, Session};
use self::terminal::Terminals;
use crate::limits::{COMMAND_QUEUE, EVENT_QUEUE};
use crate::process::{self, Process, Rest, wait_gone};
use crate::session::SessionHandle;
use crate::{AgentBackend, BackendError, Environment, OpenSpec, Opened, Protocol, environment_for, locate};

/// Keeps agents warm: one process, one connection and one session for each [`open`](AgentBackend::open), used for every
/// turn until it is closed.
#[derive(Clone, Debug)]
pub struct AcpBackend {
    ours: Environment,
    owner: Option<String>,
}

impl AcpBackend {
    /// A backend whose agents see what is allowed of the environment `ours`; see [`environment_for`].
    pub fn new(ours: Environment) -> Self {
        Self { ours, owner: None }
    }

    /// Marks everything that its agents start as `owner`'s, so that [`end_leftovers`](crate::end_leftovers) finds it
    /// should this program be killed. The owner is a name without NUL that outlives the program and that no two
    /// programs have at a time.
    #[must_use]
    pub fn owned_by(mut self, owner: impl Into<String>) -> Self {
        self.owner = Some(owner.into());
        self
    }
}

#[async_trait]
impl AgentBackend for AcpBackend {
    async fn open(&self, spec: OpenSpec) -> Result<Opened, BackendError> {
        let agent = &spec.agent;
        if agent.protocol != Protocol::Acp {
            return Err(BackendError::Unsupported("the agent client protocol, by its configuration".to_owned()));
        }
        let environment = environment_for(agent, &self.ours);
        let program = locate(agent, environment.get(OsStr::new("PATH")).map(|path| path.as_os_str()))?;
        let spawn_error = |source| BackendError::Spawn { command: agent.command.clone(), source };
        let files = ClientFs::open(&spec.cwd, agent.limits.file).map_err(spawn_error)?;
        let terminals = Terminals::new(spec.cwd.clone(), environment.clone(), self.owner.clone(), agent.limits.clone());
        let command = process::command(&program, &agent.args, &environment, &spec.cwd);
        let owner = self.owner.as_deref();
        let (process, pipes) = Process::spawn(command, owner, Rest::Dies, agent.limits.kill).map_err(spawn_error)?;
        let (Some(stdin), Some(stdout)) = (pipes.stdin, pipes.stdout) else {
            return Err(spawn_error(std::io::Error::other("its pipes are missing")));
        };
        let (connection, incoming) = Connection::open(stdin, stdout, agent.limits.line, process.close_input()).await?;
        let (events_tx, events) = mpsc::channel(EVENT_QUEUE);
        let parts = Parts { limits: agent.limits.clone(), process, connection, incoming, files, terminals };
        let mut session = Session::new(parts, events_tx);
        match session.open(&spec).await {
            Ok(info) => {
                let (commands_tx, commands) = mpsc::channel(COMMAND_QUEUE);
                tokio::spawn(session.run(commands));
                Ok(Opened { session: Arc::new(SessionHandle::new(info, commands_tx)), events })
            }
            Err(error) => {
                let gone = session.stop();
                wait_gone(gone).await;
                Err(error)
            }
        }
    }
}
