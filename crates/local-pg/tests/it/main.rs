//! The database as its users meet it: real servers, real kills, real packages.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod lifecycle;
mod owner;
mod refusals;
mod sources;
mod support;
