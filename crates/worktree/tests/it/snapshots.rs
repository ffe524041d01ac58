//! Snapshots of a worktree as it stands.

use std::fs;

use boocoder_worktree::WorktreeError;

use crate::fixture::{Fixture, admin_dir, change, changes, commit, git, init, link, set_mode, write};

#[tokio::test]
async fn a_snapshot_holds_what_a_commit_of_everything_would() {
    let fixture = Fixture::new(&[("a.txt", b"1"), ("gone.txt", b"1"), (".gitignore", b"*.log\n")]).await;
    let checkout = fixture.checkout().await;
    let path = checkout.path();
    write(&path.join("a.txt"), "2");
    fs::remove_file(path.join("gone.txt")).unwrap();
    write(&path.join("new/ü \"x\".txt"), "new");
    write(&path.join("run.sh"), "#!/bin/sh\n");
    set_mode(&path.join("run.sh"), 0o755);
    link("a.txt", &path.join("link"));
    write(&path.join("noise.log"), "ignored");

    let before = (git(path, &["status", "--porcelain"]), fs::read(fixture.root().join(".git/index")).unwrap());
    let snapshot = checkout.snapshot().await.unwrap();
    let after = (git(path, &["status", "--porcelain"]), fs::read(fixture.root().join(".git/index")).unwrap());
    assert_eq!(before, after, "neither index is touched");
    assert_eq!(git(path, &["rev-parse", "HEAD"]), checkout.base_commit().as_str());

    commit(path, "everything");
    assert_eq!(snapshot.tree.as_str(), git(path, &["rev-parse", "HEAD^{tree}"]));
    assert_eq!(checkout.snapshot().await.unwrap(), snapshot, "a commit changes no file");
}

#[tokio::test]
async fn a_change_of_the_same_size_right_after_a_snapshot_is_seen() {
    let fixture = Fixture::new(&[("a.txt", b"0")]).await;
    let checkout = fixture.checkout().await;
    let mut trees = std::collections::BTreeSet::new();
    for round in 1..=9 {
        write(&checkout.path().join("a.txt"), round.to_string());
        trees.insert(checkout.snapshot().await.unwrap().tree);
    }
    assert_eq!(trees.len(), 9);
}

#[tokio::test]
async fn snapshots_at_once_and_leftovers_do_no_harm() {
    let fixture = Fixture::new(&[("a.txt", b"1")]).await;
    let checkout = fixture.checkout().await;
    write(&checkout.path().join("b.txt"), "2");
    let admin = admin_dir(&checkout);
    write(&admin.join("boocoder-index.lock"), "left by a killed process");
    write(&admin.join("index.lock"), "held by the agent's own git");
    let (one, other) = tokio::join!(checkout.snapshot(), checkout.snapshot());
    assert_eq!(one.unwrap(), other.unwrap());
    let left = fs::read_dir(admin)
        .unwrap()
        .filter(|item| item.as_ref().unwrap().file_name().to_string_lossy().starts_with("boocoder-snapshot-"));
    assert_eq!(left.count(), 0, "nothing temporary is left");
}

#[tokio::test]
async fn what_cannot_be_read_is_named_and_the_rest_is_kept() {
    let fixture = Fixture::new(&[("a.txt", b"1")]).await;
    let checkout = fixture.checkout().await;
    init(&checkout.path().join("nested"));
    write(&checkout.path().join("nested/x.txt"), "x");
    write(&checkout.path().join("z.txt"), "z");
    let snapshot = checkout.snapshot().await.unwrap();
    assert!(snapshot.missing.iter().any(|line| line.contains("nested")), "{:?}", snapshot.missing);
    let files = git(checkout.path(), &["ls-tree", "--name-only", snapshot.tree.as_str()]);
    assert_eq!(files, "a.txt\nz.txt");
}

#[tokio::test]
async fn a_nested_repository_shows_and_is_not_written() {
    let fixture = Fixture::new(&[("a.txt", b"1")]).await;
    let checkout = fixture.checkout().await;
    let nested = checkout.path().join("nested");
    write(&nested.join("x.txt"), "x");
    init(&nested);
    commit(&nested, "nested");
    let change = change(&checkout).await;
    assert_eq!(change[0].path.as_str(), "nested");
    let error = fixture.project.apply(&change).await.unwrap_err();
    assert!(matches!(error, WorktreeError::Submodule { .. }), "{error}");
    assert!(!fixture.root().join("nested").exists());
}

#[tokio::test]
async fn pins_survive_a_collection_and_nothing_else_does() {
    let fixture = Fixture::new(&[("a.txt", b"1")]).await;
    let checkout = fixture.checkout().await;
    write(&checkout.path().join("a.txt"), "pinned");
    let pinned = checkout.snapshot().await.unwrap().tree;
    fixture.project.pin(&pinned, &[], "turns/one").await.unwrap();
    write(&checkout.path().join("a.txt"), "loose");
    let loose = checkout.snapshot().await.unwrap().tree;
    write(&checkout.path().join("a.txt"), "1");
    checkout.snapshot().await.unwrap();

    let there = |tree: &str| git(fixture.root(), &["cat-file", "--batch-check", "--batch-all-objects"]).contains(tree);
    git(fixture.root(), &["gc", "--quiet", "--prune=now"]);
    assert!(there(pinned.as_str()) && !there(loose.as_str()));
    fixture.project.unpin("turns/one").await.unwrap();
    fixture.project.unpin("turns/one").await.unwrap();
    assert_eq!(fixture.project.pinned("turns/one").await.unwrap(), None);
    git(fixture.root(), &["gc", "--quiet", "--prune=now"]);
    assert!(!there(pinned.as_str()));
    for name in ["../heads/main", "a b", "x.lock", ""] {
        let error = fixture.project.pin(&pinned, &[], name).await.unwrap_err();
        assert!(matches!(error, WorktreeError::Failed { .. }), "{name:?}: {error}");
    }
}

#[tokio::test]
async fn line_endings_by_rule_are_no_change() {
    let fixture = Fixture::new(&[("a.txt", b"one\ntwo\n"), (".gitattributes", b"*.txt text eol=crlf\n")]).await;
    git(fixture.root(), &["config", "core.safecrlf", "true"]);
    let checkout = fixture.checkout().await;
    assert_eq!(fs::read(checkout.path().join("a.txt")).unwrap(), b"one\r\ntwo\r\n");
    assert_eq!(changes(&checkout).await, []);
    write(&checkout.path().join("a.txt"), "one\r\nTWO\nthree\r\n");
    change(&checkout).await;
}

#[tokio::test]
async fn an_overlay_puts_files_in_and_takes_files_out_of_a_tree() {
    let fixture = Fixture::new(&[("a.txt", b"1"), ("b/c.txt", b"1"), ("same.txt", b"1")]).await;
    let checkout = fixture.checkout().await;
    write(&checkout.path().join("a.txt"), "2");
    write(&checkout.path().join("new \"ü\".txt"), "new");
    fs::remove_file(checkout.path().join("b/c.txt")).unwrap();
    let files: Vec<_> = changes(&checkout).await.into_iter().map(|change| (change.path, change.target)).collect();
    let overlay = fixture.project.overlay(checkout.base_commit(), &files).await.unwrap();
    assert_eq!(overlay, checkout.snapshot().await.unwrap().tree);
    let nothing = fixture.project.overlay(&overlay, &[]).await.unwrap();
    assert_eq!(nothing, overlay);

    // A file where a directory was, and a directory where a file was.
    fs::remove_dir(checkout.path().join("b")).unwrap();
    write(&checkout.path().join("b"), "2");
    fs::remove_file(checkout.path().join("same.txt")).unwrap();
    write(&checkout.path().join("same.txt/x"), "2");
    let files: Vec<_> = changes(&checkout).await.into_iter().map(|change| (change.path, change.target)).collect();
    let overlay = fixture.project.overlay(checkout.base_commit(), &files).await.unwrap();
    assert_eq!(overlay, checkout.snapshot().await.unwrap().tree);
}
