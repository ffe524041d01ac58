//! What agents really sent, line by line, and what it becomes.

use std::fmt::Write as _;

use boocoder_acp_mapper::{SessionUpdateMapper, parse_update};
use serde_json::value::RawValue;

/// Maps the transcript and renders each line with its events below.
fn render(transcript: &str) -> String {
    let mut mapper = SessionUpdateMapper::new();
    let mut text = String::new();
    for line in transcript.lines() {
        let params: &RawValue = serde_json::from_str(line).expect("a transcript's lines are JSON");
        let shown: String = line.chars().take(100).collect();
        writeln!(text, "{shown}").expect("a string takes all");
        for event in mapper.apply(parse_update(params).update) {
            writeln!(text, "  => {event:?}").expect("a string takes all");
        }
    }
    text
}

#[test]
fn goose_runs_a_command_in_a_terminal_of_its_client() {
    insta::assert_snapshot!(render(include_str!("../data/goose-shell.jsonl")));
}

#[test]
fn qwen_loads_a_session_and_goes_on() {
    insta::assert_snapshot!(render(include_str!("../data/qwen-load.jsonl")));
}

#[test]
fn opencode_asks_before_it_writes() {
    insta::assert_snapshot!(render(include_str!("../data/opencode-permission.jsonl")));
}

#[test]
fn what_no_agent_should_send_survives() {
    insta::assert_snapshot!(render(include_str!("../data/odd.jsonl")));
}
