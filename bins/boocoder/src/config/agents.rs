//! Agents and MCP servers in the file.

use std::collections::BTreeMap;

use anyhow::bail;
use boocoder_backend::{AgentOverride, Limits, McpServer, OutputForm, PromptBy, Protocol};
use boocoder_dispatch::AgentKeeping;
use boocoder_model::{AgentCommand, AgentName};
use serde::Deserialize;

use super::overrides::{AgentLimitsTable, Time};

/// `[agents.NAME]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct AgentTable {
    label: Option<String>,
    enabled: Option<bool>,
    protocol: Option<ProtocolName>,
    prompt: Option<PromptName>,
    output: Option<OutputName>,
    warm: Option<bool>,
    command: Option<String>,
    args: Option<Vec<String>>,
    env: BTreeMap<String, String>,
    commands: Option<Vec<CommandTable>>,
    mcp_servers: Option<BTreeMap<String, McpTable>>,
    limits: Option<AgentLimitsTable>,
    idle: Option<Time>,
    max_warm: Option<usize>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ProtocolName {
    Acp,
    Opencode,
    Pty,
}

/// How a command line is given its prompt.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum PromptName {
    Argument,
    Stdin,
}

/// What a command line prints.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum OutputName {
    Text,
    ClaudeJson,
    CodexJson,
}

/// A slash command that the agent is known to offer.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CommandTable {
    name: String,
    description: Option<String>,
    hint: Option<String>,
}

/// `[mcp_servers.NAME]`: a program to start, or an address.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct McpTable {
    command: Option<String>,
    args: Vec<String>,
    env: BTreeMap<String, String>,
    url: Option<String>,
    headers: BTreeMap<String, String>,
}

impl AgentTable {
    pub(super) fn keeping(&self) -> AgentKeeping {
        AgentKeeping { idle: self.idle.map(Into::into), max_warm: self.max_warm }
    }

    pub(super) fn into_override(self, name: &str) -> anyhow::Result<AgentOverride> {
        let is_pty = matches!(self.protocol, Some(ProtocolName::Pty));
        if is_pty && self.warm == Some(true) {
            bail!("agents.{name}: a command line exits after each turn, so `warm` cannot be true");
        }
        if is_pty && self.mcp_servers.as_ref().is_some_and(|servers| !servers.is_empty()) {
            bail!("agents.{name}: a command line is handed no MCP servers: give them to it in its own way");
        }
        if !is_pty && (self.prompt.is_some() || self.output.is_some()) {
            bail!("agents.{name}: `prompt` and `output` go with `protocol = \"pty\"` alone");
        }
        Ok(AgentOverride {
            label: self.label,
            enabled: self.enabled,
            protocol: self.protocol.map(|protocol| match protocol {
                ProtocolName::Acp => Protocol::Acp,
                ProtocolName::Opencode => Protocol::Opencode,
                ProtocolName::Pty => Protocol::Pty,
            }),
            prompt: self.prompt.map(|prompt| match prompt {
                PromptName::Argument => PromptBy::Argument,
                PromptName::Stdin => PromptBy::Stdin,
            }),
            output: self.output.map(|output| match output {
                OutputName::Text => OutputForm::Text,
                OutputName::ClaudeJson => OutputForm::ClaudeJson,
                OutputName::CodexJson => OutputForm::CodexJson,
            }),
            // A built-in agent that is turned into a command line is not kept either.
            warm: if is_pty { Some(false) } else { self.warm },
            command: self.command,
            args: self.args,
            env: self.env,
            commands: self.commands.map(|commands| {
                let plain =
                    |it: CommandTable| AgentCommand { name: it.name, description: it.description, hint: it.hint };
                commands.into_iter().map(plain).collect()
            }),
            mcp_servers: self.mcp_servers.as_ref().map(mcp_servers).transpose()?,
            limits: self.limits.map(|limits| limits.apply(Limits::default())),
            ..AgentOverride::new(AgentName::from(name))
        })
    }
}

pub(super) fn mcp_servers(tables: &BTreeMap<String, McpTable>) -> anyhow::Result<Vec<McpServer>> {
    tables.iter().map(|(name, table)| table.clone().into_server(name.clone())).collect()
}

impl McpTable {
    fn into_server(self, name: String) -> anyhow::Result<McpServer> {
        match (self.command, self.url) {
            (Some(command), None) if self.headers.is_empty() => {
                Ok(McpServer::Stdio { name, command, args: self.args, env: self.env })
            }
            (None, Some(url)) if self.args.is_empty() && self.env.is_empty() => {
                Ok(McpServer::Http { name, url, headers: self.headers })
            }
            (Some(_), None) => bail!("mcp_servers.{name}: `headers` go with `url` alone"),
            (None, Some(_)) => bail!("mcp_servers.{name}: `args` and `env` go with `command` alone"),
            (Some(_), Some(_)) | (None, None) => bail!("mcp_servers.{name}: give either `command` or `url`"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::file::File;
    use super::*;

    #[test]
    fn a_command_line_is_read_and_what_does_not_go_with_it_is_refused() {
        let read = |text: &str| -> anyhow::Result<Vec<AgentOverride>> { toml::from_str::<File>(text)?.overrides() };
        let text = "[agents.x]\nprotocol = \"pty\"\nprompt = \"stdin\"\noutput = \"codex-json\"\n\
                    [agents.x.limits]\nrun = \"5m\"\noutput = 1000\n";
        let agent = read(text).unwrap().remove(0);
        assert_eq!((agent.protocol, agent.warm), (Some(Protocol::Pty), Some(false)));
        assert_eq!((agent.prompt, agent.output), (Some(PromptBy::Stdin), Some(OutputForm::CodexJson)));
        let limits = agent.limits.unwrap();
        assert_eq!((limits.run.as_secs(), limits.output), (300, 1000));
        for (text, named) in [
            ("[agents.x]\nprotocol = \"pty\"\nwarm = true", "`warm` cannot be true"),
            ("[agents.x]\nprompt = \"stdin\"", "go with `protocol = \"pty\"` alone"),
            ("[agents.x]\nprotocol = \"acp\"\noutput = \"text\"", "go with `protocol = \"pty\"` alone"),
            ("[agents.x]\nprotocol = \"pty\"\noutput = \"xml\"", "unknown variant `xml`"),
            ("[agents.x]\nprotocol = \"pty\"\n[agents.x.mcp_servers.y]\ncommand = \"y\"", "no MCP servers"),
        ] {
            let refused = format!("{:#}", read(text).expect_err(text));
            assert!(refused.contains(named), "{text}: {refused}");
        }
    }

    #[test]
    fn an_agent_is_read_with_all_that_can_be_said_of_it() {
        let file: File = toml::from_str(
            r#"
            [agents.my-agent]
            command = "my-agent"
            args = ["--acp"]
            env = { MY_KEY = "value" }
            protocol = "acp"
            warm = true
            label = "My agent"
            enabled = true
            commands = [{ name = "init", hint = "what" }]
            [agents.my-agent.mcp_servers.files]
            command = "mcp-files"
            args = ["--root", "/srv"]
            [agents.goose]
            enabled = false
            [mcp_servers.search]
            url = "http://127.0.0.1:9/mcp"
            headers = { Authorization = "Bearer x" }
            "#,
        )
        .unwrap();
        let agents = file.overrides().unwrap();
        assert_eq!(agents.len(), 2);
        let goose = AgentOverride { enabled: Some(false), ..AgentOverride::new("goose".into()) };
        assert_eq!(agents[0], goose);
        let mine = &agents[1];
        assert_eq!((mine.command.as_deref(), mine.label.as_deref()), (Some("my-agent"), Some("My agent")));
        assert_eq!((mine.warm, mine.protocol, mine.env["MY_KEY"].as_str()), (Some(true), Some(Protocol::Acp), "value"));
        let command = AgentCommand { name: "init".into(), description: None, hint: Some("what".into()) };
        assert_eq!(mine.commands, Some(vec![command]));
        let files = McpServer::Stdio {
            name: "files".into(),
            command: "mcp-files".into(),
            args: vec!["--root".into(), "/srv".into()],
            env: BTreeMap::new(),
        };
        assert_eq!(mine.mcp_servers, Some(vec![files]));
        let headers = BTreeMap::from([("Authorization".to_owned(), "Bearer x".to_owned())]);
        let search = McpServer::Http { name: "search".into(), url: "http://127.0.0.1:9/mcp".into(), headers };
        assert_eq!(file.shared_mcp_servers().unwrap(), [search]);
    }
}
