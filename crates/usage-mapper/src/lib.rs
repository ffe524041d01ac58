//! From the counters that agents report to what each step used and what the session used in all.
//!
//! Agents count in three ways: per step or turn, as a running total of the session, or as the size of the context with
//! a cost beside it. [`UsageMapper`] takes a [`UsageReport`](boocoder_model::UsageReport) of any of them, answers with
//! the part of it that is new, and keeps totals that never fall and count nothing twice.
//!
//! | module | reads |
//! | --- | --- |
//! | [`acp`] | the result of `session/prompt` and the `usage_update` of the Agent Client Protocol |
//! | [`opencode`] | the steps and sessions of `opencode serve` |
//!
//! Readers are lenient: what is missing, negative, NaN or infinite counts as zero, and fractions are rounded.
//!
//! A cost is what the agent says. Where it says none, a configured [`PriceTable`] may stand in; without one the cost is
//! unknown. Amounts of different currencies are never added.
//!
//! Deliberately not here: exchange rates, prices that nobody configured, and storage.
//! The next vendor gets a module that reads its JSON into a `UsageReport`; the mapper stays as it is.
//!
//! ```
//! use boocoder_model::{Cost, StepUsage};
//! use boocoder_usage_mapper::{UsageMapper, opencode};
//! use serde_json::json;
//!
//! let counters = json!({
//!     "cost": 0.25,
//!     "tokens": { "input": 100, "output": 50, "reasoning": 20, "cache": { "read": 10, "write": 5 } },
//! });
//! let mut mapper = UsageMapper::new();
//! let used = mapper.apply(&opencode::step(&counters));
//! assert_eq!(used, StepUsage { input: 115, output: 70, cost: Cost::usd(0.25) });
//! assert!(mapper.apply(&opencode::session(&counters)).is_empty(), "the session's total says nothing new");
//! assert_eq!(mapper.totals(), used.into());
//! ```

pub mod acp;
pub mod limits;
pub mod opencode;

mod mapper;
mod number;
mod price;

pub use mapper::UsageMapper;
pub use price::{Price, PriceTable};
