//! The testkit's own tests: the mock model as a client sees it, and the pinned agents with it.
#![expect(clippy::unwrap_used, reason = "what a test cannot do without fails it")]

mod acp;
mod client;
mod helpers;
mod model;
mod real_agents;
