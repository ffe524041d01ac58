//! What the tests share: a place for a database, a client, and a look at the system's processes.

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use boocoder_local_pg::LocalPgConfig;
use tempfile::TempDir;
use tokio_postgres::{Client, NoTls};

/// How long a test waits for something that happens soon; slow machines included.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// The pause between two looks at something.
pub(crate) const LOOK: Duration = Duration::from_millis(10);

/// A directory of a test's own, which every account may enter.
pub(crate) fn place() -> TempDir {
    tempfile::Builder::new().prefix("lpg-").permissions(Permissions::from_mode(0o755)).tempdir().unwrap()
}

#[expect(clippy::disallowed_methods, reason = "a test is a shell: its search path is that of whoever runs it")]
pub(crate) fn search_path() -> OsString {
    std::env::var_os("PATH").unwrap()
}

/// A database in a place, from what is installed on this machine.
pub(crate) fn config(place: &Path) -> LocalPgConfig {
    let mut config = LocalPgConfig::new(place.join("postgres"), place.join("cache"));
    config.search_path = search_path();
    config
}

pub(crate) fn cluster(config: &LocalPgConfig) -> PathBuf {
    config.data_dir.join("cluster")
}

pub(crate) async fn connect(connection_string: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(connection_string, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

pub(crate) async fn text(client: &Client, query: &str) -> String {
    client.query_one(query, &[]).await.unwrap().get(0)
}

pub(crate) async fn count(client: &Client, table: &str) -> i64 {
    client.query_one(&format!("SELECT count(*) FROM {table}"), &[]).await.unwrap().get(0)
}

/// The process id of the server on a cluster, from its lock file.
pub(crate) fn postmaster(cluster: &Path) -> i32 {
    let lock = fs::read_to_string(cluster.join("postmaster.pid")).unwrap();
    lock.lines().next().unwrap().parse().unwrap()
}

pub(crate) fn kill(pid: i32, signal: rustix::process::Signal) {
    rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), signal).unwrap();
}

/// No process at all.
pub(crate) const NONE: [i32; 0] = [];

/// The processes that have a directory as their working directory, as the server and its children have the cluster.
pub(crate) fn processes_in(dir: &Path) -> Vec<i32> {
    let Ok(place) = dir.metadata() else { return Vec::new() };
    let pids = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let works_here = |pid: &i32| {
        let cwd = fs::metadata(format!("/proc/{pid}/cwd"));
        cwd.is_ok_and(|cwd| (cwd.dev(), cwd.ino()) == (place.dev(), place.ino()))
    };
    pids.filter(works_here).collect()
}

/// Waits until something holds.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let held = async {
        while !holds() {
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(SOON, held).await.unwrap_or_else(|_| panic!("waited in vain until {what}"));
}
