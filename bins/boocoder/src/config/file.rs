//! The file's own form. What is not known here is an error that names it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use boocoder_backend::{AgentOverride, McpServer};
use boocoder_dispatch::AgentKeeping;
use boocoder_model::AgentName;
use serde::Deserialize;

use super::agents::{AgentTable, McpTable, mcp_servers};
use super::overrides::{ServerTable, TurnTable};

/// All of the file.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct File {
    pub(super) listen: Option<SocketAddr>,
    pub(super) allowed_hosts: Vec<String>,
    pub(super) data_dir: Option<PathBuf>,
    pub(super) database_url: Option<String>,
    pub(super) limits: LimitTables,
    /// Agents by name, new ones or changes to built-in ones.
    agents: BTreeMap<String, AgentTable>,
    /// MCP servers for every agent that has none of its own in the file.
    mcp_servers: BTreeMap<String, McpTable>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct LimitTables {
    pub(super) server: ServerTable,
    pub(super) turns: TurnTable,
}

impl File {
    /// What the file says of agents.
    pub(super) fn overrides(&self) -> anyhow::Result<Vec<AgentOverride>> {
        self.agents.iter().map(|(name, table)| table.clone().into_override(name)).collect()
    }

    /// How agents are kept.
    pub(super) fn keeping(&self) -> BTreeMap<AgentName, AgentKeeping> {
        self.agents.iter().map(|(name, table)| (AgentName::from(name.as_str()), table.keeping())).collect()
    }

    /// The MCP servers for every agent.
    pub(super) fn shared_mcp_servers(&self) -> anyhow::Result<Vec<McpServer>> {
        mcp_servers(&self.mcp_servers)
    }
}
