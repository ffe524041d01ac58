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
    let running = server.say(&session, "say as far as this\nsleep 600000").await;
    let queued = server.say(&session, "recall").await;
    let seen = server.listen(&session, "?after=0").await.until_said("as far as this").await;
    server.signal(Signal::KILL);
    assert!(!server.gone().await.0.success());
    assert!(place.data_dir().join("server.json").exists(), "it had no chance to take it back");

    let server = place.serve().await;
    let failed = server.ended(&running).await;
    assert_eq!((&failed["state"], &failed["outcome"]["decided_by"]), (&json!("failed"), &json!("crash")), "{failed}");
    let answered = server.ended(&queued).await;
    assert_eq!((&answered["state"], &answered["output"]), (&json!("completed"), &json!("the number")), "{answered}");
    let all = server.get(&messages).await;
    let partial = with_content(&all, "as far as this");
    assert_eq!((partial.len(), &partial[0]["status"]), (1, &json!("failed")), "what was said is kept: {all}");
    assert_eq!(with_content(&all, "the number").len(), 1, "the queued message ran once: {all}");

    let replayed = server.listen(&session, "?after=0").await.until_end_of(&queued).await;
    assert_eq!(replayed[..seen.len()], seen, "what a client saw is what a replay shows");
    let numbers: Vec<u64> = replayed.iter().map(|frame| frame["seq"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>(), "no hole");
    server.stop().await;
}

#[tokio::test]
async fn what_the_agents_of_a_killed_server_left_running_is_ended_before_the_next_one_is_ready() {
    let (place, elsewhere) = (Place::new(), Place::new());
    let (server, other) = (place.serve().await, elsewhere.serve().await);
    let (left, kept) = (running_command(&server, &place).await, running_command(&other, &elsewhere).await);
    server.signal(Signal::KILL);
    server.gone().await;
    assert!(alive(left), "nobody has ended it so far");

    let server = place.serve().await;
    assert!(!alive(left), "it cannot write into the next turn's worktree");
    assert!(alive(kept), "a server on other data is none of this one's business");
    assert_eq!(other.get("/api/ready").await["status"], "ok");
    let (_, log) = server.stop().await;
    assert!(log.contains("ended what agents of a killed server had left running"), "{log}");
    other.stop().await;
    assert!(!alive(kept));
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
