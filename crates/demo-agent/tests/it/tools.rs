//! Tools: files and commands through the client, with its permission, and questions to the human.

use serde_json::{Value, json};

use crate::peer::{Peer, Reply};

/// Chooses this option of a permission, and lets files be written.
fn choose(option: &'static str) -> impl FnMut(&Value) -> Reply {
    move |message| match message["method"].as_str().unwrap() {
        "session/request_permission" => {
            Reply::Result(json!({ "outcome": { "outcome": "selected", "optionId": option } }))
        }
        "fs/write_text_file" => Reply::Result(json!({})),
        "fs/read_text_file" => Reply::Result(json!({ "content": "one two two" })),
        other => panic!("unexpected: {other}"),
    }
}

#[tokio::test]
async fn a_write_asks_first_and_goes_through_the_client() {
    let (mut peer, session) = Peer::with_session().await;
    let turn = peer.prompt_with(&session, "write a/b.txt some text", choose("allow_once")).await;
    assert_eq!(turn.methods(), ["session/request_permission", "fs/write_text_file"]);
    let asked = &turn.asked[0]["params"];
    let kinds: Vec<_> = asked["options"].as_array().unwrap().iter().map(|option| &option["kind"]).collect();
    assert_eq!(kinds, ["allow_always", "allow_once", "reject_once"]);
    assert_eq!(asked["toolCall"]["toolCallId"], turn.updates[0]["toolCallId"]);
    assert_eq!(asked["toolCall"]["content"][0]["newText"], "some text");
    let written = &turn.asked[1]["params"];
    assert_eq!((&written["path"], &written["content"]), (&json!("/srv/dir/a/b.txt"), &json!("some text")));
    assert_eq!(turn.statuses(), ["pending", "in_progress", "completed"]);
    assert_eq!(turn.text(), "wrote a/b.txt");
}

#[tokio::test]
async fn an_absolute_path_is_passed_on_and_the_clients_refusal_is_told() {
    let (mut peer, session) = Peer::with_session().await;
    let mut paths = Vec::new();
    let turn = peer
        .prompt_with(&session, "write /etc/x no\nsay after", |message| match message["method"].as_str().unwrap() {
            "fs/write_text_file" => {
                paths.push(message["params"]["path"].clone());
                Reply::Error("outside of the worktree")
            }
            _ => choose("allow_once")(message),
        })
        .await;
    assert_eq!(paths, ["/etc/x"]);
    assert_eq!(turn.statuses(), ["pending", "in_progress", "failed"]);
    assert!(turn.text().contains("outside of the worktree") && turn.text().ends_with("after"), "{}", turn.text());
}

#[tokio::test]
async fn a_rejected_write_does_not_happen_and_the_turn_goes_on() {
    let (mut peer, session) = Peer::with_session().await;
    let turn = peer.prompt_with(&session, "write a.txt x\nsay after", choose("reject_once")).await;
    assert_eq!(turn.methods(), ["session/request_permission"]);
    assert_eq!(turn.statuses(), ["pending", "failed"]);
    assert!(turn.text().ends_with("\nafter"));
    assert_eq!(turn.stop_reason(), "end_turn");
}

#[tokio::test]
async fn allow_always_and_the_auto_mode_ask_no_more() {
    let (mut peer, session) = Peer::with_session().await;
    let turn = peer.prompt_with(&session, "write a 1\nwrite b 2", choose("allow_always")).await;
    assert_eq!(turn.methods(), ["session/request_permission", "fs/write_text_file", "fs/write_text_file"]);

    let other = peer.new_session("/other").await;
    let turn = peer.prompt_with(&other, "mode auto\nwrite a 1", choose("reject_once")).await;
    assert_eq!(turn.methods(), ["fs/write_text_file"], "permission is per session");
}

#[tokio::test]
async fn an_answer_that_was_not_offered_grants_nothing() {
    let (mut peer, session) = Peer::with_session().await;
    let turn = peer.prompt_with(&session, "write a 1", choose("proceed")).await;
    assert_eq!(turn.methods(), ["session/request_permission"]);
    assert_eq!(turn.statuses(), ["pending", "failed"]);
}

#[tokio::test]
async fn cancel_while_a_permission_is_open_ends_the_turn_at_once() {
    let (mut peer, session) = Peer::with_session().await;
    let id = peer.start_prompt(&session, "write a 1\nsay after").await;
    let open = peer.until("session/request_permission").await;
    peer.cancel(&session).await;
    let turn = peer.finish(id, |_| Reply::Silence).await;
    assert_eq!((turn.stop_reason(), turn.text().as_str()), ("cancelled", ""));
    // The answer that the protocol asks for comes late and does no harm.
    let cancelled = json!({ "outcome": { "outcome": "cancelled" } });
    peer.write(&json!({ "jsonrpc": "2.0", "id": open["id"], "result": cancelled })).await;
    assert_eq!(peer.prompt(&session, "say next").await.text(), "next");
}

#[tokio::test]
async fn a_permission_answered_cancelled_ends_the_turn() {
    let (mut peer, session) = Peer::with_session().await;
    let cancelled = |_: &Value| Reply::Result(json!({ "outcome": { "outcome": "cancelled" } }));
    let turn = peer.prompt_with(&session, "write a 1\nsay after", cancelled).await;
    assert_eq!((turn.stop_reason(), turn.text().as_str()), ("cancelled", ""));
}

#[tokio::test]
async fn an_edit_reads_shows_the_difference_and_writes() {
    let (mut peer, session) = Peer::with_session().await;
    let turn = peer.prompt_with(&session, "edit a.txt two => 2", choose("allow_once")).await;
    assert_eq!(turn.methods(), ["fs/read_text_file", "session/request_permission", "fs/write_text_file"]);
    let diff = &turn.asked[1]["params"]["toolCall"]["content"][0];
    assert_eq!((&diff["oldText"], &diff["newText"]), (&json!("one two two"), &json!("one 2 two")));
    assert_eq!(turn.asked[2]["params"]["content"], "one 2 two");
    assert_eq!(turn.updates.last().unwrap()["content"]["text"], "edited a.txt");

    let turn = peer.prompt_with(&session, "edit a.txt seven => 7", choose("allow_once")).await;
    assert_eq!(turn.methods(), ["fs/read_text_file"]);
    assert!(turn.text().contains("does not contain \"seven\""), "{}", turn.text());
}

#[tokio::test]
async fn a_command_runs_in_the_clients_terminal() {
    let (mut peer, session) = Peer::with_session().await;
    let turn = peer.prompt_with(&session, "shell echo hi", terminal(0)).await;
    let methods = ["terminal/create", "terminal/wait_for_exit", "terminal/output", "terminal/release"];
    assert_eq!(turn.methods(), methods);
    let created = &turn.asked[0]["params"];
    assert_eq!((&created["command"], &created["args"]), (&json!("/bin/sh"), &json!(["-c", "echo hi"])));
    assert_eq!(created["cwd"], "/srv/dir");
    assert_eq!(turn.updates[1]["content"][0], json!({ "type": "terminal", "terminalId": "t1" }));
    assert_eq!(turn.statuses(), ["pending", "in_progress", "completed"]);
    assert_eq!(turn.text(), "hi");

    let turn = peer.prompt_with(&session, "shell false", terminal(3)).await;
    assert_eq!(turn.methods(), methods, "what has ended is not killed");
    assert_eq!(turn.statuses(), ["pending", "in_progress", "failed"]);
    assert!(turn.text().ends_with("exit code 3"), "{}", turn.text());
}

fn terminal(exit_code: u32) -> impl FnMut(&Value) -> Reply {
    move |message| {
        Reply::Result(match message["method"].as_str().unwrap() {
            "terminal/create" => json!({ "terminalId": "t1" }),
            "terminal/wait_for_exit" => json!({ "exitCode": exit_code }),
            "terminal/output" => json!({ "output": "hi\n", "truncated": false }),
            "terminal/kill" | "terminal/release" => json!({}),
            other => panic!("unexpected: {other}"),
        })
    }
}

#[tokio::test]
async fn cancel_ends_a_running_command() {
    let (mut peer, session) = Peer::with_session().await;
    let id = peer.start_prompt(&session, "shell sleep 1000\nsay after").await;
    let create = peer.until("terminal/create").await;
    peer.write(&json!({ "jsonrpc": "2.0", "id": create["id"], "result": { "terminalId": "t1" } })).await;
    peer.until("terminal/wait_for_exit").await;
    peer.cancel(&session).await;
    let turn = peer.finish(id, terminal(0)).await;
    assert_eq!(turn.stop_reason(), "cancelled");
    let methods: Vec<_> = turn.methods().into_iter().filter(|method| method.starts_with("terminal")).collect();
    assert_eq!(methods, ["terminal/kill", "terminal/release"]);
}

#[tokio::test]
async fn a_terminal_that_comes_too_late_is_given_back() {
    let (mut peer, session) = Peer::with_session().await;
    let id = peer.start_prompt(&session, "shell sleep 1000").await;
    let create = peer.until("terminal/create").await;
    peer.cancel(&session).await;
    assert_eq!(peer.finish(id, |_| Reply::Silence).await.stop_reason(), "cancelled");
    peer.write(&json!({ "jsonrpc": "2.0", "id": create["id"], "result": { "terminalId": "late" } })).await;
    assert_eq!(peer.until("terminal/release").await["params"]["terminalId"], "late");
}

#[tokio::test]
async fn a_question_is_put_to_the_human_and_the_answer_said() {
    let (mut peer, session) = Peer::with_session().await;
    let accept = |_: &Value| Reply::Result(json!({ "action": "accept", "content": { "answer": "blue" } }));
    let turn = peer.prompt_with(&session, "ask which colour?", accept).await;
    let asked = &turn.asked[0]["params"];
    assert_eq!((&asked["mode"], &asked["message"]), (&json!("form"), &json!("which colour?")));
    assert_eq!(asked["requestedSchema"]["properties"]["answer"]["type"], "string");
    assert_eq!(turn.text(), "answer: blue");

    for (action, said) in [("decline", "declined"), ("cancel", "cancelled")] {
        let turn = peer.prompt_with(&session, "ask?\nask why?", |_| Reply::Result(json!({ "action": action }))).await;
        assert_eq!(turn.text(), format!("ask?\n{said}"));
    }
}

#[tokio::test]
async fn an_address_is_opened_and_its_end_announced() {
    let (mut peer, session) = Peer::with_session().await;
    let accept = |_: &Value| Reply::Result(json!({ "action": "accept" }));
    let turn = peer.prompt_with(&session, "open https://example.org/x", accept).await;
    assert_eq!(turn.methods(), ["elicitation/create", "elicitation/complete"]);
    assert_eq!(turn.asked[0]["params"]["url"], "https://example.org/x");
    assert_eq!(turn.asked[0]["params"]["elicitationId"], turn.asked[1]["params"]["elicitationId"]);
}

#[tokio::test]
async fn nothing_is_asked_of_a_client_that_cannot_do_it() {
    let mut peer = Peer::in_process(None);
    peer.initialize_with(json!({})).await;
    let session = peer.new_session("/w").await;
    let turn = peer.prompt(&session, "write a b\nedit a b => c\nshell ls\nask why\nopen x:y").await;
    assert_eq!(turn.statuses(), ["pending", "failed", "pending", "failed", "pending", "failed"]);
    let expected = "Write a: the client writes no files\nEdit a: the client reads no files\n\
                    ls: the client runs no commands\nthe client takes no questions\nthe client opens no addresses";
    assert_eq!(turn.text(), expected);
}
