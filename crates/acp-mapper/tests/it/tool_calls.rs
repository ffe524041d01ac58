//! Tool calls: patches merged into snapshots, cancelled, forgotten and asked about.

use agent_client_protocol_schema::v1::{ToolCallUpdate, ToolCallUpdateFields};
use boocoder_acp_mapper::limits::MAX_TOOL_CALLS;
use boocoder_acp_mapper::{SessionUpdateMapper, parse_update};
use boocoder_model::{
    AgentEvent, ContentPart, Location, RawJson, ToolCallId, ToolCallSnapshot, ToolContent, ToolKind, ToolStatus,
};
use serde_json::{Value, json};

use crate::{check, map, params, snapshots, text};

fn call(id: &str, title: &str, status: ToolStatus) -> ToolCallSnapshot {
    ToolCallSnapshot { title: title.into(), status, ..ToolCallSnapshot::new(ToolCallId::new(id)) }
}

fn announce(id: &str) -> Value {
    json!({ "sessionUpdate": "tool_call", "toolCallId": id, "title": "work" })
}

fn progress(id: &str, status: &str) -> Value {
    json!({ "sessionUpdate": "tool_call_update", "toolCallId": id, "status": status })
}

#[test]
fn a_tool_call_is_a_whole_snapshot() {
    let update = json!({
        "sessionUpdate": "tool_call", "toolCallId": "t1", "title": "read_file", "status": "pending", "kind": "read",
        "rawInput": { "path": "a.ts" }, "locations": [{ "path": "a.ts", "line": 3 }],
    });
    let snapshot = ToolCallSnapshot {
        kind: ToolKind::Read,
        input: Some(RawJson::new(r#"{"path":"a.ts"}"#)),
        locations: vec![Location { path: "a.ts".into(), line: Some(3) }],
        ..call("t1", "read_file", ToolStatus::Pending)
    };
    check(&[update], &[AgentEvent::ToolCall(snapshot)]);
}

#[test]
fn an_update_is_merged_over_what_is_known() {
    let announced = json!({
        "sessionUpdate": "tool_call", "toolCallId": "t1", "title": "read_file", "rawInput": { "path": "a.ts" },
    });
    let completed = json!({
        "sessionUpdate": "tool_call_update", "toolCallId": "t1", "status": "completed", "rawOutput": "file body",
    });
    let known = ToolCallSnapshot {
        input: Some(RawJson::new(r#"{"path":"a.ts"}"#)),
        ..call("t1", "read_file", ToolStatus::Pending)
    };
    let done = ToolCallSnapshot {
        status: ToolStatus::Completed,
        output: Some(RawJson::new(r#""file body""#)),
        ..known.clone()
    };
    check(&[announced, completed], &[AgentEvent::ToolCall(known), AgentEvent::ToolUpdate(done)]);
}

#[test]
fn an_update_without_an_announcement_is_a_snapshot_too() {
    let done = call("t1", "", ToolStatus::Completed);
    check(&[progress("t1", "completed")], &[AgentEvent::ToolUpdate(done)]);
}

#[test]
fn a_tool_call_shows_text_diffs_terminals_and_what_is_unknown() {
    let odd = json!({ "type": "hologram", "data": [1, 2] });
    let update = json!({
        "sessionUpdate": "tool_call", "toolCallId": "t1", "title": "work", "content": [
            { "type": "content", "content": text("seen") },
            { "type": "diff", "path": "a.rs", "oldText": "old", "newText": "new" },
            { "type": "diff", "path": "b.rs", "newText": "new" },
            { "type": "terminal", "terminalId": "term1" },
            odd,
        ],
    });
    let diff = |path: &str, old: Option<&str>| ToolContent::Diff {
        path: path.into(),
        old_text: old.map(Into::into),
        new_text: "new".into(),
    };
    let content = vec![
        ToolContent::Part(ContentPart::Text("seen".into())),
        diff("a.rs", Some("old")),
        diff("b.rs", None),
        ToolContent::Terminal { id: "term1".into() },
        ToolContent::Unknown(RawJson::new(odd.to_string())),
    ];
    let shown = ToolCallSnapshot { content, ..call("t1", "work", ToolStatus::Pending) };
    check(&[update], &[AgentEvent::ToolCall(shown)]);
}

#[test]
fn lists_replace_the_ones_before_and_absent_or_null_fields_do_not() {
    let show = |word: &str| json!({ "sessionUpdate": "tool_call_update", "toolCallId": "t1", "content": [{ "type": "content", "content": text(word) }] });
    let silent = json!({
        "sessionUpdate": "tool_call_update", "toolCallId": "t1", "title": null, "content": null, "rawInput": null,
    });
    let snapshot = |word: &str| {
        let content = vec![ToolContent::Part(ContentPart::Text(word.into()))];
        ToolCallSnapshot { content, ..call("t1", "", ToolStatus::Pending) }
    };
    check(
        &[show("one"), show("two"), silent],
        &["one", "two", "two"].map(|word| AgentEvent::ToolUpdate(snapshot(word))),
    );
}

#[test]
fn a_call_that_ended_does_not_run_again_unless_it_is_announced_anew() {
    let statuses = |updates: &[Value]| snapshots(&map(updates)).iter().map(|call| call.status).collect::<Vec<_>>();
    let late = [announce("t"), progress("t", "completed"), progress("t", "in_progress"), progress("t", "failed")];
    use ToolStatus::{Completed, Failed, Pending};
    assert_eq!(statuses(&late), [Pending, Completed, Completed, Failed]);
    let again = [announce("t"), progress("t", "completed"), announce("t")];
    assert_eq!(statuses(&again), [Pending, Completed, Pending]);
}

#[test]
fn a_cancelled_turn_shows_its_running_calls_as_canceled() {
    let mut mapper = SessionUpdateMapper::new();
    for update in [announce("done"), announce("running"), progress("done", "completed"), announce("pending")] {
        mapper.apply(parse_update(&params(&update)).update);
    }
    mapper.apply(parse_update(&params(&progress("running", "in_progress"))).update);
    let canceled = |id| AgentEvent::ToolUpdate(call(id, "work", ToolStatus::Canceled));
    assert_eq!(mapper.cancel_running(), [canceled("running"), canceled("pending")]);
    assert_eq!(mapper.cancel_running(), [], "once");

    let done = mapper.apply(parse_update(&params(&progress("running", "completed"))).update);
    let expected = call("running", "work", ToolStatus::Completed);
    assert_eq!(done, [AgentEvent::ToolUpdate(expected)], "the agent knows better");
}

#[test]
fn a_new_turn_forgets_the_calls_that_ended() {
    let mut mapper = SessionUpdateMapper::new();
    for update in [announce("done"), announce("running"), progress("done", "completed")] {
        mapper.apply(parse_update(&params(&update)).update);
    }
    mapper.begin_turn();
    let mut title = |id| {
        let events = mapper.apply(parse_update(&params(&progress(id, "in_progress"))).update);
        snapshots(&events)[0].title.clone()
    };
    assert_eq!(title("running"), "work");
    assert_eq!(title("done"), "");
}

#[test]
fn tool_calls_are_remembered_up_to_a_limit_running_ones_last() {
    let mut mapper = SessionUpdateMapper::new();
    let mut apply = |update: &Value| mapper.apply(parse_update(&params(update)).update);
    apply(&announce("first"));
    for number in 0..MAX_TOOL_CALLS {
        apply(&announce(&number.to_string()));
        apply(&progress(&number.to_string(), "completed"));
    }
    let running = call("first", "work", ToolStatus::Canceled);
    assert_eq!(mapper.cancel_running(), [AgentEvent::ToolUpdate(running)], "the finished ones made room");

    for number in 0..=MAX_TOOL_CALLS {
        mapper.apply(parse_update(&params(&announce(&format!("running {number}")))).update);
    }
    assert_eq!(mapper.cancel_running().len(), MAX_TOOL_CALLS);
}

#[test]
fn a_permission_request_may_bring_the_first_word_of_a_call() {
    let mut mapper = SessionUpdateMapper::new();
    let fields = ToolCallUpdateFields::new().title("write a.rs").raw_input(json!({ "path": "a.rs" }));
    let asked = mapper.tool_call_from_update(ToolCallUpdate::new("t1", fields));
    let known = ToolCallSnapshot {
        input: Some(RawJson::new(r#"{"path":"a.rs"}"#)),
        ..call("t1", "write a.rs", ToolStatus::Pending)
    };
    assert_eq!(asked, known);

    let done = mapper.apply(parse_update(&params(&progress("t1", "completed"))).update);
    assert_eq!(done, [AgentEvent::ToolUpdate(ToolCallSnapshot { status: ToolStatus::Completed, ..known })]);

    let raw = serde_json::value::to_raw_value(&json!({ "toolCallId": "t1", "kind": "edit" })).expect("JSON");
    let asked = mapper.tool_call_from_json(&raw).expect("it has an id");
    assert_eq!((asked.title.as_str(), asked.kind), ("write a.rs", ToolKind::Edit));
    let idless = serde_json::value::to_raw_value(&json!({ "title": "x" })).expect("JSON");
    assert_eq!(mapper.tool_call_from_json(&idless), None);
}
