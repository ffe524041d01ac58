//! Maps recorded transcripts and counts what becomes of them.
//!
//! `cargo run -p boocoder-acp-mapper --example replay -- transcripts/*.ndjson`
//!
//! A line is a JSON-RPC message, or an object that holds one as `msg` beside its direction as `dir`; only what the agent
//! sent (`a2c`) counts. The result is the number of events by kind and, below it, every kind of unmapped update.

#![expect(clippy::print_stdout, reason = "an example talks to whoever runs it")]

use std::collections::BTreeMap;
use std::error::Error;

use boocoder_acp_mapper::{SessionUpdateMapper, parse_update};
use boocoder_model::AgentEvent;
use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Deserialize)]
struct Line<'a> {
    dir: Option<String>,
    #[serde(borrow)]
    msg: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Message<'a> {
    method: Option<String>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let (mut updates, mut silent) = (0, 0);
    let mut events: BTreeMap<&str, usize> = BTreeMap::new();
    let mut unmapped: BTreeMap<(String, String), usize> = BTreeMap::new();
    for path in std::env::args().skip(1) {
        let mut mapper = SessionUpdateMapper::new();
        for line in std::fs::read_to_string(&path)?.lines() {
            let Some(params) = update_params(line) else { continue };
            let mapped = mapper.apply(parse_update(params).update);
            updates += 1;
            silent += usize::from(mapped.is_empty());
            for event in mapped {
                *events.entry(name(&event)).or_default() += 1;
                if let AgentEvent::Unmapped { kind, raw } = event {
                    let shown = raw.as_str().chars().take(70).collect();
                    *unmapped.entry((kind, shown)).or_default() += 1;
                }
            }
        }
    }
    println!("{updates} updates, {silent} of them empty chunks");
    for (name, count) in events {
        println!("{count:7} {name}");
    }
    for ((kind, shown), count) in unmapped {
        println!("{count:7} unmapped {kind}: {shown}…");
    }
    Ok(())
}

fn update_params(line: &str) -> Option<&RawValue> {
    let text = match serde_json::from_str::<Line<'_>>(line).ok()? {
        Line { msg: Some(message), dir } if dir.as_deref().is_none_or(|dir| dir == "a2c") => message.get(),
        Line { msg: None, dir: None } => line,
        Line { .. } => return None,
    };
    let message: Message<'_> = serde_json::from_str(text).ok()?;
    message.params.filter(|_| message.method.as_deref() == Some("session/update"))
}

fn name(event: &AgentEvent) -> &'static str {
    match event {
        AgentEvent::Text(_) => "text",
        AgentEvent::Reasoning(_) => "reasoning",
        AgentEvent::Content(_) => "content",
        AgentEvent::UserContent(_) => "user content",
        AgentEvent::ToolCall(_) => "tool call",
        AgentEvent::ToolUpdate(_) => "tool update",
        AgentEvent::Plan(_) => "plan",
        AgentEvent::Commands(_) => "commands",
        AgentEvent::Mode(_) => "mode",
        AgentEvent::ConfigOptions(_) => "config options",
        AgentEvent::Title(_) => "title",
        AgentEvent::Usage(_) => "usage",
        AgentEvent::Notice(_) => "notice",
        AgentEvent::Compaction { .. } => "compaction",
        AgentEvent::Unmapped { .. } => "unmapped",
    }
}
