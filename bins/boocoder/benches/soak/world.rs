//! What all parts of the trial share: the time, the counts, and what was wrong.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::chat::Log;
use crate::client::Client;
use crate::serving::Place;

/// How long before a turn an agent may have been killed for the turn to be lost with it: the next prompt may already
/// be on its way when the death is noticed.
const BEFORE: Duration = Duration::from_secs(5);

/// The most faults that are printed.
const SHOWN: usize = 50;

pub(crate) struct World {
    pub(crate) client: Client,
    pub(crate) data_dir: PathBuf,
    pub(crate) logs: Mutex<Vec<Log>>,
    until: Instant,
    stopped: AtomicBool,
    counts: Mutex<BTreeMap<String, u64>>,
    faults: Mutex<Vec<String>>,
    last_death: Mutex<Option<Instant>>,
}

impl World {
    pub(crate) fn new(place: &Place, until: Instant) -> Self {
        Self {
            client: Client::of(place),
            data_dir: place.data_dir(),
            logs: Mutex::default(),
            until,
            stopped: AtomicBool::new(false),
            counts: Mutex::default(),
            faults: Mutex::default(),
            last_death: Mutex::default(),
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.stopped.load(Ordering::Relaxed) || Instant::now() >= self.until
    }

    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    pub(crate) fn count(&self, what: &str) {
        *self.counts.lock().expect("no panic").entry(what.to_owned()).or_default() += 1;
    }

    pub(crate) fn agent_dies(&self) {
        *self.last_death.lock().expect("no panic") = Some(Instant::now());
    }

    /// Whether an agent was killed that may have been at work on what began then.
    pub(crate) fn is_excused(&self, begun: Instant) -> bool {
        self.last_death.lock().expect("no panic").is_some_and(|death| death + BEFORE >= begun)
    }

    pub(crate) fn wrong(&self, what: String) {
        println!("wrong: {what}");
        self.faults.lock().expect("no panic").push(what);
    }

    /// A command ran once if its turn completed, and at most once otherwise.
    pub(crate) fn check_logs(&self) {
        for log in self.logs.lock().expect("no panic").iter() {
            let written = std::fs::read_to_string(&log.path).unwrap_or_default();
            for (line, completed) in &log.lines {
                let times = written.lines().filter(|it| it == line).count();
                if times > 1 || (times == 0 && *completed) {
                    self.wrong(format!("the command of {line} ran {times} times, completed: {completed}"));
                }
            }
        }
    }

    pub(crate) fn report(&self, frames: usize) -> ExitCode {
        for (what, count) in self.counts.lock().expect("no panic").iter() {
            println!("{what:<44}{count:>8}");
        }
        println!("{:<44}{frames:>8}", "frames, each seen by three clients");
        let faults = self.faults.lock().expect("no panic");
        println!("{:<44}{:>8}", "faults (must be 0)", faults.len());
        faults.iter().take(SHOWN).for_each(|fault| println!("  {fault}"));
        if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}
