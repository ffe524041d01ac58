//! The processes of a data directory, as the process table shows them.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{sleep, timeout};

/// A process that runs.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    pub(crate) parent: u32,
    pub(crate) argv: Vec<String>,
    cwd: PathBuf,
    environ: Vec<String>,
}

impl Process {
    fn read(pid: u32) -> Option<Self> {
        let of = |name: &str| format!("/proc/{pid}/{name}");
        let words = |name: &str| {
            let text = String::from_utf8_lossy(&std::fs::read(of(name)).ok()?).into_owned();
            Some(text.split_terminator('\0').map(str::to_owned).collect::<Vec<_>>())
        };
        let status = std::fs::read_to_string(of("status")).ok()?;
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        if field("State:")?.starts_with(['Z', 'X']) {
            return None;
        }
        let cwd = std::fs::read_link(of("cwd")).unwrap_or_default();
        let (argv, environ) = (words("cmdline")?, words("environ").unwrap_or_default());
        Some(Self { pid, parent: field("PPid:")?.parse().ok()?, argv, cwd, environ })
    }

    /// Whether it says anywhere that it has to do with the data directory.
    fn mentions(&self, data_dir: &str, mark: Option<&str>) -> bool {
        self.argv.iter().chain(&self.environ).any(|word| word.contains(data_dir))
            || self.cwd.starts_with(data_dir)
            || mark.is_some_and(|mark| self.environ.iter().any(|word| word.starts_with(mark)))
    }

    pub(crate) fn is_agent(&self) -> bool {
        self.argv.iter().any(|word| word == "demo-agent")
    }

    fn is_runner(&self, data_dir: &Path) -> bool {
        let below = data_dir.join("runners");
        self.argv.iter().any(|word| word == "runner")
            && self.argv.iter().any(|word| Path::new(word).starts_with(&below))
    }

    fn is_postmaster(&self, data_dir: &Path) -> bool {
        let cluster = data_dir.join("postgres/cluster");
        self.argv.windows(2).any(|pair| pair[0] == "-D" && Path::new(&pair[1]) == cluster)
    }

    pub(crate) fn kill(&self) {
        kill(self.pid);
    }
}

/// Ends a process, if it is still there.
pub(crate) fn kill(pid: u32) {
    let pid = Pid::from_raw(i32::try_from(pid).expect("a process id")).expect("a process id");
    let _ = kill_process(pid, Signal::KILL);
}

fn table() -> Vec<Process> {
    let entries = std::fs::read_dir("/proc").expect("a process table").flatten();
    entries.filter_map(|entry| Process::read(entry.file_name().to_str()?.parse().ok()?)).collect()
}

/// Everything that has to do with the data directory.
pub(crate) fn of(data_dir: &Path) -> Vec<Process> {
    // What agents start carries the mark of the data directory on, wherever it goes.
    let lock = std::fs::metadata(data_dir.join("server.lock")).ok();
    let mark = lock.map(|lock| format!("BOOCODER_OWNER={:x}-{:x}", lock.dev(), lock.ino()));
    let name = data_dir.to_str().expect("a path");
    table().into_iter().filter(|process| process.mentions(name, mark.as_deref())).collect()
}

/// The runners, oldest first.
pub(crate) fn runners(data_dir: &Path) -> Vec<Process> {
    of(data_dir).into_iter().filter(|process| process.is_runner(data_dir)).collect()
}

/// The agents that work in a session's worktree.
pub(crate) fn agents(data_dir: &Path, session: &str) -> Vec<Process> {
    let worktree = worktree(data_dir, session);
    of(data_dir).into_iter().filter(|process| process.is_agent() && process.cwd == worktree).collect()
}

/// The runner above an agent.
pub(crate) fn runner_of(data_dir: &Path, agent: &Process) -> Option<Process> {
    let runners = runners(data_dir);
    let mut above = agent.parent;
    while above > 1 {
        if let Some(runner) = runners.iter().find(|runner| runner.pid == above) {
            return Some(runner.clone());
        }
        above = Process::read(above)?.parent;
    }
    None
}

pub(crate) fn postmaster(data_dir: &Path) -> Option<Process> {
    of(data_dir).into_iter().find(|process| process.is_postmaster(data_dir))
}

pub(crate) fn worktree(data_dir: &Path, session: &str) -> PathBuf {
    data_dir.join("worktrees").join(format!("session-{session}"))
}

/// What is left of a data directory's processes after `limit`.
pub(crate) async fn left(data_dir: &Path, limit: Duration) -> Vec<Process> {
    let waiting = async {
        while !of(data_dir).is_empty() {
            sleep(Duration::from_millis(50)).await;
        }
    };
    if timeout(limit, waiting).await.is_ok() { Vec::new() } else { of(data_dir) }
}
