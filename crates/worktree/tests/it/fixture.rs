//! A project in a directory of its own, and short words for what tests do to it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use boocoder_worktree::{Change, Checkout, FileDiff, Git, Limits, Repository};
use tempfile::TempDir;

pub(crate) struct Fixture {
    pub(crate) dir: TempDir,
    pub(crate) project: Repository,
}

impl Fixture {
    /// A project with these files in its first commit.
    pub(crate) async fn new(files: &[(&str, &[u8])]) -> Self {
        Self::with(files, |_| ()).await
    }

    /// The same, with more done to the files before they are committed.
    pub(crate) async fn with(files: &[(&str, &[u8])], more: impl FnOnce(&Path)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("the project");
        init(&root);
        for (path, content) in files {
            write(&root.join(path), content);
        }
        more(&root);
        commit(&root, "first");
        let project = Repository::open(&Git::new(Limits::default()), &root).await.unwrap();
        Self { dir, project }
    }

    pub(crate) fn root(&self) -> &Path {
        self.project.root()
    }

    pub(crate) fn dest(&self) -> PathBuf {
        self.dir.path().join("worktrees/ein Wörktree")
    }

    pub(crate) async fn checkout(&self) -> Checkout {
        self.project.create_worktree(&self.dest()).await.unwrap()
    }
}

/// Git's own directory of a worktree.
pub(crate) fn admin_dir(checkout: &Checkout) -> PathBuf {
    git(checkout.path(), &["rev-parse", "--absolute-git-dir"]).into()
}

pub(crate) async fn diff(checkout: &Checkout) -> Vec<FileDiff> {
    let snapshot = checkout.snapshot().await.unwrap();
    assert_eq!(snapshot.missing, Vec::<String>::new());
    checkout.repository().diff(checkout.base_commit(), &snapshot.tree).await.unwrap()
}

pub(crate) async fn changes(checkout: &Checkout) -> Vec<Change> {
    diff(checkout).await.into_iter().map(|file| file.change).collect()
}

/// The one change of a worktree.
pub(crate) async fn change(checkout: &Checkout) -> [Change; 1] {
    changes(checkout).await.try_into().expect("one change")
}

pub(crate) fn init(root: &Path) {
    fs::create_dir_all(root).unwrap();
    git(root, &["init", "--quiet", "--initial-branch=main"]);
}

pub(crate) fn commit(root: &Path, message: &str) {
    git(root, &["add", "--all"]);
    git(root, &["commit", "--quiet", "--allow-empty", "--message", message]);
}

/// Runs git as a human would and returns what it printed.
pub(crate) fn git(dir: &Path, args: &[&str]) -> String {
    let identity = ["-c", "user.name=Human", "-c", "user.email=human@example.org"];
    let mut command = Command::new("git");
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("GIT_")) {
        command.env_remove(name);
    }
    let output = command.args(identity).args(args).current_dir(dir).output().unwrap();
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

pub(crate) fn write(path: &Path, content: impl AsRef<[u8]>) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

pub(crate) fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap()
}

pub(crate) fn link(target: &str, path: &Path) {
    if path.symlink_metadata().is_ok() {
        fs::remove_file(path).unwrap();
    }
    symlink(target, path).unwrap();
}

pub(crate) fn mode(path: &Path) -> u32 {
    path.symlink_metadata().unwrap().permissions().mode() & 0o777
}

pub(crate) fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}
