//! `boocoder runner`, which the server starts for each agent.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use boocoder_backend::runner::{RunnerLimits, host};
use boocoder_backend::{OpencodeBackend, RouterBackend, host_server};
use clap::Args;

use super::HOST;
use crate::config::Surroundings;

/// What a runner is told.
#[derive(Clone, Debug, Args)]
pub(super) struct Runner {
    /// Its own directory
    dir: PathBuf,
    /// The mark of all that its agent starts
    mark: String,
    /// Where the servers are that agents share
    #[arg(long, value_name = "DIR")]
    servers: PathBuf,
}

/// What the host of a server that agents share is told. The rest comes by standard input.
#[derive(Clone, Debug, Args)]
pub(super) struct Host {
    /// Its own directory
    dir: PathBuf,
    /// The mark of all that the server starts
    mark: String,
}

impl Host {
    pub(super) async fn run(self, surroundings: Surroundings) -> anyhow::Result<ExitCode> {
        host_server(self.dir, self.mark, surroundings.variables).await?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Runner {
    pub(super) async fn run(self, surroundings: Surroundings) -> anyhow::Result<ExitCode> {
        let ours = surroundings.variables;
        // A runner's mark is that of its server, and its own id.
        let owner = self.mark.rsplit_once('/').map_or(self.mark.as_str(), |(owner, _)| owner);
        let opencode = OpencodeBackend::shared(ours.clone(), std::env::current_exe()?, [HOST], self.servers, owner);
        let backend = RouterBackend::new(ours).owned_by(self.mark).with_opencode(opencode);
        host(self.dir, Arc::new(backend), RunnerLimits::default()).await?;
        Ok(ExitCode::SUCCESS)
    }
}
