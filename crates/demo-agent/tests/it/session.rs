//! Sessions: opening, setting, listing, loading again, closing, deleting.

use serde_json::{Value, json};

use crate::peer::{Peer, Reply};

fn error(response: &Value) -> &str {
    response["error"]["message"].as_str().unwrap_or_else(|| panic!("not an error: {response}"))
}

#[tokio::test]
async fn initialize_tells_what_the_agent_can_do() {
    let dir = tempfile::tempdir().unwrap();
    let mut peer = Peer::in_process(Some(dir.path().join("new")));
    let early = peer.call("session/new", json!({ "cwd": "/w", "mcpServers": [] })).await;
    assert!(early.get("error").is_some(), "nothing works before initialize");
    let told = peer.initialize().await["result"].clone();
    assert_eq!((&told["protocolVersion"], &told["agentInfo"]["name"]), (&json!(1), &json!("boocoder-demo")));
    assert_eq!(told["agentCapabilities"]["loadSession"], true);
    assert_eq!(told["agentCapabilities"]["promptCapabilities"]["image"], true);
    for feature in ["list", "resume", "close", "delete"] {
        assert!(told["agentCapabilities"]["sessionCapabilities"][feature].is_object(), "{feature}");
    }

    let mut forgetful = Peer::in_process(None);
    assert_ne!(forgetful.initialize().await["result"]["agentCapabilities"]["loadSession"], true);
}

#[tokio::test]
async fn a_client_of_another_version_is_told_ours() {
    let mut peer = Peer::in_process(None);
    let told = peer.call("initialize", json!({ "protocolVersion": 99, "clientCapabilities": {} })).await;
    assert_eq!(told["result"]["protocolVersion"], 1, "{told}");
}

#[tokio::test]
async fn what_is_unknown_or_malformed_is_refused() {
    let (mut peer, session) = Peer::with_session().await;
    let relative = peer.call("session/new", json!({ "cwd": "w", "mcpServers": [] })).await;
    assert!(error(&relative).contains("absolute"));
    let unknown = peer.call("session/prompt", json!({ "sessionId": "nope", "prompt": [] })).await;
    assert_eq!(unknown["error"]["code"], -32002);
    let mode = peer.call("session/set_mode", json!({ "sessionId": session, "modeId": "yolo" })).await;
    assert!(error(&mode).contains("ask, auto"));
    let method = peer.call("session/levitate", json!({})).await;
    assert_eq!(method["error"]["code"], -32601);
    let load = peer.call("session/load", json!({ "sessionId": "../x", "cwd": "/w", "mcpServers": [] })).await;
    assert_eq!(load["error"]["code"], -32002);
}

#[tokio::test]
async fn settings_change_and_the_change_is_announced() {
    let (mut peer, session) = Peer::with_session().await;
    let set = peer.call("session/set_mode", json!({ "sessionId": session, "modeId": "auto" })).await;
    assert!(set.get("result").is_some());
    assert_eq!(peer.next().await["params"]["update"]["currentModeId"], "auto");
    assert_eq!(peer.next().await["params"]["update"]["sessionUpdate"], "config_option_update");

    let option = |id: &str, value: &str| json!({ "sessionId": session, "configId": id, "value": value });
    let set = peer.call("session/set_config_option", option("mode", "ask")).await;
    let current = |id: &str| {
        let options = set["result"]["configOptions"].as_array().unwrap();
        options.iter().find(|option| option["id"] == id).unwrap()["currentValue"].clone()
    };
    assert_eq!((current("mode"), current("model")), (json!("ask"), json!("demo-fast")));
    assert_eq!(peer.next().await["params"]["update"]["currentModeId"], "ask");

    peer.call("session/set_config_option", option("model", "demo-slow")).await;
    peer.call("session/set_config_option", option("thought_level", "brief")).await;
    let turn = peer.prompt(&session, "slow words").await;
    assert_eq!((turn.text().as_str(), turn.chunks("agent_thought_chunk")), ("slow words", vec!["1 step(s) to do"]));
}

#[tokio::test]
async fn mcp_servers_are_kept_by_name() {
    let (mut peer, plain) = Peer::with_session().await;
    assert_eq!(peer.prompt(&plain, "mcp").await.text(), "no mcp servers");
    let stdio = json!({ "name": "files", "command": "/bin/files", "args": [], "env": [] });
    let http = json!({ "type": "http", "name": "ours", "url": "http://127.0.0.1:1/mcp", "headers": [] });
    let opened = peer.call("session/new", json!({ "cwd": "/w", "mcpServers": [stdio, http] })).await;
    peer.until("session/update").await;
    let session = opened["result"]["sessionId"].as_str().unwrap();
    assert_eq!(peer.prompt(session, "mcp").await.text(), "mcp: files, ours");
}

#[tokio::test]
async fn what_one_session_remembers_another_does_not() {
    let (mut peer, first) = Peer::with_session().await;
    let second = peer.new_session("/other").await;
    peer.prompt(&first, "remember the milk").await;
    assert_eq!(peer.prompt(&first, "recall").await.text(), "the milk");
    assert_eq!(peer.prompt(&second, "recall").await.text(), "nothing is remembered");
}

#[tokio::test]
async fn a_loaded_session_replays_its_history_first_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut peer = Peer::in_process(Some(dir.path().into()));
    peer.initialize().await;
    let session = peer.new_session("/w").await;
    peer.prompt(&session, "remember the milk\nthink hm").await;
    let long = "x".repeat(10_000);
    peer.prompt(&session, &format!("say {long}\nusage 1 1 1")).await;
    let call = |message: &Value| {
        assert_eq!(message["method"], "session/request_permission");
        Reply::Result(json!({ "outcome": { "outcome": "selected", "optionId": "reject_once" } }))
    };
    let before = peer.prompt_with(&session, "write a b", call).await.updates[0]["toolCallId"].clone();
    drop(peer);

    let mut peer = Peer::in_process(Some(dir.path().into()));
    peer.initialize().await;
    let id = peer.request("session/load", json!({ "sessionId": session, "cwd": "/moved", "mcpServers": [] })).await;
    let replay = peer.finish(id, |_| Reply::Silence).await;
    assert!(replay.response["result"]["modes"].is_object());
    let user = replay.chunks("user_message_chunk");
    assert_eq!((user[0], user[2]), ("remember the milk\nthink hm", "write a b"));
    assert_eq!(replay.chunks("agent_thought_chunk"), ["hm"]);
    let agent = replay.chunks("agent_message_chunk");
    assert_eq!(agent[0], "remembered: the milk");
    assert!(agent[1].ends_with("[cut]"), "a shortened text says so");

    assert_eq!(peer.until("session/update").await["params"]["update"]["sessionUpdate"], "available_commands_update");
    assert_eq!(peer.prompt(&session, "recall").await.text(), "the milk");
    assert_eq!(peer.prompt(&session, "usage 1 1 1").await.updates[0]["cost"]["amount"], 2.0);
    let after = peer.prompt_with(&session, "write a b", call).await.updates[0].clone();
    assert_ne!(after["toolCallId"], before, "ids do not repeat");
    assert_eq!(after["locations"][0]["path"], "/moved/a");
}

#[tokio::test]
async fn a_resumed_session_goes_on_without_replay() {
    let dir = tempfile::tempdir().unwrap();
    let mut peer = Peer::in_process(Some(dir.path().into()));
    peer.initialize().await;
    let session = peer.new_session("/w").await;
    peer.prompt(&session, "remember the milk").await;
    let close = json!({ "sessionId": session });
    peer.call("session/close", close.clone()).await;
    assert!(peer.call("session/close", close).await.get("error").is_some());

    let id = peer.request("session/resume", json!({ "sessionId": session, "cwd": "/w", "mcpServers": [] })).await;
    assert!(peer.finish(id, |_| Reply::Silence).await.updates.is_empty());
    peer.until("session/update").await;
    assert_eq!(peer.prompt(&session, "recall").await.text(), "the milk");
}

#[tokio::test]
async fn closing_a_session_cancels_its_turn() {
    let (mut peer, session) = Peer::with_session().await;
    let id = peer.start_prompt(&session, "say x\nsleep 3600000").await;
    peer.until("session/update").await;
    let close = peer.request("session/close", json!({ "sessionId": session })).await;
    let closed = peer.next().await;
    let cancelled = peer.next().await;
    let (closed, cancelled) = if closed["id"] == close { (closed, cancelled) } else { (cancelled, closed) };
    assert!(closed.get("result").is_some());
    assert_eq!((&cancelled["id"], &cancelled["result"]["stopReason"]), (&json!(id), &json!("cancelled")));
}

#[tokio::test]
async fn sessions_are_listed_in_pages_and_can_be_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let mut peer = Peer::in_process(Some(dir.path().into()));
    peer.initialize().await;
    let mut sessions = Vec::new();
    for n in 0..60 {
        sessions.push(peer.new_session(if n == 7 { "/seven" } else { "/w" }).await);
    }
    peer.prompt(&sessions[7], "say a title").await;

    let first = peer.call("session/list", json!({})).await["result"].clone();
    let rest = peer.call("session/list", json!({ "cursor": first["nextCursor"] })).await["result"].clone();
    let ids = |page: &Value| -> Vec<String> {
        page["sessions"].as_array().unwrap().iter().map(|s| s["sessionId"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!((ids(&first).len(), ids(&rest).len(), rest.get("nextCursor")), (50, 10, None));
    assert_eq!([ids(&first), ids(&rest)].concat(), sessions, "oldest first, each once");

    let seven = peer.call("session/list", json!({ "cwd": "/seven" })).await["result"].clone();
    assert_eq!((ids(&seven), &seven["sessions"][0]["title"]), (vec![sessions[7].clone()], &json!("say a title")));

    peer.call("session/delete", json!({ "sessionId": sessions[7] })).await;
    let seven = peer.call("session/list", json!({ "cwd": "/seven" })).await["result"].clone();
    assert_eq!(ids(&seven), Vec::<String>::new());
    let load = json!({ "sessionId": sessions[7], "cwd": "/w", "mcpServers": [] });
    assert_eq!(peer.call("session/load", load).await["error"]["code"], -32002);
}
