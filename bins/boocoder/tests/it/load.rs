//! Many turns, many chats, and a client that does not read: nothing is lost, and memory stays bounded.

#![expect(clippy::print_stdout, reason = "how much memory it took is worth knowing")]
#![expect(clippy::unwrap_used, reason = "what a test cannot do without fails it")]

use std::time::Duration;

use boocoder_testkit::process;
use serde_json::{Value, json};

use crate::serving::{LIMIT, Listener, Place, Serving};

/// The most memory that the server may ever have taken, in KiB. Without bounds the flood alone takes more.
const MEMORY_KIB: u64 = 400 * 1024;

/// The server's largest resident set so far, in KiB.
fn peak_kib(server: &Serving) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.info.pid)).expect("the server runs");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the kernel counts it");
    peak.trim().trim_end_matches(" kB").parse().expect("a number")
}

fn numbers(frames: &[Value]) -> Vec<u64> {
    frames.iter().map(|frame| frame["seq"].as_u64().expect("a number")).collect()
}

/// What was said in the agent's message of a task.
fn said(frames: &[Value], task: &str) -> String {
    let of_task = |frame: &&Value| frame["type"] == "delta" && frame["task_id"] == task;
    frames.iter().filter(of_task).map(|frame| frame["content"].as_str().expect("text")).collect()
}

async fn stop_and_look(server: Serving) {
    println!("the server's peak memory: {} KiB", peak_kib(&server));
    assert!(peak_kib(&server) < MEMORY_KIB, "{} KiB", peak_kib(&server));
    let family = process::descendants(server.info.pid);
    server.stop().await;
    process::wait_until(LIMIT, "nothing is left running", || family.iter().all(|pid| !process::alive(*pid))).unwrap();
}

#[tokio::test]
async fn a_thousand_turns_in_one_chat_leave_no_hole() {
    let place = Place::new();
    let server = place.serve().await;
    let session = server.session(&place).await;
    let mut listener = server.listen(&session, "?after=0").await;
    let mut all = Vec::new();
    for turn in 0..1000 {
        let words = format!("turn {turn}");
        let task = server.say(&session, &format!("say {words}")).await;
        let frames = listener.until_end_of(&task).await;
        assert_eq!(said(&frames, &task), words);
        all.extend(frames);
    }
    assert_eq!(numbers(&all), (1..=all.len() as u64).collect::<Vec<_>>());
    stop_and_look(server).await;
}

#[tokio::test]
async fn fifty_chats_at_once_each_get_their_own_answer() {
    let place = Place::new();
    let server = place.serve().await;
    let session = server.session(&place).await;
    let mut listener = server.listen(&session, "?after=0").await;
    let mut tasks = Vec::new();
    for chat in 0..50 {
        let made = server.post(&format!("/api/sessions/{session}/chats"), json!({})).await;
        let content = format!("say begin {chat}\nstream 50 20\nsay end {chat}");
        let message = json!({"content": content, "agent": "demo", "chat_id": made["id"]});
        let sent = server.post(&format!("/api/sessions/{session}/messages"), message).await;
        tasks.push(sent["task_id"].as_str().expect("an id").to_owned());
    }
    let mut all: Vec<Value> = Vec::new();
    let ended = |frame: &Value| frame["type"] == "task_updated" && !frame["outcome"].is_null();
    while all.iter().filter(|frame| ended(frame)).count() < tasks.len() {
        all.extend(listener.next().await.expect("the stream goes on"));
    }
    assert_eq!(numbers(&all), (1..=all.len() as u64).collect::<Vec<_>>());
    for (chat, task) in tasks.iter().enumerate() {
        let text = said(&all, task);
        let words = (format!("begin {chat}"), format!("end {chat}"));
        assert!(text.starts_with(&words.0) && text.ends_with(&words.1) && text.len() > 50 * 20, "{text}");
    }
    stop_and_look(server).await;
}

#[tokio::test]
async fn a_client_that_stops_reading_is_healed_and_holds_nobody_up() {
    const CHUNKS: usize = 200_000;
    let place = Place::new();
    let server = place.serve().await;
    let session = server.session(&place).await;
    let mut quick = server.listen(&session, "?after=0").await;
    let mut slow = server.listen(&session, "?after=0").await;
    let task = server.say(&session, &format!("stream {CHUNKS} 50")).await;
    let read_all = async |listener: &mut Listener| listener.until_end_of(&task).await;
    let pause = async {
        tokio::time::sleep(Duration::from_secs(10)).await;
        read_all(&mut slow).await
    };
    let (seen, late) = tokio::join!(read_all(&mut quick), pause);
    assert_eq!(said(&seen, &task).len(), CHUNKS * 50, "no byte is lost");
    assert_eq!(numbers(&seen), (1..=seen.len() as u64).collect::<Vec<_>>());
    assert!(seen == late, "both clients see the same frames");
    stop_and_look(server).await;
}
