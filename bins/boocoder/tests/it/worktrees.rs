//! Worktrees through a real server: made ready, mended, and taken down so that nothing is lost whenever it dies.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::pending::{Bench, commit, git, numbered, tree, with_two_agents};
use crate::serving::{Place, Serving};

async fn states(server: &Serving) -> Vec<String> {
    let list = server.get("/api/worktrees").await;
    list.as_array().expect("a list").iter().map(|it| it["state"].as_str().expect("a state").to_owned()).collect()
}

/// What `doctor` says of worktrees.
async fn doctor(place: &Place) -> String {
    let output = place.output(&["doctor"]).await;
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    told.lines().filter(|line| line.contains("worktrees  ")).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn worktrees_are_made_ready_as_configured_or_the_turn_says_why_not() {
    let place = Place::new();
    commit(&place, ".gitignore", ".env\nready\n");
    std::fs::write(place.path().join(".env"), "KEY=secret").unwrap();
    place.configure("[worktrees]\ncopy = [\".env\"]\nsetup = \"echo $DATABASE_URL- > ready\"\n");
    let server = place.serve().await;
    let bench = Bench::new(&place, &server).await;
    bench.turn("demo", "shell cat .env > seen.txt").await;
    assert_eq!(bench.open().await["file_path"], "seen.txt", "and nothing else");
    assert_eq!(std::fs::read_to_string(bench.worktree().join("seen.txt")).unwrap(), "KEY=secret");
    assert_eq!(std::fs::read_to_string(bench.worktree().join("ready")).unwrap(), "-\n");
    assert!(doctor(&place).await.contains("1, all as they should be"));
    server.stop().await;

    place.configure("[worktrees]\nsetup = \"echo out of disk >&2; false\"\n");
    let server = place.serve().await;
    let session = server.session(&place).await;
    let task = server.ended(&server.say(&session, "say hello").await).await;
    assert_eq!(task["state"], "failed");
    let reason = task["outcome"]["reason"].as_str().unwrap();
    assert!(reason.contains("setup command") && reason.contains("out of disk"), "{reason}");
    assert_eq!(states(&server).await, ["ready"], "the first session's");
    server.stop().await;
}

#[tokio::test]
async fn a_worktree_that_was_taken_away_comes_back_and_one_that_was_moved_is_found() {
    let mut place = with_two_agents();
    commit(&place, "a.txt", &numbered(&[]));
    let server = place.serve().await;
    let bench = Bench::new(&place, &server).await;
    bench.turn("demo", "shell sed -i 's/^line 5$/five/' a.txt; rm README.md; mkdir d; echo new > d/new.txt").await;
    let (session, held) = (bench.session.clone(), tree(&bench.worktree()));
    let worktree = bench.worktree();

    // While the server runs: a turn works on as if nothing had been.
    std::fs::remove_dir_all(&worktree).unwrap();
    assert_eq!(states(&server).await, ["gone"]);
    assert!(doctor(&place).await.contains("comes back as the last turn left it"));
    bench.turn("other", "shell sed -i 's/^line 30$/thirty/' a.txt").await;
    let rows = server.get(&format!("/api/sessions/{session}/pending")).await;
    let open = rows.as_array().unwrap().iter().filter(|row| row["status"] == "pending").count();
    assert_eq!(open, 3, "what was pending is, and one change more: {rows}");
    let text = std::fs::read_to_string(worktree.join("a.txt")).unwrap();
    assert_eq!(text, numbered(&[(5, "five"), (30, "thirty")]));
    std::fs::remove_dir_all(&worktree).unwrap();
    let list = server.get("/api/worktrees").await;
    let repaired =
        server.post(&format!("/api/worktrees/{}/repair", list[0]["id"].as_str().unwrap()), Value::Null).await;
    assert_eq!((&repaired["state"], &repaired["session_id"]), (&json!("ready"), &json!(session)));
    assert_ne!(tree(&worktree), held);

    // What an agent does to all of its worktree is a change as any other.
    bench.turn("demo", "shell find . -mindepth 1 -delete").await;
    let risk = server.get(&format!("/api/sessions/{session}/worktree-risk")).await;
    assert!(risk["pending"].as_u64().unwrap() > 1, "{risk}");
    let turns = server.get(&format!("/api/sessions/{session}/turns")).await;
    let first = turns[0]["turn"].clone();
    let restore =
        server.request("POST", &format!("/api/sessions/{session}/restore"), Some(json!({"turn": first}))).await;
    assert_eq!((restore.0, tree(&worktree)), (204, held.clone()), "{}", restore.1);
    server.stop().await;

    // The data directory moves.
    place.move_data("elsewhere");
    let server = place.serve().await;
    let bench = Bench { place: &place, server: &server, session: session.clone() };
    bench.turn("demo", "shell echo more >> d/new.txt").await;
    let list = server.get("/api/worktrees").await;
    assert_eq!(Path::new(list[0]["path"].as_str().unwrap()), bench.worktree());
    assert_eq!(states(&server).await, ["ready"]);
    assert_eq!(std::fs::read_to_string(bench.worktree().join("d/new.txt")).unwrap(), "new\nmore\n");

    // So does the project.
    let moved = place.data_dir().with_file_name("project");
    std::fs::rename(place.path(), &moved).unwrap();
    assert_eq!(states(&server).await, ["no_project"]);
    let list = server.get("/api/worktrees").await;
    assert!(list[0]["problem"].as_str().unwrap().contains("cannot open"), "{list}");
    let failed = server.ended(&server.say(&session, "say hello").await).await;
    assert_eq!(failed["state"], "failed", "{failed}");
    let project = format!("/api/projects/{}", list[0]["project_id"].as_str().unwrap());
    let other = Place::new();
    for (path, status) in [(json!(other.path()), 422), (json!("relative"), 422), (json!(other.data_dir()), 422)] {
        assert_eq!(server.request("PATCH", &project, Some(json!({"path": path}))).await.0, status, "{path}");
    }
    let (status, answer) = server.request("PATCH", &project, Some(json!({"path": moved}))).await;
    assert_eq!((status, &answer["path"]), (200, &json!(moved)), "{answer}");
    assert_eq!(states(&server).await, ["unlinked"]);
    bench.turn("demo", "shell echo again >> d/new.txt").await;
    assert_eq!(states(&server).await, ["ready"]);
    assert_eq!(std::fs::read_to_string(bench.worktree().join("d/new.txt")).unwrap(), "new\nmore\nagain\n");
    std::fs::rename(&moved, place.path()).unwrap();
    server.stop().await;
}

/// A server that is killed at any moment of a removal leaves the session as it was, or its work under a private ref and
/// nothing else.
#[tokio::test]
async fn a_removal_that_is_cut_short_loses_nothing_and_is_brought_to_its_end() {
    const FILES: usize = 400;
    let place = with_two_agents();
    for number in 0..FILES {
        std::fs::write(place.path().join(format!("f{number}.txt")), "x").unwrap();
    }
    commit(&place, "a.txt", &numbered(&[]));
    let mut server = place.serve().await;
    let (mut delay, mut seen) = (30, BTreeSet::new());
    for round in 0..10 {
        let bench = Bench::new(&place, &server).await;
        let session = bench.session.clone();
        let command = format!(
            "git -c user.name=a -c user.email=a@b commit -qam {round} --allow-empty; echo {round} > work.txt; rm a.txt"
        );
        bench.turn("demo", &format!("shell {command}")).await;
        let (worktree, held) = (bench.worktree(), tree(&bench.worktree()));
        let path = format!("/api/sessions/{session}");
        assert_eq!(server.request("DELETE", &path, None).await.0, 409, "it holds work");
        let force = format!("{path}?force=true");
        let removing = server.request("DELETE", &force, None);
        let killing = tokio::time::sleep(Duration::from_millis(delay));
        let is_done = tokio::select! { (status, _) = removing => status == 204, () = killing => false };
        server.signal(Signal::KILL);
        server.gone().await;
        let found = (worktree.join("work.txt").exists(), worktree.exists());
        server = place.serve().await;
        let is_removed = server.request("GET", &path, None).await.0 == 404;
        seen.insert((is_removed, found));
        if is_removed {
            let retired = format!("refs/boocoder/retired/session-{session}");
            assert_eq!(git(place.path(), &["rev-parse", &format!("{retired}^{{tree}}")]), held, "round {round}");
            let subject = git(place.path(), &["log", "-1", "--format=%s", &format!("{retired}^1")]);
            assert_eq!(subject, round.to_string(), "the agent's own commit is kept with it");
            assert!(!worktree.exists(), "round {round}: {found:?}");
            assert_eq!(states(&server).await, Vec::<String>::new());
            let known = git(place.path(), &["worktree", "list"]);
            assert_eq!(known.lines().count(), 1, "{known}");
        } else {
            assert!(!is_done, "it was answered and is undone");
            assert_eq!(tree(&worktree), held, "round {round}");
            assert_eq!(server.request("DELETE", &force, None).await.0, 204);
        }
        delay = if is_removed && !found.1 { delay * 2 / 3 } else { delay * 4 / 3 };
    }
    assert!(seen.len() > 1, "the kills came at different moments: {seen:?}");
    server.stop().await;
}

#[tokio::test]
async fn a_worktree_that_somebody_damaged_is_mended_or_refused_and_its_work_kept() {
    let place = with_two_agents();
    commit(&place, "a.txt", &numbered(&[]));
    let server = place.serve().await;
    let bench = Bench::new(&place, &server).await;
    bench.turn("demo", "shell echo work > work.txt").await;
    let (session, worktree) = (bench.session.clone(), bench.worktree());
    let notes = place.path().join(format!(".git/worktrees/session-{session}"));
    std::fs::remove_file(notes.join("boocoder-index")).unwrap();
    assert_eq!(states(&server).await, ["incomplete"]);
    bench.turn("demo", "shell echo more > more.txt").await;
    std::fs::remove_file(notes.join("boocoder-index")).unwrap();
    let held = tree(&worktree);
    assert_eq!(server.request("DELETE", &format!("/api/sessions/{session}?force=true"), None).await.0, 204);
    assert_eq!(git(place.path(), &["rev-parse", &format!("refs/boocoder/retired/session-{session}^{{tree}}")]), held);

    // What cannot be mended is told as such, and nothing is touched.
    let bench = Bench::new(&place, &server).await;
    bench.turn("demo", "shell echo work > work.txt").await;
    let (session, worktree) = (bench.session.clone(), bench.worktree());
    std::fs::remove_dir_all(place.path().join(format!(".git/worktrees/session-{session}"))).unwrap();
    let task = server.ended(&server.say(&session, "say hello").await).await;
    assert_eq!(task["state"], "failed", "{task}");
    let path = format!("/api/sessions/{session}");
    for (method, path) in [("GET", format!("{path}/worktree-risk")), ("DELETE", path.clone())] {
        let (status, answer) = server.request(method, &path, None).await;
        assert_eq!((status, &answer["code"]), (409, &json!("not_ours")), "{path}: {answer}");
    }
    assert_eq!(server.request("DELETE", &format!("{path}?force=true"), None).await.0, 204);
    assert_eq!(std::fs::read_to_string(worktree.join("work.txt")).unwrap(), "work\n", "it is left as it is");
    server.stop().await;
}

/// A worktree that was made and never recorded, and one that was half made, are nobody's.
#[tokio::test]
async fn what_nobody_knows_of_is_cleared_away_unless_it_holds_work() {
    let place = with_two_agents();
    let server = place.serve().await;
    let bench = Bench::new(&place, &server).await;
    bench.turn("demo", "say hello").await;
    let ours = bench.worktree();
    server.stop().await;
    let root = ours.parent().unwrap();
    let make = |name: &str| {
        let path = root.join(name);
        let lock = ["worktree", "add", "-q", "--detach", "--lock", "--reason", "in use by BooCoder"];
        git(place.path(), &[&lock[..], &[path.to_str().unwrap()]].concat());
        path
    };
    let whole = |path: &Path| {
        let dir = git(path, &["rev-parse", "--absolute-git-dir"]);
        std::fs::copy(format!("{dir}/index"), format!("{dir}/boocoder-index")).unwrap();
    };
    let half = make("task-half");
    let unrecorded = make("session-unrecorded");
    whole(&unrecorded);
    let precious = make("session-precious");
    whole(&precious);
    std::fs::write(precious.join("work.txt"), "work").unwrap();
    let human = root.join("by-hand");
    std::fs::create_dir(&human).unwrap();
    let server = place.serve().await;
    assert!(!half.exists() && !unrecorded.exists() && ours.exists() && human.exists());
    assert_eq!(std::fs::read_to_string(precious.join("work.txt")).unwrap(), "work");
    server.stop().await;
}

#[tokio::test]
async fn what_setup_changed_is_nobodys() {
    let place = with_two_agents();
    commit(&place, "a.txt", &numbered(&[]));
    place.configure("[worktrees]\nsetup = \"echo more >> a.txt; echo made > made.txt\"\n");
    let server = place.serve().await;
    let bench = Bench::new(&place, &server).await;
    bench.turn("demo", "shell sed -i 's/^line 5$/five/' a.txt").await;
    let rows = server.get(&format!("/api/sessions/{}/pending", bench.session)).await;
    let rows = rows.as_array().unwrap().iter().filter(|row| row["status"] == "pending");
    let mut told: Vec<_> = rows
        .map(|row| {
            let agents = row["hunks"].as_array().unwrap().iter().map(|hunk| hunk["agent"].clone());
            (row["file_path"].as_str().unwrap(), agents.collect::<Vec<_>>())
        })
        .collect();
    told.sort_by_key(|(path, _)| *path);
    assert_eq!(told, [("a.txt", vec![json!("demo"), Value::Null]), ("made.txt", vec![Value::Null])]);
    server.stop().await;
}

/// An agent may take away what keeps its earlier work, and have git collect it.
#[tokio::test]
async fn what_git_has_collected_is_told_as_such_and_the_session_goes_on() {
    let place = with_two_agents();
    let server = place.serve().await;
    let bench = Bench::new(&place, &server).await;
    let first = bench.turn("demo", "shell echo 1 > n; echo keep > k").await["id"].as_str().unwrap().to_owned();
    let forget = "git for-each-ref --format='delete %(refname)' refs/boocoder | git update-ref --stdin";
    let collect = "git reflog expire --expire=now --all; git gc --quiet --prune=now";
    bench.turn("demo", &format!("shell echo 2 > n; {forget}; {collect}")).await;
    bench.turn("demo", "shell echo 3 > m").await;
    let session = format!("/api/sessions/{}", bench.session);
    let rows = server.get(&format!("{session}/pending")).await;
    let open = rows.as_array().unwrap().iter().filter(|row| row["status"] == "pending");
    let names: BTreeSet<_> = open.map(|row| row["file_path"].as_str().unwrap()).collect();
    assert_eq!(names, BTreeSet::from(["k", "m", "n"]), "{rows}");
    let risk = server.get(&format!("{session}/worktree-risk")).await;
    assert_eq!((&risk["uncommitted"], &risk["pending"]), (&json!(3), &json!(3)));
    let (status, answer) = server.request("POST", &format!("{session}/restore"), Some(json!({"turn": first}))).await;
    assert_eq!((status, &answer["code"]), (409, &json!("objects_gone")), "{answer}");
    let (status, answer) = server.request("GET", &format!("{session}/diff?to={first}"), None).await;
    assert_eq!((status, &answer["code"]), (409, &json!("objects_gone")), "{answer}");
    let (status, answer) = server.request("POST", &format!("{session}/pending/apply"), None).await;
    assert_eq!((status, tree(place.path())), (200, tree(&bench.worktree())), "{answer}");
    server.stop().await;
}
