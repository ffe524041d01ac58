//! A worktree whose directory is gone, or that git lost sight of, put back.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::checkout::{LINK_FILE, exists, is_free, prepare_destination, remove_dir};
use crate::making::{Making, beside};
use crate::{Checkout, CheckoutEntry, CommitId, Preparation, Repository, TreeId, WorktreeError};

impl Repository {
    /// Puts a worktree of ours back that somebody took away: with the files of a snapshot, on the HEAD and with the index
    /// that it had, if git still has those, else on the commit that it was made from. Ignored files are gone and are prepared
    /// anew.
    ///
    /// The files come back all at once or, if this is cut short, not at all.
    ///
    /// # Errors
    /// [`WorktreeError::AlreadyExists`] if anything is there; else as [`Repository::create_worktree`].
    pub async fn restore_worktree(
        &self,
        dest: &Path,
        base_commit: &CommitId,
        tree: &TreeId,
        preparation: &Preparation,
    ) -> Result<Checkout, WorktreeError> {
        let dest = prepare_destination(dest).await?;
        let making = Making::begin(&dest, self.git.limits().tree_time).await?;
        let entry = self.entry_at(&dest).await?;
        match entry.filter(|entry| entry.complete) {
            Some(entry) if is_free(&dest).await? => self.fill(&entry, tree).await?,
            Some(_) => return Err(WorktreeError::AlreadyExists { path: dest }),
            None => return self.make(&dest, base_commit.clone(), Some(tree), preparation, making).await,
        }
        let checkout = self.open_checkout(&dest, base_commit).await?;
        self.make_ready(&checkout.repository, preparation).await?;
        Ok(checkout)
    }

    /// Makes the directory of a worktree that git still knows: beside its place first, then with one rename.
    async fn fill(&self, entry: &CheckoutEntry, tree: &TreeId) -> Result<(), WorktreeError> {
        let part = beside(&entry.path, ".part");
        remove_dir(&part).await?;
        tokio::fs::create_dir(&part).await.map_err(WorktreeError::io("make", &part))?;
        let index = beside(&entry.path, ".part-index");
        let read = self.git.command(&part, ["read-tree", "--reset", "-u", tree.as_str()]);
        let read = read.setting("GIT_DIR", &entry.admin_dir).setting("GIT_WORK_TREE", &part);
        let written = read.setting("GIT_INDEX_FILE", &index).whole_tree().stdout().await;
        // It may not even have been begun.
        let _ = tokio::fs::remove_file(&index).await;
        written?;
        let link = [b"gitdir: ", entry.admin_dir.as_os_str().as_bytes(), b"\n"].concat();
        let link_file = part.join(LINK_FILE);
        tokio::fs::write(&link_file, link).await.map_err(WorktreeError::io("write", &link_file))?;
        tokio::fs::rename(&part, &entry.path).await.map_err(WorktreeError::io("put back", &entry.path))
    }

    /// Ties a worktree of ours and its project together again after either was moved, or after the file was lost that makes the
    /// directory a worktree. The files in it are left alone.
    ///
    /// # Errors
    /// What git says.
    pub async fn repair(&self, worktree: &Path) -> Result<(), WorktreeError> {
        let mut args = vec![OsString::from("worktree"), "repair".into()];
        // What has no such file any more is found by git's own notes.
        if exists(&worktree.join(LINK_FILE)).await? {
            args.extend(["--".into(), worktree.into()]);
        }
        self.command(args).stdout().await.map(drop)
    }
}
