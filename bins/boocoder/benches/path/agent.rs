//! An ACP agent of the plainest sort, for measuring: what it sends are the times at which it sends it.

use std::io::{BufRead, BufWriter, Write, stdin, stdout};
use std::time::Duration;

use serde_json::{Value, json};

use crate::stamp;

/// Serves on standard input and output. Prompts: `stamp`, `pace COUNT MICROS`, `flood COUNT BYTES`.
pub(crate) fn main() {
    let mut out = BufWriter::new(stdout().lock());
    for line in stdin().lock().lines() {
        let request: Value = serde_json::from_str(&line.unwrap()).unwrap();
        let result = match request["method"].as_str() {
            Some("initialize") => json!({ "protocolVersion": 1, "agentCapabilities": {} }),
            Some("session/new") => json!({ "sessionId": "measured" }),
            Some("session/prompt") => {
                let received = stamp::now();
                prompt(request["params"]["prompt"][0]["text"].as_str().unwrap(), received, &mut out);
                json!({ "stopReason": "end_turn" })
            }
            _ => continue,
        };
        let answer = json!({ "jsonrpc": "2.0", "id": request["id"], "result": result });
        writeln!(out, "{answer}").unwrap();
        out.flush().unwrap();
    }
}

fn prompt(text: &str, received: u128, out: &mut impl Write) {
    let mut words = text.split_whitespace();
    let verb = words.next().unwrap();
    let mut number = || words.next().unwrap().parse::<usize>().unwrap();
    match verb {
        "stamp" => say(out, &received.to_string()),
        "pace" => {
            let (count, pause) = (number(), Duration::from_micros(number() as u64));
            for _ in 0..count {
                say(out, &stamp::now().to_string());
                out.flush().unwrap();
                std::thread::sleep(pause);
            }
        }
        "flood" => {
            let (count, bytes) = (number(), number());
            let text = "x".repeat(bytes);
            (0..count).for_each(|_| say(out, &text));
        }
        other => panic!("unknown prompt {other}"),
    }
}

/// One update, written the way agents write them.
pub(crate) fn say(out: &mut impl Write, text: &str) {
    writeln!(
        out,
        r#"{{"jsonrpc":"2.0","method":"session/update","params":{{"sessionId":"measured","update":{{"sessionUpdate":"agent_message_chunk","content":{{"type":"text","text":"{text} "}}}}}}}}"#,
    )
    .unwrap();
}
