//! The data directory: one server at a time, and the files in it that others may not read.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{ErrorKind, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use boocoder_model::ServerId;
use boocoder_wire::http::ServerInfo;
use rustix::fs::{FlockOperation, flock};

use crate::auth::Token;
use crate::limits::{DATA_DIR_WAIT, DATA_DIR_WAITS};

/// Names of what is in the data directory.
const LOCK: &str = "server.lock";
const TOKEN: &str = "token";
const SERVER: &str = "server.json";
const SERVER_ID: &str = "server-id";

/// Another server has the data directory.
#[derive(Debug, thiserror::Error)]
#[error("the data directory {} is in use by {}; stop that server or choose another directory by --data-dir", dir.display(), owner(.pid))]
pub struct InUse {
    /// The directory.
    pub dir: PathBuf,
    /// The process that has it, if it said so.
    pub pid: Option<u32>,
}

fn owner(pid: &Option<u32>) -> String {
    pid.map_or_else(|| "another server".to_owned(), |pid| format!("another server (process {pid})"))
}

/// A data directory that is ours until this value is dropped.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    /// The system gives the lock back when the file is closed, however this process ends.
    lock: File,
}

impl DataDir {
    /// Makes the directory if it is missing, and takes it.
    ///
    /// `passable` lets other accounts through it, not into it: the database of a root's server runs as another user.
    ///
    /// # Errors
    /// [`InUse`] if another server has it; otherwise what the file system says.
    pub fn take(path: &Path, passable: bool) -> anyhow::Result<Self> {
        make_private(path)?;
        // A relative name would change its meaning with the directory of a child.
        let path = path.canonicalize().with_context(|| format!("cannot resolve {}", path.display()))?;
        if passable {
            let mode = path.metadata().with_context(|| format!("cannot read {}", path.display()))?.permissions().mode();
            std::fs::set_permissions(&path, Permissions::from_mode(mode | 0o011))
                .with_context(|| format!("cannot let the database's account through {}", path.display()))?;
        }
        let lock = lock(&path)?;
        Ok(Self { path, lock })
    }

    /// Where it is, absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A name for whoever has this data directory, one server after another: the lock's own identity in the file system.
    /// A copy of the directory has another one, and a directory that was moved keeps its own.
    pub fn owner(&self) -> anyhow::Result<String> {
        let lock = self.lock.metadata().with_context(|| format!("cannot read {}", self.path.join(LOCK).display()))?;
        Ok(format!("{:x}-{:x}", lock.dev(), lock.ino()))
    }

    /// A directory in it that others may not enter, made if it is missing.
    pub fn private(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.path.join(name);
        make_private(&path)?;
        Ok(path)
    }

    /// The token of this data directory; a new one the first time.
    pub fn token(&self) -> anyhow::Result<Token> {
        let path = self.path.join(TOKEN);
        match std::fs::read_to_string(&path) {
            Ok(text) => Token::parse(&text)
                .with_context(|| format!("{} does not hold a token: delete it, and a new one is made", path.display())),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let mut bytes = [0; Token::BYTES];
                getrandom::fill(&mut bytes).context("the system gives no random numbers")?;
                let token = Token::from_random(bytes);
                write_private(&path, format!("{}\n", token.reveal()).as_bytes())?;
                Ok(token)
            }
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// What this data directory's servers are called, one after another, among those that share a database: their agents
    /// are here.
    pub fn server_id(&self) -> anyhow::Result<ServerId> {
        let path = self.path.join(SERVER_ID);
        match std::fs::read_to_string(&path) {
            Ok(text) => text
                .trim()
                .parse()
                .with_context(|| format!("{} does not hold an id: delete it, and a new one is made", path.display())),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let mut bytes = [0; 16];
                getrandom::fill(&mut bytes).context("the system gives no random numbers")?;
                let id = ServerId::from_uuid(uuid::Builder::from_random_bytes(bytes).into_uuid());
                write_private(&path, format!("{id}\n").as_bytes())?;
                Ok(id)
            }
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// Tells programs of the same user where the server is reached.
    pub fn announce(&self, info: &ServerInfo) -> anyhow::Result<()> {
        let mut text = serde_json::to_string_pretty(info).context("the server's address cannot be written as JSON")?;
        text.push('\n');
        write_private(&self.path.join(SERVER), text.as_bytes())
    }

    /// Takes the announcement back.
    pub fn withdraw(&self) -> anyhow::Result<()> {
        let path = self.path.join(SERVER);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", path.display()))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

/// What the server of a data directory announced, if there is such a file. It may have died since.
pub fn announced(dir: &Path) -> anyhow::Result<Option<ServerInfo>> {
    let path = dir.join(SERVER);
    match std::fs::read_to_string(&path) {
        Ok(text) => serde_json::from_str(&text).map(Some).with_context(|| format!("{} cannot be read", path.display())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Makes a directory that others may not enter. Those above it are made as any others are: the account of the database has
/// to get through them.
fn make_private(path: &Path) -> anyhow::Result<()> {
    let above = path.parent().filter(|above| !above.as_os_str().is_empty());
    let made = above.map_or(Ok(()), std::fs::create_dir_all);
    made.and_then(|()| DirBuilder::new().recursive(true).mode(0o700).create(path))
        .with_context(|| format!("cannot make the directory {}", path.display()))
}

fn is_alive(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    // Whoever may not be signalled is there.
    pid.is_some_and(|pid| rustix::process::test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}

fn lock(dir: &Path) -> anyhow::Result<File> {
    let path = dir.join(LOCK);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    let mut waits = DATA_DIR_WAITS;
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => break,
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut text = String::new();
                let read = file.rewind().and_then(|()| file.read_to_string(&mut text));
                let pid = read.ok().and_then(|_| text.trim().parse().ok());
                // A server that was killed while it started a program is survived for a moment by the copy of itself that
                // was to become that program, lock and all.
                if waits == 0 || pid.is_none_or(is_alive) {
                    bail!(InUse { dir: dir.to_owned(), pid });
                }
                waits -= 1;
                std::thread::sleep(DATA_DIR_WAIT);
            }
            Err(error) => return Err(error).with_context(|| format!("cannot lock {}", path.display())),
        }
    }
    let written = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
    written.with_context(|| format!("cannot write {}", path.display()))?;
    Ok(file)
}

/// Writes a file that only its owner may read, whole or not at all.
fn write_private(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let aside = path.with_extension("new");
    let write = || {
        // One that was left over may have another mode.
        match std::fs::remove_file(&aside) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&aside, path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn one_server_at_a_time() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("a/data");
        let first = DataDir::take(&path, false).unwrap();
        let owner = first.owner().unwrap();
        let second = DataDir::take(&path, false).unwrap_err();
        let in_use = second.downcast_ref::<InUse>().expect("it says why");
        assert_eq!(in_use.pid, Some(std::process::id()));
        assert!(second.to_string().contains("is in use by another server (process "), "{second}");
        let elsewhere = DataDir::take(&home.path().join("b"), false).unwrap();
        assert_ne!(elsewhere.owner().unwrap(), owner, "a lock that is held is not the lock of another directory");
        drop(first);
        assert_eq!(DataDir::take(&path, false).unwrap().owner().unwrap(), owner, "one server after another");
    }

    #[test]
    fn the_lock_of_a_server_that_has_gone_is_waited_for() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("data");
        let held = DataDir::take(&path, false).unwrap();
        // As if it were held by what a killed server had just begun to start: no process has this number.
        std::fs::write(path.join(LOCK), format!("{}\n", i32::MAX)).unwrap();
        let freed = std::thread::spawn(move || {
            std::thread::sleep(DATA_DIR_WAIT * 3);
            drop(held);
        });
        DataDir::take(&path, false).unwrap();
        freed.join().unwrap();
    }

    #[test]
    fn what_is_private_is_private() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("data");
        let dir = DataDir::take(&path, false).unwrap();
        assert_eq!(mode(&path), 0o700);
        assert_eq!(mode(&dir.private("worktrees").unwrap()), 0o700);
        let token = dir.token().unwrap();
        assert_eq!(mode(&path.join(TOKEN)), 0o600);
        assert_eq!(dir.token().unwrap().reveal(), token.reveal(), "it is kept");
        let id = dir.server_id().unwrap();
        assert_eq!(dir.server_id().unwrap(), id, "it is kept");

        let info = ServerInfo { url: "http://127.0.0.1:1".into(), token: "t".into(), pid: 7, version: "1".into() };
        assert_eq!(announced(&path).unwrap(), None);
        std::fs::write(path.join("server.new"), "left over").unwrap();
        dir.announce(&info).unwrap();
        assert_eq!(mode(&path.join(SERVER)), 0o600);
        assert_eq!(announced(&path).unwrap(), Some(info));
        dir.withdraw().unwrap();
        dir.withdraw().unwrap();
        assert_eq!(announced(&path).unwrap(), None);
    }

    #[test]
    fn the_databases_account_is_let_through_and_not_in() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("data");
        DataDir::take(&path, true).unwrap();
        assert_eq!(mode(&path), 0o711);
    }

    #[test]
    fn a_token_that_is_none_is_not_taken_for_one() {
        let home = tempfile::tempdir().unwrap();
        let dir = DataDir::take(home.path(), false).unwrap();
        std::fs::write(dir.path().join(TOKEN), "guessable").unwrap();
        assert!(dir.token().unwrap_err().to_string().contains("delete it"));
    }
}
