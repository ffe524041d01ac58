//! Tests of the usage mapper: vendors' numbers, totals, and totals under arbitrary reports.

mod acp;
mod opencode;
mod recorded;
mod totals;
