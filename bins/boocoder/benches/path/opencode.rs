//! opencode behind its server: from an event to a client's frame, and a warm turn against a cold `opencode run`.

use std::collections::BTreeMap;
use std::time::Instant;

use futures::StreamExt;
use serde_json::Value;
use tokio::process::Command;

use crate::client::Server;
use crate::measures::{delta, ratio};
use crate::stamp::{ms, percentiles};

const WORDS: usize = 300;
const ROUNDS: usize = 5;

/// What stands for itself in this run: another client of the very event stream that the server reads.
pub(crate) async fn latency(server: &Server) {
    let mut session = server.session().await;
    session.turn("opencode", "MOCK:TEXT warm", |_| {}).await;
    let bare = tokio::spawn(words(server.opencode_events(&session.id).await));
    let mut framed = BTreeMap::new();
    let prompt = format!("MOCK:SLOW ms=5 chunks={WORDS}");
    session.turn("opencode", &prompt, |frame| note(&mut framed, delta(frame).unwrap_or_default())).await;
    let bare = bare.await.unwrap();
    let lag = |(word, at): (&u64, &Instant)| Some(at.saturating_duration_since(*bare.get(word)?));
    let times: Vec<_> = framed.iter().filter_map(lag).collect();
    assert!(times.len() > WORDS / 2, "{} of {WORDS} words were seen by both", times.len());
    let (p50, p99) = percentiles(times);
    println!(
        "opencode event -> WebSocket frame, behind a bare client of the event stream: p50 {:.2} ms, p99 {:.2} ms",
        ms(p50),
        ms(p99)
    );
}

/// The second turn in a chat against `opencode run` from a standing start.
pub(crate) async fn warm_against_cold(server: &Server) {
    let mut session = server.session().await;
    session.turn("opencode", "MOCK:TEXT warm", |_| {}).await;
    let (mut warm, mut cold) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let begin = Instant::now();
        session.turn("opencode", "MOCK:TEXT hello", |_| {}).await;
        warm.push(begin.elapsed());
        let mut command = Command::from(server.opencode_run("MOCK:TEXT hello"));
        let begin = Instant::now();
        let output = command.output().await.unwrap();
        cold.push(begin.elapsed());
        assert!(output.status.success(), "{output:?}");
    }
    let ((warm, _), (cold, _)) = (percentiles(warm), percentiles(cold));
    println!(
        "opencode: warm turn {:.0} ms, `opencode run` {:.0} ms; ratio {:.2}",
        ms(warm),
        ms(cold),
        ratio(warm, cold)
    );
}

/// When each word came by the event stream, up to the last one.
async fn words(events: reqwest::Response) -> BTreeMap<u64, Instant> {
    let (mut seen, mut rest) = (BTreeMap::new(), String::new());
    let mut stream = events.bytes_stream();
    while let Some(Ok(bytes)) = stream.next().await {
        rest.push_str(&String::from_utf8_lossy(&bytes));
        while let Some((line, more)) = rest.split_once('\n') {
            let event: Value =
                line.strip_prefix("data:").and_then(|data| serde_json::from_str(data).ok()).unwrap_or_default();
            if event["type"] == "message.part.delta" {
                note(&mut seen, event["properties"]["delta"].as_str().unwrap_or_default());
            }
            rest = more.to_owned();
        }
        if seen.contains_key(&(WORDS as u64)) {
            break;
        }
    }
    seen
}

fn note(seen: &mut BTreeMap<u64, Instant>, text: &str) {
    let now = Instant::now();
    for number in text.split_whitespace().filter_map(|word| word.parse().ok()) {
        seen.entry(number).or_insert(now);
    }
}
