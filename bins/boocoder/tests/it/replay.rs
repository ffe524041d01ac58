//! Clients that come, lag, go and come back at random while messages stream: each sees every frame once, in order.

#![expect(clippy::print_stdout, reason = "a failure is made again by the seed")]

use futures::StreamExt;
use futures::future::join_all;
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use crate::client::{Client, id};
use crate::random::{self, Random};
use crate::serving::{LIMIT, Place};
use crate::watcher::{Seen, come_and_go, replay};

const SEED: &str = "BOOCODER_REPLAY_SEED";

/// Chats that stream at once, and the messages of each.
const CHATS: usize = 3;
const MESSAGES: usize = 8;

const CLIENTS: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_comes_and_goes_sees_every_frame_once_and_in_order() {
    let seed = random::seed(SEED);
    println!("{SEED}={seed}");
    let mut random = Random::new(seed);
    let place = Place::new();
    let server = place.serve().await;
    let client = Client::of(&place);
    let (session, first) = client.session(&client.project(&place).await).await;
    let mut chats = vec![first];
    while chats.len() < CHATS {
        chats.push(id(&client.post(&format!("/api/sessions/{session}/chats"), json!({})).await));
    }

    let (sender, end) = tokio::sync::watch::channel(None);
    let comers = (0..CLIENTS).map(|_| {
        let (client, session, random, end) = (client.clone(), session.clone(), random.fork(), end.clone());
        tokio::spawn(come_and_go(client, session, random, end, |frame| frame))
    });
    let comers: Vec<_> = comers.collect();
    let talkers = chats.iter().map(|chat| talk(&client, &session, chat, random.fork()));
    let tasks: Vec<String> = join_all(talkers).await.into_iter().flatten().collect();

    // All turns have ended; the frames up to the last of these ends are what everybody has to have.
    let mut all = Seen::nothing();
    let is_end = |frame: &Value| frame["type"] == "task_updated" && !frame["outcome"].is_null();
    let reading = async {
        let mut socket = client.connect(&session, 0, None).await.expect("a WebSocket");
        while all.frames.iter().filter(|frame| is_end(frame)).count() < tasks.len() {
            if let Message::Text(text) = socket.next().await.expect("it goes on").expect("a message") {
                all.take(&text, |frame| frame);
            }
        }
    };
    timeout(LIMIT, reading).await.expect("the frames come in time");
    assert!(all.wrong.is_empty(), "{:?}", all.wrong);
    sender.send_replace(Some(all.frames.len()));
    let again = replay(&client, &session, all.frames.len(), |frame| frame).await;
    let mut comings = 0;
    for comer in comers {
        let (seen, times) = timeout(LIMIT, comer).await.expect("it has seen all in time").expect("it ends");
        assert!(seen.wrong.is_empty(), "{:?}", seen.wrong);
        for ((here, there), later) in seen.frames.iter().zip(&all.frames).zip(&again.frames) {
            assert!(here == there && here == later, "{here}\n{there}\n{later}");
        }
        assert!(seen.frames.len() >= all.frames.len());
        comings += times;
    }
    println!("{} frames, {CLIENTS} clients that came {comings} times", all.frames.len());
    assert!(comings > 3 * CLIENTS, "they came back");
    server.stop().await;
}

/// Has a chat stream for a while.
async fn talk(client: &Client, session: &str, chat: &str, mut random: Random) -> Vec<String> {
    let mut tasks = Vec::new();
    for message in 0..MESSAGES {
        let bursts = (0..10).map(|_| format!("stream {} {}\nsleep {}", 1 + random.below(300), 200, random.below(40)));
        let content = bursts.collect::<Vec<_>>().join("\n");
        let task = client.say(session, chat, &content, &format!("{chat}-{message}")).await;
        assert_eq!(client.ended(&task).await["state"], "completed");
        tasks.push(task);
    }
    tasks
}
