//! What a journal's reader remembers of usage, as it is kept beside the journal's position.

use std::collections::BTreeMap;

use boocoder_model::{ContextUse, Cost, Currency, TurnId, UnknownName, UsageLedger, UsageTotals};
use serde::{Deserialize, Serialize};

/// Totals. Those that the first versions wrote have one cost, a number as text in US dollars, which was zero also where
/// nobody had told one.
#[derive(Debug, Default, Serialize, Deserialize)]
struct TotalsDoc {
    input: u64,
    output: u64,
    #[serde(default)]
    costs: BTreeMap<String, u64>,
    #[serde(default, skip_serializing)]
    cost: Option<String>,
}

impl From<&UsageTotals> for TotalsDoc {
    fn from(totals: &UsageTotals) -> Self {
        let costs = totals.costs.iter().map(|(currency, nanos)| (currency.to_string(), *nanos)).collect();
        Self { input: totals.input, output: totals.output, costs, cost: None }
    }
}

impl TryFrom<TotalsDoc> for UsageTotals {
    type Error = UnknownName;

    fn try_from(doc: TotalsDoc) -> Result<Self, UnknownName> {
        let cost = |(code, nanos): (String, u64)| Ok((code.parse::<Currency>()?, nanos));
        let mut costs = doc.costs.into_iter().map(cost).collect::<Result<BTreeMap<_, _>, UnknownName>>()?;
        let dollars = doc.cost.and_then(|text| Cost::usd(text.parse().ok()?)).filter(|cost| cost.nanos() > 0);
        costs.extend(dollars.map(|cost| (cost.currency(), cost.nanos())));
        Ok(Self { input: doc.input, output: doc.output, costs })
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct UsageLedgerDoc {
    added: TotalsDoc,
    #[serde(default)]
    steps: TotalsDoc,
    #[serde(default)]
    turns: TotalsDoc,
    told: TotalsDoc,
    base: TotalsDoc,
    /// None in what the first versions wrote, when every cost was the agent's.
    tells_cost: Option<bool>,
    context: Option<(u64, u64)>,
}

impl From<&UsageLedger> for UsageLedgerDoc {
    fn from(ledger: &UsageLedger) -> Self {
        Self {
            added: (&ledger.added).into(),
            steps: (&ledger.steps).into(),
            turns: (&ledger.turns).into(),
            told: (&ledger.told).into(),
            base: (&ledger.base).into(),
            tells_cost: Some(ledger.tells_cost),
            context: ledger.context.map(|context| (context.used, context.size)),
        }
    }
}

impl TryFrom<UsageLedgerDoc> for UsageLedger {
    type Error = UnknownName;

    fn try_from(doc: UsageLedgerDoc) -> Result<Self, UnknownName> {
        let (added, told) = (UsageTotals::try_from(doc.added)?, UsageTotals::try_from(doc.told)?);
        let tells_cost = doc.tells_cost.unwrap_or(!(added.costs.is_empty() && told.costs.is_empty()));
        Ok(Self {
            added,
            steps: doc.steps.try_into()?,
            turns: doc.turns.try_into()?,
            told,
            base: doc.base.try_into()?,
            tells_cost,
            context: doc.context.map(|(used, size)| ContextUse { used, size }),
        })
    }
}

/// The turn that a journal is in, and what was used before it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct TurnBegunDoc {
    id: TurnId,
    before: TotalsDoc,
}

impl From<&(TurnId, UsageTotals)> for TurnBegunDoc {
    fn from((id, before): &(TurnId, UsageTotals)) -> Self {
        Self { id: *id, before: before.into() }
    }
}

impl TryFrom<TurnBegunDoc> for (TurnId, UsageTotals) {
    type Error = UnknownName;

    fn try_from(doc: TurnBegunDoc) -> Result<Self, UnknownName> {
        Ok((doc.id, doc.before.try_into()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_first_versions_wrote_is_read() {
        let read = |cost: &str| {
            let totals = format!(r#"{{"input":5,"output":2,"cost":"{cost}"}}"#);
            let text = format!(r#"{{"added":{totals},"told":{totals},"base":{totals},"context":[1,2]}}"#);
            let doc: UsageLedgerDoc = serde_json::from_str(&text).expect("a document");
            UsageLedger::try_from(doc).expect("a ledger")
        };
        let dollars = UsageTotals { input: 5, output: 2, costs: [(Currency::USD, 250_000_000)].into() };
        let ledger = read("0.25");
        assert_eq!((&ledger.added, &ledger.told, ledger.tells_cost), (&dollars, &dollars, true));
        assert_eq!(ledger.context, Some(ContextUse { used: 1, size: 2 }));
        let unknown = UsageTotals { costs: BTreeMap::new(), ..dollars };
        assert_eq!((read("0.0").added, read("0.0").tells_cost), (unknown, false));
    }
}
