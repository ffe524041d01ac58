//! A git repository with its checkout.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use crate::git::Invocation;
use boocoder_model::BlobRef;

use crate::{CommitId, Git, RepoPath, TreeId, Treeish, WorktreeError};

/// The namespace of the refs that keep our commits from being collected. No branch, no tag: git shows it to nobody
/// who does not ask for it.
const REFS: &str = "refs/boocoder/";

/// Who makes the commits that pin trees. They are never part of the project's history.
const IDENTITY: [(&str, &str); 4] = [
    ("GIT_AUTHOR_NAME", "BooCoder"),
    ("GIT_AUTHOR_EMAIL", "boocoder@localhost"),
    ("GIT_COMMITTER_NAME", "BooCoder"),
    ("GIT_COMMITTER_EMAIL", "boocoder@localhost"),
];

/// A git repository with its checkout: a project's own, or a worktree's.
#[derive(Clone, Debug)]
pub struct Repository {
    pub(crate) git: Git,
    root: PathBuf,
    git_dir: PathBuf,
    common_dir: PathBuf,
    tracks_modes: bool,
}

impl Repository {
    /// Opens the repository that a directory belongs to. The directory may be anywhere inside its checkout.
    ///
    /// # Errors
    /// [`WorktreeError::NotARepository`], [`WorktreeError::Bare`], [`WorktreeError::Untrusted`], or
    /// [`WorktreeError::UnsafePath`] if its checkout is said to be elsewhere.
    pub async fn open(git: &Git, path: &Path) -> Result<Self, WorktreeError> {
        let not_a_repository = || WorktreeError::NotARepository { path: path.to_owned() };
        let path = tokio::fs::canonicalize(path).await.map_err(WorktreeError::io("open", path))?;
        if !path.is_dir() {
            return Err(not_a_repository());
        }
        let rev_parse = |what: &'static str| {
            let command = git.command(&path, ["rev-parse", "--path-format=absolute", what]);
            async { command.stdout().await.map(one_path).map_err(|error| unopened(error, &path)) }
        };
        let bare = rev_parse("--is-bare-repository").await?;
        if bare == Path::new("true") {
            return Err(WorktreeError::Bare { path });
        }
        let root = rev_parse("--show-toplevel").await?;
        if !path.starts_with(&root) {
            let reason = "git takes another directory for its checkout: see core.worktree in its configuration";
            return Err(WorktreeError::UnsafePath { path: path.display().to_string(), reason });
        }
        let git_dir = rev_parse("--git-dir").await?;
        let common_dir = rev_parse("--git-common-dir").await?;
        let file_mode = ["config", "--type=bool", "--default=true", "--get", "core.fileMode"];
        let tracks_modes = git.command(&path, file_mode).line().await? == "true";
        Ok(Self { git: git.clone(), root, git_dir, common_dir, tracks_modes })
    }

    /// The root of the checkout, canonical.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Git's directory of this checkout.
    pub(crate) fn git_dir(&self) -> &Path {
        &self.git_dir
    }

    /// Git's directory of the whole repository, the same for all of its worktrees.
    pub(crate) fn common_dir(&self) -> &Path {
        &self.common_dir
    }

    /// Whether the executable bit of files means anything here.
    pub(crate) fn tracks_modes(&self) -> bool {
        self.tracks_modes
    }

    /// A command to run at the root.
    pub(crate) fn command<I>(&self, args: I) -> Invocation<'_>
    where
        I: IntoIterator<Item: AsRef<OsStr>>,
    {
        self.git.command(&self.root, args)
    }

    /// The commit that is checked out.
    ///
    /// # Errors
    /// [`WorktreeError::NoCommits`] if there is none yet.
    pub async fn head(&self) -> Result<CommitId, WorktreeError> {
        self.resolve("HEAD").await?.ok_or_else(|| WorktreeError::NoCommits { path: self.root.clone() })
    }

    /// The commit that a name stands for, or none if the name stands for nothing.
    pub(crate) async fn resolve(&self, name: &str) -> Result<Option<CommitId>, WorktreeError> {
        let commit = format!("{name}^{{commit}}");
        let output = self.command(["rev-parse", "--verify", "--quiet", "--end-of-options", &commit]).run().await?;
        match output.code {
            Some(0) => String::from_utf8_lossy(&output.stdout).trim().parse().map(Some),
            Some(1) => Ok(None),
            _ => Err(output.failure("git rev-parse --verify")),
        }
    }

    /// The tree of a commit.
    ///
    /// # Errors
    /// [`WorktreeError::Failed`] if it is not in the object store.
    pub async fn tree(&self, commit: &CommitId) -> Result<TreeId, WorktreeError> {
        self.command(["rev-parse", "--verify", "--quiet", &format!("{commit}^{{tree}}")]).line().await?.parse()
    }

    /// What a commit or tree has at a path, if it is a file, a link or, with a commit for its blob, a submodule.
    ///
    /// # Errors
    /// What git says.
    pub async fn entry(&self, tree: impl Into<Treeish>, path: &RepoPath) -> Result<Option<BlobRef>, WorktreeError> {
        let paths = BTreeSet::from([path.clone()]);
        Ok(self.entries(tree, &paths).await?.remove(path))
    }

    /// What a commit or tree has at paths; without those at which it has nothing or a directory.
    ///
    /// # Errors
    /// What git says.
    pub async fn entries(
        &self,
        tree: impl Into<Treeish>,
        paths: &BTreeSet<RepoPath>,
    ) -> Result<BTreeMap<RepoPath, BlobRef>, WorktreeError> {
        /// Paths of one command, far below what a command line may hold.
        const AT_ONCE: usize = 100;
        let tree: Treeish = tree.into();
        let mut entries = BTreeMap::new();
        for some in paths.iter().collect::<Vec<_>>().chunks(AT_ONCE) {
            let args = ["ls-tree", "-z", "--full-tree", tree.as_str(), "--"].map(OsStr::new);
            let paths = some.iter().map(|path| path.as_path().as_os_str());
            let listing = self.command(args.into_iter().chain(paths)).stdout().await?;
            for entry in listing.split(|byte| *byte == 0).filter(|entry| !entry.is_empty()) {
                let Some(tab) = entry.iter().position(|byte| *byte == b'\t') else { continue };
                let head = String::from_utf8_lossy(&entry[..tab]).into_owned();
                if let [mode, "blob" | "commit", blob] = head.split(' ').collect::<Vec<_>>()[..] {
                    let path = RepoPath::from_bytes(&entry[tab + 1..])?;
                    entries.insert(path, BlobRef { blob: blob.to_owned(), mode: mode.to_owned() });
                }
            }
        }
        Ok(entries)
    }

    /// Whether a branch may have this name.
    ///
    /// # Errors
    /// [`WorktreeError::Failed`] if git cannot be asked.
    pub async fn is_branch_name(&self, name: &str) -> Result<bool, WorktreeError> {
        let name = format!("refs/heads/{name}");
        Ok(self.command(["check-ref-format", &name]).run().await?.code == Some(0))
    }

    /// Makes a branch at a commit, unless there is one of that name; says whether it did. Nothing is checked out.
    ///
    /// # Errors
    /// [`WorktreeError::Failed`] if git cannot be asked.
    pub async fn add_branch(&self, name: &str, commit: &CommitId) -> Result<bool, WorktreeError> {
        let name = format!("refs/heads/{name}");
        if self.resolve(&name).await?.is_some() {
            return Ok(false);
        }
        // The old value is none, so whoever made it meanwhile keeps it.
        let none = "0".repeat(commit.as_str().len());
        let output = self.command(["update-ref", &name, commit.as_str(), &none]).run().await?;
        match output.code {
            Some(0) => Ok(true),
            _ if self.resolve(&name).await?.is_some() => Ok(false),
            _ => Err(output.failure("git update-ref")),
        }
    }

    /// Stores a file's content as `git add` would, by the project's rules for that path, and returns its blob id.
    ///
    /// # Errors
    /// [`WorktreeError::Failed`] if the object store cannot be written.
    pub async fn store_blob(&self, path: &RepoPath, content: Vec<u8>) -> Result<String, WorktreeError> {
        self.command([OsStr::new("hash-object"), OsStr::new("-w"), OsStr::new("--stdin"), &path_option(path)])
            .input(content)
            .line()
            .await
    }

    /// Keeps a tree, and the commits named as its parents, from being collected, under `refs/boocoder/<name>`.
    ///
    /// # Errors
    /// [`WorktreeError::Failed`] if git does not take the name for a ref's.
    pub async fn pin(&self, tree: &TreeId, parents: &[CommitId], name: &str) -> Result<CommitId, WorktreeError> {
        self.pin_as(tree, parents, name, &format!("boocoder: {name}"), None).await
    }

    /// The same, with a message and with who made it.
    ///
    /// # Errors
    /// As [`Repository::pin`].
    pub async fn pin_as(
        &self,
        tree: &TreeId,
        parents: &[CommitId],
        name: &str,
        message: &str,
        author: Option<&str>,
    ) -> Result<CommitId, WorktreeError> {
        let mut args = vec!["commit-tree", tree.as_str(), "-m", message];
        args.extend(parents.iter().flat_map(|parent| ["-p", parent.as_str()]));
        let mut commit =
            IDENTITY.iter().fold(self.command(args), |command, (name, value)| command.setting(name, value));
        if let Some(author) = author {
            commit = commit.setting("GIT_AUTHOR_NAME", author);
        }
        let commit: CommitId = commit.line().await?.parse()?;
        self.command(["update-ref", &format!("{REFS}{name}"), commit.as_str()]).stdout().await?;
        Ok(commit)
    }

    /// The commit that was pinned under a name, if any.
    ///
    /// # Errors
    /// [`WorktreeError::Failed`] if git cannot be asked.
    pub async fn pinned(&self, name: &str) -> Result<Option<CommitId>, WorktreeError> {
        self.resolve(&format!("{REFS}{name}")).await
    }

    /// Lets go of what was pinned under a name. There need not be anything.
    ///
    /// # Errors
    /// [`WorktreeError::Failed`] if git does not take the name for a ref's.
    pub async fn unpin(&self, name: &str) -> Result<(), WorktreeError> {
        self.command(["update-ref", "-d", &format!("{REFS}{name}")]).stdout().await.map(drop)
    }
}

/// The option that makes git use the rules of a path: its filters, its line endings.
pub(crate) fn path_option(path: &RepoPath) -> OsString {
    let mut option = OsString::from("--path=");
    option.push(path.as_path());
    option
}

/// The one path that git printed, which may hold any byte, even a newline.
fn one_path(mut line: Vec<u8>) -> PathBuf {
    if line.last() == Some(&b'\n') {
        line.pop();
    }
    PathBuf::from(OsString::from_vec(line))
}

/// What a failure to read a repository's basics means. Git tells these apart in words alone.
fn unopened(error: WorktreeError, path: &Path) -> WorktreeError {
    if let WorktreeError::Failed { stderr, .. } = &error {
        if stderr.contains("dubious ownership") {
            return WorktreeError::Untrusted { path: path.to_owned() };
        }
        if stderr.contains("not a git repository") || stderr.contains("must be run in a work tree") {
            return WorktreeError::NotARepository { path: path.to_owned() };
        }
    }
    error
}

/// Runs work on files where it may block.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::from).flatten()
}
