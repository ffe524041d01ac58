//! The process table, read from `/proc`. Where there is none, it is empty.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use rustix::process::{Pid, Signal, kill_process};

/// Processes by their id, with their start time: the pair is one process for ever, the id alone is not.
pub(super) type Processes = BTreeMap<i32, u64>;

/// One row of the process table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) parent: i32,
    pub(super) group: i32,
    pub(super) started: u64,
}

/// All that live, by process id.
pub(super) fn table() -> BTreeMap<i32, Row> {
    let Ok(entries) = fs::read_dir("/proc") else { return BTreeMap::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter_map(|pid| Some((pid, row(pid)?)))
        .collect()
}

/// The children of `ancestors`, their children and so on, as far as each of them `belongs`.
pub(super) fn descendants(
    table: &BTreeMap<i32, Row>,
    mut ancestors: BTreeSet<i32>,
    belongs: impl Fn(i32) -> bool,
) -> Processes {
    let mut found = Processes::new();
    loop {
        let before = found.len();
        for (pid, row) in table {
            if !found.contains_key(pid) && ancestors.contains(&row.parent) && belongs(*pid) {
                found.insert(*pid, row.started);
                ancestors.insert(*pid);
            }
        }
        if found.len() == before {
            return found;
        }
    }
}

/// The value of a variable in the environment that a process was started with. Another user's process cannot be read,
/// and none of ours runs as another user.
pub(super) fn variable(pid: i32, name: &str) -> Option<Vec<u8>> {
    let environ = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let value = |entry: &[u8]| entry.strip_prefix(name.as_bytes())?.strip_prefix(b"=").map(<[u8]>::to_vec);
    environ.split(|byte| *byte == 0).find_map(value)
}

/// Signals those that still live. Says how many there were.
pub(super) fn signal_all(processes: &Processes, signal: Signal) -> usize {
    processes
        .iter()
        .filter(|(pid, started)| row(**pid).is_some_and(|row| row.started == **started))
        .filter_map(|(pid, _)| Pid::from_raw(*pid))
        .filter(|pid| kill_process(*pid, signal).is_ok())
        .count()
}

/// One process, unless it has died.
fn row(pid: i32) -> Option<Row> {
    parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Reads a line of `/proc/<pid>/stat`. A zombie counts as dead, once its last thread is; until then it holds its files
/// and locks. The name in parentheses may hold anything, so what
/// follows it is found from the end.
fn parse(stat: &str) -> Option<Row> {
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let threads = fields.get(17).and_then(|threads| threads.parse().ok()).unwrap_or(0);
    if matches!(*fields.first()?, "Z" | "X" | "x") && threads <= 1 {
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
        let dying = "42 (sh) Z 7 40 40 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 2 0 123456 1000 10";
        assert_eq!(parse(dying).map(|row| row.parent), Some(7), "another thread of it is on its way out");
        assert_eq!(parse("42 (sh) S 7"), None);
        assert_eq!(parse(""), None);
    }

    #[test]
    fn descendants_end_where_one_does_not_belong() {
        // A child may have a lower id than its parent, once the numbers have begun again.
        let parents = [(2, 9), (4, 2), (5, 4), (6, 1), (7, 6), (9, 8)];
        let table = parents.map(|(pid, parent)| (pid, Row { parent, group: 0, started: 0 })).into();
        let found =
            |belongs: fn(i32) -> bool| -> Vec<i32> { descendants(&table, [8].into(), belongs).into_keys().collect() };
        assert_eq!(found(|_| true), [2, 4, 5, 9]);
        assert_eq!(found(|pid| pid != 4), [2, 9]);
    }
}
