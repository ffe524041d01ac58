//! Sessions that outlive this program.

mod backend;
mod coalesce;
mod error;
mod host;
mod journal;
mod launch;
mod link;
mod place;
mod protocol;
mod record;
mod state;

pub use self::backend::RunnerBackend;
pub use self::error::RunnerError;
pub use self::host::host;
pub use crate::limits::RunnerLimits;
