//! The lines of a change: its hunks, who made each, what is left when only some are chosen, and a three-way merge.
//!
//! Everything here is about bytes in memory. A line ends with a line feed, which belongs to it, as in git; whatever else
//! is in it, it is never altered, so carriage returns, missing line feeds at the end and text in any encoding survive.
//!
//! | item | is |
//! | --- | --- |
//! | [`Hunk`] | some neighbouring lines that one origin changed, with a little of what is around them |
//! | [`hunks`] | the hunks between two texts, by one origin |
//! | [`attribute`] | the same where others had a hand in the new text: each hunk belongs to whoever touched it last |
//! | [`choose`] | the text in which some hunks are made and the others are not |
//! | [`without`] | the same, with the hunks that are left |
//! | [`merge`] | what two changes of one text make together, or where they clash |
//!
//! Two agents, one after the other, on one file:
//!
//! ```
//! use boocoder_hunks::{attribute, choose, hunks};
//!
//! let base = b"one\ntwo\nthree\n";
//! let first = b"ONE\ntwo\nthree\n";
//! let made = hunks(base, first, "goose");
//!
//! let second = b"ONE\ntwo\nTHREE\n";
//! let made = attribute(base, first, &made, second, "qwen");
//! assert_eq!(made.iter().map(|hunk| hunk.origin).collect::<Vec<_>>(), ["goose", "qwen"]);
//!
//! // Only what the second one did:
//! assert_eq!(choose(base, second, &made, |hunk| hunk.origin == "qwen"), b"one\ntwo\nTHREE\n");
//! ```
//!
//! What is deliberately not here: files, blobs and modes (that is `boocoder-worktree`), and what becomes of a hunk (that
//! is the dispatcher's).

mod hunk;
mod lines;
mod merge;
mod origin;

pub use hunk::{CONTEXT, Hunk, Spans, choose, from_git_range, git_range, hunks, recall, without};
pub use merge::{Clash, merge};
pub use origin::attribute;
