//! Hands each agent to the backend of the protocol that it speaks.

use async_trait::async_trait;

use crate::{AcpBackend, AgentBackend, BackendError, Environment, OpenSpec, Opened, Protocol};

/// One backend for every agent of a registry: the agent's protocol says who opens its sessions. What runs agents of all
/// kinds (a runner, an embedding program) needs no other.
#[derive(Clone, Debug)]
pub struct RouterBackend {
    acp: AcpBackend,
}

impl RouterBackend {
    /// Backends whose agents see what is allowed of the environment `ours`; see
    /// [`environment_for`](crate::environment_for).
    pub fn new(ours: Environment) -> Self {
        Self { acp: AcpBackend::new(ours) }
    }

    /// Marks everything that its agents start as `owner`'s; see [`AcpBackend::owned_by`].
    #[must_use]
    pub fn owned_by(self, owner: impl Into<String>) -> Self {
        let owner = owner.into();
        Self { acp: self.acp.owned_by(owner) }
    }
}

#[async_trait]
impl AgentBackend for RouterBackend {
    async fn open(&self, spec: OpenSpec) -> Result<Opened, BackendError> {
        match spec.agent.protocol {
            Protocol::Acp => self.acp.open(spec).await,
            Protocol::Opencode => Err(unsupported("opencode's HTTP server")),
            Protocol::Pty => Err(unsupported("command lines without a protocol")),
        }
    }
}

/// A protocol that the configuration may name and this version does not speak.
fn unsupported(protocol: &str) -> BackendError {
    BackendError::Unsupported(format!("{protocol} in this version"))
}
