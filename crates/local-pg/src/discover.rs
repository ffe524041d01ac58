//! Finding the servers that are installed on this machine.
//!
//! [`Places::candidates`] lists directories that may hold one, in the order of trust; [`find`] keeps those whose
//! `postgres` really runs; [`choose`] picks one.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::account::Accounts;
use crate::cluster::server_env;
use crate::error::{LocalPgError, chain};
use crate::limits::Limits;
use crate::program::run;
use crate::version::{MIN_MAJOR, Version};

/// Where installers of the various systems put servers. A `*` stands for any ending of that one component.
const USUAL_PLACES: [&str; 13] = [
    "usr/lib/postgresql/*/bin",
    "usr/pgsql-*/bin",
    "usr/lib/postgresql*/bin",
    "usr/libexec/postgresql*",
    "usr/local/pgsql/bin",
    "usr/local/pgsql-*/bin",
    "opt/homebrew/opt/postgresql@*/bin",
    "usr/local/opt/postgresql@*/bin",
    "home/linuxbrew/.linuxbrew/opt/postgresql@*/bin",
    "Applications/Postgres.app/Contents/Versions/*/bin",
    "opt/local/lib/postgresql*/bin",
    "Library/PostgreSQL/*/bin",
    "opt/postgresql/*/bin",
];

/// The same below a home directory.
const PLACES_AT_HOME: [&str; 4] = [
    "Applications/Postgres.app/Contents/Versions/*/bin",
    ".pgenv/pgsql-*/bin",
    ".asdf/installs/postgres/*/bin",
    ".local/share/mise/installs/postgres/*/bin",
];

/// The parts of the environment in which servers are looked for.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    /// The root of the file system; another directory in tests.
    pub(crate) root: PathBuf,
    /// The search path, as in `PATH`.
    pub(crate) search_path: OsString,
    /// The home directory, if there is one.
    pub(crate) home: Option<PathBuf>,
}

/// A directory that may hold a server, and what led there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) dir: PathBuf,
    pub(crate) found: &'static str,
}

/// A server that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Binaries {
    pub(crate) dir: PathBuf,
    pub(crate) version: Version,
    /// How it was found, for the log.
    pub(crate) source: String,
}

/// What a look at some candidates gave.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) usable: Vec<Binaries>,
    /// Why the others are not usable, one entry each.
    pub(crate) rejected: Vec<String>,
}

impl Places {
    /// The directories that may hold a server: those on the search path, those that a `pg_config` on it names, then the
    /// usual places. Each stands once, at its first mention.
    pub(crate) async fn candidates(&self, limits: &Limits) -> Vec<Candidate> {
        let mut all = Vec::new();
        let on_path: Vec<PathBuf> = std::env::split_paths(&self.search_path).filter(|dir| dir.is_absolute()).collect();
        all.extend(on_path.iter().map(|dir| (dir.clone(), "on the search path")));
        for pg_config in on_path.iter().map(|dir| dir.join("pg_config")).filter(|file| file.is_file()) {
            let mut command = Command::new(&pg_config);
            command.arg("--bindir").env("PATH", &self.search_path);
            match run(command, limits.probe).await {
                Ok(dir) => all.push((PathBuf::from(dir.trim()), "named by pg_config")),
                Err(error) => tracing::debug!(pg_config = %pg_config.display(), %error, "does not name a directory"),
            }
        }
        for pattern in USUAL_PLACES {
            all.extend(expand(&self.root, pattern).into_iter().map(|dir| (dir, "in a usual place")));
        }
        for (home, pattern) in self.home.iter().flat_map(|home| PLACES_AT_HOME.map(|pattern| (home, pattern))) {
            all.extend(expand(home, pattern).into_iter().map(|dir| (dir, "in the home directory")));
        }
        let mut candidates: Vec<Candidate> = Vec::new();
        for (dir, found) in all {
            if let Some(dir) = server_dir(&dir).filter(|dir| candidates.iter().all(|earlier| earlier.dir != *dir)) {
                candidates.push(Candidate { dir, found });
            }
        }
        candidates
    }
}

/// The directories that a caller named: each may be the one of the programs or the one above it.
pub(crate) fn named(dirs: &[PathBuf]) -> Vec<Candidate> {
    let programs = |dir: &PathBuf| server_dir(dir).or_else(|| server_dir(&dir.join("bin"))).unwrap_or(dir.clone());
    dirs.iter().map(|dir| Candidate { dir: programs(dir), found: "named" }).collect()
}

/// Runs `postgres -V` of each candidate as the account that is to run the server, and keeps those that are new enough.
pub(crate) async fn find(candidates: Vec<Candidate>, accounts: &Accounts, limits: &Limits) -> Found {
    let mut outcome = Found::default();
    for Candidate { dir, found } in candidates {
        match probe(&dir, accounts, limits).await {
            Ok(version) if version.major >= MIN_MAJOR => {
                let source = format!("PostgreSQL {version} in {} ({found})", dir.display());
                outcome.usable.push(Binaries { dir, version, source });
            }
            Ok(version) => outcome.rejected.push(format!("{} is of version {version}", dir.display())),
            Err(error) => outcome.rejected.push(format!("{}: {}", dir.display(), chain(&error))),
        }
    }
    outcome
}

/// The newest server, of the given major version if one is given; among equals the first.
pub(crate) fn choose(usable: &[Binaries], major: Option<u32>) -> Option<&Binaries> {
    let fits = |binaries: &&Binaries| major.is_none_or(|major| binaries.version.major == major);
    usable.iter().rev().filter(fits).max_by_key(|binaries| binaries.version)
}

async fn probe(dir: &Path, accounts: &Accounts, limits: &Limits) -> Result<Version, LocalPgError> {
    let mut command = Command::new(dir.join("postgres"));
    command.arg("-V").env_clear().envs(server_env()).current_dir("/");
    accounts.become_server(&mut command);
    let line = run(command, limits.probe).await?;
    Version::parse(&line).ok_or_else(|| LocalPgError::Package {
        package: dir.join("postgres").display().to_string(),
        reason: format!("it gives its version as {:?}", line.trim()),
    })
}

/// The directory in which `postgres` and `initdb` really are, if `dir` leads to both. Links are followed, because a
/// server finds its libraries and files from the place it is in.
fn server_dir(dir: &Path) -> Option<PathBuf> {
    let has_both = |dir: &Path| dir.join("postgres").is_file() && dir.join("initdb").is_file();
    let real = dir.join("postgres").canonicalize().ok()?.parent()?.to_owned();
    if has_both(&real) { Some(real) } else { has_both(dir).then(|| dir.to_owned()) }
}

/// The directories that a pattern with at most one `*` in a component stands for, in the order of their names.
fn expand(root: &Path, pattern: &str) -> Vec<PathBuf> {
    let mut dirs = vec![root.to_owned()];
    for component in pattern.split('/') {
        dirs = match component.split_once('*') {
            None => dirs.into_iter().map(|dir| dir.join(component)).collect(),
            Some((start, _)) => dirs.iter().flat_map(|dir| entries_starting(dir, start)).collect(),
        };
    }
    dirs.retain(|dir| dir.is_dir());
    dirs
}

fn entries_starting(dir: &Path, start: &str) -> Vec<PathBuf> {
    let Ok(entries) = dir.read_dir() else { return Vec::new() };
    let fits = |name: &OsString| name.as_encoded_bytes().starts_with(start.as_bytes());
    let mut names: Vec<OsString> = entries.flatten().map(|entry| entry.file_name()).filter(fits).collect();
    names.sort();
    names.into_iter().map(|name| dir.join(name)).collect()
}

#[cfg(test)]
mod tests;
