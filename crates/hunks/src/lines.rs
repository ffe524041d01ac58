//! Lines, and the blocks of lines in which two texts differ.

use std::ops::Range;

use similar::{Algorithm, DiffTag, capture_diff_slices};

/// Splits a text into lines, each with its line feed. The last one may have none.
pub(crate) fn lines(text: &[u8]) -> Vec<&[u8]> {
    text.split_inclusive(|byte| *byte == b'\n').collect()
}

/// Neighbouring lines that stand in place of others; one side may be empty. Lines are counted from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) old: Range<usize>,
    pub(crate) new: Range<usize>,
}

/// Where two texts differ, in order. Two blocks have at least one line between them that both texts share.
pub(crate) fn blocks(old: &[&[u8]], new: &[&[u8]]) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    for op in capture_diff_slices(Algorithm::Myers, old, new) {
        let (tag, old, new) = op.as_tag_tuple();
        match (tag, blocks.last_mut()) {
            (DiffTag::Equal, _) => {}
            (_, Some(last)) if last.old.end == old.start && last.new.end == new.start => {
                (last.old.end, last.new.end) = (old.end, new.end);
            }
            (DiffTag::Delete | DiffTag::Insert | DiffTag::Replace, _) => blocks.push(Block { old, new }),
        }
    }
    blocks
}

/// Whether two ranges share a line or stand side by side.
pub(crate) fn touch(one: &Range<usize>, other: &Range<usize>) -> bool {
    one.start <= other.end && other.start <= one.end
}

/// Whether two ranges share a line.
pub(crate) fn overlap(one: &Range<usize>, other: &Range<usize>) -> bool {
    one.start < other.end && other.start < one.end
}
