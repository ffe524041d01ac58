//! Files of one checkout, reached component by component from its root. No link is ever followed on the way.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

use cap_std::ambient_authority;
use cap_std::fs::{Dir, Metadata, MetadataExt, OpenOptions, OpenOptionsExt, Permissions, PermissionsExt};
use cap_tempfile::TempFile;
use rustix::fs::{Mode, OFlags};

use crate::RepoPath;

/// What is at a path.
#[derive(Debug)]
pub(crate) enum Seen {
    Absent,
    /// A regular file.
    File {
        content: Vec<u8>,
        executable: bool,
        stamp: Stamp,
    },
    /// A symbolic link, with where it points.
    Link {
        target: Vec<u8>,
        stamp: Stamp,
    },
    Directory,
    /// A device, a socket or a pipe.
    Special,
    /// One of its directories is a symbolic link.
    BehindLink,
    /// One of its directories is a file.
    BehindFile,
    /// One of its directories is a repository of its own.
    InOtherRepository,
    /// More than the limit.
    TooLarge,
}

impl Seen {
    pub(crate) fn stamp(&self) -> Option<Stamp> {
        match self {
            Self::File { stamp, .. } | Self::Link { stamp, .. } => Some(*stamp),
            Self::Absent | Self::Directory | Self::Special | Self::BehindLink | Self::BehindFile => None,
            Self::InOtherRepository | Self::TooLarge => None,
        }
    }
}

/// What tells a file from itself after a change: any write gives another stamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// What to put at a path.
#[derive(Debug)]
pub(crate) enum Put {
    /// A regular file.
    File { content: Vec<u8>, executable: bool },
    /// A symbolic link that points there.
    Link { target: Vec<u8> },
    /// Nothing: what is there goes away, and so do directories that are empty then.
    Nothing,
}

/// The root of a checkout.
pub(crate) struct Place(Dir);

/// Where a path leads.
enum Parent {
    Found(Dir),
    Missing,
    BehindLink,
    BehindFile,
    OtherRepository,
}

impl Place {
    pub(crate) fn open(root: &Path) -> io::Result<Self> {
        Dir::open_ambient_dir(root, ambient_authority()).map(Self)
    }

    /// Looks at a path and reads what is there, up to `limit` bytes.
    pub(crate) fn look(&self, path: &RepoPath, limit: usize) -> io::Result<Seen> {
        let dir = match self.parent(path, false)? {
            Parent::Found(dir) => dir,
            Parent::Missing => return Ok(Seen::Absent),
            Parent::BehindLink => return Ok(Seen::BehindLink),
            Parent::BehindFile => return Ok(Seen::BehindFile),
            Parent::OtherRepository => return Ok(Seen::InOtherRepository),
        };
        let name = name(path);
        let Some(metadata) = metadata(&dir, name)? else { return Ok(Seen::Absent) };
        if metadata.is_symlink() {
            let target = dir.read_link_contents(name)?.as_os_str().as_bytes().to_vec();
            return Ok(Seen::Link { target, stamp: Stamp::of(&metadata) });
        }
        if metadata.is_dir() {
            return Ok(Seen::Directory);
        }
        if !metadata.is_file() {
            return Ok(Seen::Special);
        }
        // Opened without following or waiting, for it may have become a link or a pipe by now.
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
        let file = dir.open_with(name, OpenOptions::new().read(true).custom_flags(flags))?;
        let metadata = file.metadata()?;
        let mut content = Vec::new();
        file.take(limit as u64 + 1).read_to_end(&mut content)?;
        if content.len() > limit {
            return Ok(Seen::TooLarge);
        }
        let executable = metadata.permissions().mode() & 0o100 != 0;
        Ok(Seen::File { content, executable, stamp: Stamp::of(&metadata) })
    }

    /// Puts something at a path, if what is there still has the stamp, and says whether it had.
    ///
    /// A file appears whole or not at all: it is written beside its place and renamed into it. It keeps the permissions
    /// of the file that it replaces, but for the executable bits.
    pub(crate) fn put(&self, path: &RepoPath, expected: Option<Stamp>, put: &Put) -> io::Result<bool> {
        let Parent::Found(dir) = self.parent(path, true)? else { return Ok(false) };
        let name = name(path);
        let there = || metadata(&dir, name);
        let unchanged = |there: &Option<Metadata>| there.as_ref().map(Stamp::of) == expected;
        match put {
            Put::File { content, executable } => {
                let mut file = TempFile::new(&dir)?;
                file.write_all(content)?;
                let old = there()?.filter(|old| old.is_file());
                let mode = old.map_or(file.as_file().metadata()?.mode(), |old| old.mode()) & 0o777;
                let mode = if *executable { mode | (mode & 0o444) >> 2 } else { mode & !0o111 };
                file.as_file().set_permissions(Permissions::from_mode(mode))?;
                file.as_file().sync_all()?;
                if !unchanged(&there()?) {
                    return Ok(false);
                }
                file.replace(name)?;
            }
            Put::Link { target } => {
                let link = new_link(&dir, target)?;
                if !unchanged(&there()?) {
                    dir.remove_file(&link)?;
                    return Ok(false);
                }
                dir.rename(&link, &dir, name)?;
            }
            Put::Nothing => {
                if !unchanged(&there()?) {
                    return Ok(false);
                }
                dir.remove_file(name)?;
                self.remove_empty_parents(path);
            }
        }
        Ok(true)
    }

    /// Whether a path stays in this checkout.
    pub(crate) fn reaches(&self, path: &RepoPath) -> io::Result<bool> {
        Ok(matches!(self.parent(path, false)?, Parent::Found(_) | Parent::Missing | Parent::BehindFile))
    }

    /// Whether a directory holds files of these alone, and no other directory without files.
    pub(crate) fn holds_only(&self, path: &RepoPath, files: &BTreeSet<&Path>) -> io::Result<bool> {
        let Parent::Found(dir) = self.parent(path, false)? else { return Ok(false) };
        only(&open_dir(&dir, name(path))?, path.as_path(), files)
    }

    /// Copies what is at a path, a file with its permissions or a link, to the same path of another place, unless something is
    /// there already; says whether it did.
    pub(crate) fn copy(&self, path: &RepoPath, to: &Self) -> io::Result<bool> {
        let Parent::Found(from) = self.parent(path, false)? else { return Ok(false) };
        let Some(there) = metadata(&from, name(path))? else { return Ok(false) };
        let Parent::Found(to) = to.parent(path, true)? else { return Ok(false) };
        if metadata(&to, name(path))?.is_some() {
            return Ok(false);
        }
        if there.is_symlink() {
            to.symlink_contents(from.read_link_contents(name(path))?, name(path))?;
        } else if there.is_file() {
            from.copy(name(path), &to, name(path))?;
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    /// Opens the directory that a path is in, and makes it on request.
    fn parent(&self, path: &RepoPath, make: bool) -> io::Result<Parent> {
        let mut dir = self.0.try_clone()?;
        for component in path.as_path().parent().into_iter().flat_map(Path::components) {
            let Component::Normal(name) = component else { return Ok(Parent::BehindLink) };
            let mut opened = open_dir(&dir, name);
            if make && matches!(&opened, Err(error) if error.kind() == io::ErrorKind::NotFound) {
                dir.create_dir(name)?;
                opened = open_dir(&dir, name);
            }
            dir = match opened {
                Ok(next) => next,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Parent::Missing),
                Err(error) => {
                    return match metadata(&dir, name)? {
                        Some(there) if there.is_symlink() => Ok(Parent::BehindLink),
                        Some(there) if !there.is_dir() => Ok(Parent::BehindFile),
                        _ => Err(error),
                    };
                }
            };
            if metadata(&dir, OsStr::new(".git"))?.is_some() {
                return Ok(Parent::OtherRepository);
            }
        }
        Ok(Parent::Found(dir))
    }

    /// Removes the directories that a removal left empty, as git does. One that is not empty, or busy, stays.
    fn remove_empty_parents(&self, path: &RepoPath) {
        let mut parents = path.as_path().ancestors().skip(1).take_while(|parent| !parent.as_os_str().is_empty());
        if let Some(error) = parents.find_map(|parent| self.0.remove_dir(parent).err()) {
            tracing::trace!(%error, "a directory stays");
        }
    }
}

fn only(dir: &Dir, path: &Path, files: &BTreeSet<&Path>) -> io::Result<bool> {
    let mut is_empty = true;
    for entry in dir.entries()? {
        let name = entry?.file_name();
        let path = path.join(&name);
        let is_known = match metadata(dir, &name)? {
            Some(there) if there.is_dir() => only(&open_dir(dir, &name)?, &path, files)?,
            Some(_) | None => files.contains(path.as_path()),
        };
        if !is_known {
            return Ok(false);
        }
        is_empty = false;
    }
    Ok(!is_empty)
}

fn name(path: &RepoPath) -> &OsStr {
    path.as_path().file_name().unwrap_or_default()
}

fn metadata(dir: &Dir, name: &OsStr) -> io::Result<Option<Metadata>> {
    match dir.symlink_metadata(name) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Opens a directory by its bare name, unless the name is a link's.
fn open_dir(dir: &Dir, name: &OsStr) -> io::Result<Dir> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
    let opened = rustix::fs::openat(dir, name, flags, Mode::empty())?;
    Ok(Dir::from_std_file(fs::File::from(opened)))
}

/// Makes a link under a name that is free, and returns the name.
fn new_link(dir: &Dir, target: &[u8]) -> io::Result<String> {
    /// Names to try. More than one is taken only where as many earlier runs were interrupted.
    const ATTEMPTS: u32 = 100;
    let mut taken = io::Error::from(io::ErrorKind::AlreadyExists);
    for attempt in 0..ATTEMPTS {
        let name = format!(".boocoder-link-{attempt}");
        match dir.symlink_contents(OsStr::from_bytes(target), &name) {
            Ok(()) => return Ok(name),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => taken = error,
            Err(error) => return Err(error),
        }
    }
    Err(taken)
}
