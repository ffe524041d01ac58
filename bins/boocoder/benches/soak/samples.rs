//! How much of the machine it takes, looked at again and again.

use std::time::Duration;

use boocoder_testkit::process::rss_kib;
use tokio::time::Instant;

use crate::processes;
use crate::serving::Serving;
use crate::world::World;

/// The time between two lines.
const LINE: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Default)]
struct Sample {
    server_kib: u64,
    runners: usize,
    runners_kib: u64,
    processes: usize,
    files: usize,
}

#[derive(Default)]
pub(crate) struct Samples {
    begun: Option<Instant>,
    printed: Option<Instant>,
    first: Option<Sample>,
    last: Sample,
    peak: Sample,
}

impl Samples {
    pub(crate) fn take(&mut self, server: &Serving, world: &World) {
        let pid = server.info.pid;
        let runners = processes::runners(&world.data_dir);
        let sample = Sample {
            server_kib: rss_kib(pid).unwrap_or_default(),
            runners: runners.len(),
            runners_kib: runners.iter().filter_map(|runner| rss_kib(runner.pid)).sum(),
            processes: processes::of(&world.data_dir).len(),
            files: std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count),
        };
        self.last = sample;
        self.peak = Sample {
            server_kib: self.peak.server_kib.max(sample.server_kib),
            runners: self.peak.runners.max(sample.runners),
            runners_kib: self.peak.runners_kib.max(sample.runners_kib),
            processes: self.peak.processes.max(sample.processes),
            files: self.peak.files.max(sample.files),
        };
        let now = Instant::now();
        let begun = *self.begun.get_or_insert(now);
        if self.printed.is_none_or(|printed| now - printed >= LINE) {
            if self.printed.is_some() {
                // What it takes when it has just begun says nothing.
                self.first.get_or_insert(sample);
            }
            self.printed = Some(now);
            println!("{:>6} s  {}", (now - begun).as_secs(), line(&sample));
        }
    }

    pub(crate) fn report(&self) {
        println!("\nfirst     {}", line(&self.first.unwrap_or(self.last)));
        println!("last      {}", line(&self.last));
        println!("peak      {}", line(&self.peak));
    }
}

fn line(sample: &Sample) -> String {
    format!(
        "server {:>7} KiB, {:>4} open files; {:>3} runners {:>7} KiB; {:>3} processes",
        sample.server_kib, sample.files, sample.runners, sample.runners_kib, sample.processes
    )
}
