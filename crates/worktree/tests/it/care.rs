//! Worktrees made ready, put back when they were taken away, and projects with parts that git keeps elsewhere.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use boocoder_worktree::{Checkout, Git, Limits, Preparation, Repository, Risk, Setup, WorktreeError, check_pattern};

use crate::fixture::{Fixture, changes, commit, git, init, link, mode, read, set_mode, write};

fn copying(patterns: &[&str]) -> Preparation {
    Preparation { copy: patterns.iter().map(|pattern| (*pattern).to_owned()).collect(), setup: None }
}

fn running(command: &str, time: Duration) -> Preparation {
    let environment = BTreeMap::from([("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into())]);
    let setup = Setup { command: command.to_owned(), environment, time };
    Preparation { copy: Vec::new(), setup: Some(setup) }
}

const SOON: Duration = Duration::from_secs(30);

#[tokio::test]
async fn ignored_files_that_are_named_are_copied_as_they_are() {
    let ignored = b".env*\n/config/*.local\nnode_modules\n";
    let fixture = Fixture::new(&[("a.txt", b"1"), (".gitignore", ignored), (".env.sample", b"KEY=\n")]).await;
    let root = fixture.root();
    git(root, &["add", "--force", ".env.sample"]);
    commit(root, "a sample that is tracked");
    write(&root.join(".env"), "KEY=secret\n");
    set_mode(&root.join(".env"), 0o600);
    write(&root.join("deep/down/.env"), "not asked for");
    write(&root.join("config/db.local"), "db");
    write(&root.join("config/:odd [name]*.local"), "odd");
    link("db.local", &root.join("config/other.local"));
    write(&root.join("node_modules/x/index.js"), "x");
    write(&root.join("loose.txt"), "not ignored, so it is nobody's to copy");
    let patterns = copying(&[".env*", "config/**", "loose.txt", "missing", "*.txt"]);
    let checkout = fixture.project.create_prepared(&fixture.dest(), &patterns).await.unwrap();
    let path = checkout.path();
    assert_eq!((read(&path.join(".env")), mode(&path.join(".env"))), (b"KEY=secret\n".to_vec(), 0o600));
    assert_eq!(read(&path.join(".env.sample")), b"KEY=\n");
    assert_eq!(read(&path.join("config/db.local")), b"db");
    assert_eq!(read(&path.join("config/:odd [name]*.local")), b"odd");
    assert_eq!(fs::read_link(path.join("config/other.local")).unwrap(), Path::new("db.local"));
    for absent in ["deep", "node_modules", "loose.txt"] {
        assert!(!path.join(absent).exists(), "{absent}");
    }
    assert_eq!(changes(&checkout).await, [], "what is copied is no change");
    assert!(checkout.risk().await.unwrap().is_none());
}

#[tokio::test]
async fn what_the_worktree_would_not_ignore_is_not_copied_and_no_link_leads_out() {
    let fixture = Fixture::with(&[("a.txt", b"1")], |root| link("/etc", &root.join("dir"))).await;
    let root = fixture.root();
    write(&root.join(".gitignore"), ".env\ndir/*\n");
    write(&root.join(".env"), "the rule that ignores it is not committed");
    fs::remove_file(root.join("dir")).unwrap();
    write(&root.join("dir/boocoder-test"), "must not land in /etc");
    write(&root.join(".git/info/exclude"), "dir/*\n");
    let checkout = fixture.project.create_prepared(&fixture.dest(), &copying(&[".env", "dir/*"])).await.unwrap();
    assert!(!checkout.path().join(".env").exists() && !Path::new("/etc/boocoder-test").exists());
    assert_eq!(changes(&checkout).await, []);
}

#[test]
fn patterns_stay_in_the_project() {
    assert_eq!(check_pattern(".env"), Ok(()));
    assert_eq!(check_pattern("config/**/*.local"), Ok(()));
    for bad in ["", "/etc/passwd", "../secrets", "a/../../b"] {
        assert!(check_pattern(bad).is_err(), "{bad:?}");
    }
}

#[tokio::test]
async fn a_setup_command_runs_in_the_worktree_with_an_environment_of_its_own() {
    let fixture = Fixture::new(&[("a.txt", b"1"), (".gitignore", b"ready\n")]).await;
    let command = "printf '%s\\n' \"$BOOCODER_PROJECT\" \"$BOOCODER_WORKTREE\" \"$PWD\" \"${HOME-none}\" > ready";
    let checkout = fixture.project.create_prepared(&fixture.dest(), &running(command, SOON)).await.unwrap();
    let [root, path] = [fixture.root(), checkout.path()].map(|path| path.to_str().unwrap().to_owned());
    assert_eq!(
        String::from_utf8(read(&checkout.path().join("ready"))).unwrap(),
        format!("{root}\n{path}\n{path}\nnone\n")
    );
}

#[tokio::test]
async fn a_setup_that_fails_or_hangs_leaves_no_worktree_and_says_why() {
    let fixture = Fixture::new(&[("a.txt", b"1")]).await;
    let failing = running("echo on the way; echo 'no network' >&2; exit 3", SOON);
    let error = fixture.project.create_prepared(&fixture.dest(), &failing).await.unwrap_err();
    assert!(matches!(&error, WorktreeError::SetupFailed { said, .. } if said == "on the way\nno network"), "{error}");
    assert!(error.to_string().contains("exit status: 3"), "{error}");

    let pid_file = fixture.dir.path().join("pid");
    let hanging = running(&format!("sleep 600 & echo $! > '{}'; wait", pid_file.display()), Duration::from_secs(1));
    let error = fixture.project.create_prepared(&fixture.dest(), &hanging).await.unwrap_err();
    assert!(matches!(error, WorktreeError::TimedOut { .. }), "{error}");
    assert!(!fixture.dest().exists());
    assert_eq!(fixture.project.checkouts().await.unwrap(), []);
    crate::processes::gone(&fs::read_to_string(pid_file).unwrap()).await;

    // It can be made all the same once the command is mended, and what it leaves running does not hold anybody up.
    let mended = running("sleep 2 & exit 0", SOON);
    fixture.project.create_prepared(&fixture.dest(), &mended).await.unwrap();
}

/// A worktree with a commit of the agent's, a staged file, one that is not staged, a new one and one that is gone.
async fn worked_in(fixture: &Fixture) -> Checkout {
    let checkout = fixture.checkout().await;
    let path = checkout.path();
    write(&path.join("a.txt"), "committed");
    commit(path, "by the agent");
    write(&path.join("staged.txt"), "staged");
    git(path, &["add", "staged.txt"]);
    write(&path.join("b.txt"), "changed");
    set_mode(&path.join("b.txt"), 0o755);
    fs::remove_file(path.join("c.txt")).unwrap();
    write(&path.join("new/n.txt"), "new");
    link("new/n.txt", &path.join("link"));
    checkout
}

const FILES: [(&str, &[u8]); 3] = [("a.txt", b"1"), ("b.txt", b"1"), ("c.txt", b"1")];

#[tokio::test]
async fn a_worktree_whose_directory_was_taken_away_comes_back_as_it_was_last_seen() {
    let fixture = Fixture::new(&FILES).await;
    let checkout = worked_in(&fixture).await;
    let status = || git(&fixture.dest(), &["status", "--porcelain"]);
    let (tree, before, head) =
        (checkout.snapshot().await.unwrap().tree, status(), git(checkout.path(), &["log", "--oneline"]));
    let base = checkout.base_commit().clone();
    let plain = Preparation::default();
    let restore = || fixture.project.restore_worktree(checkout.path(), &base, &tree, &plain);
    let error = restore().await.unwrap_err();
    assert!(matches!(error, WorktreeError::AlreadyExists { .. }), "what is there is left alone: {error}");

    fs::remove_dir_all(checkout.path()).unwrap();
    write(&fixture.dest().with_file_name(".ein Wörktree.part").join("left"), "by one that was cut short");
    let back = restore().await.unwrap();
    assert_eq!(back.snapshot().await.unwrap().tree, tree);
    assert_eq!((status(), git(back.path(), &["log", "--oneline"])), (before, head));
    assert_eq!(mode(&back.path().join("b.txt")) & 0o100, 0o100);
    let beside: Vec<_> =
        fs::read_dir(fixture.dest().parent().unwrap()).unwrap().map(|item| item.unwrap().file_name()).collect();
    assert_eq!(beside, [fixture.dest().file_name().unwrap()], "nothing is left beside it");

    // By git's own hand, and its notes with it.
    git(fixture.root(), &["worktree", "remove", "--force", "--force", back.path().to_str().unwrap()]);
    let again =
        fixture.project.restore_worktree(&fixture.dest(), &base, &tree, &running("touch ready", SOON)).await.unwrap();
    assert_eq!(read(&again.path().join("b.txt")), b"changed");
    assert!(!again.path().join("c.txt").exists() && again.path().join("ready").exists());
    assert_eq!(again.risk().await.unwrap(), Risk { uncommitted: 7, unmerged: 0 });
}

#[tokio::test]
async fn a_project_that_was_moved_keeps_its_worktrees() {
    let fixture = Fixture::new(&FILES).await;
    let checkout = worked_in(&fixture).await;
    let base = checkout.base_commit().clone();
    let moved = fixture.dir.path().join("elsewhere");
    fs::rename(fixture.root(), &moved).unwrap();
    let project = Repository::open(&Git::new(Limits::default()), &moved).await.unwrap();
    let error = project.open_checkout(&fixture.dest(), &base).await.unwrap_err();
    assert!(matches!(error, WorktreeError::NotARepository { .. }), "{error}");
    project.repair(&fixture.dest()).await.unwrap();
    let back = project.open_checkout(&fixture.dest(), &base).await.unwrap();
    assert_eq!(read(&back.path().join("b.txt")), b"changed");
    assert_eq!(back.risk().await.unwrap().unmerged, 1);
    assert!(project.entry_at(&fixture.dest()).await.unwrap().unwrap().is_linked().await.unwrap());

    // Where the worktree itself went, and an agent that removed all it could.
    let away = fixture.dir.path().join("away");
    fs::rename(fixture.dest(), &away).unwrap();
    project.repair(&away).await.unwrap();
    fs::remove_file(away.join(".git")).unwrap();
    assert!(!project.entry_at(&away).await.unwrap().unwrap().is_linked().await.unwrap());
    project.repair(&away).await.unwrap();
    let back = project.open_checkout(&away, &base).await.unwrap();
    assert_eq!(read(&back.path().join("b.txt")), b"changed");
}

/// A project with a submodule that is fetched in its own checkout.
async fn with_submodule() -> Fixture {
    let library = tempfile::tempdir().unwrap();
    let library_root = library.keep();
    init(&library_root);
    write(&library_root.join("lib.txt"), "library");
    commit(&library_root, "library");
    Fixture::with(&[("a.txt", b"1")], |root| {
        let add =
            ["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", library_root.to_str().unwrap(), "sub"];
        git(root, &add);
    })
    .await
}

#[tokio::test]
async fn a_submodule_is_an_empty_directory_until_setup_fetches_it() {
    let fixture = with_submodule().await;
    let checkout = fixture.checkout().await;
    assert_eq!(fs::read_dir(checkout.path().join("sub")).unwrap().count(), 0);
    assert_eq!(changes(&checkout).await, []);
    checkout.remove("s1", false).await.unwrap();

    let fetch = running("git -c protocol.file.allow=always submodule --quiet update --init", SOON);
    let checkout = fixture.project.create_prepared(&fixture.dest(), &fetch).await.unwrap();
    let inside = checkout.path().join("sub");
    assert_eq!(read(&inside.join("lib.txt")), b"library");
    assert_eq!(changes(&checkout).await, []);
    assert_eq!(checkout.remove("s1", false).await.unwrap(), None, "it holds nothing that its remote does not");
}

#[tokio::test]
async fn work_inside_a_submodule_is_told_and_never_removed() {
    let fixture = with_submodule().await;
    let fetch = running("git -c protocol.file.allow=always submodule --quiet update --init", SOON);
    let checkout = fixture.project.create_prepared(&fixture.dest(), &fetch).await.unwrap();
    let inside = checkout.path().join("sub");
    write(&inside.join("lib.txt"), "by the agent");
    let missing = checkout.snapshot().await.unwrap().missing;
    assert_eq!(missing, ["changed files of the submodule sub"]);
    let error = checkout.remove("s1", true).await.unwrap_err();
    assert!(matches!(error, WorktreeError::NotPreserved { .. }), "{error}");

    commit(&inside, "by the agent");
    let change = crate::fixture::changes(&checkout).await;
    assert_eq!(change[0].path.as_str(), "sub");
    let error = fixture.project.apply(&change).await.unwrap_err();
    assert!(matches!(error, WorktreeError::Submodule { .. }), "{error}");
    let error = checkout.remove("s1", true).await.unwrap_err();
    assert!(matches!(&error, WorktreeError::NotPreserved { what, .. } if what[0].contains("sub")), "{error}");
    // Even when nothing points to the commit any more but the log of what was checked out.
    git(&inside, &["checkout", "--quiet", "--detach", "origin/HEAD"]);
    let error = checkout.remove("s1", true).await.unwrap_err();
    assert!(matches!(error, WorktreeError::NotPreserved { .. }), "{error}");
}

#[tokio::test]
async fn work_outside_the_cone_of_a_sparse_checkout_is_work_as_any_other() {
    let fixture = Fixture::new(&[("in/a.txt", b"1"), ("out/b.txt", b"1"), ("out/c.txt", b"1")]).await;
    git(fixture.root(), &["sparse-checkout", "set", "in"]);
    let checkout = fixture.checkout().await;
    assert!(!checkout.path().join("out").exists());
    assert_eq!(changes(&checkout).await, [], "what is not checked out is not deleted");
    write(&checkout.path().join("in/a.txt"), "2");
    write(&checkout.path().join("out/b.txt"), "2");
    write(&checkout.path().join("new/d.txt"), "2");
    let snapshot = checkout.snapshot().await.unwrap();
    assert_eq!(snapshot.missing, [""; 0]);
    let all = changes(&checkout).await;
    assert_eq!(all.iter().map(|it| it.path.as_str()).collect::<Vec<_>>(), ["in/a.txt", "new/d.txt", "out/b.txt"]);
    fixture.project.apply(&all[..2]).await.unwrap();
    assert_eq!(read(&fixture.root().join("new/d.txt")), b"2");
}

/// Large files as git-lfs keeps them: a pointer in git, the content beside it, put together by a pair of filters.
#[tokio::test]
async fn files_behind_filters_are_whole_in_the_worktree_and_in_the_project() {
    let rule = b"*.bin filter=big diff=big merge=big -text\n";
    let fixture = Fixture::with(&[("a.txt", b"1"), (".gitattributes", rule)], |root| {
        let store = root.join(".git/big");
        fs::create_dir_all(&store).unwrap();
        let clean = format!(
            "f=$(mktemp) && cat > $f && id=$(git hash-object --no-filters $f) && mv $f '{0}'/$id && echo \"big $id\"",
            store.display()
        );
        let smudge = format!("read word id && cat '{0}'/$id", store.display());
        git(root, &["config", "filter.big.clean", &clean]);
        git(root, &["config", "filter.big.smudge", &smudge]);
        git(root, &["config", "filter.big.required", "true"]);
        write(&root.join("x.bin"), vec![7; 100_000]);
    })
    .await;
    let checkout = fixture.checkout().await;
    assert_eq!(read(&checkout.path().join("x.bin")), vec![7; 100_000]);
    write(&checkout.path().join("x.bin"), vec![8; 50_000]);
    let change = crate::fixture::change(&checkout).await;
    let pointer = git(fixture.root(), &["cat-file", "blob", &change[0].target.as_ref().unwrap().blob]);
    assert!(pointer.starts_with("big "), "{pointer}");
    fixture.project.apply(&change).await.unwrap();
    assert_eq!(read(&fixture.root().join("x.bin")), vec![8; 50_000]);
    assert_eq!(git(fixture.root(), &["status", "--porcelain"]), " M x.bin");
    let permissions = fs::metadata(fixture.root().join("x.bin")).unwrap().permissions();
    assert_eq!(permissions.mode() & 0o111, 0);
}

#[tokio::test]
async fn what_git_keeps_of_a_worktree_may_break_and_its_work_is_not_lost() {
    let fixture = Fixture::new(&FILES).await;
    let checkout = worked_in(&fixture).await;
    let tree = checkout.snapshot().await.unwrap().tree;
    let index = crate::fixture::admin_dir(&checkout).join("boocoder-index");
    write(&index, "no index");
    assert_eq!(checkout.snapshot().await.unwrap().tree, tree, "all files are read again");
    assert_eq!(checkout.snapshot().await.unwrap().tree, tree);

    fs::remove_file(&index).unwrap();
    assert!(!checkout.is_there().await.unwrap());
    let entry = fixture.project.entry_at(&fixture.dest()).await.unwrap().unwrap();
    assert!(!entry.complete && !entry.removing);
    fixture.project.complete(&fixture.dest()).await.unwrap();
    let back = fixture.project.open_checkout(&fixture.dest(), checkout.base_commit()).await.unwrap();
    assert_eq!(back.snapshot().await.unwrap().tree, tree);

    // As a removal that was cut short leaves it.
    fs::rename(&index, index.with_file_name("boocoder-removal")).unwrap();
    let entry = fixture.project.entry_at(&fixture.dest()).await.unwrap().unwrap();
    assert!(!entry.complete && entry.removing);
    let error = fixture.project.complete(&fixture.dest()).await.unwrap_err();
    assert!(matches!(error, WorktreeError::Incomplete { .. }), "{error}");
    fixture.project.discard(&entry).await.unwrap();
    assert!(!fixture.dest().exists());
}

#[tokio::test]
async fn a_link_in_place_of_a_worktree_is_never_written_through() {
    let fixture = Fixture::new(&FILES).await;
    let checkout = fixture.checkout().await;
    let (dest, other) = (checkout.path().to_owned(), fixture.dir.path().join("somebody else's"));
    fs::create_dir(&other).unwrap();
    fs::remove_dir_all(&dest).unwrap();
    link(other.to_str().unwrap(), &dest);
    let error = fixture.project.repair(&dest).await.unwrap_err();
    assert!(matches!(error, WorktreeError::NotOurs { .. }), "{error}");
    let error = fixture.project.open_checkout(&dest, checkout.base_commit()).await.unwrap_err();
    assert!(matches!(error, WorktreeError::NotARepository { .. } | WorktreeError::NotOurs { .. }), "{error}");
    assert_eq!(fs::read_dir(&other).unwrap().count(), 0);
}

#[tokio::test]
async fn a_setup_that_takes_the_worktree_away_has_failed() {
    let fixture = Fixture::new(&[("a.txt", b"1")]).await;
    let setup = running("rm -rf \"$BOOCODER_WORKTREE\"", SOON);
    let made = fixture.project.create_prepared(&fixture.dest(), &setup).await;
    assert!(matches!(&made, Err(WorktreeError::SetupFailed { said, .. }) if said.contains("took")));
    assert_eq!(fixture.project.checkouts().await.unwrap(), []);
}
