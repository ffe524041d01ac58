//! A running server: where it listens, whether it lives, and how it ended.

use std::ffi::OsStr;
use std::fmt;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::ChildStdout;
use tokio::time::timeout;
use uuid::Uuid;

use super::shared::{Claim, Lease};
use super::v1::Address;
use crate::limits::READY_LINE;
use crate::process::{self, Process, Rest, wait_gone};
use crate::{AgentSpec, BackendError, Environment, environment_for, locate};

/// What the server says when it listens; the rest of the line is where.
const READY: &str = "opencode server listening on ";

/// A server that sessions use.
pub(super) struct Server {
    pub(super) address: Address,
    pub(super) pid: u32,
    life: Life,
}

impl fmt::Debug for Server {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("url", &self.address.url).field("pid", &self.pid).finish_non_exhaustive()
    }
}

/// Who keeps the server alive.
enum Life {
    /// We do, and it ends with its last session.
    Own(Process),
    /// A process of its own, for as long as somebody holds a lease.
    Shared(Lease),
}

impl Server {
    /// Starts a server of our own in `directory`, within the agent's start limit.
    pub(super) async fn start(
        agent: &AgentSpec,
        ours: &Environment,
        owner: Option<&str>,
        directory: &Path,
    ) -> Result<Self, BackendError> {
        let (process, address) = start(agent, ours, owner, directory).await?;
        Ok(Self { address, pid: process.pid(), life: Life::Own(process) })
    }

    /// A server that somebody else keeps.
    pub(super) const fn shared(address: Address, pid: u32, lease: Lease) -> Self {
        Self { address, pid, life: Life::Shared(lease) }
    }

    /// Whether it lives, as far as is known.
    pub(super) fn is_alive(&self) -> bool {
        match &self.life {
            Life::Own(process) => process.exit().is_none(),
            Life::Shared(lease) => lease.is_alive(),
        }
    }

    /// Says that somebody looks after this session, if others may have to once nobody does.
    pub(super) async fn claim(&self, session: &str, directory: &str) -> Result<Option<Claim>, BackendError> {
        match &self.life {
            // It ends with this program, and so does all that it does.
            Life::Own(_) => Ok(None),
            Life::Shared(lease) => {
                let spawn_error = |source| BackendError::Spawn { command: "opencode".to_owned(), source };
                lease.claim(session, directory).await.map(Some).map_err(spawn_error)
            }
        }
    }

    /// How it ended, in words, once it has; and the end of what it wrote to standard error.
    pub(super) fn end(&self) -> (String, String) {
        match &self.life {
            Life::Own(process) => {
                let status = process.exit().map_or_else(|| "exit status unknown".to_owned(), |exit| exit.to_string());
                (status, process.stderr())
            }
            Life::Shared(lease) => lease.end(),
        }
    }

    /// The same in one line.
    pub(super) fn last_words(&self) -> String {
        let (status, stderr) = self.end();
        match stderr.trim() {
            "" => format!("opencode's server exited ({status})"),
            stderr => format!("opencode's server exited ({status}): {stderr}"),
        }
    }

    /// Gives it back. Done when nothing of it is left, if it was ours and nobody else uses it.
    pub(super) async fn release(self: Arc<Self>) {
        if let Some(Self { life: Life::Own(process), .. }) = Arc::into_inner(self) {
            process.stop();
            wait_gone(process.goes()).await;
        }
    }
}

/// Starts the server's process and waits until it listens.
pub(super) async fn start(
    agent: &AgentSpec,
    ours: &Environment,
    owner: Option<&str>,
    directory: &Path,
) -> Result<(Process, Address), BackendError> {
    let mut environment = environment_for(agent, ours);
    let password = secret();
    environment.insert("OPENCODE_SERVER_PASSWORD".into(), password.as_str().into());
    environment.remove(OsStr::new("OPENCODE_SERVER_USERNAME"));
    let program = locate(agent, environment.get(OsStr::new("PATH")).map(|path| path.as_os_str()))?;
    let spawn_error = |source| BackendError::Spawn { command: agent.command.clone(), source };
    let listen = ["--hostname", "127.0.0.1", "--port", "0"].map(str::to_owned);
    let args: Vec<_> = agent.args.iter().cloned().chain(listen).collect();
    let mut command = process::command(&program, &args, &environment, directory);
    command.stdin(Stdio::null());
    let (process, pipes) = Process::spawn(command, owner, Rest::Dies, agent.limits.kill).map_err(spawn_error)?;
    let Some(stdout) = pipes.stdout else { return Err(spawn_error(std::io::Error::other("its output is missing"))) };
    match timeout(agent.limits.start, ready(stdout)).await {
        Ok(Some(url)) => Ok((process, Address { url, password })),
        Ok(None) => {
            process.stop();
            wait_gone(process.goes()).await;
            let status = process.exit().map_or_else(String::new, |exit| exit.to_string());
            Err(BackendError::Exited { status, stderr: process.stderr() })
        }
        Err(_) => {
            process.stop();
            wait_gone(process.goes()).await;
            let limit = agent.limits.start;
            Err(BackendError::StartTimeout { stage: "the start of its server", limit, stderr: process.stderr() })
        }
    }
}

/// Where the server listens, once it says so. What it says afterwards is read and dropped, so that it never waits for us.
async fn ready(stdout: ChildStdout) -> Option<String> {
    let mut lines = BufReader::new(stdout).take(READY_LINE);
    let mut line = String::new();
    loop {
        line.clear();
        lines.set_limit(READY_LINE);
        if lines.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        if let Some((_, url)) = line.split_once(READY) {
            let url = url.trim().to_owned();
            let mut rest = lines.into_inner();
            tokio::spawn(async move { tokio::io::copy(&mut rest, &mut tokio::io::sink()).await });
            return Some(url);
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a secret is drawn for each server where it is started")]
fn secret() -> String {
    format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple())
}
