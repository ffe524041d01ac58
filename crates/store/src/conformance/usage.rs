//! The usage ledger: lines that are written once, and sums over them.

use boocoder_model::{
    AgentName, ContextUse, Cost, Currency, Dimension, GroupValue, MAX_COUNT, StepUsage, Task, Turn, TurnId,
    TurnOutcome, UsageEntry, UsageKind, UsageSource, UsageTotals,
};

use super::sample::{self, World, add, at, consumed, frame, message, put, runner, usage};
use super::{refused, try_write, write};
use crate::{Change, StatsQuery, Store, StoreError, TurnCounts, UsageSum, WriteBatch};

fn used(input: u64, output: u64, cost: Option<(u64, &str)>) -> StepUsage {
    let cost = cost.and_then(|(nanos, code)| Some(Cost::from_nanos(nanos, Currency::new(code)?)));
    StepUsage { input, output, cost }
}

fn line(entry: &UsageEntry) -> Change {
    Change::AddUsage(entry.clone())
}

/// A turn of this task, which is stored with it.
async fn turn_of(store: &dyn Store, task: &Task) -> Turn {
    let message = message(task);
    let turn = sample::turn(&message);
    write(store, [add(task), put(&message), Change::PutTurn(turn.clone())]).await;
    turn
}

/// All that was used, of what the query narrows it to.
async fn sum(store: &dyn Store, query: StatsQuery) -> UsageSum {
    let groups = store.usage(&query).await.expect("a read").expect("no more than one group");
    groups.into_values().next().unwrap_or_default()
}

async fn all(store: &dyn Store) -> UsageSum {
    sum(store, StatsQuery::default()).await
}

/// A line that is there already changes nothing, whatever else it says; what it names must be there.
pub async fn a_line_of_usage_is_added_once(store: &dyn Store) {
    let world = World::stored(store).await;
    let turn = turn_of(store, &world.task()).await;
    let entry = usage(&turn, used(5, 2, Some((7, "USD"))));
    write(store, [line(&entry), line(&entry)]).await;
    let later = UsageEntry { at: at(71), used: used(6, 2, None), ..entry.clone() };
    write(store, [line(&later)]).await;
    assert_eq!(store.usage_of_task(turn.task_id).await.expect("a read"), std::slice::from_ref(&entry));
    assert_eq!(all(store).await.input, 5);

    let stranger = world.task();
    let of_nobody = UsageEntry { task_id: stranger.id, turn_id: None, ..usage(&turn, used(1, 1, None)) };
    assert_eq!(refused(store, "usage entry", line(&of_nobody)).await, "its task is not there");
    let turnless = UsageEntry { turn_id: Some(TurnId::from_uuid(sample::fresh())), ..usage(&turn, used(1, 1, None)) };
    assert_eq!(refused(store, "usage entry", line(&turnless)).await, "its turn is not there");
}

/// Every kind, every source, and the greatest numbers.
pub async fn lines_read_back_as_they_were_written(store: &dyn Store) {
    let world = World::stored(store).await;
    let turn = turn_of(store, &world.task()).await;
    let context = Some(ContextUse { used: MAX_COUNT, size: 0 });
    let mut entries = Vec::new();
    for kind in UsageKind::ALL {
        for source in UsageSource::ALL {
            let plain = usage(&turn, used(MAX_COUNT, 0, None));
            entries.push(UsageEntry { kind: *kind, source: *source, ..plain.clone() });
            let priced = used(0, MAX_COUNT, Some((MAX_COUNT, "CREDITS8")));
            let id = usage(&turn, priced).id;
            entries.push(UsageEntry {
                id,
                kind: *kind,
                source: *source,
                used: priced,
                turn_id: None,
                context,
                ..plain
            });
        }
    }
    write(store, entries.iter().map(line)).await;
    assert_eq!(store.usage_of_task(turn.task_id).await.expect("a read"), entries);
    let sums = all(store).await;
    assert_eq!((sums.input, sums.output), (MAX_COUNT, MAX_COUNT), "a sum stops where every number does");
    assert!(sums.costs.values().all(|nanos| *nanos == MAX_COUNT), "{sums:?}");
}

/// A line, the frame that tells of it and how far the journal was read are on disk together or not at all. A reader that
/// goes on from what is there and so brings the same record again changes nothing.
pub async fn usage_and_the_position_it_came_from_are_written_together(store: &dyn Store) {
    let world = World::stored(store).await;
    let task = world.task();
    let turn = turn_of(store, &task).await;
    let runner = runner(&task, "demo");
    write(store, [Change::AddRunner(Box::new(runner.clone()))]).await;
    let entry = usage(&turn, used(5, 2, None));
    let batch = |seq, position| WriteBatch {
        changes: vec![line(&entry), Change::Consume { runner: runner.id, consumed: consumed(position) }],
        frames: vec![frame(&world.session, seq)],
        durable: true,
        writer: None,
    };
    let misnumbered = store.commit(batch(7, 3)).await;
    assert!(matches!(misnumbered, Err(StoreError::Conflict { what: "frame", .. })), "{misnumbered:?}");
    assert_eq!(store.usage_of_task(task.id).await.expect("a read"), []);
    store.commit(batch(1, 3)).await.expect("it fits");
    let gone_back = store.commit(batch(2, 2)).await;
    assert!(matches!(gone_back, Err(StoreError::Conflict { what: "runner", .. })), "{gone_back:?}");
    store.commit(batch(2, 3)).await.expect("the same record");
    assert_eq!(store.usage_of_task(task.id).await.expect("a read"), [entry]);
    let unfit = [
        line(&usage(&turn, used(9, 9, None))),
        Change::ExpectFrames { session: world.session.id, through: boocoder_model::Seq(9) },
    ];
    assert!(try_write(store, unfit).await.is_err());
    assert_eq!(all(store).await.input, 5);
}

/// Tokens are added up, costs by currency and source, and no total falls with any line.
pub async fn usage_is_the_sum_of_its_lines_and_never_falls(store: &dyn Store) {
    let world = World::stored(store).await;
    let turn = turn_of(store, &world.task()).await;
    assert_eq!(all(store).await, UsageSum::default());
    let steps = [
        (UsageSource::Agent, used(5, 2, None)),
        (UsageSource::Agent, used(0, 0, Some((0, "USD")))),
        (UsageSource::Step, used(1, 0, Some((10, "USD")))),
        (UsageSource::Agent, used(0, 0, Some((7, "EUR")))),
        (UsageSource::PriceTable, used(0, 0, Some((3, "USD")))),
        (UsageSource::Agent, used(0, 0, Some((30, "USD")))),
    ];
    let (mut sum, mut before) = (UsageSum::default(), UsageTotals::default());
    for (source, used) in steps {
        let entry = UsageEntry { source, ..usage(&turn, used) };
        write(store, [line(&entry)]).await;
        sum.add(&entry);
        let found = all(store).await;
        assert_eq!(found, sum);
        let totals = found.totals();
        assert!(totals.input >= before.input && totals.output >= before.output);
        assert!(before.costs.iter().all(|(currency, nanos)| totals.costs[currency] >= *nanos));
        before = totals;
    }
    let usd = |source| (Currency::USD, source);
    assert_eq!(sum.costs[&usd(UsageSource::Agent)], 30);
    assert_eq!(before.costs[&Currency::USD], 43);
    assert_eq!(before.main_cost(), Some(Cost::from_nanos(43, Currency::USD)));
    assert!(sum.tells_cost());
}

/// What happened at the beginning of a range is in it, what happened at its end is not: ranges that meet share nothing
/// and miss nothing.
pub async fn ranges_of_time_are_half_open(store: &dyn Store) {
    let world = World::stored(store).await;
    let turn = turn_of(store, &world.task()).await;
    let entries = [(60, 1), (61, 2), (62, 4)]
        .map(|(second, input)| UsageEntry { at: at(second), ..usage(&turn, used(input, 0, None)) });
    write(store, entries.iter().map(line)).await;
    let within =
        |from: Option<i64>, to: Option<i64>| StatsQuery { from: from.map(at), to: to.map(at), ..StatsQuery::default() };
    for (from, to, input) in [
        (Some(60), Some(61), 1),
        (Some(61), Some(62), 2),
        (Some(60), Some(62), 3),
        (Some(62), None, 4),
        (None, Some(60), 0),
        (None, Some(61), 1),
        (Some(63), None, 0),
        (None, None, 7),
    ] {
        assert_eq!(sum(store, within(from, to)).await.input, input, "{from:?}..{to:?}");
    }
    // The turn began at second 60.
    for (from, to, turns) in
        [(Some(60), Some(61), 1), (Some(59), Some(60), 0), (Some(61), None, 0), (None, Some(61), 1)]
    {
        let groups = store.turn_counts(&within(from, to)).await.expect("a read").expect("one group");
        assert_eq!(groups.into_values().map(|counts| counts.running).sum::<u64>(), turns, "{from:?}..{to:?}");
    }
}

/// Each field narrows, also to what was removed, and groups have the values of what they are told apart by, in order.
pub async fn usage_is_narrowed_and_grouped_in_any_order(store: &dyn Store) {
    let (world, other) = (World::stored(store).await, World::stored(store).await);
    let tasks = [
        world.task(),
        Task { agent: "qwen".into(), model: Some("m\0\"odel".into()), ..world.task() },
        other.task(),
        sample::task(&other.project, None),
    ];
    let mut input = 1;
    for task in &tasks {
        let turn = turn_of(store, task).await;
        write(store, [line(&UsageEntry { at: at(3_600 * 30), ..usage(&turn, used(input, 0, None)) })]).await;
        input *= 2;
    }
    write(store, [Change::RemoveSession { id: other.session.id, at: at(99) }]).await;
    let all = StatsQuery::default;
    for (query, input) in [
        (StatsQuery { project_id: Some(world.project.id), ..all() }, 3),
        (StatsQuery { project_id: Some(other.project.id), ..all() }, 12),
        (StatsQuery { session_id: Some(other.session.id), ..all() }, 4),
        (StatsQuery { chat_id: Some(world.chat.id), ..all() }, 3),
        (StatsQuery { task_id: Some(tasks[3].id), ..all() }, 8),
        (StatsQuery { agent: Some("qwen".into()), ..all() }, 2),
        (StatsQuery { agent: Some("qwen".into()), project_id: Some(other.project.id), ..all() }, 0),
    ] {
        assert_eq!(sum(store, query.clone()).await.input, input, "{query:?}");
    }
    let grouped = async |group_by: Vec<Dimension>| {
        let groups = store.usage(&StatsQuery { group_by, ..all() }).await.expect("a read").expect("few groups");
        groups.into_iter().map(|(key, sum)| (key, sum.input)).collect::<Vec<_>>()
    };
    let agent = |name: &str| GroupValue::Agent(AgentName::from(name));
    assert_eq!(grouped(vec![Dimension::Agent]).await, [(vec![agent("demo")], 13), (vec![agent("qwen")], 2)]);
    let chat = |chat: Option<&World>| GroupValue::Chat(chat.map(|world| world.chat.id));
    let expected = [
        (vec![chat(None), agent("demo")], 8),
        (vec![chat(Some(&world)), agent("demo")], 1),
        (vec![chat(Some(&world)), agent("qwen")], 2),
        (vec![chat(Some(&other)), agent("demo")], 4),
    ];
    assert_eq!(grouped(vec![Dimension::Chat, Dimension::Agent]).await, expected);
    let models = [(vec![GroupValue::Model(None)], 13), (vec![GroupValue::Model(Some("m\0\"odel".into()))], 2)];
    assert_eq!(grouped(vec![Dimension::Model]).await, models);
    let day = |seconds| boocoder_model::GroupValue::Day(jiff::Timestamp::from_second(seconds).expect("a time"));
    let hour = |seconds| boocoder_model::GroupValue::Hour(jiff::Timestamp::from_second(seconds).expect("a time"));
    let expected = [(vec![day(86_400), hour(3_600 * 30)], 15)];
    assert_eq!(grouped(vec![Dimension::Day, Dimension::Hour]).await, expected);
    assert_eq!(grouped(Dimension::ALL.to_vec()).await.len(), tasks.len());
}

/// Those that have not ended count as running.
pub async fn turns_are_counted_by_how_they_ended(store: &dyn Store) {
    let world = World::stored(store).await;
    let outcomes = [
        Some(TurnOutcome::stopped(&boocoder_model::StopReason::EndTurn)),
        Some(TurnOutcome::failed(boocoder_model::DecidedBy::Crash, "it died")),
        Some(TurnOutcome::failed(boocoder_model::DecidedBy::Agent, "it gave up")),
        Some(TurnOutcome::cancelled(boocoder_model::DecidedBy::User, "enough")),
        None,
    ];
    for outcome in outcomes {
        let turn = turn_of(store, &world.task()).await;
        write(store, [Change::PutTurn(Turn { outcome, ..turn })]).await;
    }
    let query = StatsQuery { group_by: vec![Dimension::Chat], ..StatsQuery::default() };
    let groups = store.turn_counts(&query).await.expect("a read").expect("one group");
    let counts = TurnCounts { completed: 1, failed: 2, cancelled: 1, running: 1 };
    assert_eq!(groups.into_iter().collect::<Vec<_>>(), [(vec![GroupValue::Chat(Some(world.chat.id))], counts)]);
    assert_eq!(all(store).await, UsageSum::default(), "a turn that used nothing is no usage");
}

/// So many groups are an answer, one more is none.
pub async fn more_groups_than_allowed_are_no_answer(store: &dyn Store) {
    let world = World::stored(store).await;
    for _ in 0..3 {
        let turn = turn_of(store, &world.task()).await;
        let costs = [None, Some((1, "USD")), Some((1, "EUR"))];
        write(store, costs.map(|cost| line(&usage(&turn, used(1, 0, cost))))).await;
    }
    for (groups, found) in [(4, Some(3)), (3, Some(3)), (2, None), (0, None)] {
        let query = StatsQuery { group_by: vec![Dimension::Task], groups, ..StatsQuery::default() };
        assert_eq!(store.usage(&query).await.expect("a read").map(|groups| groups.len()), found, "{groups}");
        assert_eq!(store.turn_counts(&query).await.expect("a read").map(|groups| groups.len()), found, "{groups}");
    }
}
