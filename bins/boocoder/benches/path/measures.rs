//! What is measured, and against what.

use std::time::{Duration, Instant};

use boocoder_testkit::process::rss_kib;
use futures::StreamExt;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::client::Server;
use crate::relay;
use crate::stamp::{self, ms, percentiles};

const PACED: &str = "pace 3000 900";
const FLOOD: usize = 200_000;
const FLOOD_BYTES: usize = 100;
const ROUNDS: usize = 200;
const IDLE_AGENTS: usize = 40;
const WAITING_AGENTS: usize = 100;
const REPLAYED: usize = 10_000;

/// The text of a delta, if the frame is one.
pub(crate) fn delta(frame: &Value) -> Option<&str> {
    frame["content"].as_str().filter(|_| frame["type"] == "delta")
}

/// From an agent's line to the client's frame, committed on the way, at about 1,000 updates a second.
pub(crate) async fn latency(server: &Server) {
    let (bare50, bare99) = percentiles(relay::latency(PACED).await);
    let mut session = server.session().await;
    let mut times = Vec::new();
    session.turn("measured", "stamp", |_| {}).await;
    session.turn("measured", PACED, |frame| times.extend(delta(frame).into_iter().flat_map(stamp::ages))).await;
    let (p50, p99) = percentiles(times);
    println!(
        "agent line -> WebSocket frame: p50 {:.2} ms, p99 {:.2} ms; bare relay p50 {:.2} ms, p99 {:.2} ms; ratio p50 {:.1}, p99 {:.1}  (goal: p50 <= 0.5 ms, p99 <= 2 ms)",
        ms(p50),
        ms(p99),
        ms(bare50),
        ms(bare99),
        ratio(p50, bare50),
        ratio(p99, bare99),
    );
}

/// From the HTTP request to the prompt on the agent's standard input, message and claim committed durably on the way.
pub(crate) async fn accept_to_prompt(server: &Server) {
    let mut session = server.session().await;
    session.turn("measured", "stamp", |_| {}).await;
    let (mut times, mut posts) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let begin = Instant::now();
        server.post(&format!("/api/sessions/{}/chats", session.id), json!({})).await;
        posts.push(begin.elapsed());
        let sent = stamp::now();
        let mut received = 0;
        let mut see = |frame: &Value| {
            if let Some(stamp) = delta(frame).and_then(|text| text.trim().parse::<u128>().ok()) {
                received = stamp;
            }
        };
        session.turn("measured", "stamp", &mut see).await;
        times.push(Duration::from_nanos(u64::try_from(received.saturating_sub(sent)).unwrap()));
    }
    let ((p50, p99), (post50, _)) = (percentiles(times), percentiles(posts));
    println!(
        "HTTP accept -> prompt on stdin: p50 {:.2} ms, p99 {:.2} ms; one request that commits one row p50 {:.2} ms; ratio {:.1}  (goal: p50 <= 3 ms)",
        ms(p50),
        ms(p99),
        ms(post50),
        ratio(p50, post50),
    );
}

/// A flood through one chat, everything committed and delivered.
pub(crate) async fn sustained(server: &Server) {
    let prompt = format!("flood {FLOOD} {FLOOD_BYTES}");
    let bare = relay::parse(&prompt).await;
    let mut session = server.session().await;
    session.turn("measured", "stamp", |_| {}).await;
    let (begin, mut bytes) = (Instant::now(), 0);
    session.turn("measured", &prompt, |frame| bytes += delta(frame).map_or(0, str::len)).await;
    let whole = begin.elapsed();
    assert_eq!(bytes, FLOOD * (FLOOD_BYTES + 1), "every byte is delivered");
    let rate = |time: Duration| FLOOD as f64 / time.as_secs_f64() / 1000.0;
    println!(
        "sustained through one chat, committed and delivered: {:.0} k updates/s; reading and parsing the same lines alone {:.0} k/s; ratio {:.2}  (goal: >= 100 k/s)",
        rate(whole),
        rate(bare),
        ratio(whole, bare),
    );
    println!("server's resident memory after it: {} KiB", rss_kib(server.pid()).unwrap());
}

/// The second turn of a warm agent against a turn of a fresh one.
pub(crate) async fn warm_against_cold(server: &Server) {
    for (agent, prompt) in [("demo", "say hello"), ("goose", "MOCK:TEXT hello"), ("qwen", "MOCK:TEXT hello")] {
        let mut session = server.session().await;
        session.turn(agent, prompt, |_| {}).await;
        let (mut warm, mut cold) = (Vec::new(), Vec::new());
        for _ in 0..5 {
            let begin = Instant::now();
            session.turn(agent, prompt, |_| {}).await;
            warm.push(begin.elapsed());
            let begin = Instant::now();
            server.one_shot(agent, prompt).await;
            cold.push(begin.elapsed());
        }
        let ((warm, _), (cold, _)) = (percentiles(warm), percentiles(cold));
        println!(
            "{agent}: warm turn {:.0} ms, cold one-shot turn {:.0} ms; ratio {:.2}",
            ms(warm),
            ms(cold),
            ratio(warm, cold)
        );
    }
}

/// What an idle warm agent costs the server, the agent itself excluded.
pub(crate) async fn memory(server: &Server) {
    let before = rss_kib(server.pid()).unwrap();
    let mut sessions = Vec::new();
    for _ in 0..IDLE_AGENTS {
        let mut session = server.session().await;
        session.turn("measured", "stamp", |_| {}).await;
        sessions.push(session);
    }
    drop(sessions);
    let after = rss_kib(server.pid()).unwrap();
    let each = after.saturating_sub(before) as f64 / IDLE_AGENTS as f64;
    println!("server memory per idle warm agent: {each:.0} KiB; ratio to 1 MiB {:.2}  (goal: <= 1)", each / 1024.0);
}

/// What a runner costs, the agent itself excluded.
pub(crate) fn runner_memory(server: &Server) {
    let runners: Vec<u64> = boocoder_testkit::process::descendants(server.pid())
        .into_iter()
        .filter(|pid| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.split(|byte| *byte == 0).nth(1) == Some(b"runner")
        })
        .filter_map(boocoder_testkit::process::private_kib)
        .collect();
    let (most, count) = (runners.iter().max().copied().unwrap_or_default(), runners.len());
    let each = runners.iter().sum::<u64>() as f64 / count.max(1) as f64;
    println!(
        "private memory of a runner: {each:.0} KiB, at most {most} KiB ({count} runners); ratio to 4 MiB {:.2}  (goal: <= 1)",
        each / 4096.0
    );
}

/// From kill -9 of the server to the next one's readiness, and what waiting agents add to it.
pub(crate) async fn restarts(server: &mut Server) {
    server.restart(Signal::TERM).await;
    let (mut polite, mut crashed) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        polite.push(server.restart(Signal::TERM).await);
        crashed.push(server.restart(Signal::KILL).await);
    }
    let ((polite, _), (crashed, _)) = (percentiles(polite), percentiles(crashed));
    println!(
        "start after kill -9, no agents: {:.0} ms; after a polite stop {:.0} ms; ratio {:.2}",
        ms(crashed),
        ms(polite),
        ratio(crashed, polite)
    );
    let turns = (0..WAITING_AGENTS).map(async |_| {
        let mut session = server.session().await;
        session.turn("measured", "stamp", |_| {}).await;
    });
    futures::stream::iter(turns).buffer_unordered(4).collect::<()>().await;
    let mut starts = Vec::new();
    for _ in 0..3 {
        starts.push(server.restart(Signal::KILL).await);
    }
    let (loaded, _) = percentiles(starts);
    println!(
        "start after kill -9, {WAITING_AGENTS} idle agents taken up: {:.0} ms; ratio to none {:.2}",
        ms(loaded),
        ratio(loaded, crashed)
    );
}

/// Reading a long log from its beginning.
pub(crate) async fn replay(server: &Server) {
    let mut session = server.session().await;
    let mut lines = Vec::new();
    while lines.len() < REPLAYED {
        session.turn("measured", PACED, |frame| lines.push(frame.to_string())).await;
    }
    let (frames, bytes, time) = server.replay(&session.id).await;
    let begin = Instant::now();
    for line in &lines {
        std::hint::black_box(serde_json::from_str::<Value>(line).unwrap());
    }
    let parsing = begin.elapsed();
    println!(
        "replay of {frames} frames ({} KiB): {:.0} ms; parsing them alone {:.0} ms; ratio {:.1}",
        bytes / 1024,
        ms(time),
        ms(parsing),
        ratio(time, parsing)
    );
}

pub(crate) fn ratio(time: Duration, baseline: Duration) -> f64 {
    time.as_secs_f64() / baseline.as_secs_f64()
}
