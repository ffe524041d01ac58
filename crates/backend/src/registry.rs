//! Which agents there are: the built-in ones, and any number more from the configuration.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use boocoder_model::{AgentCommand, AgentName};
use indexmap::IndexMap;
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use crate::limits::VERSION_OUTPUT;
use crate::process::{self, Process, Rest, wait_gone};
use crate::{
    AgentSpec, BackendError, CommandLine, Environment, Limits, McpServer, OutputForm, PromptBy, Protocol,
    environment_for,
};

/// What the configuration says of one agent: a new one, or what changes about a built-in one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentOverride {
    /// The agent's name.
    pub name: AgentName,
    /// What to show.
    pub label: Option<String>,
    /// Whether it may be used.
    pub enabled: Option<bool>,
    /// The protocol that it speaks; ACP for a new agent.
    pub protocol: Option<Protocol>,
    /// How it is given its prompt, if it speaks no protocol; as an argument.
    pub prompt: Option<PromptBy>,
    /// What it prints, if it speaks no protocol; text.
    pub output: Option<OutputForm>,
    /// Whether it is kept running; so for a new agent that speaks ACP.
    pub warm: Option<bool>,
    /// The program; its name for a new agent.
    pub command: Option<String>,
    /// Its arguments.
    pub args: Option<Vec<String>>,
    /// Variables added to those that it has.
    pub env: BTreeMap<String, String>,
    /// Commands that it is known to offer before it tells.
    pub commands: Option<Vec<AgentCommand>>,
    /// MCP servers handed to each of its sessions.
    pub mcp_servers: Option<Vec<McpServer>>,
    /// What is waited for, and how much is taken, at most.
    pub limits: Option<Limits>,
}

impl AgentOverride {
    /// Nothing but a name.
    pub fn new(name: AgentName) -> Self {
        Self {
            name,
            label: None,
            enabled: None,
            protocol: None,
            prompt: None,
            output: None,
            warm: None,
            command: None,
            args: None,
            env: BTreeMap::new(),
            commands: None,
            mcp_servers: None,
            limits: None,
        }
    }

    fn apply(self, agent: &mut AgentSpec) {
        fn set<T>(field: &mut T, value: Option<T>) {
            if let Some(value) = value {
                *field = value;
            }
        }
        set(&mut agent.label, self.label);
        set(&mut agent.enabled, self.enabled);
        set(&mut agent.protocol, self.protocol);
        set(&mut agent.command_line.prompt, self.prompt);
        set(&mut agent.command_line.output, self.output);
        set(&mut agent.warm, self.warm);
        set(&mut agent.command, self.command);
        set(&mut agent.args, self.args);
        set(&mut agent.commands, self.commands);
        set(&mut agent.mcp_servers, self.mcp_servers);
        set(&mut agent.limits, self.limits);
        agent.env.extend(self.env);
    }
}

/// Every known agent, the built-in ones first, each by its name.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    agents: IndexMap<AgentName, AgentSpec>,
}

impl Registry {
    /// The built-in agents with what the configuration changes and adds.
    pub fn new(
        builtins: impl IntoIterator<Item = AgentSpec>,
        overrides: impl IntoIterator<Item = AgentOverride>,
    ) -> Self {
        let mut agents: IndexMap<_, _> = builtins.into_iter().map(|agent| (agent.name.clone(), agent)).collect();
        for change in overrides {
            let agent = agents.entry(change.name.clone()).or_insert_with(|| {
                let name = change.name.as_str();
                let warm = change.protocol.is_none_or(|protocol| protocol == Protocol::Acp);
                AgentSpec { warm, protocol: change.protocol.unwrap_or(Protocol::Acp), ..acp(name, name, name, &[]) }
            });
            change.apply(agent);
        }
        Self { agents }
    }

    /// An agent by its name.
    pub fn get(&self, name: &AgentName) -> Option<&AgentSpec> {
        self.agents.get(name)
    }

    /// Every agent, the built-in ones first.
    pub fn iter(&self) -> impl Iterator<Item = &AgentSpec> {
        self.agents.values()
    }
}

/// The agents that are known without any configuration. `own_program` is this very program: the demo agent is in it.
pub fn builtins(own_program: &Path) -> Vec<AgentSpec> {
    vec![
        acp("demo", "Demo", &own_program.to_string_lossy(), &["demo-agent"]),
        acp("qwen", "Qwen Code", "qwen", &["--acp"]),
        acp("goose", "goose", "goose", &["acp"]),
        AgentSpec { protocol: Protocol::Opencode, ..acp("opencode", "opencode", "opencode", &["serve"]) },
        acp("gemini", "Gemini CLI", "gemini", &["--acp"]),
        acp("claude", "Claude Code", "claude-agent-acp", &[]),
        acp("codex", "Codex", "codex-acp", &[]),
    ]
}

fn acp(name: &str, label: &str, command: &str, args: &[&str]) -> AgentSpec {
    AgentSpec {
        name: AgentName::from(name),
        label: label.to_owned(),
        enabled: true,
        protocol: Protocol::Acp,
        command_line: CommandLine::default(),
        warm: true,
        command: command.to_owned(),
        args: args.iter().map(|&arg| arg.to_owned()).collect(),
        env: BTreeMap::new(),
        commands: Vec::new(),
        mcp_servers: Vec::new(),
        limits: Limits::default(),
    }
}

/// Finds an agent's program: by its path, or in the directories of `path`, as a shell would.
///
/// # Errors
/// [`BackendError::NotFound`] if there is no such program that may be executed.
pub fn locate(agent: &AgentSpec, path: Option<&OsStr>) -> Result<PathBuf, BackendError> {
    find_program(&agent.command, path, None).ok_or_else(|| BackendError::NotFound { command: agent.command.clone() })
}

/// Finds a program: by its path, seen from `base`, or in the directories of `path`. The answer is absolute, since
/// programs are started in other directories than ours.
pub(crate) fn find_program(command: &str, path: Option<&OsStr>, base: Option<&Path>) -> Option<PathBuf> {
    let absolute = |file: &Path| std::path::absolute(base.map_or_else(|| file.to_owned(), |base| base.join(file))).ok();
    if command.is_empty() {
        return None;
    }
    if command.contains('/') {
        return absolute(Path::new(command)).filter(|file| is_program(file));
    }
    std::env::split_paths(path?)
        .filter(|directory| !directory.as_os_str().is_empty())
        .filter_map(|directory| absolute(&directory.join(command)))
        .find(|file| is_program(file))
}

fn is_program(file: &Path) -> bool {
    file.is_file() && rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok()
}

/// Asks an agent's program for its version: the first line that it prints for `--version`.
///
/// Arguments before the first option that name a file are kept, since they are a script and the program its
/// interpreter.
///
/// # Errors
/// [`BackendError::NotFound`] and [`BackendError::Spawn`]; [`BackendError::StartTimeout`] if it does not answer within
/// `limit`; [`BackendError::Exited`] if it prints nothing.
pub async fn probe_version(agent: &AgentSpec, ours: &Environment, limit: Duration) -> Result<String, BackendError> {
    let environment = environment_for(agent, ours);
    let program = locate(agent, environment.get(OsStr::new("PATH")).map(|path| path.as_os_str()))?;
    let is_script = |arg: &&String| !arg.starts_with('-') && Path::new(arg.as_str()).is_file();
    let mut args: Vec<String> = agent.args.iter().take_while(is_script).cloned().collect();
    args.push("--version".to_owned());
    let mut command = process::command(&program, &args, &environment, Path::new("/"));
    command.stdin(Stdio::null());
    let spawn_error = |source| BackendError::Spawn { command: agent.command.clone(), source };
    let (running, pipes) = Process::spawn(command, None, Rest::Dies, agent.limits.kill).map_err(spawn_error)?;
    let mut output = Vec::new();
    let read = async {
        match pipes.stdout {
            Some(stdout) => stdout.take(VERSION_OUTPUT as u64).read_to_end(&mut output).await,
            None => Ok(0),
        }
    };
    let answered = timeout(limit, read).await.is_ok();
    running.stop();
    wait_gone(running.goes()).await;
    let text = String::from_utf8_lossy(&output);
    match text.lines().map(str::trim).find(|line| !line.is_empty()) {
        Some(version) => Ok(version.to_owned()),
        None if answered => Err(BackendError::Exited {
            status: running.exit().map_or_else(String::new, |exit| exit.to_string()),
            stderr: running.stderr(),
        }),
        None => Err(BackendError::StartTimeout { stage: "--version", limit, stderr: running.stderr() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_changes_built_in_agents_and_adds_new_ones_at_the_end() {
        let mut qwen = AgentOverride::new(AgentName::from("qwen"));
        qwen.command = Some("/opt/qwen".into());
        qwen.env.insert("A".into(), "1".into());
        let mine = AgentOverride::new(AgentName::from("mine"));
        let mut pty = AgentOverride::new(AgentName::from("old"));
        pty.protocol = Some(Protocol::Pty);
        let registry = Registry::new(builtins(Path::new("/bin/boocoder")), [qwen, mine, pty]);

        let qwen = registry.get(&AgentName::from("qwen")).expect("built in");
        assert_eq!((qwen.command.as_str(), &qwen.args[..]), ("/opt/qwen", &["--acp".to_owned()][..]));
        assert_eq!(qwen.env["A"], "1");
        let mine = registry.get(&AgentName::from("mine")).expect("added");
        assert_eq!((mine.command.as_str(), mine.warm, mine.protocol), ("mine", true, Protocol::Acp));
        assert!(!registry.get(&AgentName::from("old")).expect("added").warm);
        let names: Vec<_> = registry.iter().map(|agent| agent.name.as_str()).collect();
        assert_eq!(names, ["demo", "qwen", "goose", "opencode", "gemini", "claude", "codex", "mine", "old"]);
    }

    #[test]
    fn a_program_is_found_on_the_path_or_by_its_path_and_must_be_executable() {
        let agent = |command: &str| acp("x", "x", command, &[]);
        let path = Some(OsStr::new("/nonexistent::/bin"));
        assert_eq!(locate(&agent("sh"), path).expect("there is a shell"), Path::new("/bin/sh"));
        assert_eq!(locate(&agent("/bin/sh"), None).expect("by its path"), Path::new("/bin/sh"));
        for missing in ["", "no-such-agent", "/etc/passwd", "/bin", "/bin/no-such-agent"] {
            let error = locate(&agent(missing), path).expect_err("not a program");
            assert!(matches!(error, BackendError::NotFound { .. }), "{missing}: {error}");
        }
    }
}
