//! Changes applied to the project, taken back, and taken out of the worktree.

use std::fs;
use std::path::Path;

use boocoder_model::{BlobRef, Operation};
use boocoder_worktree::{Applied, Change, Found, WorktreeError};

use crate::fixture::{Fixture, change, changes, commit, git, init, link, mode, read, set_mode, write};

fn written(applied: &Applied) -> Vec<&str> {
    applied.written.iter().map(|path| path.as_str()).collect()
}

fn conflict(error: WorktreeError) -> (String, Found) {
    let WorktreeError::Conflict(conflict) = error else { panic!("a conflict was expected: {error}") };
    (conflict.path.to_string(), conflict.found)
}

#[tokio::test]
async fn an_edit_goes_in_and_out_and_touches_neither_index_nor_head() {
    let fixture = Fixture::new(&[("dir/a.txt", b"1\n"), ("other", b"x\n")]).await;
    let checkout = fixture.checkout().await;
    write(&checkout.path().join("dir/a.txt"), "2\n");
    let change = change(&checkout).await;
    write(&fixture.root().join("other"), "a human's own");
    let index = || (read(&fixture.root().join(".git/index")), git(fixture.root(), &["rev-parse", "HEAD"]));
    let before = index();
    let file = fixture.root().join("dir/a.txt");
    set_mode(&file, 0o640);

    assert_eq!(written(&fixture.project.apply(&change).await.unwrap()), ["dir/a.txt"]);
    assert_eq!((read(&file), mode(&file)), (b"2\n".to_vec(), 0o640));
    assert_eq!(written(&fixture.project.apply(&change).await.unwrap()), [""; 0], "again is harmless");
    fixture.project.revert(&change).await.unwrap();
    assert_eq!((read(&file), mode(&file)), (b"1\n".to_vec(), 0o640));
    assert_eq!(written(&fixture.project.revert(&change).await.unwrap()), [""; 0]);
    assert_eq!(index(), before);
    assert_eq!(read(&fixture.root().join("other")), b"a human's own");
}

#[tokio::test]
async fn a_file_that_moved_on_is_never_overwritten() {
    let fixture = Fixture::new(&[("a.txt", b"1"), ("b.txt", b"1"), ("c.txt", b"1")]).await;
    let checkout = fixture.checkout().await;
    for name in ["a.txt", "b.txt", "new.txt"] {
        write(&checkout.path().join(name), "2");
    }
    fs::remove_file(checkout.path().join("c.txt")).unwrap();
    let all = changes(&checkout).await;

    for (name, content) in [("b.txt", "mine"), ("c.txt", "mine"), ("new.txt", "mine")] {
        let file = fixture.root().join(name);
        let old = fs::read(&file).ok();
        write(&file, content);
        let (path, found) = conflict(fixture.project.apply(&all).await.unwrap_err());
        assert_eq!(path, name);
        let blob = git(fixture.root(), &["hash-object", name]);
        assert_eq!(found, Found::File(BlobRef { blob, mode: "100644".into() }));
        assert_eq!(read(&file), b"mine");
        assert_eq!(read(&fixture.root().join("a.txt")), b"1", "all or none");
        old.map_or_else(|| fs::remove_file(&file).unwrap(), |old| write(&file, old));
    }
    set_mode(&fixture.root().join("a.txt"), 0o755);
    assert_eq!(conflict(fixture.project.apply(&all).await.unwrap_err()).0, "a.txt", "the mode counts too");
    fs::remove_file(fixture.root().join("a.txt")).unwrap();
    assert_eq!(conflict(fixture.project.apply(&all).await.unwrap_err()), ("a.txt".into(), Found::Absent));
    fs::create_dir(fixture.root().join("a.txt")).unwrap();
    assert_eq!(conflict(fixture.project.apply(&all).await.unwrap_err()), ("a.txt".into(), Found::Directory));
}

#[tokio::test]
async fn a_revert_refuses_when_the_file_moved_on() {
    let fixture = Fixture::new(&[("a.txt", b"1")]).await;
    let checkout = fixture.checkout().await;
    write(&checkout.path().join("a.txt"), "2");
    let change = change(&checkout).await;
    fixture.project.apply(&change).await.unwrap();
    write(&fixture.root().join("a.txt"), "3");
    assert_eq!(conflict(fixture.project.revert(&change).await.unwrap_err()).0, "a.txt");
    assert_eq!(read(&fixture.root().join("a.txt")), b"3");
}

#[tokio::test]
async fn a_rejected_change_leaves_the_worktree_unless_the_agent_went_on() {
    let fixture = Fixture::new(&[("a.txt", b"1"), ("b.txt", b"1")]).await;
    let checkout = fixture.checkout().await;
    write(&checkout.path().join("a.txt"), "2");
    write(&checkout.path().join("new/x.txt"), "2");
    let all = changes(&checkout).await;
    write(&checkout.path().join("a.txt"), "3");
    assert_eq!(conflict(checkout.reject(&all).await.unwrap_err()).0, "a.txt");
    assert!(checkout.path().join("new/x.txt").exists());

    let all = changes(&checkout).await;
    assert_eq!(written(&checkout.reject(&all).await.unwrap()), ["a.txt", "new/x.txt"]);
    assert_eq!(changes(&checkout).await, []);
    assert!(!checkout.path().join("new").exists(), "no empty directory stays");
    assert_eq!(written(&checkout.reject(&all).await.unwrap()), [""; 0]);
    assert_eq!(read(&fixture.root().join("a.txt")), b"1");
}

#[tokio::test]
async fn modes_links_and_binary_files_go_over_as_they_are() {
    let fixture =
        Fixture::with(&[("tool", b"x"), ("bin", b"\0\r\n\xff")], |root| link("tool", &root.join("link"))).await;
    let checkout = fixture.checkout().await;
    let (path, root) = (checkout.path(), fixture.root());
    set_mode(&path.join("tool"), 0o755);
    write(&path.join("bin"), b"\0\n\r\n\xfe");
    link("nowhere/at all", &path.join("link"));
    link("/etc/hostname", &path.join("absolute"));
    let all = changes(&checkout).await;
    assert_eq!(all.len(), 4);
    fixture.project.apply(&all).await.unwrap();
    assert_eq!(mode(&root.join("tool")) & 0o111, 0o111);
    assert_eq!(read(&root.join("bin")), b"\0\n\r\n\xfe");
    assert_eq!(fs::read_link(root.join("link")).unwrap(), Path::new("nowhere/at all"));
    assert_eq!(fs::read_link(root.join("absolute")).unwrap(), Path::new("/etc/hostname"));
    fixture.project.revert(&all).await.unwrap();
    assert_eq!(git(root, &["status", "--porcelain"]), "");

    fs::remove_file(path.join("link")).unwrap();
    write(&path.join("link"), "a file now");
    let all = changes(&checkout).await;
    fixture.project.apply(&all).await.unwrap();
    assert_eq!(read(&root.join("link")), b"a file now");
    assert!(root.join("link").symlink_metadata().unwrap().is_file());
    fixture.project.revert(&all).await.unwrap();
    assert_eq!(git(root, &["status", "--porcelain"]), "");
}

#[tokio::test]
async fn a_directory_in_place_of_a_file_is_finished_or_taken_back_from_wherever_it_was_cut_short() {
    let files: [(&str, &[u8]); 4] = [("d/f", b"1"), ("d/deep/g", b"2"), ("e/f", b"3"), ("x", b"4")];
    let cuts: [fn(&Path); 5] = [
        |_| {},
        |root| fs::remove_file(root.join("d/f")).unwrap(),
        |root| fs::remove_dir_all(root.join("d")).unwrap(),
        |root| {
            fs::remove_dir_all(root.join("d")).unwrap();
            link("e", &root.join("d"));
        },
        |root| fs::remove_file(root.join("x")).unwrap(),
    ];
    for (number, cut) in cuts.into_iter().enumerate() {
        let fixture = Fixture::new(&files).await;
        let checkout = fixture.checkout().await;
        let (path, root) = (checkout.path(), fixture.root());
        fs::remove_dir_all(path.join("d")).unwrap();
        link("e", &path.join("d"));
        fs::remove_file(path.join("x")).unwrap();
        write(&path.join("x/y"), "5");
        let all = changes(&checkout).await;
        cut(root);
        fixture.project.apply(&all).await.unwrap();
        assert_eq!(fs::read_link(root.join("d")).unwrap(), Path::new("e"), "{number}");
        assert_eq!(read(&root.join("x/y")), b"5", "{number}");
        fixture.project.revert(&all).await.unwrap();
        assert_eq!(git(root, &["status", "--porcelain"]), "", "{number}");

        cut(root);
        fixture.project.revert(&all).await.unwrap();
        assert_eq!(git(root, &["status", "--porcelain"]), "", "taken back: {number}");
        write(&root.join("d/mine"), "6");
        assert_eq!(
            conflict(fixture.project.apply(&all).await.unwrap_err()),
            ("d".into(), Found::Directory),
            "{number}"
        );
        assert_eq!(git(root, &["status", "--porcelain"]), "?? d/mine", "{number}");
    }
}

#[tokio::test]
async fn a_rename_is_checked_on_both_sides_and_finishes_when_cut_short() {
    let text: String = (0..60).map(|line| format!("{line}\n")).collect();
    let fixture = Fixture::new(&[("old.txt", text.as_bytes())]).await;
    let checkout = fixture.checkout().await;
    fs::rename(checkout.path().join("old.txt"), checkout.path().join("new.txt")).unwrap();
    write(&checkout.path().join("new.txt"), text.replace("7\n", "seven\n"));
    let rename = change(&checkout).await;
    assert_eq!(rename[0].operation, Operation::Rename);
    let (old, new) = (fixture.root().join("old.txt"), fixture.root().join("new.txt"));

    write(&new, "mine");
    assert_eq!(conflict(fixture.project.apply(&rename).await.unwrap_err()).0, "new.txt");
    fs::remove_file(&new).unwrap();
    write(&old, "mine");
    assert_eq!(conflict(fixture.project.apply(&rename).await.unwrap_err()).0, "old.txt");
    assert!(!new.exists());
    write(&old, &text);

    fixture.project.apply(&rename).await.unwrap();
    assert!(!old.exists() && new.exists());
    write(&old, &text);
    assert_eq!(written(&fixture.project.apply(&rename).await.unwrap()), ["old.txt"], "the half that was left");
    fixture.project.revert(&rename).await.unwrap();
    assert_eq!(read(&old), text.as_bytes());
    assert!(!new.exists());
    checkout.reject(&rename).await.unwrap();
    assert_eq!(changes(&checkout).await, []);
}

#[tokio::test]
async fn a_file_becomes_a_directory_and_back() {
    let text: String = (0..60).map(|line| format!("{line}\n")).collect();
    let fixture = Fixture::new(&[("thing", text.as_bytes()), ("dir/a", b"a\n"), ("dir/b", b"b\n")]).await;
    let checkout = fixture.checkout().await;
    let path = checkout.path();
    fs::remove_file(path.join("thing")).unwrap();
    write(&path.join("thing/inside"), &text);
    fs::remove_dir_all(path.join("dir")).unwrap();
    write(&path.join("dir"), "a file\n");
    let all = changes(&checkout).await;
    fixture.project.apply(&all).await.unwrap();
    assert_eq!(read(&fixture.root().join("thing/inside")), text.as_bytes());
    assert_eq!(read(&fixture.root().join("dir")), b"a file\n");
    assert_eq!(written(&fixture.project.apply(&all).await.unwrap()), [""; 0]);
    fixture.project.revert(&all).await.unwrap();
    assert_eq!(git(fixture.root(), &["status", "--porcelain"]), "");

    write(&fixture.root().join("dir/mine"), "a human's own");
    assert_eq!(conflict(fixture.project.apply(&all).await.unwrap_err()).0, "dir");
    fs::remove_file(fixture.root().join("dir/mine")).unwrap();
    assert_eq!(git(fixture.root(), &["status", "--porcelain"]), "", "what was done before the conflict is undone");
}

#[tokio::test]
async fn line_endings_follow_the_projects_rules() {
    let fixture = Fixture::new(&[("a.txt", b"1\r\n2\r\n"), ("keep.txt", b"1\r\n")]).await;
    git(fixture.root(), &["config", "core.autocrlf", "true"]);
    fs::remove_file(fixture.root().join(".git/index")).unwrap();
    write(&fixture.root().join("lf.txt"), "1\r\n2\r\n");
    commit(fixture.root(), "stored with line feeds alone");
    let checkout = fixture.checkout().await;
    for name in ["a.txt", "keep.txt", "lf.txt"] {
        write(&checkout.path().join(name), "1\r\nchanged\r\n");
    }
    let all = changes(&checkout).await;
    assert_eq!(all.len(), 3);
    fixture.project.apply(&all).await.unwrap();
    assert_eq!(read(&fixture.root().join("lf.txt")), b"1\r\nchanged\r\n");
    fixture.project.revert(&all).await.unwrap();
    assert_eq!(git(fixture.root(), &["status", "--porcelain"]), "");
}

#[tokio::test]
async fn content_stored_against_the_rules_is_still_recognised() {
    let fixture = Fixture::new(&[("a.txt", b"1\r\n")]).await;
    let checkout = fixture.checkout().await;
    write(&checkout.path().join("a.txt"), "2\r\n");
    let change = change(&checkout).await;
    git(fixture.root(), &["config", "core.autocrlf", "input"]);
    fixture.project.apply(&change).await.unwrap();
    assert_eq!(read(&fixture.root().join("a.txt")), b"2\r\n");
    fixture.project.revert(&change).await.unwrap();
    assert_eq!(read(&fixture.root().join("a.txt")), b"1\r\n");
}

#[tokio::test]
async fn a_humans_own_file_is_stored_and_applied_like_any_other() {
    let fixture = Fixture::new(&[]).await;
    let path: boocoder_worktree::RepoPath = "notes/ü.md".parse().unwrap();
    for content in [b"# Notes\n".to_vec(), Vec::new()] {
        let blob = fixture.project.store_blob(&path, content.clone()).await.unwrap();
        let target = Some(BlobRef { blob, mode: "100644".into() });
        let create = Change { path: path.clone(), old_path: None, operation: Operation::Create, base: None, target };
        fixture.project.apply(std::slice::from_ref(&create)).await.unwrap();
        assert_eq!(read(&fixture.root().join("notes/ü.md")), content);
        fixture.project.revert(&[create]).await.unwrap();
        assert!(!fixture.root().join("notes").exists());
    }
}

#[tokio::test]
async fn nothing_is_written_through_a_link_or_outside() {
    let fixture = Fixture::new(&[("dir/a.txt", b"1"), ("b.txt", b"1")]).await;
    let checkout = fixture.checkout().await;
    write(&checkout.path().join("dir/a.txt"), "2");
    write(&checkout.path().join("b.txt"), "2");
    let all = changes(&checkout).await;
    let outside = fixture.dir.path().join("outside");
    write(&outside.join("a.txt"), "1");
    for target in [outside.to_str().unwrap(), "../outside", ".git", "moved"] {
        fs::rename(fixture.root().join("dir"), fixture.root().join("moved")).unwrap();
        link(target, &fixture.root().join("dir"));
        let error = fixture.project.apply(&all).await.unwrap_err();
        assert!(matches!(&error, WorktreeError::UnsafePath { path, .. } if path == "dir/a.txt"), "{error}");
        fs::remove_file(fixture.root().join("dir")).unwrap();
        fs::rename(fixture.root().join("moved"), fixture.root().join("dir")).unwrap();
    }
    assert_eq!(read(&fixture.root().join("b.txt")), b"1", "all or none");
    assert_eq!(read(&outside.join("a.txt")), b"1");

    link(outside.join("a.txt").to_str().unwrap(), &fixture.root().join("dir/a.txt"));
    let (path, found) = conflict(fixture.project.apply(&all).await.unwrap_err());
    assert_eq!(path, "dir/a.txt");
    assert!(matches!(found, Found::File(BlobRef { mode, .. }) if mode == "120000"), "a link is not the file behind it");
    assert_eq!(read(&outside.join("a.txt")), b"1");
}

#[tokio::test]
async fn nothing_is_written_into_a_repository_inside_the_project() {
    let fixture = Fixture::new(&[("a.txt", b"1")]).await;
    let checkout = fixture.checkout().await;
    write(&checkout.path().join("inner/deep/x.txt"), "x");
    let create = change(&checkout).await;
    init(&fixture.root().join("inner"));
    let error = fixture.project.apply(&create).await.unwrap_err();
    assert!(matches!(error, WorktreeError::UnsafePath { .. }), "{error}");
    assert!(!fixture.root().join("inner/deep").exists());
}

#[tokio::test]
async fn a_pipe_in_the_way_neither_hangs_nor_is_replaced() {
    let fixture = Fixture::new(&[("a.txt", b"1")]).await;
    let checkout = fixture.checkout().await;
    write(&checkout.path().join("a.txt"), "2");
    let change = change(&checkout).await;
    let file = fixture.root().join("a.txt");
    fs::remove_file(&file).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&file).status().unwrap().success());
    assert_eq!(conflict(fixture.project.apply(&change).await.unwrap_err()), ("a.txt".into(), Found::Special));
}

#[tokio::test]
async fn a_malformed_change_is_refused() {
    let fixture = Fixture::new(&[("a.txt", b"1")]).await;
    let checkout = fixture.checkout().await;
    write(&checkout.path().join("a.txt"), "2");
    let [good] = change(&checkout).await;
    let blob = |blob: &str, mode: &str| Some(BlobRef { blob: blob.into(), mode: mode.into() });
    let id = good.base.clone().unwrap().blob;
    for bad in [
        Change { target: None, ..good.clone() },
        Change { operation: Operation::Rename, ..good.clone() },
        Change { operation: Operation::Create, ..good.clone() },
        Change { old_path: Some(good.path.clone()), operation: Operation::Rename, ..good.clone() },
        Change { target: blob("--help", "100644"), ..good.clone() },
        Change { target: blob(&id, "040000"), ..good.clone() },
    ] {
        let error = fixture.project.apply(&[bad]).await.unwrap_err();
        assert!(matches!(error, WorktreeError::MalformedChange { .. }), "{error}");
    }
    let missing = Change { target: blob(&"0".repeat(40), "100644"), ..good };
    let error = fixture.project.apply(&[missing]).await.unwrap_err();
    assert!(matches!(error, WorktreeError::Failed { .. }), "{error}");
    assert_eq!(read(&fixture.root().join("a.txt")), b"1");
}

#[tokio::test]
async fn contents_are_stored_and_read_as_they_are() {
    let fixture =
        Fixture::with(&[("crlf.txt", b"1\r\n")], |root| write(&root.join(".gitattributes"), "* text=auto\n")).await;
    let project = &fixture.project;
    let odd: Vec<u8> = (0..=255).chain(*b"\nblob 3\n").collect();
    let mut ids = std::collections::BTreeSet::new();
    for content in [odd.as_slice(), b"", b"a\r\n"] {
        ids.insert(project.write_blob(content.to_vec()).await.unwrap());
    }
    let mut contents: Vec<_> = project.read_blobs(&ids).await.unwrap().into_values().collect();
    contents.sort();
    assert_eq!(contents, [b"".to_vec(), odd, b"a\r\n".to_vec()]);
    // What a checkout holds is told by the project's rules, and can be read from then on.
    let Found::File(blob) = project.holds(&"crlf.txt".parse().unwrap()).await.unwrap() else { panic!("it is a file") };
    let content = project.read_blobs(&[blob.blob.clone()].into()).await.unwrap().remove(&blob.blob);
    assert_eq!(content.as_deref(), Some(b"1\n".as_slice()));
    assert_eq!(project.holds(&"none".parse().unwrap()).await.unwrap(), Found::Absent);
    for missing in ["0".repeat(40), "HEAD".to_owned()] {
        assert!(project.read_blobs(&[missing].into()).await.is_err());
    }
}

/// Contents are written by the attributes that come with them, and taken back by those that hold then.
#[tokio::test]
async fn attributes_hold_for_what_is_applied_with_them() {
    let fixture = Fixture::new(&[("a.txt", b"one\r\ntwo\r\n"), ("c.txt", b"1\n")]).await;
    let checkout = fixture.checkout().await;
    let (path, root) = (checkout.path(), fixture.root());
    write(&path.join(".gitattributes"), "* text=auto\nwide.txt working-tree-encoding=UTF-16LE\nc.txt eol=crlf\n");
    write(&path.join("a.txt"), "one\r\ntwo\r\nthree\r\n");
    write(&path.join("wide.txt"), b"h\0i\0\n\0");
    write(&path.join("c.txt"), "1\r\n2\r\n");
    let all = changes(&checkout).await;
    fixture.project.apply(&all).await.unwrap();
    assert_eq!(read(&root.join("wide.txt")), b"h\0i\0\n\0");
    assert_eq!(read(&root.join("c.txt")), b"1\r\n2\r\n");
    assert_eq!(read(&root.join("a.txt")), b"one\r\ntwo\r\nthree\r\n", "git keeps line endings that it knows");
    fixture.project.apply(&all).await.expect("again is harmless");
    fixture.project.revert(&all).await.unwrap();
    assert_eq!(read(&root.join("a.txt")), b"one\r\ntwo\r\n");
    assert_eq!(read(&root.join("c.txt")), b"1\n");
    assert_eq!(git(root, &["status", "--porcelain"]), "");
}
