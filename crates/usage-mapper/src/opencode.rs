//! The counters of `opencode serve`.
//!
//! A step's tokens are disjoint: cached input and reasoning stand beside input and output, so all are added up. Costs are
//! in US dollars.

use boocoder_model::{Cost, StepUsage, TokenCounts, UsageReport};
use serde_json::Value;

use crate::number::{number, optional};

/// Reads one step: the `part` of a `step-finish`, or the properties of a step that ended. Both have `tokens` and `cost`.
pub fn step(part: &Value) -> UsageReport {
    UsageReport::step(usage(part))
}

/// Reads a session's running total: the `info` of a `session.updated`.
pub fn session(info: &Value) -> UsageReport {
    UsageReport::RunningTotal(usage(info))
}

fn usage(object: &Value) -> StepUsage {
    let tokens = &object["tokens"];
    let cache = &tokens["cache"];
    TokenCounts {
        input: number(tokens, "input"),
        output: number(tokens, "output"),
        reasoning: number(tokens, "reasoning"),
        cache_read: number(cache, "read"),
        cache_write: number(cache, "write"),
        total: None,
    }
    .fold(optional(object, "cost").and_then(Cost::usd))
}
