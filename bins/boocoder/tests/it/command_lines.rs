//! Agents that are nothing but a command line, and tasks that belong to no chat.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use boocoder_testkit::process::{alive, wait_until};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::processes;
use crate::serving::{LIMIT, Place, Serving};

/// An agent that runs its prompt as a script, and others that do the same otherwise.
const AGENTS: &str = r#"
[agents.script]
command = "/bin/sh"
args = ["-c", "{prompt}"]
protocol = "pty"
limits = { kill = "500ms" }

[agents.reader]
command = "/bin/sh"
protocol = "pty"
prompt = "stdin"

[agents.hasty]
command = "/bin/sh"
args = ["-c", "{prompt}"]
protocol = "pty"
limits = { run = "300ms", kill = "200ms" }

[agents.echo]
command = "/bin/echo"
protocol = "pty"

[agents.codex-lines]
command = "/bin/sh"
args = ["-c", "{prompt}"]
protocol = "pty"
output = "codex-json"
"#;

async fn place() -> (Place, Serving) {
    let place = Place::new();
    place.configure(AGENTS);
    let server = place.serve().await;
    (place, server)
}

async fn project(server: &Serving, place: &Place) -> Value {
    server.post("/api/projects", json!({"path": place.path()})).await["id"].clone()
}

/// A task without a chat.
async fn task(server: &Serving, project: &Value, agent: &str, input: &str) -> String {
    let task = json!({"project_id": project, "input": input, "agent": agent});
    server.post("/api/tasks", task).await["id"].as_str().expect("an id").to_owned()
}

async fn send(server: &Serving, session: &str, agent: &str, content: &str) -> String {
    let message = json!({"content": content, "agent": agent});
    let kept = server.post(&format!("/api/sessions/{session}/messages"), message).await;
    kept["task_id"].as_str().expect("an id").to_owned()
}

fn worktree(place: &Place, task: &str) -> PathBuf {
    place.data_dir().join("worktrees").join(format!("task-{task}"))
}

/// Waits until a file or directory is there, or is not.
async fn until_exists(path: PathBuf, exists: bool) {
    let what = path.display().to_string();
    let waiting = tokio::task::spawn_blocking(move || wait_until(LIMIT, &what, || path.exists() == exists));
    waiting.await.expect("no panic").expect("in time");
}

fn git(place: &Place, args: &[&str]) -> String {
    let output = Command::new("git").args(args).current_dir(place.path()).output().expect("git runs");
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

fn outcome(task: &Value) -> (&str, &str) {
    (task["state"].as_str().unwrap_or_default(), task["outcome"]["decided_by"].as_str().unwrap_or_default())
}

#[tokio::test]
async fn a_command_line_takes_part_in_a_chat_with_its_words_its_changes_and_its_failures() {
    let (place, server) = place().await;
    let session = server.session(&place).await;
    let made = server.ended(&send(&server, &session, "script", "echo hello; echo x >made.txt").await).await;
    assert_eq!((outcome(&made), &made["output"]), (("completed", "agent"), &json!("hello\n")), "{made}");
    assert_eq!(made["execution_path"], "pty");
    let pending = server.get(&format!("/api/sessions/{session}/pending")).await;
    assert_eq!((&pending[0]["file_path"], &pending[0]["agent"]), (&json!("made.txt"), &json!("script")));
    let known = server.get(&format!("/api/sessions/{session}/agent-sessions")).await;
    assert_eq!((&known[0]["has_session"], &known[0]["status"]), (&json!(false), &json!("closed")), "{known}");

    // The next one is told what was said before, since it remembers nothing itself.
    let told = server.ended(&send(&server, &session, "reader", "echo first").await).await;
    assert_eq!(told["output"], "first\n", "{told}");
    send(&server, &session, "echo", "the first question").await;
    let told = server.ended(&send(&server, &session, "echo", "the second question").await).await;
    let said = told["output"].as_str().unwrap();
    assert!(said.contains("the first question") && said.trim_end().ends_with("the second question"), "{said}");
    let known = server.get(&format!("/api/sessions/{session}/agent-sessions")).await;
    let echo = known.as_array().unwrap().iter().find(|known| known["agent"] == "echo").unwrap();
    assert_eq!(echo["resumed"], "history");

    let new = async |agent: &str, script: &str| {
        // In a chat of its own, where no history comes before the script.
        let session = server.session(&place).await;
        server.ended(&send(&server, &session, agent, script).await).await
    };
    let failed = new("script", "echo 'no login' >&2; exit 2").await;
    assert_eq!(outcome(&failed), ("failed", "agent"));
    assert_eq!(failed["outcome"]["reason"], "the agent exited (exit status 2): no login");
    let crashed = new("script", "kill -ABRT $$").await;
    assert_eq!(outcome(&crashed), ("failed", "crash"), "{crashed}");
    let late = new("hasty", "sleep 600").await;
    assert_eq!(outcome(&late), ("failed", "watchdog"), "{late}");
    let model = json!({"content": "true", "agent": "script", "model": "m"});
    let refused = server.post(&format!("/api/sessions/{session}/messages"), model).await;
    let refused = server.ended(refused["task_id"].as_str().unwrap()).await;
    assert_eq!(outcome(&refused), ("failed", "policy"), "{refused}");

    let lines = concat!(env!("CARGO_MANIFEST_DIR"), "/../../crates/backend/tests/data/codex-turn.jsonl");
    let read = new("codex-lines", &format!("cat '{lines}'")).await;
    assert_eq!((&read["output"], &read["cost_tokens"]), (&json!("I will look\n\nall done"), &json!(155)), "{read}");
    server.stop().await;
    assert!(processes::left(&place.data_dir(), Duration::from_secs(10)).await.is_empty());
}

#[tokio::test]
async fn a_cancelled_command_line_leaves_nothing_running() {
    let (place, server) = place().await;
    let session = server.session(&place).await;
    let script =
        "setsid sh -c 'trap \"\" TERM HUP; echo $$ >pid; while :; do sleep 1; done' & trap '' TERM; wait; wait";
    let running = send(&server, &session, "script", script).await;
    let file = processes::worktree(&place.data_dir(), &session).join("pid");
    let written = file.clone();
    let has_written = move || std::fs::read_to_string(&written).is_ok_and(|pid| pid.ends_with('\n'));
    tokio::task::spawn_blocking(move || wait_until(LIMIT, "a pid", has_written)).await.unwrap().unwrap();
    let pid: u32 = std::fs::read_to_string(&file).unwrap().trim().parse().unwrap();
    server.post(&format!("/api/tasks/{running}/cancel"), json!({})).await;
    assert_eq!(outcome(&server.ended(&running).await), ("cancelled", "user"));
    assert!(!alive(pid));
    server.stop().await;
}

#[tokio::test]
async fn a_command_line_outlives_a_killed_server_and_is_ended_with_a_killed_runner() {
    let (place, server) = place().await;
    let session = server.session(&place).await;
    let lines = "for i in 1 2 3 4 5 6 7 8; do echo line $i; sleep 0.4; done";
    let running = send(&server, &session, "script", lines).await;
    let seen = server.listen(&session, "?after=0").await.until_said("line 1\n").await;
    server.signal(Signal::KILL);
    server.gone().await;

    let server = place.serve().await;
    let ended = server.ended(&running).await;
    let whole: String = (1..=8).map(|number| format!("line {number}\n")).collect();
    assert_eq!((outcome(&ended), &ended["output"]), (("completed", "agent"), &json!(whole)), "{ended}");
    let replayed = server.listen(&session, "?after=0").await.until_end_of(&running).await;
    assert_eq!(replayed[..seen.len()], seen, "what a client saw is what a replay shows");
    let numbers: Vec<u64> = replayed.iter().map(|frame| frame["seq"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>(), "no hole");

    let session = server.session(&place).await;
    let lost = send(&server, &session, "script", "echo as far as this; echo $$ >pid; sleep 600").await;
    server.listen(&session, "?after=0").await.until_said("as far as this\n").await;
    let file = processes::worktree(&place.data_dir(), &session).join("pid");
    until_exists(file.clone(), true).await;
    processes::runners(&place.data_dir()).iter().for_each(processes::Process::kill);
    let failed = server.ended(&lost).await;
    assert_eq!((outcome(&failed), &failed["output"]), (("failed", "crash"), &json!("as far as this\n")), "{failed}");
    let pid: u32 = std::fs::read_to_string(&file).unwrap().trim().parse().unwrap();
    assert!(!alive(pid), "it would write into the next turn");
    assert_eq!(server.ended(&send(&server, &session, "reader", "echo back").await).await["output"], "back\n");
    server.stop().await;
}

#[tokio::test]
async fn a_run_of_a_command_line_prints_what_it_says_and_exits_as_the_turn_ends() {
    let place = Place::new();
    place.configure(AGENTS);
    let output = place.output(&["run", "--agent", "script", "echo hello from a script"]).await;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.contains("hello from a script"), "{said}");
    let failed = place.output(&["run", "--agent", "script", "exit 9"]).await;
    assert_eq!(failed.status.code(), Some(1));
    let agents = place.output(&["agents", "--json"]).await;
    let agents: Value = serde_json::from_slice(&agents.stdout).expect("JSON");
    let reader = agents.as_array().unwrap().iter().find(|agent| agent["name"] == "reader").unwrap();
    let shape = (&reader["protocol"], &reader["prompt"], &reader["output"], &reader["warm"]);
    assert_eq!(shape, (&json!("pty"), &json!("stdin"), &json!("text"), &json!(false)));
    let doctor = place.output(&["doctor"]).await;
    let findings = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(findings.contains("codex-lines is found") && findings.contains("exec --json"), "{findings}");
}

#[tokio::test]
async fn each_task_without_a_chat_has_a_worktree_and_changes_of_its_own() {
    let (place, server) = place().await;
    let project = project(&server, &place).await;
    let both = "while [ ! -e ../go ]; do sleep 0.05; done; pwd; echo";
    let one = task(&server, &project, "script", &format!("{both} one >same.txt")).await;
    let other = task(&server, &project, "script", &format!("{both} two >same.txt")).await;
    let demo = task(&server, &project, "demo", "say nothing changed").await;
    let demo = server.ended(&demo).await;
    assert_eq!(
        (&demo["execution_path"], &demo["session_id"], &demo["chat_id"]),
        (&json!("acp"), &json!(null), &json!(null))
    );
    std::fs::write(place.data_dir().join("worktrees/go"), "").expect("a file");
    for (id, text) in [(&one, "one"), (&other, "two")] {
        let ended = server.ended(id).await;
        assert_eq!((outcome(&ended), &ended["execution_path"]), (("completed", "agent"), &json!("pty")), "{ended}");
        assert!(ended["output"].as_str().unwrap().contains(&format!("task-{id}")), "{ended}");
        assert!(!ended["started_at"].is_null() && !ended["ended_at"].is_null() && ended["agent"] == "script");
        let pending = server.get(&format!("/api/tasks/{id}/pending")).await;
        assert_eq!(pending.as_array().map(Vec::len), Some(1), "{pending}");
        let change = &pending[0];
        assert_eq!(
            (&change["file_path"], &change["agent"], &change["task_id"]),
            (&json!("same.txt"), &json!("script"), &json!(id))
        );
        assert!(change["diff"].as_str().unwrap().contains(&format!("+{text}")), "{change}");
    }
    assert!(!place.path().join("same.txt").exists(), "the project's own checkout is as it was");
    until_exists(worktree(&place, demo["id"].as_str().unwrap()), false).await;

    // What is decided is not lost with the worktree, so that goes.
    let change = |task: &str| format!("/api/tasks/{task}/pending");
    let id = |pending: Value| pending[0]["id"].as_str().unwrap().to_owned();
    assert!(worktree(&place, &one).exists() && worktree(&place, &other).exists());
    let (apply, reject) = (id(server.get(&change(&one)).await), id(server.get(&change(&other)).await));
    server.post(&format!("/api/pending/{apply}/apply"), json!({})).await;
    server.post(&format!("/api/pending/{reject}/reject"), json!({})).await;
    assert_eq!(std::fs::read_to_string(place.path().join("same.txt")).expect("applied"), "one\n");
    assert!(!worktree(&place, &one).exists() && !worktree(&place, &other).exists());
    server.post(&format!("/api/pending/{apply}/revert"), json!({})).await;
    assert!(!place.path().join("same.txt").exists());
    server.stop().await;
}

#[tokio::test]
async fn a_task_of_a_session_without_a_chat_is_decided_on_in_its_own_worktree() {
    let (place, server) = place().await;
    let session = server.session(&place).await;
    server.ended(&send(&server, &session, "script", "echo of the session >s.txt").await).await;
    let project = server.get(&format!("/api/sessions/{session}")).await["project_id"].clone();
    let task =
        json!({"project_id": project, "session_id": session, "input": "echo of the task >t.txt", "agent": "script"});
    let task = server.post("/api/tasks", task).await["id"].as_str().unwrap().to_owned();
    let ended = server.ended(&task).await;
    assert_eq!((&ended["state"], &ended["session_id"]), (&json!("completed"), &json!(session)), "{ended}");
    let pending = server.get(&format!("/api/tasks/{task}/pending")).await;
    assert_eq!(pending[0]["file_path"], "t.txt", "{pending}");
    assert!(worktree(&place, &task).join("t.txt").exists());
    server.post(&format!("/api/pending/{}/reject", pending[0]["id"].as_str().unwrap()), json!({})).await;
    assert!(!worktree(&place, &task).exists(), "it was taken out of the task's own worktree");
    let of_session = processes::worktree(&place.data_dir(), &session);
    assert!(of_session.join("s.txt").exists());
    server.stop().await;
}

#[tokio::test]
async fn a_worktree_goes_at_the_next_start_if_nothing_is_lost_with_it_and_stays_otherwise() {
    let (place, server) = place().await;
    let project = project(&server, &place).await;
    let commit = |what: &str| {
        format!("git -c user.name=a -c user.email=a@b commit -q --allow-empty -m {what}; git rev-parse HEAD")
    };
    let merged = server.ended(&task(&server, &project, "script", &commit("one")).await).await;
    let unmerged = server.ended(&task(&server, &project, "script", &commit("another")).await).await;
    let waiting = server.ended(&task(&server, &project, "script", "echo x >kept.txt").await).await;
    let failed = server.ended(&task(&server, &project, "script", "echo y >late.txt; exit 1").await).await;
    assert_eq!(outcome(&failed), ("failed", "agent"));
    let place_of = |task: &Value| worktree(&place, task["id"].as_str().unwrap());
    // A turn that runs when its server is killed works on in its worktree, which is no leftover.
    let running = task(&server, &project, "script", "echo begun >b.txt; sleep 3; cat b.txt; rm b.txt").await;
    until_exists(worktree(&place, &running).join("b.txt"), true).await;
    server.signal(Signal::KILL);
    server.gone().await;
    for task in [&merged, &unmerged, &waiting, &failed] {
        assert!(place_of(task).exists(), "{task}");
    }
    // Nothing differs there any more, but what it had made still waits for a decision.
    std::fs::remove_file(place_of(&failed).join("late.txt")).expect("it is there");
    git(&place, &["branch", "kept", merged["output"].as_str().unwrap().trim()]);

    let server = place.serve().await;
    assert!(!place_of(&merged).exists(), "its commit is on a branch now");
    for task in [&unmerged, &waiting, &failed] {
        assert!(place_of(task).exists(), "{task}");
    }
    assert!(worktree(&place, &running).exists());
    let ended = server.ended(&running).await;
    assert_eq!((outcome(&ended), &ended["output"]), (("completed", "agent"), &json!("begun\n")), "{ended}");
    until_exists(worktree(&place, &running), false).await;
    assert!(!git(&place, &["worktree", "list"]).contains(&running), "git does not know it any more either");
    server.stop().await;
}
