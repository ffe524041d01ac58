//! Messages and thoughts, what is unknown, and the envelope around all updates.

use agent_client_protocol_schema::v1::{
    ContentBlock, ContentChunk, Diff, ImageContent, SessionUpdate, ToolCall, ToolCallContent, ToolCallUpdate,
    ToolCallUpdateFields,
};
use boocoder_acp_mapper::{SessionUpdateMapper, Update, content_part, parse_update};
use boocoder_model::{AgentEvent, ContentPart, RawJson, StepUsage, UsageReport};
use serde_json::{Value, json};

use crate::{check, map, text};

fn chunk(kind: &str, content: Value) -> Value {
    json!({ "sessionUpdate": kind, "content": content })
}

#[test]
fn a_piece_of_the_answer_is_text() {
    check(&[chunk("agent_message_chunk", text("hello"))], &[AgentEvent::Text("hello".into())]);
    let escaped = "line\nbreak \"quoted\" \u{0} é 🦀";
    check(&[chunk("agent_message_chunk", text(escaped))], &[AgentEvent::Text(escaped.into())]);
}

#[test]
fn a_piece_of_thought_is_reasoning() {
    check(&[chunk("agent_thought_chunk", text("thinking"))], &[AgentEvent::Reasoning("thinking".into())]);
}

#[test]
fn an_empty_piece_is_nothing() {
    for kind in ["agent_message_chunk", "agent_thought_chunk", "user_message_chunk"] {
        check(&[chunk(kind, text(""))], &[]);
    }
}

#[test]
fn content_that_is_no_text_is_kept() {
    let image = json!({ "type": "image", "data": "eA==", "mimeType": "image/png" });
    let part = ContentPart::Image { mime_type: "image/png".into(), data: "eA==".into(), uri: None };
    for kind in ["agent_message_chunk", "agent_thought_chunk"] {
        check(&[chunk(kind, image.clone())], &[AgentEvent::Content(part.clone())]);
    }
    check(&[chunk("user_message_chunk", image)], &[AgentEvent::UserContent(part)]);
}

#[test]
fn every_kind_of_content_has_a_part() {
    let unknown = json!({ "type": "hologram", "z": 1, "a": 2 });
    for (block, part) in [
        (
            json!({ "type": "audio", "data": "eA==", "mimeType": "audio/wav" }),
            ContentPart::Audio { mime_type: "audio/wav".into(), data: "eA==".into() },
        ),
        (
            json!({ "type": "resource_link", "uri": "file:///a", "name": "a" }),
            ContentPart::ResourceLink { uri: "file:///a".into(), name: "a".into(), mime_type: None },
        ),
        (
            json!({ "type": "resource", "resource": { "uri": "file:///a", "text": "x" } }),
            ContentPart::Resource { uri: "file:///a".into(), mime_type: None, text: "x".into() },
        ),
        (
            json!({ "type": "resource", "resource": { "uri": "file:///a", "blob": "eA==", "mimeType": "b/b" } }),
            ContentPart::ResourceBlob { uri: "file:///a".into(), mime_type: Some("b/b".into()), blob: "eA==".into() },
        ),
        (unknown.clone(), ContentPart::Unknown(RawJson::new(unknown.to_string()))),
    ] {
        check(&[chunk("agent_message_chunk", block)], &[AgentEvent::Content(part)]);
    }
}

#[test]
fn a_users_message_is_replayed_as_the_users() {
    let said = AgentEvent::UserContent(ContentPart::Text("please".into()));
    check(&[chunk("user_message_chunk", text("please"))], &[said]);
}

#[test]
fn usage_beside_an_empty_piece_is_counted_unless_it_is_history() {
    let usage = json!({ "inputTokens": 21018, "outputTokens": 4, "totalTokens": 21022, "thoughtTokens": 0, "cachedReadTokens": 7 });
    let mut update = chunk("agent_message_chunk", text(""));
    update["_meta"] = json!({ "usage": usage, "durationMs": 742 });
    let used = UsageReport::step(StepUsage { input: 21018, output: 4, cost: None });
    check(&[update.clone()], &[AgentEvent::Usage(used)]);

    update["content"]["text"] = "and text".into();
    check(&[update.clone()], &[AgentEvent::Text("and text".into()), AgentEvent::Usage(used)]);

    update["_meta"]["qwenTranscript"] = json!({ "sourceRecordIds": ["1"] });
    check(&[update], &[AgentEvent::Text("and text".into())]);
}

#[test]
fn what_is_unknown_survives_whole() {
    for update in [
        json!({ "sessionUpdate": "weather", "z": 1, "a": [true, null] }),
        json!({ "sessionUpdate": "usage_update", "used": -1, "size": 5 }),
        json!({ "sessionUpdate": "usage_update", "used": 1.5, "size": 5 }),
        json!({ "sessionUpdate": "tool_call", "title": "no id" }),
        json!({ "sessionUpdate": "session_info_update", "_meta": { "run": 1 } }),
        json!({ "sessionUpdate": "notice", "severity": "info" }),
        json!({ "sessionUpdate": "plan" }),
    ] {
        let kind = update["sessionUpdate"].as_str().expect("a kind").to_owned();
        let raw = RawJson::new(update.to_string());
        check(&[update], &[AgentEvent::Unmapped { kind, raw }]);
    }
}

#[test]
fn a_list_is_not_taken_for_an_object_without_names() {
    let list = json!(["agent_message_chunk", null, { "type": "text", "text": "x" }]);
    let raw = RawJson::new(list.to_string());
    check(
        &[chunk("agent_message_chunk", list.clone()), list],
        &[
            AgentEvent::Content(ContentPart::Unknown(raw.clone())),
            AgentEvent::Unmapped { kind: "session/update".into(), raw },
        ],
    );
}

#[test]
fn a_notification_names_its_session_if_it_can() {
    let parsed = |text: &str| parse_update(serde_json::from_str(text).expect("JSON"));
    let known = parsed(r#"{"sessionId":"a\"b","update":{"sessionUpdate":"current_mode_update","currentModeId":"x"}}"#);
    assert_eq!(known.session_id.as_ref().map(|id| id.as_str()), Some("a\"b"));
    let unknown = parsed(r#"{"update": {"sessionUpdate" : "weather"}, "sessionId":"s"}"#);
    assert_eq!(unknown.session_id.as_ref().map(|id| id.as_str()), Some("s"));
    let raw = RawJson::new(r#"{"sessionUpdate" : "weather"}"#);
    assert_eq!(unknown.update, Update::Unknown { kind: "weather".into(), raw });
    for text in ["[]", r#"["s",{}]"#, "null", "7", r#"{"sessionId":3}"#, r#"{"update":null}"#] {
        let whole = Update::Unknown { kind: "session/update".into(), raw: RawJson::new(text) };
        assert_eq!(parsed(text).update, whole);
        assert_eq!(parsed(text).session_id, None);
    }
}

#[test]
fn a_typed_update_means_the_same_as_its_text() {
    let image = ContentBlock::Image(ImageContent::new("eA==", "image/png"));
    for update in [
        SessionUpdate::AgentMessageChunk(ContentChunk::new("hello".into())),
        SessionUpdate::AgentThoughtChunk(ContentChunk::new(image.clone())),
        SessionUpdate::ToolCall(
            ToolCall::new("t1", "edit").content(vec![ToolCallContent::Diff(Diff::new("a.rs", "new"))]),
        ),
        SessionUpdate::ToolCallUpdate(ToolCallUpdate::new("t1", ToolCallUpdateFields::new().title("x"))),
    ] {
        let text = serde_json::to_value(&update).expect("a typed update is JSON");
        assert_eq!(SessionUpdateMapper::new().apply(update), map(&[text]));
    }
    let part = ContentPart::Image { mime_type: "image/png".into(), data: "eA==".into(), uri: None };
    assert_eq!(content_part(image), part);
}

#[cfg(unix)]
#[test]
fn even_a_path_that_json_cannot_hold_is_told() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let diff = Diff::new(OsStr::from_bytes(b"\xff.rs"), "new");
    let call = ToolCall::new("t1", "edit").content(vec![ToolCallContent::Diff(diff)]);
    let events = SessionUpdateMapper::new().apply(SessionUpdate::ToolCall(call));
    let [AgentEvent::Unmapped { raw, .. }] = &events[..] else { panic!("one event: {events:?}") };
    let told: String = serde_json::from_str(raw.as_str()).expect("a JSON string");
    assert!(told.contains("edit"), "{told}");
}
