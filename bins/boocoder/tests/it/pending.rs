//! Pending changes decided hunk by hunk, through a real server, real git and two agents.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::processes;
use crate::serving::{Place, Serving};

/// A second agent, which is the same program under another name.
pub(crate) fn with_two_agents() -> Place {
    let place = Place::new();
    let program = env!("CARGO_BIN_EXE_boocoder");
    place.configure(&format!("[agents.other]\ncommand = {program:?}\nargs = [\"demo-agent\"]\nprotocol = \"acp\"\n"));
    place
}

pub(crate) fn numbered(changes: &[(usize, &str)]) -> String {
    let line = |number: usize| {
        let changed = changes.iter().find(|(at, _)| *at == number);
        changed.map_or_else(|| format!("line {number}\n"), |(_, text)| format!("{text}\n"))
    };
    (1..=40).map(line).collect()
}

pub(crate) fn git(dir: &Path, args: &[&str]) -> String {
    let identity = ["-c", "user.name=me", "-c", "user.email=me@example.org"];
    let output = Command::new("git").args(identity).args(args).current_dir(dir).output().expect("git runs");
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

pub(crate) fn commit(place: &Place, file: &str, content: &str) {
    let path = place.path().join(file);
    std::fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
    std::fs::write(path, content).expect("a file");
    git(place.path(), &["add", "--all"]);
    git(place.path(), &["commit", "--quiet", "--message", file]);
}

/// A session of a server, and short words for what is done in it.
pub(crate) struct Bench<'a> {
    pub(crate) place: &'a Place,
    pub(crate) server: &'a Serving,
    pub(crate) session: String,
}

impl<'a> Bench<'a> {
    pub(crate) async fn new(place: &'a Place, server: &'a Serving) -> Self {
        Self { place, server, session: server.session(place).await }
    }

    pub(crate) async fn start(&self, agent: &str, content: &str) -> String {
        let message = json!({"content": content, "agent": agent, "approval": "auto"});
        let kept = self.server.post(&format!("/api/sessions/{}/messages", self.session), message).await;
        kept["task_id"].as_str().expect("an id").to_owned()
    }

    /// A turn that replaces lines of a file by a command: git alone sees it.
    pub(crate) async fn turn(&self, agent: &str, content: &str) -> Value {
        let ended = self.server.ended(&self.start(agent, content).await).await;
        assert_eq!(ended["state"], "completed", "{ended}");
        ended
    }

    pub(crate) async fn rows(&self) -> Vec<Value> {
        let rows = self.server.get(&format!("/api/sessions/{}/pending", self.session)).await;
        rows.as_array().expect("a list").clone()
    }

    /// The row that waits for a decision.
    pub(crate) async fn open(&self) -> Value {
        let rows = self.rows().await;
        let open: Vec<_> = rows.iter().filter(|row| row["status"] == "pending" || row["status"] == "stale").collect();
        assert_eq!(open.len(), 1, "{rows:?}");
        open[0].clone()
    }

    pub(crate) async fn decide(&self, row: &Value, verdict: &str, hunks: &[usize]) -> (u16, Value) {
        let ids: Vec<_> = hunks.iter().map(|hunk| row["hunks"][*hunk]["id"].clone()).collect();
        let path = format!("/api/pending/{}/{verdict}", row["id"].as_str().expect("an id"));
        self.server.request("POST", &path, Some(json!({"hunks": ids}))).await
    }

    pub(crate) async fn decided(&self, row: &Value, verdict: &str, hunks: &[usize]) -> Value {
        let (status, answer) = self.decide(row, verdict, hunks).await;
        assert_eq!(status, 200, "{verdict}: {answer}");
        answer
    }

    pub(crate) fn project(&self, file: &str) -> String {
        std::fs::read_to_string(self.place.path().join(file)).unwrap_or_default()
    }

    pub(crate) fn worktree(&self) -> PathBuf {
        processes::worktree(&self.place.data_dir(), &self.session)
    }

    fn working(&self, file: &str) -> String {
        std::fs::read_to_string(self.worktree().join(file)).unwrap_or_default()
    }
}

fn of<'a>(row: &'a Value, field: &str) -> Vec<&'a str> {
    row["hunks"].as_array().expect("a list").iter().map(|hunk| hunk[field].as_str().unwrap_or("-")).collect()
}

#[tokio::test]
async fn a_hunk_names_the_tool_call_that_made_it_where_one_says_so() {
    let place = with_two_agents();
    commit(&place, "a.txt", &numbered(&[]));
    let server = place.serve().await;
    let bench = Bench::new(&place, &server).await;
    let task = bench.turn("demo", "edit a.txt line 5 => five 5\nshell sed -i 's/^line 30$/thirty/' a.txt").await;
    let messages = server.get(&format!("/api/sessions/{}/messages", bench.session)).await;
    let calls: Vec<_> = messages[1]["tool_calls"].as_array().unwrap().iter().collect();
    let edit = calls.iter().find(|call| call["kind"] == "edit").unwrap();
    let row = bench.open().await;
    assert_eq!(of(&row, "tool_call_id"), [edit["id"].as_str().unwrap(), "-"], "{row}");
    assert_eq!(row["hunks"][1]["task_id"], task["id"]);
    // It stays known when another turn changes the file elsewhere.
    bench.turn("other", "shell sed -i 's/^line 20$/twenty/' a.txt").await;
    assert_eq!(of(&bench.open().await, "tool_call_id"), [edit["id"].as_str().unwrap(), "-", "-"]);
    server.stop().await;
}

#[tokio::test]
async fn a_new_file_that_two_agents_wrote_has_hunks_of_both() {
    let place = with_two_agents();
    let server = place.serve().await;
    let bench = Bench::new(&place, &server).await;
    bench.turn("demo", "shell printf 'one\\ntwo\\n' > new.txt").await;
    bench.turn("other", "shell printf 'three\\n' >> new.txt").await;
    let row = bench.open().await;
    assert_eq!((of(&row, "agent"), &row["operation"]), (vec!["demo", "other"], &json!("create")), "{row}");
    bench.decided(&row, "apply", &[1]).await;
    assert_eq!(bench.project("new.txt"), "three\n");
    bench.decided(&bench.open().await, "apply", &[0]).await;
    assert_eq!(bench.project("new.txt"), "one\ntwo\nthree\n");
    let row = bench.rows().await.into_iter().find(|row| row["status"] == "applied").unwrap();
    bench.decided(&row, "revert", &[1]).await;
    assert_eq!(bench.project("new.txt"), "one\ntwo\n");
    bench.decided(&row, "revert", &[0]).await;
    assert!(!place.path().join("new.txt").exists());
    server.stop().await;
}

#[tokio::test]
async fn two_agents_on_one_file_have_a_badge_each_and_each_hunk_is_decided_on_its_own() {
    let place = with_two_agents();
    commit(&place, "a.txt", &numbered(&[]));
    let server = place.serve().await;
    let bench = Bench::new(&place, &server).await;
    bench.turn("demo", "shell sed -i 's/^line 5$/five/; s/^line 30$/thirty/' a.txt").await;
    bench.turn("other", "shell sed -i 's/^line 8$/eight/' a.txt").await;

    let row = bench.open().await;
    assert_eq!(of(&row, "agent"), ["demo", "other", "demo"], "{row}");
    assert_eq!(row["agents"], json!(["demo", "other"]));
    let applied = bench.decided(&row, "apply", &[1]).await;
    assert_eq!(
        (of(&applied, "status"), &applied["status"]),
        (vec!["pending", "applied", "pending"], &json!("pending"))
    );
    assert_eq!(bench.project("a.txt"), numbered(&[(8, "eight")]));
    let rejected = bench.decided(&row, "reject", &[0]).await;
    assert_eq!(of(&rejected, "status"), ["rejected", "applied", "pending"]);
    assert_eq!(bench.working("a.txt"), numbered(&[(8, "eight"), (30, "thirty")]));
    // One change may be picked twice.
    let last = json!({"id": row["id"], "hunks": [row["hunks"][2]["id"]]});
    let twice = json!({"changes": [{"id": row["id"], "hunks": [row["hunks"][1]["id"]]}, last, last]});
    let (status, done) =
        server.request("POST", &format!("/api/sessions/{}/pending/apply", bench.session), Some(twice)).await;
    assert_eq!(status, 200, "{done}");
    let done = bench.decided(&row, "apply", &[]).await;
    assert_eq!((of(&done, "status"), &done["status"]), (vec!["rejected", "applied", "applied"], &json!("applied")));
    assert_eq!(bench.project("a.txt"), bench.working("a.txt"), "all applied, both hold the same");
    assert_eq!(bench.decided(&row, "apply", &[1]).await, done, "again is harmless");
    let (status, refused) = bench.decide(&row, "reject", &[1]).await;
    assert_eq!((status, &refused["code"]), (409, &json!("conflict")), "{refused}");
    let kinds: Vec<_> = done["decisions"].as_array().unwrap().iter().map(|it| it["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["apply", "reject", "apply"]);

    // Taken back one by one, in any order, the file is as it was.
    bench.decided(&row, "revert", &[1]).await;
    assert_eq!(bench.project("a.txt"), numbered(&[(30, "thirty")]));
    bench.decided(&row, "revert", &[2]).await;
    assert_eq!(bench.project("a.txt"), numbered(&[]));

    // Who was refused is told, with the next prompt, and only once; the demo agent echoes what it does not understand.
    let told = bench.turn("demo", "say done").await["output"].as_str().unwrap().to_owned();
    assert!(told.contains("+five") && !told.contains("eight") && told.ends_with("done"), "{told}");
    let told = bench.turn("demo", "say done").await["output"].as_str().unwrap().to_owned();
    assert_eq!(told, "done");
    server.stop().await;
}

#[tokio::test]
async fn a_file_that_moved_on_is_merged_or_refused_with_both_sides_and_never_overwritten() {
    let place = with_two_agents();
    commit(&place, "a.txt", &numbered(&[]));
    commit(&place, "b.txt", &numbered(&[]));
    let server = place.serve().await;
    let bench = Bench::new(&place, &server).await;
    bench.turn("demo", "shell sed -i 's/^line 5$/five/' a.txt b.txt").await;
    // A change of one's own, which is in no worktree, is refused together with the others.
    let own = json!({"file_path": "own.txt", "content": "mine\n"});
    server.post(&format!("/api/sessions/{}/pending", bench.session), own).await;
    bench.turn("demo", "shell echo x > gone.txt").await;
    let rows = bench.rows().await;
    let picked: Vec<_> =
        rows.iter().filter(|row| row["operation"] == "create").map(|row| json!({"id": row["id"]})).collect();
    let refuse = format!("/api/sessions/{}/pending/reject", bench.session);
    let (status, done) = server.request("POST", &refuse, Some(json!({"changes": picked}))).await;
    assert_eq!((status, done.as_array().map(Vec::len)), (200, Some(2)), "{done}");
    assert!(!bench.worktree().join("gone.txt").exists());
    let mine = |file: &str, changes: &[(usize, &str)]| {
        std::fs::write(place.path().join(file), numbered(changes)).unwrap();
    };
    mine("a.txt", &[(20, "mine")]);
    mine("b.txt", &[(6, "mine")]);
    let all = format!("/api/sessions/{}/pending/apply", bench.session);
    let (status, refused) = server.request("POST", &all, None).await;
    assert_eq!((status, &refused["code"]), (409, &json!("moved_on")), "{refused}");
    assert_eq!(refused["conflicts"].as_array().unwrap().len(), 1);
    let conflict = &refused["conflicts"][0];
    assert_eq!(conflict["file_path"], "b.txt");
    assert!(conflict["ours"].as_str().unwrap().contains("mine"), "{conflict}");
    assert!(conflict["theirs"].as_str().unwrap().contains("five"), "{conflict}");
    assert_eq!(bench.project("a.txt"), numbered(&[(20, "mine")]), "all or none");

    mine("b.txt", &[]);
    let (status, done) = server.request("POST", &all, None).await;
    assert_eq!((status, done.as_array().map(Vec::len)), (200, Some(2)), "{done}");
    assert_eq!(bench.project("a.txt"), numbered(&[(5, "five"), (20, "mine")]), "an edit of one's own stays");
    let rows = bench.rows().await;
    let row = |file: &str| rows.iter().find(|row| row["file_path"] == file).unwrap().clone();
    mine("b.txt", &[(5, "five"), (33, "later")]);
    let (status, refused) = bench.decide(&row("b.txt"), "revert", &[]).await;
    assert_eq!((status, &refused["code"]), (409, &json!("moved_on")), "{refused}");
    bench.decided(&row("a.txt"), "revert", &[]).await;
    assert_eq!(bench.project("a.txt"), numbered(&[(20, "mine")]), "exactly what was there before");
    server.stop().await;
}

#[tokio::test]
async fn what_is_refused_while_a_turn_runs_goes_when_it_ends() {
    let place = with_two_agents();
    commit(&place, "a.txt", &numbered(&[]));
    let server = place.serve().await;
    let bench = Bench::new(&place, &server).await;
    bench.turn("demo", "shell sed -i 's/^line 5$/five/; s/^line 30$/thirty/' a.txt").await;
    let row = bench.open().await;
    let mut frames = server.listen(&bench.session, "?after=0").await;
    let task = bench.start("demo", "say begun\nshell sed -i 's/^line 20$/twenty/' a.txt\nsleep 1500\nsay over").await;
    frames.until_said("begun").await;
    let later = bench.decided(&row, "reject", &[0]).await;
    assert_eq!((of(&later, "status"), &later["decisions"][0]["against"]), (vec!["rejected", "pending"], &json!("")));
    assert_eq!(server.ended(&task).await["state"], "completed");
    assert_eq!(bench.working("a.txt"), numbered(&[(20, "twenty"), (30, "thirty")]));
    let open = bench.open().await;
    assert_eq!(of(&open, "status"), ["pending", "pending"], "{open}");
    assert_eq!(open["hunks"][1]["id"], row["hunks"][1]["id"], "what was not touched is the same hunk");
    server.stop().await;
}

#[tokio::test]
async fn a_humans_edit_in_the_worktree_is_nobodys_and_an_agents_stays_its_own() {
    let place = with_two_agents();
    commit(&place, "a.txt", &numbered(&[]));
    let server = place.serve().await;
    let bench = Bench::new(&place, &server).await;
    bench.turn("demo", "shell sed -i 's/^line 5$/five/' a.txt").await;
    std::fs::write(bench.worktree().join("a.txt"), numbered(&[(5, "five"), (9, "mine")])).unwrap();
    std::fs::write(bench.worktree().join("mine.txt"), "mine\n").unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    // Long enough for the look at what was there before to be over; a quicker agent takes what it touches.
    bench.turn("other", "sleep 1000\nshell sed -i 's/^line 20$/twenty/' a.txt").await;
    let rows = bench.rows().await;
    let open = |file: &str| {
        rows.iter()
            .find(|row| row["file_path"] == file && row["status"] == "pending")
            .unwrap_or_else(|| panic!("{rows:?}"))
    };
    assert_eq!(of(open("a.txt"), "agent"), ["demo", "-", "other"]);
    assert_eq!((&open("mine.txt")["agent"], &open("mine.txt")["agents"]), (&Value::Null, &json!([null])));
    server.stop().await;
}

#[tokio::test]
async fn a_project_that_moves_on_makes_changes_stale_and_they_can_be_rebased() {
    let place = with_two_agents();
    commit(&place, "a.txt", &numbered(&[]));
    let server = place.serve().await;
    let bench = Bench::new(&place, &server).await;
    bench.turn("demo", "shell sed -i 's/^line 5$/five/' a.txt").await;
    assert_eq!(bench.open().await["status"], "pending");
    commit(&place, "other.txt", "nothing to do with it\n");
    assert_eq!(bench.open().await["status"], "pending");
    commit(&place, "a.txt", &numbered(&[(20, "upstream")]));
    let stale = bench.open().await;
    assert_eq!((&stale["status"], of(&stale, "status")), (&json!("stale"), vec!["stale"]));
    let risk = server.get(&format!("/api/sessions/{}/worktree-risk", bench.session)).await;
    assert_eq!(risk["pending"], 1, "what is stale waits for a decision too: {risk}");
    let path = format!("/api/pending/{}/rebase", stale["id"].as_str().unwrap());
    let (status, rebased) = server.request("POST", &path, None).await;
    assert_eq!((status, &rebased["status"]), (200, &json!("pending")), "{rebased}");
    assert_eq!(rebased["hunks"][0]["id"], stale["hunks"][0]["id"]);
    assert_eq!(bench.working("a.txt"), numbered(&[(5, "five"), (20, "upstream")]));
    // The next turn begins from there.
    bench.turn("other", "shell sed -i 's/^line 35$/thirty-five/' a.txt").await;
    let row = bench.open().await;
    assert_eq!((of(&row, "agent"), &row["status"]), (vec!["demo", "other"], &json!("pending")), "{row}");
    bench.decided(&row, "apply", &[]).await;
    assert_eq!(bench.project("a.txt"), numbered(&[(5, "five"), (20, "upstream"), (35, "thirty-five")]));

    // A branch switch is a move too; a change of the same lines cannot be rebased.
    bench.turn("demo", "shell sed -i 's/^line 10$/ten/' a.txt").await;
    commit(&place, "a.txt", &numbered(&[(5, "five"), (10, "TEN"), (20, "upstream"), (35, "thirty-five")]));
    let stale = bench.open().await;
    assert_eq!(stale["status"], "stale", "{stale}");
    let path = format!("/api/pending/{}/rebase", stale["id"].as_str().unwrap());
    let (status, refused) = server.request("POST", &path, None).await;
    assert_eq!((status, &refused["code"]), (409, &json!("moved_on")), "{refused}");
    git(place.path(), &["checkout", "--quiet", "HEAD~1"]);
    server.stop().await;
}

/// What was applied and is not committed is no move of the project; what it committed itself is nothing to decide on.
#[tokio::test]
async fn what_was_applied_makes_nothing_stale() {
    let place = with_two_agents();
    commit(&place, "a.txt", &numbered(&[]));
    let server = place.serve().await;
    let bench = Bench::new(&place, &server).await;
    bench.turn("demo", "shell sed -i 's/^line 3$/three/' a.txt; echo 1 > new.txt").await;
    let all = format!("/api/sessions/{}/pending/apply", bench.session);
    assert_eq!(server.request("POST", &all, None).await.0, 200);
    bench.turn("demo", "shell sed -i 's/^line 25$/xxv/' a.txt").await;
    let row = bench.open().await;
    assert_eq!(row["status"], "pending", "{row}");
    let path = format!("/api/pending/{}/rebase", row["id"].as_str().unwrap());
    let (status, same) = server.request("POST", &path, None).await;
    assert_eq!((status, &same["id"]), (200, &row["id"]), "there is nothing to bring it onto: {same}");
    assert_eq!(bench.working("a.txt"), numbered(&[(3, "three"), (25, "xxv")]));
    bench.decided(&row, "apply", &[]).await;
    bench.turn("demo", "shell echo 2 > new.txt").await;
    assert_eq!(bench.open().await["status"], "pending", "also of a file that HEAD does not have");

    // The project makes the same edit, beside one of its own.
    bench.turn("demo", "shell echo 1 > new.txt; sed -i 's/^line 35$/xxxv/' a.txt").await;
    let lines = numbered(&[(3, "three"), (10, "ten"), (25, "xxv"), (35, "xxxv")]);
    commit(&place, "a.txt", &lines);
    let stale = bench.open().await;
    assert_eq!(stale["status"], "stale", "{stale}");
    let path = format!("/api/pending/{}/rebase", stale["id"].as_str().unwrap());
    let (status, rebased) = server.request("POST", &path, None).await;
    assert_eq!((status, &rebased["status"]), (200, &json!("superseded")), "{rebased}");
    assert_eq!(bench.working("a.txt"), lines);
    let risk = server.get(&format!("/api/sessions/{}/worktree-risk", bench.session)).await;
    assert_eq!(risk["pending"], 0, "{risk}");
    server.stop().await;
}

/// All that git sees in a checkout, as a tree.
pub(crate) fn tree(dir: &Path) -> String {
    let index = tempfile::NamedTempFile::new().expect("a file");
    let git = |args: &[&str]| {
        let command = Command::new("git").args(args).current_dir(dir).env("GIT_INDEX_FILE", index.path()).output();
        let output = command.expect("git runs");
        assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    git(&["read-tree", "HEAD"]);
    git(&["add", "--all"]);
    git(&["write-tree"])
}

/// Nothing outside of the project is written, whichever way a path leads there.
#[tokio::test]
async fn no_path_leads_out_of_the_project() {
    let place = with_two_agents();
    commit(&place, "dir/a.txt", "a\n");
    let outside = place.data_dir().join("outside");
    std::fs::create_dir_all(&outside).unwrap();
    std::os::unix::fs::symlink(&outside, place.path().join("way")).unwrap();
    git(place.path(), &["init", "--quiet", "nested"]);
    let server = place.serve().await;
    let bench = Bench::new(&place, &server).await;
    let queue = format!("/api/sessions/{}/pending", bench.session);
    let absolute = format!("{}/x", outside.display());
    for path in [
        "../x",
        "dir/../../x",
        &absolute,
        ".git/hooks/post-commit",
        "dir/.git/config",
        ".GIT/config",
        ".git",
        "way/x",
        "nested/x",
        "",
        "dir//x",
        "./x",
        "a\0b",
    ] {
        let file = json!({"file_path": path, "content": "#!/bin/sh\n"});
        let (status, refused) = server.request("POST", &queue, Some(file)).await;
        assert_eq!((status, &refused["code"]), (422, &json!("unsafe_path")), "{path:?}: {refused}");
    }

    // An agent's own ways: a directory that becomes a link in the project after the turn, and a link in the worktree.
    bench.turn("demo", "shell mkdir deep && echo x > deep/x && echo b > dir/a.txt").await;
    let rows = bench.rows().await;
    let row = |file: &str| rows.iter().find(|row| row["file_path"] == file).unwrap().clone();
    std::os::unix::fs::symlink(&outside, place.path().join("deep")).unwrap();
    let (status, refused) = bench.decide(&row("deep/x"), "apply", &[]).await;
    assert_eq!(status, 409, "{refused}");
    std::fs::rename(place.path().join("dir"), place.path().join("moved")).unwrap();
    std::os::unix::fs::symlink(&outside, place.path().join("dir")).unwrap();
    std::fs::write(outside.join("a.txt"), "a\n").unwrap();
    let (status, refused) = bench.decide(&row("dir/a.txt"), "apply", &[]).await;
    assert_eq!(status, 409, "{refused}");
    std::fs::remove_file(place.path().join("dir")).unwrap();
    std::fs::rename(place.path().join("moved"), place.path().join("dir")).unwrap();
    bench
        .turn("demo", &format!("shell rm -r deep && ln -s {} deep && mv dir/a.txt dir/b.txt", outside.display()))
        .await;
    let rows = bench.rows().await;
    let open: Vec<_> = rows.iter().filter(|row| row["status"] == "pending").collect();
    let mut told: Vec<_> =
        open.iter().map(|row| (row["file_path"].as_str().unwrap(), row["new_mode"].as_str().unwrap_or("-"))).collect();
    told.sort_unstable();
    assert_eq!(told[0], ("deep", "120000"), "a link is shown as one: {told:?}");
    let kept: Vec<_> = std::fs::read_dir(&outside).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(kept, ["a.txt"], "nothing was written there");
    assert_eq!(std::fs::read_to_string(outside.join("a.txt")).unwrap(), "a\n");
    server.stop().await;
}
