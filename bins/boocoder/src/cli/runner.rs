//! `boocoder runner`, which the server starts for each agent.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use boocoder_backend::RouterBackend;
use boocoder_backend::runner::{RunnerLimits, host};
use clap::Args;

use crate::config::Surroundings;

/// What a runner is told.
#[derive(Clone, Debug, Args)]
pub(super) struct Runner {
    /// Its own directory
    dir: PathBuf,
    /// The mark of all that its agent starts
    mark: String,
}

impl Runner {
    pub(super) async fn run(self, surroundings: Surroundings) -> anyhow::Result<ExitCode> {
        let backend = RouterBackend::new(surroundings.variables).owned_by(self.mark);
        host(self.dir, Arc::new(backend), RunnerLimits::default()).await?;
        Ok(ExitCode::SUCCESS)
    }
}
