//! `boocoder demo-agent`

use std::path::PathBuf;
use std::process::ExitCode;

use boocoder_demo_agent::Options;
use clap::Args;

/// What the demo agent may be told.
#[derive(Clone, Debug, Args)]
pub(super) struct DemoAgent {
    /// Where it keeps its sessions, so that a later process can load them; without it they end with the process
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
}

impl DemoAgent {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let options = Options { state_dir: self.state_dir };
        match boocoder_demo_agent::run(options, tokio::io::stdin(), tokio::io::stdout()).await {
            Ok(()) => Ok(ExitCode::SUCCESS),
            Err(error) => {
                let code = u8::try_from(error.exit_code()).unwrap_or(super::FAILED);
                super::complain(&error.into());
                Ok(ExitCode::from(code))
            }
        }
    }
}
