//! What is left of the agents of a program that was killed and could not end them itself.

use std::time::Duration;

use rustix::process::{Signal, getpid};
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::table::{Processes, descendants, signal_all, table, variable};
use crate::limits::{LEFTOVERS_PAUSE, SWEEP_ROUNDS};

/// The variable that says whose agents a process and, by inheritance, its descendants belong to.
pub const OWNER: &str = "BOOCODER_OWNER";

/// The variable that says which runner a process is. Nothing inherits it: an agent's environment is made anew.
pub(crate) const RUNNER: &str = "BOOCODER_RUNNER";

/// Ends what an earlier program left running of its agents, which it had started through a backend that was
/// [`owned_by`](crate::AcpBackend::owned_by) the same `owner`, itself or through runners. Says how many processes there
/// were. Where runners may still live, [`RunnerBackend::end_leftovers`](crate::runner::RunnerBackend::end_leftovers)
/// spares their agents.
///
/// They are asked by SIGTERM, have `limit` to end, and are killed after that. This process and its descendants are
/// spared, and so is what was started for another owner. Call it while no other program acts for this owner, and before
/// the first session is opened: a lock on whatever the owner stands for makes sure of the one, and a place early in
/// the start of the other.
///
/// Processes are found by the environment that they were started with, which only Linux shows; elsewhere none are found.
pub async fn end_leftovers(owner: &str, limit: Duration) -> usize {
    end(Whose::Owner { owner: owner.to_owned(), living: Vec::new() }, limit).await
}

/// Whose processes are to be ended.
#[derive(Clone, Debug)]
pub(crate) enum Whose {
    /// What an earlier program left: of agents of its own, and of those of its runners, except the runners that live.
    Owner {
        /// The program.
        owner: String,
        /// The runners that live.
        living: Vec<Uuid>,
    },
    /// The agents of one runner that has died. They may have become children of this very process, if it is the one
    /// that orphans are given to.
    Agents(String),
    /// One runner.
    Runner(String),
}

impl Whose {
    /// The variable to go by.
    const fn variable(&self) -> &'static str {
        match self {
            Self::Owner { .. } | Self::Agents(_) => OWNER,
            Self::Runner(_) => RUNNER,
        }
    }

    /// Whether a process with this value of the variable is meant.
    fn is_meant(&self, value: &[u8]) -> bool {
        match self {
            Self::Owner { owner, living } => match value.strip_prefix(owner.as_bytes()) {
                Some(b"") => true,
                // A mark that only begins like ours is that of an owner with a longer name.
                Some([b'/', id @ ..]) => Uuid::try_parse_ascii(id).is_ok_and(|id| !living.contains(&id)),
                Some(_) | None => false,
            },
            Self::Agents(mark) | Self::Runner(mark) => value == mark.as_bytes(),
        }
    }

    /// Whether what they started without a mark of its own is meant, too.
    const fn has_family(&self) -> bool {
        match self {
            Self::Owner { .. } | Self::Agents(_) => true,
            Self::Runner(_) => false,
        }
    }

    /// Whether the descendants of this process are spared.
    const fn spares_ours(&self) -> bool {
        matches!(self, Self::Owner { .. })
    }
}

/// Ends them: by SIGTERM, and after `limit` by SIGKILL. Says how many there were.
pub(crate) async fn end(whose: Whose, limit: Duration) -> usize {
    let mut seen = Processes::new();
    let politely = async {
        loop {
            let living = look(&whose, &seen).await;
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
        let living = look(&whose, &seen).await;
        if living.is_empty() {
            return seen.len();
        }
        signal_all(&living, Signal::KILL);
        seen.extend(living);
        sleep(LEFTOVERS_PAUSE).await;
    }
    tracing::warn!(?whose, "processes that an earlier program left behind are still there");
    seen.len()
}

/// Those that live now, as [`find`] finds them.
async fn look(whose: &Whose, seen: &Processes) -> Processes {
    let (whose, seen) = (whose.clone(), seen.clone());
    match tokio::task::spawn_blocking(move || find(&whose, seen)).await {
        Ok(living) => living,
        Err(error) => {
            tracing::warn!(%error, "the process table was not read");
            Processes::new()
        }
    }
}

/// The leftovers that live: all that carry the mark, and what they started without any. Those `seen` before count
/// although their parent may be gone.
fn find(whose: &Whose, seen: Processes) -> Processes {
    let table = table();
    let this = getpid().as_raw_pid();
    let own = if whose.spares_ours() { descendants(&table, [this].into(), |_| true) } else { Processes::new() };
    let is_own = |pid: i32| pid == this || own.contains_key(&pid);
    let mut living = seen;
    living.retain(|pid, started| table.get(pid).is_some_and(|row| row.started == *started));
    for (pid, row) in &table {
        if !is_own(*pid) && variable(*pid, whose.variable()).is_some_and(|mark| whose.is_meant(&mark)) {
            living.insert(*pid, row.started);
        }
    }
    if whose.has_family() {
        let ancestors = living.keys().copied().collect();
        living.extend(descendants(&table, ancestors, |pid| !is_own(pid) && variable(pid, OWNER).is_none()));
    }
    living
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_s_mark_is_told_from_those_of_its_runners_and_of_others() {
        let [living, dead] = [1, 2].map(Uuid::from_u128);
        let whose = Whose::Owner { owner: "/srv/data".into(), living: vec![living] };
        let is_meant = |mark: &str| whose.is_meant(mark.as_bytes());
        assert!(is_meant("/srv/data") && is_meant(&format!("/srv/data/{dead}")));
        assert!(!is_meant(&format!("/srv/data/{living}")), "its runner lives");
        for other in ["/srv/data/nested", "/srv/database", "/srv", "", "/srv/data/", &format!("/srv/data/x/{dead}")] {
            assert!(!is_meant(other), "{other}");
        }
    }
}
