//! What is done to a new worktree before anybody works in it: files that git does not keep are copied, a command is run.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::checkout::exists;
use crate::git::Group;
use crate::place::Place;
use crate::repository::blocking;
use crate::{RepoPath, Repository, WorktreeError};

/// What is done to a new worktree before anybody works in it. By default nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preparation {
    /// Which ignored files of the project's own checkout are copied, such as `.env` or `config/**/*.local`: git's patterns,
    /// from the root. What the worktree would not ignore is not copied, since it would look like a change.
    pub copy: Vec<String>,
    /// What is run.
    pub setup: Option<Setup>,
}

/// A command that makes a new worktree ready, such as `npm ci`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setup {
    /// The command, as `sh -c` takes it. It runs in the worktree.
    pub command: String,
    /// All that it sees of an environment, beside `BOOCODER_PROJECT` and `BOOCODER_WORKTREE`, the roots of the two.
    pub environment: BTreeMap<OsString, OsString>,
    /// The longest that it may take.
    pub time: Duration,
}

impl Repository {
    /// Makes a worktree of this project ready.
    pub(crate) async fn make_ready(&self, worktree: &Self, preparation: &Preparation) -> Result<(), WorktreeError> {
        let copied = self.copy_ignored(worktree, &preparation.copy).await?;
        if copied > 0 {
            tracing::debug!(path = %worktree.root().display(), files = copied, "copied ignored files");
        }
        match &preparation.setup {
            Some(setup) => {
                self.run_setup(worktree, setup).await?;
                if exists(worktree.root()).await? {
                    return Ok(());
                }
                let (status, said) = ("success".to_owned(), "it took the worktree away".to_owned());
                Err(WorktreeError::SetupFailed { command: setup.command.clone(), status, said })
            }
            None => Ok(()),
        }
    }

    async fn copy_ignored(&self, worktree: &Self, patterns: &[String]) -> Result<usize, WorktreeError> {
        let paths = self.ignored_here(patterns).await?;
        if paths.is_empty() {
            return Ok(0);
        }
        let ignored_there = worktree.ignored_of(worktree.reached(paths.clone()).await?).await?;
        for path in paths.difference(&ignored_there) {
            tracing::warn!(%path, "a file was not copied into a worktree, which does not ignore it");
        }
        let (from, to) = (self.root().to_owned(), worktree.root().to_owned());
        let copy = blocking(move || {
            let (from, to) = (Place::open(&from)?, Place::open(&to)?);
            ignored_there.iter().try_fold(0, |count, path| Ok(count + usize::from(from.copy(path, &to)?)))
        });
        copy.await.map_err(WorktreeError::io("copy ignored files into", worktree.root()))
    }

    /// The ignored files of this checkout that fit a pattern.
    async fn ignored_here(&self, patterns: &[String]) -> Result<BTreeSet<RepoPath>, WorktreeError> {
        if patterns.is_empty() {
            return Ok(BTreeSet::new());
        }
        let options = ["--no-literal-pathspecs", "ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--"];
        let patterns = patterns.iter().map(|pattern| format!(":(glob){pattern}"));
        let listing =
            self.command(options.map(str::to_owned).into_iter().chain(patterns)).whole_tree().stdout().await?;
        // What ends with a slash is a repository of its own.
        let files = listing.split(|byte| *byte == 0).filter(|path| !path.is_empty() && !path.ends_with(b"/"));
        files.map(RepoPath::from_bytes).collect()
    }

    /// Those of these paths that are in this checkout, not behind a link or in another repository. Git fails on the others.
    async fn reached(&self, paths: BTreeSet<RepoPath>) -> Result<BTreeSet<RepoPath>, WorktreeError> {
        let root = self.root().to_owned();
        let look = blocking(move || {
            let place = Place::open(&root)?;
            let reached = paths.into_iter().map(|path| Ok(place.reaches(&path)?.then_some(path)));
            reached.filter_map(io::Result::transpose).collect()
        });
        look.await.map_err(WorktreeError::io("look into", self.root()))
    }

    /// Which of these paths this checkout ignores.
    async fn ignored_of(&self, paths: BTreeSet<RepoPath>) -> Result<BTreeSet<RepoPath>, WorktreeError> {
        /// The status of `git check-ignore` when it ignores none.
        const NONE: i32 = 1;
        /// Keeps a path that begins with a colon from being read as more than a path.
        const HERE: &[u8] = b"./";
        let input = paths.iter().flat_map(|path| [HERE, path.as_bytes(), b"\0"].concat()).collect();
        let check = self.command(["--no-literal-pathspecs", "check-ignore", "-z", "--stdin"]);
        let output = check.input(input).whole_tree().run().await?;
        match output.code {
            Some(0 | NONE) => {
                let ignored = output.stdout.split(|byte| *byte == 0).filter_map(|path| path.strip_prefix(HERE));
                ignored.map(RepoPath::from_bytes).collect()
            }
            _ => Err(output.failure("git check-ignore")),
        }
    }

    async fn run_setup(&self, worktree: &Self, setup: &Setup) -> Result<(), WorktreeError> {
        let failed = || WorktreeError::io("run the setup command in", worktree.root());
        // A file and no pipe: what the command leaves running would hold a pipe open.
        let output = tempfile::tempfile().map_err(failed())?;
        let stdio = || output.try_clone().map(Stdio::from).map_err(failed());
        let mut command = Command::new("sh");
        command.arg("-c").arg(&setup.command).current_dir(worktree.root());
        command.env_clear().envs(&setup.environment).envs(self.git.mark());
        command.env("BOOCODER_PROJECT", self.root()).env("BOOCODER_WORKTREE", worktree.root());
        command.stdin(Stdio::null()).stdout(stdio()?).stderr(stdio()?).process_group(0);
        let mut group = Group(command.spawn().map_err(failed())?);
        let Ok(status) = tokio::time::timeout(setup.time, group.0.wait()).await else {
            return Err(WorktreeError::TimedOut { command: setup.command.clone(), limit: setup.time });
        };
        let status = status.map_err(failed())?;
        if status.success() {
            return Ok(());
        }
        let keep = self.git.limits().stderr_bytes;
        let said = blocking(move || tail(output, keep)).await.map_err(failed())?;
        Err(WorktreeError::SetupFailed { command: setup.command.clone(), status: status.to_string(), said })
    }
}

/// The last bytes of a file, as text.
fn tail(mut file: File, keep: usize) -> io::Result<String> {
    let length = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(length.saturating_sub(keep as u64)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
}

/// Whether a pattern can be one of [`Preparation::copy`]: relative, and not out of the project.
///
/// # Errors
/// What is wrong with it.
pub fn check_pattern(pattern: &str) -> Result<(), &'static str> {
    let path = Path::new(pattern);
    if pattern.is_empty() {
        return Err("it is empty");
    }
    if path.is_absolute() {
        return Err("it is absolute: name files from the project's root");
    }
    if path.components().any(|part| part.as_os_str().as_bytes() == b"..") {
        return Err("it leads out of the project");
    }
    Ok(())
}
