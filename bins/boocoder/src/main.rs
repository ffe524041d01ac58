//! BooCoder's one program: the server, and the command line that uses it.

use std::process::ExitCode;

use boocoder::cli::Cli;
use boocoder::config::Surroundings;
use clap::Parser;

fn main() -> ExitCode {
    let cli = Cli::parse();
    cli.start_logging();
    let mut builder = if cli.is_small() {
        tokio::runtime::Builder::new_current_thread()
    } else {
        tokio::runtime::Builder::new_multi_thread()
    };
    let runtime = match builder.enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return boocoder::cli::complain(&anyhow::Error::from(error).context("no runtime")),
    };
    let code = runtime.block_on(cli.run(Surroundings::of_this_process()));
    // A thread may still wait for a line from the terminal that nobody will type; it must not hold the exit up.
    runtime.shutdown_background();
    code
}
