//! Turns as checkpoints, and decisions that a kill -9 cuts short.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::pending::{Bench, commit, git, numbered, tree, with_two_agents};

#[tokio::test]
async fn turns_are_checkpoints_that_are_compared_restored_and_exported() {
    let place = with_two_agents();
    commit(&place, "a.txt", &numbered(&[]));
    let server = place.serve().await;
    let bench = Bench::new(&place, &server).await;
    let base = tree(place.path());
    let first = bench.turn("demo", "shell sed -i 's/^line 5$/five/' a.txt").await["id"].as_str().unwrap().to_owned();
    let after_first = tree(&bench.worktree());
    let second = bench.turn("other", "shell printf 'new' > b.txt; rm a.txt").await["id"].as_str().unwrap().to_owned();
    let after_second = tree(&bench.worktree());
    let session = format!("/api/sessions/{}", bench.session);
    let turns = server.get(&format!("{session}/turns")).await;
    let told: Vec<_> = turns
        .as_array()
        .unwrap()
        .iter()
        .map(|turn| {
            ["turn", "agent", "before_tree", "after_tree"].map(|field| turn[field].as_str().unwrap().to_owned())
        })
        .collect();
    assert_eq!(told[0], [first.clone(), "demo".into(), base, after_first.clone()]);
    assert_eq!(told[1], [second.clone(), "other".into(), after_first.clone(), after_second.clone()]);

    let diff = async |range: &str| {
        let found = server.get(&format!("{session}/diff{range}")).await;
        let name =
            |file: &Value| format!("{} {}", file["operation"].as_str().unwrap(), file["file_path"].as_str().unwrap());
        found["files"].as_array().unwrap().iter().map(name).collect::<Vec<_>>()
    };
    assert_eq!(diff("").await, ["delete a.txt", "create b.txt"]);
    assert_eq!(diff(&format!("?to={first}")).await, ["edit a.txt"]);
    assert_eq!(diff(&format!("?from={first}&to={second}")).await, ["delete a.txt", "create b.txt"]);
    assert_eq!(diff(&format!("?from={after_second}&to={after_first}")).await, ["create a.txt", "delete b.txt"]);
    for (range, expected) in [("?from=0123", 400), ("?form=base", 400), (&*format!("?from={}", "0".repeat(40)), 404)] {
        assert_eq!(server.request("GET", &format!("{session}/diff{range}"), None).await.0, expected, "{range}");
    }

    // What is in the worktree now is not lost by going back.
    std::fs::write(bench.worktree().join("c.txt"), "by hand").unwrap();
    let restore = format!("{session}/restore");
    assert_eq!(server.request("POST", &restore, Some(json!({"turn": first}))).await.0, 204);
    assert_eq!(tree(&bench.worktree()), after_first);
    let open = bench.open().await;
    assert_eq!((&open["file_path"], open["hunks"].as_array().map(Vec::len)), (&json!("a.txt"), Some(1)), "{open}");
    assert_eq!(server.request("POST", &restore, Some(json!({"turn": first}))).await.0, 204, "again is harmless");
    let kept =
        git(place.path(), &["log", "--format=%an %s", &format!("refs/boocoder/turns/session-{}", bench.session)]);
    let kept: Vec<_> = kept.lines().collect();
    assert_eq!(
        kept[..4],
        [
            "BooCoder By hand",
            "BooCoder By hand",
            "other shell printf 'new' > b.txt; rm a.txt",
            "demo shell sed -i 's/^line 5$/five/' a.txt"
        ]
    );
    assert_eq!(server.request("POST", &restore, Some(json!({"turn": second}))).await.0, 204);
    assert_eq!(tree(&bench.worktree()), after_second);

    let patch = server.text(&format!("{session}/export")).await;
    std::fs::write(place.data_dir().join("patch"), patch).unwrap();
    let patch = place.data_dir().join("patch");
    git(place.path(), &["apply", patch.to_str().unwrap()]);
    assert_eq!(tree(place.path()), after_second, "the patch is the whole session");
    git(place.path(), &["apply", "--reverse", patch.to_str().unwrap()]);
    let export = format!("{session}/export");
    let (status, made) = server.request("POST", &export, Some(json!({"branch": "agents/one"}))).await;
    assert_eq!(status, 201, "{made}");
    assert_eq!(git(place.path(), &["rev-parse", "agents/one"]), made["commit"].as_str().unwrap());
    assert_eq!(git(place.path(), &["rev-parse", "agents/one^{tree}"]), after_second);
    assert_eq!(git(place.path(), &["merge-base", "HEAD", "agents/one"]), git(place.path(), &["rev-parse", "HEAD"]));
    assert_eq!(server.request("POST", &export, Some(json!({"branch": "agents/one"}))).await.0, 409);
    assert_eq!(server.request("POST", &export, Some(json!({"branch": "a..b"}))).await.0, 422);
    server.stop().await;
}

/// A server that is killed at any moment of a decision leaves all of it or nothing, and the next one knows which.
#[tokio::test]
async fn a_decision_that_is_cut_short_is_all_or_nothing() {
    const FILES: usize = 12;
    let place = with_two_agents();
    for number in 0..FILES {
        commit(&place, &format!("f{number}.txt"), &numbered(&[]));
    }
    let mut server = place.serve().await;
    // Machines differ: a decision that was through is cut shorter next time, one that had not happened later.
    let mut delay = 25;
    for _ in 0..6 {
        let session = server.session(&place).await;
        let bench = Bench { place: &place, server: &server, session: session.clone() };
        bench.turn("demo", "shell sed -i 's/^line 5$/five/; s/^line 30$/thirty/' *.txt").await;
        let (project, worktree) = (place.path().to_owned(), bench.worktree());
        for verdict in ["apply", "revert", "reject"] {
            let dir = if verdict == "reject" { &worktree } else { &project };
            let before = tree(dir);
            let path = format!("/api/sessions/{session}/pending/{verdict}");
            let deciding = server.request("POST", &path, None);
            let killing = tokio::time::sleep(std::time::Duration::from_millis(delay));
            let is_done = tokio::select! { (status, _) = deciding => status == 200, () = killing => false };
            server.signal(Signal::KILL);
            server.gone().await;
            server = place.serve().await;
            let rows = server.get(&format!("/api/sessions/{session}/pending")).await;
            let states: std::collections::BTreeSet<_> = rows
                .as_array()
                .unwrap()
                .iter()
                .map(|row| row["status"].as_str().unwrap().to_owned())
                // Those of the applies before stay as they are.
                .filter(|state| verdict != "reject" || state != "reverted")
                .collect();
            assert_eq!(states.len(), 1, "{verdict} of all of them or of none: {states:?}");
            let state = states.first().unwrap().as_str();
            let changed = numbered(&[(5, "five"), (30, "thirty")]);
            let (holds, original) = (tree(dir), numbered(&[]));
            for number in 0..FILES {
                let text = std::fs::read_to_string(dir.join(format!("f{number}.txt"))).unwrap();
                let expected = match (verdict, state) {
                    ("apply" | "revert", "applied") | ("reject", "pending") => &changed,
                    (_, "pending" | "reverted" | "rejected") => &original,
                    other => panic!("{other:?}"),
                };
                assert_eq!(text, *expected, "{verdict}, {state}: f{number}.txt");
            }
            let is_whole =
                matches!((verdict, state), ("apply", "applied") | ("revert", "reverted") | ("reject", "rejected"));
            assert!(is_whole || (!is_done && holds == before), "{verdict} was answered and is undone");
            delay = if is_whole { delay * 2 / 3 } else { delay * 3 / 2 };
            // What was not done can be done now, and what was is no hindrance; rejecting needs a change that is pending.
            let (status, answer) = server.request("POST", &path, None).await;
            assert_eq!(status, 200, "{answer}");
            if verdict == "revert" {
                assert_eq!(tree(&project), git(&project, &["rev-parse", "HEAD^{tree}"]));
                let bench = Bench { place: &place, server: &server, session: session.clone() };
                bench.turn("demo", "shell sed -i 's/^five$/line 5/; s/^thirty$/line 30/' *.txt").await;
                bench.turn("demo", "shell sed -i 's/^line 5$/five/; s/^line 30$/thirty/' *.txt").await;
            }
        }
    }
    server.stop().await;
}

/// The same of going back to a checkpoint.
#[tokio::test]
async fn a_restore_that_is_cut_short_is_all_or_nothing() {
    const FILES: usize = 12;
    let place = with_two_agents();
    for number in 0..FILES {
        commit(&place, &format!("f{number}.txt"), &numbered(&[]));
    }
    let mut server = place.serve().await;
    let session = server.session(&place).await;
    let bench = Bench { place: &place, server: &server, session: session.clone() };
    let mut turns = Vec::new();
    // A file becomes a directory too, and a directory a link.
    for command in [
        "sed -i 's/^line 5$/five/' *.txt; mkdir d; echo in > d/f",
        "sed -i 's/^line 30$/thirty/' *.txt; rm -r f1.txt d; echo new > g.txt; mkdir f1.txt; echo x > f1.txt/x; ln -s g.txt d",
    ] {
        let turn = bench.turn("demo", &format!("shell {command}")).await["id"].as_str().unwrap().to_owned();
        turns.push((turn, tree(&bench.worktree())));
    }
    let worktree = bench.worktree();
    let mut delay = 25;
    for round in 0..8 {
        let now = tree(&worktree);
        let (turn, target) = turns.iter().find(|(_, tree)| *tree != now).unwrap();
        let restore = format!("/api/sessions/{session}/restore");
        let restoring = server.request("POST", &restore, Some(json!({"turn": turn})));
        let killing = tokio::time::sleep(std::time::Duration::from_millis(delay));
        let is_done = tokio::select! { (status, _) = restoring => status == 204, () = killing => false };
        server.signal(Signal::KILL);
        server.gone().await;
        server = place.serve().await;
        let found = tree(&worktree);
        assert!(found == *target || (!is_done && found == now), "round {round}: neither one nor the other");
        delay = if found == *target { delay * 2 / 3 } else { delay * 3 / 2 };
        let (status, answer) = server.request("POST", &restore, Some(json!({"turn": turn}))).await;
        assert_eq!((status, tree(&worktree)), (204, target.clone()), "{answer}");
    }
    server.stop().await;
}
