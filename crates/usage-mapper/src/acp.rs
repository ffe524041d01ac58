//! The counters of the Agent Client Protocol, where agents differ most.
//!
//! Some report the usage of the turn in the result of `session/prompt`, some in its `_meta`, some in `usage_update`
//! notifications with the cost of the whole session, some in several of these at once. [`UsageMapper`] sorts out what
//! is new.
//!
//! [`UsageMapper`]: crate::UsageMapper

use boocoder_model::{ContextUse, Cost, Currency, StepUsage, TokenCounts, UsageReport};
use serde_json::Value;

use crate::number::optional;

/// Reads the results of one session's prompts, in order.
///
/// It remembers the last one, because an agent that answers a cancelled prompt before its model was asked may repeat
/// the usage of the turn before.
#[derive(Clone, Debug, Default)]
pub struct PromptUsage {
    last: Option<StepUsage>,
}

impl PromptUsage {
    /// A reader that has seen no turn.
    pub fn new() -> Self {
        Self::default()
    }

    /// What the turn used by the result of its prompt, or none where the result does not say.
    ///
    /// `result` is the whole result object: its `usage` is read first, the token count that some agents put into
    /// `_meta.quota` where there is no `usage`.
    pub fn read(&mut self, result: &Value) -> Option<UsageReport> {
        let used = usage(&result["usage"]).or_else(|| usage(&result["_meta"]["quota"]["token_count"]))?;
        let repeated = result["stopReason"] == "cancelled" && self.last == Some(used);
        self.last = Some(used);
        (!repeated && !used.is_empty()).then_some(UsageReport::turn(used))
    }
}

/// Reads one usage object: `inputTokens`, `outputTokens` and their companions, in camel case or in snake case. A `cost`
/// in it is one in US dollars.
///
/// Cached tokens and reasoning are added only where `totalTokens` shows that the agent counts them beside input and
/// output. None if the value has neither input nor output.
pub fn usage(value: &Value) -> Option<StepUsage> {
    let either = |camel: &str, snake: &str| optional(value, camel).or_else(|| optional(value, snake));
    let (input, output) = (either("inputTokens", "input_tokens"), either("outputTokens", "output_tokens"));
    if input.is_none() && output.is_none() {
        return None;
    }
    let counts = TokenCounts {
        input: input.unwrap_or_default(),
        output: output.unwrap_or_default(),
        reasoning: either("thoughtTokens", "thought_tokens").unwrap_or_default(),
        cache_read: either("cachedReadTokens", "cached_read_tokens").unwrap_or_default(),
        cache_write: either("cachedWriteTokens", "cached_write_tokens").unwrap_or_default(),
        total: either("totalTokens", "total_tokens"),
    };
    Some(counts.fold(optional(value, "cost").and_then(Cost::usd)))
}

/// Reads a `usage_update`: the size of the context, and the cost of the session so far where the agent tells it.
///
/// None if `used` or `size` is no whole number from zero up: a context whose size is unknown is not shown as empty.
pub fn usage_update(update: &Value) -> Option<UsageReport> {
    let context = ContextUse { used: update["used"].as_u64()?, size: update["size"].as_u64()? };
    Some(UsageReport::Context { context, total_cost: cost(&update["cost"]) })
}

/// Reads an amount with its currency. An amount of no currency is none: it could be added to nothing.
fn cost(value: &Value) -> Option<Cost> {
    Cost::new(optional(value, "amount")?, Currency::new(value["currency"].as_str()?)?)
}
