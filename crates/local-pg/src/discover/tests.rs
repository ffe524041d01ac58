//! Discovery against made-up file systems, with shell scripts for servers.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};

use tempfile::TempDir;

use super::*;
use crate::config::LocalPgConfig;

/// A file system with nothing in it, which every account may read.
fn root() -> TempDir {
    tempfile::Builder::new().permissions(Permissions::from_mode(0o755)).tempdir().unwrap()
}

fn script(file: &Path, body: &str) {
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, format!("#!/bin/sh\n{body}\n")).unwrap();
    fs::set_permissions(file, Permissions::from_mode(0o755)).unwrap();
}

/// Installs a server that says it is of this version, and returns its real directory.
fn install(root: &TempDir, dir: &str, version: &str) -> PathBuf {
    let dir = root.path().join(dir);
    script(&dir.join("postgres"), &format!("echo 'postgres (PostgreSQL) {version}'"));
    script(&dir.join("initdb"), "exit 1");
    dir.canonicalize().unwrap()
}

async fn accounts(root: &TempDir) -> Accounts {
    let mut config = LocalPgConfig::new(root.path(), root.path());
    config.run_as = Some("nobody".to_owned());
    Accounts::decide(&config, root.path(), None).await.unwrap()
}

fn dirs(candidates: &[Candidate]) -> Vec<(&Path, &str)> {
    candidates.iter().map(|candidate| (candidate.dir.as_path(), candidate.found)).collect()
}

fn binaries(dir: &str, major: u32, minor: u32) -> Binaries {
    Binaries { dir: dir.into(), version: Version { major, minor }, source: String::new() }
}

#[tokio::test]
async fn candidates_come_in_order_and_each_once() {
    let root = root();
    let on_path = install(&root, "tools/bin", "16.1");
    let configured = install(&root, "elsewhere/pg", "16.2");
    let debian_15 = install(&root, "usr/lib/postgresql/15/bin", "15.9");
    let debian_17 = install(&root, "usr/lib/postgresql/17/bin", "17.2");
    let red_hat = install(&root, "usr/pgsql-16/bin", "16.4");
    let homebrew = install(&root, "opt/homebrew/opt/postgresql@17/bin", "17.1");
    let app = install(&root, "home/me/Applications/Postgres.app/Contents/Versions/16/bin", "16.9");
    // A second way to the same server, a directory without initdb, and a pg_config that fails.
    let links = root.path().join("links");
    fs::create_dir_all(&links).unwrap();
    symlink(debian_15.join("postgres"), links.join("postgres")).unwrap();
    script(&root.path().join("usr/lib/postgresql/18/bin/postgres"), "echo 'postgres (PostgreSQL) 18.1'");
    script(&links.join("pg_config"), &format!("echo {}", configured.display()));
    script(&on_path.join("pg_config"), "exit 1");

    let places = Places {
        root: root.path().to_owned(),
        search_path: std::env::join_paths([&on_path, &links, Path::new("relative")]).unwrap(),
        home: Some(root.path().join("home/me")),
    };
    let candidates = places.candidates(&Limits::default()).await;
    assert_eq!(
        dirs(&candidates),
        [
            (on_path.as_path(), "on the search path"),
            (debian_15.as_path(), "on the search path"),
            (configured.as_path(), "named by pg_config"),
            (debian_17.as_path(), "in a usual place"),
            (red_hat.as_path(), "in a usual place"),
            (homebrew.as_path(), "in a usual place"),
            (app.as_path(), "in the home directory"),
        ]
    );
}

#[tokio::test]
async fn only_servers_that_run_and_are_new_enough_are_usable() {
    let root = root();
    let good = install(&root, "good", "15.2 (Debian 15.2-1)");
    let old = install(&root, "old", "14.9");
    let broken = install(&root, "broken", "16.1");
    script(&broken.join("postgres"), "echo 'error while loading shared libraries' >&2; exit 127");
    let odd = install(&root, "odd", "16.1");
    script(&odd.join("postgres"), "echo hello");
    let closed = install(&root, "closed/bin", "17.1");
    fs::set_permissions(closed.join("postgres"), Permissions::from_mode(0o600)).unwrap();
    let above = root.path().join("closed");

    let candidates = named(&[good.clone(), old, broken, odd, above, root.path().join("absent")]);
    assert_eq!(candidates[4].dir, closed, "the directory above the programs will do");
    let found = find(candidates, &accounts(&root).await, &Limits::default()).await;
    let usable: Vec<&Path> = found.usable.iter().map(|binaries| binaries.dir.as_path()).collect();
    assert_eq!(usable, [good.as_path()]);
    assert!(found.usable[0].source.contains("15.2"), "{}", found.usable[0].source);
    for (reason, part) in found.rejected.iter().zip(["14.9", "shared libraries", "hello", "could not run", "absent"]) {
        assert!(reason.contains(part), "{reason:?} does not say {part:?}");
    }
    assert_eq!(found.rejected.len(), 5);
}

#[test]
fn the_newest_wins_and_among_equals_the_first() {
    let all = [binaries("a", 15, 3), binaries("b", 17, 1), binaries("c", 17, 1), binaries("d", 16, 9)];
    let pick = |major| choose(&all, major).map(|binaries| binaries.dir.to_str().unwrap());
    assert_eq!(pick(None), Some("b"));
    assert_eq!(pick(Some(15)), Some("a"), "data decides the major version");
    assert_eq!(pick(Some(14)), None);
    assert_eq!(choose(&[], None), None);
}
