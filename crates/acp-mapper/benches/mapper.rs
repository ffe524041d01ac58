//! How long the mapper takes for an agent's lines, as a ratio to bare `serde_json` parsing of the same lines.

#![expect(clippy::print_stdout, reason = "the result of a benchmark goes to standard output")]
#![expect(clippy::disallowed_methods, reason = "a benchmark measures time")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use boocoder_acp_mapper::{SessionUpdateMapper, parse_update};
use serde::Deserialize;
use serde_json::value::RawValue;

const LINES: usize = 20_000;
const ROUNDS: usize = 15;
/// One line in so many belongs to a tool call; the others are pieces of the answer or of the reasoning.
const TOOL_EVERY: usize = 20;

/// The envelope of a notification, as a transport reads it.
#[derive(Deserialize)]
struct Notification<'a> {
    #[serde(borrow)]
    params: &'a RawValue,
}

fn main() {
    let lines: Vec<String> = (0..LINES).map(line).collect();
    let mut ratios: Vec<f64> = (0..ROUNDS).map(|_| round(&lines)).collect();
    ratios.sort_by(f64::total_cmp);
    println!(
        "mapper/bare parse: median {:.2}, best {:.2}, worst {:.2} ({LINES} lines, {ROUNDS} rounds)",
        ratios[ROUNDS / 2],
        ratios[0],
        ratios[ROUNDS - 1],
    );
}

fn round(lines: &[String]) -> f64 {
    let bare = time(|| {
        for line in lines {
            black_box(serde_json::from_str::<serde_json::Value>(line).expect("every line is JSON"));
        }
    });
    let mapped = time(|| {
        let mut mapper = SessionUpdateMapper::new();
        for line in lines {
            let notification: Notification<'_> = serde_json::from_str(line).expect("every line is a notification");
            let events = mapper.apply(parse_update(notification.params).update);
            assert!(!black_box(events).is_empty());
        }
    });
    println!(
        "bare {:6.0} ns/line, mapper {:6.0} ns/line, {:5.0} k events/s",
        per_line(bare),
        per_line(mapped),
        LINES as f64 / mapped.as_secs_f64() / 1000.0,
    );
    mapped.as_secs_f64() / bare.as_secs_f64()
}

fn time(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn per_line(time: Duration) -> f64 {
    time.as_secs_f64() * 1e9 / LINES as f64
}

fn line(number: usize) -> String {
    let call = number / TOOL_EVERY / 3;
    let update = match (number % TOOL_EVERY, number / TOOL_EVERY % 3) {
        (0, 0) => format!(
            r#""sessionUpdate":"tool_call","toolCallId":"call_{call}","title":"edit main.rs","kind":"edit","status":"pending","locations":[{{"path":"/repo/src/main.rs"}}],"rawInput":{{"path":"/repo/src/main.rs","edits":[{{"old":"let a = 1;","new":"let a = 2;"}}]}}"#
        ),
        (0, 1) => format!(
            r#""sessionUpdate":"tool_call_update","toolCallId":"call_{call}","status":"in_progress","content":[{{"type":"diff","path":"/repo/src/main.rs","oldText":"let a = 1;\n","newText":"let a = 2;\n"}}]"#
        ),
        (0, _) => format!(
            r#""sessionUpdate":"tool_call_update","toolCallId":"call_{call}","status":"completed","rawOutput":{{"ok":true,"lines":1}}"#
        ),
        (5, _) => text("agent_thought_chunk", number),
        _ => text("agent_message_chunk", number),
    };
    format!(
        r#"{{"jsonrpc":"2.0","method":"session/update","params":{{"sessionId":"ses_0123456789abcdef","update":{{{update}}}}}}}"#
    )
}

fn text(kind: &str, number: usize) -> String {
    format!(
        r#""sessionUpdate":"{kind}","content":{{"type":"text","text":"Piece {number} of an answer of some hundred bytes,\nwith \"quotes\" and a line break as there are in code."}}"#
    )
}
