//! Sessions with real processes: the demo agent, agents that misbehave, and real ones.

#![expect(clippy::wildcard_enum_match_arm, reason = "a test looks at the one event that it is about")]

mod cancel;
mod client;
mod command;
mod demo;
mod faults;
mod leftovers;
mod load;
mod opencode;
mod opening;
mod real;
mod runner;
mod runner_faults;
mod support;
