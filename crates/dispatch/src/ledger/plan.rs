//! From one side of a row to another, on the files that are there.

use std::collections::{BTreeMap, BTreeSet};

use boocoder_hunks as lines;
use boocoder_model::BlobRef;
use boocoder_worktree::{Found, RepoPath, Step};

use super::{Contents, is_text};

/// Two sides of a file that cannot both be had. A side without lines is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clash {
    /// The file.
    pub path: String,
    /// Why, in words.
    pub reason: String,
    /// What the place holds.
    pub ours: Option<String>,
    /// What both started from.
    pub base: Option<String>,
    /// What was to be written.
    pub theirs: Option<String>,
}

/// One side of a file: where it is, and what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Located {
    pub(crate) path: RepoPath,
    pub(crate) blob: Option<BlobRef>,
}

/// A content that has to be in the object store before it can be written to a file.
pub(crate) enum Wanted {
    Blob(Option<BlobRef>),
    /// A merged content, with its mode.
    Merged(Vec<u8>, String),
}

/// The steps of a decision, at most one for each path: what a path holds first, and what last.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    sides: BTreeMap<RepoPath, (Option<BlobRef>, Option<BlobRef>)>,
    /// Where a directory is in place of a file, or the other way round.
    crossed: BTreeMap<RepoPath, Found>,
    /// Of these, what was to be removed.
    gone: BTreeSet<RepoPath>,
}

impl Steps {
    /// What a path will hold by the steps so far, if they say anything of it.
    pub(crate) fn planned(&self, path: &RepoPath) -> Option<&Option<BlobRef>> {
        self.sides.get(path).map(|(_, last)| last)
    }

    /// Notes what was found at a path, and gives it as a blob; a reason if it is none and not nothing either. Where a
    /// directory and a file are in each other's place there is nothing, as long as other steps make room.
    pub(crate) fn found(&mut self, path: &RepoPath, found: Found) -> Result<Option<BlobRef>, String> {
        if matches!(found, Found::Directory | Found::BehindLink | Found::BehindFile) {
            self.crossed.insert(path.clone(), found);
            return Ok(None);
        }
        blob_of(found)
    }

    /// Notes that what a path should hold is not there to be removed. That is well only if something else takes its place.
    pub(crate) fn note_gone(&mut self, path: &RepoPath) {
        if self.crossed.contains_key(path) {
            self.gone.insert(path.clone());
        }
    }

    /// Why there is nothing at a path, if it is not for want of a file alone.
    pub(crate) fn crossed(&self, path: &RepoPath) -> Option<String> {
        self.crossed.get(path).map(Found::to_string)
    }

    pub(crate) fn add(&mut self, path: RepoPath, before: Option<BlobRef>, after: Option<BlobRef>) {
        self.sides.entry(path).or_insert((before, None)).1 = after;
    }

    /// The paths at which something is in the way that no other step removes, with what it is.
    pub(crate) fn in_the_way(&self) -> Vec<(RepoPath, String)> {
        let step = |(path, (before, after)): (&RepoPath, &(Option<BlobRef>, Option<BlobRef>))| Step {
            path: path.clone(),
            before: before.clone(),
            after: after.clone(),
        };
        let steps: Vec<_> = self.sides.iter().map(step).collect();
        let is_stuck = |step: &Step| match step.after {
            Some(_) => !steps.iter().any(|other| other.makes_room_for(step)),
            None => self.gone.contains(&step.path) && !steps.iter().any(|other| step.makes_room_for(other)),
        };
        let crossed = steps.iter().filter_map(|step| Some((step, self.crossed.get(&step.path)?)));
        crossed.filter(|(step, _)| is_stuck(step)).map(|(step, found)| (step.path.clone(), found.to_string())).collect()
    }

    /// Those that do anything.
    pub(crate) fn into_steps(self) -> Vec<Step> {
        let steps = self.sides.into_iter().map(|(path, (before, after))| Step { path, before, after });
        steps.filter(|step| step.before != step.after).collect()
    }
}

/// What a file of the place becomes when it goes from one side to the other.
///
/// A file that holds the new side already stays; one that holds the old side becomes the new one; any other is merged,
/// if all three have lines.
pub(crate) fn go(found: Option<&BlobRef>, from: &Located, to: &Located, contents: &Contents) -> Result<Wanted, Clash> {
    if found == to.blob.as_ref() {
        return Ok(Wanted::Blob(to.blob.clone()));
    }
    if found == from.blob.as_ref() {
        return Ok(Wanted::Blob(to.blob.clone()));
    }
    let text = |blob: Option<&BlobRef>| {
        let blob = blob.filter(|blob| blob.mode.starts_with("100"))?;
        contents.get(&blob.blob).filter(|content| is_text(content))
    };
    let shown = |blob: Option<&BlobRef>| text(blob).map(|text| String::from_utf8_lossy(text).into_owned());
    let clash = |reason: &str, ours: Option<String>, base: Option<String>, theirs: Option<String>| Clash {
        path: to.path.to_string(),
        reason: reason.to_owned(),
        ours,
        base,
        theirs,
    };
    let whole = |reason: &str| clash(reason, shown(found), shown(from.blob.as_ref()), shown(to.blob.as_ref()));
    let (Some(place), Some(old), Some(new)) = (found, &from.blob, &to.blob) else {
        let reason = match (found, &from.blob, &to.blob) {
            (None, _, _) => "the file is not there any more",
            (_, None, _) => "there is another file in its place",
            (_, _, _) => "the file has changed, so it is not deleted",
        };
        return Err(whole(reason));
    };
    let (Some(ours), Some(base), Some(theirs)) = (text(found), text(from.blob.as_ref()), text(to.blob.as_ref())) else {
        return Err(whole("the file has changed, and has no lines that could be merged"));
    };
    match lines::merge(base, ours, theirs) {
        Ok(merged) => {
            let mode = if place.mode == old.mode { &new.mode } else { &place.mode };
            Ok(Wanted::Merged(merged, mode.clone()))
        }
        Err(clashes) => {
            let told = |side: fn(&lines::Clash) -> &[u8]| {
                let parts: Vec<_> = clashes.iter().map(|clash| String::from_utf8_lossy(side(clash))).collect();
                Some(parts.join(""))
            };
            Err(clash(
                "the same lines, or lines beside them, were changed there",
                told(|c| &c.ours),
                told(|c| &c.base),
                told(|c| &c.theirs),
            ))
        }
    }
}

/// What was found, as a blob; a reason if it is none and not nothing either.
pub(crate) fn blob_of(found: Found) -> Result<Option<BlobRef>, String> {
    match found {
        Found::Absent => Ok(None),
        Found::File(blob) => Ok(Some(blob)),
        Found::Directory | Found::Special | Found::BehindLink | Found::BehindFile | Found::Changing => {
            Err(found.to_string())
        }
    }
}
