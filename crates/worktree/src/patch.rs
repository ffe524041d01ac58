//! Differences between two trees: which files changed, and how, in one run of git.
//!
//! The raw records say what changed, exactly and for any name. The patch beside them, in the same order, is what a
//! human reads; where it is not UTF-8 it is shown lossily, for the blobs are the truth.

use boocoder_model::{BlobRef, Operation};

use crate::ids::is_object_id;
use crate::{Change, RepoPath, Repository, Treeish, WorktreeError};

/// How git writes the mode of a submodule.
/// How git writes the mode of a symbolic link.
pub(crate) const LINK_MODE: &str = "120000";

/// The change of one file between two trees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileDiff {
    /// What changed.
    pub change: Change,
    /// Whether the content is not shown because it is binary, or larger than
    /// [`Limits::diff_file_bytes`](crate::Limits::diff_file_bytes).
    pub binary: bool,
    /// Whether the patch is missing because all of them together are larger than
    /// [`Limits::output_bytes`](crate::Limits::output_bytes).
    pub omitted: bool,
    /// The change as a unified diff with git's headers.
    pub diff: String,
    /// Its hunks, in order. Empty for what has no lines to decide on: binary files, links, a file that became a link.
    pub hunks: Vec<HunkDiff>,
}

/// One hunk of a [`FileDiff`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HunkDiff {
    /// Its first line in the base, from 1 (0 for an empty base).
    pub old_start: u32,
    /// How many lines of the base it covers.
    pub old_lines: u32,
    /// Its first line in the new content, from 1 (0 if nothing is left).
    pub new_start: u32,
    /// How many lines of the new content it covers.
    pub new_lines: u32,
    /// Its header and its lines, each with its `+`, `-` or space.
    pub text: String,
}

impl Repository {
    /// What changed from one tree to another, file by file, in the order of their paths. Renames are detected.
    ///
    /// # Errors
    /// [`WorktreeError::TooLarge`] if not even the list of files is within the limit, or what git says.
    pub async fn diff(
        &self,
        base: impl Into<Treeish>,
        new: impl Into<Treeish>,
    ) -> Result<Vec<FileDiff>, WorktreeError> {
        const OPTIONS: [&str; 14] = [
            "-r",
            "-z",
            "--raw",
            "-p",
            "-M",
            "--full-index",
            "--no-abbrev",
            "--no-color",
            "--no-ext-diff",
            "--no-textconv",
            "--unified=3",
            "--inter-hunk-context=0",
            "--src-prefix=a/",
            "--dst-prefix=b/",
        ];
        let (base, new) = (base.into(), new.into());
        let big = format!("core.bigFileThreshold={}", self.git.limits().diff_file_bytes);
        let args = ["-c", &big, "-c", "diff.suppressBlankEmpty=false", "diff-tree"].into_iter().chain(OPTIONS);
        let command = self.command(args.chain(["--end-of-options", base.as_str(), new.as_str(), "--"]));
        let output = command.whole_tree().run().await?;
        if !output.cut && output.code != Some(0) {
            return Err(output.failure("git diff-tree"));
        }
        let (changes, patch) = read_raw(&output.stdout, output.cut.then(|| self.git.limits().output_bytes))?;
        attach(changes, patch, output.cut)
    }
}

impl Repository {
    /// What changed from one tree to another as one patch that `git apply` takes, binary files and all.
    ///
    /// # Errors
    /// [`WorktreeError::TooLarge`], or what git says.
    pub async fn patch(&self, base: impl Into<Treeish>, new: impl Into<Treeish>) -> Result<Vec<u8>, WorktreeError> {
        let (base, new) = (base.into(), new.into());
        let options = ["diff-tree", "-r", "-p", "-M", "--binary", "--full-index", "--no-color", "--no-ext-diff"];
        let trees = ["--no-textconv", "--end-of-options", base.as_str(), new.as_str(), "--"];
        self.command(options.into_iter().chain(trees)).whole_tree().stdout().await
    }
}

fn unreadable(reason: impl Into<String>) -> WorktreeError {
    WorktreeError::Unreadable { command: "git diff-tree", reason: reason.into() }
}

/// Reads the raw records, up to the empty one that parts them from the patch.
fn read_raw(output: &[u8], cut: Option<usize>) -> Result<(Vec<Change>, &[u8]), WorktreeError> {
    let mut rest = output;
    let mut field = || {
        let Some(end) = rest.iter().position(|byte| *byte == 0) else {
            let what = "the list of changed files".to_owned();
            return Err(
                cut.map_or_else(|| unreadable("it ends early"), |limit| WorktreeError::TooLarge { what, limit })
            );
        };
        let (field, after) = rest.split_at(end);
        rest = &after[1..];
        Ok(field)
    };
    let mut changes = Vec::new();
    if output.is_empty() {
        return Ok((changes, output));
    }
    loop {
        let record = field()?;
        if record.is_empty() {
            return Ok((changes, rest));
        }
        let record = std::str::from_utf8(record).map_err(|error| unreadable(error.to_string()))?;
        let path = RepoPath::from_bytes(field()?)?;
        changes.push(match read_record(record)? {
            (Operation::Rename, base, target) => {
                let (old_path, path) = (Some(path), RepoPath::from_bytes(field()?)?);
                Change { path, old_path, operation: Operation::Rename, base, target }
            }
            (operation, base, target) => Change { path, old_path: None, operation, base, target },
        });
    }
}

/// Reads one record: `:<mode> <mode> <blob> <blob> <status>`.
fn read_record(record: &str) -> Result<(Operation, Option<BlobRef>, Option<BlobRef>), WorktreeError> {
    let bad = || unreadable(format!("a record reads {record:?}"));
    let fields: Vec<&str> = record.strip_prefix(':').ok_or_else(bad)?.split(' ').collect();
    let [old_mode, new_mode, old_blob, new_blob, status] = fields[..] else { return Err(bad()) };
    if !is_object_id(old_blob) || !is_object_id(new_blob) {
        return Err(bad());
    }
    let side = |blob: &str, mode: &str| {
        let there = mode != "000000";
        there.then(|| BlobRef { blob: blob.to_owned(), mode: mode.to_owned() })
    };
    let operation = match status.as_bytes() {
        b"A" => Operation::Create,
        b"D" => Operation::Delete,
        b"M" if old_blob == new_blob => Operation::Mode,
        b"M" | b"T" => Operation::Edit,
        [b'R', ..] => Operation::Rename,
        _ => return Err(bad()),
    };
    Ok((operation, side(old_blob, old_mode), side(new_blob, new_mode)))
}

/// Gives every change its part of the patch.
fn attach(changes: Vec<Change>, patch: &[u8], cut: bool) -> Result<Vec<FileDiff>, WorktreeError> {
    let mut sections = sections(patch);
    if cut {
        // The last one may have lost its end.
        sections.pop();
    }
    let mut sections = sections.into_iter();
    let mut files = Vec::with_capacity(changes.len());
    for change in changes {
        // A file that became a link, or the other way round, is shown as deleted and created again.
        let parts = if change.turns_into_another_kind() { 2 } else { 1 };
        let own: Vec<&[u8]> = sections.by_ref().take(parts).collect();
        let omitted = own.len() < parts;
        if omitted && !cut {
            return Err(unreadable(format!("no patch for {}", change.path)));
        }
        let diff = if omitted { String::new() } else { String::from_utf8_lossy(&own.concat()).into_owned() };
        let hunks = if change.is_of_lines() { read_hunks(&diff)? } else { Vec::new() };
        let binary = lines(diff.as_bytes()).any(|line| line.starts_with(b"Binary files "));
        files.push(FileDiff { change, binary, omitted, diff, hunks });
    }
    match sections.next() {
        Some(_) => Err(unreadable("it holds more patches than files")),
        None => Ok(files),
    }
}

/// Splits a patch where files begin. A line of content never does: it begins with a sign.
fn sections(patch: &[u8]) -> Vec<&[u8]> {
    let mut starts = Vec::new();
    let mut at = 0;
    for line in lines(patch) {
        if line.starts_with(b"diff --git ") {
            starts.push(at);
        }
        at += line.len();
    }
    let ends = starts.iter().skip(1).copied().chain([patch.len()]);
    starts.iter().zip(ends).map(|(start, end)| &patch[*start..end]).collect()
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split_inclusive(|byte| *byte == b'\n')
}

fn read_hunks(diff: &str) -> Result<Vec<HunkDiff>, WorktreeError> {
    let mut hunks: Vec<HunkDiff> = Vec::new();
    for line in diff.split_inclusive('\n') {
        if line.starts_with("@@ ") {
            let hunk = read_hunk_header(line).ok_or_else(|| unreadable(format!("a hunk begins {line:?}")))?;
            hunks.push(hunk);
        } else if let Some(hunk) = hunks.last_mut() {
            hunk.text.push_str(line);
        }
    }
    Ok(hunks)
}

/// Reads `@@ -<start>[,<lines>] +<start>[,<lines>] @@`.
fn read_hunk_header(line: &str) -> Option<HunkDiff> {
    let range = |text: &str, sign: char| {
        let text = text.strip_prefix(sign)?;
        let (start, lines) = text.split_once(',').unwrap_or((text, "1"));
        Some((start.parse().ok()?, lines.parse().ok()?))
    };
    let mut words = line.strip_prefix("@@ ")?.split(' ');
    let (old_start, old_lines) = range(words.next()?, '-')?;
    let (new_start, new_lines) = range(words.next()?, '+')?;
    (words.next()?.trim_end() == "@@").then(|| HunkDiff {
        old_start,
        old_lines,
        new_start,
        new_lines,
        text: line.to_owned(),
    })
}
