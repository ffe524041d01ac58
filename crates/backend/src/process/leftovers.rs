//! What is left of the agents of a program that was killed and could not end them itself.

use std::time::Duration;

use rustix::process::{Signal, getpid};
use tokio::time::{sleep, timeout};

use super::table::{Processes, descendants, signal_all, table, variable};
use crate::limits::{LEFTOVERS_PAUSE, SWEEP_ROUNDS};

/// The variable that says whose agents a process and, by inheritance, its descendants belong to.
pub(super) const OWNER: &str = "BOOCODER_OWNER";

/// Ends what an earlier program left running of its agents, which it had started through a backend that was
/// [`owned_by`](crate::AcpBackend::owned_by) the same `owner`. Says how many processes there were.
///
/// They are asked by SIGTERM, have `limit` to end, and are killed after that. This process and its descendants are
/// spared, and so is what was started for another owner. Call it while no other program acts for this owner, and before
/// the first session is opened: a lock on whatever the owner stands for makes sure of the one, and a place early in
/// the start of the other.
///
/// Processes are found by the environment that they were started with, which only Linux shows; elsewhere none are found.
pub async fn end_leftovers(owner: &str, limit: Duration) -> usize {
    let mut seen = Processes::new();
    let politely = async {
        loop {
            let living = look(owner, &seen).await;
            if living.is_empty() {
                return;
            }
            // Each is asked once: many programs take a second SIGTERM for impatience.
            let new = living.into_iter().filter(|(pid, started)| seen.get(pid) != Some(started)).collect();
            signal_all(&new, Signal::TERM);
            seen.extend(new);
            sleep(LEFTOVERS_PAUSE).await;
        }
    };
    if timeout(limit, politely).await.is_ok() {
        return seen.len();
    }
    for _ in 0..SWEEP_ROUNDS {
        let living = look(owner, &seen).await;
        if living.is_empty() {
            return seen.len();
        }
        signal_all(&living, Signal::KILL);
        seen.extend(living);
        sleep(LEFTOVERS_PAUSE).await;
    }
    tracing::warn!(owner, "processes of agents that an earlier program left behind are still there");
    seen.len()
}

/// Those that live now, as [`find`] finds them.
async fn look(owner: &str, seen: &Processes) -> Processes {
    let (owner, seen) = (owner.as_bytes().to_vec(), seen.clone());
    match tokio::task::spawn_blocking(move || find(&owner, seen)).await {
        Ok(living) => living,
        Err(error) => {
            tracing::warn!(%error, "the process table was not read");
            Processes::new()
        }
    }
}

/// The leftovers that live: all that carry the owner's mark, and what they started without any. Those `seen` before
/// count although their parent may be gone.
fn find(owner: &[u8], seen: Processes) -> Processes {
    let table = table();
    let this = getpid().as_raw_pid();
    let own = descendants(&table, [this].into(), |_| true);
    let is_own = |pid: i32| pid == this || own.contains_key(&pid);
    let mut living = seen;
    living.retain(|pid, started| table.get(pid).is_some_and(|row| row.started == *started));
    for (pid, row) in &table {
        if !is_own(*pid) && variable(*pid, OWNER).is_some_and(|mark| mark == owner) {
            living.insert(*pid, row.started);
        }
    }
    let ancestors = living.keys().copied().collect();
    living.extend(descendants(&table, ancestors, |pid| !is_own(pid) && variable(pid, OWNER).is_none()));
    living
}
