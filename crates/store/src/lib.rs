//! Keeps what BooCoder must not lose: the port [`Store`], an engine in memory and one on Postgres.
//!
//! There is one way to write: [`Store::commit`] takes a [`WriteBatch`] of typed [`Change`]s and numbered frames, and
//! writes all of it or nothing. So the frames that clients see and the state that they tell of are never apart. A change
//! carries its own guard ("unless it is settled already"), and a guard that fails is a [`StoreError::Conflict`] that
//! says what was found.
//!
//! | type | is |
//! | --- | --- |
//! | [`Store`] | the port: what is asked of a store, whichever engine keeps it |
//! | [`MemStore`] | everything in this process, for embedding without a database and for tests |
#![cfg_attr(
    feature = "postgres",
    doc = "| [`PgStore`] | everything in Postgres 15 or newer (feature `postgres`, on by default) |"
)]
#![cfg_attr(
    feature = "conformance",
    doc = "| [`conformance`] | the test suite that every engine passes (feature `conformance`) |"
)]
//!
//! Left out on purpose: what the nouns mean and when they change (the dispatcher's matter), JSON for clients (a frame is
//! stored as the text that it is), and clocks and ids (both are arguments).
//!
//! Another engine implements [`Store`], passes `store_conformance!`, and nothing else need know of it.
//!
//! ```
//! use boocoder_model::{Project, ProjectId};
//! use boocoder_store::{Change, MemStore, Store, StoreError, WriteBatch};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), StoreError> {
//! # let project = Project {
//! #     id: ProjectId::from_uuid(uuid::Uuid::from_u128(1)),
//! #     name: "tea".into(),
//! #     path: "/srv/tea".into(),
//! #     created_at: jiff::Timestamp::UNIX_EPOCH,
//! # };
//! let store = MemStore::new();
//! let batch = WriteBatch { changes: vec![Change::AddProject(project.clone())], durable: true, ..WriteBatch::default() };
//! store.commit(batch.clone()).await?;
//! assert_eq!(store.project(project.id).await?, Some(project));
//!
//! let again = store.commit(batch).await;
//! assert!(matches!(again, Err(StoreError::Conflict { what: "project", .. })));
//! # Ok(())
//! # }
//! ```

mod change;
mod error;
mod frames;
pub mod limits;
mod mem;
mod rule;
mod servers;
mod stats;
mod store;

#[cfg(feature = "conformance")]
pub mod conformance;
#[cfg(feature = "postgres")]
mod pg;

pub use change::{Change, WriteBatch};
pub use error::StoreError;
pub use mem::MemStore;
#[cfg(feature = "postgres")]
pub use pg::{PgConfig, PgStore};
pub use servers::{About, News, Owned, Wish, Writer};
pub use stats::{Groups, StatsQuery, TurnCounts, UsageSum};
pub use store::{InteractionFilter, ReadBudget, Store, StoredFrame, TaskFilter};
