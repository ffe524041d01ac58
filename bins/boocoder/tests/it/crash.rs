//! kill -9 of the server in the middle of its work, and a second server where one runs.

use std::time::Duration;

use boocoder_testkit::process::alive;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::serving::{LIMIT, Place, Serving};

fn with_content<'a>(messages: &'a Value, content: &str) -> Vec<&'a Value> {
    messages.as_array().expect("a list").iter().filter(|message| message["content"] == content).collect()
}

#[tokio::test]
async fn a_server_that_was_killed_loses_nothing_and_repeats_nothing() {
    let place = Place::new();
    let server = place.serve().await;
    let session = server.session(&place).await;
    let messages = format!("/api/sessions/{session}/messages");
    server.answer(&session, "remember the number").await;
    let agent = server.answer(&session, "pid").await;
    let running = server.say(&session, "say as far as this\nsleep 4000\nsay and further").await;
    let queued = server.say(&session, "recall").await;
    let seen = server.listen(&session, "?after=0").await.until_said("as far as this").await;
    server.signal(Signal::KILL);
    assert!(!server.gone().await.0.success());
    assert!(place.data_dir().join("server.json").exists(), "it had no chance to take it back");

    let server = place.serve().await;
    let gone_on = server.ended(&running).await;
    assert_eq!((&gone_on["state"], &gone_on["outcome"]["decided_by"]), (&json!("completed"), &json!("agent")));
    let answered = server.ended(&queued).await;
    assert_eq!((&answered["state"], &answered["output"]), (&json!("completed"), &json!("the number")), "{answered}");
    let all = server.get(&messages).await;
    assert_eq!(with_content(&all, "as far as this\nand further").len(), 1, "the turn is whole: {all}");
    assert_eq!(with_content(&all, "the number").len(), 1, "the queued message ran once: {all}");
    assert_eq!(server.answer(&session, "pid").await, agent, "the same process and the same session");
    let counted = server.text("/metrics").await;
    assert!(counted.contains("boocoder_swept_total{what=\"turns_taken_up\"} 1"), "{counted}");
    assert!(counted.contains("boocoder_turns_total{status=\"completed\",decided_by=\"agent\"}"), "{counted}");

    let replayed = server.listen(&session, "?after=0").await.until_end_of(&queued).await;
    assert_eq!(replayed[..seen.len()], seen, "what a client saw is what a replay shows");
    let numbers: Vec<u64> = replayed.iter().map(|frame| frame["seq"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>(), "no hole");
    server.stop().await;
}

#[tokio::test]
async fn a_question_stays_open_over_the_death_of_its_server_and_the_answer_counts() {
    let place = Place::new();
    let server = place.serve().await;
    let session = server.session(&place).await;
    let task = server.say(&session, "write asked.txt by an agent").await;
    let asked = server.question(&session).await;
    server.signal(Signal::KILL);
    server.gone().await;

    let server = place.serve().await;
    assert_eq!(server.question(&session).await, asked);
    let option = asked["options"].as_array().unwrap().iter().find(|option| option["kind"] == "allow_once").unwrap();
    let path = format!("/api/interactions/{}", asked["id"].as_str().unwrap());
    server.post(&path, json!({"option_id": option["option_id"]})).await;
    assert_eq!(server.ended(&task).await["state"], "completed");
    let pending = server.get(&format!("/api/sessions/{session}/pending")).await;
    assert_eq!(pending[0]["file_path"], "asked.txt");
    server.stop().await;
}

#[tokio::test]
async fn a_server_that_hangs_up_leaves_its_agents_to_the_next_one_and_one_that_ends_leaves_none() {
    let place = Place::new();
    let server = place.serve().await;
    let session = server.session(&place).await;
    let agent = server.answer(&session, "pid").await;
    let running = server.say(&session, "say before\nsleep 2000\nsay after").await;
    server.listen(&session, "?after=0").await.until_said("before").await;
    server.signal(Signal::HUP);
    let (status, log) = server.gone().await;
    assert!(status.success(), "{log}");
    assert!(!place.data_dir().join("server.json").exists());

    let server = place.serve().await;
    let ended = server.ended(&running).await;
    assert_eq!((&ended["state"], &ended["output"]), (&json!("completed"), &json!("before\nafter")), "{ended}");
    assert_eq!(server.answer(&session, "pid").await, agent);
    let runners = place.data_dir().join("runners");
    assert_eq!(std::fs::read_dir(&runners).unwrap().count(), 1);
    server.stop().await;
    assert_eq!(std::fs::read_dir(&runners).unwrap().count(), 0, "nothing of them is left");
}

#[tokio::test]
async fn a_task_without_a_chat_goes_on_too() {
    let place = Place::new();
    let server = place.serve().await;
    let project = server.post("/api/projects", json!({"path": place.path()})).await;
    let file = place.data_dir().join("begun");
    let input = format!("say begun\nshell touch {}\nsleep 3000\nwrite w.txt x\nsay done", file.display());
    let task = json!({"project_id": project["id"], "input": input, "agent": "demo"});
    let task = server.post("/api/tasks", task).await["id"].as_str().unwrap().to_owned();
    boocoder_testkit::process::wait_until(LIMIT, "it has begun", || file.exists()).unwrap();
    server.signal(Signal::KILL);
    server.gone().await;
    let server = place.serve().await;
    let asked = server.until("/api/interactions", |open| open.as_array()?.first().cloned()).await;
    server.signal(Signal::KILL);
    server.gone().await;
    let server = place.serve().await;
    let option = asked["options"].as_array().unwrap().iter().find(|option| option["kind"] == "allow_once").unwrap();
    let path = format!("/api/interactions/{}", asked["id"].as_str().unwrap());
    server.post(&path, json!({"option_id": option["option_id"]})).await;
    let ended = server.ended(&task).await;
    assert_eq!(ended["state"], "completed", "{ended}");
    let said = ended["output"].as_str().unwrap();
    assert!(said.starts_with("begun") && said.ends_with("done") && said.matches("begun").count() == 1, "{said}");
    let pending = server.get(&format!("/api/tasks/{task}/pending")).await;
    assert_eq!(pending[0]["file_path"], "w.txt");
    server.stop().await;
}

#[tokio::test]
async fn what_the_agent_of_a_killed_runner_left_running_is_ended() {
    let (place, elsewhere) = (Place::new(), Place::new());
    let (server, other) = (place.serve().await, elsewhere.serve().await);
    let (left, kept) = (running_command(&server, &place).await, running_command(&other, &elsewhere).await);
    let runner = runner_of(&place);
    server.signal(Signal::KILL);
    server.gone().await;
    kill(runner);
    assert!(alive(left), "nobody has ended it so far");

    let server = place.serve().await;
    let tasks = server.get("/api/tasks").await;
    let ended = server.ended(tasks[0]["id"].as_str().unwrap()).await;
    assert_eq!((&ended["state"], &ended["outcome"]["decided_by"]), (&json!("failed"), &json!("crash")), "{ended}");
    assert!(!alive(left), "it cannot write into the next turn's worktree");
    assert!(alive(kept), "a server on other data is none of this one's business");
    assert_eq!(other.get("/api/ready").await["status"], "ok");
    server.stop().await;
    other.stop().await;
    assert!(!alive(kept));
}

#[tokio::test]
async fn a_runner_that_is_killed_fails_its_turn_and_the_next_message_resumes_the_agent() {
    let place = Place::new();
    let server = place.serve().await;
    let session = server.session(&place).await;
    server.answer(&session, "remember the number").await;
    let task = server.say(&session, "say as far as this\nsleep 600000").await;
    server.listen(&session, "?after=0").await.until_said("as far as this").await;
    kill(runner_of(&place));
    let ended = server.ended(&task).await;
    assert_eq!((&ended["state"], &ended["outcome"]["decided_by"]), (&json!("failed"), &json!("crash")), "{ended}");
    assert_eq!(server.answer(&session, "recall").await, "the number");
    let agents = server.get(&format!("/api/sessions/{session}/agent-sessions")).await;
    assert_eq!((&agents[0]["status"], &agents[0]["resumed"]), (&json!("idle"), &json!("native")), "{agents}");
    server.stop().await;
}

#[tokio::test]
async fn an_agent_without_work_is_let_go_and_resumes_with_the_next_message() {
    let place = Place::new();
    place.configure("[limits.turns]\nidle = \"500ms\"\n");
    let server = place.serve().await;
    let session = server.session(&place).await;
    server.answer(&session, "remember the number").await;
    let path = format!("/api/sessions/{session}/agent-sessions");
    server.until(&path, |agents| (agents[0]["status"] == "closed").then_some(())).await;
    assert_eq!(server.answer(&session, "recall").await, "the number");
    assert_eq!(server.get(&path).await[0]["resumed"], "native");
    server.stop().await;
}

#[tokio::test]
async fn an_agent_that_keeps_dying_is_parked_and_a_new_message_starts_it_again() {
    let place = Place::new();
    place.configure("[limits.turns]\ncrashes = 1\ncrash_pause = \"10ms\"\n");
    let server = place.serve().await;
    let session = server.session(&place).await;
    let waiting = server.say(&session, "sleep 1500\ncrash").await;
    let crashing = server.say(&session, "crash").await;
    let queued = server.say(&session, "say too late").await;
    for task in [waiting, crashing] {
        assert_eq!(server.ended(&task).await["outcome"]["decided_by"], "crash");
    }
    let refused = server.ended(&queued).await;
    assert_eq!(
        (&refused["state"], &refused["outcome"]["decided_by"]),
        (&json!("failed"), &json!("policy")),
        "{refused}"
    );
    let path = format!("/api/sessions/{session}/agent-sessions");
    server.until(&path, |agents| (agents[0]["status"] == "parked").then_some(())).await;
    assert_eq!(server.answer(&session, "say back").await, "back");
    server.stop().await;
}

/// The one runner of a place.
fn runner_of(place: &Place) -> u32 {
    let runners = place.data_dir().join("runners").display().to_string();
    let is_runner = |pid: &u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        line.contains(" runner ") && line.contains(&runners)
    };
    let entries = std::fs::read_dir("/proc").expect("a process table").flatten();
    let mut pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()).filter(is_runner);
    pids.next().expect("a runner")
}

fn kill(pid: u32) {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw).expect("a process id");
    rustix::process::kill_process(pid, Signal::KILL).expect("it can be killed");
}

/// Has the demo agent run a command that stays, and gives the process id of its shell.
async fn running_command(server: &Serving, place: &Place) -> u32 {
    let file = place.data_dir().join("pid");
    let session = server.session(place).await;
    server.say(&session, &format!("shell echo $$ > {0}.new; mv {0}.new {0}; sleep 600", file.display())).await;
    let written = async {
        loop {
            match std::fs::read_to_string(&file) {
                Ok(pid) => return pid.trim().parse().expect("a process id"),
                Err(_) => sleep(Duration::from_millis(20)).await,
            }
        }
    };
    timeout(LIMIT, written).await.expect("the command runs in time")
}

#[tokio::test]
async fn a_second_server_on_the_same_data_is_refused() {
    let place = Place::new();
    let server = place.serve().await;
    let second = place.output(&["serve", "--listen", "127.0.0.1:0"]).await;
    let said = String::from_utf8(second.stderr).unwrap();
    assert!(!second.status.success());
    assert!(said.contains(&format!("in use by another server (process {})", server.info.pid)), "{said}");
    assert_eq!(server.get("/api/ready").await["status"], "ok", "the first one goes on");
    server.stop().await;
    place.serve().await.stop().await;
}
