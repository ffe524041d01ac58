//! Every answer as clients receive it.

use boocoder_model as model;
use boocoder_model::{HunkId, PendingId, ProjectId, TurnOutcome};
use boocoder_wire::Problem;
use boocoder_wire::http::{AgentSession, Message, PendingChange, Project, Risk, Session, Task};
use insta::assert_snapshot;
use serde::Serialize;
use serde_json::json;

use crate::{CHAT, MESSAGE, SESSION, TASK, agent, at, tool_call, uuid};

/// As the server writes it, only on several lines.
fn pretty(body: &impl Serialize) -> String {
    serde_json::to_string_pretty(body).expect("bodies can be written")
}

const PROJECT: ProjectId = ProjectId::from_uuid(uuid(6));

#[test]
fn a_problem_is_a_message_and_a_code() {
    let plain = Problem::new("not_found", "session not found");
    assert_eq!(serde_json::to_value(&plain).unwrap(), json!({"error": "session not found", "code": "not_found"}));

    let risk = plain.clone().with_risk(Risk { uncommitted: 1, unmerged: 2, pending: 3 });
    let settled =
        plain.clone().with_settlement(model::InteractionOutcome::Selected("yes".into()), model::DecidedBy::User);
    assert_eq!(
        serde_json::to_value(&risk).unwrap(),
        json!({"error": "session not found", "code": "not_found", "uncommitted": 1, "unmerged": 2, "pending": 3})
    );
    assert_eq!(
        serde_json::to_value(&settled).unwrap(),
        json!({"error": "session not found", "code": "not_found", "decided_by": "user",
            "outcome": {"action": "selected", "option_id": "yes"}})
    );
    for problem in [plain, risk, settled] {
        let text = serde_json::to_string(&problem).unwrap();
        assert_eq!(serde_json::from_str::<Problem>(&text).unwrap(), problem, "{text}");
    }
}

#[test]
fn places_of_work() {
    let project = model::Project { id: PROJECT, name: "it".into(), path: "/srv/it".into(), created_at: at(0) };
    let session = model::Session { id: SESSION, project_id: PROJECT, title: "New".into(), created_at: at(1) };
    let chat =
        model::Chat { id: CHAT, session_id: SESSION, title: "Chat 1".into(), forked_from: None, created_at: at(2) };
    assert_snapshot!(pretty(&(Project::from(project), Session::new(session, vec![chat]))));
}

#[test]
fn a_task_before_and_after() {
    let queued = model::Task {
        id: TASK,
        project_id: PROJECT,
        session_id: None,
        chat_id: None,
        agent: agent(),
        input: vec![model::ContentPart::Text("go".into())],
        model: None,
        mode_id: None,
        thinking_option_id: None,
        approval: model::Approval::Ask,
        cancel_requested: None,
        state: model::TaskState::Queued,
        execution_path: None,
        outcome: None,
        output_summary: None,
        cost_tokens: None,
        created_at: at(0),
        started_at: None,
        ended_at: None,
    };
    let mut ended = queued.clone();
    ended.state = model::TaskState::Failed;
    ended.execution_path = Some(model::ExecutionPath::AcpWarm);
    ended.outcome = Some(TurnOutcome::failed(model::DecidedBy::Crash, "the agent exited"));
    ended.ended_at = Some(at(9));
    assert_snapshot!(pretty(&(Task::from(queued), Task { output: Some("so far".into()), ..Task::from(ended) })));
}

#[test]
fn a_message_and_its_agent() {
    let message = model::Message {
        id: MESSAGE,
        chat_id: Some(CHAT),
        session_id: Some(SESSION),
        task_id: TASK,
        role: model::MessageRole::Assistant,
        agent: agent(),
        content: "done".into(),
        attachments: vec![],
        reasoning: "hm".into(),
        tool_calls: vec![tool_call()],
        status: model::MessageStatus::Cancelled,
        error: None,
        created_at: at(0),
        finished_at: Some(at(1)),
    };
    let session = model::AgentSession {
        chat_id: CHAT,
        agent: agent(),
        backend: model::ExecutionPath::AcpWarm,
        native_id: Some("native-1".into()),
        status: model::AgentSessionStatus::Idle,
        resumed: Some(model::Resumed::Native),
        config_fingerprint: None,
        last_active_at: Some(at(1)),
    };
    let used = model::StepUsage { input: 3, output: 4, cost: model::Cost::usd(0.5) }.into();
    assert_snapshot!(pretty(&(Message::from(message), AgentSession::new(session, &used))));
}

#[test]
fn a_pending_change_tells_whose_it_is() {
    let change = model::PendingChange {
        id: PendingId::from_uuid(uuid(7)),
        session_id: Some(SESSION),
        task_id: Some(TASK),
        worktree_id: None,
        file_path: "a.txt".into(),
        old_path: None,
        operation: model::Operation::Edit,
        status: model::PendingStatus::Pending,
        agent: Some(agent()),
        base: Some(model::BlobRef { blob: "aa".into(), mode: "100644".into() }),
        target: Some(model::BlobRef { blob: "bb".into(), mode: "100755".into() }),
        diff: "@@ -1 +1 @@\n-a\n+b\n".into(),
        hunks: vec![model::Hunk {
            id: HunkId::from_uuid(uuid(8)),
            old_start: 1,
            old_lines: 1,
            new_start: 1,
            new_lines: 1,
            diff: "@@ -1 +1 @@\n-a\n+b\n".into(),
            status: model::PendingStatus::Pending,
            agent: None,
            task_id: Some(TASK),
            tool_call_id: Some("call-1".into()),
        }],
        revision: 1,
        decisions: vec![model::PendingDecision {
            kind: model::PendingDecisionKind::Reject,
            hunks: vec![HunkId::from_uuid(uuid(8))],
            decided_by: model::DecidedBy::User,
            at: at(2),
            against: "0123456789abcdef0123456789abcdef01234567".into(),
            before: None,
            after: None,
        }],
        created_at: at(0),
    };
    assert_snapshot!(pretty(&PendingChange::from(change)));
}
