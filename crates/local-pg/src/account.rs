//! The user this process runs as, and the account the server runs as: the same, except for root.

use std::ffi::OsStr;
use std::path::Path;

use rustix::process::{Gid, Uid, geteuid};
use tokio::process::Command;

use crate::cluster::Existing;
use crate::config::LocalPgConfig;
use crate::error::{IoContext, LocalPgError, chain};
use crate::limits::Limits;
use crate::program::{run, tool_path};

/// Accounts that root becomes when none is named: the usual one of PostgreSQL, else the one that every system has.
const ACCOUNTS: [&str; 2] = ["postgres", "nobody"];

/// The two users at work.
#[derive(Clone, Debug)]
pub(crate) struct Accounts {
    /// The user of this process, who connects to the server.
    pub(crate) owner: Account,
    /// The account the server runs as.
    pub(crate) server: Account,
}

/// A user with a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) name: String,
    uid: u32,
    gid: u32,
}

impl Accounts {
    /// Decides who runs the server on `cluster`. A cluster that is there already keeps its owner, so that an account
    /// that is installed later does not shut it out.
    pub(crate) async fn decide(
        config: &LocalPgConfig,
        cluster: &Path,
        existing: Option<Existing>,
    ) -> Result<Self, LocalPgError> {
        let LocalPgConfig { search_path, limits, run_as, .. } = config;
        let cluster_owner = existing.map(|existing| existing.owner);
        let uid = geteuid().as_raw();
        let owner = Account::look_up(&uid.to_string(), search_path, limits).await?;
        if uid != 0 {
            return match cluster_owner {
                Some(other) if other != uid => Err(LocalPgError::NotOwner { dir: cluster.to_owned(), uid: other }),
                Some(_) | None => Ok(Self { server: owner.clone(), owner }),
            };
        }
        let kept = cluster_owner.filter(|uid| *uid != 0).map(|uid| uid.to_string());
        let names: Vec<&str> = match (kept.as_deref(), run_as.as_deref()) {
            (Some(kept), _) => vec![kept],
            (None, Some(name)) => vec![name],
            (None, None) => ACCOUNTS.to_vec(),
        };
        for name in &names {
            match Account::look_up(name, search_path, limits).await {
                Ok(server) if server.uid != 0 => return Ok(Self { owner, server }),
                Ok(_) => tracing::debug!(name, "this account is root's own"),
                Err(error) => tracing::debug!(name, %error, "no such account"),
            }
        }
        Err(LocalPgError::NoAccount { reason: format!("this process is root, and there is none of {names:?}") })
    }

    /// Whether the server runs as somebody else than this process.
    pub(crate) fn differ(&self) -> bool {
        self.owner != self.server
    }

    /// Whether this is the user id of the server's account.
    pub(crate) fn is_server(&self, uid: u32) -> bool {
        self.server.uid == uid
    }

    /// Whether this is the user id of this process.
    pub(crate) fn is_owner(&self, uid: u32) -> bool {
        self.owner.uid == uid
    }

    /// Has `command` run as the server's account, with no groups but its own.
    pub(crate) fn become_server(&self, command: &mut Command) {
        if self.differ() {
            command.uid(self.server.uid).gid(self.server.gid);
        }
    }

    /// Hands a directory to the server's account.
    pub(crate) fn hand_over(&self, dir: &Path) -> Result<(), LocalPgError> {
        if self.differ() {
            let (uid, gid) = (Uid::from_raw(self.server.uid), Gid::from_raw(self.server.gid));
            rustix::fs::chown(dir, Some(uid), Some(gid)).map_err(Into::into).at("change the owner of", dir)?;
        }
        Ok(())
    }

    /// Checks that the server's account can enter `dir` by entering it; the error names the first closed directory.
    pub(crate) async fn check_entry(
        &self,
        dir: &Path,
        search_path: &OsStr,
        limits: &Limits,
    ) -> Result<(), LocalPgError> {
        let Err(error) = self.enter(dir, search_path, limits).await else { return Ok(()) };
        let mut on_the_way: Vec<&Path> = dir.ancestors().collect();
        on_the_way.reverse();
        for path in on_the_way {
            if self.enter(path, search_path, limits).await.is_err() {
                return Err(LocalPgError::Closed { path: path.to_owned(), account: self.server.name.clone() });
            }
        }
        Err(error)
    }

    async fn enter(&self, dir: &Path, search_path: &OsStr, limits: &Limits) -> Result<(), LocalPgError> {
        let mut command = Command::new("true");
        command.env("PATH", tool_path(search_path)).current_dir(dir);
        self.become_server(&mut command);
        run(command, limits.probe).await.map(drop)
    }
}

impl Account {
    /// Looks an account up by its name or number. `id` asks whatever directory service the system uses.
    async fn look_up(who: &str, search_path: &OsStr, limits: &Limits) -> Result<Self, LocalPgError> {
        let ask = async |flag: &str| {
            let mut command = Command::new("id");
            command.args([flag, who]).env("PATH", tool_path(search_path)).env("LC_ALL", "C");
            run(command, limits.probe)
                .await
                .map(|text| text.trim().to_owned())
                .map_err(|error| no_account(who, &chain(&error)))
        };
        let number = |text: String| text.parse().map_err(|error| no_account(who, &error));
        let name = ask("-un").await?;
        if name.is_empty() || name.contains(['"', '\n']) {
            return Err(no_account(who, &"its name cannot be written into PostgreSQL's user map"));
        }
        Ok(Self { uid: number(ask("-u").await?)?, gid: number(ask("-g").await?)?, name })
    }
}

fn no_account(who: &str, reason: &dyn std::fmt::Display) -> LocalPgError {
    LocalPgError::NoAccount { reason: format!("account {who}: {reason}") }
}
