//! Trees that are another tree with some files put in or taken out.

use boocoder_model::BlobRef;

use crate::{RepoPath, Repository, TreeId, Treeish, WorktreeError};

impl Repository {
    /// The tree of `base` with each of these files as given: that blob, or none at all.
    ///
    /// # Errors
    /// What git says, for a blob that is not in the object store or for files that stand in each other's way.
    pub async fn overlay(
        &self,
        base: impl Into<Treeish>,
        files: &[(RepoPath, Option<BlobRef>)],
    ) -> Result<TreeId, WorktreeError> {
        let base: Treeish = base.into();
        let index = tempfile::Builder::new().prefix("boocoder-overlay-").tempfile_in(self.git_dir());
        let index = index.map_err(WorktreeError::io("write in", self.git_dir()))?.into_temp_path();
        let read = self.command(["read-tree", base.as_str()]).setting("GIT_INDEX_FILE", &index);
        read.whole_tree().stdout().await?;
        let update = self.command(["update-index", "-z", "--index-info"]).setting("GIT_INDEX_FILE", &index);
        update.input(index_info(files, base.as_str().len())).whole_tree().stdout().await?;
        let tree = self.command(["write-tree"]).setting("GIT_INDEX_FILE", &index).whole_tree().line().await?;
        tree.parse()
    }
}

/// The files in the form that `git update-index --index-info` reads; mode 0 takes a file out.
fn index_info(files: &[(RepoPath, Option<BlobRef>)], id_len: usize) -> Vec<u8> {
    let mut input = Vec::new();
    for (path, blob) in files {
        match blob {
            Some(BlobRef { blob, mode }) => input.extend_from_slice(format!("{mode} {blob}\t").as_bytes()),
            None => input.extend_from_slice(format!("0 {}\t", "0".repeat(id_len)).as_bytes()),
        }
        input.extend_from_slice(path.as_bytes());
        input.push(0);
    }
    input
}
