//! Repositories opened, worktrees made, opened again, judged and removed.

use std::fs;

use boocoder_worktree::{Git, Limits, Repository, Risk, WorktreeError};

use crate::fixture::{Fixture, admin_dir, commit, git, init, read, write};

fn new_git() -> Git {
    Git::new(Limits::default())
}

#[tokio::test]
async fn a_directory_inside_a_project_opens_the_project() {
    let fixture = Fixture::new(&[("src/deep/a.txt", b"a")]).await;
    let inside = Repository::open(&new_git(), &fixture.root().join("src/deep")).await.unwrap();
    assert_eq!(inside.root(), fixture.root());
    assert_eq!(inside.head().await.unwrap().as_str(), git(fixture.root(), &["rev-parse", "HEAD"]));
}

#[tokio::test]
async fn what_is_no_project_says_what_it_is() {
    let fixture = Fixture::new(&[]).await;
    let plain = fixture.dir.path().join("plain");
    fs::create_dir(&plain).unwrap();
    let error = Repository::open(&new_git(), &plain).await.unwrap_err();
    assert!(matches!(&error, WorktreeError::NotARepository { path } if path.ends_with("plain")), "{error}");
    let error = Repository::open(&new_git(), &fixture.root().join(".git")).await.unwrap_err();
    assert!(matches!(error, WorktreeError::NotARepository { .. }), "{error}");
    let error = Repository::open(&new_git(), &plain.join("missing")).await.unwrap_err();
    assert!(matches!(error, WorktreeError::Io { .. }), "{error}");
    let error = Repository::open(&new_git(), &fixture.root().join(".git/HEAD")).await.unwrap_err();
    assert!(matches!(error, WorktreeError::NotARepository { .. }), "{error}");
    git(&plain, &["init", "--quiet", "--bare"]);
    let error = Repository::open(&new_git(), &plain).await.unwrap_err();
    assert!(matches!(error, WorktreeError::Bare { .. }), "{error}");
}

#[tokio::test]
async fn a_project_without_commits_is_told_to_make_one() {
    let dir = tempfile::tempdir().unwrap();
    init(dir.path());
    let project = Repository::open(&new_git(), dir.path()).await.unwrap();
    let error = project.create_worktree(&dir.path().join("w")).await.unwrap_err();
    assert!(matches!(error, WorktreeError::NoCommits { .. }), "{error}");
    assert!(error.to_string().contains("make a first commit"));
    assert!(!dir.path().join("w").exists());
}

#[tokio::test]
async fn a_worktree_is_the_commit_and_not_the_uncommitted_work() {
    let fixture = Fixture::new(&[("a.txt", b"committed")]).await;
    write(&fixture.root().join("a.txt"), "dirty");
    write(&fixture.root().join("new.txt"), "untracked");
    let checkout = fixture.checkout().await;
    assert_eq!(read(&checkout.path().join("a.txt")), b"committed");
    assert!(!checkout.path().join("new.txt").exists());
    assert_eq!(read(&fixture.root().join("a.txt")), b"dirty", "the project is left alone");
    assert_eq!(checkout.base_commit(), &fixture.project.head().await.unwrap());
    assert_eq!(git(checkout.path(), &["rev-parse", "--abbrev-ref", "HEAD"]), "HEAD", "detached");
    assert!(git(fixture.root(), &["worktree", "list", "--porcelain"]).contains("locked in use by BooCoder"));
}

#[tokio::test]
async fn a_detached_head_and_a_worktree_of_another_project_will_do() {
    let fixture = Fixture::new(&[("a.txt", b"1")]).await;
    git(fixture.root(), &["checkout", "--quiet", "--detach"]);
    write(&fixture.root().join("a.txt"), "2");
    commit(fixture.root(), "on no branch");
    let human = fixture.dir.path().join("human");
    git(fixture.root(), &["worktree", "add", "--quiet", human.to_str().unwrap()]);
    let project = Repository::open(&new_git(), &human).await.unwrap();
    let checkout = project.create_worktree(&fixture.dest()).await.unwrap();
    assert_eq!(read(&checkout.path().join("a.txt")), b"2");
    assert_eq!(checkout.risk().await.unwrap(), Risk::default(), "the project's own commits are not the worktree's");
}

#[tokio::test]
async fn no_hook_of_the_user_fires() {
    let fixture = Fixture::new(&[("a.txt", b"1")]).await;
    let (hook, fired) = (fixture.root().join(".git/hooks/post-checkout"), fixture.dir.path().join("fired"));
    write(&hook, format!("#!/bin/sh\ntouch '{}'\n", fired.display()));
    crate::fixture::set_mode(&hook, 0o755);
    git(fixture.root(), &["checkout", "--quiet", "--detach"]);
    assert!(fired.exists(), "the hook works");
    fs::remove_file(&fired).unwrap();
    fixture.checkout().await;
    assert!(!fired.exists());
}

#[tokio::test]
async fn a_taken_destination_is_left_alone() {
    let fixture = Fixture::new(&[("a.txt", b"1")]).await;
    write(&fixture.dest().join("mine.txt"), "precious");
    let error = fixture.project.create_worktree(&fixture.dest()).await.unwrap_err();
    assert!(matches!(error, WorktreeError::AlreadyExists { .. }), "{error}");
    assert_eq!(read(&fixture.dest().join("mine.txt")), b"precious");
    assert_eq!(git(fixture.root(), &["worktree", "list"]).lines().count(), 1);

    let other = fixture.dir.path().join("other");
    fixture.project.create_worktree(&other).await.unwrap();
    let error = fixture.project.create_worktree(&other).await.unwrap_err();
    assert!(matches!(error, WorktreeError::AlreadyExists { .. }), "{error}");
}

#[tokio::test]
async fn a_worktree_that_cannot_be_made_leaves_nothing_behind() {
    let fixture = Fixture::new(&[("a.txt", b"1"), (".gitattributes", b"*.txt filter=broken\n")]).await;
    git(fixture.root(), &["config", "filter.broken.smudge", "false"]);
    git(fixture.root(), &["config", "filter.broken.required", "true"]);
    let error = fixture.project.create_worktree(&fixture.dest()).await.unwrap_err();
    assert!(matches!(&error, WorktreeError::Failed { stderr, .. } if stderr.contains("broken")), "{error}");
    assert!(!fixture.dest().exists());
    assert_eq!(fixture.project.checkouts().await.unwrap(), []);
    assert_eq!(git(fixture.root(), &["worktree", "list"]).lines().count(), 1);
}

#[tokio::test]
async fn an_interrupted_making_is_seen_and_replaced() {
    let fixture = Fixture::new(&[("a.txt", b"1"), ("b.txt", b"2")]).await;
    let checkout = fixture.checkout().await;
    let base = checkout.base_commit().clone();
    fs::remove_file(admin_dir(&checkout).join("boocoder-index")).unwrap();
    fs::remove_file(checkout.path().join("b.txt")).unwrap();

    let error = fixture.project.open_checkout(&fixture.dest(), &base).await.unwrap_err();
    assert!(matches!(error, WorktreeError::Incomplete { .. }), "{error}");
    let entries = fixture.project.checkouts().await.unwrap();
    assert!(entries.len() == 1 && !entries[0].complete);

    let again = fixture.checkout().await;
    assert_eq!(read(&again.path().join("b.txt")), b"2");
    fixture.project.open_checkout(&fixture.dest(), &base).await.unwrap();
    let entries = fixture.project.checkouts().await.unwrap();
    assert!(entries.len() == 1 && entries[0].complete && entries[0].path == again.path());
    let error = fixture.project.discard(&entries[0]).await.unwrap_err();
    assert!(matches!(error, WorktreeError::AlreadyExists { .. }), "a whole worktree is not discarded: {error}");
}

#[tokio::test]
async fn only_worktrees_of_ours_are_opened_listed_and_cleared() {
    let fixture = Fixture::new(&[("a.txt", b"1")]).await;
    let human = fixture.dir.path().join("human");
    git(fixture.root(), &["worktree", "add", "--quiet", "--detach", human.to_str().unwrap()]);
    let gone = fixture.dir.path().join("gone");
    git(fixture.root(), &["worktree", "add", "--quiet", "--detach", gone.to_str().unwrap()]);
    fs::remove_dir_all(&gone).unwrap();

    let head = fixture.project.head().await.unwrap();
    let error = fixture.project.open_checkout(&human, &head).await.unwrap_err();
    assert!(matches!(error, WorktreeError::NotOurs { .. }), "{error}");
    assert_eq!(fixture.project.checkouts().await.unwrap(), []);
    fixture.checkout().await.remove("s1", false).await.unwrap();
    assert!(human.join("a.txt").exists());
    let listed = git(fixture.root(), &["worktree", "list"]);
    assert_eq!(listed.lines().count(), 3, "a worktree whose disk is away for now stays known: {listed}");
}

#[tokio::test]
async fn a_worktree_opens_again_with_its_base_alone() {
    let fixture = Fixture::new(&[("a.txt", b"1")]).await;
    let made = fixture.checkout().await;
    write(&made.path().join("a.txt"), "2");
    write(&fixture.root().join("a.txt"), "the project moves on");
    commit(fixture.root(), "second");
    let opened = fixture.project.open_checkout(&fixture.dest(), made.base_commit()).await.unwrap();
    assert_eq!(crate::fixture::changes(&opened).await, crate::fixture::changes(&made).await);
    let nothing = "0123456789012345678901234567890123456789".parse().unwrap();
    let error = fixture.project.open_checkout(&fixture.dest(), &nothing).await.unwrap_err();
    assert!(matches!(error, WorktreeError::InvalidId { .. }), "{error}");
}

#[tokio::test]
async fn a_clean_worktree_goes_and_its_ignored_files_with_it() {
    let fixture = Fixture::new(&[("a.txt", b"1"), (".gitignore", b"target\n")]).await;
    let checkout = fixture.checkout().await;
    write(&checkout.path().join("target/big.o"), "built");
    assert!(checkout.risk().await.unwrap().is_none());
    assert_eq!(checkout.remove("s1", false).await.unwrap(), None);
    assert!(!fixture.dest().exists());
    assert_eq!(git(fixture.root(), &["worktree", "list"]).lines().count(), 1);
    fixture.checkout().await;
}

#[tokio::test]
async fn work_at_risk_is_counted_and_kept_from_removal() {
    let fixture = Fixture::new(&[("a.txt", b"1"), ("b.txt", b"1"), ("c.txt", b"1")]).await;
    let checkout = fixture.checkout().await;
    let path = checkout.path();
    write(&path.join("a.txt"), "2");
    commit(path, "by the agent");
    write(&path.join("b.txt"), "2");
    fs::remove_file(path.join("c.txt")).unwrap();
    write(&path.join("new dir/x.txt"), "new");
    write(&path.join("new dir/y.txt"), "new");
    assert_eq!(checkout.risk().await.unwrap(), Risk { uncommitted: 4, unmerged: 1 });

    let error = checkout.remove("s1", false).await.unwrap_err();
    assert!(matches!(error, WorktreeError::AtRisk(Risk { uncommitted: 4, unmerged: 1 })), "{error}");
    assert_eq!(read(&path.join("b.txt")), b"2");

    git(path, &["branch", "kept"]);
    assert_eq!(checkout.risk().await.unwrap(), Risk { uncommitted: 4, unmerged: 0 });
}

#[tokio::test]
async fn forced_removal_keeps_the_work_under_a_private_ref() {
    let fixture = Fixture::new(&[("a.txt", b"1"), ("b.txt", b"1")]).await;
    let mut retired = Vec::new();
    for round in ["one", "two"] {
        let checkout = fixture.checkout().await;
        write(&checkout.path().join("a.txt"), format!("committed {round}"));
        commit(checkout.path(), "by the agent");
        write(&checkout.path().join("b.txt"), format!("loose {round}"));
        let commit = checkout.remove("s1", true).await.unwrap().unwrap();
        assert!(!fixture.dest().exists());
        retired.push(commit);
    }
    git(fixture.root(), &["reflog", "expire", "--expire=now", "--all"]);
    git(fixture.root(), &["gc", "--quiet", "--prune=now"]);
    let show = |commit: &str, path: &str| git(fixture.root(), &["show", &format!("{commit}:{path}")]);
    assert_eq!(show("refs/boocoder/retired/s1", "b.txt"), "loose two");
    for (commit, round) in retired.iter().zip(["one", "two"]) {
        assert_eq!(show(commit.as_str(), "b.txt"), format!("loose {round}"));
        assert_eq!(show(&format!("{commit}^1"), "a.txt"), format!("committed {round}"));
    }
    assert_eq!(fixture.project.pinned("retired/s1").await.unwrap().as_ref(), retired.last());
}

#[tokio::test]
async fn a_repository_inside_the_worktree_is_never_removed() {
    let fixture = Fixture::new(&[("a.txt", b"1")]).await;
    let checkout = fixture.checkout().await;
    let nested = checkout.path().join("nested");
    init(&nested);
    write(&nested.join("x.txt"), "only here");
    let error = checkout.remove("s1", false).await.unwrap_err();
    assert!(matches!(error, WorktreeError::AtRisk(risk) if risk.uncommitted > 0), "{error}");
    let error = checkout.remove("s1", true).await.unwrap_err();
    assert!(matches!(&error, WorktreeError::NotPreserved { what, .. } if what[0].contains("nested")), "{error}");
    commit(&nested, "only here");
    let error = checkout.remove("s1", true).await.unwrap_err();
    assert!(matches!(&error, WorktreeError::NotPreserved { what, .. } if what[0].contains("nested")), "{error}");
    assert_eq!(read(&nested.join("x.txt")), b"only here");
}

#[tokio::test]
async fn worktrees_made_at_once_do_not_meet() {
    let fixture = Fixture::new(&[("a.txt", b"1")]).await;
    let makers = (0..5).map(|number| {
        let (project, dest) = (fixture.project.clone(), fixture.dir.path().join(format!("{number}/same name")));
        tokio::spawn(async move { project.create_worktree(&dest).await })
    });
    for (number, maker) in makers.collect::<Vec<_>>().into_iter().enumerate() {
        let checkout = maker.await.unwrap().unwrap();
        write(&checkout.path().join("a.txt"), format!("changed by {number}"));
        assert_eq!(crate::fixture::changes(&checkout).await.len(), 1);
    }
    assert_eq!(fixture.project.checkouts().await.unwrap().len(), 5);
}

/// Processes know nothing of each other: each has a `Git` of its own.
#[tokio::test]
async fn one_worktree_that_several_make_at_once_is_made_once_and_whole() {
    let fixture = Fixture::new(&[("a.txt", b"1")]).await;
    for round in 0..6 {
        let dest = fixture.dir.path().join(format!("worktrees/{round}"));
        let makers = (0..3).map(|_| {
            let (root, dest) = (fixture.root().to_owned(), dest.clone());
            tokio::spawn(async move {
                let project = Repository::open(&new_git(), &root).await.unwrap();
                project.create_worktree(&dest).await
            })
        });
        let mut made = Vec::new();
        for maker in makers.collect::<Vec<_>>() {
            match maker.await.unwrap() {
                Ok(checkout) => made.push(checkout),
                Err(error) => assert!(matches!(error, WorktreeError::AlreadyExists { .. }), "{error}"),
            }
        }
        assert_eq!(made.len(), 1);
        assert_eq!(read(&dest.join("a.txt")), b"1");
        fixture.project.open_checkout(&dest, made[0].base_commit()).await.unwrap();
    }
    let left: Vec<_> = fs::read_dir(fixture.dir.path().join("worktrees")).unwrap().collect();
    assert_eq!(left.len(), 6, "no lock stays behind: {left:?}");
}

#[tokio::test]
async fn a_directory_that_only_a_note_calls_ours_is_left_alone() {
    let fixture = Fixture::new(&[("a.txt", b"1")]).await;
    let checkout = fixture.checkout().await;
    let admin = admin_dir(&checkout);
    let precious = fixture.dir.path().join("precious");
    write(&precious.join("x.txt"), "x");
    init(&precious);
    fs::remove_file(admin.join("boocoder-index")).unwrap();
    write(&admin.join("gitdir"), format!("{}/.git\n", precious.display()));
    let entries = fixture.project.checkouts().await.unwrap();
    assert_eq!(entries[0].path, precious);
    let error = fixture.project.discard(&entries[0]).await.unwrap_err();
    assert!(matches!(error, WorktreeError::NotOurs { .. }), "{error}");
    let error = fixture.project.create_worktree(&precious).await.unwrap_err();
    assert!(matches!(error, WorktreeError::NotOurs { .. }), "{error}");
    assert_eq!(read(&precious.join("x.txt")), b"x");
}

#[tokio::test]
async fn a_head_without_commits_neither_hides_work_nor_keeps_the_worktree_for_ever() {
    let fixture = Fixture::new(&[("a.txt", b"1")]).await;
    let checkout = fixture.checkout().await;
    git(checkout.path(), &["switch", "--quiet", "--orphan", "fresh"]);
    write(&checkout.path().join("new.txt"), "new");
    assert_eq!(checkout.risk().await.unwrap(), Risk { uncommitted: 1, unmerged: 0 });
    let retired = checkout.remove("s1", true).await.unwrap().unwrap();
    assert_eq!(git(fixture.root(), &["show", &format!("{retired}:new.txt")]), "new");
}

#[tokio::test]
async fn root_works_on_repositories_of_others() {
    let fixture = Fixture::new(&[("a.txt", b"1")]).await;
    let chown = |owner: &str| {
        let status = std::process::Command::new("chown").args(["-R", owner]).arg(fixture.root()).status().unwrap();
        status.success()
    };
    if chown("12345:12345") {
        let project = Repository::open(&new_git(), fixture.root()).await.unwrap();
        let checkout = project.create_worktree(&fixture.dest()).await.unwrap();
        write(&checkout.path().join("a.txt"), "2");
        project.apply(&crate::fixture::change(&checkout).await).await.unwrap();
        assert_eq!(read(&fixture.root().join("a.txt")), b"2");
    } else {
        assert_ne!(rustix::process::geteuid().as_raw(), 0, "only root may give files away");
    }
}

#[tokio::test]
async fn work_that_the_worktrees_own_index_calls_unchanged_is_at_risk_and_kept() {
    for flag in ["--skip-worktree", "--assume-unchanged"] {
        let fixture = Fixture::new(&[("a.txt", b"1"), ("b.txt", b"1")]).await;
        let checkout = fixture.checkout().await;
        git(checkout.path(), &["update-index", flag, "a.txt"]);
        write(&checkout.path().join("a.txt"), "precious");
        assert_eq!(checkout.risk().await.unwrap(), Risk { uncommitted: 1, unmerged: 0 }, "{flag}");
        let error = checkout.remove("s1", false).await.unwrap_err();
        assert!(matches!(error, WorktreeError::AtRisk(_)), "{error}");
        let kept = checkout.remove("s1", true).await.unwrap().expect("it is kept");
        assert_eq!(git(fixture.root(), &["show", &format!("{kept}:a.txt")]), "precious", "{flag}");
    }
}

#[tokio::test]
async fn what_is_only_staged_counts_once() {
    let fixture = Fixture::new(&[("a.txt", b"1"), ("b.txt", b"1")]).await;
    let checkout = fixture.checkout().await;
    write(&checkout.path().join("a.txt"), "2");
    git(checkout.path(), &["add", "a.txt"]);
    assert_eq!(checkout.risk().await.unwrap().uncommitted, 1);
    write(&checkout.path().join("a.txt"), "1");
    assert_eq!(checkout.risk().await.unwrap().uncommitted, 1, "its index alone has it");
    git(checkout.path(), &["reset", "--quiet"]);
    assert!(checkout.risk().await.unwrap().is_none());
}

#[tokio::test]
async fn a_filter_that_fails_leaves_out_its_files_and_no_others() {
    let fixture = Fixture::new(&[("a.txt", b"1")]).await;
    let checkout = fixture.checkout().await;
    let path = checkout.path();
    write(&path.join(".gitattributes"), "*.bin filter=gone\nodd.txt working-tree-encoding=UTF-16\n");
    git(path, &["config", "filter.gone.clean", "no-such-program"]);
    git(path, &["config", "filter.gone.required", "true"]);
    write(&path.join("x y.bin"), "1");
    write(&path.join("sub/z.bin"), "1");
    write(&path.join("odd.txt"), "x");
    write(&path.join("a.txt"), "2");
    let snapshot = checkout.snapshot().await.unwrap();
    let mut missing = snapshot.missing;
    missing.sort();
    assert_eq!(missing, ["odd.txt: its filter fails", "sub/z.bin: its filter fails", "x y.bin: its filter fails"]);
    let found = fixture.project.diff(checkout.base_commit(), &snapshot.tree).await.unwrap();
    assert_eq!(found.iter().map(|it| it.change.path.as_str()).collect::<Vec<_>>(), [".gitattributes", "a.txt"]);
    assert_eq!(checkout.risk().await.unwrap().uncommitted, 5);
    let error = checkout.remove("s1", true).await.unwrap_err();
    assert!(matches!(&error, WorktreeError::NotPreserved { what, .. } if what.len() == 3), "{error}");
}

#[tokio::test]
async fn a_project_whose_configuration_names_another_checkout_is_not_opened() {
    let fixture = Fixture::new(&[("a.txt", b"1")]).await;
    let elsewhere = fixture.dir.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let checkout = fixture.checkout().await;
    git(checkout.path(), &["config", "core.worktree", elsewhere.to_str().unwrap()]);
    let error = Repository::open(&new_git(), fixture.root()).await.unwrap_err();
    assert!(matches!(&error, WorktreeError::UnsafePath { reason, .. } if reason.contains("core.worktree")), "{error}");
}

#[tokio::test]
async fn what_a_killed_removal_left_of_gits_notes_goes_with_the_next_one() {
    let fixture = Fixture::new(&[("a.txt", b"1")]).await;
    let left = fixture.root().join(".git/boocoder-removed-session-x");
    write(&left.join("HEAD"), "half of it");
    fixture.checkout().await.remove("s1", false).await.unwrap();
    let names = fs::read_dir(fixture.root().join(".git")).unwrap().map(|it| it.unwrap().file_name());
    assert_eq!(names.filter(|name| name.to_string_lossy().starts_with("boocoder")).count(), 0);
    assert_eq!(git(fixture.root(), &["worktree", "list"]).lines().count(), 1);
}
