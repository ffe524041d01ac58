//! Changes of more than lines, of every kind, and decisions on many of them at once.

use serde_json::{Value, json};

use crate::pending::{Bench, commit, git, numbered, tree, with_two_agents};
use crate::serving::Place;

#[tokio::test]
async fn every_kind_of_change_is_held_back_applied_and_taken_back() {
    let place = with_two_agents();
    for (file, content) in
        [("edit", "1\n"), ("delete", "gone\n"), ("old name", "a long enough line to be found again\n")]
    {
        commit(&place, file, content);
    }
    commit(&place, "mode.sh", "#!/bin/sh\n");
    std::fs::write(place.path().join("crlf.txt"), b"a\r\nb").unwrap();
    std::fs::write(place.path().join("bin"), [0, 1, 2, 255]).unwrap();
    git(place.path(), &["add", "--all"]);
    git(place.path(), &["commit", "--quiet", "--message", "odd"]);
    let before = tree(place.path());
    let server = place.serve().await;
    let bench = Bench::new(&place, &server).await;
    let commands = [
        "printf '2\\n' > edit",
        "rm delete",
        "mv 'old name' 'new näme'",
        "chmod +x mode.sh",
        "printf 'a\\r\\nB' > crlf.txt",
        "printf '\\0\\1\\3' > bin",
        "ln -s edit link",
        "mkdir -p deep/er && printf x > deep/er/new",
    ];
    bench.turn("demo", &commands.map(|command| format!("shell {command}")).join("\n")).await;
    let rows = bench.rows().await;
    let mut told: Vec<_> =
        rows.iter().map(|row| (row["file_path"].as_str().unwrap(), row["operation"].as_str().unwrap())).collect();
    told.sort_unstable();
    let expected = [
        ("bin", "edit"),
        ("crlf.txt", "edit"),
        ("deep/er/new", "create"),
        ("delete", "delete"),
        ("edit", "edit"),
        ("link", "create"),
        ("mode.sh", "mode"),
        ("new näme", "rename"),
    ];
    assert_eq!(told, expected);
    let all = |verdict: &str| format!("/api/sessions/{}/pending/{verdict}", bench.session);
    let (status, done) = server.request("POST", &all("apply"), None).await;
    assert_eq!((status, done.as_array().map(Vec::len)), (200, Some(8)), "{done}");
    assert_eq!(tree(place.path()), tree(&bench.worktree()), "applying everything gives the worktree");
    let (status, _) = server.request("POST", &all("revert"), None).await;
    assert_eq!((status, tree(place.path())), (200, before), "apply, then revert, is nothing");
    assert_eq!(git(place.path(), &["status", "--porcelain"]), "");
    server.stop().await;
}

/// What an agent makes of a directory or a file goes over and comes back as a whole, and never over what git does not know.
#[tokio::test]
async fn a_directory_becomes_a_link_and_a_file_a_directory() {
    let place = with_two_agents();
    for file in ["d/f", "d/deep/g", "e/f", "x"] {
        commit(&place, file, "1\n");
    }
    commit(&place, ".gitignore", "*.o\n");
    let before = tree(place.path());
    let server = place.serve().await;
    let bench = Bench::new(&place, &server).await;
    bench.turn("demo", "shell rm -r d; ln -s e d; echo 2 > e/f; rm x; mkdir x; echo 3 > x/y").await;
    let after = tree(&bench.worktree());
    let all = |verdict: &str| format!("/api/sessions/{}/pending/{verdict}", bench.session);
    let decide_all = async |verdict: &str| server.request("POST", &all(verdict), None).await;

    let link = bench.rows().await.into_iter().find(|row| row["file_path"] == "d").unwrap();
    let (status, refused) = bench.decide(&link, "apply", &[]).await;
    assert_eq!((status, &refused["conflicts"][0]["reason"]), (409, &json!("a directory is in its place")), "{refused}");
    std::fs::write(place.path().join("d/deep/ignored.o"), "precious").unwrap();
    let (status, refused) = decide_all("apply").await;
    assert_eq!((status, &refused["code"]), (409, &json!("moved_on")), "{refused}");
    assert_eq!((tree(place.path()), bench.project("d/deep/ignored.o")), (before.clone(), "precious".to_owned()));
    std::fs::remove_file(place.path().join("d/deep/ignored.o")).unwrap();

    let (status, done) = decide_all("apply").await;
    assert_eq!((status, tree(place.path())), (200, after.clone()), "{done}");
    // Turns go on from there.
    bench.turn("demo", "shell echo 4 > x/y").await;
    assert_eq!(bench.open().await["file_path"], "x/y");
    bench.decided(&bench.open().await, "reject", &[]).await;
    let (status, done) = decide_all("revert").await;
    assert_eq!((status, tree(place.path())), (200, before.clone()), "{done}");
    assert_eq!(git(place.path(), &["status", "--porcelain"]), "");

    // What goes away in a directory that a human has made a link of is not there to go.
    let other = Bench::new(&place, &server).await;
    other.turn("demo", "shell rm d/f").await;
    std::fs::rename(place.path().join("d"), place.path().join("moved")).unwrap();
    std::os::unix::fs::symlink("moved", place.path().join("d")).unwrap();
    let (status, refused) = other.decide(&other.open().await, "apply", &[]).await;
    let reason = "a symbolic link is in place of one of its directories";
    assert_eq!((status, &refused["conflicts"][0]["reason"]), (409, &json!(reason)), "{refused}");
    std::fs::remove_file(place.path().join("d")).unwrap();
    std::fs::rename(place.path().join("moved"), place.path().join("d")).unwrap();

    // Out of a worktree as well: at once, and at the end of the turn that runs meanwhile.
    for busy in [false, true] {
        let bench = Bench::new(&place, &server).await;
        bench.turn("demo", "shell rm -r d; ln -s e d; rm x; mkdir x; echo 3 > x/y").await;
        let mut frames = server.listen(&bench.session, "?after=0").await;
        let turn = if busy { Some(bench.start("other", "say begun\nsleep 1500").await) } else { None };
        if turn.is_some() {
            frames.until_said("begun").await;
        }
        let path = format!("/api/sessions/{}/pending/reject", bench.session);
        let (status, done) = server.request("POST", &path, None).await;
        assert_eq!(status, 200, "{done}");
        if let Some(turn) = turn {
            server.ended(&turn).await;
        }
        assert_eq!(tree(&bench.worktree()), before, "while a turn runs: {busy}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_repository_inside_the_worktree_is_gits_to_move_and_holds_up_nothing_else() {
    let place = with_two_agents();
    let server = place.serve().await;
    let bench = Bench::new(&place, &server).await;
    let made = "git init -q nest && git -C nest -c user.name=a -c user.email=a@b commit -qm x --allow-empty";
    bench.turn("demo", &format!("shell {made}; echo 1 > file.txt")).await;
    let nest = bench.rows().await.into_iter().find(|row| row["file_path"] == "nest").unwrap();
    assert_eq!(nest["status"], "pending");
    for verdict in ["apply", "reject"] {
        let (status, refused) = bench.decide(&nest, verdict, &[]).await;
        assert_eq!((status, &refused["code"]), (422, &json!("submodule")), "{verdict}: {refused}");
    }
    let all = format!("/api/sessions/{}/pending/apply", bench.session);
    let (status, done) = server.request("POST", &all, None).await;
    assert_eq!((status, done.as_array().map(Vec::len)), (200, Some(1)), "{done}");
    assert_eq!(bench.project("file.txt"), "1\n");

    // It cannot be kept, so nothing is removed, and the session goes on.
    let session = format!("/api/sessions/{}?force=true", bench.session);
    let (status, refused) = server.request("DELETE", &session, None).await;
    assert_eq!((status, &refused["code"]), (409, &json!("not_preserved")), "{refused}");
    assert!(refused["error"].as_str().unwrap().contains("a repository in nest"), "{refused}");
    bench.turn("demo", "shell echo 2 > file.txt").await;
    assert!(bench.worktree().join("nest/.git").exists());
    std::fs::remove_dir_all(bench.worktree().join("nest")).unwrap();
    assert_eq!(server.request("DELETE", &session, None).await.0, 204);
    assert!(!bench.worktree().exists());
    server.stop().await;
}

#[tokio::test]
async fn all_that_was_applied_is_taken_back_in_the_other_order() {
    let place = with_two_agents();
    commit(&place, "a.txt", &numbered(&[]));
    let before = tree(place.path());
    let server = place.serve().await;
    let bench = Bench::new(&place, &server).await;
    let all = |verdict: &str| format!("/api/sessions/{}/pending/{verdict}", bench.session);
    for command in ["sed -i 's/^line 5$/five/' a.txt; echo 1 > b.txt", "sed -i 's/^line 6$/six/' a.txt; mv b.txt c.txt"]
    {
        bench.turn("demo", &format!("shell {command}")).await;
        let (status, done) = server.request("POST", &all("apply"), None).await;
        assert_eq!(status, 200, "{done}");
    }
    assert_eq!(tree(place.path()), tree(&bench.worktree()));
    let (status, done) = server.request("POST", &all("revert"), None).await;
    assert_eq!((status, tree(place.path())), (200, before), "{done}");
    server.stop().await;
}

/// Whoever asked may go: what was begun is brought to its end, and not by whoever decides next.
#[tokio::test]
async fn a_decision_goes_on_when_nobody_waits_for_it() {
    const FILES: usize = 60;
    let place = with_two_agents();
    for number in 0..FILES {
        std::fs::write(place.path().join(format!("f{number}.txt")), "1\n").unwrap();
    }
    commit(&place, "a.txt", "1\n");
    let server = place.serve().await;
    let bench = Bench::new(&place, &server).await;
    let mut delay = 40;
    for round in 0..4 {
        bench.turn("demo", &format!("shell for f in *.txt; do echo {round} > $f; done")).await;
        let path = format!("/api/sessions/{}/pending/apply", bench.session);
        let deciding = server.request("POST", &path, None);
        let leaving = tokio::time::sleep(std::time::Duration::from_millis(delay));
        tokio::select! { _ = deciding => delay /= 2, () = leaving => delay += 40 };
        let pending = format!("/api/sessions/{}/pending", bench.session);
        let is_decided = |rows: &Value| {
            let rows = rows.as_array()?;
            rows.iter().all(|row| row["status"] != "pending" && row["status"] != "stale").then_some(())
        };
        server.until(&pending, is_decided).await;
        assert_eq!(tree(place.path()), tree(&bench.worktree()), "round {round}");
    }
    server.stop().await;
}

/// What takes long in one project holds up no decision in another.
#[tokio::test]
async fn projects_are_decided_on_side_by_side() {
    let (slow, quick) = (with_two_agents(), Place::new());
    commit(&slow, ".gitattributes", "*.txt filter=slow\n");
    git(slow.path(), &["config", "filter.slow.smudge", "sleep 5; cat"]);
    let server = slow.serve().await;
    let benches = (Bench::new(&slow, &server).await, Bench::new(&quick, &server).await);
    for bench in [&benches.0, &benches.1] {
        bench.turn("demo", "shell echo 1 > new.txt").await;
    }
    let path = |bench: &Bench<'_>| format!("/api/sessions/{}/pending/apply", bench.session);
    let (of_slow, of_quick) = (path(&benches.0), path(&benches.1));
    let mut deciding = Box::pin(server.request("POST", &of_slow, None));
    tokio::select! {
        _ = &mut deciding => panic!("the slow one was first"),
        () = async {
            tokio::time::sleep(std::time::Duration::from_millis(500)).await;
            assert_eq!(server.request("POST", &of_quick, None).await.0, 200);
        } => {}
    }
    assert_eq!(deciding.await.0, 200);
    server.stop().await;
}
