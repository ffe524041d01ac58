//! Random trees and random edits: applying everything gives the worktree's tree, rejecting everything the base's.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use proptest::prelude::*;
use proptest::sample::select;

use crate::fixture::{Fixture, changes, commit, git, link, set_mode, write};

/// Few names, so that edits meet: files that become directories, links and one another.
const NAMES: [&str; 9] = ["a", "b/c", "b/d", "b", "a/x", "ü \"ö", "e\nf", "-g", "h.sh"];

#[derive(Clone, Debug, PartialEq, Eq)]
enum Entry {
    File(Vec<u8>, bool),
    Link(&'static str),
}

fn entry() -> impl Strategy<Value = Entry> {
    let line = select(vec!["one\n", "two\n", "three\r\n", "four", "\0\n", "\u{fffd}\n", ""]);
    let text = prop::collection::vec(line, 0..30).prop_map(|lines| lines.concat().into_bytes());
    let bytes = prop::collection::vec(any::<u8>(), 0..40);
    prop_oneof![
        6 => (prop_oneof![3 => text, 1 => bytes], any::<bool>()).prop_map(|(content, exec)| Entry::File(content, exec)),
        1 => select(vec!["a", "../outside", "/nowhere"]).prop_map(Entry::Link),
    ]
}

type Tree = BTreeMap<&'static str, Entry>;

fn tree() -> impl Strategy<Value = Tree> {
    prop::collection::btree_map(select(&NAMES[..]), entry(), 0..7).prop_map(without_crossings)
}

/// Drops what would need a file for a directory.
fn without_crossings(mut tree: Tree) -> Tree {
    let names: Vec<_> = tree.keys().copied().collect();
    tree.retain(|name, _| {
        !names.iter().any(|other| name.strip_prefix(other).is_some_and(|rest| rest.starts_with('/')))
    });
    tree
}

/// Some entries of the base stay, some move, the others are what the second tree says.
fn edited() -> impl Strategy<Value = (Tree, Tree)> {
    (tree(), tree(), prop::collection::vec(select(&NAMES[..]), 0..9)).prop_map(|(base, mut edited, kept)| {
        for (index, name) in kept.into_iter().enumerate() {
            if let Some(entry) = base.get(name) {
                let name = if index % 3 == 0 { NAMES[index] } else { name };
                edited.insert(name, entry.clone());
            }
        }
        (base, without_crossings(edited))
    })
}

/// Makes a checkout's files these, and only these.
fn fill(root: &Path, tree: &Tree) {
    for item in fs::read_dir(root).unwrap().map(Result::unwrap).filter(|item| item.file_name() != ".git") {
        let path = item.path();
        if item.file_type().unwrap().is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.unwrap();
    }
    for (name, entry) in tree {
        let path = root.join(name);
        match entry {
            Entry::File(content, executable) => {
                write(&path, content);
                set_mode(&path, if *executable { 0o755 } else { 0o644 });
            }
            Entry::Link(target) => {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                link(target, &path);
            }
        }
    }
}

/// The tree of a checkout by git's own count.
fn tree_of(root: &Path) -> String {
    git(root, &["add", "--all"]);
    git(root, &["write-tree"])
}

async fn check(base: Tree, edited: Tree) {
    let fixture = Fixture::with(&[], |root| fill(root, &base)).await;
    let (project, root) = (&fixture.project, fixture.root());
    let checkout = fixture.checkout().await;
    fill(checkout.path(), &edited);
    let snapshot = checkout.snapshot().await.unwrap();
    let changes = changes(&checkout).await;
    assert_eq!(changes.is_empty(), base == edited);
    let base_tree = git(root, &["rev-parse", "HEAD^{tree}"]);

    assert_eq!(project.apply(&changes).await.unwrap().written.is_empty(), changes.is_empty());
    assert_eq!(project.apply(&changes).await.unwrap().written, []);
    assert_eq!(tree_of(root), snapshot.tree.as_str(), "applying everything gives the worktree's tree");
    project.revert(&changes).await.unwrap();
    assert_eq!(tree_of(root), base_tree, "apply, then revert, is nothing");

    checkout.reject(&changes).await.unwrap();
    assert_eq!(checkout.snapshot().await.unwrap().tree.as_str(), base_tree, "rejecting everything gives the base");

    commit(root, "nothing new");
    let there = project.diff(&fixture.project.head().await.unwrap(), &snapshot.tree).await.unwrap();
    let patch: String = there.iter().filter(|file| !file.binary).map(|file| file.diff.as_str()).collect();
    // A patch that only renames a link does not tell git that it is one, and git refuses to put files where it was.
    let is_refused = base.iter().any(|(link, entry)| {
        matches!(entry, Entry::Link(_)) && edited.keys().any(|name| name.starts_with(&format!("{link}/")))
    });
    if there.iter().all(|file| !file.binary) && !patch.contains('\u{fffd}') && !patch.is_empty() && !is_refused {
        let file = fixture.dir.path().join("all.patch");
        write(&file, patch);
        git(root, &["apply", "--index", file.to_str().unwrap()]);
        assert_eq!(git(root, &["write-tree"]), snapshot.tree.as_str(), "git apply agrees with the patches");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 60, ..ProptestConfig::default() })]
    #[test]
    fn decisions_give_exactly_the_trees_they_promise((base, edited) in edited()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(check(base, edited));
    }
}
