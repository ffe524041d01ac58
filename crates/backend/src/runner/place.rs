//! A runner's directory: what is in it, and whether its runner lives.

use std::fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use boocoder_model::RunnerId;
use rustix::fs::{Mode, OFlags};
use tokio::net::{UnixListener, UnixStream};
use uuid::Uuid;

use crate::limits::SOCKET_PATH;

/// A runner's directory, only for its owner's eyes.
#[derive(Clone, Debug)]
pub(crate) struct Place(PathBuf);

impl Place {
    pub(crate) const fn new(dir: PathBuf) -> Self {
        Self(dir)
    }

    /// The directory of a runner among all.
    pub(crate) fn of(runners: &Path, id: RunnerId) -> Self {
        Self(runners.join(id.to_string()))
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.0
    }

    /// Makes the directory, and draws the secret by which server and runner know each other.
    pub(crate) fn create(&self) -> io::Result<String> {
        let mut builder = DirBuilder::new();
        builder.mode(0o700);
        if let Some(runners) = self.0.parent() {
            builder.recursive(true).create(runners)?;
        }
        builder.recursive(false).create(&self.0)?;
        let secret = secret();
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(self.0.join("secret"))?;
        file.write_all(secret.as_bytes())?;
        Ok(secret)
    }

    pub(crate) fn secret(&self) -> io::Result<String> {
        std::fs::read_to_string(self.0.join("secret"))
    }

    /// Where the runner's standard error goes.
    pub(crate) fn log(&self) -> io::Result<File> {
        OpenOptions::new().append(true).create(true).mode(0o600).open(self.0.join("log"))
    }

    /// The end of what the runner wrote to standard error.
    pub(crate) fn log_tail(&self, most: u64) -> String {
        let tail = || {
            let mut file = File::open(self.0.join("log"))?;
            let length = file.metadata()?.len();
            io::Seek::seek(&mut file, io::SeekFrom::Start(length.saturating_sub(most)))?;
            let mut bytes = Vec::new();
            file.take(most).read_to_end(&mut bytes)?;
            Ok::<_, io::Error>(String::from_utf8_lossy(&bytes).trim().to_owned())
        };
        tail().unwrap_or_default()
    }

    /// Takes the lock that says that the runner lives, for as long as the file is open.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if somebody holds it.
    pub(crate) fn lock(&self) -> io::Result<File> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(self.0.join("lock"))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Whether its runner lives. The look itself holds the lock for a moment, shared with others who look.
    pub(crate) fn is_alive(&self) -> bool {
        let Ok(file) = File::open(self.0.join("lock")) else { return false };
        matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
    }

    /// Listens on the runner's socket.
    pub(crate) fn listen(&self) -> io::Result<UnixListener> {
        let (_dir, path) = self.socket()?;
        let listener = UnixListener::bind(&path)?;
        std::fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        Ok(listener)
    }

    /// Connects to the runner's socket.
    pub(crate) async fn connect(&self) -> io::Result<UnixStream> {
        let (_dir, path) = self.socket()?;
        UnixStream::connect(path).await
    }

    /// A path to the socket that is short enough for an address: if need be, by way of a descriptor of the directory,
    /// which has to stay open meanwhile.
    fn socket(&self) -> io::Result<(Option<OwnedFd>, PathBuf)> {
        let path = self.0.join("socket");
        if path.as_os_str().len() <= SOCKET_PATH {
            return Ok((None, path));
        }
        if !cfg!(target_os = "linux") {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path of its socket is too long"));
        }
        let dir = rustix::fs::open(&self.0, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let path = format!("/proc/self/fd/{}/socket", dir.as_raw_fd()).into();
        Ok((Some(dir), path))
    }
}

/// Something that nobody guesses.
#[expect(clippy::disallowed_methods, reason = "a secret is drawn for each runner where it is started")]
fn secret() -> String {
    format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_private_and_made_once() {
        let dir = tempfile::tempdir().expect("a directory");
        let place = Place::of(&dir.path().join("runners"), RunnerId::from_uuid(Uuid::from_u128(1)));
        let secret = place.create().expect("made");
        assert_eq!((secret.len(), place.secret().expect("readable")), (64, secret));
        let mode = |path: PathBuf| path.metadata().expect("there").permissions().mode() & 0o777;
        assert_eq!((mode(place.dir().to_owned()), mode(place.dir().join("secret"))), (0o700, 0o600));
        place.create().expect_err("it is there already");
    }

    #[test]
    fn it_is_alive_while_somebody_holds_its_lock() {
        let dir = tempfile::tempdir().expect("a directory");
        let place = Place::new(dir.path().to_owned());
        assert!(!place.is_alive());
        let lock = place.lock().expect("free");
        assert!(place.is_alive());
        assert_eq!(place.lock().expect_err("held").kind(), io::ErrorKind::WouldBlock);
        drop(lock);
        assert!(!place.is_alive());
    }

    #[tokio::test]
    async fn a_socket_s_path_may_be_longer_than_the_system_takes() {
        let dir = tempfile::tempdir().expect("a directory");
        let deep = dir.path().join("x".repeat(100)).join("y".repeat(100));
        std::fs::create_dir_all(&deep).expect("made");
        let place = Place::new(deep);
        let listener = place.listen().expect("listens");
        let (connected, accepted) = tokio::join!(place.connect(), listener.accept());
        let mode = place.dir().join("socket").metadata().expect("there").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
        connected.expect("connects");
        accepted.expect("accepts");
    }
}
