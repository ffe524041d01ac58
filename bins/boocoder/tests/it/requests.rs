//! What is answered to requests that cannot be carried out, and the plain ones that can.

use std::time::Duration;

use boocoder::limits::ServerLimits;
use serde_json::{Value, json};

use crate::memory::Memory;

const NOBODY: &str = "0193a2b4-0000-7000-8000-000000000000";

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let server = Memory::start().await;
    for id in [NOBODY, "7", "not-an-id", "%00", "'; drop table sessions"] {
        let id = id.replace(' ', "%20");
        for (method, path, what) in [
            ("GET", format!("/api/sessions/{id}"), "session"),
            ("DELETE", format!("/api/sessions/{id}"), "session"),
            ("GET", format!("/api/sessions/{id}/messages"), "session"),
            ("GET", format!("/api/sessions/{id}/agent-sessions"), "session"),
            ("GET", format!("/api/sessions/{id}/pending"), "session"),
            ("GET", format!("/api/sessions/{id}/worktree-risk"), "session"),
            ("POST", format!("/api/sessions/{id}/chats"), "session"),
            ("DELETE", format!("/api/chats/{id}"), "chat"),
            ("GET", format!("/api/tasks/{id}"), "task"),
            ("POST", format!("/api/tasks/{id}/cancel"), "task"),
            ("POST", format!("/api/pending/{id}/apply"), "pending change"),
            ("POST", format!("/api/pending/{id}/reject"), "pending change"),
            ("POST", format!("/api/pending/{id}/revert"), "pending change"),
            ("POST", format!("/api/pending/{id}/rebase"), "pending change"),
            ("GET", format!("/api/pending/{id}"), "pending change"),
            ("POST", format!("/api/sessions/{id}/pending/apply"), "session"),
            ("GET", format!("/api/sessions/{id}/turns"), "session"),
            ("GET", format!("/api/sessions/{id}/diff"), "session"),
            ("GET", format!("/api/sessions/{id}/export"), "session"),
        ] {
            let answer = server.answer(server.request(method, &path)).await;
            let expected =
                json!({"error": format!("{what} not found"), "code": format!("{}_not_found", what.replace(' ', "_"))});
            assert_eq!((answer.status, answer.json), (404, expected), "{method} {path}");
        }
        let answer = server.post(&format!("/api/interactions/{id}"), json!({"option_id": "yes"})).await;
        assert_eq!((answer.status, answer.json["error"].as_str()), (404, Some("interaction not found")), "{id}");
        let message = json!({"content": "hi", "agent": "demo"});
        let answer = server.post(&format!("/api/sessions/{id}/messages"), message).await;
        assert_eq!((answer.status, answer.json["error"].as_str()), (404, Some("session not found")), "{id}");
        let file = json!({"file_path": "a", "content": "b"});
        let answer = server.post(&format!("/api/sessions/{id}/pending"), file).await;
        assert_eq!((answer.status, answer.json["error"].as_str()), (404, Some("session not found")), "{id}");
    }
}

#[tokio::test]
async fn routes_and_methods_that_there_are_not() {
    let server = Memory::start().await;
    for (method, path, status, code) in [
        ("GET", "/api", 404, "not_found"),
        ("GET", "/api/session", 404, "not_found"),
        ("GET", "/favicon.ico", 404, "not_found"),
        ("PUT", "/api/projects", 405, "method_not_allowed"),
        ("DELETE", "/api/projects", 405, "method_not_allowed"),
        ("POST", "/api/providers", 405, "method_not_allowed"),
        ("GET", "/api/tasks/x/cancel", 405, "method_not_allowed"),
        ("PATCH", "/api/sessions/x/ws", 405, "method_not_allowed"),
        ("GET", "/api/sessions/x/ws", 426, "upgrade_required"),
    ] {
        let answer = server.answer(server.request(method, path)).await;
        assert_eq!((answer.status, &answer.json["code"]), (status, &code.into()), "{method} {path}: {answer:?}");
        assert!(answer.json["error"].is_string(), "{method} {path}: {answer:?}");
    }
}

#[tokio::test]
async fn bodies_that_cannot_be_read_or_do_not_fit() {
    let server = Memory::start().await;
    let session = server.session().await;
    let messages = format!("/api/sessions/{session}/messages");
    for (path, body, status, code) in [
        ("/api/projects", "", 400, "invalid_json"),
        ("/api/projects", "{", 400, "invalid_json"),
        ("/api/projects", "not json", 400, "invalid_json"),
        ("/api/projects", "\u{0}", 400, "invalid_json"),
        ("/api/projects", "[]", 422, "invalid_body"),
        ("/api/projects", "{}", 422, "invalid_body"),
        ("/api/projects", r#"{"path":5}"#, 422, "invalid_body"),
        ("/api/projects", r#"{"path":"/","pth":1}"#, 422, "invalid_body"),
        ("/api/projects", r#"{"path":"relative"}"#, 422, "relative_path"),
        ("/api/projects", r#"{"path":"/nonexistent/place"}"#, 422, "not_a_repository"),
        ("/api/projects", r#"{"path":"/"}"#, 422, "not_a_repository"),
        ("/api/projects", r#"{"path":"/tmp/\u0000"}"#, 422, "not_a_repository"),
        ("/api/projects", &json!({"path": format!("/{}", "x".repeat(300))}).to_string(), 422, "not_a_repository"),
        ("/api/projects", &json!({"path": "/x".repeat(5000)}).to_string(), 422, "not_a_repository"),
        ("/api/sessions", r#"{"project_id":"7"}"#, 422, "invalid_body"),
        (&messages, r#"{"content":"hi"}"#, 422, "invalid_body"),
        (&messages, r#"{"content":"hi","agent":"nobody"}"#, 422, "unknown_agent"),
        (&messages, r#"{"content":"hi","agent":"goose"}"#, 422, "agent_disabled"),
        (&messages, r#"{"content":"hi","agent":"demo","approval":"yes"}"#, 422, "invalid_body"),
    ] {
        let answer = server.answer(server.request("POST", path).body(body)).await;
        assert_eq!((answer.status, &answer.json["code"]), (status, &code.into()), "{path} {body:?}: {answer:?}");
    }
    let unknown = json!({"project_id": NOBODY});
    assert_eq!(server.post("/api/sessions", unknown).await.json["error"], "project not found");
}

#[tokio::test]
async fn a_body_has_a_limit_whether_or_not_it_says_its_length() {
    let server = Memory::with(ServerLimits { body_bytes: 100, ..ServerLimits::default() }).await;
    let body = json!({"path": "x".repeat(100)}).to_string();
    let answer = server.answer(server.request("POST", "/api/projects").body(&body)).await;
    assert_eq!((answer.status, &answer.json["code"]), (413, &"too_large".into()));
    let fits = json!({"path": "x".repeat(80)}).to_string();
    let answer = server.answer(server.request("POST", "/api/projects").body(&fits)).await;
    assert_eq!(answer.json["code"], "relative_path", "{answer:?}");
}

#[tokio::test]
async fn queries_that_cannot_be_read() {
    let server = Memory::start().await;
    let session = server.session().await;
    for path in [
        format!("/api/sessions/{session}/messages?chat_id=7"),
        "/api/interactions?session_id=x".to_owned(),
        "/api/tasks?state=paused".to_owned(),
        "/api/tasks?limit=-1".to_owned(),
        "/api/tasks?session_id=x".to_owned(),
        "/api/providers?project_id=x".to_owned(),
    ] {
        let answer = server.get(&path).await;
        assert_eq!((answer.status, &answer.json["code"]), (400, &"invalid_query".into()), "{path}: {answer:?}");
    }
    let answer = server.delete(&format!("/api/sessions/{session}?force=perhaps")).await;
    assert_eq!((answer.status, &answer.json["code"]), (400, &"invalid_query".into()), "{answer:?}");
    for (switch, status) in [("0", 404), ("false", 404), ("1", 404), ("true", 404), ("2", 400), ("", 400)] {
        let answer = server.delete(&format!("/api/sessions/{NOBODY}?force={switch}")).await;
        assert_eq!(answer.status, status, "{switch:?}: {answer:?}");
    }
    let other = server.get(&format!("/api/sessions/{session}/messages?chat_id={NOBODY}")).await;
    assert_eq!((other.status, &other.json["error"]), (404, &"chat not found".into()));
}

#[tokio::test]
async fn projects_sessions_and_chats() {
    let server = Memory::start().await;
    let path = server.repo.path();
    let project = server.made("/api/projects", json!({"path": path, "name": "sample"})).await;
    let again = server.made("/api/projects", json!({"path": path.join("src")})).await;
    assert_eq!((&project["name"], &again["id"]), (&"sample".into(), &project["id"]), "one repository is one project");
    assert_eq!(server.get("/api/projects").await.json, json!([project]));

    let made = server.post("/api/sessions", json!({"project_id": project["id"], "title": "Work"})).await;
    assert_eq!((made.status, &made.json["title"]), (201, &"Work".into()));
    assert_eq!(made.json["chats"].as_array().unwrap().len(), 1);
    let session = made.json["id"].as_str().unwrap();
    let chat = server.made(&format!("/api/sessions/{session}/chats"), json!({"title": "Aside"})).await;
    assert_eq!(chat["session_id"], session);
    let bare = server.answer(server.request("POST", &format!("/api/sessions/{session}/chats"))).await;
    assert_eq!(bare.status, 201, "a chat needs no title, and so no body: {bare:?}");

    let listed = server.get("/api/sessions").await.json;
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert_eq!(listed[0], server.get(&format!("/api/sessions/{session}")).await.json);
    assert_eq!(listed[0]["chats"].as_array().unwrap().len(), 3);
    assert_eq!(listed[0]["chats"][1], chat);

    assert_eq!(server.delete(&format!("/api/chats/{}", chat["id"].as_str().unwrap())).await.status, 204);
    let left = server.get(&format!("/api/sessions/{session}")).await.json;
    assert_eq!(left["chats"].as_array().unwrap().len(), 2);

    for list in ["messages", "agent-sessions", "pending"] {
        assert_eq!(server.get(&format!("/api/sessions/{session}/{list}")).await.json, json!([]), "{list}");
    }
    let risk = server.get(&format!("/api/sessions/{session}/worktree-risk")).await.json;
    assert_eq!(risk, json!({"uncommitted": 0, "unmerged": 0, "pending": 0}));
    assert_eq!(server.delete(&format!("/api/sessions/{session}")).await.status, 204);
    assert_eq!(server.get(&format!("/api/sessions/{session}")).await.status, 404);
}

#[tokio::test]
async fn a_humans_own_change_waits_is_applied_and_is_taken_back() {
    let server = Memory::start().await;
    let session = server.session().await;
    let path = format!("/api/sessions/{session}/pending");
    let file = json!({"file_path": "notes/new.txt", "content": "hello\n"});
    let made = server.post(&path, file).await;
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!((&made.json["agent"], &made.json["operation"]), (&Value::Null, &"create".into()));
    assert!(made.json["diff"].as_str().unwrap().contains("+hello"));
    let id = made.json["id"].as_str().unwrap();

    let risky = server.delete(&format!("/api/sessions/{session}")).await;
    assert_eq!((risky.status, &risky.json["code"], &risky.json["pending"]), (409, &"at_risk".into(), &1.into()));
    assert!(risky.json["error"].is_string() && risky.json["uncommitted"].is_u64(), "{risky:?}");

    let hunks = server.post(&format!("/api/pending/{id}/apply"), json!({"hunks": [NOBODY]})).await;
    assert_eq!((hunks.status, &hunks.json["code"]), (404, &"hunk_not_found".into()));
    let target = server.repo.path().join("notes/new.txt");
    assert!(!target.exists(), "nothing is written before a human decides");

    let applied = server.answer(server.request("POST", &format!("/api/pending/{id}/apply"))).await;
    assert_eq!((applied.status, &applied.json["status"]), (200, &"applied".into()), "{applied:?}");
    assert_eq!(std::fs::read_to_string(&target).unwrap(), "hello\n");
    let twice = server.post(&format!("/api/pending/{id}/apply"), json!({})).await;
    assert_eq!((twice.status, &twice.json), (200, &applied.json), "a request that is repeated does no harm");
    let otherwise = server.post(&format!("/api/pending/{id}/reject"), json!({})).await;
    assert_eq!((otherwise.status, &otherwise.json["code"]), (409, &"conflict".into()), "{otherwise:?}");
    let reverted = server.post(&format!("/api/pending/{id}/revert"), json!({"hunks": []})).await;
    assert_eq!((reverted.status, &reverted.json["status"]), (200, &"reverted".into()), "{reverted:?}");
    assert!(!target.exists());

    for evil in ["../outside.txt", "/etc/passwd", ".git/hooks/x", ""] {
        let refused = server.post(&path, json!({"file_path": evil, "content": "x"})).await;
        assert_eq!(refused.status, 422, "{evil:?}: {refused:?}");
    }
}

#[tokio::test]
async fn a_name_that_no_file_can_have_is_the_callers_mistake() {
    let server = Memory::start().await;
    let session = server.session().await;
    let file = json!({"file_path": format!("src/{}", "x".repeat(300)), "content": "x"});
    let queued = server.post(&format!("/api/sessions/{session}/pending"), file).await;
    // No directory is asked until something is written, so that the name is accepted until then.
    let applied = match queued.json["id"].as_str() {
        Some(id) => server.post(&format!("/api/pending/{id}/apply"), json!({})).await,
        None => queued,
    };
    assert_eq!((applied.status, &applied.json["code"]), (422, &"name_too_long".into()), "{applied:?}");
}

#[tokio::test]
async fn providers_tell_what_is_found() {
    let server = Memory::start().await;
    let providers = server.get("/api/providers").await.json;
    let of = |name: &str| {
        let found = providers.as_array().unwrap().iter().find(|provider| provider["name"] == name);
        found.unwrap_or_else(|| panic!("{name} is known: {providers}")).clone()
    };
    assert_eq!((&of("demo")["status"], &of("demo")["enabled"]), (&"ready".into(), &true.into()));
    assert_eq!(of("goose")["enabled"], false);
    assert_eq!(of("absent")["status"], "unavailable");
    assert!(of("absent")["reason"].as_str().unwrap().contains("/nonexistent/agent"));
    for field in ["models", "modes", "thinking_options", "commands"] {
        assert!(of("demo")[field].is_array(), "{field}");
    }
    assert!(of("goose")["hint"].as_str().unwrap().contains("enabled = true"));
    assert!(of("demo")["hint"].is_null());
    assert_eq!(server.get(&format!("/api/providers?project_id={NOBODY}")).await.status, 404);
    let project = server.made("/api/projects", json!({"path": server.repo.path()})).await;
    let of_project = format!("/api/providers?project_id={}", project["id"].as_str().unwrap());
    assert_eq!(server.get(&of_project).await.status, 200);
}

#[tokio::test]
async fn what_is_said_during_a_shutdown_is_kept_for_the_next_start() {
    let server = Memory::start().await;
    let session = server.session().await;
    server.dispatcher.shutdown().await;
    let message = json!({"content": "hi", "agent": "demo"});
    let kept = server.made(&format!("/api/sessions/{session}/messages"), message).await;
    let task = server.get(&format!("/api/tasks/{}", kept["task_id"].as_str().unwrap())).await.json;
    assert_eq!((&task["state"], &task["started_at"]), (&"queued".into(), &Value::Null), "{task}");
}

#[tokio::test]
async fn the_same_request_again_gives_the_same_answer() {
    let server = Memory::start().await;
    let session = server.session().await;
    let path = format!("/api/sessions/{session}/messages");
    let message = json!({"content": "say once", "agent": "demo", "request_id": "r1"});
    let first = server.post(&path, message.clone()).await;
    assert_eq!(first.status, 202);
    assert_eq!(server.made(&path, message).await, first.json);

    let task = format!("/api/tasks/{}", first.json["task_id"].as_str().unwrap());
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    let ended = loop {
        let task = server.get(&task).await.json;
        if task["state"] == "completed" || tokio::time::Instant::now() > deadline {
            break task;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!((&ended["state"], &ended["output"]), (&"completed".into(), &"once".into()), "{ended}");
    let messages = server.get(&path).await.json;
    let said: Vec<_> =
        messages.as_array().unwrap().iter().map(|it| (it["role"].clone(), it["content"].clone())).collect();
    assert_eq!(said, [("user".into(), "say once".into()), ("assistant".into(), "once".into())]);
    server.dispatcher.shutdown().await;
}
