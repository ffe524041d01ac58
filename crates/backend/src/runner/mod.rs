//! Sessions that outlive this program: each is kept by a *runner*, a small process that hosts the very backend that this
//! program would use itself, and writes down in a journal all that happens.
//!
//! ```text
//! agent ⇄ AcpBackend → host → journal → RunnerBackend → consumer
//!         └────── the runner ──────┘      └─ the server ─┘
//! ```
//!
//! | module | holds |
//! | --- | --- |
//! | `backend`, `launch` | [`RunnerBackend`]: the port, for sessions that runners keep |
//! | `link` | the server's end of one session: commands, connections, the reading of the journal |
//! | `host` | [`host`]: all that a runner does |
//! | `place` | a runner's directory: its secret, its lock, its socket |
//! | `protocol` | what crosses the socket, and the JSON forms of all that is kept |
//! | `record`, `state`, `coalesce` | the journal's records, what they add up to, and what is joined before: no I/O |
//! | `journal` | the journal's files, from both ends |
//!
//! What is written is what counts. The server reads the journal's files at its own pace; over the socket go commands,
//! their results, and how far the journal is. So it makes no difference to a reader whether the runner lives, and a slow
//! reader costs no memory anywhere.
//!
//! A program becomes a runner like this, given the two arguments that [`RunnerBackend`] adds:
//!
//! ```no_run
//! # async fn example(dir: std::path::PathBuf, mark: String) -> Result<(), boocoder_backend::runner::RunnerError> {
//! use std::sync::Arc;
//!
//! use boocoder_backend::runner::{RunnerLimits, host};
//! use boocoder_backend::{AcpBackend, Environment};
//!
//! let ours: Environment = std::env::vars_os().collect();
//! host(dir, Arc::new(AcpBackend::new(ours).owned_by(mark)), RunnerLimits::default()).await
//! # }
//! ```

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
pub(crate) use self::error::Doing;
pub use self::error::RunnerError;
pub use self::host::host;
pub(crate) use self::place::Place;
pub(crate) use self::protocol::{By, OpenForm, Read};
pub use crate::limits::RunnerLimits;
