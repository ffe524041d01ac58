//! A small git repository in a temporary directory.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::TestkitError;

/// The files of the first commit and their contents.
pub const FIRST_COMMIT: [(&str, &str); 3] = [
    ("README.md", "# Sample\n\nA project for tests.\n"),
    ("src/lib.rs", "pub fn add(left: u64, right: u64) -> u64 {\n    left + right\n}\n"),
    ("notes/todo.txt", "one\ntwo\nthree\n"),
];

/// A git repository on branch `main` with one commit, removed when this is dropped.
///
/// The committer and the dates are fixed and the machine's own git configuration is left aside, so that its commits
/// have the same ids everywhere.
#[derive(Debug)]
pub struct TestRepo {
    _directory: TempDir,
    path: PathBuf,
}

impl TestRepo {
    /// Makes the repository and commits [`FIRST_COMMIT`].
    ///
    /// # Errors
    /// [`TestkitError::Missing`] without git, [`TestkitError::Io`] and [`TestkitError::Command`] when a step fails.
    pub fn new() -> Result<Self, TestkitError> {
        let directory = tempfile::tempdir().map_err(TestkitError::io("cannot make a temporary directory"))?;
        // Agents and git resolve symlinks before they report a path, so the tests compare with the resolved one.
        let path = directory.path().canonicalize().map_err(TestkitError::path("resolve", directory.path()))?;
        let repo = Self { _directory: directory, path };
        repo.git(&["init", "--quiet", "--initial-branch=main"])?;
        for (path, content) in FIRST_COMMIT {
            repo.write(path, content)?;
        }
        repo.commit("first commit")?;
        Ok(repo)
    }

    /// The working tree, with symlinks resolved.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file of the working tree, making the directories on the way.
    ///
    /// # Errors
    /// [`TestkitError::Io`].
    pub fn write(&self, path: &str, content: &str) -> Result<(), TestkitError> {
        let path = self.path.join(path);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(TestkitError::path("make", parent))?;
        }
        std::fs::write(&path, content).map_err(TestkitError::path("write", &path))
    }

    /// Commits everything in the working tree and returns the commit's id.
    ///
    /// # Errors
    /// [`TestkitError::Command`], also when there is nothing to commit.
    pub fn commit(&self, message: &str) -> Result<String, TestkitError> {
        self.git(&["add", "--all"])?;
        self.git(&["commit", "--quiet", "--message", message])?;
        self.git(&["rev-parse", "HEAD"])
    }

    /// Runs git in the working tree and returns what it printed, without the last line's end.
    ///
    /// # Errors
    /// [`TestkitError::Missing`] without git, [`TestkitError::Command`] when git fails.
    pub fn git(&self, args: &[&str]) -> Result<String, TestkitError> {
        let mut command = Command::new("git");
        command.args(args).current_dir(&self.path).envs([
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_AUTHOR_NAME", "Test"),
            ("GIT_AUTHOR_EMAIL", "test@example.invalid"),
            ("GIT_AUTHOR_DATE", "2026-01-01T00:00:00Z"),
            ("GIT_COMMITTER_NAME", "Test"),
            ("GIT_COMMITTER_EMAIL", "test@example.invalid"),
            ("GIT_COMMITTER_DATE", "2026-01-01T00:00:00Z"),
        ]);
        let output = command.output().map_err(|source| {
            if source.kind() == std::io::ErrorKind::NotFound {
                TestkitError::Missing { program: "git", remedy: "install git (on Debian: apt-get install git)" }
            } else {
                TestkitError::Io { what: "cannot run git".to_owned(), source }
            }
        })?;
        if !output.status.success() {
            return Err(TestkitError::Command {
                command: format!("git {}", args.join(" ")),
                output: String::from_utf8_lossy(&output.stderr).trim_end().to_owned(),
            });
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    }
}
