//! Arbitrary JSON: nothing panics, nothing is dropped, and the chunking of a tool call's fields makes no difference.

use agent_client_protocol_schema::v1::SessionUpdate;
use boocoder_acp_mapper::{SessionUpdateMapper, parse_update};
use boocoder_model::{AgentEvent, ToolCallSnapshot};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::{map, params, snapshots};

const KINDS: [&str; 16] = [
    "user_message_chunk",
    "agent_message_chunk",
    "agent_thought_chunk",
    "tool_call",
    "tool_call_update",
    "plan",
    "available_commands_update",
    "current_mode_update",
    "config_option_update",
    "session_info_update",
    "usage_update",
    "notice",
    "compaction_update",
    "compaction_summary_chunk",
    "state_update",
    "",
];

/// Keys that the protocol uses, so that random objects are often nearly right.
const KEYS: [&str; 34] = [
    "type",
    "text",
    "content",
    "data",
    "mimeType",
    "uri",
    "name",
    "title",
    "description",
    "resource",
    "path",
    "line",
    "oldText",
    "newText",
    "terminalId",
    "toolCallId",
    "kind",
    "status",
    "locations",
    "rawInput",
    "rawOutput",
    "entries",
    "priority",
    "availableCommands",
    "input",
    "configOptions",
    "id",
    "currentValue",
    "options",
    "used",
    "size",
    "cost",
    "summary",
    "_meta",
];

const WORDS: [&str; 14] = [
    "",
    "text",
    "image",
    "resource",
    "diff",
    "terminal",
    "content",
    "select",
    "boolean",
    "completed",
    "in_progress",
    "high",
    "\u{0}",
    "ü\n\"",
];

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop::sample::select(WORDS.to_vec()).prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            any_object(inner).prop_map(Value::Object),
        ]
    })
}

fn any_object(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Map<String, Value>> {
    let key = prop_oneof![8 => prop::sample::select(KEYS.to_vec()).prop_map(String::from), 1 => ".{0,4}"];
    prop::collection::vec((key, value), 0..6).prop_map(|fields| fields.into_iter().collect())
}

fn any_block() -> impl Strategy<Value = Value> {
    prop_oneof![
        prop::sample::select(WORDS.to_vec()).prop_map(|text| json!({ "type": "text", "text": text })),
        Just(json!({ "type": "image", "data": "eA==", "mimeType": "image/png" })),
        any_json(),
    ]
}

fn any_update() -> impl Strategy<Value = Value> {
    (prop::sample::select(KINDS.to_vec()), any_object(any_json()), prop::option::of(any_block())).prop_map(
        |(kind, mut fields, content)| {
            fields.insert("sessionUpdate".into(), kind.into());
            if let Some(content) = content {
                fields.insert("content".into(), content);
            }
            Value::Object(fields)
        },
    )
}

/// Whether an update may give no event: it is a chunk of text without text.
fn says_nothing(update: &Value) -> bool {
    let kind = update["sessionUpdate"].as_str().unwrap_or_default();
    kind.ends_with("_chunk") && update["content"]["type"] == "text" && update["content"]["text"] == ""
}

/// Fields of a tool call, each a valid one, in the order in which an agent happens to say them.
fn any_fields() -> impl Strategy<Value = Vec<(&'static str, Value)>> {
    let content = prop::collection::vec(
        prop_oneof![
            any_block().prop_map(|block| json!({ "type": "content", "content": block })),
            Just(json!({ "type": "diff", "path": "a.rs", "newText": "new" })),
            Just(json!({ "type": "terminal", "terminalId": "term1" })),
            any_json(),
        ],
        0..4,
    );
    let named = |name: &'static str, value: BoxedStrategy<Value>| {
        prop::option::of(value).prop_map(move |value| value.map(|value| (name, value)))
    };
    let word = |words: &[&'static str]| prop::sample::select(words.to_vec()).prop_map(Value::from).boxed();
    let paths = prop::collection::vec("[a-z]{1,4}".prop_map(|path| json!({ "path": path })), 0..3);
    let fields = vec![
        named("title", "[a-z]{0,6}".prop_map(Value::from).boxed()),
        named("kind", word(&["read", "edit", "execute", "levitate"])),
        named("status", word(&["pending", "in_progress", "completed", "failed", "hovering"])),
        named("content", content.prop_map(Value::from).boxed()),
        named("locations", paths.prop_map(Value::from).boxed()),
        named("rawInput", any_json().boxed()),
        named("rawOutput", any_json().boxed()),
    ];
    fields.prop_map(|fields| fields.into_iter().flatten().collect::<Vec<_>>()).prop_shuffle()
}

fn last_snapshot(updates: &[Value]) -> ToolCallSnapshot {
    snapshots(&map(updates)).pop().expect("every update gives a snapshot")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn no_update_is_dropped(updates in prop::collection::vec(any_update(), 1..4)) {
        let mut mapper = SessionUpdateMapper::new();
        for update in updates {
            let events = mapper.apply(parse_update(&params(&update)).update);
            prop_assert!(!events.is_empty() || says_nothing(&update), "{update}");
        }
    }

    #[test]
    fn no_typed_update_is_dropped(update in any_update()) {
        if let Ok(typed) = serde_json::from_value::<SessionUpdate>(update.clone()) {
            let events = SessionUpdateMapper::new().apply(typed);
            prop_assert!(!events.is_empty() || says_nothing(&update), "{update}");
        }
    }

    #[test]
    fn params_of_any_shape_give_an_event(value in any_json()) {
        let raw = serde_json::value::to_raw_value(&value).expect("a value is JSON");
        let events = SessionUpdateMapper::new().apply(parse_update(&raw).update);
        prop_assert!(!events.is_empty() || says_nothing(&value["update"]), "{value}");
    }

    #[test]
    fn an_unmapped_update_keeps_every_byte(update in any_object(any_json())) {
        let mut update = update;
        update.insert("sessionUpdate".into(), "weather".into());
        let text = Value::Object(update.clone()).to_string();
        let events = map(&[Value::Object(update)]);
        let [AgentEvent::Unmapped { kind, raw }] = &events[..] else { panic!("one event: {events:?}") };
        prop_assert_eq!((kind.as_str(), raw.as_str()), ("weather", text.as_str()));
    }

    #[test]
    fn the_chunking_of_fields_makes_no_difference(
        fields in any_fields(),
        cuts in prop::collection::vec(any::<bool>(), 7),
        announced in any::<bool>(),
    ) {
        let head = |kind: &str| {
            Map::from_iter([("sessionUpdate".into(), json!(kind)), ("toolCallId".into(), json!("t"))])
        };
        let first = if announced { "tool_call" } else { "tool_call_update" };
        let mut whole = head(first);
        let mut pieces = vec![head(first)];
        for ((name, value), cut) in fields.into_iter().zip(cuts) {
            whole.insert(name.into(), value.clone());
            if cut {
                pieces.push(head("tool_call_update"));
            }
            if let Some(piece) = pieces.last_mut() {
                piece.insert(name.into(), value);
            }
        }
        let pieces: Vec<Value> = pieces.into_iter().map(Value::Object).collect();
        prop_assert_eq!(last_snapshot(&pieces), last_snapshot(&[Value::Object(whole)]));
    }
}
