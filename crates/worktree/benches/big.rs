//! A repository of 100,000 files: what a turn's snapshot and diff take there, beside a bare `git status` and beside a diff
//! of the whole tree by a git that knows nothing of it.
#![expect(clippy::print_stdout, clippy::unwrap_used, clippy::disallowed_methods, reason = "a benchmark prints times")]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use boocoder_worktree::{Git, Limits, Repository};

const DIRECTORIES: usize = 1000;
const FILES: usize = 100;
const ROUNDS: usize = 5;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(run());
}

async fn run() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("project");
    fs::create_dir(&root).unwrap();
    git(&root, &["init", "--quiet"]);
    for directory in 0..DIRECTORIES {
        let path = root.join(format!("d{directory}"));
        fs::create_dir(&path).unwrap();
        for file in 0..FILES {
            fs::write(path.join(format!("f{file}.txt")), format!("{directory} {file}\n").repeat(20)).unwrap();
        }
    }
    git(&root, &["add", "--all"]);
    git(&root, &["-c", "user.name=me", "-c", "user.email=me@example.org", "commit", "--quiet", "--message", "first"]);
    let project = Repository::open(&Git::new(Limits::default()), &root).await.unwrap();
    let begun = Instant::now();
    let checkout = project.create_worktree(&dir.path().join("worktree")).await.unwrap();
    println!("a worktree of 100,000 files is made in {} ms", begun.elapsed().as_millis());
    git(checkout.path(), &["status", "--porcelain"]);
    checkout.snapshot().await.unwrap();

    let (mut status, mut snapshot, mut diff, mut whole) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut last = checkout.snapshot().await.unwrap().tree;
    for round in 0..ROUNDS {
        for file in 0..3 {
            fs::write(checkout.path().join(format!("d{}/f{file}.txt", round * 7)), format!("round {round}\n")).unwrap();
        }
        status.push(timed(|| git(checkout.path(), &["status", "--porcelain"])));
        let begun = Instant::now();
        let tree = checkout.snapshot().await.unwrap().tree;
        snapshot.push(begun.elapsed());
        let begun = Instant::now();
        let files = project.diff(&last, &tree).await.unwrap();
        diff.push(begun.elapsed());
        assert_eq!(files.len(), 3);
        last = tree;
        // Without an index that knows the files' times, every file is read.
        let index = dir.path().join("index");
        whole.push(timed(|| {
            let run = |args: &[&str]| {
                let mut command = Command::new("git");
                command.args(args).current_dir(checkout.path()).env("GIT_INDEX_FILE", &index).stdout(Stdio::null());
                assert!(command.status().unwrap().success());
            };
            run(&["read-tree", "HEAD"]);
            run(&["add", "--all"]);
            run(&["diff", "--cached", "HEAD"]);
        }));
    }
    let [status, snapshot, diff, whole] = [status, snapshot, diff, whole].map(median);
    let ratio = |one: Duration, other: Duration| one.as_secs_f64() / other.as_secs_f64();
    println!(
        "a turn's snapshot and diff in 100,000 files: {} + {} ms; git status {} ms; ratio {:.2}  (goal: <= 2); reading all \
         files anew {} ms; ratio {:.2}",
        snapshot.as_millis(),
        diff.as_millis(),
        status.as_millis(),
        ratio(snapshot + diff, status),
        whole.as_millis(),
        ratio(snapshot + diff, whole),
    );
}

fn git(dir: &Path, args: &[&str]) {
    let status = Command::new("git").args(args).current_dir(dir).stdout(Stdio::null()).status().unwrap();
    assert!(status.success(), "git {args:?}");
}

fn timed(work: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    work();
    begun.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
