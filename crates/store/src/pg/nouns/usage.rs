//! Entries of the usage ledger.

use boocoder_model::{ContextUse, Cost, StepUsage, TaskId, TurnId, UsageEntry, UsageId};

use crate::StoreError;
use crate::pg::conn::{Params, params};
use crate::pg::table::{Fields, Noun, Table, bigint};

impl Noun for UsageEntry {
    const TABLE: Table<'static> = Table {
        what: "usage entry",
        name: "usage_entries",
        key: &["id"],
        columns: &[
            "id",
            "task_id",
            "turn_id",
            "kind",
            "source",
            "input_tokens",
            "output_tokens",
            "cost_nanos",
            "currency",
            "context_used",
            "context_size",
            "at",
        ],
    };

    fn values(&self) -> Result<Params<'_>, StoreError> {
        let number = |number: u64| bigint("usage entry", number);
        let cost = self.used.cost;
        Ok(params![
            self.id.as_uuid(),
            self.task_id.as_uuid(),
            self.turn_id.map(TurnId::as_uuid),
            self.kind.as_str(),
            self.source.as_str(),
            number(self.used.input)?,
            number(self.used.output)?,
            cost.map(|cost| number(cost.nanos())).transpose()?,
            cost.map(|cost| cost.currency().to_string()),
            self.context.map(|context| number(context.used)).transpose()?,
            self.context.map(|context| number(context.size)).transpose()?,
            self.at,
        ])
    }

    fn read(row: &Fields<'_>) -> Result<Self, StoreError> {
        let cost = row.count_if_any("cost_nanos")?.zip(row.name_if_any("currency")?);
        let context = row.count_if_any("context_used")?.zip(row.count_if_any("context_size")?);
        Ok(Self {
            id: row.id("id", UsageId::from_uuid)?,
            task_id: row.id("task_id", TaskId::from_uuid)?,
            turn_id: row.id_if_any("turn_id", TurnId::from_uuid)?,
            kind: row.name("kind")?,
            source: row.name("source")?,
            used: StepUsage {
                input: row.count("input_tokens")?,
                output: row.count("output_tokens")?,
                cost: cost.map(|(nanos, currency)| Cost::from_nanos(nanos, currency)),
            },
            context: context.map(|(used, size)| ContextUse { used, size }),
            at: row.get("at")?,
        })
    }
}
