//! Databases of earlier versions: what they hold is there afterwards, and takes all that this version writes.

use boocoder_model::{
    AgentSessionStatus, ChatId, Consumed, Cost, Currency, DecidedBy, Dimension, MessageStatus, Operation, Position,
    Runner, RunnerId, Seq, SessionId, StepUsage, TaskId, TaskState, UsageKind, UsageLedger, UsageTotals,
};
use boocoder_store::{Change, ReadBudget, StatsQuery, Store, StoredFrame, WriteBatch};
use jiff::Timestamp;
use refinery::Target;
use uuid::Uuid;

use crate::database::Database;

mod embedded {
    refinery::embed_migrations!("../../migrations");
}

const CHAT: ChatId = ChatId::from_uuid(Uuid::from_u128(3));
const SESSION: SessionId = SessionId::from_uuid(Uuid::from_u128(2));
const TASK: TaskId = TaskId::from_uuid(Uuid::from_u128(4));

/// A chat in the middle of a turn, as the first version wrote it.
const FIRST_VERSION: &str = r#"
    INSERT INTO projects (id, name, path, created_at)
        VALUES ('00000000-0000-0000-0000-000000000001', '"tea"', '/srv/tea', 'epoch');
    INSERT INTO sessions (id, project_id, title, created_at) VALUES
        ('00000000-0000-0000-0000-000000000002', '00000000-0000-0000-0000-000000000001', '"tea"', 'epoch');
    INSERT INTO chats (id, session_id, title, created_at) VALUES
        ('00000000-0000-0000-0000-000000000003', '00000000-0000-0000-0000-000000000002', '"tea"', 'epoch');
    INSERT INTO tasks (id, project_id, session_id, chat_id, agent, input, approval, state, created_at, started_at) VALUES
        ('00000000-0000-0000-0000-000000000004', '00000000-0000-0000-0000-000000000001',
         '00000000-0000-0000-0000-000000000002', '00000000-0000-0000-0000-000000000003',
         'demo', '[{"text":"make tea"}]', 'ask', 'running', 'epoch', 'epoch');
    INSERT INTO messages (id, chat_id, session_id, task_id, role, agent, content, attachments, reasoning, tool_calls,
                          status, created_at) VALUES
        ('00000000-0000-0000-0000-000000000005', '00000000-0000-0000-0000-000000000003',
         '00000000-0000-0000-0000-000000000002', '00000000-0000-0000-0000-000000000004',
         'assistant', 'demo', '"wat"', '[]', '""', '[]', 'streaming', 'epoch');
    INSERT INTO agent_sessions (chat_id, agent, backend, status, input_tokens, output_tokens, cost) VALUES
        ('00000000-0000-0000-0000-000000000003', 'demo', 'acp_warm', 'active', 1, 2, 0.5);
    INSERT INTO frames (session_id, seq, body)
        SELECT '00000000-0000-0000-0000-000000000002', seq, '{"seq":' || seq || '}' FROM generate_series(1, 3) AS seq;
    INSERT INTO pending_changes (id, session_id, task_id, file_path, operation, status, agent, diff, created_at) VALUES
        ('00000000-0000-0000-0000-000000000007', '00000000-0000-0000-0000-000000000002',
         '00000000-0000-0000-0000-000000000004', '"tea.rs"', 'edit', 'pending', 'demo', '"-a\n+b\n"', 'epoch');
    INSERT INTO pending_hunks (id, pending_id, place, old_start, old_lines, new_start, new_lines, diff, status, agent) VALUES
        ('00000000-0000-0000-0000-000000000008', '00000000-0000-0000-0000-000000000007', 0, 1, 1, 1, 1, '"-a\n+b\n"',
         'pending', 'demo');
"#;

fn frame(seq: u64) -> StoredFrame {
    StoredFrame { session_id: SESSION, seq: Seq(seq), body: format!("{{\"seq\":{seq}}}").into() }
}

#[tokio::test]
async fn a_database_of_the_first_version_is_taken_over() {
    let database = Database::create().await;
    let mut client = database.client().await;
    let first = embedded::migrations::runner().set_target(Target::Version(1));
    assert_eq!(first.run_async(&mut client).await.unwrap().applied_migrations().len(), 1);
    client.batch_execute(FIRST_VERSION).await.unwrap();

    let store = database.store().await;
    let budget = ReadBudget { frames: usize::MAX, bytes: usize::MAX };
    let frames: Vec<_> = (1..=3).map(frame).collect();
    assert_eq!(store.frames_after(SESSION, Seq::ZERO, budget).await.unwrap(), frames);
    assert_eq!(store.log_floor(SESSION).await.unwrap(), Seq::ZERO);
    assert_eq!(store.last_seq(SESSION).await.unwrap(), Seq(3));
    let task = store.task(TASK).await.unwrap().unwrap();
    assert_eq!((task.state, task.cancel_requested), (TaskState::Running, None));
    let growing = store.streaming_messages().await.unwrap();
    assert_eq!(growing.iter().map(|message| message.status).collect::<Vec<_>>(), [MessageStatus::Streaming]);
    let mut agent_session = store.live_agent_sessions().await.unwrap().remove(0);

    let known = UsageTotals { input: 1, output: 2, costs: [(Currency::USD, 500_000_000)].into() };
    let lines = store.usage_of_task(TASK).await.unwrap();
    let [line] = &lines[..] else { panic!("{lines:?}") };
    assert_eq!((UsageTotals::from(line.used), line.kind, line.turn_id), (known.clone(), UsageKind::RunningTotal, None));

    let [mut change] = store.pending_changes(SESSION).await.unwrap().try_into().expect("one change");
    assert_eq!((change.revision, change.decisions.len(), change.hunks[0].task_id), (0, 0, Some(TASK)));
    (change.revision, change.operation) = (1, Operation::Mode);

    let ledger = UsageLedger { base: known, ..UsageLedger::default() };
    let runner = Runner {
        id: RunnerId::from_uuid(Uuid::from_u128(6)),
        chat_id: Some(CHAT),
        task_id: TASK,
        agent: agent_session.agent.clone(),
        consumed: Consumed { position: Position(1), ledger, turn: None },
        created_at: Timestamp::UNIX_EPOCH,
    };
    agent_session.status = AgentSessionStatus::Parked;
    let changes = vec![
        Change::RequestCancel { task: TASK, by: DecidedBy::User },
        Change::PutAgentSession(Box::new(agent_session.clone())),
        Change::AddRunner(Box::new(runner.clone())),
        Change::RevisePending(Box::new(change.clone())),
        Change::CompactFrames { session: SESSION, through: Seq(2) },
    ];
    store.commit(WriteBatch { changes, frames: vec![frame(4)], durable: true, writer: None }).await.unwrap();
    assert_eq!(store.task(TASK).await.unwrap().unwrap().cancel_requested, Some(DecidedBy::User));
    assert_eq!(store.agent_sessions(SESSION).await.unwrap(), [agent_session]);
    assert_eq!(store.runners().await.unwrap(), [runner]);
    assert_eq!(store.pending_changes(SESSION).await.unwrap(), [change]);
    assert_eq!(store.frames_after(SESSION, Seq::ZERO, budget).await.unwrap(), [frame(3), frame(4)]);
    store.close().await;
    database.end().await;
}

/// What the third version kept of two agents: one under a runner that has taken in more than was kept of its session, and
/// one whose cost nobody told.
const THIRD_VERSION: &str = r#"
    INSERT INTO runners (id, chat_id, task_id, agent, consumed, ledger, created_at) VALUES
        ('00000000-0000-0000-0000-000000000006', '00000000-0000-0000-0000-000000000003',
         '00000000-0000-0000-0000-000000000004', 'demo', 9,
         '{"added":{"input":7,"output":1,"cost":"0.0"},"told":{"input":0,"output":0,"cost":"0.75"},
           "base":{"input":0,"output":0,"cost":"0.0"},"context":[5,10]}', 'epoch');
    INSERT INTO agent_sessions (chat_id, agent, backend, status, input_tokens, output_tokens, cost, last_active_at) VALUES
        ('00000000-0000-0000-0000-000000000003', 'qwen', 'acp_warm', 'idle', 5, 6, 0, 'epoch'),
        ('00000000-0000-0000-0000-000000000003', 'goose', 'acp_warm', 'idle', 0, 0, 0, 'epoch');
    INSERT INTO tasks (id, project_id, session_id, chat_id, agent, input, approval, state, created_at)
        SELECT ('00000000-0000-0000-0000-00000000001' || place)::uuid, project_id, session_id, chat_id, name, input,
               approval, 'completed', created_at
        FROM tasks, (VALUES (1, 'qwen'), (2, 'qwen'), (3, 'goose')) AS more (place, name);
"#;

#[tokio::test]
async fn what_agents_had_used_is_in_the_ledger_as_far_as_it_was_taken_in() {
    let database = Database::create().await;
    let mut client = database.client().await;
    let third = embedded::migrations::runner().set_target(Target::Version(3));
    third.run_async(&mut client).await.unwrap();
    client.batch_execute(FIRST_VERSION).await.unwrap();
    client.batch_execute(THIRD_VERSION).await.unwrap();

    let store = database.store().await;
    let query = StatsQuery { group_by: vec![Dimension::Agent], ..StatsQuery::default() };
    let groups = store.usage(&query).await.unwrap().unwrap();
    let used: Vec<_> = groups.into_values().map(|sum| (sum.totals(), sum.tells_cost())).collect();
    let demo = StepUsage { input: 7, output: 2, cost: Cost::usd(0.75) };
    let qwen = StepUsage { input: 5, output: 6, cost: None };
    assert_eq!(used, [(demo.into(), true), (qwen.into(), false)], "of one that used nothing there is no line");
    let runner = store.runners().await.unwrap().remove(0);
    assert_eq!(runner.consumed.ledger.told.main_cost(), Cost::usd(0.75));
    store.close().await;
    database.end().await;
}
