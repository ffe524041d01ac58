//! The arithmetic of totals: reports in, deltas out.

use boocoder_model::{ContextUse, StepUsage, UsageLedger, UsageReport};

/// Keeps the totals of one agent session.
///
/// Two sums run side by side, one of the deltas and one of the running totals that the agent tells, and the greater of
/// them is the total, field by field. So an agent that reports the same use in both ways is counted once, whichever
/// report comes first. The price is that deltas count for nothing while they catch up with a running total.
#[derive(Clone, Debug, Default)]
pub struct UsageMapper {
    ledger: UsageLedger,
}

impl UsageMapper {
    /// Totals of a session that has used nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Totals that were stored: the session is resumed, and the agent's running totals go on from where they were.
    pub fn resume(totals: StepUsage) -> Self {
        Self::restore(UsageLedger { added: clean(totals), ..UsageLedger::default() })
    }

    /// The mapper as it was when [`UsageMapper::ledger`] gave this.
    pub const fn restore(ledger: UsageLedger) -> Self {
        Self { ledger }
    }

    /// All that the mapper knows: what the next report's delta depends on.
    pub const fn ledger(&self) -> UsageLedger {
        self.ledger
    }

    /// What was used so far. It never falls.
    pub fn totals(&self) -> StepUsage {
        greater(self.ledger.added, self.ledger.told)
    }

    /// How full the context was at the last report, if there was one.
    pub fn context(&self) -> Option<ContextUse> {
        self.ledger.context
    }

    /// Tells the mapper that the agent counts from zero again: its process lost the session and began a new one.
    ///
    /// Without this, running totals below the highest one are taken for late reports and change nothing.
    pub fn counters_restarted(&mut self) {
        self.ledger.base = self.totals();
        self.ledger.added = self.ledger.base;
        self.ledger.context = None;
    }

    /// Takes a report and returns the part of it that is new.
    pub fn apply(&mut self, report: &UsageReport) -> StepUsage {
        let before = self.totals();
        match report {
            UsageReport::Delta(step) => self.ledger.added = sum(self.ledger.added, clean(*step)),
            UsageReport::RunningTotal(total) => self.tell(*total),
            UsageReport::Context { context, total_cost } => {
                self.ledger.context = Some(*context);
                self.tell(StepUsage { cost: total_cost.unwrap_or_default(), ..StepUsage::default() });
            }
        }
        let after = self.totals();
        StepUsage {
            input: after.input - before.input,
            output: after.output - before.output,
            cost: after.cost - before.cost,
        }
    }

    fn tell(&mut self, total: StepUsage) {
        self.ledger.told = greater(self.ledger.told, sum(self.ledger.base, clean(total)));
    }
}

/// A report may come from anywhere, so its cost is checked where it enters the totals.
fn clean(usage: StepUsage) -> StepUsage {
    let cost = if usage.cost.is_finite() && usage.cost > 0.0 { usage.cost } else { 0.0 };
    StepUsage { cost, ..usage }
}

fn sum(a: StepUsage, b: StepUsage) -> StepUsage {
    StepUsage {
        input: a.input.saturating_add(b.input),
        output: a.output.saturating_add(b.output),
        cost: (a.cost + b.cost).min(f64::MAX),
    }
}

fn greater(a: StepUsage, b: StepUsage) -> StepUsage {
    StepUsage { input: a.input.max(b.input), output: a.output.max(b.output), cost: a.cost.max(b.cost) }
}
