//! `boocoder agents`

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use boocoder_backend::{AgentSpec, Environment, OutputForm, PromptBy, Protocol, check_opencode_version, probe_version};
use clap::Args;
use futures::future::join_all;
use serde::Serialize;

use crate::config::Config;
use crate::found::program_of;
use crate::limits::DOCTOR_CHECK;

/// What `agents` may be told.
#[derive(Clone, Debug, Args)]
pub(super) struct Agents {
    /// Print a JSON array instead of a table
    #[arg(long)]
    json: bool,
}

/// An agent as it is shown.
#[derive(Clone, Debug, Serialize)]
pub(super) struct AgentLine {
    pub(super) name: String,
    pub(super) label: String,
    pub(super) enabled: bool,
    pub(super) found: bool,
    /// Where its program is.
    path: Option<String>,
    version: Option<String>,
    /// Why it is not found, or tells no version.
    pub(super) problem: Option<String>,
    command: String,
    args: Vec<String>,
    protocol: &'static str,
    /// How it is given its prompt, and what it prints, if it speaks no protocol.
    prompt: Option<&'static str>,
    output: Option<&'static str>,
    warm: bool,
    /// What is doubtful about its configuration.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) doubts: Vec<String>,
}

impl Agents {
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        let lines = look(config).await?;
        writeln!(std::io::stderr(), "configuration: {}", config.source()).context("standard error is closed")?;
        let text = if self.json {
            serde_json::to_string_pretty(&lines).context("the agents cannot be written as JSON")?
        } else {
            table(&lines)
        };
        writeln!(std::io::stdout(), "{text}").context("standard output is closed")?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Looks for every known agent and asks each that is there for its version, all at once.
pub(super) async fn look(config: &Config) -> anyhow::Result<Vec<AgentLine>> {
    let program = std::env::current_exe().context("the path of this program cannot be read")?;
    let registry = config.registry(&program);
    let environment = &config.surroundings.variables;
    Ok(join_all(registry.iter().map(|agent| line(agent, environment))).await)
}

async fn line(agent: &AgentSpec, environment: &Environment) -> AgentLine {
    let located = program_of(agent, environment);
    let version = match &located {
        Ok(_) => Some(probe_version(agent, environment, DOCTOR_CHECK).await),
        Err(_) => None,
    };
    let (path, problem) = match located {
        Ok(path) => (Some(path.to_string_lossy().into_owned()), None),
        Err(error) => (None, Some(error.to_string())),
    };
    let (version, mute) = match version {
        Some(Ok(version)) => (Some(version), None),
        Some(Err(error)) => (None, Some(error.to_string())),
        None => (None, None),
    };
    let is_command_line = agent.protocol == Protocol::Pty;
    let mut doubts: Vec<_> = agent.doubts().into_iter().map(str::to_owned).collect();
    if let (Protocol::Opencode, Some(version)) = (agent.protocol, &version) {
        doubts.extend(check_opencode_version(version).err().map(|error| error.to_string()));
    }
    AgentLine {
        name: agent.name.to_string(),
        label: agent.label.clone(),
        enabled: agent.enabled,
        found: path.is_some(),
        path,
        version,
        problem: problem.or(mute),
        command: agent.command.clone(),
        args: agent.args.clone(),
        protocol: match agent.protocol {
            Protocol::Acp => "acp",
            Protocol::Opencode => "opencode",
            Protocol::Pty => "pty",
        },
        prompt: is_command_line.then_some(match agent.command_line.prompt {
            PromptBy::Argument => "argument",
            PromptBy::Stdin => "stdin",
        }),
        output: is_command_line.then_some(match agent.command_line.output {
            OutputForm::Text => "text",
            OutputForm::ClaudeJson => "claude-json",
            OutputForm::CodexJson => "codex-json",
        }),
        warm: agent.warm,
        doubts,
    }
}

fn table(lines: &[AgentLine]) -> String {
    let head = ["NAME", "FOUND", "ENABLED", "KEPT", "PROTOCOL", "VERSION", "STARTED AS"].map(str::to_owned);
    let rows = lines.iter().map(|line| {
        [
            line.name.clone(),
            yes_no(line.found),
            yes_no(line.enabled),
            if line.warm { "warm" } else { "one-shot" }.to_owned(),
            line.protocol.to_owned(),
            line.version.clone().unwrap_or_else(|| "-".to_owned()),
            std::iter::once(&line.command).chain(&line.args).cloned().collect::<Vec<_>>().join(" "),
        ]
    });
    let rows: Vec<[String; 7]> = std::iter::once(head).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..7).map(width).collect();
    let written = rows.iter().map(|row| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    });
    written.collect::<Vec<_>>().join("\n")
}

fn yes_no(yes: bool) -> String {
    if yes { "yes" } else { "no" }.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_stands_in_columns() {
        let line = AgentLine {
            name: "mine".into(),
            label: "Mine".into(),
            enabled: true,
            found: false,
            path: None,
            version: None,
            problem: Some("not found".into()),
            command: "my-agent".into(),
            args: vec!["--acp".into()],
            protocol: "acp",
            prompt: None,
            output: None,
            warm: false,
            doubts: vec![],
        };
        let other =
            AgentLine { name: "a-longer-name".into(), version: Some("1.2.3".into()), found: true, ..line.clone() };
        assert_eq!(
            table(&[line, other]),
            "NAME           FOUND  ENABLED  KEPT      PROTOCOL  VERSION  STARTED AS\n\
             mine           no     yes      one-shot  acp       -        my-agent --acp\n\
             a-longer-name  yes    yes      one-shot  acp       1.2.3    my-agent --acp"
        );
    }
}
