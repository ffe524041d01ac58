//! Agents that speak no protocol: a command line that is given a prompt, prints its answer and exits.
//!
//! Each turn is a process of its own. What it prints is text, which it writes to a terminal, or one of the known forms
//! of JSON lines, which it writes to a pipe.
//!
//! | module | holds |
//! | --- | --- |
//! | `invocation` | what is started for a prompt; pure |
//! | `terminal` | the pseudoterminal that the program writes to |
//! | `text`, `cut` | from what a program writes to a terminal to text within limits; pure |
//! | `json` | from JSON lines to agent events; pure |
//! | `session` | the one actor of a session |
//! | `run` | one process, and what it says |

mod cut;
mod invocation;
mod json;
mod run;
mod session;
mod terminal;
mod text;

use std::ffi::OsStr;
use std::io::{Error, ErrorKind};
use std::sync::Arc;

use async_trait::async_trait;
use boocoder_model::{AgentSessionId, Resumed};
use tokio::sync::mpsc;

use self::invocation::Invocation;
use self::session::Session;
use crate::limits::{COMMAND_QUEUE, EVENT_QUEUE};
use crate::session::SessionHandle;
use crate::{
    AgentBackend, BackendError, Environment, OpenSpec, Opened, PromptSupport, Protocol, SessionInfo, environment_for,
    locate,
};

/// Runs command lines that speak no protocol, a process for each turn.
///
/// Opening a session starts nothing: it makes sure that the program and the worktree are there. A session has no memory
/// of its turns beyond what the program itself keeps.
#[derive(Clone, Debug)]
pub struct CommandBackend {
    ours: Environment,
    owner: Option<String>,
}

impl CommandBackend {
    /// A backend whose agents see what is allowed of the environment `ours`; see [`environment_for`].
    pub fn new(ours: Environment) -> Self {
        Self { ours, owner: None }
    }

    /// Marks everything that its agents start as `owner`'s; see [`AcpBackend::owned_by`](crate::AcpBackend::owned_by).
    #[must_use]
    pub fn owned_by(mut self, owner: impl Into<String>) -> Self {
        self.owner = Some(owner.into());
        self
    }
}

#[async_trait]
impl AgentBackend for CommandBackend {
    async fn open(&self, spec: OpenSpec) -> Result<Opened, BackendError> {
        let OpenSpec { agent, cwd, .. } = spec;
        if agent.protocol != Protocol::Pty {
            return Err(BackendError::Unsupported("being run as a command line, by its configuration".to_owned()));
        }
        let mut environment = environment_for(&agent, &self.ours);
        invocation::plain(&mut environment, &agent);
        let program = locate(&agent, environment.get(OsStr::new("PATH")).map(|path| path.as_os_str()))?;
        if !cwd.is_dir() {
            let source = Error::new(ErrorKind::NotFound, format!("{} is no directory", cwd.display()));
            return Err(BackendError::Spawn { command: agent.command, source });
        }
        let info = SessionInfo {
            native_id: AgentSessionId::from(""),
            resumable: false,
            resumed: Resumed::New,
            agent_version: None,
            pid: 0,
            prompt: PromptSupport::default(),
            options: Vec::new(),
        };
        let invocation = Invocation { agent, program, environment, cwd, owner: self.owner.clone() };
        let (events_tx, events) = mpsc::channel(EVENT_QUEUE);
        let (commands_tx, commands) = mpsc::channel(COMMAND_QUEUE);
        tokio::spawn(Session::new(invocation, events_tx).run(commands));
        Ok(Opened { session: Arc::new(SessionHandle::new(info, commands_tx)), events })
    }
}
