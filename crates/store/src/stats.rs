//! Sums over the usage ledger and counts of turns: what is asked for, and what comes of it.

use std::collections::BTreeMap;

use boocoder_model::{
    AgentName, ChatId, Currency, Dimension, GroupValue, ProjectId, SessionId, TaskId, TurnStatus, UsageEntry,
    UsageSource, UsageTotals,
};
use jiff::Timestamp;

use crate::limits::STATS_GROUPS;

/// What to sum up. Every field narrows; all absent is everything, in one group. Sessions and chats that were removed
/// count as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatsQuery {
    /// From this time on, itself included.
    pub from: Option<Timestamp>,
    /// Up to this time, itself excluded.
    pub to: Option<Timestamp>,
    /// Only this project.
    pub project_id: Option<ProjectId>,
    /// Only this session.
    pub session_id: Option<SessionId>,
    /// Only this chat.
    pub chat_id: Option<ChatId>,
    /// Only this task.
    pub task_id: Option<TaskId>,
    /// Only this agent.
    pub agent: Option<AgentName>,
    /// What tells the groups apart, in the order of a group's values. The same one twice changes nothing else.
    pub group_by: Vec<Dimension>,
    /// How many groups there may be. If there were more, there is no answer.
    pub groups: usize,
}

impl Default for StatsQuery {
    fn default() -> Self {
        Self {
            from: None,
            to: None,
            project_id: None,
            session_id: None,
            chat_id: None,
            task_id: None,
            agent: None,
            group_by: Vec::new(),
            groups: STATS_GROUPS,
        }
    }
}

/// What was found for each group that there is something of, or none if there are more groups than were allowed.
pub type Groups<T> = Option<BTreeMap<Vec<GroupValue>, T>>;

/// What was used, in sum.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsageSum {
    /// Tokens read.
    pub input: u64,
    /// Tokens written.
    pub output: u64,
    /// The cost by currency and by who told it, in billionths. Zero was told, too.
    pub costs: BTreeMap<(Currency, UsageSource), u64>,
}

impl UsageSum {
    /// Adds an entry of the ledger.
    pub fn add(&mut self, entry: &UsageEntry) {
        let mut tokens = UsageTotals { input: self.input, output: self.output, costs: BTreeMap::new() };
        tokens.add(&entry.used);
        (self.input, self.output) = (tokens.input, tokens.output);
        if let Some(cost) = entry.used.cost {
            self.add_cost(cost.currency(), entry.source, cost.nanos());
        }
    }

    /// Adds other sums.
    pub fn add_all(&mut self, other: &Self) {
        let mut tokens = UsageTotals { input: self.input, output: self.output, costs: BTreeMap::new() };
        tokens.add_all(&UsageTotals { input: other.input, output: other.output, costs: BTreeMap::new() });
        (self.input, self.output) = (tokens.input, tokens.output);
        for ((currency, source), nanos) in &other.costs {
            self.add_cost(*currency, *source, *nanos);
        }
    }

    pub(crate) fn add_cost(&mut self, currency: Currency, source: UsageSource, nanos: u64) {
        let sum = self.costs.entry((currency, source)).or_default();
        *sum = sum.saturating_add(nanos).min(boocoder_model::MAX_COUNT);
    }

    /// The totals, whoever told them.
    pub fn totals(&self) -> UsageTotals {
        let mut totals = UsageTotals { input: self.input, output: self.output, costs: BTreeMap::new() };
        for ((currency, _), nanos) in &self.costs {
            totals.add_all(&UsageTotals { costs: [(*currency, *nanos)].into(), ..UsageTotals::default() });
        }
        totals
    }

    /// Whether the agent told any of the costs itself.
    pub fn tells_cost(&self) -> bool {
        self.costs.keys().any(|(_, source)| *source != UsageSource::PriceTable)
    }
}

/// How many turns there were, by how they ended. A turn counts when it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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

impl TurnCounts {
    /// Counts so many turns that ended like this, or have not ended.
    pub const fn add(&mut self, status: Option<TurnStatus>, turns: u64) {
        let count = match status {
            Some(TurnStatus::Completed) => &mut self.completed,
            Some(TurnStatus::Failed) => &mut self.failed,
            Some(TurnStatus::Cancelled) => &mut self.cancelled,
            None => &mut self.running,
        };
        *count += turns;
    }

    /// Adds other counts.
    pub const fn add_all(&mut self, other: &Self) {
        self.completed += other.completed;
        self.failed += other.failed;
        self.cancelled += other.cancelled;
        self.running += other.running;
    }
}
