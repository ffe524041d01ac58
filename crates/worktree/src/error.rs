//! What can go wrong, in terms of what the caller can do about it.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use boocoder_model::BlobRef;

use crate::change::Step;
use crate::{RepoPath, Risk};

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
pub enum WorktreeError {
    /// Git itself cannot be started.
    #[error("git cannot be started: install git and put it on PATH")]
    GitMissing(#[source] io::Error),
    /// The path is no directory of a git repository's checkout.
    #[error("{path:?} is not inside a git repository: run `git init` there or choose another directory")]
    NotARepository {
        /// The path that was opened.
        path: PathBuf,
    },
    /// The repository has no checkout to work on.
    #[error("{path:?} is a bare repository: open a clone of it that has a checkout")]
    Bare {
        /// The path that was opened.
        path: PathBuf,
    },
    /// Git does not trust the repository, since somebody else owns it.
    #[error("{path:?} is owned by another user: run `git config --global --add safe.directory {path:?}` to trust it")]
    Untrusted {
        /// The path that was opened.
        path: PathBuf,
    },
    /// The repository has no commit to start from.
    #[error("{path:?} has no commits yet: make a first commit, then try again")]
    NoCommits {
        /// The repository's root.
        path: PathBuf,
    },
    /// The destination of a new worktree is taken.
    #[error("{path:?} exists already: open it as a checkout or choose another destination")]
    AlreadyExists {
        /// The destination.
        path: PathBuf,
    },
    /// There is no worktree of ours at the path.
    #[error("{path:?} is not a worktree that was made for this project")]
    NotOurs {
        /// The path.
        path: PathBuf,
    },
    /// A worktree whose making or removal was interrupted. It holds no work; making it again replaces it.
    #[error("{path:?} is only part of a worktree: make it again")]
    Incomplete {
        /// The path.
        path: PathBuf,
    },
    /// A path that must not be written.
    #[error("{path:?} must not be written: {reason}")]
    UnsafePath {
        /// The path.
        path: String,
        /// Why not.
        reason: &'static str,
    },
    /// A text that is no object id.
    #[error("not a git object id: {text:?}")]
    InvalidId {
        /// The text.
        text: String,
    },
    /// A change without the parts that its operation needs.
    #[error("the change of {path:?} is malformed: {reason}")]
    MalformedChange {
        /// Its path.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A change that cannot be written as a file.
    #[error("{path} is a submodule: update it with git itself")]
    Submodule {
        /// Its path.
        path: RepoPath,
    },
    /// An object that was kept for us is in the project's object store no more.
    #[error("{id} is not in the project's object store any more: git collected it")]
    Gone {
        /// The object.
        id: String,
    },
    /// A file is neither what its change starts from nor what it leads to. Nothing was written.
    #[error(transparent)]
    Conflict(Box<Conflict>),
    /// The worktree holds work that is nowhere else.
    #[error("the worktree holds work that is nowhere else ({0}): apply or merge it, or force the removal")]
    AtRisk(Risk),
    /// The worktree holds files that cannot be put away, so that not even force removes it.
    #[error("{path:?} holds files that cannot be kept ({}): move them away first", what.join("; "))]
    NotPreserved {
        /// The worktree.
        path: PathBuf,
        /// What cannot be kept.
        what: Vec<String>,
    },
    /// The command that makes new worktrees ready did not.
    #[error("the setup command `{command}` failed with {status}: {said}")]
    SetupFailed {
        /// The command.
        command: String,
        /// How it ended, in words.
        status: String,
        /// The end of what it said.
        said: String,
    },
    /// A command took too long and was ended.
    #[error("`{command}` was ended after {limit:?}")]
    TimedOut {
        /// The command.
        command: String,
        /// The limit.
        limit: Duration,
    },
    /// A command printed, or a file holds, more than the limit.
    #[error("{what} is larger than the limit of {limit} bytes")]
    TooLarge {
        /// The command's output or the file.
        what: String,
        /// The limit in bytes.
        limit: usize,
    },
    /// Git said no.
    #[error("`{command}` failed with {status}: {stderr}")]
    Failed {
        /// The command.
        command: String,
        /// Its exit status in words.
        status: String,
        /// The end of what it wrote to standard error.
        stderr: String,
    },
    /// Git printed something that this version does not understand.
    #[error("the output of `{command}` cannot be read: {reason}")]
    Unreadable {
        /// The command.
        command: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The file system said no.
    #[error("cannot {action} {path:?}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

impl WorktreeError {
    /// Wraps an error of the file system, for `map_err`.
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}

/// A file that a change does not fit any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path} has moved on: {found}")]
pub struct Conflict {
    /// The file.
    pub path: RepoPath,
    /// What was expected there, none for no file.
    pub expected: Option<BlobRef>,
    /// What is there instead.
    pub found: Found,
}

impl Conflict {
    /// The conflict of a step with what was found in its place.
    pub(crate) fn error(step: &Step, found: Found) -> WorktreeError {
        let (path, expected) = (step.path.clone(), step.before.clone());
        WorktreeError::Conflict(Box::new(Self { path, expected, found }))
    }
}

/// What stands at a path where something else was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing.
    Absent,
    /// A file or symbolic link with this content and mode. The blob is the id of the content; it need not be stored.
    File(BlobRef),
    /// A directory.
    Directory,
    /// A device, a socket or a pipe.
    Special,
    /// A symbolic link in place of one of its directories.
    BehindLink,
    /// A file in place of one of its directories.
    BehindFile,
    /// Something that changed while it was looked at.
    Changing,
}

impl std::fmt::Display for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Absent => f.write_str("there is no such file any more"),
            Self::File(BlobRef { blob, mode }) => write!(f, "it now holds {blob} (mode {mode})"),
            Self::Directory => f.write_str("a directory is in its place"),
            Self::Special => f.write_str("a device, a socket or a pipe is in its place"),
            Self::BehindLink => f.write_str("a symbolic link is in place of one of its directories"),
            Self::BehindFile => f.write_str("a file is in place of one of its directories"),
            Self::Changing => f.write_str("it changed while it was read"),
        }
    }
}
