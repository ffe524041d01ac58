//! The engine on Postgres.
//!
//! | module | holds |
//! | --- | --- |
//! | `config`, `start` | how to connect, the version check and the migrations |
//! | `conn` | pooled connections, on which every statement is prepared once |
//! | `commit`, `steps` | a batch as a list of statements, and the transaction that runs them |
//! | `consume` | how far journals are taken in, in one statement with the frames |
//! | `mark` | what became of a transaction whose end nobody has seen |
//! | `claim`, `read` | the other things that are asked of a store |
//! | `servers` | servers that share the database: leases, fences, and what each owns |
//! | `listen`, `news` | notifications, on a connection of their own; what servers tell each other |
//! | `table`, `nouns`, `doc` | columns, rows and JSON columns as domain types |
//! | `failure` | what an error of the driver means |

mod claim;
mod commit;
mod config;
mod conn;
mod consume;
mod doc;
mod failure;
mod listen;
mod mark;
mod news;
mod nouns;
mod read;
mod servers;
mod start;
mod stats;
mod steps;
mod table;
mod usage_doc;

use std::sync::{Mutex, PoisonError};

use boocoder_model::TaskId;
use tokio::sync::{broadcast, watch};

pub use config::PgConfig;

use crate::limits::{NEWS, PgLimits};
use crate::{News, StoreError, WriteBatch};
use conn::Pool;
use listen::{Ears, Listener};
use mark::{Doubts, Marks};

/// What a connection is told that waits for the disk.
const DURABLE: &str = "SET synchronous_commit = on";

/// What a connection is told that does not. All it does is to write by key, and there one plan is as good as another,
/// while making a new one each time would be nearly half of the time that a small batch takes.
const RELAXED: &str = "SET synchronous_commit = off; SET plan_cache_mode = force_generic_plan";

/// Keeps everything in a Postgres database, version 15 or newer.
///
/// Several processes may share the database; tasks are given out once and each learns of the others' tasks. Times are
/// kept to the microsecond.
#[derive(Debug)]
pub struct PgStore {
    /// Reads, and whatever has to be on disk when it is done.
    durable: Pool,
    /// Batches and claims that need not be on disk yet: these connections do not wait for it.
    relaxed: Pool,
    marks: Marks,
    /// What nobody could say of before its caller had to be told that the database is away.
    batches_in_doubt: Doubts<WriteBatch>,
    claims_in_doubt: Doubts<TaskId>,
    limits: PgLimits,
    ears: Ears,
    listener: Mutex<Option<Listener>>,
}

impl PgStore {
    /// Connects, checks the version, migrates the database, and listens.
    ///
    /// # Errors
    /// [`StoreError::Unreachable`] if nothing answers within the limits, [`StoreError::TooOld`],
    /// [`StoreError::Migration`], and [`StoreError::Driver`] if the server refuses or the connection string is wrong.
    pub async fn connect(config: PgConfig) -> Result<Self, StoreError> {
        let target = config.target()?;
        start::prepare(&target, &config.limits).await?;
        let ears = Ears { wakeups: watch::Sender::new(0), news: broadcast::Sender::<News>::new(NEWS) };
        Ok(Self {
            durable: Pool::new(&target, DURABLE, config.limits.connections, &config.limits)?,
            relaxed: Pool::new(&target, RELAXED, config.limits.relaxed_connections, &config.limits)?,
            listener: Mutex::new(Some(Listener::spawn(target, config.limits.clone(), ears.clone()))),
            marks: Marks::default(),
            batches_in_doubt: Doubts::default(),
            claims_in_doubt: Doubts::default(),
            limits: config.limits,
            ears,
        })
    }

    /// Closes every connection. What is asked afterwards is answered with [`StoreError::Unreachable`].
    pub async fn close(&self) {
        self.durable.close();
        self.relaxed.close();
        let listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(listener) = listener {
            listener.stop().await;
        }
    }
}
