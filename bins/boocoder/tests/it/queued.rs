//! Titles that change, messages that are changed or dropped while they wait, and pages of messages.

use std::time::Duration;

use boocoder_model::Seq;
use boocoder_store::ReadBudget;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::memory::{Answer, Memory};

const LIMIT: Duration = Duration::from_secs(60);

async fn patch(server: &Memory, path: &str, body: Value) -> Answer {
    server.answer(server.request("PATCH", path).json(&body)).await
}

async fn say(server: &Memory, session: &str, content: &str) -> (String, String) {
    let message = json!({"content": content, "agent": "demo"});
    let kept = server.made(&format!("/api/sessions/{session}/messages"), message).await;
    let id = |name: &str| kept[name].as_str().expect("an id").to_owned();
    (id("message_id"), id("task_id"))
}

async fn ended(server: &Memory, task: &str) -> Value {
    let looking = async {
        loop {
            let task = server.get(&format!("/api/tasks/{task}")).await.json;
            if task["ended_at"].is_string() {
                return task;
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(LIMIT, looking).await.expect("the task ends in time")
}

async fn frames(server: &Memory, session: &str) -> Vec<Value> {
    let budget = ReadBudget { frames: 10_000, bytes: 1 << 24 };
    let session = session.parse().expect("an id");
    let kept = server.dispatcher.store().frames_after(session, Seq::ZERO, budget).await.expect("a read");
    kept.iter().map(|frame| serde_json::from_str(&frame.body).expect("a frame")).collect()
}

#[tokio::test]
async fn sessions_and_chats_take_another_title() {
    let server = Memory::start().await;
    let session = server.session().await;
    let path = format!("/api/sessions/{session}");
    let before = server.get(&path).await.json;
    let chat = format!("/api/chats/{}", before["chats"][0]["id"].as_str().unwrap());

    let renamed = patch(&server, &path, json!({"title": "  Work "})).await;
    assert_eq!((renamed.status, &renamed.json["title"]), (200, &json!("Work")));
    let aside = patch(&server, &chat, json!({"title": "Aside"})).await;
    assert_eq!((aside.status, &aside.json["title"]), (200, &json!("Aside")));
    let after = server.get(&path).await.json;
    assert_eq!((&after["title"], &after["chats"]), (&json!("Work"), &json!([aside.json])));
    assert_eq!(
        frames(&server, &session).await,
        [
            json!({"seq": 1, "type": "renamed", "title": "Work"}),
            json!({"seq": 2, "type": "renamed", "title": "Aside", "chat_id": before["chats"][0]["id"]}),
        ]
    );

    for (path, body, status, code) in [
        (&*path, json!({"title": " \n"}), 422, "invalid"),
        (&*chat, json!({"title": ""}), 422, "invalid"),
        (&*chat, json!({}), 422, "invalid_body"),
        ("/api/chats/7", json!({"title": "x"}), 404, "chat_not_found"),
        ("/api/sessions/7", json!({"title": "x"}), 404, "session_not_found"),
        ("/api/messages/7", json!({"content": "x"}), 404, "message_not_found"),
        ("/api/messages/0193a2b4-0000-7000-8000-000000000000", json!({"content": "x"}), 404, "message_not_found"),
    ] {
        let answer = patch(&server, path, body).await;
        assert_eq!((answer.status, &answer.json["code"]), (status, &json!(code)), "{path}: {answer:?}");
    }
}

#[tokio::test]
async fn a_message_that_waits_is_changed_or_dropped() {
    let server = Memory::start().await;
    let session = server.session().await;
    let (running, first) = say(&server, &session, "sleep 60000").await;
    let (changed, second) = say(&server, &session, "say before").await;
    let (dropped, third) = say(&server, &session, "say never").await;
    let path = |id: &str| format!("/api/messages/{id}");

    let answer = patch(&server, &path(&changed), json!({"content": "say after"})).await;
    assert_eq!((answer.status, &answer.json["content"]), (200, &json!("say after")), "{answer:?}");
    assert_eq!(answer.json["status"], "queued");
    assert_eq!(patch(&server, &path(&changed), json!({"content": " "})).await.status, 422);
    assert_eq!(server.delete(&path(&dropped)).await.status, 204);
    for id in [&running, &dropped] {
        assert_eq!(server.delete(&path(id)).await.json["code"], "conflict");
        assert_eq!(patch(&server, &path(id), json!({"content": "say late"})).await.status, 409);
    }

    server.made(&format!("/api/tasks/{first}/cancel"), json!({})).await;
    let (second, third) = (ended(&server, &second).await, ended(&server, &third).await);
    assert_eq!((&second["state"], &second["output"]), (&json!("completed"), &json!("after")), "{second}");
    assert_eq!((&third["state"], &third["outcome"]["decided_by"]), (&json!("cancelled"), &json!("user")));
    let frames = frames(&server, &session).await;
    let edits: Vec<_> = frames.iter().filter(|frame| frame["type"] == "message_edited").collect();
    assert_eq!(edits.len(), 1, "what was refused is not told");
    assert_eq!((&edits[0]["message_id"], &edits[0]["content"]), (&json!(changed), &json!("say after")));
    assert!(frames.iter().any(|frame| frame["task_id"] == third["id"] && frame["state"] == "cancelled"));
}

/// Changed over and over until that is refused: what was accepted last is what is answered and kept.
#[tokio::test]
async fn two_messages_that_wait_change_places_or_neither_moves() {
    let server = Memory::start().await;
    let session = server.session().await;
    let (running, first) = say(&server, &session, "sleep 60000").await;
    let (one, second) = say(&server, &session, "say one").await;
    let other = json!({"content": "say other", "agent": "demo", "approval": "auto"});
    let kept = server.made(&format!("/api/sessions/{session}/messages"), other).await;
    let (other, third) = (kept["message_id"].as_str().unwrap(), kept["task_id"].as_str().unwrap());
    let swap = async |id: &str, with: &str| {
        let path = format!("/api/messages/{id}/swap");
        server.answer(server.request("POST", &path).json(&json!({"with": with}))).await
    };
    assert_eq!(swap(&one, &running).await.status, 409);
    assert_eq!(swap(&one, &session).await.status, 404);
    assert_eq!(swap(&one, &one).await.status, 204);
    assert_eq!(swap(&one, other).await.status, 204);
    let aside = server.made(&format!("/api/sessions/{session}/chats"), json!({})).await;
    let busy = json!({"content": "sleep 60000", "agent": "demo", "chat_id": aside["id"]});
    server.made(&format!("/api/sessions/{session}/messages"), busy.clone()).await;
    let elsewhere = server.made(&format!("/api/sessions/{session}/messages"), busy).await;
    assert_eq!(swap(&one, elsewhere["message_id"].as_str().unwrap()).await.status, 422);

    server.made(&format!("/api/tasks/{first}/cancel"), json!({})).await;
    let (second, third) = (ended(&server, &second).await, ended(&server, third).await);
    assert_eq!((&second["output"], &second["approval"]), (&json!("other"), &json!("auto")), "{second}");
    assert_eq!((&third["output"], &third["approval"]), (&json!("one"), &json!("ask")), "{third}");
    assert!(second["ended_at"].as_str() <= third["started_at"].as_str());
    let frames = frames(&server, &session).await;
    let edits: Vec<_> = frames.iter().filter(|frame| frame["type"] == "message_edited").collect();
    let told: Vec<_> = edits.iter().map(|frame| (&frame["message_id"], &frame["content"])).collect();
    assert_eq!(told, [(&json!(one), &json!("say other")), (&json!(other), &json!("say one"))]);
}

#[tokio::test]
async fn a_change_meets_the_begin_of_the_turn() {
    let server = Memory::start().await;
    let session = server.session().await;
    for round in 0..8 {
        let (_, first) = say(&server, &session, "sleep 20").await;
        let (message, second) = say(&server, &session, "say 0").await;
        let path = format!("/api/messages/{message}");
        let mut accepted = 0;
        let changing = async {
            loop {
                let next = accepted + 1;
                let answer = patch(&server, &path, json!({"content": format!("say {next}")})).await;
                match answer.status {
                    200 => accepted = next,
                    409 => return,
                    _ => panic!("{answer:?}"),
                }
            }
        };
        timeout(LIMIT, changing).await.expect("the turn begins in time");
        ended(&server, &first).await;
        let said = ended(&server, &second).await["output"].clone();
        let messages = server.get(&format!("/api/sessions/{session}/messages")).await.json;
        let kept = messages.as_array().unwrap().iter().find(|kept| kept["id"] == *message).unwrap();
        let expected = (json!(accepted.to_string()), json!(format!("say {accepted}")));
        assert_eq!((&said, &kept["content"]), (&expected.0, &expected.1), "round {round}");
        assert!(accepted > 0, "it waited while it was changed");
    }
}

#[tokio::test]
async fn messages_are_read_page_by_page_backwards() {
    let server = Memory::start().await;
    let (session, other) = (server.session().await, server.session().await);
    for text in ["say one", "say two", "say three"] {
        let (_, task) = say(&server, &session, text).await;
        ended(&server, &task).await;
    }
    let path = format!("/api/sessions/{session}/messages");
    let all = server.get(&path).await.json.as_array().expect("a list").clone();
    assert_eq!(all.len(), 6);
    let id = |index: usize| all[index]["id"].as_str().expect("an id").to_owned();
    for (query, expected) in [
        ("limit=4".to_owned(), &all[2..]),
        (format!("limit=4&before={}", id(2)), &all[..2]),
        (format!("before={}", id(5)), &all[..5]),
        (format!("limit=4&before={}", id(0)), &[]),
    ] {
        assert_eq!(server.get(&format!("{path}?{query}")).await.json, json!(expected), "{query}");
    }
    for (path, status, code) in [
        (format!("{path}?limit=-1"), 400, "invalid_query"),
        (format!("{path}?before=7"), 400, "invalid_query"),
        (format!("/api/sessions/{other}/messages?before={}", id(2)), 404, "message_not_found"),
    ] {
        let answer = server.get(&path).await;
        assert_eq!((answer.status, &answer.json["code"]), (status, &json!(code)), "{path}: {answer:?}");
    }
}
