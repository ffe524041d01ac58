//! The command line.

mod agents;
mod ask;
mod attach;
mod client;
mod conversation;
mod demo_agent;
mod doctor;
mod git;
mod preview;
mod run;
mod runner;
mod screen;
mod serve;
mod signals;

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use tracing_subscriber::EnvFilter;

use crate::chain::chain;
use crate::config::{Config, Flags, Surroundings};

/// Exit status of a turn that failed, and of every command that could not do its work.
const FAILED: u8 = 1;
/// Exit status of a turn that was cancelled, as a shell reports an interrupted program.
const CANCELLED: u8 = 130;

/// The hidden command under which the server starts its runners.
pub(crate) const RUNNER: &str = "runner";

/// The hidden command under which runners start the hosts of servers that agents share.
pub(crate) const HOST: &str = "server-host";

/// Runs coding agents, asks you before they act, and holds their edits until you decide.
///
/// Begin with `boocoder run "say hello"` in a git repository: it needs no agent installed, since the bundled demo agent
/// answers. `boocoder agents` shows which others are found; `boocoder serve` keeps a server running, so that agents stay
/// warm between turns.
#[derive(Debug, Parser)]
#[command(name = "boocoder", version, propagate_version = true)]
pub struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

/// What every command may be told.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Common options")]
struct Common {
    /// Where everything is kept: the embedded database, the worktrees, the token [default: the platform's own place,
    /// such as ~/.local/share/boocoder, or /var/lib/boocoder for root]
    #[arg(long, global = true, value_name = "DIR", env = "BOOCODER_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// The configuration file [default: ~/.config/boocoder/config.toml, if it is there]
    #[arg(long, global = true, value_name = "FILE", env = "BOOCODER_CONFIG")]
    config: Option<PathBuf>,
    /// A Postgres database to use instead of an embedded one [default: the variable DATABASE_URL, if it is set]
    #[arg(long, global = true, value_name = "URL")]
    database_url: Option<String>,
    /// How log lines on standard error look. The variable RUST_LOG says which there are, such as `debug`.
    #[arg(long, global = true, value_enum, default_value = "text")]
    log_format: LogFormat,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server until it is told to stop (Ctrl-C or SIGTERM)
    ///
    /// SIGHUP stops it, too, and leaves the agents and their turns to the next server: the way to upgrade or restart.
    ///
    /// Prints the address to open in a browser. The address holds a token: whoever knows it can use your agents.
    Serve(Serve),
    /// Have an agent do one turn, and show it as it goes
    ///
    /// The answer goes to standard output; reasoning, tools, questions and the rest to standard error. A running server
    /// is used if there is one, otherwise one is started for this turn. What the agent edits is held back as pending
    /// changes; your checkout is not touched.
    ///
    /// The exit status is 0 if the turn completed, 1 if it failed, 130 if it was cancelled (Ctrl-C).
    #[command(
        after_help = "Examples:\n  boocoder run \"say hello\"\n  boocoder run --agent qwen \"why does the build fail?\"\n  \
        boocoder run --agent goose --approve auto \"fix the typo in README.md\""
    )]
    Run(run::Run),
    /// Show every known agent: whether it is found, its version, how it is started
    Agents(agents::Agents),
    /// Check what BooCoder needs, and say how to mend what is wrong
    Doctor,
    /// Be the bundled demo agent: an ACP agent on standard input and output that needs no model and no network
    ///
    /// It is started by the server. Its prompts are small scripts, such as `say hello`, `write notes.txt hi`,
    /// `shell ls` or `remember 42`.
    DemoAgent(demo_agent::DemoAgent),
    /// Keep one agent alive beside the server; the server starts it
    #[command(hide = true)]
    Runner(runner::Runner),
    /// Keep a server alive that agents share; runners start it
    #[command(hide = true)]
    ServerHost(runner::Host),
}

/// What `serve` may be told.
#[derive(Clone, Debug, Args)]
struct Serve {
    /// Where to listen; port 0 takes a free one [default: 127.0.0.1:4317]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
}

impl Cli {
    /// Sends log lines to standard error. The server tells what it does; the other commands only what is wrong.
    pub fn start_logging(&self) {
        // The libraries' own lines are for whoever asks for them: what matters in them is told in ours.
        let usual = if matches!(self.command, Command::Serve(_)) {
            "info,agent_client_protocol=error,refinery_core=warn,tokio_postgres=warn"
        } else {
            "warn,agent_client_protocol=error,local_pg=error"
        };
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(usual));
        // A line that cannot be written, on a full disk or to nobody, must not end the process; saying so would panic.
        let lines = tracing_subscriber::fmt().log_internal_errors(false);
        let lines = lines.with_env_filter(filter).with_writer(std::io::stderr);
        match self.common.log_format {
            LogFormat::Text => lines.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).init(),
            LogFormat::Json => lines.json().init(),
        }
    }

    /// Whether the command is one small process among many, which needs no more than the one thread that it has.
    pub fn is_small(&self) -> bool {
        matches!(self.command, Command::Runner(_) | Command::ServerHost(_) | Command::DemoAgent(_))
    }

    /// Runs the command to its end.
    pub async fn run(self, surroundings: Surroundings) -> ExitCode {
        let Self { common, command } = self;
        let configured = common.config.is_some() || common.database_url.is_some();
        let around = surroundings.clone();
        let load = |listen| {
            let Common { data_dir, config, database_url, log_format: _ } = common;
            Config::load(Flags { config, listen, data_dir, database_url }, around)
        };
        let done = async {
            match command {
                Command::Serve(Serve { listen }) => serve::serve(load(listen)?).await,
                Command::Run(run) => run.run(load(None)?, configured).await,
                Command::Agents(agents) => agents.run(&load(None)?).await,
                Command::Doctor => doctor::run(load(None)).await,
                Command::DemoAgent(agent) => agent.run().await,
                Command::Runner(runner) => runner.run(surroundings).await,
                Command::ServerHost(host) => host.run(surroundings).await,
            }
        };
        done.await.unwrap_or_else(|error| complain(&error))
    }
}

/// Says on standard error what went wrong, with all its causes.
pub fn complain(error: &anyhow::Error) -> ExitCode {
    // Standard error that cannot be written leaves the exit status to tell.
    let _unheard = writeln!(std::io::stderr(), "boocoder: {}", chain(error.as_ref()));
    ExitCode::from(FAILED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn common_options_go_before_or_after_the_command() {
        for line in [["boocoder", "--data-dir", "/d", "serve"], ["boocoder", "serve", "--data-dir", "/d"]] {
            let cli = Cli::try_parse_from(line).unwrap();
            assert_eq!(cli.common.data_dir, Some("/d".into()), "{line:?}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for line in [
            &["boocoder"][..],
            &["boocoder", "serve", "--listen", "nowhere"],
            &["boocoder", "run"],
            &["boocoder", "run", "--chat", "0193a2b4-0000-7000-8000-000000000000", "hi"],
            &["boocoder", "run", "--session", "7", "hi"],
            &["boocoder", "run", "--session", "0193a2b4-0000-7000-8000-000000000000", "--project", "/p", "hi"],
            &["boocoder", "run", "--approve", "always", "hi"],
        ] {
            assert!(Cli::try_parse_from(line).is_err(), "{line:?}");
        }
    }
}
