//! What would be lost with a worktree, and its removal.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::snapshot::is_broken_index;
use crate::{Checkout, CommitId, TreeId, WorktreeError};

/// Work in a worktree that is nowhere else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Risk {
    /// Files that differ from the worktree's HEAD, untracked and staged ones included, whatever its index calls unchanged.
    /// Ignored files are not work.
    pub uncommitted: u64,
    /// Commits that the worktree's HEAD reaches and no branch, remote branch, tag or HEAD of the project does.
    pub unmerged: u64,
}

impl Risk {
    /// Whether nothing would be lost.
    pub fn is_none(self) -> bool {
        self == Self::default()
    }
}

impl fmt::Display for Risk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "uncommitted files: {}, unmerged commits: {}", self.uncommitted, self.unmerged)
    }
}

impl Checkout {
    /// What would be lost if the worktree went away now.
    ///
    /// # Errors
    /// What git says.
    pub async fn risk(&self) -> Result<Risk, WorktreeError> {
        let snapshot = self.snapshot().await?;
        let head = self.repository.resolve("HEAD").await?;
        let mut changed = self.changed(head.as_ref(), &snapshot.tree).await?;
        changed.extend(self.staged(head.as_ref()).await?);
        let uncommitted = (changed.len() + snapshot.missing.len()) as u64;
        let unmerged = match &head {
            Some(head) => self.unmerged(head).await?,
            None => 0,
        };
        Ok(Risk { uncommitted, unmerged })
    }

    /// The files in which a tree differs from a commit, or all of them without one.
    async fn changed(&self, head: Option<&CommitId>, tree: &TreeId) -> Result<BTreeSet<Vec<u8>>, WorktreeError> {
        let listing = match head {
            Some(head) => {
                let args = ["diff-tree", "-r", "-z", "--name-only", "--no-renames", head.as_str(), tree.as_str()];
                self.repository.command(args).whole_tree().stdout().await?
            }
            None => {
                let args = ["ls-tree", "-r", "-z", "--name-only", tree.as_str()];
                self.repository.command(args).whole_tree().stdout().await?
            }
        };
        Ok(names(&listing))
    }

    /// The files whose content is another in the worktree's own index than in a commit.
    async fn staged(&self, head: Option<&CommitId>) -> Result<BTreeSet<Vec<u8>>, WorktreeError> {
        let listing = match head {
            Some(head) => {
                let args = ["diff-index", "--cached", "-z", "--name-only", "--no-renames", head.as_str()];
                self.repository.command(args).whole_tree().stdout().await
            }
            None => self.repository.command(["ls-files", "-z"]).whole_tree().stdout().await,
        };
        match listing {
            // Nothing can be read from it any more.
            Err(error) if is_broken_index(&error) => Ok(BTreeSet::new()),
            listing => Ok(names(&listing?)),
        }
    }

    async fn unmerged(&self, head: &CommitId) -> Result<u64, WorktreeError> {
        let project_head = self.project.resolve("HEAD").await?;
        let mut args = vec!["rev-list", "--count", head.as_str(), "--not", "--branches", "--remotes", "--tags"];
        args.extend(project_head.as_ref().map(CommitId::as_str));
        let count = self.repository.command(args).whole_tree().line().await?;
        count.parse().map_err(|_| WorktreeError::Unreadable { command: "git rev-list", reason: count })
    }

    /// Removes the worktree. Ignored files go with it.
    ///
    /// With `force`, work at risk is first kept under `refs/boocoder/retired/<name>`: a commit of all files whose
    /// parents are the worktree's HEAD and what was retired under that name before. Its id is returned.
    ///
    /// # Errors
    /// [`WorktreeError::AtRisk`] if there is work and no `force`; [`WorktreeError::NotPreserved`] if there is work that
    /// cannot be kept, such as a repository inside the worktree.
    pub async fn remove(&self, name: &str, force: bool) -> Result<Option<CommitId>, WorktreeError> {
        let risk = self.risk().await?;
        if !risk.is_none() && !force {
            return Err(WorktreeError::AtRisk(risk));
        }
        let tree = self.all_that_is_here().await?;
        let retired = if risk.is_none() { None } else { Some(self.retire(&tree, name).await?) };
        self.project.take_down(self).await?;
        Ok(retired)
    }

    /// A tree of all that the worktree holds, which is what a removal keeps.
    ///
    /// # Errors
    /// [`WorktreeError::NotPreserved`] if something cannot be kept so.
    pub async fn all_that_is_here(&self) -> Result<TreeId, WorktreeError> {
        let snapshot = self.snapshot().await?;
        let mut lost = self.nested_repositories(&snapshot.tree).await?;
        lost.extend(snapshot.missing);
        if !lost.is_empty() {
            return Err(WorktreeError::NotPreserved { path: self.path().to_owned(), what: lost });
        }
        Ok(snapshot.tree)
    }

    async fn retire(&self, tree: &TreeId, name: &str) -> Result<CommitId, WorktreeError> {
        let name = format!("retired/{name}");
        let mut parents = Vec::from_iter(self.repository.resolve("HEAD").await?);
        parents.extend(self.project.pinned(&name).await?);
        self.project.pin(tree, &parents, &name).await
    }

    /// Repositories inside the worktree. Their commits are in no object store but their own.
    async fn nested_repositories(&self, tree: &TreeId) -> Result<Vec<String>, WorktreeError> {
        const SUBMODULE: &[u8] = b"160000 ";
        let listing = self.repository.command(["ls-tree", "-r", "-z", tree.as_str()]).whole_tree().stdout().await?;
        let entries = listing.split(|byte| *byte == 0).filter(|entry| entry.starts_with(SUBMODULE));
        let paths = entries.filter_map(|entry| entry.splitn(2, |byte| *byte == b'\t').nth(1));
        let paths = paths.map(|path| Path::new(OsStr::from_bytes(path)));
        let mut lost = Vec::new();
        for path in paths.filter(|path| self.path().join(path).join(".git").exists()) {
            if !self.is_elsewhere(path).await? {
                lost.push(format!("a repository in {}", path.display()));
            }
        }
        Ok(lost)
    }

    /// Whether a repository inside the worktree holds nothing of its own, as a fresh clone does: no file was changed, and a
    /// remote has each of its commits.
    async fn is_elsewhere(&self, path: &Path) -> Result<bool, WorktreeError> {
        let git = &self.repository.git;
        let dir = self.path().join(path);
        let status = git.command(&dir, ["status", "--porcelain", "--untracked-files=all"]).whole_tree().run().await?;
        let own = ["rev-list", "--max-count=1", "--all", "--reflog", "HEAD", "--not", "--remotes"];
        let own = git.command(&dir, own).whole_tree().run().await?;
        let nothing = |output: crate::git::Output| output.code == Some(0) && output.stdout.is_empty();
        Ok(nothing(status) && nothing(own))
    }
}

fn names(listing: &[u8]) -> BTreeSet<Vec<u8>> {
    listing.split(|byte| *byte == 0).filter(|name| !name.is_empty()).map(<[u8]>::to_vec).collect()
}
