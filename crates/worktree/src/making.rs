//! One at a time makes, puts back or takes down a worktree, over all processes.

use std::ffi::OsString;
use std::fs::{File, Metadata, TryLockError};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::WorktreeError;

/// A lock beside a worktree's place: nobody else takes what is half made, or half removed, for what an interruption has left.
pub(crate) struct Making {
    path: PathBuf,
    _held: File,
}

impl Making {
    /// Waits until nobody else holds it. The directory that the place is in has to be there.
    pub(crate) async fn begin(dest: &Path, limit: Duration) -> Result<Self, WorktreeError> {
        /// The pause before a look at a lock that somebody holds.
        const PAUSE: Duration = Duration::from_millis(20);
        let path = beside(dest, ".making");
        let failed = || WorktreeError::io("lock", &path);
        let taking = async {
            loop {
                let held = File::options().write(true).create(true).truncate(false).open(&path).map_err(failed())?;
                match held.try_lock() {
                    // Whoever held it may have removed it: then somebody else may hold another one by now.
                    Ok(()) if is_at(&held, &path) => return Ok(held),
                    Ok(()) => {}
                    Err(TryLockError::WouldBlock) => tokio::time::sleep(PAUSE).await,
                    Err(TryLockError::Error(error)) => return Err(failed()(error)),
                }
            }
        };
        match tokio::time::timeout(limit, taking).await {
            Ok(held) => held.map(|held| Self { path: path.clone(), _held: held }),
            Err(_) => {
                let command = format!("the making of {} by somebody else", dest.display());
                Err(WorktreeError::TimedOut { command, limit })
            }
        }
    }
}

impl Drop for Making {
    fn drop(&mut self) {
        // One that stays is taken by whoever comes next.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// A hidden name beside a place.
pub(crate) fn beside(dest: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(dest.file_name().unwrap_or_default());
    name.push(suffix);
    dest.with_file_name(name)
}

fn is_at(file: &File, path: &Path) -> bool {
    let same = |one: Metadata, other: Metadata| (one.dev(), one.ino()) == (other.dev(), other.ino());
    file.metadata().is_ok_and(|held| std::fs::metadata(path).is_ok_and(|there| same(held, there)))
}
