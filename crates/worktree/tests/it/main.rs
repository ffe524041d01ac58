//! Worktrees against real git, in directories that go away.
#![expect(clippy::unwrap_used, reason = "what a test cannot do without fails it")]

mod care;
mod decisions;
mod diffs;
mod fixture;
mod processes;
mod properties;
mod snapshots;
mod worktrees;
