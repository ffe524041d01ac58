//! The conformance suite on every engine, and what only Postgres can do wrong.

#[cfg(test)]
mod database;
#[cfg(test)]
mod doubt;
#[cfg(test)]
mod fence;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod migration;
#[cfg(test)]
mod postgres;
#[cfg(test)]
mod stats;
