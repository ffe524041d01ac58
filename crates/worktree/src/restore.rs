//! A worktree whose directory is gone, or that git lost sight of, put back.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::checkout::{LINK_FILE, SNAPSHOT_INDEX, exists, is_free, prepare_destination, remove_dir};
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

    /// Gives a worktree back the private index of its snapshots, which somebody took away: it was whole, and holds work.
    ///
    /// # Errors
    /// [`WorktreeError::Incomplete`] if its removal was begun; [`WorktreeError::NotOurs`] if git knows no such worktree.
    pub async fn complete(&self, path: &Path) -> Result<(), WorktreeError> {
        let _making = Making::begin(path, self.git.limits().tree_time).await?;
        let entry = self.entry_at(path).await?.ok_or_else(|| WorktreeError::NotOurs { path: path.to_owned() })?;
        if entry.removing {
            return Err(WorktreeError::Incomplete { path: path.to_owned() });
        }
        if !entry.complete {
            // An empty one knows no file, so the next snapshot reads all of them.
            let index = entry.admin_dir.join(SNAPSHOT_INDEX);
            let empty = self.command(["read-tree", "--empty"]).setting("GIT_INDEX_FILE", &index);
            empty.stdout().await?;
        }
        Ok(())
    }

    /// Ties a worktree of ours and its project together again after either was moved, or after the file was lost that makes the
    /// directory a worktree. The files in it are left alone.
    ///
    /// # Errors
    /// [`WorktreeError::NotOurs`] if it is no directory, or git knows nothing of it.
    pub async fn repair(&self, worktree: &Path) -> Result<(), WorktreeError> {
        let not_ours = || WorktreeError::NotOurs { path: worktree.to_owned() };
        // Through a link git would write into somebody else's directory.
        if !tokio::fs::symlink_metadata(worktree).await.is_ok_and(|there| there.is_dir()) {
            return Err(not_ours());
        }
        let mut args = vec![OsString::from("worktree"), "repair".into()];
        // What has no such file any more is found by git's own notes.
        if exists(&worktree.join(LINK_FILE)).await? {
            args.extend(["--".into(), worktree.into()]);
        }
        let output = self.command(args).run().await?;
        if output.code != Some(0) {
            tracing::warn!(path = %worktree.display(), said = output.stderr.trim(), "git cannot repair a worktree");
            return Err(not_ours());
        }
        Ok(())
    }
}
