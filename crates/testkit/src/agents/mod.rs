//! The real agents that tests drive, pinned, each with a launch recipe that needs no login and no network.
//!
//! The first call installs all of them from npm; see [`install`]. Every recipe points the agent at a
//! [`MockModel`](crate::llm::MockModel), gives it a home of its own and the mode in which it asks before it acts.
//! To add an agent: add its package to [`PINS`] and a function with its recipe.

mod cache;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::TestkitError;
use crate::llm::{MODEL, MockModel};
pub use cache::{PINS, install};

/// How to start an agent that speaks ACP on its stdin and stdout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentLaunch {
    /// The program's absolute path.
    pub command: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its whole environment, `PATH` and `HOME` included.
    pub env: BTreeMap<String, String>,
}

impl AgentLaunch {
    /// The same as a command to run in `directory`, with nothing of the environment but [`AgentLaunch::env`].
    #[must_use]
    pub fn to_command(&self, directory: &Path) -> Command {
        let mut command = Command::new(&self.command);
        command.args(&self.args).env_clear().envs(&self.env).current_dir(directory);
        command
    }
}

/// Qwen Code with a lean settings file in `home`: nothing but the turn itself calls the model.
///
/// # Errors
/// Those of [`install`]; [`TestkitError::Io`] when the settings cannot be written.
pub fn qwen(model: &MockModel, home: &Path) -> Result<AgentLaunch, TestkitError> {
    let agents = install()?;
    let settings = json!({
        "$version": 3,
        "security": {"auth": {"selectedType": "openai"}},
        "model": {"name": MODEL},
        "general": {"enableAutoUpdate": false, "preventSystemSleep": false},
        "privacy": {"usageStatisticsEnabled": false},
        "telemetry": {"enabled": false},
        "ui": {"enableFollowupSuggestions": false},
        "memory": {"enableManagedAutoMemory": false, "enableManagedAutoDream": false},
    });
    let directory = home.join(".qwen");
    std::fs::create_dir_all(&directory).map_err(TestkitError::path("make", &directory))?;
    let file = directory.join("settings.json");
    std::fs::write(&file, settings.to_string()).map_err(TestkitError::path("write", &file))?;
    let entry = agents.join("node_modules/@qwen-code/qwen-code/cli-entry.js");
    Ok(AgentLaunch {
        command: cache::node(&agents),
        args: [&entry.to_string_lossy(), "--acp", "--approval-mode", "default"].map(str::to_owned).to_vec(),
        env: environment(
            &agents,
            home,
            [
                ("OPENAI_API_KEY", "unused".to_owned()),
                ("OPENAI_BASE_URL", model.base_url()),
                ("OPENAI_MODEL", MODEL.to_owned()),
            ],
        ),
    })
}

/// goose in the mode that asks before every tool call.
///
/// # Errors
/// Those of [`install`].
pub fn goose(model: &MockModel, home: &Path) -> Result<AgentLaunch, TestkitError> {
    let agents = install()?;
    Ok(AgentLaunch {
        command: agents.join("node_modules/@aaif/goose-binary-linux-x64/bin/goose"),
        args: vec!["acp".to_owned()],
        env: environment(
            &agents,
            home,
            [
                ("GOOSE_PROVIDER", "openai".to_owned()),
                ("GOOSE_MODEL", MODEL.to_owned()),
                ("GOOSE_MODE", "approve".to_owned()),
                ("GOOSE_DISABLE_KEYRING", "1".to_owned()),
                ("GOOSE_TELEMETRY_OFF", "1".to_owned()),
                ("OPENAI_API_KEY", "unused".to_owned()),
                ("OPENAI_HOST", model.origin()),
                ("OPENAI_BASE_PATH", "v1/chat/completions".to_owned()),
            ],
        ),
    })
}

/// opencode as an ACP agent that asks before edits, commands and web requests.
///
/// # Errors
/// Those of [`install`].
pub fn opencode(model: &MockModel, home: &Path) -> Result<AgentLaunch, TestkitError> {
    opencode_as("acp", model, home)
}

/// opencode as an HTTP server with the same settings.
///
/// # Errors
/// Those of [`install`].
pub fn opencode_server(model: &MockModel, home: &Path) -> Result<AgentLaunch, TestkitError> {
    opencode_as("serve", model, home)
}

fn opencode_as(what: &str, model: &MockModel, home: &Path) -> Result<AgentLaunch, TestkitError> {
    let agents = install()?;
    let name = format!("mock/{MODEL}");
    let limit = json!({"context": 128_000, "output": 8192});
    let models = json!({MODEL: {"name": MODEL, "reasoning": true, "tool_call": true, "limit": limit}});
    let config = json!({
        "autoupdate": false,
        "share": "disabled",
        "enabled_providers": ["mock"],
        "model": name,
        "small_model": name,
        "provider": {"mock": {
            "npm": "@ai-sdk/openai-compatible",
            "name": "Mock",
            "options": {"baseURL": model.base_url(), "apiKey": "unused"},
            "models": models,
        }},
        "permission": {"edit": "ask", "bash": "ask", "webfetch": "ask"},
    });
    Ok(AgentLaunch {
        command: agents.join("node_modules/opencode-linux-x64/bin/opencode"),
        args: vec![what.to_owned()],
        env: environment(
            &agents,
            home,
            [
                ("OPENCODE_CONFIG_CONTENT", config.to_string()),
                ("OPENCODE_DISABLE_AUTOUPDATE", "1".to_owned()),
                ("OPENCODE_DISABLE_LSP_DOWNLOAD", "1".to_owned()),
                ("OPENCODE_DISABLE_MODELS_FETCH", "1".to_owned()),
                // It serves HTTP beside ACP, to anyone on the machine unless there is a password.
                ("OPENCODE_SERVER_PASSWORD", "for-tests-only".to_owned()),
            ],
        ),
    })
}

fn environment<const N: usize>(agents: &Path, home: &Path, own: [(&str, String); N]) -> BTreeMap<String, String> {
    let mut env: BTreeMap<String, String> = own.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    env.insert("HOME".to_owned(), home.to_string_lossy().into_owned());
    env.insert("PATH".to_owned(), cache::search_path(agents));
    env
}
