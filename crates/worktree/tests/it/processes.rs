//! Git within its limits.

use std::time::Duration;

use boocoder_worktree::{Git, Limits, Repository, WorktreeError};

use crate::fixture::{Fixture, diff, git, write};

#[tokio::test]
async fn git_says_its_version() {
    let version = Git::new(Limits::default()).version().await.unwrap();
    assert!(version.starts_with(|first: char| first.is_ascii_digit()), "{version}");
}

#[tokio::test]
async fn a_command_that_hangs_is_ended_with_all_that_it_started() {
    let fixture = Fixture::new(&[("a.txt", b"1"), (".gitattributes", b"*.txt filter=slow\n")]).await;
    let pid_file = fixture.dir.path().join("pid");
    let slow = format!("echo $$ > '{}'; sleep 600", pid_file.display());
    git(fixture.root(), &["config", "filter.slow.smudge", &slow]);
    let limits = Limits { tree_time: Duration::from_secs(2), ..Limits::default() };
    let project = Repository::open(&Git::new(limits), fixture.root()).await.unwrap();
    let error = project.create_worktree(&fixture.dest()).await.unwrap_err();
    assert!(matches!(&error, WorktreeError::TimedOut { command, .. } if command.contains("reset --hard")), "{error}");
    assert!(!fixture.dest().exists());
    assert_eq!(project.checkouts().await.unwrap(), []);

    gone(&std::fs::read_to_string(&pid_file).unwrap()).await;
}

/// Waits until a process has ended.
pub(crate) async fn gone(pid: &str) {
    let command_line = std::path::Path::new("/proc").join(pid.trim()).join("cmdline");
    // What has ended but is not yet reaped has no command line.
    let running = || std::fs::read(&command_line).is_ok_and(|line| !line.is_empty());
    for _ in 0..500 {
        if !running() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it still runs");
}

#[tokio::test]
async fn output_past_the_limit_is_an_error_and_a_patch_past_it_is_marked() {
    let fixture = Fixture::new(&[("a.txt", b"1\n")]).await;
    let checkout = fixture.checkout().await;
    write(&checkout.path().join("a.txt"), "2\n");
    write(&checkout.path().join("b.txt"), "line\n".repeat(10_000));
    write(&checkout.path().join("c.txt"), "3\n");
    let whole = diff(&checkout).await;
    assert!(whole.iter().all(|file| !file.omitted && file.hunks.len() == 1));

    let tree = checkout.snapshot().await.unwrap().tree;
    let small = |output_bytes| Git::new(Limits { output_bytes, ..Limits::default() });
    let project = Repository::open(&small(10_000), fixture.root()).await.unwrap();
    let cut = project.diff(checkout.base_commit(), &tree).await.unwrap();
    let omitted: Vec<bool> = cut.iter().map(|file| file.omitted).collect();
    assert_eq!(omitted, [false, true, true]);
    for (cut, whole) in cut.iter().zip(&whole) {
        assert_eq!(cut.change, whole.change, "what changed is known all the same");
        assert!(cut.omitted && cut.diff.is_empty() && cut.hunks.is_empty() || cut == whole);
    }
    let error = project.apply(&[whole[1].change.clone()]).await.unwrap_err();
    assert!(matches!(error, WorktreeError::TooLarge { .. }), "{error}");

    let project = Repository::open(&small(100), fixture.root()).await.unwrap();
    let error = project.diff(checkout.base_commit(), &tree).await.unwrap_err();
    assert!(matches!(error, WorktreeError::TooLarge { limit: 100, .. }), "{error}");
}

#[tokio::test]
async fn more_callers_than_processes_wait_their_turn() {
    let fixture = Fixture::new(&[("a.txt", b"1")]).await;
    let git = Git::new(Limits { processes: 1, ..Limits::default() });
    let project = Repository::open(&git, fixture.root()).await.unwrap();
    let heads = (0..12).map(|_| {
        let project = project.clone();
        tokio::spawn(async move { project.head().await.unwrap() })
    });
    for head in heads.collect::<Vec<_>>() {
        assert_eq!(head.await.unwrap(), fixture.project.head().await.unwrap());
    }
}

/// Snapshots that are stuck in a filter hold all processes that they may have; what is short goes on.
#[tokio::test]
async fn whole_trees_are_bounded_and_leave_a_process_for_short_commands() {
    const PROCESSES: usize = 3;
    let fixture = Fixture::new(&[("a.txt", b"1"), (".gitattributes", b"*.slow filter=slow\n")]).await;
    let (begun, go) = (fixture.dir.path().join("begun"), fixture.dir.path().join("go"));
    let clean =
        format!("echo x >> '{}'; while ! test -e '{}'; do sleep 0.02; done; cat", begun.display(), go.display());
    git(fixture.root(), &["config", "filter.slow.clean", &clean]);
    let limits = Limits { processes: PROCESSES, command_time: Duration::from_secs(10), ..Limits::default() };
    let project = Repository::open(&Git::new(limits), fixture.root()).await.unwrap();
    let mut checkouts = Vec::new();
    for number in 0..5 {
        let checkout = project.create_worktree(&fixture.dir.path().join(format!("w{number}"))).await.unwrap();
        write(&checkout.path().join("x.slow"), "x");
        checkouts.push(checkout);
    }
    let snapshots: Vec<_> =
        checkouts.into_iter().map(|checkout| tokio::spawn(async move { checkout.snapshot().await })).collect();
    let count = || std::fs::read_to_string(&begun).unwrap_or_default().lines().count();
    while count() < PROCESSES - 1 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for _ in 0..20 {
        project.head().await.unwrap();
    }
    assert_eq!(count(), PROCESSES - 1, "no more than that read whole trees");
    std::fs::write(&go, "").unwrap();
    for snapshot in snapshots {
        snapshot.await.unwrap().unwrap();
    }
    assert!(count() >= 5, "each had its turn");
}

#[test]
fn the_environment_does_not_redirect_git() {
    let this = std::env::current_exe().unwrap();
    let mut again = std::process::Command::new(this);
    again.args(["--exact", "snapshots::a_snapshot_holds_what_a_commit_of_everything_would"]);
    for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_EXTERNAL_DIFF"] {
        again.env(name, "/nowhere");
    }
    let output = again.output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && told.contains("1 passed"), "{told}");
}
