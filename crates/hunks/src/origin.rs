//! Who made which hunk, when several had a hand in a text.

use std::ops::Range;

use crate::Hunk;
use crate::hunk::gather;
use crate::lines::{Block, blocks, lines, overlap, touch};

/// The hunks between `base` and `new`, where `old` was the text before `origin` made it `new`, and `made` says who had
/// made `old`: its hunks, in any order, as they stand in `old`.
///
/// A hunk belongs to whoever touched its lines last. What nobody else is known to have made is `origin`'s. Lines that were
/// put in between two lines of `base`, or into none, are told apart line by line; where lines of `base` went, all that came
/// in their place has one owner. `base` need not be the text that `made` started from.
pub fn attribute<O: Clone + PartialEq>(
    base: &[u8],
    old: &[u8],
    made: &[Hunk<O>],
    new: &[u8],
    origin: O,
) -> Vec<Hunk<O>> {
    let (base, old, new) = (lines(base), lines(old), lines(new));
    let edits = blocks(&old, &new);
    let owner = |at: &Range<usize>, meet: fn(&Range<usize>, &Range<usize>) -> bool| {
        // The first edit that does not lie wholly before these lines.
        let next = edits.partition_point(|edit| edit.new.end <= at.start && !meet(&edit.new, at));
        if edits.get(next).is_some_and(|edit| meet(&edit.new, at)) {
            return origin.clone();
        }
        let last = next.checked_sub(1).map(|last| &edits[last]);
        let (old_end, new_end) = last.map_or((0, 0), |edit| (edit.old.end, edit.new.end));
        let there = at.start - new_end + old_end..at.end - new_end + old_end;
        let maker = made.iter().find(|hunk| hunk.blocks.iter().any(|made| meet(&made.new, &there)));
        maker.map_or_else(|| origin.clone(), |hunk| hunk.origin.clone())
    };
    let mut found: Vec<(Block, O)> = Vec::new();
    for block in blocks(&base, &new) {
        if !block.old.is_empty() {
            let owner = owner(&block.new, touch);
            found.push((block, owner));
            continue;
        }
        for line in block.new {
            let owner = owner(&(line..line + 1), overlap);
            match found.last_mut() {
                Some((last, by)) if last.old == block.old && *by == owner => last.new.end = line + 1,
                _ => found.push((Block { old: block.old.clone(), new: line..line + 1 }, owner)),
            }
        }
    }
    gather(found, base.len())
}
