//! What an earlier server left behind: processes still at work on the data, and lock files of dead ones.
//!
//! All of this is only for the holder of the lock on the data directory: then whatever is found belongs to a server
//! whose keeper is dead. A server that still runs is shut down rather than adopted, so that a running server is always
//! a child of this process, with its settings and its death signal.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tokio::process::Command;
use tokio::time::{sleep, timeout};

use crate::error::{IoContext, LocalPgError};
use crate::limits::{KILLED, Limits, POLL};
use crate::program::run;

/// The programs of PostgreSQL that work on a cluster.
const PROGRAMS: [&str; 2] = ["postgres", "initdb"];

/// Ends every process that still works on the cluster in `dir`, then removes a lock file that would mislead a new
/// server.
pub(crate) async fn clear(dir: &Path, limits: &Limits) -> Result<(), LocalPgError> {
    end_processes(dir, limits).await?;
    let lock = dir.join("postmaster.pid");
    let Some(pid) = lock_owner(&lock) else { return Ok(()) };
    // PostgreSQL itself removes the lock of a process that is gone, after it has made sure that no orphan of it is
    // left. What it cannot see is that the number belongs to a zombie, or by now to some other process.
    if test_kill_process(pid) != Err(rustix::io::Errno::SRCH) {
        tracing::info!(%pid, "removing the lock file of a dead database server");
        fs::remove_file(&lock).at("remove", &lock)?;
    }
    Ok(())
}

async fn end_processes(dir: &Path, limits: &Limits) -> Result<(), LocalPgError> {
    let processes = processes_in(dir).await?;
    let Some(first) = processes.first() else { return Ok(()) };
    tracing::info!(count = processes.len(), %first, "ending what is left of an earlier database server");
    // To the postmaster SIGINT is a fast shutdown, which ends its children too. Without one its children end by
    // themselves, and SIGTERM hurries them.
    let postmaster = lock_owner(&dir.join("postmaster.pid")).filter(|pid| processes.contains(pid));
    let (gently, signal) = postmaster.map_or((processes.clone(), Signal::TERM), |pid| (vec![pid], Signal::INT));
    send(&gently, signal);
    if all_gone(dir, limits.stop).await? {
        return Ok(());
    }
    for (signal, limit) in [(Signal::QUIT, limits.quit), (Signal::KILL, KILLED)] {
        send(&processes_in(dir).await?, signal);
        if all_gone(dir, limit).await? {
            return Ok(());
        }
    }
    processes_in(dir)
        .await?
        .first()
        .map_or(Ok(()), |pid| Err(LocalPgError::StillRunning { pid: pid.as_raw_nonzero().get(), dir: dir.to_owned() }))
}

/// Sends a signal to each process. One that is gone meanwhile needs none, and one that may not be signalled is still
/// there when the limit is over, which is reported then.
fn send(processes: &[Pid], signal: Signal) {
    for pid in processes {
        if let Err(error) = kill_process(*pid, signal) {
            tracing::debug!(%pid, ?signal, %error, "not signalled");
        }
    }
}

/// Waits until no process works on the cluster; `false` when the limit is over first.
async fn all_gone(dir: &Path, limit: Duration) -> Result<bool, LocalPgError> {
    let gone = async {
        while !processes_in(dir).await?.is_empty() {
            sleep(POLL).await;
        }
        Ok(true)
    };
    timeout(limit, gone).await.unwrap_or(Ok(false))
}

/// The process that a `postmaster.pid` names.
pub(crate) fn lock_owner(lock: &Path) -> Option<Pid> {
    let text = fs::read_to_string(lock).ok()?;
    Pid::from_raw(text.lines().next()?.trim().parse().ok()?)
}

/// The living processes of PostgreSQL that work on the cluster in `dir`; zombies are not among them.
async fn processes_in(dir: &Path) -> Result<Vec<Pid>, LocalPgError> {
    if cfg!(target_os = "linux") { from_proc(dir) } else { from_ps(dir).await }
}

/// On Linux by their working directory, which is the cluster for the postmaster and all its children.
fn from_proc(dir: &Path) -> Result<Vec<Pid>, LocalPgError> {
    let proc = Path::new("/proc");
    let place = dir.metadata().at("read", dir)?;
    let works_here = |pid: &Pid| -> io::Result<bool> {
        let process = proc.join(pid.to_string());
        let name = fs::read_to_string(process.join("comm"))?;
        let cwd = process.join("cwd").metadata()?;
        Ok(PROGRAMS.contains(&name.trim()) && (cwd.dev(), cwd.ino()) == (place.dev(), place.ino()))
    };
    let entries = fs::read_dir(proc).at("read", proc)?;
    let pids = entries.flatten().filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?));
    // A process that ends while it is looked at, a zombie and a process of somebody else give errors: not ours.
    Ok(pids.filter(|pid| works_here(pid).unwrap_or(false)).collect())
}

/// Elsewhere by their arguments, which name the cluster for the postmaster and for initdb. Children are not seen; they
/// end with the postmaster, and a new server refuses to start beside them.
async fn from_ps(dir: &Path) -> Result<Vec<Pid>, LocalPgError> {
    let mut ps = Command::new("ps");
    ps.args(["-axww", "-o", "pid=,args="]).env("LC_ALL", "C");
    Ok(in_listing(&run(ps, KILLED).await?, dir))
}

/// The processes of PostgreSQL on the cluster in `dir` among lines of a process id and arguments.
fn in_listing(listing: &str, dir: &Path) -> Vec<Pid> {
    let here = format!(" -D {}", dir.display());
    let works_here = |args: &str| {
        let named = args.split_once(&here).filter(|(_, rest)| rest.is_empty() || rest.starts_with(' '));
        let program = named.and_then(|(program, _)| program.rsplit('/').next());
        program.is_some_and(|program| PROGRAMS.contains(&program))
    };
    let processes = listing.lines().filter_map(|line| line.trim().split_once(' '));
    processes.filter(|(_, args)| works_here(args)).filter_map(|(pid, _)| Pid::from_raw(pid.parse().ok()?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_is_searched_for_programs_on_this_cluster() {
        let listing = "\
    1 /sbin/launchd
  210 /Applications/Postgres.app/Contents/Versions/16/bin/postgres -D /Users/me/Library/My Data/cluster -c port=5432
  211 postgres: checkpointer
  320 /opt/homebrew/bin/postgres -D /Users/me/Library/My Data/cluster.new -c port=5432
  321 /opt/homebrew/bin/initdb -D /Users/me/Library/My Data/cluster
  400 tail -f /Users/me/Library/My Data/cluster
  401 less -D /Users/me/Library/My Data/cluster
";
        let found = in_listing(listing, Path::new("/Users/me/Library/My Data/cluster"));
        assert_eq!(found.iter().map(|pid| pid.as_raw_nonzero().get()).collect::<Vec<_>>(), [210, 321]);
    }

    #[tokio::test]
    async fn both_ways_to_look_find_nothing_in_a_quiet_directory() {
        let dir = tempfile::tempdir().unwrap();
        let here = dir.path().canonicalize().unwrap();
        assert_eq!(from_ps(&here).await.unwrap(), []);
        assert_eq!(processes_in(&here).await.unwrap(), []);
    }
}
