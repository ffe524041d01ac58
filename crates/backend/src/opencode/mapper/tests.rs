//! The mapper over what a real server sent, and over what no server should.

use std::fmt::Write as _;

use boocoder_model::UsageReport;
use proptest::prelude::*;
use serde_json::json;

use super::*;

/// Each event with what it comes to. Neighbouring texts are joined, so that a change in their borders shows no difference.
fn render(transcript: &str) -> String {
    let first: Value = serde_json::from_str(transcript.lines().next().expect("a line")).expect("JSON");
    let session = first["properties"]["sessionID"].as_str().expect("a session");
    let mut mapper = Mapper::new(session);
    let mut text = String::new();
    for line in transcript.lines() {
        let event = serde_json::from_str(line).expect("a transcript's lines are JSON");
        for said in mapper.handle_event(&event) {
            let shown = if let Said::Event { prompt, event } = said {
                let of = if prompt.is_some() { "prompt" } else { "session" };
                format!("{of}: {event:?}")
            } else {
                format!("{said:?}")
            };
            if shown != "Alive" {
                writeln!(text, "{shown}").expect("a string takes all");
            }
        }
    }
    text
}

macro_rules! transcripts {
    ($($name:ident: $file:literal,)+) => {
        $(#[test]
        fn $name() {
            insta::assert_snapshot!(render(include_str!(concat!("../../../tests/data/opencode/", $file, ".jsonl"))));
        })+
    };
}

transcripts! {
    it_says_a_text: "text",
    it_thinks_and_answers: "reason",
    it_writes_what_it_may: "write-allow",
    it_does_not_write_what_it_may_not: "write-reject",
    it_runs_a_command: "shell",
    it_is_aborted_before_the_first_word: "abort-early",
    it_is_aborted_while_it_asks: "abort-perm",
    it_is_aborted_and_asked_again: "abort-next",
    it_meets_a_bad_request: "error-400",
    it_meets_a_refusal: "error-401",
    it_tries_again: "error-500",
    it_is_asked_twice_at_once: "busy",
    it_takes_our_own_id: "own-id",
}

const SESSION: &str = "ses_1";

/// A turn with one text, as a server tells it: its events, and behind each how its messages stand.
fn turn(chunks: &[String]) -> Vec<(Value, Value)> {
    let whole = chunks.concat();
    let message = |completed: bool| {
        let mut info =
            json!({ "id": "msg_a", "sessionID": SESSION, "role": "assistant", "parentID": "msg_u", "time": {} });
        if completed {
            info["finish"] = "stop".into();
            info["time"]["completed"] = 1.into();
        }
        info
    };
    let part = |text: &str, ended: bool| {
        let time = if ended { json!({ "end": 1 }) } else { json!({}) };
        json!({ "id": "prt_1", "messageID": "msg_a", "sessionID": SESSION, "type": "text", "text": text, "time": time })
    };
    let step = json!({ "id": "prt_2", "messageID": "msg_a", "sessionID": SESSION, "type": "step-finish",
        "tokens": { "input": 3, "output": 2 }, "cost": 0.5 });
    let event = |kind: &str, properties: Value| json!({ "type": kind, "properties": properties });
    let of_message = |completed| event("message.updated", json!({ "sessionID": SESSION, "info": message(completed) }));
    let of_part = |part: &Value| event("message.part.updated", json!({ "sessionID": SESSION, "part": part }));
    let kept = |completed, parts: &[&Value]| json!([{ "info": message(completed), "parts": parts }]);
    let (empty, full) = (part("", false), part(&whole, true));
    let mut events = vec![(of_message(false), kept(false, &[])), (of_part(&empty), kept(false, &[&empty]))];
    for chunk in chunks {
        let delta =
            json!({ "sessionID": SESSION, "messageID": "msg_a", "partID": "prt_1", "field": "text", "delta": chunk });
        events.push((event("message.part.delta", delta), kept(false, &[&empty])));
    }
    events.push((of_part(&full), kept(false, &[&full])));
    events.push((of_part(&step), kept(false, &[&full, &step])));
    events.push((of_message(true), kept(true, &[&full, &step])));
    events
}

/// What came through: the text, what was used, and how often the turn ended.
fn sum(said: &[Said]) -> (String, u64, usize) {
    let (mut text, mut used, mut ends) = (String::new(), 0, 0);
    for said in said {
        if let Said::Event { event: AgentEvent::Text(more), .. } = said {
            text.push_str(more);
        } else if let Said::Event { event: AgentEvent::Usage(UsageReport::Delta { used: step, .. }), .. } = said {
            used += step.input;
        } else if matches!(said, Said::Ended { .. }) {
            ends += 1;
        }
    }
    (text, used, ends)
}

#[test]
fn events_that_are_written_down_late_neither_double_nor_lose_a_text() {
    let chunks = ["one ".to_owned(), "two ".to_owned(), "three".to_owned()];
    let mut events: Vec<_> = turn(&chunks).into_iter().map(|(event, _)| event).collect();
    // The first ones already show what the last ones will.
    events[0] = events.last().expect("the end").clone();
    events[1]["properties"]["part"]["text"] = "one tw".into();
    let mut mapper = Mapper::new(SESSION);
    let said: Vec<_> = events.iter().flat_map(|event| mapper.handle_event(event)).collect();
    assert_eq!(sum(&said), ("one two three".to_owned(), 3, 1));
    assert!(matches!(said.last(), Some(Said::Ended { .. })), "nothing of the turn follows its end: {said:#?}");
}

#[test]
fn what_was_said_before_this_process_is_not_said_again() {
    let old = turn(&["old".to_owned()]).pop().expect("an end").1;
    let messages = old.as_array().expect("messages");
    for prompt in [None, Some("msg_new")] {
        assert_eq!(Mapper::new(SESSION).handle_messages(messages, prompt), []);
    }
    let said = Mapper::new(SESSION).handle_messages(messages, Some("msg_u"));
    assert_eq!(sum(&said), ("old".to_owned(), 3, 1), "of the turn that runs it is");
}

#[test]
fn a_tool_that_a_turn_left_running_keeps_no_other_turn_busy() {
    let mut mapper = Mapper::new(SESSION);
    mapper.handle_event(&turn(&[])[0].0);
    let tool = json!({ "id": "prt_3", "messageID": "msg_a", "sessionID": SESSION, "type": "tool", "tool": "bash", "callID": "c",
        "state": { "status": "running" } });
    mapper
        .handle_event(&json!({ "type": "message.part.updated", "properties": { "sessionID": SESSION, "part": tool } }));
    assert!(mapper.has_running());
    mapper.begin_turn();
    assert!(!mapper.has_running());
}

#[test]
fn the_work_of_a_session_that_it_started_asks_and_counts() {
    let mut mapper = Mapper::new(SESSION);
    let child = json!({ "id": "ses_2", "parentID": SESSION });
    mapper.handle_event(&json!({ "type": "session.created", "properties": { "sessionID": "ses_2", "info": child } }));
    assert!(mapper.is_ours("ses_2") && !mapper.is_ours("ses_3"));
    let asked = json!({ "id": "per_1", "sessionID": "ses_2", "permission": "edit" });
    let said = mapper.handle_event(&json!({ "type": "permission.asked", "properties": asked }));
    assert_eq!(said, [Said::Asked { kind: Asking::Permission, request: asked }]);
    let step = json!({ "id": "prt_9", "sessionID": "ses_2", "messageID": "msg_9", "type": "step-finish", "tokens": { "input": 7 } });
    let event = json!({ "type": "message.part.updated", "properties": { "sessionID": "ses_2", "part": step } });
    let said: Vec<_> = [&event, &event].into_iter().flat_map(|event| mapper.handle_event(event)).collect();
    assert_eq!(sum(&said).1, 7, "once");
    let text = json!({ "id": "prt_8", "sessionID": "ses_2", "messageID": "msg_9", "type": "text", "text": "inner" });
    let event = json!({ "type": "message.part.updated", "properties": { "sessionID": "ses_2", "part": text } });
    assert_eq!(sum(&mapper.handle_event(&event)).0, "", "what it says is not this session's answer");
}

#[test]
fn what_other_sessions_do_is_none_of_ours_and_what_is_unknown_is_kept() {
    let mut mapper = Mapper::new(SESSION);
    let other = json!({ "type": "session.idle", "properties": { "sessionID": "ses_other" } });
    assert_eq!(mapper.handle_event(&other), []);
    let odd = json!({ "type": "session.dreams", "properties": { "sessionID": SESSION } });
    assert!(
        matches!(&mapper.handle_event(&odd)[..], [Said::Event { event: AgentEvent::Unmapped { kind, .. }, .. }] if kind == "session.dreams")
    );
}

fn value() -> impl Strategy<Value = Value> {
    let word = prop::sample::select(vec![
        "session.updated",
        "message.updated",
        "message.part.updated",
        "message.part.delta",
        "permission.asked",
        "session.status",
        "session.error",
        "todo.updated",
        "text",
        "tool",
        "step-finish",
        "retry",
        SESSION,
        "assistant",
        "",
    ]);
    let leaf = prop_oneof![
        word.prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 48, 6, |inner| {
        let key = prop::sample::select(vec![
            "type",
            "properties",
            "sessionID",
            "info",
            "part",
            "id",
            "messageID",
            "text",
            "delta",
            "partID",
            "role",
            "time",
            "state",
            "tokens",
            "status",
            "questions",
            "todos",
            "field",
            "parentID",
            "callID",
            "tool",
            "error",
            "attempt",
        ]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key, inner), 0..6).prop_map(|fields| Value::Object(
                fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
            )),
        ]
    })
}

proptest! {
    /// Wherever the stream is cut and for how long: what the server keeps makes good for it.
    #[test]
    fn a_gap_loses_nothing_and_doubles_nothing(
        chunks in prop::collection::vec("[a-zß ]{1,5}", 1..8),
        cut in any::<prop::sample::Index>(),
        length in 0..12_usize,
    ) {
        let events = turn(&chunks);
        let begin = cut.index(events.len());
        let end = (begin + length).min(events.len());
        let mut mapper = Mapper::new(SESSION);
        let mut said: Vec<Said> = events[..begin].iter().flat_map(|(event, _)| mapper.handle_event(event)).collect();
        if end > begin {
            mapper.handle_gap();
            let messages = events[end - 1].1.as_array().expect("messages");
            said.extend(mapper.handle_messages(messages, Some("msg_u")));
        }
        said.extend(events[end..].iter().flat_map(|(event, _)| mapper.handle_event(event)).collect::<Vec<_>>());
        prop_assert_eq!(sum(&said), (chunks.concat().trim_end_matches('\u{0}').to_owned(), 3, 1));
    }

    #[test]
    fn nothing_makes_it_panic(events in prop::collection::vec(value(), 0..20)) {
        let mut mapper = Mapper::new(SESSION);
        for event in &events {
            mapper.handle_event(event);
        }
        mapper.handle_gap();
        mapper.handle_messages(&events, Some(SESSION));
        mapper.cancel_running();
    }
}
