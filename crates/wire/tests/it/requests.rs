//! What clients may send, and what is refused.

use boocoder_model::{Answer, ContentPart, RawJson};
use boocoder_wire::http::{Approval, HunkChoice, NewAnswer, NewChat, NewMessage, NewProject, NewTask};
use serde::de::DeserializeOwned;

fn refusal<T: DeserializeOwned + std::fmt::Debug>(body: &str) -> String {
    let error = serde_json::from_str::<T>(body).expect_err("the body is refused");
    assert!(error.is_data(), "{body} is JSON, only not the right one: {error}");
    error.to_string()
}

#[test]
fn a_message_is_a_text_or_parts() {
    let short: NewMessage = serde_json::from_str(r#"{"content":"hi","agent":"demo"}"#).unwrap();
    assert_eq!((short.approval, short.chat_id), (None, None));
    assert_eq!(Vec::from(short.content), [ContentPart::Text("hi".into())]);

    let long: NewMessage = serde_json::from_str(
        r#"{"content":[{"type":"text","text":"look"},{"type":"image","mime_type":"image/png","data":"AAAA"}],
            "agent":"qwen","chat_id":"00000000-0000-0000-0000-000000000002","model":"m","mode_id":"plan",
            "thinking_option_id":"high","approval":"auto","request_id":"r1"}"#,
    )
    .unwrap();
    assert_eq!((long.approval, long.chat_id), (Some(Approval::Auto), Some(crate::CHAT)));
    let image = ContentPart::Image { mime_type: "image/png".into(), data: "AAAA".into(), uri: None };
    assert_eq!(Vec::from(long.content), [ContentPart::Text("look".into()), image]);
}

#[test]
fn what_does_not_fit_is_named() {
    let no_agent = refusal::<NewMessage>(r#"{"content":"hi"}"#);
    assert!(no_agent.contains("missing field `agent`"), "{no_agent}");
    let number = refusal::<NewMessage>(r#"{"content":5,"agent":"demo"}"#);
    assert!(number.contains("expected a string or an array of content parts"), "{number}");
    let misspelt = refusal::<NewMessage>(r#"{"content":"hi","agent":"demo","aproval":"auto"}"#);
    assert!(misspelt.contains("unknown field `aproval`"), "{misspelt}");
    let never = refusal::<NewMessage>(r#"{"content":"hi","agent":"demo","approval":"always"}"#);
    assert!(never.contains("unknown variant `always`"), "{never}");
    let id = refusal::<NewTask>(r#"{"project_id":"7","input":"hi","agent":"demo"}"#);
    assert!(id.contains("UUID"), "{id}");
    let path = refusal::<NewProject>(r#"{"path":null}"#);
    assert!(path.contains("expected a string"), "{path}");
    let list = refusal::<HunkChoice>(r#"{"hunks":"all"}"#);
    assert!(list.contains("expected a sequence"), "{list}");
    let title = refusal::<NewChat>(r#"{"name":"x"}"#);
    assert!(title.contains("unknown field `name`"), "{title}");
}

#[test]
fn an_answer_is_an_option_or_an_action() {
    for (body, expected) in [
        (r#"{"option_id":"yes"}"#, Answer::Select("yes".into())),
        (r#"{"action":"accept"}"#, Answer::Accept(None)),
        (r#"{"action":"accept","content":{"z":1,"a":2}}"#, Answer::Accept(Some(RawJson::new(r#"{"z":1,"a":2}"#)))),
        (r#"{"action":"decline"}"#, Answer::Decline),
        (r#"{"action":"cancel"}"#, Answer::Cancel),
    ] {
        let answer: NewAnswer = serde_json::from_str(body).unwrap();
        assert_eq!(Answer::from(answer), expected, "{body}");
    }
    for body in [r#"{}"#, r#"{"action":"maybe"}"#, r#"{"option_id":"yes","action":"accept"}"#, r#"[]"#] {
        let refused = refusal::<NewAnswer>(body);
        assert!(refused.contains("expected {\"option_id\""), "{body}: {refused}");
    }
}
