//! Which project is meant.

use std::path::PathBuf;

use anyhow::Context;
use boocoder_worktree::{Git, Limits, Repository};

/// The root of the repository that `named`, or else the current directory, is in.
pub(super) async fn project_root(named: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    let path = match named {
        Some(path) => path,
        None => std::env::current_dir().context("the current directory cannot be read")?,
    };
    let repository = Repository::open(&Git::new(Limits::default()), &path).await;
    Ok(repository.map_err(explain)?.root().to_owned())
}

fn explain(error: boocoder_worktree::WorktreeError) -> anyhow::Error {
    anyhow::Error::from(error).context("no project: go to a git repository, or name one by --project")
}

/// The version of git, or why there is none.
pub(super) async fn version() -> Result<String, boocoder_worktree::WorktreeError> {
    Git::new(Limits::default()).version().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_place_outside_of_any_repository_is_said_to_be_one() {
        let dir = tempfile::tempdir().unwrap();
        let error = project_root(Some(dir.path().to_owned())).await.unwrap_err();
        let text = format!("{error:#}");
        assert!(text.contains("--project") && text.contains("not inside a git repository"), "{text}");
    }

    #[tokio::test]
    async fn a_directory_within_leads_to_the_root() {
        let repo = boocoder_testkit::repo::TestRepo::new().unwrap();
        let root = project_root(Some(repo.path().join("src"))).await.unwrap();
        assert_eq!(root, repo.path());
    }
}
