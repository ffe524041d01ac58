//! The contract with clients, written out.

mod frames;
mod requests;
mod responses;
mod typescript;

use boocoder_model as model;
use boocoder_model::{AgentName, ChatId, MessageId, RawJson, SessionId, TaskId, ToolCallId};
use boocoder_wire::parts::{Content, Interaction, PermissionOption, ToolCall, ToolContent};
use jiff::Timestamp;
use uuid::Uuid;

const fn uuid(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

const SESSION: SessionId = SessionId::from_uuid(uuid(1));
const CHAT: ChatId = ChatId::from_uuid(uuid(2));
const MESSAGE: MessageId = MessageId::from_uuid(uuid(3));
const TASK: TaskId = TaskId::from_uuid(uuid(4));

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).expect("within range")
}

fn agent() -> AgentName {
    AgentName::new("demo")
}

fn tool_call() -> model::ToolCallSnapshot {
    let mut call = model::ToolCallSnapshot::new(ToolCallId::new("call-1"));
    call.title = "write a.txt".into();
    call.kind = model::ToolKind::Edit;
    call.status = model::ToolStatus::InProgress;
    call.input = Some(RawJson::new(r#"{"z":1.50,"a":"\u0000"}"#));
    call.locations = vec![model::Location { path: "a.txt".into(), line: Some(3) }];
    call.content = vec![
        model::ToolContent::Part(model::ContentPart::Text("writing".into())),
        model::ToolContent::Diff { path: "a.txt".into(), old_text: None, new_text: "hello\n".into() },
        model::ToolContent::Terminal { id: "term-1".into() },
        model::ToolContent::Unknown(RawJson::new(r#"{"type":"hologram"}"#)),
    ];
    call
}

fn question() -> model::Interaction {
    model::Interaction {
        id: model::InteractionId::from_uuid(uuid(5)),
        session_id: Some(SESSION),
        chat_id: Some(CHAT),
        task_id: TASK,
        agent: agent(),
        question: model::Question::Permission {
            title: "write a.txt?".into(),
            tool_call: None,
            options: vec![model::PermissionOption {
                id: "yes".into(),
                name: "Yes".into(),
                kind: model::PermissionKind::AllowOnce,
            }],
        },
        settled: None,
        created_at: at(0),
    }
}

#[test]
fn the_parts_read_back_as_they_were_written() {
    let call: ToolCall = tool_call().into();
    let again: ToolCall = serde_json::from_str(&serde_json::to_string(&call).unwrap()).unwrap();
    assert_eq!(again.content[3], ToolContent::Unknown { raw: RawJson::new(r#"{"type":"hologram"}"#).into() });
    assert_eq!(again.content, call.content);
    assert_eq!(again.locations, call.locations);

    let asked: Interaction = question().into();
    let again: Interaction = serde_json::from_str(&serde_json::to_string(&asked).unwrap()).unwrap();
    assert_eq!(again, asked);
    assert_eq!(
        again.options,
        Some(vec![PermissionOption { option_id: "yes".into(), name: "Yes".into(), kind: "allow_once".into() }])
    );
}

#[test]
fn every_part_of_a_message_goes_out_and_comes_back() {
    use model::ContentPart as Part;
    let parts = [
        Part::Text("a\u{0}b".into()),
        Part::Image { mime_type: "image/png".into(), data: "AAAA".into(), uri: Some("file:///a.png".into()) },
        Part::Audio { mime_type: "audio/wav".into(), data: "AAAA".into() },
        Part::ResourceLink { uri: "file:///a".into(), name: "a".into(), mime_type: None },
        Part::Resource { uri: "file:///a".into(), mime_type: Some("text/plain".into()), text: "a".into() },
        Part::ResourceBlob { uri: "file:///a".into(), mime_type: None, blob: "AAAA".into() },
        Part::Unknown(RawJson::new(r#"{"type":"hologram","z":1,"a":2}"#)),
    ];
    for part in parts {
        let text = serde_json::to_string(&Content::from(part.clone())).unwrap();
        let back: Content = serde_json::from_str(&text).unwrap();
        assert_eq!(Part::from(back), part, "{text}");
    }
}
