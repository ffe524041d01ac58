//! Turns in, frames out.
//!
//! A [`Dispatcher`] takes messages and tasks, runs each on the agent it names, keeps everything that is said, asks a human
//! when the agent asks, and queues the edits. It needs a `Store` (in memory or in Postgres), backends and git; it needs no
//! server, and whoever embeds it can do without a database.
//!
//! Data flows one way:
//!
//! ```text
//! agent → backend (maps) → lane → log (numbers, commits) → broker → client
//! ```
//!
//! | module | does |
//! | --- | --- |
//! | `core`, `scheduler` | decides which task runs where; does it |
//! | `lane_core`, `lane` | decides for one agent in one chat; does it |
//! | `recorder`, `history` | one turn's events as frames and as a message; a chat's messages as a prompt |
//! | `log`, `broker` | the one writer; the fan-out to clients |
//! | `counters` | what is counted, for whoever installs a recorder of the `metrics` crate |
//! | `compaction` | what the log need not hold any more |
//! | `workspace`, `pending` | worktrees, and what their diffs mean for the queue of pending changes |
//! | `sessions`, `decisions`, `answers` | projects, sessions and chats; a human's decisions and answers |
//! | `sweep`, `replay` | what a start settles of what an earlier process left; messages put together from their frames |
//! | `lease`, `keeper` | several servers on one store: under which fence this one writes; what it hears from the others |
//! | `takeover`, `others` | what those left that have gone; what those see to that are there |
//!
//! What is deliberately not here: how agents are spoken to (`boocoder-backend`), SQL (`boocoder-store`) and HTTP (the
//! binary). To add a command, add its words to `command`, and its decision to `core` or `lane_core` first.
//!
//! ```
//! use std::sync::Arc;
//!
//! use boocoder_backend::{AcpBackend, OneshotBackend, Registry};
//! use boocoder_dispatch::{
//!     DispatchConfig, DispatchError, DispatchLimits, Dispatcher, NewMessage, Parts, Preparations, PriceTable, TaskOptions,
//! };
//! use boocoder_model::{Approval, ContentPart, Seq};
//! use boocoder_store::MemStore;
//! use boocoder_worktree::{Git, Limits};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let repository = boocoder_testkit::repo::TestRepo::new()?;
//! let acp = AcpBackend::new(std::env::vars_os().collect());
//! let dispatcher = Dispatcher::start(Parts {
//!     store: Arc::new(MemStore::new()),
//!     registry: Registry::default(),
//!     oneshot: Arc::new(OneshotBackend::new(acp.clone())),
//!     warm: Arc::new(acp),
//!     git: Git::new(Limits::default()),
//!     server: None,
//!     config: DispatchConfig {
//!         preparations: Preparations::default(),
//!         worktrees: dir.path().join("worktrees"),
//!         limits: DispatchLimits::default(),
//!         agents: [].into(),
//!         prices: PriceTable::default(),
//!     },
//! })
//! .await?;
//!
//! let project = dispatcher.add_project(repository.path(), None).await?;
//! let (session, _chat) = dispatcher.add_session(project.id, Some("tidy up".into())).await?;
//! let mut frames = dispatcher.subscribe(session.id, Seq::ZERO).await?;
//!
//! let options = TaskOptions {
//!     agent: "goose".into(),
//!     model: None,
//!     mode_id: None,
//!     thinking_option_id: None,
//!     approval: Approval::Ask,
//!     request_id: None,
//! };
//! let content = vec![ContentPart::Text("remove the dead code".into())];
//! let sent = dispatcher.send_message(NewMessage { session_id: session.id, chat_id: None, content, options }).await;
//! assert!(matches!(sent, Err(DispatchError::UnknownAgent(_))), "this registry is empty");
//!
//! dispatcher.shutdown().await;
//! assert_eq!(frames.next().await?, None);
//! # Ok(())
//! # }
//! ```

mod answers;
mod broker;
mod checkpoints;
mod command;
mod compaction;
mod comparing;
pub mod core;
mod counters;
mod decisions;
mod dispatcher;
mod env;
mod history;
mod intake;
mod keeper;
mod lane;
mod lane_core;
mod lease;
mod ledger;
pub mod limits;
mod log;
mod offers;
mod others;
mod queued;
mod recorder;
mod refusals;
mod replay;
mod scheduler;
mod sessions;
mod stale;
mod sweep;
mod takeover;
mod touched;
mod workspace;
mod worktrees;

pub use boocoder_usage_mapper::{Price, PriceTable};
pub use broker::{Broker, Subscription};
pub use checkpoints::{Checkpoint, Moment};
pub use command::{Accepted, DispatchError, NewMessage, NewTask, SessionRisk, TaskOptions};
pub use decisions::{NATIVE_AGENT, Pick};
pub use dispatcher::{DispatchConfig, Dispatcher, Parts};
pub use ledger::{Clash, Verdict};
pub use limits::{AgentKeeping, DispatchLimits};
pub use offers::Offered;
pub use worktrees::{Preparations, WorktreeReport, WorktreeState};
