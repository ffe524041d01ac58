//! Worktrees of our own: made, opened again, listed and taken down.
//!
//! A worktree is whole once the private index of its snapshots is there: that file is the last thing made. It gets another
//! name before the first of a worktree is removed. So whatever an interruption leaves behind tells what it is.

use std::ffi::{OsStr, OsString};
use std::io::ErrorKind::{IsADirectory, NotADirectory, NotFound};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::making::Making;
use crate::snapshot::copy_index;
use crate::{CommitId, Preparation, Repository, TreeId, WorktreeError};

/// The reason that our worktrees are locked with. It keeps `git worktree prune` away and tells ours from others.
const LOCK_REASON: &str = "in use by BooCoder";

/// The private index of a worktree's snapshots, in the worktree's own git directory.
pub(crate) const SNAPSHOT_INDEX: &str = "boocoder-index";

/// What the private index is called once its worktree is being removed.
const REMOVAL: &str = "boocoder-removal";

/// How the names of git's notes begin, in git's directory, while they go.
const REMOVED: &str = "boocoder-removed-";

/// The file that makes a directory a worktree: it names git's own directory for it.
pub(crate) const LINK_FILE: &str = ".git";

/// A worktree of ours: a full checkout of a project, on a detached HEAD, that an agent may change as it likes.
#[derive(Clone, Debug)]
pub struct Checkout {
    pub(crate) project: Repository,
    pub(crate) repository: Repository,
    base_commit: CommitId,
}

/// A worktree of ours as git knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckoutEntry {
    /// Where it is, or was.
    pub path: PathBuf,
    /// Whether it can be opened. If not, its making or its removal was interrupted.
    pub complete: bool,
    /// Whether its removal was begun, which is after its work was kept elsewhere.
    pub removing: bool,
    /// Git's directory for it, inside the project's.
    pub(crate) admin_dir: PathBuf,
}

impl CheckoutEntry {
    /// Whether the directory knows git's notes of it, and not others or none, as after a move of either.
    ///
    /// # Errors
    /// [`WorktreeError::Io`] if it cannot be read.
    pub async fn is_linked(&self) -> Result<bool, WorktreeError> {
        let link = read(&self.path.join(LINK_FILE)).await?.unwrap_or_default();
        Ok(linked(&link) == Some(self.admin_dir.as_os_str().as_bytes()))
    }
}

impl Checkout {
    /// Where it is.
    pub fn path(&self) -> &Path {
        self.repository.root()
    }

    /// Whether the directory still is this worktree, at a glance: nobody took it away, or the file that makes it one, and
    /// git's notes of it are where they were.
    ///
    /// # Errors
    /// [`WorktreeError::Io`] if it cannot be looked at.
    pub async fn is_there(&self) -> Result<bool, WorktreeError> {
        Ok(exists(&self.path().join(LINK_FILE)).await? && exists(&self.snapshot_index()).await?)
    }

    /// The project's commit that it was made from.
    pub fn base_commit(&self) -> &CommitId {
        &self.base_commit
    }

    /// The worktree as a repository: its HEAD, its diffs, its pins.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    pub(crate) fn snapshot_index(&self) -> PathBuf {
        self.repository.git_dir().join(SNAPSHOT_INDEX)
    }
}

impl Repository {
    /// Makes a worktree of the commit that is checked out, at a destination that does not exist yet.
    ///
    /// Uncommitted work of the project stays where it is and is no part of the worktree. If anything fails, nothing is
    /// left behind. What an interrupted attempt left at the destination is replaced.
    ///
    /// # Errors
    /// [`WorktreeError::NoCommits`], [`WorktreeError::AlreadyExists`], or what git says.
    pub async fn create_worktree(&self, dest: &Path) -> Result<Checkout, WorktreeError> {
        self.create_prepared(dest, &Preparation::default()).await
    }

    /// The same, and makes it ready.
    ///
    /// # Errors
    /// As [`Repository::create_worktree`], and [`WorktreeError::SetupFailed`].
    pub async fn create_prepared(&self, dest: &Path, preparation: &Preparation) -> Result<Checkout, WorktreeError> {
        let base_commit = self.head().await?;
        let dest = prepare_destination(dest).await?;
        let making = Making::begin(&dest, self.git.limits().tree_time).await?;
        self.make(&dest, base_commit, None, preparation, making).await
    }

    /// Makes a worktree of a commit, with the files of a tree in place of the commit's if one is given.
    pub(crate) async fn make(
        &self,
        dest: &Path,
        base_commit: CommitId,
        tree: Option<&TreeId>,
        preparation: &Preparation,
        _making: Making,
    ) -> Result<Checkout, WorktreeError> {
        let taken = || WorktreeError::AlreadyExists { path: dest.to_owned() };
        if let Some(entry) = self.entry_at(dest).await? {
            if entry.complete {
                return Err(taken());
            }
            self.clear_away(&entry).await?;
        }
        if !is_free(dest).await? {
            return Err(taken());
        }
        let made = self.populate(dest, base_commit, tree, preparation).await;
        if made.is_err()
            && let Err(error) = self.clear(dest).await
        {
            tracing::warn!(path = %dest.display(), %error, "a half-made worktree could not be cleared away");
        }
        made
    }

    async fn populate(
        &self,
        dest: &Path,
        base_commit: CommitId,
        tree: Option<&TreeId>,
        preparation: &Preparation,
    ) -> Result<Checkout, WorktreeError> {
        let options = ["worktree", "add", "--no-checkout", "--detach", "--lock", "--reason", LOCK_REASON, "--"];
        let registry = self.git.registry().await?;
        let args = options.map(OsStr::new).into_iter().chain([dest.as_os_str(), OsStr::new(base_commit.as_str())]);
        self.command(args).stdout().await?;
        drop(registry);
        let repository = Self::open(&self.git, dest).await?;
        repository.command(["reset", "--hard", "--quiet"]).whole_tree().stdout().await?;
        if let Some(tree) = tree {
            repository.command(["read-tree", "--reset", "-u", tree.as_str()]).whole_tree().stdout().await?;
            repository.command(["reset", "--mixed", "--quiet"]).whole_tree().stdout().await?;
        }
        self.make_ready(&repository, preparation).await?;
        // The fresh index knows every file's time and size, so the first snapshot has nothing to read.
        let index = repository.git_dir().join("index");
        let (part, whole) = (index.with_extension("part"), repository.git_dir().join(SNAPSHOT_INDEX));
        copy_index(&index, &part).await?;
        tokio::fs::rename(&part, &whole).await.map_err(WorktreeError::io("write", &whole))?;
        Ok(Checkout { project: self.clone(), repository, base_commit })
    }

    /// Opens a worktree that was made before.
    ///
    /// # Errors
    /// [`WorktreeError::NotOurs`] or [`WorktreeError::Incomplete`] if there is no such worktree, or not all of it.
    pub async fn open_checkout(&self, path: &Path, base_commit: &CommitId) -> Result<Checkout, WorktreeError> {
        let not_ours = || WorktreeError::NotOurs { path: path.to_owned() };
        let path = tokio::fs::canonicalize(path).await.map_err(WorktreeError::io("open", path))?;
        let entry = self.entry_at(&path).await?.ok_or_else(not_ours)?;
        if !entry.complete {
            return Err(WorktreeError::Incomplete { path });
        }
        let repository = Self::open(&self.git, &path).await?;
        if repository.root() != path || repository.git_dir() != entry.admin_dir {
            return Err(not_ours());
        }
        let base = self.resolve(base_commit.as_str()).await?;
        if base.as_ref() != Some(base_commit) {
            return Err(WorktreeError::InvalidId { text: base_commit.to_string() });
        }
        Ok(Checkout { project: self.clone(), repository, base_commit: base_commit.clone() })
    }

    /// All worktrees of ours, whole or not, ordered by path: for the sweep at start-up.
    ///
    /// # Errors
    /// [`WorktreeError::Io`] if git's directory cannot be read.
    pub async fn checkouts(&self) -> Result<Vec<CheckoutEntry>, WorktreeError> {
        let dir = self.common_dir().join("worktrees");
        let failed = || WorktreeError::io("read", &dir);
        let mut listing = match tokio::fs::read_dir(&dir).await {
            Ok(listing) => listing,
            Err(error) if error.kind() == NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed()(error)),
        };
        let mut entries = Vec::new();
        while let Some(item) = listing.next_entry().await.map_err(failed())? {
            entries.extend(read_entry(item.path()).await?);
        }
        entries.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(entries)
    }

    /// Clears away what an interrupted making or removal left. A whole worktree is refused, and so is a directory that
    /// is not the worktree that git's notes say it is.
    ///
    /// # Errors
    /// [`WorktreeError::AlreadyExists`] if the worktree is whole after all; [`WorktreeError::NotOurs`].
    pub async fn discard(&self, entry: &CheckoutEntry) -> Result<(), WorktreeError> {
        let _making = Making::begin(&entry.path, self.git.limits().tree_time).await?;
        self.clear_away(entry).await
    }

    async fn clear_away(&self, entry: &CheckoutEntry) -> Result<(), WorktreeError> {
        if exists(&entry.admin_dir.join(SNAPSHOT_INDEX)).await? {
            return Err(WorktreeError::AlreadyExists { path: entry.path.clone() });
        }
        if !is_free(&entry.path).await? {
            let link = read(&entry.path.join(LINK_FILE)).await?.unwrap_or_default();
            // A git that was killed may have left an empty link, and nothing beside it.
            let is_begun = link.is_empty() && holds_only_a_link(&entry.path).await?;
            if !is_begun && linked(&link) != Some(entry.admin_dir.as_os_str().as_bytes()) {
                return Err(WorktreeError::NotOurs { path: entry.path.clone() });
            }
            remove_contents(&entry.path).await?;
        }
        remove_dir(&entry.path).await?;
        let _registry = self.git.registry().await?;
        self.forget(&entry.admin_dir).await?;
        // Git removes the directory of its last worktree too. Any other worktree keeps it, and that is no error.
        let parent = self.common_dir().join("worktrees");
        if let Err(error) = tokio::fs::remove_dir(&parent).await {
            tracing::trace!(%error, "other worktrees remain");
        }
        Ok(())
    }

    /// Takes git's notes of a worktree away, by one rename: notes of which a part is gone would not tell any more that the rest
    /// is to go, nor what the worktree's HEAD was.
    async fn forget(&self, admin_dir: &Path) -> Result<(), WorktreeError> {
        let Some(name) = admin_dir.file_name() else { return Ok(()) };
        let mut marked = OsString::from(REMOVED);
        marked.push(name);
        let away = self.common_dir().join(marked);
        remove_dir(&away).await?;
        match tokio::fs::rename(admin_dir, &away).await {
            Err(error) if error.kind() != NotFound => return Err(WorktreeError::io("rename", admin_dir)(error)),
            Ok(()) | Err(_) => {}
        }
        // Those that an earlier removal was killed with as well.
        let failed = || WorktreeError::io("read", self.common_dir());
        let mut listing = tokio::fs::read_dir(self.common_dir()).await.map_err(failed())?;
        while let Some(item) = listing.next_entry().await.map_err(failed())? {
            if item.file_name().as_bytes().starts_with(REMOVED.as_bytes()) {
                remove_dir(&item.path()).await?;
            }
        }
        Ok(())
    }

    /// Takes down a worktree whose work is nowhere else needed.
    pub(crate) async fn take_down(&self, checkout: &Checkout) -> Result<(), WorktreeError> {
        let _making = Making::begin(checkout.path(), self.git.limits().tree_time).await?;
        let index = checkout.snapshot_index();
        let begun = index.with_file_name(REMOVAL);
        tokio::fs::rename(&index, &begun).await.map_err(WorktreeError::io("rename", &index))?;
        self.clear(checkout.path()).await
    }

    /// Discards what is at a path, if git knows it as a worktree of ours.
    async fn clear(&self, dest: &Path) -> Result<(), WorktreeError> {
        match self.entry_at(dest).await? {
            Some(entry) => self.clear_away(&entry).await,
            None => Ok(()),
        }
    }

    /// What git knows of a worktree of ours at a path.
    ///
    /// # Errors
    /// As [`Repository::checkouts`].
    pub async fn entry_at(&self, path: &Path) -> Result<Option<CheckoutEntry>, WorktreeError> {
        Ok(self.checkouts().await?.into_iter().find(|entry| entry.path == path))
    }
}

/// The directory of git's that a link names.
fn linked(link: &[u8]) -> Option<&[u8]> {
    link.strip_prefix(b"gitdir: ").map(<[u8]>::trim_ascii_end)
}

/// Reads one of git's directories for worktrees, or none if it is not ours.
async fn read_entry(admin_dir: PathBuf) -> Result<Option<CheckoutEntry>, WorktreeError> {
    let (Some(reason), Some(link)) = (read(&admin_dir.join("locked")).await?, read(&admin_dir.join("gitdir")).await?)
    else {
        return Ok(None);
    };
    let link = PathBuf::from(OsString::from_vec(link.trim_ascii_end().to_owned()));
    match link.parent() {
        Some(path) if reason.trim_ascii() == LOCK_REASON.as_bytes() => {
            let complete = exists(&admin_dir.join(SNAPSHOT_INDEX)).await?;
            let removing = !complete && exists(&admin_dir.join(REMOVAL)).await?;
            Ok(Some(CheckoutEntry { path: path.to_owned(), complete, removing, admin_dir }))
        }
        _ => Ok(None),
    }
}

/// Makes the destination's parent and returns the destination as git will write it.
pub(crate) async fn prepare_destination(dest: &Path) -> Result<PathBuf, WorktreeError> {
    let (Some(parent), Some(name)) = (dest.parent(), dest.file_name()) else {
        return Err(WorktreeError::AlreadyExists { path: dest.to_owned() });
    };
    if name.as_bytes().contains(&b'\n') {
        let path = dest.to_string_lossy().into_owned();
        return Err(WorktreeError::UnsafePath {
            path,
            reason: "git cannot note a worktree with a newline in its path",
        });
    }
    tokio::fs::create_dir_all(parent).await.map_err(WorktreeError::io("make", parent))?;
    let parent = tokio::fs::canonicalize(parent).await.map_err(WorktreeError::io("open", parent))?;
    Ok(parent.join(name))
}

/// Whether a directory holds nothing but the file that would link it to its repository.
async fn holds_only_a_link(path: &Path) -> Result<bool, WorktreeError> {
    let failed = || WorktreeError::io("look at", path);
    let mut listing = tokio::fs::read_dir(path).await.map_err(failed())?;
    while let Some(item) = listing.next_entry().await.map_err(failed())? {
        if item.file_name() != LINK_FILE {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether nothing but perhaps an empty directory is at a path.
pub(crate) async fn is_free(path: &Path) -> Result<bool, WorktreeError> {
    let failed = || WorktreeError::io("look at", path);
    match tokio::fs::symlink_metadata(path).await {
        Err(error) if error.kind() == NotFound => Ok(true),
        Err(error) => Err(failed()(error)),
        Ok(metadata) if !metadata.is_dir() => Ok(false),
        Ok(_) => {
            let mut listing = tokio::fs::read_dir(path).await.map_err(failed())?;
            Ok(listing.next_entry().await.map_err(failed())?.is_none())
        }
    }
}

pub(crate) async fn exists(path: &Path) -> Result<bool, WorktreeError> {
    match tokio::fs::try_exists(path).await {
        Err(error) if error.kind() == NotADirectory => Ok(false),
        found => found.map_err(WorktreeError::io("look at", path)),
    }
}

async fn read(path: &Path) -> Result<Option<Vec<u8>>, WorktreeError> {
    match tokio::fs::read(path).await {
        Ok(bytes) => Ok(Some(bytes)),
        // An entry may vanish while the list is read, and what is no file is not the note that is looked for.
        Err(error) if matches!(error.kind(), NotFound | NotADirectory | IsADirectory) => Ok(None),
        Err(error) => Err(WorktreeError::io("read", path)(error)),
    }
}

/// Removes what is in a worktree. The file that shows whose it is stays, so that this can be cut short and done again.
async fn remove_contents(dir: &Path) -> Result<(), WorktreeError> {
    let mut listing = tokio::fs::read_dir(dir).await.map_err(WorktreeError::io("read", dir))?;
    while let Some(item) = listing.next_entry().await.map_err(WorktreeError::io("read", dir))? {
        let path = item.path();
        if item.file_name() == LINK_FILE {
            continue;
        }
        if item.file_type().await.map_err(WorktreeError::io("look at", &path))?.is_dir() {
            remove_dir(&path).await?;
        } else {
            tokio::fs::remove_file(&path).await.map_err(WorktreeError::io("remove", &path))?;
        }
    }
    Ok(())
}

pub(crate) async fn remove_dir(path: &Path) -> Result<(), WorktreeError> {
    match tokio::fs::remove_dir_all(path).await {
        Err(error) if error.kind() != NotFound => Err(WorktreeError::io("remove", path)(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}
