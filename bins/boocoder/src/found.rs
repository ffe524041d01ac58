//! Where an agent's program is.

use std::ffi::OsStr;
use std::path::PathBuf;

use boocoder_backend::{AgentSpec, BackendError, Environment, environment_for, locate};

/// The program that would be started for the agent, with the search path that the agent would get.
pub(crate) fn program_of(agent: &AgentSpec, ours: &Environment) -> Result<PathBuf, BackendError> {
    let environment = environment_for(agent, ours);
    locate(agent, environment.get(OsStr::new("PATH")).map(|path| path.as_os_str()))
}

/// How to get an agent whose program is not there, for those that are built in.
pub(crate) fn hint(agent: &AgentSpec) -> Option<String> {
    const PACKAGES: [(&str, &str); 5] = [
        ("qwen", "@qwen-code/qwen-code"),
        ("opencode", "opencode-ai"),
        ("gemini", "@google/gemini-cli"),
        ("claude-agent-acp", "@agentclientprotocol/claude-agent-acp"),
        ("codex-acp", "@agentclientprotocol/codex-acp"),
    ];
    let package = PACKAGES.iter().find(|(command, _)| *command == agent.command);
    let by_npm = package.map(|(_, package)| format!("npm install -g {package}"));
    by_npm.or_else(|| {
        (agent.command == "goose").then(|| "see https://block.github.io/goose for how to install it".to_owned())
    })
}
