//! The queue of pending changes, as data: what a row says, how rows follow a worktree, what a decision makes of them.
//! Everything here is pure; `docs/decisions/0009-pending-changes.md` tells the rules.

mod follow;
mod plan;
mod row;
#[cfg(test)]
mod tests;
mod verdict;

use std::collections::BTreeMap;

pub(crate) use self::follow::{contributors, follow, pending_changed, superseded, texts_to_follow};
pub use self::plan::Clash;
pub(crate) use self::plan::{Located, Steps, Wanted, blob_of, go};
pub(crate) use self::row::{Origin, Side, accepted, new_row, side, state, text_blobs, without_rejected};
pub use self::verdict::Verdict;
pub(crate) use self::verdict::{Carried, Refusal, caught_up, choose, is_deferred, outcome, put_off};

/// The contents of blobs by their ids. One that is not in here has no lines: it is too large, or nobody needs them.
pub(crate) type Contents = BTreeMap<String, Vec<u8>>;

/// How far git looks for a NUL byte, which makes a content binary.
const BINARY_HEAD: usize = 8000;

/// Whether a content has lines, by git's own rule.
pub(crate) fn is_text(content: &[u8]) -> bool {
    !content[..content.len().min(BINARY_HEAD)].contains(&0)
}
