//! The arithmetic of totals: reports in, deltas out.

use boocoder_model::{ContextUse, Cost, Currency, StepUsage, UsageLedger, UsageReport, UsageSource, UsageTotals};

use crate::limits;

/// Keeps the totals of one agent session.
///
/// Deltas are summed up and running totals are compared, and the greater of both is the total, field by field and
/// currency by currency. Within a turn, what its steps told and what was told for the turn as a whole stand in the same
/// relation. So an agent that reports the same use in several ways is counted once, whichever report comes first. The
/// price is that within a turn deltas count for nothing while they catch up with a running total.
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
    /// `tells_cost` is whether any of the costs in them was told by the agent.
    pub fn resume(totals: UsageTotals, tells_cost: bool) -> Self {
        Self::restore(UsageLedger { added: totals, tells_cost, ..UsageLedger::default() })
    }

    /// The mapper as it was when [`UsageMapper::ledger`] gave this.
    pub const fn restore(ledger: UsageLedger) -> Self {
        Self { ledger }
    }

    /// All that the mapper knows: what the next report's delta depends on.
    pub const fn ledger(&self) -> &UsageLedger {
        &self.ledger
    }

    /// What was used so far. No number in it ever falls.
    pub fn totals(&self) -> UsageTotals {
        self.summed().greatest(&self.ledger.told)
    }

    /// How full the context was at the last report, if there was one.
    pub const fn context(&self) -> Option<ContextUse> {
        self.ledger.context
    }

    /// Whether the agent has ever told a cost. If it has, what it told for no cost is not to be priced: its next running
    /// total may hold it.
    pub const fn tells_cost(&self) -> bool {
        self.ledger.tells_cost
    }

    /// A turn begins: the steps and the sum that are told from here on are those of another turn, and come on top of all
    /// that is known, however that was told.
    pub fn begin_turn(&mut self) {
        self.ledger.added = self.totals();
        self.ledger.steps = UsageTotals::default();
        self.ledger.turns = UsageTotals::default();
    }

    /// Tells the mapper that the agent counts from zero again: its process lost the session and began a new one.
    ///
    /// Without this, running totals below the highest one are taken for late reports and change nothing.
    pub fn counters_restarted(&mut self) {
        self.ledger.base = self.totals();
        self.ledger.added = self.ledger.base.clone();
        self.ledger.steps = UsageTotals::default();
        self.ledger.turns = UsageTotals::default();
        self.ledger.context = None;
    }

    /// Takes a report and returns the part of it that is new. A cost in it is there if it grew, or was told for the first
    /// time.
    pub fn apply(&mut self, report: &UsageReport) -> StepUsage {
        let before = self.totals();
        match report {
            UsageReport::Delta { source, used } => {
                let used = self.admit(*used, *source);
                match source {
                    UsageSource::Step => self.ledger.steps.add(&used),
                    UsageSource::Agent => self.ledger.turns.add(&used),
                    UsageSource::PriceTable => self.ledger.added.add(&used),
                }
            }
            UsageReport::RunningTotal(total) => self.tell(*total),
            UsageReport::Context { context, total_cost } => {
                self.ledger.context = Some(*context);
                self.tell(StepUsage { cost: *total_cost, ..StepUsage::default() });
            }
        }
        let new = self.totals().since(&before);
        // A report tells at most one cost.
        let cost = new.costs.first_key_value().map(|(currency, nanos)| Cost::from_nanos(*nanos, *currency));
        StepUsage { input: new.input, output: new.output, cost }
    }

    fn tell(&mut self, total: StepUsage) {
        let total = self.admit(total, UsageSource::Agent);
        let mut moved = self.ledger.base.clone();
        moved.add(&total);
        // A base in other currencies is no word of the agent on these.
        let currency = total.cost.map(Cost::currency);
        moved.costs.retain(|known, _| Some(*known) == currency);
        self.ledger.told = std::mem::take(&mut self.ledger.told).greatest(&moved);
    }

    /// What is taken of a report: its cost only in as many currencies as a session may have.
    fn admit(&mut self, used: StepUsage, source: UsageSource) -> StepUsage {
        let cost = used.cost.filter(|cost| self.has_room(cost.currency()));
        self.ledger.tells_cost |= cost.is_some() && source != UsageSource::PriceTable;
        StepUsage { cost, ..used }
    }

    fn has_room(&self, currency: Currency) -> bool {
        let known = self.totals().costs;
        known.contains_key(&currency) || known.len() < limits::CURRENCIES
    }

    /// The sum of all deltas.
    fn summed(&self) -> UsageTotals {
        let mut sum = self.ledger.added.clone();
        sum.add_all(&self.ledger.steps.clone().greatest(&self.ledger.turns));
        sum
    }
}
