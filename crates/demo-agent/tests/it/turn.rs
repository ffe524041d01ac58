//! Turns that need nothing of the client: text, updates, cancelling, the unkind verbs.

use std::time::Duration;

use boocoder_demo_agent::DemoError;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::peer::{Peer, Reply};

#[tokio::test]
async fn text_without_a_verb_is_echoed_word_by_word() {
    let (mut peer, session) = Peer::with_session().await;
    let turn = peer.prompt(&session, "hello  big\nworld\n").await;
    assert_eq!(turn.chunks("agent_message_chunk"), ["hello  ", "big\n", "world\n"]);
    assert_eq!(turn.stop_reason(), "end_turn");
}

#[tokio::test]
async fn lines_run_in_order_and_their_text_stands_on_lines_of_its_own() {
    let (mut peer, session) = Peer::with_session().await;
    let turn = peer.prompt(&session, "say one\nthink hm\nsleep 1\ntwo words\nsay three").await;
    assert_eq!(turn.text(), "one\ntwo words\nthree");
    assert_eq!(turn.chunks("agent_thought_chunk"), ["hm"]);
}

#[tokio::test]
async fn the_updates_of_each_kind_are_sent() {
    let (mut peer, session) = Peer::with_session().await;
    let turn = peer.prompt(&session, "plan\ncommands\nmode auto\nattach").await;
    let kinds: Vec<_> = turn.updates.iter().map(|update| update["sessionUpdate"].as_str().unwrap()).collect();
    let expected = ["plan", "plan", "available_commands_update", "current_mode_update", "agent_message_chunk"];
    assert_eq!(kinds, expected);
    assert_eq!(turn.updates[1]["entries"][0]["status"], "completed");
    assert!(turn.updates[2]["availableCommands"].as_array().unwrap().iter().any(|command| command["name"] == "write"));
    assert_eq!(turn.updates[3]["currentModeId"], "auto");
    assert_eq!(turn.updates[4]["content"]["mimeType"], "image/png");
}

#[tokio::test]
async fn usage_is_told_per_turn_and_its_cost_adds_up() {
    let (mut peer, session) = Peer::with_session().await;
    let first = peer.prompt(&session, "usage 100 20 0.25\nusage 1 2 0").await;
    assert_eq!(first.response["result"]["usage"]["inputTokens"], 101);
    assert_eq!(first.response["result"]["usage"]["outputTokens"], 22);
    let second = peer.prompt(&session, "usage 10 5 0.5").await;
    assert_eq!(second.response["result"]["usage"]["totalTokens"], 15);
    assert_eq!(second.updates[0]["cost"], json!({ "amount": 0.75, "currency": "USD" }));
    assert_eq!(second.updates[0]["used"], 138);
    let third = peer.prompt(&session, "say no usage").await;
    assert_eq!(third.response["result"].get("usage"), None);
}

#[tokio::test]
async fn a_stream_is_whole_and_in_order() {
    let (mut peer, session) = Peer::with_session().await;
    let turn = peer.prompt(&session, "stream 3 1048576").await;
    assert_eq!(turn.text().len(), 3 << 20);

    let turn = peer.prompt(&session, "stream 5000 40").await;
    let chunks = turn.chunks("agent_message_chunk");
    assert_eq!(chunks.len(), 5000);
    for (index, chunk) in chunks.iter().enumerate() {
        assert_eq!(chunk.len(), 40);
        assert_eq!(chunk.split('.').next(), Some(index.to_string().as_str()));
    }
}

#[tokio::test]
async fn parts_that_are_not_text_are_described() {
    let (mut peer, session) = Peer::with_session().await;
    let image = json!({ "type": "image", "mimeType": "image/png", "data": "aGVsbG8gd29ybGQh" });
    let prompt = json!([{ "type": "text", "text": "look" }, image]);
    let id = peer.request("session/prompt", json!({ "sessionId": session, "prompt": prompt })).await;
    let turn = peer.finish(id, |_| Reply::Silence).await;
    assert_eq!(turn.text(), "look\n[image image/png 12 bytes]");
}

#[tokio::test]
async fn a_refusal_ends_the_turn() {
    let (mut peer, session) = Peer::with_session().await;
    let turn = peer.prompt(&session, "say first\nrefuse\nsay never").await;
    assert_eq!((turn.stop_reason(), turn.text().as_str()), ("refusal", "first"));
}

#[tokio::test]
async fn cancel_ends_a_sleep_and_what_comes_after_it() {
    let (mut peer, session) = Peer::with_session().await;
    let id = peer.start_prompt(&session, "say before\nsleep 3600000\nsay after").await;
    peer.until("session/update").await;
    peer.cancel(&session).await;
    let turn = peer.finish(id, |_| Reply::Silence).await;
    assert_eq!((turn.stop_reason(), turn.text().as_str()), ("cancelled", ""));
    assert_eq!(peer.prompt(&session, "say next").await.text(), "next", "the next prompt is answered by itself");
}

#[tokio::test]
async fn cancel_ends_a_stream_whose_reader_was_slow() {
    let (mut peer, session) = Peer::with_session().await;
    let id = peer.start_prompt(&session, "stream 1000000000 1000").await;
    peer.until("session/update").await;
    peer.cancel(&session).await;
    let turn = peer.finish(id, |_| Reply::Silence).await;
    assert_eq!(turn.stop_reason(), "cancelled");
}

#[tokio::test]
async fn withdrawing_the_request_cancels_too() {
    let (mut peer, session) = Peer::with_session().await;
    let id = peer.start_prompt(&session, "say x\nsleep 3600000").await;
    peer.until("session/update").await;
    peer.notify("$/cancel_request", json!({ "requestId": id })).await;
    assert_eq!(peer.finish(id, |_| Reply::Silence).await.stop_reason(), "cancelled");
}

#[tokio::test]
async fn a_second_prompt_while_one_runs_is_refused() {
    let (mut peer, session) = Peer::with_session().await;
    let first = peer.start_prompt(&session, "sleep 3600000").await;
    let second = peer.start_prompt(&session, "say hi").await;
    let refused = peer.finish(second, |_| Reply::Silence).await.response;
    assert!(refused["error"]["message"].as_str().unwrap().contains("a prompt is running"), "{refused}");
    peer.cancel(&session).await;
    assert_eq!(peer.finish(first, |_| Reply::Silence).await.stop_reason(), "cancelled");
}

#[tokio::test]
async fn hang_ignores_cancel_but_not_the_other_sessions() {
    let (mut peer, hung) = Peer::with_session().await;
    let other = peer.new_session("/other").await;
    peer.start_prompt(&hung, "hang").await;
    peer.cancel(&hung).await;
    // The requests are handled in order: had the hung prompt been answered, its response would come first here.
    assert_eq!(peer.prompt(&other, "say still here").await.text(), "still here");
    let refused = peer.call("session/prompt", json!({ "sessionId": hung, "prompt": [] })).await;
    assert!(refused["error"]["message"].as_str().unwrap().contains("a prompt is running"));
}

#[tokio::test]
async fn garbage_breaks_lines_but_not_the_connection() {
    let (mut peer, session) = Peer::with_session().await;
    peer.start_prompt(&session, "say before\ngarbage").await;
    let mut lines = Vec::new();
    for _ in 0..7 {
        lines.push(peer.raw_line().await.unwrap());
    }
    let text = |line: &[u8]| {
        let message: Value = serde_json::from_slice(line).unwrap();
        message["params"]["update"]["content"]["text"].as_str().map(str::to_owned)
    };
    assert_eq!(text(&lines[0]).as_deref(), Some("before"));
    assert_eq!(lines[1], b"this line is not JSON");
    assert!(std::str::from_utf8(&lines[2]).is_err());
    assert!(lines[3].starts_with(b"{\"jsonrpc\"") && serde_json::from_slice::<Value>(&lines[3]).is_err());
    assert_eq!(text(&lines[5]).as_deref(), Some("garbage written"));
    assert!(serde_json::from_slice::<Value>(&lines[6]).unwrap()["result"]["stopReason"] == "end_turn");
    assert_eq!(peer.prompt(&session, "say still here").await.text(), "still here");
}

#[tokio::test]
async fn crash_ends_the_agent_in_the_middle_of_the_turn() {
    let (mut peer, session) = Peer::with_session().await;
    peer.start_prompt(&session, "say last words\ncrash\nsay never").await;
    let ended = timeout(Duration::from_secs(60), peer.agent.take().unwrap()).await.unwrap().unwrap();
    assert!(matches!(ended, Err(DemoError::Crash)), "{ended:?}");
    assert_eq!(ended.unwrap_err().exit_code(), 101);
    let said = peer.until("session/update").await;
    assert_eq!(said["params"]["update"]["content"]["text"], "last words");
    assert_eq!(peer.raw_line().await, None, "nothing comes after a crash");
}

#[tokio::test]
async fn closing_the_input_ends_the_agent_even_while_a_turn_hangs() {
    let (mut peer, session) = Peer::with_session().await;
    peer.start_prompt(&session, "say x\nhang").await;
    peer.until("session/update").await;
    let agent = peer.agent.take().unwrap();
    drop(peer);
    timeout(Duration::from_secs(60), agent).await.unwrap().unwrap().unwrap();
}
