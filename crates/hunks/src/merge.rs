//! Three-way merges, on the side of caution.

use std::ops::Range;

use similar::{MergeRegion, MergeResolution, TextMergeConfig};

/// Where two changes of one text stand in each other's way: the lines of each that cannot both be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clash {
    /// The lines that both started from.
    pub base: Vec<u8>,
    /// What one made of them.
    pub ours: Vec<u8>,
    /// What the other made of them.
    pub theirs: Vec<u8>,
}

/// What two changes of one text make together. Changes of the same lines, and of lines side by side, clash unless both
/// are the same: whoever changed a line may have looked at its neighbours.
///
/// # Errors
/// The places where they clash.
pub fn merge(base: &[u8], ours: &[u8], theirs: &[u8]) -> Result<Vec<u8>, Vec<Clash>> {
    let merged = TextMergeConfig::new().merge_lines(base, ours, theirs);
    let base_lines = |range: Range<usize>| concat(range, |index| merged.base_line(index));
    let our_lines = |range: Range<usize>| concat(range, |index| merged.ours_line(index));
    let their_lines = |range: Range<usize>| concat(range, |index| merged.theirs_line(index));
    let clash = |regions: &[MergeRegion]| {
        let (first, last) = (&regions[0], &regions[regions.len() - 1]);
        Clash {
            base: base_lines(first.base_range().start..last.base_range().end),
            ours: our_lines(first.ours_range().start..last.ours_range().end),
            theirs: their_lines(first.theirs_range().start..last.theirs_range().end),
        }
    };
    let is_change = |region: &MergeRegion| region.resolution() != MergeResolution::Unchanged;
    let changes = merged.regions().chunk_by(|one, next| is_change(one) && is_change(next));
    let clashes: Vec<_> = changes.filter(|regions| !go_together(regions)).map(clash).collect();
    if !clashes.is_empty() {
        return Err(clashes);
    }
    let chosen = merged.regions().iter().map(|region| {
        let by_them = region.resolution() == MergeResolution::Theirs;
        if by_them { their_lines(region.theirs_range()) } else { our_lines(region.ours_range()) }
    });
    Ok(chosen.flatten().collect())
}

fn concat<'a>(range: Range<usize>, line: impl Fn(usize) -> Option<&'a [u8]>) -> Vec<u8> {
    range.filter_map(line).flatten().copied().collect()
}

/// Whether changes side by side come from one side alone.
fn go_together(regions: &[MergeRegion]) -> bool {
    let all = |ours: MergeResolution| {
        regions.iter().all(|region| region.resolution() == ours || region.resolution() == MergeResolution::Both)
    };
    regions.len() == 1 && !regions[0].is_conflict() || all(MergeResolution::Ours) || all(MergeResolution::Theirs)
}
