//! Random turns, edits of a human's own and decisions, on real git: what is applied, refused and taken back adds up.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use boocoder_dispatch::{DispatchError, Pick, Verdict};
use boocoder_model::{AgentName, HunkId, PendingChange, PendingStatus};
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::restart::Bench;

/// Some are directories of others: what was a file becomes a directory, and the other way round.
const NAMES: [&str; 8] = ["a.txt", "b c", "ü \"ö", "-g", "d", "d/x", "d/e/y", "run.sh"];

#[derive(Clone, Debug, PartialEq, Eq)]
enum Entry {
    File(Vec<u8>, bool),
    Link(&'static str),
}

/// What becomes of some files.
type Edit = BTreeMap<&'static str, Option<Entry>>;

#[derive(Clone, Debug)]
enum Op {
    Turn(Edit),
    ByHand(Edit),
    Decide(Verdict, Index, Vec<bool>),
}

/// What becomes of all that is open in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Applied,
    Rejected,
    /// Applied, and then taken back.
    Reverted,
}

fn entry() -> impl Strategy<Value = Entry> {
    // Long enough for hunks that are apart, and alike enough for files to be taken for one another.
    let line = select(vec!["one\n", "two\n", "three\r\n", "four\n", "\n"]);
    let text = (prop::collection::vec(line, 0..25), select(vec!["", "no line feed"]))
        .prop_map(|(lines, end)| (lines.concat() + end).into_bytes());
    let numbered = (0..40_usize, select(vec!["x\n", ""])).prop_map(|(at, text)| {
        let line = |number| if number == at { text.to_owned() } else { format!("line {number}\n") };
        (0..40).map(line).collect::<String>().into_bytes()
    });
    prop_oneof![
        3 => (text, any::<bool>()).prop_map(|(content, exec)| Entry::File(content, exec)),
        5 => (numbered, any::<bool>()).prop_map(|(content, exec)| Entry::File(content, exec)),
        1 => select(vec![b"\0\x01".as_slice(), b"\0\x02"]).prop_map(|bytes| Entry::File(bytes.to_vec(), false)),
        1 => select(vec!["a.txt", "../outside", "d"]).prop_map(Entry::Link),
    ]
}

fn edit() -> impl Strategy<Value = Edit> {
    prop::collection::btree_map(select(&NAMES[..]), prop::option::weighted(0.8, entry()), 1..4)
}

fn op() -> impl Strategy<Value = Op> {
    let verdict = prop_oneof![Just(Verdict::Apply), Just(Verdict::Reject)];
    prop_oneof![
        4 => edit().prop_map(Op::Turn),
        1 => edit().prop_map(Op::ByHand),
        4 => (verdict, any::<Index>(), prop::collection::vec(any::<bool>(), 1..5))
            .prop_map(|(verdict, row, hunks)| Op::Decide(verdict, row, hunks)),
    ]
}

fn make(root: &Path, edit: &Edit) {
    for (name, entry) in edit {
        let path = root.join(name);
        let _ = fs::remove_file(&path);
        if entry.is_some() {
            make_room(root, &path);
        }
        match entry {
            None => {}
            Some(Entry::File(content, executable)) => {
                fs::write(&path, content).unwrap();
                fs::set_permissions(&path, fs::Permissions::from_mode(if *executable { 0o755 } else { 0o644 }))
                    .unwrap();
            }
            Some(Entry::Link(target)) => symlink(target, &path).unwrap(),
        }
    }
}

/// What is there as a directory goes away, and so do files where its own directories have to be.
fn make_room(root: &Path, path: &Path) {
    let _ = fs::remove_dir_all(path);
    let directory = path.parent().unwrap();
    let above = directory.ancestors().take_while(|above| *above != root);
    for file in above.filter(|above| above.symlink_metadata().is_ok_and(|there| !there.is_dir())) {
        fs::remove_file(file).unwrap();
    }
    fs::create_dir_all(directory).unwrap();
}

fn git(dir: &Path, index: Option<&Path>, args: &[&str]) -> String {
    let mut command = Command::new("git");
    command.args(["-c", "user.name=me", "-c", "user.email=me@example.org"]).args(args).current_dir(dir);
    if let Some(index) = index {
        command.env("GIT_INDEX_FILE", index);
    }
    let output = command.output().expect("git runs");
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// All that git sees in a checkout.
fn tree(dir: &Path) -> String {
    let index = tempfile::NamedTempFile::new().expect("a file");
    git(dir, Some(index.path()), &["read-tree", "HEAD"]);
    git(dir, Some(index.path()), &["add", "--all"]);
    git(dir, Some(index.path()), &["write-tree"])
}

fn rows(bench: &Bench) -> Vec<PendingChange> {
    bench.run(async |dispatcher| dispatcher.store().pending_changes(bench.session()).await.unwrap())
}

/// A turn of the fake agent, which does this to the files while it runs.
fn turn(bench: &Bench, worktree: &Path, edit: &Edit) {
    let before = bench.world.prompts();
    bench.send("say done");
    for _ in 0..2000 {
        if bench.world.prompts() > before {
            break;
        }
        bench.turn(2);
    }
    // What is younger than the turn is the agent's.
    bench.turn(20);
    make(worktree, edit);
    bench.calm();
}

fn decide(bench: &Bench, verdict: Verdict, picks: &[Pick]) -> Result<Vec<PendingChange>, DispatchError> {
    bench.run(async |dispatcher| dispatcher.decide(verdict, picks).await)
}

/// All that can be decided on.
fn all_open(bench: &Bench) -> Vec<Pick> {
    rows(bench).iter().filter(|row| row.is_open()).map(|row| Pick { id: row.id, hunks: Vec::new() }).collect()
}

/// Whether one needs a directory where the other has a file.
fn is_crossed(one: &PendingChange, other: &PendingChange) -> bool {
    let paths =
        |row: &PendingChange| row.old_path.iter().chain([&row.file_path]).map(PathBuf::from).collect::<Vec<_>>();
    let is_below = |path: &PathBuf, of: &PathBuf| path != of && path.starts_with(of);
    paths(one).iter().any(|one| paths(other).iter().any(|other| is_below(one, other) || is_below(other, one)))
}

fn play(ops: &[Op], base: &Edit, end: End) -> Result<(), TestCaseError> {
    let bench = Bench::new();
    let project: PathBuf = bench.project();
    make(&project, base);
    fs::write(project.join("always"), "there\n").unwrap();
    git(&project, None, &["add", "--all"]);
    git(&project, None, &["commit", "--quiet", "--allow-empty", "--message", "base"]);
    turn(&bench, &project, &Edit::new());
    let worktree = bench.worktree();
    let baseline = tree(&project);
    prop_assert_eq!(tree(&worktree), baseline.clone());

    let mut is_looked_at = true;
    for op in ops {
        match op {
            Op::Turn(edit) => {
                turn(&bench, &worktree, edit);
                is_looked_at = true;
            }
            Op::ByHand(edit) => {
                make(&worktree, edit);
                is_looked_at = false;
            }
            Op::Decide(verdict, row, hunks) => {
                let allowed = match end {
                    End::Applied => true,
                    End::Rejected => *verdict == Verdict::Reject,
                    End::Reverted => *verdict == Verdict::Apply,
                };
                let open = all_open(&bench);
                if !allowed || open.is_empty() {
                    continue;
                }
                let pick = &open[row.index(open.len())];
                let known = rows(&bench);
                let row = known.iter().find(|row| row.id == pick.id).unwrap();
                let choice = row.hunks.iter().filter(|hunk| hunk.status.is_open()).zip(hunks.iter().cycle());
                let hunks: Vec<HunkId> = choice.filter(|(_, chosen)| **chosen).map(|(hunk, _)| hunk.id).collect();
                match decide(&bench, *verdict, &[Pick { id: row.id, hunks }]) {
                    // What a human has just changed there is not overwritten.
                    Err(DispatchError::Clash(_)) if !is_looked_at && *verdict == Verdict::Reject => {}
                    // Nor is a file that a directory has to make way for, or the other way round.
                    Err(DispatchError::Clash(_)) if known.iter().any(|other| is_crossed(row, other)) => {}
                    result => drop(result.unwrap()),
                }
            }
        }
    }
    // What a human did since the last turn is told by the next one.
    turn(&bench, &worktree, &Edit::new());
    let known = rows(&bench);
    let agents: BTreeSet<Option<AgentName>> =
        known.iter().flat_map(|row| &row.hunks).map(|hunk| hunk.agent.clone()).collect();
    prop_assert!(agents.iter().all(|agent| agent.as_ref().is_none_or(|agent| agent.as_str() == "fake")));
    match end {
        End::Applied => {
            decide(&bench, Verdict::Apply, &all_open(&bench)).unwrap();
            prop_assert_eq!(
                tree(&project),
                tree(&worktree),
                "all that was not refused is applied: {:#?}",
                rows(&bench)
            );
        }
        End::Rejected => {
            decide(&bench, Verdict::Reject, &all_open(&bench)).unwrap();
            prop_assert_eq!(tree(&worktree), baseline, "all is refused: {:#?}", rows(&bench));
        }
        End::Reverted => {
            decide(&bench, Verdict::Apply, &all_open(&bench)).unwrap();
            prop_assert_eq!(tree(&project), tree(&worktree));
            let applied = rows(&bench);
            let applied = applied.iter().filter(|row| {
                row.status == PendingStatus::Applied
                    || row.hunks.iter().any(|hunk| hunk.status == PendingStatus::Applied)
            });
            let picks: Vec<_> = applied.map(|row| Pick { id: row.id, hunks: Vec::new() }).collect();
            decide(&bench, Verdict::Revert, &picks).unwrap();
            prop_assert_eq!(tree(&project), baseline, "all is taken back: {:#?}", rows(&bench));
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 60, ..ProptestConfig::default() })]
    #[test]
    fn decisions_add_up(
        ops in prop::collection::vec(op(), 1..9),
        base in edit(),
        end in select(vec![End::Applied, End::Rejected, End::Reverted]),
    ) {
        play(&ops, &base, end)?;
    }
}
