//! The configuration: what the command line, the file and the environment say, in that order of precedence.

mod agents;
mod environment;
mod file;
mod overrides;
mod worktrees;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use boocoder_backend::{AgentOverride, AgentSpec, McpServer, Registry, builtins};
use boocoder_dispatch::{AgentKeeping, DispatchLimits, Preparations, PriceTable};
use boocoder_model::AgentName;

use crate::limits::ServerLimits;
use crate::metrics::Metrics;

pub use environment::Surroundings;

/// Where the server listens unless it is told otherwise.
pub const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 4317);

/// The bundled agent, which needs nothing else installed.
pub const DEMO: &str = "demo";

/// Where in the data directory it keeps its sessions.
pub(crate) const DEMO_STATE: &str = "demo-agent";

/// What the command line says. Each that is given stands over the file.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// The configuration file; it has to be there then.
    pub config: Option<PathBuf>,
    /// Where to listen.
    pub listen: Option<SocketAddr>,
    /// Where everything is kept.
    pub data_dir: Option<PathBuf>,
    /// The database to use.
    pub database_url: Option<String>,
}

/// The configuration in force.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the server listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Names beside loopback under which the server may be asked, each with or without a port.
    pub allowed_hosts: Vec<String>,
    /// Where everything is kept.
    pub data_dir: PathBuf,
    /// The database, or none for one of our own in the data directory.
    pub database_url: Option<String>,
    /// The limits of the server.
    pub server_limits: ServerLimits,
    /// The limits of turns.
    pub turn_limits: DispatchLimits,
    /// Agents that are kept otherwise than the limits of turns say.
    pub keeping: BTreeMap<AgentName, AgentKeeping>,
    /// What tokens cost by model, where agents do not tell.
    pub prices: PriceTable,
    /// How new worktrees are made ready.
    pub preparations: Preparations,
    /// What is said of agents.
    pub agents: Vec<AgentOverride>,
    /// What this process counts, if it does.
    pub metrics: Option<Metrics>,
    /// MCP servers for every agent that has none of its own.
    pub mcp_servers: Vec<McpServer>,
    /// The file that was read, if there was one.
    pub file: Option<PathBuf>,
    /// The environment as it was at the start.
    pub surroundings: Surroundings,
}

impl Config {
    /// Reads the file, if there is one, and puts it together with the rest.
    ///
    /// # Errors
    /// The file is missing although it was named, cannot be read, or has something in it that is not known here.
    pub fn load(flags: Flags, surroundings: Surroundings) -> anyhow::Result<Self> {
        let path = flags.config.clone().or_else(|| surroundings.config_file().filter(|path| path.is_file()));
        let file = match &path {
            Some(path) => read(path)?,
            None => file::File::default(),
        };
        let (agents, mcp_servers, keeping) = (file.overrides()?, file.shared_mcp_servers()?, file.keeping());
        let prices = file.prices()?;
        let preparations = file.worktrees.preparations(&surroundings)?;
        let turn_limits = file.limits.turns.apply(DispatchLimits::default());
        if turn_limits.renewal > turn_limits.lease / 3 {
            bail!(
                "limits.turns.renewal is more than a third of limits.turns.lease: a lease would end between two renewals"
            );
        }
        let data_dir = flags.data_dir.or(file.data_dir).or_else(|| surroundings.data_dir());
        Ok(Self {
            listen: flags.listen.or(file.listen).unwrap_or(DEFAULT_LISTEN),
            allowed_hosts: file.allowed_hosts,
            data_dir: data_dir.context("there is no home directory to keep data in: name one by --data-dir")?,
            database_url: flags.database_url.or(file.database_url).or_else(|| surroundings.database_url.clone()),
            server_limits: file.limits.server.apply(ServerLimits::default()),
            turn_limits,
            keeping,
            prices,
            preparations,
            agents,
            metrics: None,
            mcp_servers,
            file: path,
            surroundings,
        })
    }

    /// The file that was read, or where one was looked for, in words.
    pub(crate) fn source(&self) -> String {
        match (&self.file, self.surroundings.config_file()) {
            (Some(file), _) => file.display().to_string(),
            (None, Some(place)) => format!("none at {}; everything as usual", place.display()),
            (None, None) => "none, and no home directory to look for one in; everything as usual".to_owned(),
        }
    }

    /// Every agent: the built-in ones and the configured ones. `own_program` is this very program, which hosts the demo
    /// agent; that one keeps its sessions in the data directory.
    pub fn registry(&self, own_program: &Path) -> Registry {
        let state_dir = self.data_dir.join(DEMO_STATE).to_string_lossy().into_owned();
        let built_in = builtins(own_program).into_iter().map(|mut agent| {
            if agent.name.as_str() == DEMO {
                agent.args.extend(["--state-dir".to_owned(), state_dir.clone()]);
            }
            AgentSpec { mcp_servers: self.mcp_servers.clone(), ..agent }
        });
        let changes = self.agents.iter().cloned().map(|mut change| {
            change.mcp_servers.get_or_insert_with(|| self.mcp_servers.clone());
            change
        });
        Registry::new(built_in, changes)
    }
}

fn read(path: &Path) -> anyhow::Result<file::File> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read the configuration {}", path.display()))?;
    toml::from_str(&text).with_context(|| format!("the configuration {} is not valid", path.display()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use boocoder_model::{Cost, Currency, UsageTotals};

    use super::*;

    fn load(text: &str) -> anyhow::Result<Config> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("config.toml");
        std::fs::write(&path, text)?;
        let flags = Flags { config: Some(path), data_dir: Some("/data".into()), ..Flags::default() };
        Config::load(flags, Surroundings::default())
    }

    fn refusal(text: &str) -> String {
        format!("{:#}", load(text).expect_err(text))
    }

    #[test]
    fn nothing_said_means_loopback_and_a_database_of_our_own() {
        let config = load("").unwrap();
        assert_eq!((config.listen, config.database_url), (DEFAULT_LISTEN, None));
        assert!(config.agents.is_empty() && config.allowed_hosts.is_empty());
        assert_eq!(config.server_limits, ServerLimits::default());
        assert_eq!(config.turn_limits, DispatchLimits::default());
    }

    #[test]
    fn the_command_line_stands_over_the_file_and_the_file_over_the_environment() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        std::fs::write(&path, "listen = \"127.0.0.1:1\"\ndata_dir = \"/file\"\ndatabase_url = \"file\"\n").unwrap();
        let around = Surroundings { database_url: Some("env".into()), ..Surroundings::default() };
        let flags = Flags { config: Some(path), listen: Some("127.0.0.1:2".parse().unwrap()), ..Flags::default() };
        let config = Config::load(flags, around.clone()).unwrap();
        assert_eq!(config.listen.port(), 2);
        assert_eq!((config.data_dir.to_str(), config.database_url.as_deref()), (Some("/file"), Some("file")));

        let flags = Flags { data_dir: Some("/flag".into()), ..Flags::default() };
        let config = Config::load(flags, around).unwrap();
        assert_eq!((config.data_dir.to_str(), config.database_url.as_deref()), (Some("/flag"), Some("env")));
    }

    #[test]
    fn limits_are_set_by_name() {
        let config = load(
            "[limits.server]\nbody_bytes = 10\nsocket_ping = \"5s\"\n[limits.turns]\nmax_running = 3\nturn = \"2h\"\n\
             [agents.qwen.limits]\ncancel = \"1s 500ms\"\nline = 99\n",
        )
        .unwrap();
        assert_eq!((config.server_limits.body_bytes, config.server_limits.socket_ping), (10, Duration::from_secs(5)));
        assert_eq!((config.turn_limits.max_running, config.turn_limits.turn), (3, Duration::from_secs(7200)));
        let qwen = config.agents[0].limits.clone().unwrap();
        assert_eq!((qwen.cancel, qwen.line), (Duration::from_millis(1500), 99));
        assert_eq!(qwen.start, boocoder_backend::Limits::default().start);
    }

    #[test]
    fn mcp_servers_for_all_go_to_every_agent_that_has_none_of_its_own() {
        let config = load(
            "[mcp_servers.all]\ncommand = \"all\"\n[agents.new]\n[agents.qwen.mcp_servers.own]\ncommand = \"own\"\n\
             [agents.goose]\nmcp_servers = {}\n",
        )
        .unwrap();
        let registry = config.registry(Path::new("/bin/boocoder"));
        let servers = |name: &str| -> Vec<String> {
            let servers = registry.get(&name.into()).unwrap().mcp_servers.iter();
            servers
                .map(|it| match it {
                    McpServer::Stdio { name, .. } | McpServer::Http { name, .. } => name.clone(),
                })
                .collect()
        };
        assert_eq!((servers(DEMO), servers("new")), (vec!["all".to_owned()], vec!["all".to_owned()]));
        assert_eq!((servers("qwen"), servers("goose")), (vec!["own".to_owned()], vec![]));
        let demo = registry.get(&DEMO.into()).unwrap();
        assert_eq!(demo.args, ["demo-agent", "--state-dir", "/data/demo-agent"]);
    }

    #[test]
    fn prices_are_set_by_model_and_are_in_dollars_unless_they_say_otherwise() {
        let config = load(
            "[prices.\"gpt-5.1/codex\"]\ninput_per_million = 1.25\noutput_per_million = 10\n\
             [prices.local]\ninput_per_million = 0\noutput_per_million = 0.5\ncurrency = \"eur\"\n",
        )
        .unwrap();
        let used = UsageTotals { input: 1_000_000, output: 2_000_000, ..UsageTotals::default() };
        let cost = |model| config.prices.get(model).map(|price| price.of(&used));
        assert_eq!(cost("gpt-5.1/codex"), Cost::usd(21.25));
        assert_eq!(cost("local"), Cost::new(1.0, Currency::new("EUR").unwrap()));
        assert_eq!(cost("unheard-of"), None);
    }

    #[test]
    fn worktrees_are_made_ready_as_all_are_but_for_what_a_project_says_itself() {
        let config = load(
            "[worktrees]\ncopy = [\".env\"]\nsetup = \"make deps\"\n\
             [worktrees.projects.\"/srv/shop\"]\nsetup = \"npm ci\"\nsetup_time = \"1h\"\n\
             [worktrees.projects.\"/srv/plain\"]\ncopy = []\nsetup = false\n",
        )
        .unwrap();
        let said = |preparation: &boocoder_worktree::Preparation| {
            let setup = preparation.setup.clone().map(|setup| (setup.command, setup.time.as_secs()));
            (preparation.copy.clone(), setup)
        };
        let env = vec![".env".to_owned()];
        assert_eq!(said(&config.preparations.all), (env.clone(), Some(("make deps".to_owned(), 600))));
        let of = |path: &str| said(&config.preparations.projects[Path::new(path)]);
        assert_eq!(of("/srv/shop"), (env, Some(("npm ci".to_owned(), 3600))));
        assert_eq!(of("/srv/plain"), (vec![], None));
    }

    #[test]
    fn what_is_not_known_is_named() {
        for (text, named) in [
            ("listne = \"127.0.0.1:1\"", "unknown field `listne`"),
            ("[agents.x]\ncomand = \"x\"", "unknown field `comand`"),
            ("[agents.x]\nprotocol = \"telnet\"", "unknown variant `telnet`"),
            ("[agents.x.limits]\nstrat = \"1s\"", "unknown field `strat`"),
            ("[agents.x.limits]\nstart = \"soon\"", "soon"),
            ("[agents.x.limits]\nstart = \"-1s\"", "negative"),
            ("[agents.x.limits]\nstart = 5", "expected a duration such as"),
            ("[limits.server]\nsokets = 1", "unknown field `sokets`"),
            ("[mcp_servers.a]\ncommand = \"a\"\nurl = \"http://b\"", "mcp_servers.a: give either `command` or `url`"),
            ("[agents.x.mcp_servers.b]\nargs = []", "mcp_servers.b: give either `command` or `url`"),
            ("[prices.m]\ninput_per_million = 1", "missing field `output_per_million`"),
            ("[prices.m]\ninput = 1", "unknown field `input`"),
            (
                "[prices.m]\ninput_per_million = -1\noutput_per_million = 1",
                "prices.m: a price is a number from zero up",
            ),
            (
                "[prices.m]\ninput_per_million = 1\noutput_per_million = nan",
                "prices.m: a price is a number from zero up",
            ),
            (
                "[prices.m]\ninput_per_million = 1\noutput_per_million = 1\ncurrency = \"U$\"",
                "unknown currency: \"U$\"",
            ),
            ("[worktrees]\nsteup = \"x\"", "unknown field `steup`"),
            ("[worktrees]\ncopy = [\"../x\"]", "worktrees.copy: \"../x\": it leads out of the project"),
            ("[worktrees]\nsetup = \" \"", "worktrees.setup: it is empty"),
            ("[worktrees.projects.\"src\"]", "worktrees.projects.\"src\": name a project by its absolute path"),
            ("listen = \"nowhere\"", "invalid socket address"),
            ("listen = ", "config.toml is not valid"),
        ] {
            let refused = refusal(text);
            assert!(refused.contains(named), "{text}: {refused}");
        }
        let flags = Flags { config: Some("/nonexistent.toml".into()), ..Flags::default() };
        let missing = Config::load(flags, Surroundings::default()).expect_err("named and not there");
        assert!(missing.to_string().contains("/nonexistent.toml"), "{missing}");
    }
}
