//! What was used, as clients see it: tokens, and costs that are never added across currencies.

use std::collections::BTreeMap;

use boocoder_model::{ContextUse, Cost, UsageSource, UsageTotals};
use serde::{Deserialize, Serialize};

use crate::frame::FrameBody;

/// What was used by something.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct Used {
    /// Tokens read.
    pub input_tokens: u64,
    /// Tokens written.
    pub output_tokens: u64,
    /// Cost in the main currency: US dollars, or the only one there is. Zero if nothing was used; null where tokens were
    /// used whose cost nobody told, or where there are several currencies and none is US dollars.
    pub cost: Option<f64>,
    /// In which currency `cost` is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
    /// The cost in each currency, where there are several.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub costs: BTreeMap<String, f64>,
}

impl From<&UsageTotals> for Used {
    fn from(totals: &UsageTotals) -> Self {
        let main = totals.main_cost();
        let is_unused = totals.tokens() == 0 && totals.costs.is_empty();
        let shown = |(currency, nanos): (&_, &_)| {
            let cost = Cost::from_nanos(*nanos, *currency);
            (cost.currency().to_string(), cost.amount())
        };
        Self {
            input_tokens: totals.input,
            output_tokens: totals.output,
            cost: main.map(Cost::amount).or_else(|| is_unused.then_some(0.0)),
            currency: main.map(|cost| cost.currency().to_string()),
            costs: totals.costs.iter().filter(|_| totals.costs.len() > 1).map(shown).collect(),
        }
    }
}

/// What the ledger holds, to be shown in a frame.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UsageView {
    /// What the agent session used so far.
    pub totals: UsageTotals,
    /// The part of it that the turn under way used, if there is one.
    pub turn: Option<UsageTotals>,
    /// How full the context is, where that is known.
    pub context: Option<ContextUse>,
}

impl FrameBody {
    /// The frame of something that was used, told by `source`.
    pub fn usage(view: &UsageView, source: UsageSource) -> Self {
        let Used { input_tokens, output_tokens, cost, currency, costs } = Used::from(&view.totals);
        Self::Usage {
            input_tokens,
            output_tokens,
            cost,
            currency,
            costs,
            source: Some(source.to_string()),
            turn: view.turn.as_ref().map(Used::from),
            context_used: view.context.map(|context| context.used),
            context_size: view.context.map(|context| context.size),
        }
    }
}
