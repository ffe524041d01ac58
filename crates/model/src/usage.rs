//! Tokens and cost, with their kind told apart: a delta is added, a running total is compared, a context size is shown.

/// What one step, or one turn, used.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StepUsage {
    /// Tokens read by the model, cached ones included.
    pub input: u64,
    /// Tokens written by the model, reasoning included.
    pub output: u64,
    /// Cost in the currency of the report, US dollars unless it says otherwise. Finite and never negative.
    pub cost: f64,
}

impl StepUsage {
    /// Whether there is nothing to add.
    pub fn is_zero(&self) -> bool {
        self.input == 0 && self.output == 0 && self.cost == 0.0
    }
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
    pub fn fold(self, cost: f64) -> StepUsage {
        let (input, output) = (whole(self.input), whole(self.output));
        let cache = whole(self.cache_read).saturating_add(whole(self.cache_write));
        let reasoning = whole(self.reasoning);
        let beside = self.total.map_or(u64::MAX, |total| whole(total).saturating_sub(input.saturating_add(output)));
        let (cache, reasoning) = [(0, 0), (0, reasoning), (cache, 0), (cache, reasoning)]
            .into_iter()
            .filter(|(cache, reasoning)| cache.saturating_add(*reasoning) <= beside)
            .max_by_key(|(cache, reasoning)| cache.saturating_add(*reasoning))
            .unwrap_or_default();
        StepUsage {
            input: input.saturating_add(cache),
            output: output.saturating_add(reasoning),
            cost: if cost.is_finite() && cost > 0.0 { cost } else { 0.0 },
        }
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

/// What an agent reported, by kind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum UsageReport {
    /// The use of one step or turn: to be added.
    Delta(StepUsage),
    /// The use of the whole agent session so far: only what is above the last total is new.
    RunningTotal(StepUsage),
    /// The state of the context, with the session's cost so far if the agent tells it.
    Context {
        /// How full it is.
        context: ContextUse,
        /// The cost of the whole agent session so far.
        total_cost: Option<f64>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUNTS: TokenCounts =
        TokenCounts { input: 100.0, output: 50.0, reasoning: 20.0, cache_read: 10.0, cache_write: 5.0, total: None };

    fn folded(counts: TokenCounts) -> (u64, u64) {
        let usage = counts.fold(0.0);
        (usage.input, usage.output)
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
        assert_eq!(COUNTS.fold(f64::NAN).cost, 0.0);
        assert_eq!(COUNTS.fold(-1.0).cost, 0.0);
    }
}

/// What the arithmetic of totals has to remember between two reports.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct UsageLedger {
    /// The sum of all deltas.
    pub added: StepUsage,
    /// The highest running total, moved up by `base`.
    pub told: StepUsage,
    /// What was used before the agent's own counters began.
    pub base: StepUsage,
    /// How full the context was at the last report.
    pub context: Option<ContextUse>,
}
