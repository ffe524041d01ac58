//! Snapshots: what a worktree holds at one moment, as a tree in the project's object store.

use std::fs;
use std::path::Path;

use crate::repository::blocking;
use crate::{Checkout, TreeId, WorktreeError};

/// What a worktree held at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// All files, tracked or not, but for the ignored ones.
    pub tree: TreeId,
    /// What is missing from the tree, in git's words: files that cannot be read, a nested repository without commits.
    /// Empty when the tree is whole.
    pub missing: Vec<String>,
}

impl Checkout {
    /// Takes a snapshot, touching neither the index nor HEAD nor any file.
    ///
    /// A private index, kept beside the worktree's own, remembers the time and size of every file, so that only files
    /// that changed since the last snapshot are read. Each snapshot works on a copy of it: one that is killed midway
    /// leaves no lock behind, and two at once do not get in each other's way.
    ///
    /// # Errors
    /// [`WorktreeError::TimedOut`] or what git says.
    pub async fn snapshot(&self) -> Result<Snapshot, WorktreeError> {
        let (index, dir) = (self.snapshot_index(), self.repository.git_dir());
        let copy = tempfile::Builder::new().prefix("boocoder-snapshot-").tempfile_in(dir);
        let copy = copy.map_err(WorktreeError::io("write in", dir))?.into_temp_path();
        copy_index(&index, &copy).await?;

        let taken = match self.take_all(&copy).await {
            Err(error) if is_broken_index(&error) => {
                tracing::warn!(path = %self.path().display(), %error, "an index was broken, and all files are read again");
                fs::remove_file(&copy).map_err(WorktreeError::io("remove", copy.to_path_buf()))?;
                self.take_all(&copy).await
            }
            taken => taken,
        };
        let (mut missing, tree) = taken?;
        missing.extend(self.changed_submodules().await?);
        copy.persist(&index).map_err(|error| WorktreeError::io("write", &index)(error.error))?;
        Ok(Snapshot { tree: tree.parse()?, missing })
    }

    async fn take_all(&self, index: &Path) -> Result<(Vec<String>, String), WorktreeError> {
        let missing = self.add_all(index).await?;
        let tree = self.repository.command(["write-tree"]).setting("GIT_INDEX_FILE", index).whole_tree().line().await?;
        Ok((missing, tree))
    }

    /// The submodules in which files were changed: a tree has only their commits.
    async fn changed_submodules(&self) -> Result<Vec<String>, WorktreeError> {
        // Git keeps those that were fetched for this worktree here. Without any there is nothing to look for.
        let fetched = self.repository.git_dir().join("modules");
        if !tokio::fs::try_exists(&fetched).await.map_err(WorktreeError::io("look at", &fetched))? {
            return Ok(Vec::new());
        }
        let args =
            ["status", "--porcelain=v2", "-z", "--untracked-files=no", "--ignore-submodules=none", "--no-renames"];
        let status = self.repository.command(args).whole_tree().stdout().await?;
        let changed = status.split(|byte| *byte == 0).filter_map(|line| {
            let line = String::from_utf8_lossy(line).into_owned();
            let fields: Vec<_> = line.splitn(9, ' ').collect();
            let [_, _, submodule, .., path] = fields[..] else { return None };
            let is_changed = submodule.starts_with('S') && submodule.contains(['M', 'U']);
            is_changed.then(|| format!("changed files of the submodule {path}"))
        });
        Ok(changed.collect())
    }

    async fn add_all(&self, index: &Path) -> Result<Vec<String>, WorktreeError> {
        /// The status of `git add --ignore-errors` when it left something out.
        const LEFT_OUT: i32 = 1;
        /// Files that are left out one by one, since their filters fail: git itself adds nothing at all then.
        const UNFILTERED: usize = 20;
        let mut unfiltered: Vec<String> = Vec::new();
        loop {
            // What is written outside the cone of a sparse checkout is work as any other; what only is not checked out stays.
            let add = ["--no-literal-pathspecs", "add", "--all", "--sparse", "--ignore-errors"].map(str::to_owned);
            let but = unfiltered.iter().map(|path| format!(":(top,exclude,literal){path}"));
            let all = ["--", ":/"].map(str::to_owned).into_iter().filter(|_| !unfiltered.is_empty());
            let add = self.repository.command(add.into_iter().chain(all).chain(but)).setting("GIT_INDEX_FILE", index);
            let output = add.whole_tree().run().await?;
            let left_out = unfiltered.iter().map(|path| format!("{path}: its filter fails"));
            match output.code {
                Some(0) => return Ok(left_out.collect()),
                Some(LEFT_OUT) => return Ok(left_out.chain(output.stderr.lines().map(str::to_owned)).collect()),
                _ => match without_filter(&output.stderr) {
                    Some(path) if unfiltered.len() < UNFILTERED && !unfiltered.contains(&path) => unfiltered.push(path),
                    _ => return Err(output.failure("git add --all")),
                },
            }
        }
    }
}

/// The file whose filter git could not run, from what it says.
fn without_filter(stderr: &str) -> Option<String> {
    let fatal = stderr.lines().find_map(|line| line.strip_prefix("fatal: "))?;
    let quoted =
        [("failed to encode '", "' from "), ("BOM is required in '", "' if "), ("BOM is prohibited in '", "' if ")];
    let encoding = || quoted.iter().find_map(|(before, after)| Some(fatal.strip_prefix(before)?.rsplit_once(after)?.0));
    let path = fatal.rsplit_once(": clean filter '").map(|(path, _)| path).or_else(encoding)?;
    Some(path.to_owned())
}

/// Whether git cannot read an index, or finds what it names no more; it says so in words alone.
pub(crate) fn is_broken_index(error: &WorktreeError) -> bool {
    let WorktreeError::Failed { stderr, .. } = error else { return false };
    ["index file", "bad signature", "bad index", "error building trees"].iter().any(|words| stderr.contains(words))
}

/// Copies an index together with its time of change.
///
/// Git mistrusts entries as young as the index itself, since such a file may have changed again within the same tick of
/// the clock. A copy that looked younger than it is would hide that.
pub(crate) async fn copy_index(from: &Path, to: &Path) -> Result<(), WorktreeError> {
    let (source, target) = (from.to_owned(), to.to_owned());
    let copy = blocking(move || {
        fs::copy(&source, &target)?;
        fs::File::options().write(true).open(&target)?.set_modified(fs::metadata(&source)?.modified()?)
    });
    copy.await.map_err(WorktreeError::io("copy", from))
}
