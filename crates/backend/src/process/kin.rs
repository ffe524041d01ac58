//! Who belongs to a process: its group, its descendants, and all that carry its mark.
//!
//! Read from `/proc`. Where there is none, only the group is known, which the supervisor signals by its id anyway.

use std::collections::BTreeMap;
use std::fs;

use rustix::process::{Pid, Signal, kill_process};
use uuid::Uuid;

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
    mark: Vec<u8>,
    /// Process id and start time: the pair is one process for ever, the id alone is not.
    known: BTreeMap<i32, u64>,
}

/// One row of the process table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Row {
    parent: i32,
    group: i32,
    started: u64,
}

impl Kin {
    pub(super) fn new(leader: Pid, mark: String) -> Self {
        Self { leader: leader.as_raw_pid(), mark: format!("{MARK}={mark}").into_bytes(), known: BTreeMap::new() }
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
        loop {
            let before = self.known.len();
            for (pid, row) in &table {
                let parent_is_kin = row.parent == self.leader || self.known.contains_key(&row.parent);
                if *pid != self.leader && parent_is_kin {
                    self.known.insert(*pid, row.started);
                }
            }
            if self.known.len() == before {
                return;
            }
        }
    }

    /// Kills every one of them that still lives. Says how many there were.
    pub(super) fn kill(&self) -> usize {
        self.known
            .iter()
            .filter(|(pid, started)| row(**pid).is_some_and(|row| row.started == **started))
            .filter_map(|(pid, _)| Pid::from_raw(*pid))
            .filter(|pid| kill_process(*pid, Signal::KILL).is_ok())
            .count()
    }

    fn carries_mark(&self, pid: i32) -> bool {
        // Another user's process cannot be read, and none of ours runs as another user.
        fs::read(format!("/proc/{pid}/environ"))
            .is_ok_and(|environ| environ.split(|byte| *byte == 0).any(|variable| variable == self.mark))
    }
}

/// All that live, by process id.
fn table() -> BTreeMap<i32, Row> {
    let Ok(entries) = fs::read_dir("/proc") else { return BTreeMap::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter_map(|pid| Some((pid, row(pid)?)))
        .collect()
}

/// One process, unless it has died.
fn row(pid: i32) -> Option<Row> {
    parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Reads a line of `/proc/<pid>/stat`. A zombie counts as dead. The name in parentheses may hold anything, so what
/// follows it is found from the end.
fn parse(stat: &str) -> Option<Row> {
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    if matches!(*fields.first()?, "Z" | "X" | "x") {
        return None;
    }
    Some(Row {
        parent: fields.get(1)?.parse().ok()?,
        group: fields.get(2)?.parse().ok()?,
        started: fields.get(19)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_spaces_does_not_shift_the_fields() {
        let line = "42 (a) b (c) S 7 40 40 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 123456 1000 10";
        assert_eq!(parse(line), Some(Row { parent: 7, group: 40, started: 123_456 }));
    }

    #[test]
    fn the_dead_and_the_malformed_are_nobody() {
        assert_eq!(parse("42 (sh) Z 7 40 40 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 123456 1000 10"), None);
        assert_eq!(parse("42 (sh) S 7"), None);
        assert_eq!(parse(""), None);
    }
}
