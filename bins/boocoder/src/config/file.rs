//! The file's own form. What is not known here is an error that names it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use boocoder_backend::{AgentOverride, McpServer};
use boocoder_dispatch::{AgentKeeping, Price, PriceTable};
use boocoder_model::{AgentName, Currency};
use serde::Deserialize;

use super::agents::{AgentTable, McpTable, mcp_servers};
use super::overrides::{ServerTable, TurnTable};
use super::worktrees::WorktreesTable;

/// All of the file.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct File {
    pub(super) listen: Option<SocketAddr>,
    pub(super) allowed_hosts: Vec<String>,
    pub(super) data_dir: Option<PathBuf>,
    pub(super) database_url: Option<String>,
    pub(super) limits: LimitTables,
    pub(super) worktrees: WorktreesTable,
    /// Agents by name, new ones or changes to built-in ones.
    agents: BTreeMap<String, AgentTable>,
    /// MCP servers for every agent that has none of its own in the file.
    mcp_servers: BTreeMap<String, McpTable>,
    /// What tokens cost by model, where agents do not tell.
    prices: BTreeMap<String, PriceRow>,
}

/// What one model's tokens cost.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PriceRow {
    input_per_million: f64,
    output_per_million: f64,
    /// US dollars unless it says otherwise.
    currency: Option<String>,
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

    /// What tokens cost by model.
    pub(super) fn prices(&self) -> anyhow::Result<PriceTable> {
        self.prices.iter().map(|(model, row)| Ok((model.clone(), row.price(model)?))).collect()
    }

    /// The MCP servers for every agent.
    pub(super) fn shared_mcp_servers(&self) -> anyhow::Result<Vec<McpServer>> {
        mcp_servers(&self.mcp_servers)
    }
}

impl PriceRow {
    fn price(&self, model: &str) -> anyhow::Result<Price> {
        let currency = match &self.currency {
            Some(code) => code.parse().with_context(|| format!("prices.{model}"))?,
            None => Currency::USD,
        };
        let price = Price::per_million(self.input_per_million, self.output_per_million, currency);
        price.with_context(|| format!("prices.{model}: a price is a number from zero up"))
    }
}
