//! Things to write: each different from the one before.

use std::sync::atomic::{AtomicU64, Ordering};

use boocoder_model::{
    AgentName, AgentSession, AgentSessionId, AgentSessionStatus, Approval, Chat, ChatId, Consumed, ContentPart,
    ContextUse, Currency, ExecutionPath, Hunk, HunkId, Interaction, InteractionId, Message, MessageId, MessageRole,
    MessageStatus, Operation, PendingChange, PendingId, PendingStatus, PermissionKind, PermissionOption, Position,
    Project, ProjectId, Question, Runner, RunnerId, Seq, Session, SessionId, StepUsage, Task, TaskId, TaskState, Turn,
    TurnId, UsageEntry, UsageId, UsageKind, UsageLedger, UsageSource, UsageTotals, Worktree, WorktreeId,
};
use jiff::Timestamp;
use uuid::Uuid;

use super::write;
use crate::{Change, Store, StoredFrame};

static COUNT: AtomicU64 = AtomicU64::new(1);

/// An id that nothing else has.
pub(super) fn fresh() -> Uuid {
    Uuid::from_u128(u128::from(COUNT.fetch_add(1, Ordering::Relaxed)))
}

/// So many seconds and a few microseconds after the epoch.
pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::new(seconds, 123_000).expect("a time near the epoch")
}

/// A project with a session and a chat.
pub(super) struct World {
    pub(super) project: Project,
    pub(super) session: Session,
    pub(super) chat: Chat,
}

impl World {
    /// One that is stored.
    pub(super) async fn stored(store: &dyn Store) -> Self {
        let project = project();
        let session = session(&project);
        let chat = chat(&session);
        let changes =
            [Change::AddProject(project.clone()), Change::AddSession(session.clone()), Change::AddChat(chat.clone())];
        write(store, changes).await;
        Self { project, session, chat }
    }

    /// A queued task of the chat.
    pub(super) fn task(&self) -> Task {
        task(&self.project, Some(&self.chat))
    }

    /// A queued task of the chat that is stored.
    pub(super) async fn stored_task(&self, store: &dyn Store) -> Task {
        let task = self.task();
        write(store, [add(&task)]).await;
        task
    }

    pub(super) fn pending(&self) -> PendingChange {
        PendingChange {
            id: PendingId::from_uuid(fresh()),
            session_id: Some(self.session.id),
            task_id: None,
            worktree_id: None,
            file_path: "src/tea.rs".into(),
            old_path: None,
            operation: Operation::Edit,
            status: PendingStatus::Pending,
            agent: Some("demo".into()),
            base: None,
            target: None,
            diff: "-a\n+b\n".into(),
            hunks: vec![hunk(PendingStatus::Pending), hunk(PendingStatus::Pending)],
            revision: 0,
            decisions: Vec::new(),
            created_at: at(70),
        }
    }
}

pub(super) fn project() -> Project {
    let id = ProjectId::from_uuid(fresh());
    Project { id, name: "tea".into(), path: format!("/srv/{id}").into(), created_at: at(10) }
}

pub(super) fn session(project: &Project) -> Session {
    let id = SessionId::from_uuid(fresh());
    Session { id, project_id: project.id, title: format!("session {id}"), created_at: at(20) }
}

pub(super) fn chat(session: &Session) -> Chat {
    let id = ChatId::from_uuid(fresh());
    Chat { id, session_id: session.id, title: format!("chat {id}"), forked_from: None, created_at: at(30) }
}

pub(super) fn task(project: &Project, chat: Option<&Chat>) -> Task {
    Task {
        id: TaskId::from_uuid(fresh()),
        project_id: project.id,
        session_id: chat.map(|chat| chat.session_id),
        chat_id: chat.map(|chat| chat.id),
        agent: "demo".into(),
        input: vec![ContentPart::Text("make tea".into())],
        model: None,
        mode_id: None,
        thinking_option_id: None,
        approval: Approval::Ask,
        state: TaskState::Queued,
        cancel_requested: None,
        execution_path: None,
        outcome: None,
        output_summary: None,
        cost_tokens: None,
        created_at: at(40),
        started_at: None,
        ended_at: None,
    }
}

pub(super) fn add(task: &Task) -> Change {
    Change::AddTask { task: Box::new(task.clone()), request_key: None }
}

/// The change of a task from the state it is in to another one.
pub(super) fn moved(task: &Task, to: TaskState) -> Change {
    Change::UpdateTask { task: Box::new(Task { state: to, ..task.clone() }), from: task.state }
}

pub(super) fn message(task: &Task) -> Message {
    Message {
        id: MessageId::from_uuid(fresh()),
        chat_id: task.chat_id,
        session_id: task.session_id,
        task_id: task.id,
        role: MessageRole::User,
        agent: "demo".into(),
        content: "make tea".into(),
        attachments: Vec::new(),
        reasoning: String::new(),
        tool_calls: Vec::new(),
        status: MessageStatus::Queued,
        error: None,
        created_at: at(50),
        finished_at: None,
    }
}

pub(super) fn put(message: &Message) -> Change {
    Change::PutMessage(Box::new(message.clone()))
}

pub(super) fn turn(message: &Message) -> Turn {
    Turn {
        id: TurnId::from_uuid(fresh()),
        task_id: message.task_id,
        message_id: message.id,
        after: Seq(7),
        before_tree: Some("4b825dc642cb6eb9a060e54bf8d69288fbee4904".into()),
        after_tree: None,
        outcome: None,
        started_at: at(60),
        ended_at: None,
    }
}

pub(super) fn agent_session(chat: &Chat, agent: &str, last_active_at: Option<Timestamp>) -> AgentSession {
    AgentSession {
        chat_id: chat.id,
        agent: AgentName::from(agent),
        backend: ExecutionPath::AcpWarm,
        native_id: Some(AgentSessionId::from("native-1")),
        status: AgentSessionStatus::Idle,
        resumed: None,
        config_fingerprint: Some("f1".into()),
        last_active_at,
    }
}

pub(super) fn interaction(task: &Task) -> Interaction {
    let option = PermissionOption { id: "yes".into(), name: "Yes".into(), kind: PermissionKind::AllowOnce };
    Interaction {
        id: InteractionId::from_uuid(fresh()),
        session_id: task.session_id,
        chat_id: task.chat_id,
        task_id: task.id,
        agent: "demo".into(),
        question: Question::Permission { title: "write tea.txt?".into(), tool_call: None, options: vec![option] },
        settled: None,
        created_at: at(65),
    }
}

pub(super) fn worktree(project: &Project, session: Option<&Session>, task: Option<&Task>) -> Worktree {
    let id = WorktreeId::from_uuid(fresh());
    Worktree {
        id,
        project_id: project.id,
        session_id: session.map(|session| session.id),
        task_id: task.map(|task| task.id),
        path: format!("/srv/worktrees/{id}").into(),
        base_commit: "1f7a7a472abf3dd9643fd615f6da379c4acb3e3a".into(),
        created_at: at(35),
    }
}

pub(super) fn hunk(status: PendingStatus) -> Hunk {
    Hunk {
        id: HunkId::from_uuid(fresh()),
        old_start: 1,
        old_lines: 2,
        new_start: 3,
        new_lines: u32::MAX,
        diff: "@@ -1,2 +3 @@\n".into(),
        status,
        agent: Some("demo".into()),
        task_id: None,
        tool_call_id: None,
    }
}

/// A line of the ledger: what a turn used.
pub(super) fn usage(turn: &Turn, used: StepUsage) -> UsageEntry {
    UsageEntry {
        id: UsageId::from_uuid(fresh()),
        task_id: turn.task_id,
        turn_id: Some(turn.id),
        kind: UsageKind::Delta,
        source: UsageSource::Agent,
        used,
        context: None,
        at: at(70),
    }
}

/// A runner that has taken nothing in.
pub(super) fn runner(task: &Task, agent: &str) -> Runner {
    Runner {
        id: RunnerId::from_uuid(fresh()),
        chat_id: task.chat_id,
        task_id: task.id,
        agent: agent.into(),
        consumed: Consumed::default(),
        created_at: at(45),
    }
}

/// What is told apart by its position, with numbers that are easily spoilt.
pub(super) fn consumed(position: u64) -> Consumed {
    let usage = |code: &str, nanos| UsageTotals {
        input: 9_007_199_254_740_993,
        output: position,
        costs: Currency::new(code).map(|currency| (currency, nanos)).into_iter().collect(),
    };
    Consumed {
        position: Position(position),
        ledger: UsageLedger {
            added: usage("USD", 9_007_199_254_740_993),
            steps: usage("EUR", 0),
            turns: usage("", 1),
            told: usage("CREDITS8", u64::MAX),
            base: usage("USD", 1),
            tells_cost: position.is_multiple_of(2),
            context: Some(ContextUse { used: u64::MAX, size: position }),
        },
        turn: Some((TurnId::from_uuid(uuid::Uuid::from_u128(77)), usage("CHF", 123_456_789_012_345_678))),
    }
}

pub(super) fn frame(session: &Session, seq: u64) -> StoredFrame {
    StoredFrame { session_id: session.id, seq: Seq(seq), body: format!("{{\"seq\":{seq}}}").into() }
}
