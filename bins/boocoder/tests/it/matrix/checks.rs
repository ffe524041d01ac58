//! What has to be so after a kill.

use serde_json::{Value, json};

use super::round::Round;
use super::step::Expect;
use crate::watcher::replay;

/// What was said in the answer of a task.
pub(super) fn said(frames: &[Value], task: &str) -> String {
    let of_task = |frame: &&Value| frame["type"] == "delta" && frame["task_id"] == task;
    frames.iter().filter(of_task).map(|frame| frame["content"].as_str().expect("text")).collect()
}

/// The change that a turn has made of its log.
pub(super) async fn change(round: &Round) -> String {
    let pending = round.client.get(&format!("/api/sessions/{}/pending", round.session)).await;
    let of_log = |change: &&Value| change["file_path"] == *round.script.log;
    let found: Vec<&Value> = pending.as_array().expect("a list").iter().filter(of_log).collect();
    assert_eq!(found.len(), 1, "one change of the log: {pending}");
    found[0]["id"].as_str().expect("an id").to_owned()
}

/// The turn ended as it has to, and an answer that is whole is the right one.
pub(super) fn outcome(round: &Round, task: &Value) {
    let completed = task["state"] == "completed";
    let crashed = task["state"] == "failed" && task["outcome"]["decided_by"] == "crash";
    let right = match round.expect {
        Expect::TurnGoesOn => completed,
        Expect::TurnCrashes => crashed,
        Expect::Either => completed || crashed,
    };
    assert!(right, "{:?}, but {}: {}", round.expect, task["state"], task["outcome"]);
}

/// No frame is lost, doubled or changed: what the client pieced together is what a replay shows.
pub(super) async fn frames(round: &Round, count: usize) {
    round.watcher.look(|seen| assert!(seen.wrong.is_empty(), "the client saw: {:?}", seen.wrong));
    let again = replay(&round.client, &round.session, count, |frame| frame).await;
    assert!(again.wrong.is_empty(), "a replay shows: {:?}", again.wrong);
    round.watcher.look(|seen| {
        for (live, later) in seen.frames.iter().zip(&again.frames) {
            assert_eq!(live, later, "what a client saw is what a replay shows");
        }
    });
    let count_of = |kind: &str, key: &str, id: &str| {
        let is_it = |frame: &&Value| frame["type"] == kind && frame[key] == id;
        again.frames.iter().filter(is_it).count()
    };
    for begun in again.frames.iter().filter(|frame| frame["type"] == "message_started") {
        let id = begun["message_id"].as_str().expect("an id");
        assert_eq!(count_of("message_started", "message_id", id), 1, "a message begins once");
    }
    for asked in again.frames.iter().filter(|frame| frame["type"] == "interaction_requested") {
        let id = asked["interaction"]["id"].as_str().expect("an id");
        assert_eq!(count_of("interaction_resolved", "id", id), 1, "a question is settled once");
    }
    let ends = |frame: &&Value| frame["type"] == "task_updated" && frame["task_id"] == *round.task;
    let ends = again.frames.iter().filter(ends).filter(|frame| !frame["outcome"].is_null()).count();
    assert_eq!(ends, 1, "a task ends once");
}

/// Every message is there once, and what an agent's holds is what its frames said.
pub(super) async fn messages(round: &Round, task: &Value) {
    let all = round.client.get(&format!("/api/sessions/{}/messages", round.session)).await;
    let of = |task: &str, role: &str| -> Vec<Value> {
        let messages = all.as_array().expect("a list").iter();
        messages.filter(|message| message["task_id"] == task && message["role"] == role).cloned().collect()
    };
    let tasks = std::iter::once(&round.task).chain(round.second.as_ref().map(|(task, _)| task));
    for task in tasks {
        assert_eq!(of(task, "user").len(), 1, "a message is kept once: {all}");
        let answers = of(task, "assistant");
        assert!(answers.len() <= 1, "it is answered once: {all}");
        let content = answers.first().map_or("", |answer| answer["content"].as_str().expect("text"));
        round.watcher.look(|seen| assert_eq!(content, said(&seen.frames, task), "the message is what its frames say"));
    }
    assert_eq!(of(&round.task, "user")[0]["content"], round.script.prompt);
    let answers = of(&round.task, "assistant");
    let content = answers.first().map_or("", |answer| answer["content"].as_str().expect("text"));
    if task["state"] == "completed" {
        assert_eq!(content, round.script.answer, "the answer is whole");
        assert_eq!(answers[0]["status"], "complete");
    } else {
        assert!(round.script.answer.starts_with(content), "nothing is missing in between: {content:?}");
    }
}

/// What the turn did outside, it did once.
pub(super) async fn effects(round: &Round, task: &Value) {
    let read = |name: &str| std::fs::read_to_string(round.worktree.join(name)).unwrap_or_default();
    let lines = read(&round.script.log).lines().count();
    let completed = task["state"] == "completed";
    assert!(lines == 1 || (lines == 0 && !completed), "the command ran {lines} times, and the turn {task}");
    if !completed {
        return;
    }
    let asked = round.script.prompt.contains(&round.script.made);
    let words = if asked && round.option == "allow_once" { "words of" } else { "" };
    assert!(read(&round.script.made).starts_with(words), "what was allowed was written");
    assert_eq!(read(&round.script.made).is_empty(), words.is_empty(), "what was not allowed was not");
}

/// What was acknowledged stands: the answer as it was given, the change in the checkout.
pub(super) async fn decisions(round: &Round) {
    if let Some(question) = &round.answered {
        let path = format!("/api/interactions/{question}");
        let (status, settled) = round.client.call("POST", &path, Some(json!({"action": "cancel"}))).await;
        assert_eq!(status, 409, "{settled}");
        let stands = (&settled["outcome"]["option_id"], &settled["decided_by"]);
        assert_eq!(stands, (&json!(round.option), &json!("user")));
        round.watcher.look(|seen| {
            let resolved = seen.frames.iter().find(|frame| frame["type"] == "interaction_resolved");
            let resolved = resolved.expect("a frame says that it was settled");
            assert_eq!(resolved["outcome"]["option_id"], round.option, "{resolved}");
        });
    }
    let log = std::fs::read_to_string(round.worktree.join(&round.script.log)).unwrap_or_default();
    if log.is_empty() {
        return;
    }
    // Applying again what is applied changes nothing.
    let change = change(round).await;
    let applied = round.client.post(&format!("/api/pending/{change}/apply"), json!({})).await;
    assert_eq!(applied["status"], "applied", "{applied}");
    let project = round.client.get(&format!("/api/sessions/{}", round.session)).await["project_id"].clone();
    let projects = round.client.get("/api/projects").await;
    let project = projects.as_array().expect("a list").iter().find(|it| it["id"] == project).expect("the project");
    let path = std::path::Path::new(project["path"].as_str().expect("a path")).join(&round.script.log);
    assert_eq!(std::fs::read_to_string(path).unwrap_or_default(), log, "it is in the checkout, once");
}
