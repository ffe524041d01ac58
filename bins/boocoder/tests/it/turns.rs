//! Turns with the demo agent through a real server.

use boocoder_testkit::process;
use rustix::process::Signal;
use serde_json::json;

use crate::serving::{LIMIT, Place};

#[tokio::test]
async fn two_messages_reach_one_process_and_one_agent_session() {
    let place = Place::new();
    let server = place.serve().await;
    let session = server.session(&place).await;
    let first = server.answer(&session, "pid").await;
    assert!(first.contains("pid=") && first.contains("session="), "{first}");
    server.answer(&session, "remember forty-two").await;
    assert_eq!(server.answer(&session, "recall").await, "forty-two");
    assert_eq!(server.answer(&session, "pid").await, first);

    let agents = server.get(&format!("/api/sessions/{session}/agent-sessions")).await;
    assert_eq!((&agents[0]["agent"], &agents[0]["has_session"]), (&json!("demo"), &json!(true)), "{agents}");
    server.stop().await;
}

#[tokio::test]
async fn a_permission_is_answered_once_and_the_edit_waits_for_a_human() {
    let place = Place::new();
    let server = place.serve().await;
    let session = server.session(&place).await;
    let task = server.say(&session, "write made.txt by an agent").await;
    let question = server.question(&session).await;
    assert_eq!((&question["kind"], &question["agent"]), (&json!("permission"), &json!("demo")), "{question}");
    let path = format!("/api/interactions/{}", question["id"].as_str().unwrap());
    let (status, refused) = server.request("POST", &path, Some(json!({"option_id": "no such option"}))).await;
    assert_eq!(status, 422, "{refused}");
    let options = question["options"].as_array().unwrap();
    let allow = options.iter().find(|option| option["kind"] == "allow_once").unwrap();
    let settled = server.post(&path, json!({"option_id": allow["option_id"]})).await;
    assert_eq!((&settled["outcome"]["action"], &settled["decided_by"]), (&json!("selected"), &json!("user")));
    let (status, again) = server.request("POST", &path, Some(json!({"action": "cancel"}))).await;
    assert_eq!((status, &again["code"]), (409, &json!("already_settled")), "{again}");
    assert_eq!((&again["outcome"]["option_id"], &again["decided_by"]), (&allow["option_id"], &json!("user")));

    let ended = server.ended(&task).await;
    assert_eq!((&ended["state"], &ended["execution_path"]), (&json!("completed"), &json!("acp_warm")), "{ended}");
    let pending = server.get(&format!("/api/sessions/{session}/pending")).await;
    assert_eq!((&pending[0]["file_path"], &pending[0]["agent"]), (&json!("made.txt"), &json!("demo")), "{pending}");
    let target = place.path().join("made.txt");
    assert!(!target.exists(), "the checkout is untouched until a human decides");
    let change = pending[0]["id"].as_str().unwrap();
    server.post(&format!("/api/pending/{change}/apply"), json!({})).await;
    assert_eq!(std::fs::read_to_string(target).unwrap().trim_end(), "by an agent");
    server.stop().await;
}

#[tokio::test]
async fn a_message_right_after_a_cancel_is_answered_by_its_own_turn() {
    let place = Place::new();
    let server = place.serve().await;
    let session = server.session(&place).await;
    let mut frames = server.listen(&session, "").await;
    let slow = server.say(&session, "say begun\nsleep 600000").await;
    frames.until_said("begun").await;
    server.post(&format!("/api/tasks/{slow}/cancel"), json!({})).await;
    assert_eq!(server.answer(&session, "say next").await, "next");
    let cancelled = server.ended(&slow).await;
    assert_eq!((&cancelled["state"], &cancelled["outcome"]["decided_by"]), (&json!("cancelled"), &json!("user")));
    let all = server.get(&format!("/api/sessions/{session}/messages")).await;
    let kept: Vec<_> = all.as_array().unwrap().iter().map(|it| (&it["content"], &it["status"])).collect();
    assert!(kept.contains(&(&json!("begun"), &json!("cancelled"))), "what was said is kept: {all}");
    server.stop().await;
}

#[tokio::test]
async fn an_agent_that_crashes_fails_its_turn_and_no_other() {
    let place = Place::new();
    let server = place.serve().await;
    let session = server.session(&place).await;
    let task = server.say(&session, "say nearly\ncrash").await;
    let ended = server.ended(&task).await;
    assert_eq!((&ended["state"], &ended["outcome"]["decided_by"]), (&json!("failed"), &json!("crash")), "{ended}");
    assert_eq!(server.answer(&session, "say back").await, "back");
    server.stop().await;
}

#[tokio::test]
async fn a_task_without_a_chat_runs_in_a_process_of_its_own() {
    let place = Place::new();
    let server = place.serve().await;
    let project = server.post("/api/projects", json!({"path": place.path()})).await;
    let task = json!({"project_id": project["id"], "input": "say alone", "agent": "demo"});
    let (status, made) = server.request("POST", "/api/tasks", Some(task)).await;
    assert_eq!((status, &made["session_id"]), (202, &json!(null)), "{made}");
    let ended = server.ended(made["id"].as_str().unwrap()).await;
    assert_eq!((&ended["execution_path"], &ended["output"]), (&json!("acp"), &json!("alone")), "{ended}");
    let listed = server.get("/api/tasks?state=completed").await;
    assert_eq!(listed[0]["id"], made["id"]);
    server.stop().await;
}

#[tokio::test]
async fn sigterm_ends_everything_and_takes_the_announcement_back() {
    let place = Place::new();
    let server = place.serve().await;
    let session = server.session(&place).await;
    server.answer(&session, "say warm").await;
    let family = process::descendants(server.info.pid);
    assert!(family.len() > 1, "the agent and the database run: {family:?}");
    let mut frames = server.listen(&session, "").await;
    let running = server.say(&session, "sleep 60000").await;
    server.until(&format!("/api/tasks/{running}"), |task| (task["state"] == "running").then_some(())).await;

    server.signal(Signal::TERM);
    assert_eq!(frames.close_code().await, Some(1001));
    let (status, log) = server.gone().await;
    assert!(status.success(), "{status}: {log}");
    assert!(!place.data_dir().join("server.json").exists());
    process::wait_until(LIMIT, "nothing is left running", || family.iter().all(|pid| !process::alive(*pid))).unwrap();
}

#[tokio::test]
async fn an_answer_that_does_not_fit_leaves_the_question_open() {
    let place = Place::new();
    let server = place.serve().await;
    let session = server.session(&place).await;
    let task = server.say(&session, "ask what colour?").await;
    let question = server.question(&session).await;
    let path = format!("/api/interactions/{}", question["id"].as_str().unwrap());
    for wrong in [json!({"action": "accept"}), json!({"action": "accept", "content": {"answer": {"a": 1}}})] {
        let (status, refused) = server.request("POST", &path, Some(wrong)).await;
        assert_eq!(status, 422, "{refused}");
    }
    assert_eq!(server.question(&session).await["id"], question["id"]);
    server.post(&path, json!({"action": "accept", "content": {"answer": "red"}})).await;
    let ended = server.ended(&task).await;
    assert_eq!((&ended["state"], &ended["output"]), (&json!("completed"), &json!("answer: red")), "{ended}");
    server.stop().await;
}

#[tokio::test]
async fn a_forked_chat_goes_on_from_where_it_was_forked() {
    let place = Place::new();
    let server = place.serve().await;
    let session = server.session(&place).await;
    let chat = server.get(&format!("/api/sessions/{session}")).await["chats"][0]["id"].as_str().unwrap().to_owned();
    let fork = |chat: &str| format!("/api/chats/{chat}/fork");
    assert_eq!(server.request("POST", &fork(&chat), None).await.0, 409, "nothing was said yet");
    server.answer(&session, "say the first").await;
    server.answer(&session, "say the second").await;
    let messages = server.get(&format!("/api/sessions/{session}/messages")).await;
    let first = messages[1]["id"].clone();
    let forked = server.post(&fork(&chat), json!({"message_id": first, "title": "Aside"})).await;
    assert_eq!((&forked["forked_from"], &forked["title"]), (&first, &json!("Aside")), "{forked}");
    let aside = forked["id"].as_str().unwrap();
    let again = server.post(&fork(aside), json!({})).await;
    assert_eq!(again["forked_from"], first, "nothing was said in it yet");

    // The agent begins anew and is told what was said up to there, and no more.
    let message = json!({"content": "prompt", "agent": "demo", "chat_id": aside});
    let sent = server.post(&format!("/api/sessions/{session}/messages"), message).await;
    assert_eq!(server.ended(sent["task_id"].as_str().unwrap()).await["state"], "completed");
    let sessions = server.get(&format!("/api/sessions/{session}/agent-sessions")).await;
    let of_fork = sessions.as_array().unwrap().iter().find(|it| it["chat_id"] == aside).unwrap();
    assert_eq!(of_fork["resumed"], "history", "{sessions}");
    let elsewhere = server.request("POST", &fork(aside), Some(json!({"message_id": messages[3]["id"]}))).await;
    assert_eq!(elsewhere.0, 404, "it is in another chat: {}", elsewhere.1);
    server.say(&session, "sleep 600000").await;
    let running = server
        .until(&format!("/api/sessions/{session}/messages?chat_id={chat}"), |all| {
            all.as_array()?.iter().find(|it| it["status"] == "streaming").cloned()
        })
        .await;
    assert_eq!(server.request("POST", &fork(&chat), Some(json!({"message_id": running["id"]}))).await.0, 409);
    server.stop().await;
}

#[tokio::test]
async fn providers_tell_what_an_agent_offered_last() {
    let place = Place::new();
    let server = place.serve().await;
    let demo =
        |list: &serde_json::Value| list.as_array().unwrap().iter().find(|it| it["name"] == "demo").unwrap().clone();
    let before = demo(&server.get("/api/providers").await);
    assert_eq!((&before["modes"], &before["commands"]), (&json!([]), &json!([])));
    let session = server.session(&place).await;
    server.answer(&session, "commands").await;
    let after = demo(&server.get("/api/providers").await);
    for field in ["modes", "models", "commands"] {
        assert!(!after[field].as_array().unwrap().is_empty(), "{field}: {after}");
    }
    let mode = after["modes"][0]["id"].clone();
    let message = json!({"content": "say hello", "agent": "demo", "mode_id": mode});
    let sent = server.post(&format!("/api/sessions/{session}/messages"), message).await;
    assert_eq!(server.ended(sent["task_id"].as_str().unwrap()).await["state"], "completed");
    server.stop().await;
}

#[tokio::test]
async fn work_that_was_applied_is_not_at_risk_and_a_removed_session_lets_its_clients_go() {
    let place = Place::new();
    let server = place.serve().await;
    let session = server.session(&place).await;
    let message = json!({"content": "write kept.txt words", "agent": "demo", "approval": "auto"});
    let sent = server.post(&format!("/api/sessions/{session}/messages"), message).await;
    server.ended(sent["task_id"].as_str().unwrap()).await;
    let (status, risk) = server.request("DELETE", &format!("/api/sessions/{session}"), None).await;
    assert_eq!((status, &risk["pending"]), (409, &json!(1)), "{risk}");
    let pending = server.get(&format!("/api/sessions/{session}/pending")).await;
    server.post(&format!("/api/pending/{}/apply", pending[0]["id"].as_str().unwrap()), json!({})).await;
    let risk = server.get(&format!("/api/sessions/{session}/worktree-risk")).await;
    assert_eq!(risk, json!({"uncommitted": 0, "unmerged": 0, "pending": 0}));
    let mut frames = server.listen(&session, "").await;
    assert_eq!(server.request("DELETE", &format!("/api/sessions/{session}"), None).await.0, 204);
    assert_eq!(frames.close_code().await, Some(1000));
    assert_eq!(std::fs::read_to_string(place.path().join("kept.txt")).unwrap().trim_end(), "words");
    server.stop().await;
}

#[tokio::test]
async fn a_task_without_a_session_shows_what_it_changed() {
    let place = Place::new();
    let server = place.serve().await;
    let project = server.post("/api/projects", json!({"path": place.path()})).await;
    let task = json!({"project_id": project["id"], "input": "write t.txt x", "agent": "demo", "approval": "auto"});
    let made = server.post("/api/tasks", task).await;
    let task = made["id"].as_str().unwrap();
    server.ended(task).await;
    let pending = server.get(&format!("/api/tasks/{task}/pending")).await;
    assert_eq!((&pending[0]["file_path"], &pending[0]["status"]), (&json!("t.txt"), &json!("pending")), "{pending}");
    server.post(&format!("/api/pending/{}/apply", pending[0]["id"].as_str().unwrap()), json!({})).await;
    assert!(place.path().join("t.txt").exists());
    server.stop().await;
}

#[tokio::test]
async fn two_chats_of_one_session_keep_their_edits_apart() {
    let place = Place::new();
    let server = place.serve().await;
    let session = server.session(&place).await;
    let chat = server.post(&format!("/api/sessions/{session}/chats"), json!({})).await;
    let auto = |content: &str, chat: Option<&serde_json::Value>| {
        let mut message = json!({"content": content, "agent": "demo", "approval": "auto"});
        if let Some(chat) = chat {
            message["chat_id"] = chat["id"].clone();
        }
        message
    };
    let path = format!("/api/sessions/{session}/messages");
    let long = server.post(&path, auto("write first.txt a\nsleep 3000\nwrite third.txt a", None)).await;
    let listed = |rows: &serde_json::Value| rows.as_array().unwrap().len();
    let worktree = place.data_dir().join("worktrees").join(format!("session-{session}")).join("first.txt");
    process::wait_until(LIMIT, "the first file is there", || worktree.exists()).unwrap();
    let short = server.post(&path, auto("write second.txt b", Some(&chat))).await;
    server.ended(short["task_id"].as_str().unwrap()).await;
    let pending = server.get(&format!("/api/sessions/{session}/pending")).await;
    assert_eq!((listed(&pending), &pending[0]["file_path"]), (1, &json!("second.txt")), "only its own: {pending}");
    server.ended(long["task_id"].as_str().unwrap()).await;
    let pending = server.get(&format!("/api/sessions/{session}/pending")).await;
    let of =
        |task: &serde_json::Value| pending.as_array().unwrap().iter().filter(|row| row["task_id"] == *task).count();
    assert_eq!((of(&short["task_id"]), of(&long["task_id"])), (1, 2), "{pending}");
    server.stop().await;
}

#[tokio::test]
async fn a_message_that_races_the_removal_of_its_session_is_refused_or_stopped() {
    let place = Place::new();
    let server = place.serve().await;
    for pause in [0, 1, 3, 10, 30] {
        let session = server.session(&place).await;
        server.answer(&session, "say warm").await;
        let remove = async { server.request("DELETE", &format!("/api/sessions/{session}?force=true"), None).await.0 };
        let message = json!({"content": "say too late", "agent": "demo"});
        let send = async {
            tokio::time::sleep(std::time::Duration::from_millis(pause)).await;
            server.request("POST", &format!("/api/sessions/{session}/messages"), Some(message)).await
        };
        let (_, (status, sent)) = tokio::join!(remove, send);
        if status == 202 {
            server.ended(sent["task_id"].as_str().unwrap()).await;
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn a_change_is_applied_or_rejected_and_never_both() {
    let place = Place::new();
    let server = place.serve().await;
    let session = server.session(&place).await;
    let message = json!({"content": "write contested.txt x", "agent": "demo", "approval": "auto"});
    let sent = server.post(&format!("/api/sessions/{session}/messages"), message).await;
    server.ended(sent["task_id"].as_str().unwrap()).await;
    let pending = server.get(&format!("/api/sessions/{session}/pending")).await;
    let change = pending[0]["id"].as_str().unwrap();
    let decide = async |decision: &str| {
        server.request("POST", &format!("/api/pending/{change}/{decision}"), Some(json!({}))).await.0
    };
    let (applied, rejected) = tokio::join!(decide("apply"), decide("reject"));
    assert!((applied == 200) != (rejected == 200), "apply {applied}, reject {rejected}");
    assert_eq!(place.path().join("contested.txt").exists(), applied == 200);
    server.stop().await;
}

#[tokio::test]
async fn a_session_whose_worktree_was_taken_away_can_be_removed() {
    let place = Place::new();
    let server = place.serve().await;
    let session = server.session(&place).await;
    server.answer(&session, "say here").await;
    let worktree = place.data_dir().join("worktrees").join(format!("session-{session}"));
    std::fs::remove_dir_all(worktree).unwrap();
    let risk = server.get(&format!("/api/sessions/{session}/worktree-risk")).await;
    assert_eq!(risk["uncommitted"], 0);
    assert_eq!(server.request("DELETE", &format!("/api/sessions/{session}"), None).await.0, 204);
    server.stop().await;
}
