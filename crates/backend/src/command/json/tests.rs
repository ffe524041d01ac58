//! The fixtures are what the command lines of the npm packages `@anthropic-ai/claude-code` 2.1.197 and `@openai/codex`
//! 0.171.0 printed with a scripted model behind them; paths were renamed and long lists cut. Those that end in
//! `documented` hold forms from their documentation that the model could not bring about.

use boocoder_model::{
    AgentEvent, Cost, PlanStatus, StepUsage, ToolCallSnapshot, ToolKind, ToolStatus, TurnStatus, UsageReport,
};
use proptest::prelude::*;

use super::*;

macro_rules! fixture {
    ($name:literal) => {
        include_str!(concat!("../../../tests/data/", $name, ".jsonl"))
    };
}

/// All that came of some lines.
struct Seen {
    mapper: Mapper,
    events: Vec<AgentEvent>,
}

fn read(form: OutputForm, lines: &str) -> Seen {
    let mut mapper = Mapper::of(form).expect("a form of JSON");
    let events = lines.lines().flat_map(|line| mapper.read(line).expect("a JSON object")).collect();
    Seen { mapper, events }
}

fn claude(lines: &str) -> Seen {
    read(OutputForm::ClaudeJson, lines)
}

fn codex(lines: &str) -> Seen {
    read(OutputForm::CodexJson, lines)
}

impl Seen {
    fn some<T>(&self, pick: impl Fn(&AgentEvent) -> Option<T>) -> Vec<T> {
        self.events.iter().filter_map(pick).collect()
    }

    fn text(&self) -> String {
        self.some(|event| if let AgentEvent::Text(text) = event { Some(text.clone()) } else { None }).concat()
    }

    fn reasoning(&self) -> String {
        self.some(|event| if let AgentEvent::Reasoning(text) = event { Some(text.clone()) } else { None }).concat()
    }

    fn notices(&self) -> Vec<String> {
        self.some(|event| if let AgentEvent::Notice(text) = event { Some(text.clone()) } else { None })
    }

    fn kinds(&self) -> Vec<String> {
        self.some(|event| if let AgentEvent::Unmapped { kind, .. } = event { Some(kind.clone()) } else { None })
    }

    fn usage(&self) -> Vec<UsageReport> {
        self.some(|event| if let AgentEvent::Usage(usage) = event { Some(*usage) } else { None })
    }

    /// Snapshots of tool calls, and whether each was the first of its call.
    fn calls(&self) -> Vec<(bool, ToolCallSnapshot)> {
        self.some(|event| {
            if let AgentEvent::ToolCall(call) = event {
                Some((true, call.clone()))
            } else if let AgentEvent::ToolUpdate(call) = event {
                Some((false, call.clone()))
            } else {
                None
            }
        })
    }

    fn plans(&self) -> Vec<Vec<PlanStatus>> {
        self.some(|event| {
            let AgentEvent::Plan(entries) = event else { return None };
            Some(entries.iter().map(|entry| entry.status).collect())
        })
    }

    fn ended(&self) -> (TurnStatus, String) {
        let outcome = self.mapper.outcome().expect("it said how it ended");
        (outcome.status, outcome.reason)
    }
}

fn steps(calls: &[(bool, ToolCallSnapshot)]) -> Vec<(bool, &str, &str, ToolKind, ToolStatus)> {
    calls.iter().map(|(new, call)| (*new, call.id.as_str(), call.title.as_str(), call.kind, call.status)).collect()
}

#[test]
fn a_turn_of_claude_is_read_with_its_tools_its_words_and_its_use() {
    let seen = claude(fixture!("claude-turn"));
    assert_eq!((seen.text().as_str(), seen.reasoning().as_str()), ("I will look\n\nall done", "let me see"));
    let calls = seen.calls();
    let (execute, edit) = (ToolKind::Execute, ToolKind::Edit);
    let (runs, done, failed) = (ToolStatus::InProgress, ToolStatus::Completed, ToolStatus::Failed);
    let expected = [
        (true, "toolu_0_2", "cat a.txt", execute, runs),
        (false, "toolu_0_2", "cat a.txt", execute, done),
        (true, "toolu_1_0", "echo oops; exit 3", execute, runs),
        (false, "toolu_1_0", "echo oops; exit 3", execute, failed),
        (true, "toolu_2_0", "Write /home/user/project/b.txt", edit, runs),
        (false, "toolu_2_0", "Write /home/user/project/b.txt", edit, done),
    ];
    assert_eq!(steps(&calls), expected);
    let (_, last) = &calls[1];
    assert_eq!(last.output.as_ref().map(|raw| raw.as_str()), Some("\"hello\""));
    assert!(last.input.is_some() && last.content.len() == 1, "a snapshot is whole");
    let used = StepUsage { input: 128, output: 44, cost: Cost::usd(0.001639) };
    assert_eq!(seen.usage(), [UsageReport::turn(used)]);
    assert_eq!(seen.ended(), (TurnStatus::Completed, "end_turn".to_owned()));
    assert_eq!(seen.mapper.session_id(), Some("a63e8787-7d81-40d3-8186-29c3f831daeb"));
    assert_eq!(seen.kinds(), ["system/init", "system/thinking_tokens"]);
}

#[test]
fn what_claude_was_not_allowed_and_what_failed_is_told_in_its_own_words() {
    let denied = claude(fixture!("claude-denied"));
    assert_eq!((denied.calls()[1].1.status, denied.text().as_str()), (ToolStatus::Failed, "so be it"));
    let failed = claude(fixture!("claude-error"));
    assert_eq!(failed.ended(), (TurnStatus::Failed, "API Error: 400 mock refuses".to_owned()));
    let stopped = claude(fixture!("claude-max-turns"));
    assert_eq!(stopped.ended().0, TurnStatus::Failed);
    assert!(stopped.ended().1.contains("max"), "{}", stopped.ended().1);
    let retries = claude(fixture!("claude-retries"));
    assert_eq!(retries.notices()[0], "the provider did not answer (unknown); attempt 1 of 10 follows");
    assert!(retries.mapper.outcome().is_none() && retries.usage().is_empty());
}

#[test]
fn what_claude_says_in_pieces_is_said_once() {
    let seen = claude(fixture!("claude-partial"));
    assert_eq!((seen.text().as_str(), seen.reasoning().as_str()), ("hello there", "hm"));
    assert!(!seen.kinds().iter().any(|kind| kind == "stream_event"), "{:?}", seen.kinds());
}

#[test]
fn the_documented_forms_of_claude_are_read() {
    let mut seen = claude(fixture!("claude-documented"));
    assert_eq!(seen.plans(), [[PlanStatus::Completed, PlanStatus::InProgress]]);
    assert_eq!(seen.text(), "", "what a helper says is no part of the answer");
    let kinds = ["system/init", "assistant/text", "assistant/server_tool_use", "rate_limit_event"];
    assert_eq!(seen.kinds(), kinds);
    let calls = seen.calls();
    assert_eq!(calls[0].1.title, "Task look around");
    assert_eq!(calls[1].1.content.len(), 2);
    let input = calls[2].1.input.as_ref().expect("an input");
    assert_eq!(input.as_str(), r#"{"command":"sleep 60","timeout":1.50}"#, "an agent's JSON keeps its spelling");
    assert_eq!(seen.notices(), ["Write was not allowed, since nobody could be asked"]);
    assert_eq!(seen.ended(), (TurnStatus::Failed, "the first; the second".to_owned()));
    let cancelled = Seen { events: seen.mapper.cancel_running(), ..seen };
    let cancelled = cancelled.calls();
    assert_eq!(steps(&cancelled), [(false, "t5", "sleep 60", ToolKind::Execute, ToolStatus::Canceled)]);
}

#[test]
fn a_turn_of_codex_is_read_with_its_tools_its_words_and_its_use() {
    let seen = codex(fixture!("codex-turn"));
    assert_eq!((seen.text().as_str(), seen.reasoning().as_str()), ("I will look\n\nall done", "**Looking** at it"));
    let (execute, runs, done) = (ToolKind::Execute, ToolStatus::InProgress, ToolStatus::Completed);
    let calls = seen.calls();
    let expected = [
        (true, "item_3", "/bin/bash -lc 'cat a.txt'", execute, runs),
        (false, "item_3", "/bin/bash -lc 'cat a.txt'", execute, done),
    ];
    assert_eq!(steps(&calls)[..2], expected);
    assert_eq!(calls[1].1.output.as_ref().map(|raw| raw.as_str()), Some("\"hello\\n\""));
    let used = StepUsage { input: 100, output: 55, cost: None };
    assert_eq!(seen.usage(), [UsageReport::turn(used)], "cached tokens are within the input");
    assert_eq!(seen.ended().0, TurnStatus::Completed);
    assert_eq!(seen.mapper.session_id(), Some("01a22021-1d59-7281-9013-a8d3d0f35689"));
    assert!(seen.notices()[0].starts_with("Model metadata"), "{:?}", seen.notices());
}

#[test]
fn what_failed_in_codex_is_told_in_its_own_words() {
    let seen = codex(fixture!("codex-failed-command"));
    assert_eq!(seen.calls()[1].1.status, ToolStatus::Failed);
    assert_eq!(seen.ended().0, TurnStatus::Completed);
    let refused = codex(fixture!("codex-error"));
    assert!(refused.ended().1.contains("mock refuses"), "{}", refused.ended().1);
    let unreachable = codex(fixture!("codex-unreachable"));
    let reason = "stream disconnected before completion: error sending request";
    assert_eq!(unreachable.ended(), (TurnStatus::Failed, reason.to_owned()));
    assert!(unreachable.notices().len() > 5 && unreachable.usage().is_empty());
    let alone = codex(r#"{"type":"error","message":"no login"}"#);
    assert_eq!((alone.mapper.trouble(), alone.mapper.outcome()), (Some("no login"), None));
}

#[test]
fn the_documented_forms_of_codex_are_read() {
    let mut seen = codex(fixture!("codex-documented"));
    let (pending, done) = (PlanStatus::Pending, PlanStatus::Completed);
    assert_eq!(seen.plans(), [[pending, pending], [done, pending]]);
    let calls = seen.calls();
    assert_eq!((calls[1].1.title.as_str(), calls[1].1.status), ("docs search", ToolStatus::Completed));
    assert!(calls[1].1.output.as_ref().expect("a result").as_str().contains("found"));
    assert_eq!((calls[2].1.kind, calls[2].1.title.as_str()), (ToolKind::Search, "weather"));
    let places: Vec<_> = calls[3].1.locations.iter().map(|place| place.path.as_str()).collect();
    assert_eq!((calls[3].1.kind, places), (ToolKind::Edit, vec!["docs/foo.md", "docs/bar.md"]));
    assert_eq!(calls[4].1.status, ToolStatus::Failed);
    assert_eq!(seen.mapper.cancel_running().len(), 1);
    assert!(seen.mapper.cancel_running().is_empty());
}

#[test]
fn a_second_end_counts_for_nothing_and_is_kept() {
    for (form, lines) in
        [(OutputForm::ClaudeJson, fixture!("claude-turn")), (OutputForm::CodexJson, fixture!("codex-turn"))]
    {
        let last = lines.lines().last().expect("a line");
        let seen = read(form, &format!("{lines}{last}\n"));
        assert_eq!(seen.usage().len(), 1, "{form:?}");
        assert!(matches!(seen.events.last(), Some(AgentEvent::Unmapped { .. })), "{form:?}");
    }
}

#[test]
fn what_is_no_object_is_not_read() {
    for line in ["", "null", "[1]", "{", "Loading…", "\"x\"", &"[".repeat(5000)] {
        for form in [OutputForm::ClaudeJson, OutputForm::CodexJson] {
            assert!(Mapper::of(form).expect("a form").read(line).is_none(), "{line:.20}");
        }
    }
    assert!(Mapper::of(OutputForm::Text).is_none());
}

/// Any JSON, with the words of the forms in it.
fn json() -> impl Strategy<Value = serde_json::Value> {
    const WORDS: [&str; 24] = [
        "system",
        "assistant",
        "user",
        "result",
        "stream_event",
        "item.started",
        "item.completed",
        "turn.completed",
        "turn.failed",
        "error",
        "text",
        "tool_use",
        "tool_result",
        "thinking",
        "content_block_delta",
        "text_delta",
        "command_execution",
        "file_change",
        "todo_list",
        "agent_message",
        "init",
        "success",
        "completed",
        "Bash",
    ];
    const NAMES: [&str; 22] = [
        "type",
        "subtype",
        "message",
        "content",
        "item",
        "id",
        "tool_use_id",
        "input",
        "event",
        "delta",
        "text",
        "usage",
        "result",
        "is_error",
        "error",
        "changes",
        "items",
        "status",
        "todos",
        "permission_denials",
        "input_tokens",
        "name",
    ];
    let word = proptest::sample::select(&WORDS[..]).prop_map(serde_json::Value::from);
    let leaf = prop_oneof![
        4 => word,
        1 => any::<String>().prop_map(serde_json::Value::from),
        1 => any::<f64>().prop_map(serde_json::Value::from),
        1 => any::<bool>().prop_map(serde_json::Value::from),
        1 => Just(serde_json::Value::Null),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        let name = proptest::sample::select(&NAMES[..]);
        prop_oneof![
            1 => proptest::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
            3 => proptest::collection::vec((name, inner), 0..6).prop_map(|fields| {
                fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<serde_json::Map<_, _>>().into()
            }),
        ]
    })
}

proptest! {
    #[test]
    fn no_line_makes_a_mapper_panic_and_what_it_does_not_know_is_kept_whole(
        lines in proptest::collection::vec(json(), 1..6), unknown in "[a-z]{12}",
    ) {
        for form in [OutputForm::ClaudeJson, OutputForm::CodexJson] {
            let mut mapper = Mapper::of(form).expect("a form");
            for line in &lines {
                let text = line.to_string();
                prop_assert_eq!(mapper.read(&text).is_some(), line.is_object());
            }
            let mut line = lines[0].clone();
            if let Some(fields) = line.as_object_mut() {
                fields.insert("type".to_owned(), unknown.clone().into());
                let text = line.to_string();
                let events = mapper.read(&text).expect("an object");
                let whole = AgentEvent::Unmapped { kind: unknown.clone(), raw: boocoder_model::RawJson::new(text.clone()) };
                prop_assert_eq!(events, vec![whole]);
            }
            let _ = mapper.outcome();
            mapper.cancel_running();
            prop_assert!(mapper.cancel_running().is_empty());
        }
    }

    #[test]
    fn no_text_makes_a_mapper_panic(line in any::<String>(), at in any::<proptest::sample::Index>()) {
        for lines in [fixture!("claude-turn"), fixture!("codex-turn")] {
            for form in [OutputForm::ClaudeJson, OutputForm::CodexJson] {
                let mut mapper = Mapper::of(form).expect("a form");
                mapper.read(&line);
                for whole in lines.lines() {
                    let cut = whole.floor_char_boundary(at.index(whole.len()));
                    mapper.read(&whole[..cut]);
                    mapper.read(whole);
                }
            }
        }
    }
}
