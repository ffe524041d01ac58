//! An agent as the registry knows it: how it is started, and what it may take.

use std::collections::BTreeMap;

use boocoder_model::{AgentCommand, AgentName};
use sha2::{Digest, Sha256};

use crate::Limits;

/// The protocol that an agent speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// The Agent Client Protocol on standard input and output.
    Acp,
    /// opencode's HTTP server.
    Opencode,
    /// None: a command line that takes a prompt and prints an answer.
    Pty,
}

/// How a command line without a protocol is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CommandLine {
    /// How it is given its prompt.
    pub prompt: PromptBy,
    /// What it prints.
    pub output: OutputForm,
}

/// How a command line is given its prompt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PromptBy {
    /// In place of `{prompt}` in its arguments, or as the last one if none holds that.
    #[default]
    Argument,
    /// On standard input, which ends behind it.
    Stdin,
}

/// What a command line prints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OutputForm {
    /// Text for a terminal.
    #[default]
    Text,
    /// The JSON lines of `claude -p --output-format stream-json --verbose`.
    ClaudeJson,
    /// The JSON lines of `codex exec --json`.
    CodexJson,
}

/// An MCP server that is handed to the agent with its session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum McpServer {
    /// A program that the agent starts.
    Stdio {
        /// What to call it.
        name: String,
        /// The program.
        command: String,
        /// Its arguments.
        args: Vec<String>,
        /// Its environment.
        env: BTreeMap<String, String>,
    },
    /// A server that the agent reaches over HTTP.
    Http {
        /// What to call it.
        name: String,
        /// Where it is.
        url: String,
        /// Headers for each request.
        headers: BTreeMap<String, String>,
    },
}

/// An agent as the registry knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentSpec {
    /// Its name.
    pub name: AgentName,
    /// What to show.
    pub label: String,
    /// Whether it may be used.
    pub enabled: bool,
    /// The protocol that it speaks.
    pub protocol: Protocol,
    /// How it is used if it speaks none.
    pub command_line: CommandLine,
    /// Whether it is kept running between the turns of a chat.
    pub warm: bool,
    /// The program: a name to find on the path, or a path.
    pub command: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Variables added to the allow-listed environment.
    pub env: BTreeMap<String, String>,
    /// Commands that it is known to offer before it tells.
    pub commands: Vec<AgentCommand>,
    /// MCP servers handed to each of its sessions.
    pub mcp_servers: Vec<McpServer>,
    /// What is waited for, and how much is taken, at most.
    pub limits: Limits,
}

impl AgentSpec {
    /// A digest of all that an agent is started with. A session that was opened under another one runs with what the
    /// configuration no longer says. It tells nothing of the secrets in the environment.
    pub fn fingerprint(&self) -> String {
        let started_with = (self.protocol, &self.command, &self.args, &self.env, &self.mcp_servers);
        // What is of no meaning for the others does not change theirs.
        let command_line = (self.protocol == Protocol::Pty).then(|| format!("{:?}", self.command_line));
        let digest = Sha256::digest(format!("{started_with:?}{}", command_line.unwrap_or_default()));
        digest.iter().take(FINGERPRINT).fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
    }
}

impl AgentSpec {
    /// What is doubtful about how a command line is configured, in words for whoever wrote that.
    pub fn doubts(&self) -> Vec<&'static str> {
        if self.protocol != Protocol::Pty {
            return Vec::new();
        }
        let has = |wanted: &str| self.args.iter().any(|arg| arg.contains(wanted));
        let CommandLine { prompt, output } = self.command_line;
        let doubts = [
            (
                output == OutputForm::ClaudeJson && !(has("stream-json") && has("--verbose")),
                "its output is to be claude-json, which claude prints with -p --output-format stream-json --verbose",
            ),
            (
                output == OutputForm::CodexJson && !has("--json"),
                "its output is to be codex-json, which codex prints with exec --json",
            ),
            (
                prompt == PromptBy::Stdin && has("{prompt}"),
                "its prompt goes to standard input, so {prompt} in its arguments is not replaced",
            ),
        ];
        doubts.into_iter().filter_map(|(is_so, doubt)| is_so.then_some(doubt)).collect()
    }
}

/// The bytes of a digest that tell one configuration from another.
const FINGERPRINT: usize = 16;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::registry::builtins;

    #[test]
    fn a_fingerprint_changes_with_what_an_agent_is_started_with_and_with_nothing_else() {
        let agent = builtins(Path::new("/bin/boocoder")).remove(0);
        let same = crate::AgentSpec { label: "Another".into(), warm: !agent.warm, ..agent.clone() };
        assert_eq!(same.fingerprint(), agent.fingerprint());
        let mut other = agent.clone();
        other.env.insert("KEY".into(), "secret".into());
        assert_ne!(other.fingerprint(), agent.fingerprint());
        assert!(!other.fingerprint().contains("secret"));
        assert_eq!(other.fingerprint().len(), 32);
        let by_stdin = CommandLine { prompt: PromptBy::Stdin, ..CommandLine::default() };
        let unused = crate::AgentSpec { command_line: by_stdin, ..agent.clone() };
        assert_eq!(unused.fingerprint(), agent.fingerprint(), "it speaks a protocol");
        let pty = crate::AgentSpec { protocol: Protocol::Pty, ..agent.clone() };
        let other = crate::AgentSpec { command_line: by_stdin, ..pty.clone() };
        assert_ne!(pty.fingerprint(), other.fingerprint());
    }

    #[test]
    fn a_command_line_that_does_not_print_what_it_is_to_print_is_doubted() {
        let pty = |output, prompt, args: &[&str]| crate::AgentSpec {
            protocol: Protocol::Pty,
            command_line: CommandLine { prompt, output },
            args: args.iter().map(|&arg| arg.to_owned()).collect(),
            ..builtins(Path::new("/bin/boocoder")).remove(0)
        };
        let claude = ["-p", "--output-format", "stream-json", "--verbose"];
        assert!(pty(OutputForm::ClaudeJson, PromptBy::Stdin, &claude).doubts().is_empty());
        assert!(pty(OutputForm::ClaudeJson, PromptBy::Stdin, &claude[..1]).doubts()[0].contains("stream-json"));
        assert!(pty(OutputForm::CodexJson, PromptBy::Argument, &["exec", "--json"]).doubts().is_empty());
        assert!(pty(OutputForm::CodexJson, PromptBy::Argument, &["exec"]).doubts()[0].contains("--json"));
        assert!(pty(OutputForm::Text, PromptBy::Argument, &["{prompt}"]).doubts().is_empty());
        assert!(pty(OutputForm::Text, PromptBy::Stdin, &["{prompt}"]).doubts()[0].contains("not replaced"));
    }
}
