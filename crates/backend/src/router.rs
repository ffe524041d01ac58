//! Hands each agent to the backend of the protocol that it speaks.

use async_trait::async_trait;

use crate::{
    AcpBackend, AgentBackend, BackendError, CommandBackend, Environment, OpenSpec, OpencodeBackend, Opened, Protocol,
};

/// One backend for every agent of a registry: the agent's protocol says who opens its sessions. What runs agents of all
/// kinds (a runner, an embedding program) needs no other.
#[derive(Clone, Debug)]
pub struct RouterBackend {
    acp: AcpBackend,
    opencode: OpencodeBackend,
    command: CommandBackend,
}

impl RouterBackend {
    /// Backends whose agents see what is allowed of the environment `ours`; see
    /// [`environment_for`](crate::environment_for).
    pub fn new(ours: Environment) -> Self {
        Self {
            acp: AcpBackend::new(ours.clone()),
            opencode: OpencodeBackend::new(ours.clone()),
            command: CommandBackend::new(ours),
        }
    }

    /// Marks everything that its agents start as `owner`'s; see [`AcpBackend::owned_by`].
    #[must_use]
    pub fn owned_by(self, owner: impl Into<String>) -> Self {
        let owner = owner.into();
        Self {
            acp: self.acp.owned_by(owner.clone()),
            opencode: self.opencode.owned_by(owner.clone()),
            command: self.command.owned_by(owner),
        }
    }

    /// Has opencode's sessions share servers with others; see [`OpencodeBackend::shared`].
    #[must_use]
    pub fn with_opencode(mut self, opencode: OpencodeBackend) -> Self {
        self.opencode = opencode;
        self
    }
}

#[async_trait]
impl AgentBackend for RouterBackend {
    async fn open(&self, spec: OpenSpec) -> Result<Opened, BackendError> {
        match spec.agent.protocol {
            Protocol::Acp => self.acp.open(spec).await,
            Protocol::Opencode => self.opencode.open(spec).await,
            Protocol::Pty => self.command.open(spec).await,
        }
    }
}
