//! Looking at processes: which live, whose children they are, what memory they hold, and waiting for a change.
//!
//! Linux is read from `/proc`; elsewhere `ps` is asked.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::{TestkitError, limits};

/// Whether the process runs. A zombie, which only waits to be reaped by its parent, does not.
#[must_use]
pub fn alive(pid: u32) -> bool {
    table().get(&pid).is_some_and(|row| !row.zombie)
}

/// The children of `pid`, their children and so on, in ascending order; zombies are left out, `pid` itself too.
///
/// A process whose parent has died belongs to another parent by then, so take the list before anything is killed.
#[must_use]
pub fn descendants(pid: u32) -> Vec<u32> {
    let table = table();
    let mut found = vec![pid];
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        found.extend(table.iter().filter(|(_, row)| row.parent == parent && !row.zombie).map(|(&pid, _)| pid));
        next += 1;
    }
    found.remove(0);
    found.sort_unstable();
    found
}

/// The resident memory in KiB, shared pages included; `None` if there is no such process.
#[must_use]
pub fn rss_kib(pid: u32) -> Option<u64> {
    table().get(&pid).map(|row| row.rss_kib)
}

/// The memory in KiB that belongs to this process alone; where the system does not tell, the resident memory.
#[must_use]
pub fn private_kib(pid: u32) -> Option<u64> {
    let Ok(rollup) = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")) else { return rss_kib(pid) };
    let private = rollup.lines().filter(|line| line.starts_with("Private_"));
    Some(private.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).sum())
}

/// Waits until `happened` says so, looking again every [`limits::POLL`]. It blocks the thread.
///
/// # Errors
/// [`TestkitError::Timeout`] naming `what`, when it is still not so after `limit`.
#[expect(clippy::disallowed_methods, reason = "waiting for another process is what this function is for")]
pub fn wait_until(limit: Duration, what: &str, mut happened: impl FnMut() -> bool) -> Result<(), TestkitError> {
    let start = Instant::now();
    while !happened() {
        if start.elapsed() >= limit {
            return Err(TestkitError::Timeout { what: what.to_owned(), limit });
        }
        std::thread::sleep(limits::POLL);
    }
    Ok(())
}

struct Row {
    parent: u32,
    zombie: bool,
    rss_kib: u64,
}

#[cfg(target_os = "linux")]
fn table() -> BTreeMap<u32, Row> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    // A process may end between the listing and the reading; it is then simply not in the table.
    pids.filter_map(|pid| Some((pid, row(&std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?)))).collect()
}

#[cfg(target_os = "linux")]
fn row(status: &str) -> Row {
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|value| value.split_whitespace().next()).unwrap_or_default()
    };
    Row {
        parent: field("PPid").parse().unwrap_or_default(),
        // While other threads of a killed process are on their way out, it still holds its locks and files.
        zombie: matches!(field("State"), "Z" | "X") && field("Threads").parse().unwrap_or(0) <= 1,
        rss_kib: field("VmRSS").parse().unwrap_or_default(),
    }
}

#[cfg(not(target_os = "linux"))]
fn table() -> BTreeMap<u32, Row> {
    let output = std::process::Command::new("ps").args(["-A", "-o", "pid=,ppid=,rss=,stat="]).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let rows = text.lines().filter_map(|line| {
        let mut fields = line.split_whitespace();
        let (pid, parent, rss_kib) =
            (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        Some((pid, Row { parent, rss_kib, zombie: fields.next()?.starts_with('Z') }))
    });
    rows.collect()
}
