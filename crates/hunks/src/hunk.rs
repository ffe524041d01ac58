//! Hunks, how they read, and what is left when only some of them are chosen.

use std::fmt::Write;
use std::ops::Range;

use crate::lines::{Block, blocks, lines};

/// How many lines around a change are shown with it, where there are that many: as git does by default.
pub const CONTEXT: usize = 3;

/// Neighbouring lines that one origin changed. Lines are counted from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hunk<O> {
    /// The lines of the base that it covers, some unchanged ones around the changed ones included.
    pub old: Range<usize>,
    /// The lines of the new text in their place.
    pub new: Range<usize>,
    /// Who made it.
    pub origin: O,
    pub(crate) blocks: Vec<Block>,
}

impl<O> Hunk<O> {
    /// The same hunk with another origin.
    pub fn map<P>(self, origin: impl FnOnce(O) -> P) -> Hunk<P> {
        Hunk { old: self.old, new: self.new, origin: origin(self.origin), blocks: self.blocks }
    }

    /// The hunk as a unified diff shows it: its header, and its lines with a space, a `-` or a `+`. Bytes that are no
    /// UTF-8 are shown lossily, for this is what a human reads.
    pub fn text(&self, base: &[u8], target: &[u8]) -> String {
        let (base, target) = (lines(base), lines(target));
        let (old_start, old_lines) = git_range(&self.old);
        let (new_start, new_lines) = git_range(&self.new);
        let mut text = format!("@@ -{old_start},{old_lines} +{new_start},{new_lines} @@\n");
        let mut at = self.old.start;
        for Block { old, new } in &self.blocks {
            show(&mut text, ' ', &base[at..old.start]);
            show(&mut text, '-', &base[old.clone()]);
            show(&mut text, '+', &target[new.clone()]);
            at = old.end;
        }
        show(&mut text, ' ', &base[at..self.old.end]);
        text
    }

    /// The lines that it takes out and those that it puts in, block by block: two hunks that have the same do the same,
    /// wherever they stand.
    pub fn effect(&self, base: &[u8], target: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
        let (base, target) = (lines(base), lines(target));
        self.blocks
            .iter()
            .map(|Block { old, new }| (base[old.clone()].concat(), target[new.clone()].concat()))
            .collect()
    }
}

/// A range as git writes it: the first line from 1 and the number of lines; of no lines, the line before them.
pub fn git_range(range: &Range<usize>) -> (usize, usize) {
    (if range.is_empty() { range.start } else { range.start + 1 }, range.len())
}

/// The range that git writes so.
pub fn from_git_range(start: usize, lines: usize) -> Range<usize> {
    let first = if lines == 0 { start } else { start.saturating_sub(1) };
    first..first + lines
}

fn show(text: &mut String, sign: char, lines: &[&[u8]]) {
    for line in lines {
        let _ = write!(text, "{sign}{}", String::from_utf8_lossy(line));
        if !line.ends_with(b"\n") {
            text.push_str("\n\\ No newline at end of file\n");
        }
    }
}

/// The hunks between two texts that differ by one origin's doing. Changes with few unchanged lines between them are one
/// hunk.
pub fn hunks<O: Clone + PartialEq>(base: &[u8], target: &[u8], origin: O) -> Vec<Hunk<O>> {
    let (base, target) = (lines(base), lines(target));
    let made = blocks(&base, &target).into_iter().map(|block| (block, origin.clone()));
    gather(made.collect(), base.len())
}

/// Makes hunks of blocks: neighbours of one origin are one hunk, those of two share the lines between them.
pub(crate) fn gather<O: PartialEq>(blocks: Vec<(Block, O)>, base_len: usize) -> Vec<Hunk<O>> {
    let mut hunks: Vec<Hunk<O>> = Vec::new();
    for (block, origin) in blocks {
        let before = hunks.last().map_or(block.old.start, |last| block.old.start - last.old.end);
        match hunks.last_mut() {
            Some(last) if last.origin == origin && before <= 2 * CONTEXT => {
                (last.old.end, last.new.end) = (block.old.end, block.new.end);
                last.blocks.push(block);
            }
            last => {
                let above = match last {
                    Some(last) => {
                        let below = CONTEXT.min(before.div_ceil(2));
                        (last.old.end, last.new.end) = (last.old.end + below, last.new.end + below);
                        before - below
                    }
                    None => before,
                };
                let above = above.min(CONTEXT);
                let (old, new) = (block.old.start - above..block.old.end, block.new.start - above..block.new.end);
                hunks.push(Hunk { old, new, origin, blocks: vec![block] });
            }
        }
    }
    if let Some(last) = hunks.last_mut() {
        let below = CONTEXT.min(base_len - last.old.end);
        (last.old.end, last.new.end) = (last.old.end + below, last.new.end + below);
    }
    hunks
}

/// The hunks that are known by the lines they cover: those between `base` and `target` once more, each change given to the
/// one that covers it, and lines that were only put in to whichever covers each. What none covers is left out.
pub fn recall<O: Clone>(
    base: &[u8],
    target: &[u8],
    known: impl IntoIterator<Item = (Range<usize>, Range<usize>, O)>,
) -> Vec<Hunk<O>> {
    let blocks = blocks(&lines(base), &lines(target));
    let within = |inner: &Range<usize>, outer: &Range<usize>| outer.start <= inner.start && inner.end <= outer.end;
    let of = |(old, new, origin): (Range<usize>, Range<usize>, O)| {
        let covered = blocks.iter().filter(|block| within(&block.old, &old)).filter_map(|block| {
            let part = block.new.start.max(new.start)..block.new.end.min(new.end);
            let is_covered = if block.old.is_empty() { !part.is_empty() } else { part == block.new };
            is_covered.then(|| Block { old: block.old.clone(), new: part })
        });
        Hunk { blocks: covered.collect(), old, new, origin }
    };
    known.into_iter().map(of).collect()
}

/// Takes hunks out of a text: what is left of it, and the hunks that are left, where they stand in it.
pub fn without<O: Clone>(
    base: &[u8],
    target: &[u8],
    hunks: &[Hunk<O>],
    out: impl Fn(&Hunk<O>) -> bool,
) -> (Vec<u8>, Vec<Hunk<O>>) {
    let text = choose(base, target, hunks, |hunk| !out(hunk));
    let mut left = Vec::new();
    let (mut taken, mut put) = (0, 0);
    for hunk in hunks {
        if out(hunk) {
            (taken, put) = (taken + hunk.new.len(), put + hunk.old.len());
        } else {
            let moved = |range: &Range<usize>| range.start + put - taken..range.end + put - taken;
            let blocks = hunk.blocks.iter().map(|block| Block { old: block.old.clone(), new: moved(&block.new) });
            left.push(Hunk { new: moved(&hunk.new), blocks: blocks.collect(), ..hunk.clone() });
        }
    }
    (text, left)
}

/// The text in which the chosen hunks are made and the others are not. All of them give the target, none the base.
///
/// The hunks are those between just these two texts.
pub fn choose<H: Spans>(base: &[u8], target: &[u8], hunks: &[H], chosen: impl Fn(&H) -> bool) -> Vec<u8> {
    let (base, target) = (lines(base), lines(target));
    let mut text = Vec::new();
    let mut at = 0;
    for hunk in hunks {
        let (old, new) = hunk.spans();
        text.extend(clip(&base, at..old.start).iter().copied().flatten());
        let made = if chosen(hunk) { clip(&target, new) } else { clip(&base, old.clone()) };
        text.extend(made.iter().copied().flatten());
        at = old.end;
    }
    text.extend(clip(&base, at..base.len()).iter().copied().flatten());
    text
}

/// The lines of a range, as far as they are there.
fn clip<'a, 'b>(lines: &'a [&'b [u8]], range: Range<usize>) -> &'a [&'b [u8]] {
    let end = range.end.min(lines.len());
    &lines[range.start.min(end)..end]
}

/// What covers some lines of a base, and some of a new text in their place. Counted from 0.
pub trait Spans {
    /// Those of the base, and those of the new text.
    fn spans(&self) -> (Range<usize>, Range<usize>);
}

impl<O> Spans for Hunk<O> {
    fn spans(&self) -> (Range<usize>, Range<usize>) {
        (self.old.clone(), self.new.clone())
    }
}
