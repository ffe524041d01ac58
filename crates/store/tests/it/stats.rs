//! Statistics of every engine against a fold over all that was written, with random data and random questions.

use std::collections::BTreeMap;

use boocoder_model::{
    Approval, Chat, ChatId, ContentPart, Cost, Currency, DecidedBy, Dimension, GroupValue, Message, MessageId,
    MessageRole, MessageStatus, Project, ProjectId, Seq, Session, SessionId, StepUsage, StopReason, Task, TaskId,
    TaskState, Turn, TurnId, TurnOutcome, UsageEntry, UsageId, UsageKind, UsageSource,
};
use boocoder_store::{Change, MemStore, StatsQuery, Store, TurnCounts, UsageSum, WriteBatch};
use jiff::Timestamp;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use tokio::runtime::Runtime;
use uuid::Uuid;

use crate::database::Database;

/// Seconds that things happen in: a little more than two days, so that days and hours are few and shared.
const SPAN: i64 = 190_000;

fn id(kind: u128, number: usize) -> Uuid {
    Uuid::from_u128((kind << 64) + number as u128)
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn project(number: usize) -> ProjectId {
    ProjectId::from_uuid(id(1, number))
}

fn session(number: usize) -> SessionId {
    SessionId::from_uuid(id(2, number))
}

fn chat(number: usize) -> ChatId {
    ChatId::from_uuid(id(3, number))
}

/// The world: two projects, each with two sessions, each with two chats.
fn places() -> Vec<Change> {
    let name = |number: usize| format!("place {number}");
    let mut changes = Vec::new();
    for number in 0..2 {
        let path = format!("/srv/{number}").into();
        changes.push(Change::AddProject(Project { id: project(number), name: name(number), path, created_at: at(0) }));
    }
    for number in 0..4 {
        let project_id = project(number / 2);
        changes.push(Change::AddSession(Session {
            id: session(number),
            project_id,
            title: name(number),
            created_at: at(0),
        }));
    }
    for number in 0..8 {
        let session_id = session(number / 2);
        changes.push(Change::AddChat(Chat {
            id: chat(number),
            session_id,
            title: name(number),
            forked_from: None,
            created_at: at(0),
        }));
    }
    changes
}

/// A task of one of the eight chats, or of a project alone, with its only turn.
fn task() -> impl Strategy<Value = (usize, Option<usize>, &'static str, Option<String>, i64, Option<TurnOutcome>)> {
    let outcome = prop_oneof![
        Just(None),
        Just(Some(TurnOutcome::stopped(&StopReason::EndTurn))),
        Just(Some(TurnOutcome::failed(DecidedBy::Crash, "it died"))),
        Just(Some(TurnOutcome::cancelled(DecidedBy::User, "enough"))),
    ];
    let model = prop::option::of(prop::sample::select(vec!["m".to_owned(), "n".to_owned()]));
    let agent = prop::sample::select(vec!["demo", "qwen", "Goose"]);
    (0..2_usize, prop::option::of(0..8_usize), agent, model, 0..SPAN, outcome)
}

type Used = (usize, i64, UsageSource, StepUsage);

/// Something used by one of the tasks.
fn used() -> impl Strategy<Value = Used> {
    let currency = prop::sample::select(vec!["USD", "EUR"]).prop_map(|code| Currency::new(code).unwrap());
    let cost = prop::option::of((0..1_u64 << 40, currency)).prop_map(|cost| cost.map(|(n, c)| Cost::from_nanos(n, c)));
    let source = prop::sample::select(UsageSource::ALL.to_vec());
    (any::<prop::sample::Index>(), 0..SPAN, source, 0..1000_u64, 0..1000_u64, cost).prop_map(
        |(task, second, source, input, output, cost)| {
            (task.index(1 << 20), second, source, StepUsage { input, output, cost })
        },
    )
}

fn query() -> impl Strategy<Value = StatsQuery> {
    let second = || prop::option::weighted(0.7, prop_oneof![0..SPAN, Just(86_400), Just(3_600)]);
    let group_by = prop::sample::subsequence(Dimension::ALL.to_vec(), 0..=4).prop_shuffle();
    let rarely = |range: std::ops::Range<usize>| prop::option::weighted(0.2, range);
    let agent = prop::option::weighted(0.2, prop::sample::select(vec!["demo", "nobody"]));
    (second(), second(), rarely(0..2), rarely(0..4), rarely(0..8), agent, group_by).prop_map(
        |(from, to, in_project, in_session, in_chat, agent, group_by)| StatsQuery {
            from: from.map(at),
            to: to.map(at),
            project_id: in_project.map(project),
            session_id: in_session.map(session),
            chat_id: in_chat.map(chat),
            agent: agent.map(Into::into),
            group_by,
            ..StatsQuery::default()
        },
    )
}

/// All that is written, and what is asked of it.
#[derive(Debug)]
struct Case {
    tasks: Vec<Task>,
    turns: Vec<Turn>,
    entries: Vec<UsageEntry>,
    queries: Vec<StatsQuery>,
}

fn case() -> impl Strategy<Value = Case> {
    let (tasks, entries) = (prop::collection::vec(task(), 1..12), prop::collection::vec(used(), 0..40));
    (tasks, entries, prop::collection::vec(query(), 1..12)).prop_map(|(tasks, entries, queries)| {
        let (mut made, mut turns) = (Vec::new(), Vec::new());
        for (number, (of_project, in_chat, agent, model, second, outcome)) in tasks.into_iter().enumerate() {
            let task = Task {
                id: TaskId::from_uuid(id(4, number)),
                project_id: project(in_chat.map_or(of_project, |chat| chat / 4)),
                session_id: in_chat.map(|chat| session(chat / 2)),
                chat_id: in_chat.map(chat),
                agent: agent.into(),
                input: vec![ContentPart::Text("count".into())],
                model,
                mode_id: None,
                thinking_option_id: None,
                approval: Approval::Ask,
                state: TaskState::Completed,
                cancel_requested: None,
                execution_path: None,
                outcome: None,
                output_summary: None,
                cost_tokens: None,
                created_at: at(0),
                started_at: None,
                ended_at: None,
            };
            turns.push(Turn {
                id: TurnId::from_uuid(id(5, number)),
                task_id: task.id,
                message_id: MessageId::from_uuid(id(6, number)),
                after: Seq::ZERO,
                before_tree: None,
                after_tree: None,
                outcome,
                started_at: at(second),
                ended_at: None,
            });
            made.push(task);
        }
        let entry = |(number, (task, second, source, used)): (usize, Used)| UsageEntry {
            id: UsageId::from_uuid(id(7, number)),
            task_id: made[task % made.len()].id,
            turn_id: None,
            kind: UsageKind::Delta,
            source,
            used,
            context: None,
            at: at(second),
        };
        let entries = entries.into_iter().enumerate().map(entry).collect();
        Case { tasks: made, turns, entries, queries }
    })
}

fn message(turn: &Turn) -> Message {
    Message {
        id: turn.message_id,
        chat_id: None,
        session_id: None,
        task_id: turn.task_id,
        role: MessageRole::Assistant,
        agent: "demo".into(),
        content: String::new(),
        attachments: Vec::new(),
        reasoning: String::new(),
        tool_calls: Vec::new(),
        status: MessageStatus::Complete,
        error: None,
        created_at: at(0),
        finished_at: None,
    }
}

/// What a statistic is by its definition: every item looked at by itself.
fn fold<T, I: Copy>(
    case: &Case,
    query: &StatsQuery,
    items: impl Iterator<Item = (TaskId, Timestamp, I)>,
    add: impl Fn(Option<T>, I) -> T,
) -> BTreeMap<Vec<GroupValue>, T> {
    let mut groups = BTreeMap::new();
    for (task, at, item) in items {
        let task = case.tasks.iter().find(|candidate| candidate.id == task).unwrap();
        let is_outside = query.from.is_some_and(|from| at < from) || query.to.is_some_and(|to| at >= to);
        let is_elsewhere = query.project_id.is_some_and(|id| task.project_id != id)
            || query.session_id.is_some_and(|id| task.session_id != Some(id))
            || query.chat_id.is_some_and(|id| task.chat_id != Some(id));
        let is_others = query.agent.as_ref().is_some_and(|agent| task.agent != *agent);
        if is_outside || is_elsewhere || is_others {
            continue;
        }
        let second = at.as_second();
        let key = query.group_by.iter().map(|dimension| match dimension {
            Dimension::Agent => GroupValue::Agent(task.agent.clone()),
            Dimension::Project => GroupValue::Project(task.project_id),
            Dimension::Session => GroupValue::Session(task.session_id),
            Dimension::Chat => GroupValue::Chat(task.chat_id),
            Dimension::Task => GroupValue::Task(task.id),
            Dimension::Model => GroupValue::Model(task.model.clone()),
            Dimension::Day => GroupValue::Day(self::at(second - second % 86_400)),
            Dimension::Hour => GroupValue::Hour(self::at(second - second % 3_600)),
        });
        let key: Vec<_> = key.collect();
        let before = groups.remove(&key);
        groups.insert(key, add(before, item));
    }
    groups
}

/// Writes the case and asks every question of it.
async fn check(store: &dyn Store, case: &Case) -> Result<(), TestCaseError> {
    let mut changes = places();
    changes.extend(case.tasks.iter().map(|task| Change::AddTask { task: Box::new(task.clone()), request_key: None }));
    changes.extend(case.turns.iter().map(|turn| Change::PutMessage(Box::new(message(turn)))));
    changes.extend(case.turns.iter().cloned().map(Change::PutTurn));
    changes.extend(case.entries.iter().cloned().map(Change::AddUsage));
    store.commit(WriteBatch { changes, durable: true, ..WriteBatch::default() }).await.unwrap();
    for query in &case.queries {
        let entries = case.entries.iter().map(|entry| (entry.task_id, entry.at, entry));
        let expected = fold(case, query, entries, |sum: Option<UsageSum>, entry| {
            let mut sum = sum.unwrap_or_default();
            sum.input += entry.used.input;
            sum.output += entry.used.output;
            if let Some(cost) = entry.used.cost {
                *sum.costs.entry((cost.currency(), entry.source)).or_default() += cost.nanos();
            }
            sum
        });
        prop_assert_eq!(store.usage(query).await.unwrap(), Some(expected), "{:?}", query);
        let turns = case.turns.iter().map(|turn| (turn.task_id, turn.started_at, turn));
        let expected = fold(case, query, turns, |counts: Option<TurnCounts>, turn| {
            let mut counts = counts.unwrap_or_default();
            match turn.outcome.as_ref().map(|outcome| outcome.status.as_str()) {
                None => counts.running += 1,
                Some("completed") => counts.completed += 1,
                Some("failed") => counts.failed += 1,
                Some(_) => counts.cancelled += 1,
            }
            counts
        });
        prop_assert_eq!(store.turn_counts(query).await.unwrap(), Some(expected), "{:?}", query);
    }
    Ok(())
}

fn runner(cases: u32) -> TestRunner {
    TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() })
}

#[test]
fn groups_in_memory_agree_with_a_fold_over_all() {
    let runtime = Runtime::new().unwrap();
    runner(300).run(&case(), |case| runtime.block_on(check(&MemStore::new(), &case))).unwrap();
}

#[test]
fn groups_in_postgres_agree_with_a_fold_over_all() {
    let runtime = Runtime::new().unwrap();
    let (database, store, client) = runtime.block_on(async {
        let database = Database::create().await;
        let (store, client) = (database.store().await, database.client().await);
        (database, store, client)
    });
    let checked = runner(40).run(&case(), |case| {
        runtime.block_on(async {
            client.batch_execute("TRUNCATE projects CASCADE").await.unwrap();
            check(&store, &case).await
        })
    });
    runtime.block_on(async {
        store.close().await;
        database.end().await;
    });
    checked.unwrap();
}
