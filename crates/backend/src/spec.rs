//! An agent as the registry knows it: how it is started, and what it may take.

use std::collections::BTreeMap;

use boocoder_model::{AgentCommand, AgentName};

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
