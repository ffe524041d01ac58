//! Every noun as a row.

mod interaction;
mod message;
mod pending;
mod place;
mod runner;
mod task;
mod usage;

pub(super) use pending::{REVISE as REVISE_PENDING, hunk, revision, select as select_pending};
