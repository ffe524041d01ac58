//! Statistics: what was used, and how turns ended.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// `GET /api/stats`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct Stats {
    /// From this time on, itself included; null means from the beginning.
    pub from: Option<Timestamp>,
    /// Up to this time, itself excluded; null means up to now.
    pub to: Option<Timestamp>,
    /// What the groups are told apart by, in this order.
    pub group_by: Vec<String>,
    /// Each group that there is something of, in the order of its values.
    pub groups: Vec<StatsGroup>,
    /// All of them together.
    pub total: StatsGroup,
}

/// One group, or all together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct StatsGroup {
    /// Where it stands in each grouping: `agent`, `project_id`, `session_id`, `chat_id`, `task_id`, `model`, `day`, `hour`.
    /// Null is none, such as the chat of a task without one.
    #[serde(flatten)]
    pub key: BTreeMap<String, Option<String>>,
    /// Tokens read.
    pub input_tokens: u64,
    /// Tokens written.
    pub output_tokens: u64,
    /// Cost in the main currency: US dollars, or the only one there is. Zero if nothing was used; null where tokens were
    /// used whose cost nobody told, or where there are several currencies and none is US dollars.
    pub cost: Option<f64>,
    /// In which currency `cost` is.
    pub currency: Option<String>,
    /// Every cost, by currency and by who told it.
    pub costs: Vec<StatsCost>,
    /// Turns by how they ended.
    pub turns: TurnCounts,
}

/// A cost in one currency, told by one source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct StatsCost {
    /// The currency.
    pub currency: String,
    /// `agent`, `step_event` or `price_table`.
    pub source: String,
    /// The amount.
    pub amount: f64,
}

/// How many turns there were, by how they ended. A turn counts when it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct TurnCounts {
    /// Those that were completed.
    pub completed: u64,
    /// Those that failed.
    pub failed: u64,
    /// Those that were cancelled.
    pub cancelled: u64,
    /// Those that have not ended.
    pub running: u64,
}
