//! Who made which hunk, when several had a hand in a text.

use crate::Hunk;
use crate::hunk::gather;
use crate::lines::{Block, blocks, lines, touch};

/// The hunks between `base` and `new`, where `old` was the text before `origin` made it `new`, and `made` says who had
/// made `old`: its hunks, in any order, as they stand in `old`.
///
/// A hunk belongs to whoever touched its lines last. What nobody else is known to have made is `origin`'s. `base` need not
/// be the text that `made` started from.
pub fn attribute<O: Clone + PartialEq>(
    base: &[u8],
    old: &[u8],
    made: &[Hunk<O>],
    new: &[u8],
    origin: O,
) -> Vec<Hunk<O>> {
    let (base, old, new) = (lines(base), lines(old), lines(new));
    let edits = blocks(&old, &new);
    let of_block = |block: &Block| {
        if edits.iter().any(|edit| touch(&edit.new, &block.new)) {
            return origin.clone();
        }
        // Nothing was edited up to it but what lies wholly before it.
        let last = edits.iter().take_while(|edit| edit.new.end < block.new.start).last();
        let (old_end, new_end) = last.map_or((0, 0), |edit| (edit.old.end, edit.new.end));
        let there = block.new.start - new_end + old_end..block.new.end - new_end + old_end;
        let maker = made.iter().find(|hunk| hunk.blocks.iter().any(|made| touch(&made.new, &there)));
        maker.map_or_else(|| origin.clone(), |hunk| hunk.origin.clone())
    };
    let found = blocks(&base, &new).into_iter().map(|block| (of_block(&block), block));
    gather(found.map(|(origin, block)| (block, origin)).collect(), base.len())
}
