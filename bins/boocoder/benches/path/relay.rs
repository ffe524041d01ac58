//! The baselines: the same agent with nothing in between but a pipe and a bare WebSocket, and its lines merely parsed.

use std::process::Stdio;
use std::time::{Duration, Instant};

use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpListener;
use tokio::process::{Child, ChildStdout, Command};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{accept_async, connect_async};

use crate::stamp;

async fn prompted(text: &str) -> (Child, Lines<BufReader<ChildStdout>>) {
    let mut agent = Command::new(std::env::current_exe().unwrap())
        .arg("agent")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let prompt = json!({ "id": 1, "method": "session/prompt", "params": { "prompt": [{ "text": text }] } });
    agent.stdin.as_mut().unwrap().write_all(format!("{prompt}\n").as_bytes()).await.unwrap();
    let lines = BufReader::with_capacity(1 << 16, agent.stdout.take().unwrap()).lines();
    (agent, lines)
}

/// The latency of a bare relay: each line goes to a WebSocket as it is, parsed and stored by nobody.
pub(crate) async fn latency(prompt: &str) -> Vec<Duration> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let prompt = prompt.to_owned();
    let relay = tokio::spawn(async move {
        let mut socket = accept_async(listener.accept().await.unwrap().0).await.unwrap();
        let (_agent, mut lines) = prompted(&prompt).await;
        while let Some(line) = lines.next_line().await.unwrap() {
            let over = line.contains("stopReason");
            socket.send(Message::text(line)).await.unwrap();
            if over {
                break;
            }
        }
    });
    let (mut socket, _) = connect_async(format!("ws://{address}")).await.unwrap();
    let mut times = Vec::new();
    while let Some(Ok(Message::Text(line))) = socket.next().await {
        let line: Value = serde_json::from_str(&line).unwrap();
        let Some(text) = line["params"]["update"]["content"]["text"].as_str() else { break };
        times.extend(stamp::ages(text));
    }
    relay.await.unwrap();
    times
}

/// How long it takes to read the agent's lines and parse each, and no more.
pub(crate) async fn parse(prompt: &str) -> Duration {
    let (_agent, mut lines) = prompted(prompt).await;
    let begin = Instant::now();
    while let Some(line) = lines.next_line().await.unwrap() {
        let line: Value = serde_json::from_str(&line).unwrap();
        if line["result"].is_object() {
            break;
        }
    }
    begin.elapsed()
}
