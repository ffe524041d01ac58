//! Tokens and cost, with their kind told apart: a delta is added, a running total is compared, a context size is shown.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::money::{Cost, Currency};
use crate::text_enum::text_enum;
use crate::{TaskId, TurnId, UsageId};

/// Where a counter stops: the greatest number that a database holds, too.
pub const MAX_COUNT: u64 = i64::MAX as u64;

/// What one step, or one turn, used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StepUsage {
    /// Tokens read by the model, cached ones included.
    pub input: u64,
    /// Tokens written by the model, reasoning included.
    pub output: u64,
    /// What it cost, or none where nobody told: unknown, which is not the same as nothing.
    pub cost: Option<Cost>,
}

impl StepUsage {
    /// Whether there is nothing to add: no tokens, and no word of a cost.
    pub const fn is_empty(&self) -> bool {
        self.input == 0 && self.output == 0 && self.cost.is_none()
    }
}

/// What several steps used together. Amounts of different currencies stand beside each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsageTotals {
    /// Tokens read by the model, cached ones included.
    pub input: u64,
    /// Tokens written by the model, reasoning included.
    pub output: u64,
    /// The cost in each currency that one was told in, in billionths of it. Zero was told, too; what is not here is
    /// unknown.
    pub costs: BTreeMap<Currency, u64>,
}

impl UsageTotals {
    /// Adds what was used.
    pub fn add(&mut self, used: &StepUsage) {
        self.add_all(&Self::from(*used));
    }

    /// Adds other totals. Every number stops at [`MAX_COUNT`].
    pub fn add_all(&mut self, other: &Self) {
        self.input = plus(self.input, other.input);
        self.output = plus(self.output, other.output);
        for (currency, nanos) in &other.costs {
            let sum = self.costs.entry(*currency).or_default();
            *sum = plus(*sum, *nanos);
        }
    }

    /// The greater one of each number.
    pub fn greatest(mut self, other: &Self) -> Self {
        self.input = self.input.max(other.input);
        self.output = self.output.max(other.output);
        for (currency, nanos) in &other.costs {
            let greatest = self.costs.entry(*currency).or_default();
            *greatest = (*nanos).max(*greatest);
        }
        self
    }

    /// What came to these totals since they were `before`. A cost that did not grow is not in it unless it was told for
    /// the first time: zero.
    pub fn since(&self, before: &Self) -> Self {
        let grown = |(currency, nanos): (&Currency, &u64)| match before.costs.get(currency) {
            Some(earlier) => Some(nanos.saturating_sub(*earlier)).filter(|grown| *grown > 0),
            None => Some(*nanos),
        };
        Self {
            input: self.input.saturating_sub(before.input),
            output: self.output.saturating_sub(before.output),
            costs: self.costs.iter().filter_map(|cost| Some((*cost.0, grown(cost)?))).collect(),
        }
    }

    /// Tokens of both kinds together.
    pub const fn tokens(&self) -> u64 {
        let tokens = self.input.saturating_add(self.output);
        if tokens > MAX_COUNT { MAX_COUNT } else { tokens }
    }

    /// The cost in the main currency: US dollars if there is one in them, else the only one that there is. None where
    /// nobody told a cost, or where there are several and none in US dollars.
    pub fn main_cost(&self) -> Option<Cost> {
        let only = || self.costs.first_key_value().filter(|_| self.costs.len() == 1);
        let (currency, nanos) = self.costs.get_key_value(&Currency::USD).or_else(only)?;
        Some(Cost::from_nanos(*nanos, *currency))
    }
}

impl From<StepUsage> for UsageTotals {
    fn from(used: StepUsage) -> Self {
        Self {
            input: used.input.min(MAX_COUNT),
            output: used.output.min(MAX_COUNT),
            costs: used.cost.map(|cost| (cost.currency(), cost.nanos())).into_iter().collect(),
        }
    }
}

fn plus(a: u64, b: u64) -> u64 {
    a.saturating_add(b).min(MAX_COUNT)
}

/// One step's token counters as a vendor reports them, before they are folded into a [`StepUsage`].
///
/// Numbers that make no sense (negative, NaN, infinite) count as zero, and fractions are rounded.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TokenCounts {
    /// Tokens read by the model.
    pub input: f64,
    /// Tokens written by the model.
    pub output: f64,
    /// Tokens of the output that are reasoning.
    pub reasoning: f64,
    /// Tokens of the input that came from a cache.
    pub cache_read: f64,
    /// Tokens of the input that were written to a cache.
    pub cache_write: f64,
    /// The vendor's own sum, if it tells one. Some vendors count cached tokens within the input and reasoning within
    /// the output, some beside them; the sum tells which.
    pub total: Option<f64>,
}

impl TokenCounts {
    /// Folds the cache into the input and the reasoning into the output, each once: what the vendor's own sum shows to
    /// be counted already is not counted again.
    pub fn fold(self, cost: Option<Cost>) -> StepUsage {
        let (input, output) = (whole(self.input), whole(self.output));
        let cache = whole(self.cache_read).saturating_add(whole(self.cache_write));
        let reasoning = whole(self.reasoning);
        let beside = self.total.map_or(u64::MAX, |total| whole(total).saturating_sub(input.saturating_add(output)));
        let (cache, reasoning) = [(0, 0), (0, reasoning), (cache, 0), (cache, reasoning)]
            .into_iter()
            .filter(|(cache, reasoning)| cache.saturating_add(*reasoning) <= beside)
            .max_by_key(|(cache, reasoning)| cache.saturating_add(*reasoning))
            .unwrap_or_default();
        StepUsage { input: input.saturating_add(cache), output: output.saturating_add(reasoning), cost }
    }
}

/// The nearest whole number that a counter can hold. A cast alone would make the largest number of infinity.
fn whole(count: f64) -> u64 {
    if count.is_finite() { count.round() as u64 } else { 0 }
}

/// How full the model's context is, in tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContextUse {
    /// Tokens in it.
    pub used: u64,
    /// Tokens it can hold.
    pub size: u64,
}

text_enum! {
    /// Who says that so much was used.
    pub enum UsageSource ("usage source") {
        /// The agent, for a turn or for its session as a whole.
        Agent = "agent",
        /// The agent, for one step of a turn: one call of its model.
        Step = "step_event",
        /// The configured price table, since the agent told no cost.
        PriceTable = "price_table",
    }
}

text_enum! {
    /// How a number was told, and so what it means.
    pub enum UsageKind ("usage kind") {
        /// What a step or a turn used.
        Delta = "delta",
        /// What was used in all so far: kept is what was new in it.
        RunningTotal = "running_total",
        /// How full the context is.
        ContextSize = "context_size",
    }
}

/// What an agent reported, by kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsageReport {
    /// The use of one step, or of one turn: to be added. Of the steps of a turn and of the turn as a whole the greater
    /// one counts.
    Delta {
        /// [`UsageSource::Step`] for a step, [`UsageSource::Agent`] for a turn.
        source: UsageSource,
        /// What was used.
        used: StepUsage,
    },
    /// The use of the whole agent session so far: only what is above the last total is new.
    RunningTotal(StepUsage),
    /// The state of the context, with the session's cost so far if the agent tells it.
    Context {
        /// How full it is.
        context: ContextUse,
        /// The cost of the whole agent session so far.
        total_cost: Option<Cost>,
    },
}

impl UsageReport {
    /// What one step used, as an event of that step tells it.
    pub const fn step(used: StepUsage) -> Self {
        Self::Delta { source: UsageSource::Step, used }
    }

    /// What one turn used, as the agent tells it at the turn's end.
    pub const fn turn(used: StepUsage) -> Self {
        Self::Delta { source: UsageSource::Agent, used }
    }

    /// Who says so.
    pub const fn source(&self) -> UsageSource {
        match self {
            Self::Delta { source, .. } => *source,
            Self::RunningTotal(_) | Self::Context { .. } => UsageSource::Agent,
        }
    }

    /// What the amounts in it are. The cost beside a context is a running total.
    pub const fn kind(&self) -> UsageKind {
        match self {
            Self::Delta { .. } => UsageKind::Delta,
            Self::RunningTotal(_) | Self::Context { .. } => UsageKind::RunningTotal,
        }
    }
}

/// A line of the ledger: what one report brought that was new. Totals are sums of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageEntry {
    /// Its id, which follows from the record that it came from: a journal that is read again makes the same entry.
    pub id: UsageId,
    /// The task that it was used for, or the last one before it.
    pub task_id: TaskId,
    /// The turn in which it was used, or none between turns.
    pub turn_id: Option<TurnId>,
    /// How it was told.
    pub kind: UsageKind,
    /// Who told.
    pub source: UsageSource,
    /// What was new.
    pub used: StepUsage,
    /// How full the context was, where it is known.
    pub context: Option<ContextUse>,
    /// When it was taken in.
    pub at: Timestamp,
}

/// What the arithmetic of totals has to remember between two reports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsageLedger {
    /// All that was used before the last turn began, and what was priced since.
    pub added: UsageTotals,
    /// The sum of what steps told since the last turn began.
    pub steps: UsageTotals,
    /// The sum of what was told for turns as a whole since the last turn began.
    pub turns: UsageTotals,
    /// The highest running total, moved up by `base`.
    pub told: UsageTotals,
    /// What was used before the agent's own counters began.
    pub base: UsageTotals,
    /// Whether the agent has ever told a cost: then the price table is not asked.
    pub tells_cost: bool,
    /// How full the context was at the last report.
    pub context: Option<ContextUse>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUNTS: TokenCounts =
        TokenCounts { input: 100.0, output: 50.0, reasoning: 20.0, cache_read: 10.0, cache_write: 5.0, total: None };

    fn folded(counts: TokenCounts) -> (u64, u64) {
        let usage = counts.fold(None);
        (usage.input, usage.output)
    }

    #[test]
    fn no_sum_is_too_large_to_keep() {
        let most = UsageTotals { input: MAX_COUNT, output: MAX_COUNT, ..UsageTotals::default() };
        assert_eq!(most.tokens(), MAX_COUNT);
    }

    #[test]
    fn without_a_sum_every_counter_stands_for_itself() {
        assert_eq!(folded(COUNTS), (115, 70));
    }

    #[test]
    fn the_vendors_sum_tells_what_was_counted_already() {
        for (total, expected) in [(185.0, (115, 70)), (165.0, (115, 50)), (170.0, (100, 70)), (150.0, (100, 50))] {
            assert_eq!(folded(TokenCounts { total: Some(total), ..COUNTS }), expected, "total {total}");
        }
    }

    #[test]
    fn noise_counts_as_zero() {
        let noise = TokenCounts { input: -5.0, output: f64::NAN, reasoning: 2.6, cache_read: f64::INFINITY, ..COUNTS };
        assert_eq!(folded(noise), (5, 3));
    }

    fn totals(input: u64, costs: &[(&str, u64)]) -> UsageTotals {
        let cost = |(code, nanos): &(&str, u64)| (Currency::new(code).expect("a code"), *nanos);
        UsageTotals { input, output: 0, costs: costs.iter().map(cost).collect() }
    }

    #[test]
    fn currencies_are_never_added_to_each_other() {
        let mut sum = totals(1, &[("USD", 5)]);
        sum.add_all(&totals(2, &[("EUR", 7), ("USD", 1)]));
        assert_eq!(sum, totals(3, &[("EUR", 7), ("USD", 6)]));
        assert_eq!(sum.clone().greatest(&totals(0, &[("EUR", 9), ("USD", 2)])), totals(3, &[("EUR", 9), ("USD", 6)]));
        assert_eq!(sum.main_cost(), Some(Cost::from_nanos(6, Currency::USD)));
        assert_eq!(totals(1, &[("EUR", 7)]).main_cost().map(|cost| cost.currency()), Currency::new("EUR"));
        assert_eq!(totals(1, &[("EUR", 7), ("CHF", 7)]).main_cost(), None);
        assert_eq!(totals(1, &[]).main_cost(), None);
    }

    #[test]
    fn what_is_new_is_what_was_not_there_before() {
        let before = totals(5, &[("USD", 5)]);
        assert_eq!(totals(8, &[("USD", 7)]).since(&before), totals(3, &[("USD", 2)]));
        assert_eq!(totals(5, &[("EUR", 0), ("USD", 5)]).since(&before), totals(0, &[("EUR", 0)]));
        assert_eq!(before.since(&before), UsageTotals::default());
    }

    #[test]
    fn no_counter_goes_beyond_what_a_database_holds() {
        let mut most = UsageTotals::from(StepUsage { input: u64::MAX, output: 1, cost: Cost::usd(f64::MAX) });
        most.add_all(&most.clone());
        assert_eq!((most.input, most.output), (MAX_COUNT, 2));
        assert_eq!(most.main_cost().map(Cost::nanos), Some(MAX_COUNT));
    }
}
