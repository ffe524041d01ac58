//! What a program that was killed leaves of its agents, and who ends it.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use boocoder_backend::{AcpBackend, end_leftovers};
use boocoder_model::{DecidedBy, TurnStatus};
use boocoder_testkit::process::{alive, descendants, wait_until};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::faults::STUBBORN;
use crate::support::{PATIENCE, Rig, agent, beside_tests, directory, ours, test_agent};

/// Time to end politely, for those that would.
const POLITELY: Duration = Duration::from_millis(500);

/// No processes.
const NOBODY: [u32; 0] = [];

/// A program of its own that runs an agent, and all the processes that came of it.
struct Host {
    dir: Arc<TempDir>,
    program: Child,
    family: Vec<u32>,
}

impl Host {
    /// Starts one, and waits until it `is_ready`, by its agent's tree and its descendants.
    async fn start(prompt: &str, agent: Vec<String>, is_ready: fn(&Path, &[u32]) -> bool) -> Self {
        let dir = directory();
        let tree = dir.path().join("tree");
        let mut command = Command::new(beside_tests("test_host"));
        command.arg(dir.path()).arg(&tree).arg(prompt).args(agent).stdin(Stdio::null());
        let program = command.spawn().expect("the host starts");
        let mut host = Self { dir, program, family: Vec::new() };
        let pid = host.program.id();
        let family = tokio::task::spawn_blocking(move || {
            let mut family = Vec::new();
            let ready = wait_until(PATIENCE, "the agent's work", || {
                family = descendants(pid);
                is_ready(&tree, &family)
            });
            ready.map(|()| family)
        });
        host.family = family.await.expect("no panic").expect("in time");
        host
    }

    /// A demo agent that runs a command: the agent, a shell, and a program in it.
    async fn demo() -> Self {
        let agent = vec![test_agent().to_string_lossy().into_owned(), "demo".into()];
        let is_ready = |tree: &Path, family: &[u32]| tree.join("runs").exists() && family.len() >= 3;
        Self::start("shell touch runs; sleep 300; true", agent, is_ready).await
    }

    fn owner(&self) -> String {
        self.dir.path().to_string_lossy().into_owned()
    }

    fn kill(&mut self) {
        self.program.kill().expect("it runs");
        self.program.wait().expect("it is ours");
    }

    fn left(&self) -> Vec<u32> {
        self.family.iter().copied().filter(|pid| alive(*pid)).collect()
    }
}

impl Drop for Host {
    /// A test that fails leaves nothing behind either.
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
        for pid in self.left() {
            if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
    }
}

#[tokio::test]
async fn what_a_killed_program_left_is_ended_and_nothing_of_another_owner() {
    let (mut killed, mut other) = (Host::demo().await, Host::demo().await);
    killed.kill();
    assert!(!killed.left().is_empty(), "a command outlives its killed program by itself");
    assert_eq!(end_leftovers("nobody", POLITELY).await, 0);

    assert!(end_leftovers(&killed.owner(), POLITELY).await >= 2, "the shell and the program in it");
    assert_eq!(killed.left(), NOBODY);
    assert_eq!(end_leftovers(&killed.owner(), POLITELY).await, 0, "nothing is left");
    assert_eq!(other.left(), other.family, "another owner's processes stay");

    other.kill();
    assert!(end_leftovers(&other.owner(), POLITELY).await >= 2);
    assert_eq!(other.left(), NOBODY);
}

#[tokio::test]
async fn agents_that_ignore_every_polite_word_are_ended_with_what_lost_its_mark() {
    let agent = vec!["/bin/sh".into(), "-c".into(), STUBBORN.into()];
    // The shell itself and what it has in the background, once it has said all that it says: a shell that still writes
    // would die of its broken pipe.
    let is_ready = |tree: &Path, family: &[u32]| {
        let name = |pid: &u32| std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        let sleeping = family.iter().filter(|pid| name(pid) == "sleep\n").count();
        sleeping == 3 && family.len() == 5 && tree.join("answered").exists()
    };
    let mut killed = Host::start("hello", agent, is_ready).await;
    killed.kill();
    assert_eq!(killed.left(), killed.family, "the end of the input means nothing to it");
    assert!(end_leftovers(&killed.owner(), POLITELY).await >= 5);
    assert_eq!(killed.left(), NOBODY);
}

#[tokio::test]
async fn what_this_program_runs_itself_is_not_left_over() {
    let dir = directory();
    let owner = dir.path().to_string_lossy().into_owned();
    let backend = AcpBackend::new(ours()).owned_by(owner.clone());
    let mut rig = Rig::open_with(&backend, dir, agent(&["demo"]), None).await.expect("the session opens");
    let turn = rig.start("shell echo $BOOCODER_OWNER > new; mv new owner; sleep 300").await;
    let file = rig.at("owner");
    let marked = tokio::task::spawn_blocking(move || {
        wait_until(PATIENCE, "the command", || file.exists()).map(|()| std::fs::read_to_string(file))
    });
    let marked = marked.await.expect("no panic").expect("in time").expect("readable");
    assert_eq!(marked.trim(), owner, "the command carries the mark");
    assert_eq!(end_leftovers(&owner, POLITELY).await, 0);
    rig.session.cancel(turn, DecidedBy::User).await.expect("it runs");
    assert_eq!(rig.end(turn).await.outcome.status, TurnStatus::Cancelled, "the agent still listens");
    rig.close().await;
}
