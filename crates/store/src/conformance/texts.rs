//! Text that databases and JSON like to spoil.

use boocoder_model::{
    AgentSessionId, BlobRef, Chat, ContentPart, DecidedBy, Interaction, InteractionOutcome, Location, Message,
    PermissionKind, PermissionOption, Project, Question, RawJson, Session, Task, ToolCallId, ToolCallSnapshot,
    ToolContent, ToolKind, ToolStatus, TurnOutcome,
};

use super::sample::{self, World, add, at, interaction, message, put, turn};
use super::write;
use crate::{Change, Store, StoredFrame, WriteBatch};

/// U+0000, quotes, line ends, escapes that are none, and characters beyond the basic plane.
const ODD: &str = "nul \0 quote \" slash \\u0000 \r\n\t tea \u{1f375} \u{2028} \u{7f} \u{feff}";

fn odd() -> String {
    ODD.to_owned()
}

/// JSON whose spelling matters: key order, a key twice, numbers beyond 64 bits, escapes, and spaces.
fn raw() -> RawJson {
    RawJson::new(
        " {\"z\":1,\"a\":{\"\\u0000\":\"\\u0000\\ud83c\"},\"z\":1.10e+2, \"n\":123456789012345678901234567890}",
    )
}

fn parts() -> Vec<ContentPart> {
    vec![
        ContentPart::Text(odd()),
        ContentPart::Image { mime_type: "image/png".into(), data: "aGk=".into(), uri: Some(odd()) },
        ContentPart::Audio { mime_type: "audio/wav".into(), data: "aGk=".into() },
        ContentPart::ResourceLink { uri: odd(), name: odd(), mime_type: None },
        ContentPart::Resource { uri: odd(), mime_type: Some(odd()), text: odd() },
        ContentPart::ResourceBlob { uri: odd(), mime_type: None, blob: "aGk=".into() },
        ContentPart::Unknown(raw()),
        ContentPart::Unknown(RawJson::new("no JSON at all \0")),
        ContentPart::Unknown(RawJson::new("[".repeat(20_000) + &"]".repeat(20_000))),
    ]
}

fn tool_call(kind: ToolKind, status: ToolStatus) -> ToolCallSnapshot {
    let mut content: Vec<_> = parts().into_iter().map(ToolContent::Part).collect();
    content.push(ToolContent::Diff { path: odd(), old_text: Some(odd()), new_text: odd() });
    content.push(ToolContent::Diff { path: odd(), old_text: None, new_text: odd() });
    content.push(ToolContent::Terminal { id: odd() });
    content.push(ToolContent::Unknown(raw()));
    ToolCallSnapshot {
        id: ToolCallId::from(ODD),
        title: odd(),
        kind,
        status,
        input: Some(raw()),
        output: Some(raw()),
        locations: vec![Location { path: odd(), line: Some(u32::MAX) }, Location { path: odd(), line: None }],
        content,
    }
}

/// Whatever an agent or a human wrote comes back as it was, wherever it stands.
pub async fn any_text_survives(store: &dyn Store) {
    let project = Project { name: odd(), ..sample::project() };
    let session = Session { title: odd(), ..sample::session(&project) };
    let chat = Chat { title: odd(), ..sample::chat(&session) };
    let world = World { project: project.clone(), session: session.clone(), chat: chat.clone() };
    let task = Task {
        input: parts(),
        model: Some(odd()),
        mode_id: Some(odd()),
        thinking_option_id: Some(odd()),
        outcome: Some(TurnOutcome::failed(DecidedBy::Agent, ODD)),
        output_summary: Some(odd()),
        ..world.task()
    };
    let kinds = ToolKind::ALL.iter().zip(ToolStatus::ALL.iter().cycle());
    let message = Message {
        content: odd(),
        attachments: parts(),
        reasoning: odd(),
        tool_calls: kinds.map(|(kind, status)| tool_call(*kind, *status)).collect(),
        error: Some(odd()),
        ..message(&task)
    };
    let mut turn = turn(&message);
    turn.outcome = Some(TurnOutcome::cancelled(DecidedBy::User, ODD));
    let mut agent_session = sample::agent_session(&chat, "demo", Some(at(1)));
    agent_session.native_id = Some(AgentSessionId::from(ODD));
    agent_session.config_fingerprint = Some(odd());
    let mut pending = world.pending();
    pending.file_path = odd();
    pending.old_path = Some(odd());
    pending.diff = odd();
    pending.base = Some(BlobRef { blob: "aa".into(), mode: "100644".into() });
    pending.hunks[0].diff = odd();
    let questions = questions(&task);
    let frame = StoredFrame { body: raw().as_str().into(), ..sample::frame(&session, 1) };

    let mut changes = vec![
        Change::AddProject(project.clone()),
        Change::AddSession(session.clone()),
        Change::AddChat(chat.clone()),
        add(&task),
        put(&message),
        Change::PutTurn(turn.clone()),
        Change::PutAgentSession(Box::new(agent_session.clone())),
        Change::AddPending(Box::new(pending.clone())),
    ];
    changes.extend(questions.iter().map(|open| Change::OpenInteraction(Box::new(open.clone()))));
    let batch = WriteBatch { changes, frames: vec![frame.clone()], durable: true, writer: None };
    store.commit(batch).await.expect("any text is written");
    let answer = InteractionOutcome::Accepted(Some(raw()));
    let settle = Change::SettleInteraction {
        id: questions[0].id,
        outcome: answer.clone(),
        decided_by: DecidedBy::User,
        at: at(1),
    };
    write(store, [settle]).await;

    assert_eq!(store.project(project.id).await.expect("a read"), Some(project));
    assert_eq!(store.session(session.id).await.expect("a read"), Some(session.clone()));
    assert_eq!(store.chat(chat.id).await.expect("a read"), Some(chat.clone()));
    assert_eq!(store.task(task.id).await.expect("a read"), Some(task.clone()));
    assert_eq!(store.messages(session.id, None).await.expect("a read"), [message]);
    assert_eq!(store.turns_of_task(task.id).await.expect("a read"), [turn]);
    assert_eq!(store.agent_sessions(session.id).await.expect("a read"), [agent_session]);
    assert_eq!(store.pending_change(pending.id).await.expect("a read"), Some(pending));
    for (place, question) in questions.into_iter().enumerate() {
        let settled = (place == 0).then(|| (answer.clone(), DecidedBy::User));
        let expected = Interaction { settled, ..question };
        assert_eq!(store.interaction(expected.id).await.expect("a read"), Some(expected));
    }
    let budget = crate::ReadBudget { frames: 1, bytes: 1 };
    assert_eq!(store.frames_after(session.id, boocoder_model::Seq::ZERO, budget).await.expect("a read"), [frame]);
}

fn questions(task: &Task) -> Vec<Interaction> {
    let option = |kind: &PermissionKind| PermissionOption { id: odd(), name: odd(), kind: *kind };
    let questions = [
        Question::Permission {
            title: odd(),
            tool_call: Some(tool_call(ToolKind::Edit, ToolStatus::Pending)),
            options: PermissionKind::ALL.iter().map(option).collect(),
        },
        Question::Form { title: odd(), schema: raw() },
        Question::Url { title: odd(), url: odd() },
    ];
    questions.into_iter().map(|question| Interaction { question, ..interaction(task) }).collect()
}
