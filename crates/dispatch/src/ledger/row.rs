//! One row: its hunks, its sides, its state.

use std::collections::BTreeSet;

use boocoder_hunks::{self as lines, from_git_range, git_range};
use boocoder_model::{
    AgentName, BlobRef, Hunk, HunkId, PendingChange, PendingId, PendingStatus, SessionId, TaskId, WorktreeId,
};
use boocoder_worktree::FileDiff;
use jiff::Timestamp;
use uuid::Uuid;

use super::Contents;
use super::verdict::is_deferred;
use crate::touched::Touched;

/// Who made a change, and where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) session_id: Option<SessionId>,
    pub(crate) task_id: Option<TaskId>,
    pub(crate) worktree_id: Option<WorktreeId>,
    pub(crate) agent: Option<AgentName>,
    /// What its tool calls say they changed.
    pub(crate) touched: Touched,
}

/// Whoever touched some lines last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Maker {
    pub(super) agent: Option<AgentName>,
    pub(super) task_id: Option<TaskId>,
}

impl Origin {
    pub(super) fn maker(&self) -> Maker {
        Maker { agent: self.agent.clone(), task_id: self.task_id }
    }
}

/// The hunks of a row as lines, with their places in the row; only those whose lines are in the target.
pub(super) type Lines = lines::Hunk<(usize, Maker)>;

/// One side of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Base,
    Target,
    /// Some hunks and not others: a content under the target's name and mode.
    Between(Vec<u8>),
}

impl Side {
    /// Where it is: a rename goes with the first hunk that is made.
    pub(crate) fn path<'a>(&self, row: &'a PendingChange) -> &'a str {
        match self {
            Self::Base => row.old_path.as_deref().unwrap_or(&row.file_path),
            Self::Target | Self::Between(_) => &row.file_path,
        }
    }
}

/// The ids of the blobs whose lines are needed to say anything of a row's hunks.
pub(crate) fn text_blobs(row: &PendingChange) -> BTreeSet<String> {
    let sides = row.base.iter().chain(&row.target).filter(|_| !row.hunks.is_empty());
    sides.map(|side| side.blob.clone()).collect()
}

/// The lines of a blob; none for no file.
pub(super) fn text<'a>(blob: Option<&BlobRef>, contents: &'a Contents) -> &'a [u8] {
    blob.and_then(|blob| contents.get(&blob.blob)).map_or(&[], Vec::as_slice)
}

/// Whether a hunk's lines are in the target: not those of one that was taken out or replaced.
pub(super) fn in_target(row: &PendingChange, hunk: &Hunk) -> bool {
    match hunk.status {
        PendingStatus::Pending | PendingStatus::Stale | PendingStatus::Applied | PendingStatus::Reverted => true,
        PendingStatus::Rejected => row
            .decisions
            .iter()
            .any(|decision| is_deferred(decision) && (decision.hunks.is_empty() || decision.hunks.contains(&hunk.id))),
        PendingStatus::Superseded => false,
    }
}

/// The hunks of a row as lines.
pub(super) fn lines_of(row: &PendingChange, contents: &Contents) -> Vec<Lines> {
    let known = row.hunks.iter().enumerate().filter(|(_, hunk)| in_target(row, hunk)).map(|(place, hunk)| {
        let old = from_git_range(hunk.old_start as usize, hunk.old_lines as usize);
        let new = from_git_range(hunk.new_start as usize, hunk.new_lines as usize);
        (old, new, (place, Maker { agent: hunk.agent.clone(), task_id: hunk.task_id }))
    });
    lines::recall(text(row.base.as_ref(), contents), text(row.target.as_ref(), contents), known)
}

/// The side of a row in which just some of the hunks that are in its target are made. Of a row without hunks,
/// `made` is asked with none.
pub(crate) fn side(row: &PendingChange, contents: &Contents, made: impl Fn(Option<&Hunk>) -> bool) -> Side {
    if row.hunks.is_empty() {
        return if made(None) { Side::Target } else { Side::Base };
    }
    let lines = lines_of(row, contents);
    let is_made = |line: &Lines| made(row.hunks.get(line.origin.0));
    if !lines.iter().any(is_made) {
        return Side::Base;
    }
    // The target may hold hunks that have moved on to another row, or were replaced.
    let (base, target) = (text(row.base.as_ref(), contents), text(row.target.as_ref(), contents));
    let between = lines::choose(base, target, &lines, is_made);
    if between == target { Side::Target } else { Side::Between(between) }
}

/// What the project's checkout holds of a row, as far as was decided.
pub(crate) fn accepted(row: &PendingChange, contents: &Contents) -> Side {
    side(row, contents, |hunk| hunk.map_or(row.status, |hunk| hunk.status) == PendingStatus::Applied)
}

/// The side of the worktree once the hunks that a human refused are taken out of it.
pub(crate) fn without_rejected(row: &PendingChange, contents: &Contents) -> Side {
    side(row, contents, |hunk| hunk.map_or(row.status, |hunk| hunk.status) != PendingStatus::Rejected)
}

/// The state of a row by its hunks; a row without hunks is in the state it is in.
pub(crate) fn state(row: &PendingChange) -> PendingStatus {
    use PendingStatus::{Applied, Pending, Rejected, Reverted, Stale, Superseded};
    if row.hunks.is_empty() {
        return row.status;
    }
    let order = [Stale, Pending, Applied, Reverted, Rejected];
    let is = |status: &PendingStatus| row.hunks.iter().any(|hunk| hunk.status == *status);
    order.into_iter().find(is).unwrap_or(Superseded)
}

/// A hunk for the store.
pub(super) fn hunk<O>(
    line: &lines::Hunk<O>,
    base: &[u8],
    target: &[u8],
    id: HunkId,
    status: PendingStatus,
    maker: &Maker,
) -> Hunk {
    let ((old_start, old_lines), (new_start, new_lines)) = (git_range(&line.old), git_range(&line.new));
    // A text of more lines than that is over every limit.
    let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    Hunk {
        id,
        old_start: number(old_start),
        old_lines: number(old_lines),
        new_start: number(new_start),
        new_lines: number(new_lines),
        diff: line.text(base, target),
        status,
        agent: maker.agent.clone(),
        task_id: maker.task_id,
        tool_call_id: None,
    }
}

/// A new row without hunks.
fn bare_row(file: &FileDiff, origin: &Origin, at: Timestamp, id: Uuid) -> PendingChange {
    let change = &file.change;
    PendingChange {
        id: PendingId::from_uuid(id),
        session_id: origin.session_id,
        task_id: origin.task_id,
        worktree_id: origin.worktree_id,
        file_path: change.path.to_string(),
        old_path: change.old_path.as_ref().map(ToString::to_string),
        operation: change.operation,
        status: PendingStatus::Pending,
        agent: origin.agent.clone(),
        base: change.base.clone(),
        target: change.target.clone(),
        diff: file.diff.clone(),
        hunks: Vec::new(),
        revision: 0,
        decisions: Vec::new(),
        created_at: at,
    }
}

/// A new row for a file that one origin changed, or, after `predecessor`, several.
pub(crate) fn new_row(
    file: &FileDiff,
    predecessor: Option<&PendingChange>,
    contents: &Contents,
    origin: &Origin,
    at: Timestamp,
    new_id: &mut dyn FnMut() -> Uuid,
) -> PendingChange {
    let mut row = bare_row(file, origin, at, new_id());
    let by = |row: &mut PendingChange, maker: Maker| (row.agent, row.task_id) = (maker.agent, maker.task_id);
    if has_no_lines(file, contents) {
        if let Some(before) = predecessor.filter(|before| before.target == row.target) {
            by(&mut row, Maker { agent: before.agent.clone(), task_id: before.task_id });
        }
        return row;
    }
    let (base, target) = (text(row.base.as_ref(), contents), text(row.target.as_ref(), contents));
    let known = predecessor.map(|before| lines_of(before, contents)).unwrap_or_default();
    let old = predecessor.map_or(base, |before| text(before.target.as_ref(), contents));
    let makers: Vec<_> = known.iter().cloned().map(|line| line.map(|(_, maker)| maker)).collect();
    let made = lines::attribute(base, old, &makers, target, origin.maker());

    let effects = |before: &PendingChange| {
        let base = text(before.base.as_ref(), contents);
        known.iter().map(|line| line.effect(base, old)).collect::<Vec<_>>()
    };
    let effects = predecessor.map(effects).unwrap_or_default();
    let mut kept = BTreeSet::new();
    for line in &made {
        let effect = line.effect(base, target);
        let is_same = |index: &usize| {
            let (place, maker) = &known[*index].origin;
            !kept.contains(place) && *maker == line.origin && effects[*index] == effect
        };
        let stays = |index: &usize| {
            let before = predecessor.and_then(|before| before.hunks.get(known[*index].origin.0));
            before.filter(|hunk| hunk.status.is_open() || hunk.status == PendingStatus::Reverted)
        };
        let before = (0..known.len()).filter(is_same).find_map(|index| stays(&index).map(|hunk| (index, hunk)));
        let hunk = match before {
            Some((index, before)) => {
                kept.insert(known[index].origin.0);
                let hunk = hunk(line, base, target, before.id, before.status, &line.origin);
                Hunk { tool_call_id: before.tool_call_id.clone(), ..hunk }
            }
            None => {
                let id = HunkId::from_uuid(new_id());
                let is_own = line.origin == origin.maker();
                let call = is_own.then(|| origin.touched.call_for(&row.file_path, &effect)).flatten();
                let hunk = hunk(line, base, target, id, PendingStatus::Pending, &line.origin);
                Hunk { tool_call_id: call.cloned(), ..hunk }
            }
        };
        row.hunks.push(hunk);
    }
    let is_own = made.iter().any(|line| line.origin == origin.maker());
    if let Some(last) = made.last().filter(|_| !is_own) {
        by(&mut row, last.origin.clone());
    }
    row.status = state(&row);
    row
}

/// Whether a file is decided on as a whole.
fn has_no_lines(file: &FileDiff, contents: &Contents) -> bool {
    let sides = || file.change.base.iter().chain(&file.change.target);
    let is_text = |side: &BlobRef| {
        side.mode.starts_with("100") && contents.get(&side.blob).is_some_and(|text| super::is_text(text))
    };
    file.binary || !sides().all(is_text)
}
