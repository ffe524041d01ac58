//! Git worktrees for coding agents: each works in a checkout of its own, and nothing of it reaches the project, or is
//! lost, without a decision.
//!
//! | type | is |
//! | --- | --- |
//! | [`Git`] | the `git` command line within [`Limits`] |
//! | [`Repository`] | a git repository with its checkout, such as a project |
//! | [`Checkout`] | a worktree that was made from a project for an agent |
//! | [`Preparation`] | what is done to a new one first: ignored files copied, a command run |
//! | [`Snapshot`] | all that a worktree holds at one moment, as a tree |
//! | [`FileDiff`] | what changed in one file between two trees: a [`Change`], with the patch that a human reads |
//! | [`Step`] | what is to become of one path: what decisions come down to |
//! | [`Applied`], [`Conflict`] | what a decision did, or what stood in its way |
//! | [`Risk`] | the work that would be lost with a worktree |
//!
//! Git is asked for everything that it knows best (trees, ignore rules, renames, line endings); only the files of a
//! checkout are written by this crate itself, each whole or not at all, through directories that are no links.
//!
//! What is deliberately not here: where a decision is recorded and who made it (that is the store's), and lines: hunks
//! and merges are `boocoder-hunks`'. A [`Step`] is whole blobs on both sides, so either only has to make another blob.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! use boocoder_worktree::{Git, Limits, Repository};
//!
//! # let dir = tempfile::tempdir().unwrap();
//! # let run = |args: &[&str]| std::process::Command::new("git").args(args).current_dir(dir.path()).status().unwrap();
//! # run(&["init", "--quiet", "project"]);
//! # let identity = ["-c", "user.name=me", "-c", "user.email=me@example.org"];
//! # run(&[&identity[..], &["-C", "project", "commit", "--quiet", "--allow-empty", "-m", "first"]].concat());
//! let project = Repository::open(&Git::new(Limits::default()), &dir.path().join("project")).await?;
//! let checkout = project.create_worktree(&dir.path().join("worktree")).await?;
//!
//! std::fs::write(checkout.path().join("notes.txt"), "an agent was here\n").unwrap();
//!
//! let snapshot = checkout.snapshot().await?;
//! let files = project.diff(checkout.base_commit(), &snapshot.tree).await?;
//! assert_eq!(files[0].change.path.as_str(), "notes.txt");
//!
//! project.apply(&[files[0].change.clone()]).await?;
//! assert!(project.root().join("notes.txt").exists());
//! # Ok::<_, boocoder_worktree::WorktreeError>(())
//! # }).unwrap();
//! ```

mod apply;
mod blobs;
mod change;
mod checkout;
mod error;
mod git;
mod ids;
mod limits;
mod making;
mod overlay;
mod patch;
mod path;
mod place;
mod prepare;
mod repository;
mod restore;
mod risk;
mod snapshot;

pub use apply::Applied;
pub use change::{Change, Step};
pub use checkout::{Checkout, CheckoutEntry};
pub use error::{Conflict, Found, WorktreeError};
pub use git::Git;
pub use ids::{CommitId, TreeId, Treeish};
pub use limits::Limits;
pub use patch::{FileDiff, HunkDiff};
pub use path::RepoPath;
pub use prepare::{Preparation, Setup, check_pattern};
pub use repository::Repository;
pub use risk::Risk;
pub use snapshot::Snapshot;
