//! What an agent gets to see of our environment.
//!
//! Agents run with an allow-list, so that our own secrets (a database address, another agent's key) do not leak into
//! programs that run commands for a language model. The list holds what a program needs to work at all. Credentials are
//! passed by name of the agent: each of the well-known ones gets the variables of its own vendors, and an agent from
//! the configuration gets those that its `env` names.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::Path;

use uuid::Uuid;

use crate::AgentSpec;

/// Environment variables by name.
pub type Environment = BTreeMap<OsString, OsString>;

/// Passed to every agent. A `*` at the end stands for any rest.
const ALLOWED: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LANGUAGE",
    "LC_*",
    "TERM",
    "COLORTERM",
    "NO_COLOR",
    "TZ",
    "TMPDIR",
    "XDG_*",
    "SSH_AUTH_SOCK",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NODE_EXTRA_CA_CERTS",
];

/// What each well-known agent reads its credentials and settings from.
const OWN: &[(&str, &[&str])] = &[
    ("qwen", &["QWEN_*", "OPENAI_*", "DASHSCOPE_*", "BAILIAN_*"]),
    (
        "goose",
        &["GOOSE_*", "OPENAI_*", "ANTHROPIC_*", "GOOGLE_API_KEY", "GEMINI_*", "OPENROUTER_*", "OLLAMA_*", "GROQ_*"],
    ),
    ("opencode", &["OPENCODE_*", "OPENAI_*", "ANTHROPIC_*", "GEMINI_*", "GOOGLE_*", "OPENROUTER_*", "GROQ_*", "XAI_*"]),
    ("gemini", &["GEMINI_*", "GOOGLE_*"]),
    ("claude", &["ANTHROPIC_*", "CLAUDE_*"]),
    ("codex", &["CODEX_*", "OPENAI_*"]),
];

/// What any program that runs for a project may see of our environment.
pub fn allowed_environment(ours: &Environment) -> Environment {
    pass(ours, &[])
}

fn pass(ours: &Environment, own: &[&str]) -> Environment {
    let passes = |name: &OsStr| ALLOWED.iter().chain(own).any(|pattern| matches(pattern, name));
    ours.iter().filter(|(name, _)| passes(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// The environment of an agent: what is allowed of ours, then what its configuration adds.
pub fn environment_for(agent: &AgentSpec, ours: &Environment) -> Environment {
    let own = OWN.iter().find(|(name, _)| *name == agent.name.as_str()).map_or(&[][..], |(_, own)| *own);
    let mut environment = pass(ours, own);
    environment.extend(agent.env.iter().map(|(name, value)| (name.into(), value.into())));
    if is_opencode(agent) {
        // Beside ACP it listens on a local port, and lets anybody in who does not have to know a password.
        environment.entry("OPENCODE_SERVER_PASSWORD".into()).or_insert_with(|| secret().into());
    }
    environment
}

fn matches(pattern: &str, name: &OsStr) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => name.as_encoded_bytes().starts_with(prefix.as_bytes()),
        None => name == pattern,
    }
}

fn is_opencode(agent: &AgentSpec) -> bool {
    agent.name.as_str() == "opencode" || Path::new(&agent.command).file_name() == Some(OsStr::new("opencode"))
}

#[expect(clippy::disallowed_methods, reason = "a secret is drawn for each process where it is started")]
fn secret() -> String {
    Uuid::new_v4().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::builtins;

    fn ours() -> Environment {
        [
            ("PATH", "/bin"),
            ("LC_TIME", "C"),
            ("XDG_CONFIG_HOME", "/c"),
            ("DATABASE_URL", "postgres://secret"),
            ("BOOCODER_TOKEN", "secret"),
            ("ANTHROPIC_API_KEY", "a"),
            ("OPENAI_API_KEY", "o"),
            ("PATHOLOGY", "x"),
        ]
        .into_iter()
        .map(|(name, value)| (name.into(), value.into()))
        .collect()
    }

    fn names(agent: &str) -> Vec<String> {
        let agents = builtins(Path::new("/bin/boocoder"));
        let agent = agents.iter().find(|spec| spec.name.as_str() == agent).expect("a built-in agent");
        environment_for(agent, &ours()).into_keys().map(|name| name.into_string().expect("utf-8")).collect()
    }

    #[test]
    fn nothing_of_ours_leaks() {
        assert_eq!(names("demo"), ["LC_TIME", "PATH", "XDG_CONFIG_HOME"]);
    }

    #[test]
    fn each_agent_sees_the_credentials_of_its_own_vendors_alone() {
        assert_eq!(names("claude"), ["ANTHROPIC_API_KEY", "LC_TIME", "PATH", "XDG_CONFIG_HOME"]);
        assert_eq!(names("codex"), ["LC_TIME", "OPENAI_API_KEY", "PATH", "XDG_CONFIG_HOME"]);
    }

    #[test]
    fn opencode_gets_a_password_that_is_new_each_time_unless_one_is_configured() {
        let mut agent = builtins(Path::new("/bin/boocoder"))
            .into_iter()
            .find(|spec| spec.name.as_str() == "opencode")
            .expect("a built-in agent");
        let password =
            |agent: &AgentSpec| environment_for(agent, &ours())[OsStr::new("OPENCODE_SERVER_PASSWORD")].clone();
        assert_ne!(password(&agent), password(&agent));
        agent.env.insert("OPENCODE_SERVER_PASSWORD".into(), "mine".into());
        assert_eq!(password(&agent), "mine");
    }

    #[test]
    fn the_configuration_adds_and_overrides() {
        let mut agent = builtins(Path::new("/bin/boocoder")).remove(0);
        agent.env.insert("PATH".into(), "/opt/bin".into());
        agent.env.insert("MY_KEY".into(), "v".into());
        let environment = environment_for(&agent, &ours());
        assert_eq!(environment[OsStr::new("PATH")], "/opt/bin");
        assert_eq!(environment[OsStr::new("MY_KEY")], "v");
    }
}
