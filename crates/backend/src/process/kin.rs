//! Who belongs to a process: its group, its descendants, and all that carry its mark.
//!
//! Without a process table only the group is known, which the supervisor signals by its id anyway.

use rustix::process::{Pid, Signal};
use uuid::Uuid;

use super::table::{Processes, descendants, signal_all, table, variable};

/// The variable that marks a process and, by inheritance, its descendants.
pub(super) const MARK: &str = "BOOCODER_PROCESS";

/// A mark that no other process carries.
#[expect(clippy::disallowed_methods, reason = "marks are drawn where processes are started")]
pub(super) fn mark() -> String {
    Uuid::new_v4().to_string()
}

/// The processes that belong to one leader, the leader itself excepted.
#[derive(Clone, Debug)]
pub(super) struct Kin {
    leader: i32,
    mark: String,
    known: Processes,
}

impl Kin {
    pub(super) fn new(leader: Pid, mark: String) -> Self {
        Self { leader: leader.as_raw_pid(), mark, known: Processes::new() }
    }

    /// Reads the process table again: adds the new ones, forgets the dead ones.
    pub(super) fn refresh(&mut self) {
        let table = table();
        self.known.retain(|pid, started| table.get(pid).is_some_and(|row| row.started == *started));
        for (pid, row) in &table {
            if *pid != self.leader && (row.group == self.leader || self.carries_mark(*pid)) {
                self.known.insert(*pid, row.started);
            }
        }
        let family = self.known.keys().copied().chain([self.leader]).collect();
        self.known.extend(descendants(&table, family, |pid| pid != self.leader));
    }

    /// Kills every one of them that still lives. Says how many there were.
    pub(super) fn kill(&self) -> usize {
        signal_all(&self.known, Signal::KILL)
    }

    fn carries_mark(&self, pid: i32) -> bool {
        variable(pid, MARK).is_some_and(|mark| mark == self.mark.as_bytes())
    }
}
