//! The data directory: its lock, the cluster in it, and the place of the socket.
//!
//! | entry | holds | belongs to |
//! | --- | --- | --- |
//! | `lock` | the lock, and the process id of its holder | this process's user |
//! | `pg_hba.conf`, `pg_ident.conf` | who may connect | this process's user |
//! | `cluster/` | PostgreSQL's data | the server's account |
//! | `run/` | the socket, where its path is short enough | the server's account |
//!
//! The directory itself stays with this process's user, so that the server's account, which owns only the two inner
//! directories, cannot lead a root process astray with a link.

use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use sha2::{Digest, Sha256};
use tokio::process::Command;

use crate::account::Accounts;
use crate::discover::Binaries;
use crate::error::{IoContext, LocalPgError};
use crate::leftovers;
use crate::limits::{Limits, SOCKET_PATH_BYTES};
use crate::program::{end_with_this_thread, run};

/// The role that owns everything, and the name of the database.
pub(crate) const ROLE: &str = "boocoder";

/// The port is only a part of the socket's name.
pub(crate) const PORT: u16 = 5432;

/// The holder of the lock on a data directory. The lock ends with this value, or with the process however it ends.
#[derive(Debug)]
pub(crate) struct DataDir {
    pub(crate) path: PathBuf,
    _lock: File,
}

/// A cluster that holds data already.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Existing {
    /// The user id that owns it.
    pub(crate) owner: u32,
    /// The major version that made it.
    pub(crate) major: u32,
}

impl DataDir {
    /// Makes the directory if it is missing and takes its lock.
    pub(crate) fn lock(path: &Path) -> Result<Self, LocalPgError> {
        fs::create_dir_all(path).at("create", path)?;
        let path = path.canonicalize().at("find", path)?;
        let file = path.join("lock");
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut lock = options.open(&file).at("open", &file)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let pid = lock.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
                return Err(LocalPgError::DataDirInUse { dir: path, pid });
            }
            Err(TryLockError::Error(error)) => return Err(error).at("lock", &file),
        }
        lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id())).at("write", &file)?;
        Ok(Self { path, _lock: lock })
    }

    /// Where the cluster is or will be.
    pub(crate) fn cluster(&self) -> PathBuf {
        self.path.join("cluster")
    }

    /// What is known of the cluster from outside, if there is one.
    pub(crate) fn existing(&self) -> Result<Option<Existing>, LocalPgError> {
        let cluster = self.cluster();
        if !cluster.is_dir() {
            return Ok(None);
        }
        let owner = cluster.metadata().at("read", &cluster)?.uid();
        let file = cluster.join("PG_VERSION");
        let text = fs::read_to_string(&file).at("read", &file)?;
        let major = text.trim().parse().map_err(std::io::Error::other).at("understand", &file)?;
        Ok(Some(Existing { owner, major }))
    }

    /// Makes the cluster if there is none. It is made aside and renamed when it is complete, because a cluster that was
    /// cut short looks like a finished one.
    pub(crate) async fn ensure_cluster(
        &self,
        accounts: &Accounts,
        binaries: &Binaries,
        search_path: &OsStr,
        limits: &Limits,
    ) -> Result<(), LocalPgError> {
        // Only an account that is not ours needs to pass, and only pass.
        let mode = if accounts.differ() { 0o711 } else { 0o700 };
        fs::set_permissions(&self.path, Permissions::from_mode(mode)).at("change the mode of", &self.path)?;
        let (cluster, aside) = (self.cluster(), self.path.join("cluster.new"));
        if aside.exists() {
            leftovers::clear(&aside, limits).await?;
            fs::remove_dir_all(&aside).at("remove", &aside)?;
        }
        if cluster.is_dir() {
            return accounts.check_entry(&cluster, search_path, limits).await;
        }
        private_dir(&aside, accounts)?;
        accounts.check_entry(&aside, search_path, limits).await?;
        tracing::info!(dir = %cluster.display(), version = %binaries.version, "making a new database cluster");
        run(initdb(&aside, accounts, binaries), limits.init).await?;
        fs::rename(&aside, &cluster).at("rename", &aside)?;
        File::open(&self.path).and_then(|dir| dir.sync_all()).at("sync", &self.path)
    }

    /// Writes who may connect: over the socket, the two users at work, as the one role. No password is anywhere.
    pub(crate) fn write_access_rules(&self, accounts: &Accounts) -> Result<(), LocalPgError> {
        let map =
            format!("boocoder \"{}\" {ROLE}\nboocoder \"{}\" {ROLE}\n", accounts.owner.name, accounts.server.name);
        for (name, text) in [("pg_hba.conf", "local all all peer map=boocoder\n"), ("pg_ident.conf", map.as_str())] {
            let file = self.path.join(name);
            fs::write(&file, text).at("write", &file)?;
            fs::set_permissions(&file, Permissions::from_mode(0o644)).at("change the mode of", &file)?;
        }
        Ok(())
    }

    /// Makes the directory of the socket and clears it of the socket and the lock of an earlier server.
    pub(crate) fn ensure_socket_dir(&self, accounts: &Accounts) -> Result<PathBuf, LocalPgError> {
        let inside = self.path.join("run");
        let dir = if socket_fits(&inside) { inside } else { short_dir(&self.path, &accounts.owner.name) };
        private_dir(&dir, accounts)?;
        for name in [format!(".s.PGSQL.{PORT}"), format!(".s.PGSQL.{PORT}.lock")] {
            let file = dir.join(name);
            if file.symlink_metadata().is_ok() {
                fs::remove_file(&file).at("remove", &file)?;
            }
        }
        Ok(dir)
    }
}

/// Makes a directory that only the server's account may enter. In a shared place another user may have made it first,
/// so one that is there is taken only if it is a real directory of that account's, or still ours.
fn private_dir(dir: &Path, accounts: &Accounts) -> Result<(), LocalPgError> {
    if let Err(error) = DirBuilder::new().mode(0o700).create(dir) {
        let there = dir.symlink_metadata().at("read", dir)?;
        if there.is_dir() && accounts.is_server(there.uid()) && there.mode() & 0o077 == 0 {
            return Ok(());
        }
        if !there.is_dir() || !accounts.is_owner(there.uid()) {
            return Err(error).at("create", dir);
        }
        fs::set_permissions(dir, Permissions::from_mode(0o700)).at("change the mode of", dir)?;
    }
    accounts.hand_over(dir)
}

/// Text order by bytes and UTF-8, whatever the system's libraries are, so that the same cluster can be run with other
/// builds of the same major version. Checksums on, as from version 18 on by default, so that pg_upgrade finds them equal.
fn initdb(dir: &Path, accounts: &Accounts, binaries: &Binaries) -> Command {
    let mut command = Command::new(binaries.dir.join("initdb"));
    command.arg("-D").arg(dir).args(["-U", ROLE, "--auth=peer", "--locale=C", "--encoding=UTF8", "--data-checksums"]);
    command.env_clear().envs(server_env()).current_dir(dir);
    accounts.become_server(&mut command);
    end_with_this_thread(&mut command, Signal::KILL);
    command
}

/// The whole environment of the server's programs: nothing of ours, in which settings of other databases may be.
pub(crate) fn server_env() -> [(&'static str, OsString); 3] {
    [("PATH", "/usr/bin:/bin".into()), ("LC_ALL", "C".into()), ("TZ", "UTC".into())]
}

/// Whether a socket in this directory has a path that the system takes, and that needs no quoting in a list of
/// directories or of hosts.
fn socket_fits(dir: &Path) -> bool {
    let plain = dir.to_str().is_some_and(|text| !text.contains([',', '"', '\n']) && text.trim() == text);
    plain && dir.join(format!(".s.PGSQL.{PORT}")).as_os_str().len() <= SOCKET_PATH_BYTES
}

/// A short directory for the socket of a data directory whose own path is too long.
fn short_dir(data_dir: &Path, owner: &str) -> PathBuf {
    let digest =
        Sha256::new().chain_update(owner).chain_update([0]).chain_update(data_dir.as_os_str().as_encoded_bytes());
    let name: String = digest.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    PathBuf::from(format!("/tmp/boocoder-pg-{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_is_exclusive_and_names_its_holder() {
        let dir = tempfile::tempdir().unwrap();
        let held = DataDir::lock(dir.path()).unwrap();
        let Err(LocalPgError::DataDirInUse { pid, .. }) = DataDir::lock(dir.path()) else { panic!("taken twice") };
        assert_eq!(pid, Some(std::process::id()));
        drop(held);
        DataDir::lock(dir.path()).unwrap();
    }

    #[test]
    fn a_socket_needs_a_short_and_plain_path() {
        let long = format!("/{}", "x".repeat(90));
        for (dir, fits) in [
            ("/var/lib/boocoder/run", true),
            ("/Users/a/Library/Application Support/run", true),
            ("/with,comma/run", false),
            ("/with\"quote/run", false),
            (long.as_str(), false),
        ] {
            assert_eq!(socket_fits(Path::new(dir)), fits, "{dir}");
        }
        let short = short_dir(Path::new(&long), "a");
        assert!(socket_fits(&short));
        assert_ne!(short, short_dir(Path::new(&long), "b"), "two users do not share a directory");
    }
}
