//! The writer and the broker over a store that fails in every way a database can.

use std::sync::atomic::AtomicUsize;

use boocoder_model::{
    Consumed, Fence, Position, Project, ProjectId, Runner, RunnerId, ServerId, Session, Task, TaskId,
};
use boocoder_store::{MemStore, Writer as Owner};
use boocoder_wire::FrameBody;
use jiff::Timestamp;
use proptest::prelude::*;
use uuid::Uuid;

use super::faulty::{Fault, Faulty};
use super::*;
use crate::broker::Subscription;

pub(super) const SESSION: SessionId = SessionId::from_uuid(Uuid::from_u128(1));
pub(super) const ALL: ReadBudget = ReadBudget { frames: usize::MAX, bytes: usize::MAX };

pub(super) fn said(text: &str) -> Frame {
    Frame::of_session(FrameBody::Delta { content: text.to_owned() })
}

pub(super) fn entry(text: &str) -> Entry {
    Entry { session: Some(SESSION), changes: Vec::new(), frames: vec![said(text)] }
}

/// An entry with a change.
pub(super) fn changing(text: &str) -> Entry {
    Entry { changes: vec![project(text)], ..entry(text) }
}

pub(super) fn project(name: &str) -> Change {
    Change::AddProject(Project {
        id: ProjectId::from_uuid(Uuid::from_u128(hash(name))),
        name: name.to_owned(),
        path: format!("/{name}").into(),
        created_at: Timestamp::UNIX_EPOCH,
    })
}

pub(super) const RUNNERS: [RunnerId; 2] =
    [RunnerId::from_uuid(Uuid::from_u128(31)), RunnerId::from_uuid(Uuid::from_u128(32))];

/// A runner, and the task that it was started for.
fn under_runner(id: RunnerId) -> (Task, Runner) {
    let task = Task {
        id: TaskId::from_uuid(id.as_uuid()),
        project_id: ProjectId::from_uuid(Uuid::from_u128(hash("home"))),
        session_id: Some(SESSION),
        chat_id: None,
        agent: "demo".into(),
        input: Vec::new(),
        model: None,
        mode_id: None,
        thinking_option_id: None,
        approval: boocoder_model::Approval::Ask,
        state: boocoder_model::TaskState::Queued,
        cancel_requested: None,
        execution_path: None,
        outcome: None,
        output_summary: None,
        cost_tokens: None,
        created_at: Timestamp::UNIX_EPOCH,
        started_at: None,
        ended_at: None,
    };
    let consumed = Consumed::default();
    let created_at = Timestamp::UNIX_EPOCH;
    let runner = Runner { id, chat_id: None, task_id: task.id, agent: "demo".into(), consumed, created_at };
    (task, runner)
}

/// What one record of a runner's journal became.
pub(super) fn journaled(text: &str, runner: RunnerId, position: u64) -> Entry {
    let consumed = Consumed { position: Position(position), ..Consumed::default() };
    Entry { changes: vec![Change::Consume { runner, consumed }], ..entry(text) }
}

fn hash(text: &str) -> u128 {
    text.bytes().fold(7, |hash: u128, byte| hash.wrapping_mul(1_000_003) ^ u128::from(byte))
}

pub(super) async fn start(faults: Vec<Fault>) -> (Arc<Faulty>, Log, Broker) {
    start_as(faults, Standing::default()).await
}

async fn start_as(faults: Vec<Fault>, standing: Standing) -> (Arc<Faulty>, Log, Broker) {
    let (commits, volatile) = (AtomicUsize::new(0), std::sync::Mutex::default());
    let store = Arc::new(Faulty { inner: MemStore::new(), faults, commits, volatile });
    let session = Session {
        id: SESSION,
        project_id: ProjectId::from_uuid(Uuid::from_u128(hash("home"))),
        title: String::new(),
        created_at: Timestamp::UNIX_EPOCH,
    };
    let mut changes = vec![project("home"), Change::AddSession(session)];
    for runner in RUNNERS {
        let (task, runner) = under_runner(runner);
        changes
            .extend([Change::AddTask { task: Box::new(task), request_key: None }, Change::AddRunner(Box::new(runner))]);
    }
    store.inner.commit(WriteBatch { changes, ..WriteBatch::default() }).await.unwrap();
    let shared: Arc<dyn Store> = Arc::clone(&store) as _;
    let broker = Broker::new(Arc::clone(&shared));
    let (log, _writer) = Log::start(shared, broker.clone(), standing);
    (store, log, broker)
}

pub(super) fn run<F: Future>(test: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(test)
}

pub(super) fn expected(texts: &[String]) -> Vec<String> {
    (1..).zip(texts).map(|(seq, text)| said(text).encode(Seq(seq))).collect()
}

pub(super) fn stored(frames: &[StoredFrame]) -> Vec<String> {
    frames.iter().map(|frame| frame.body.to_string()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Whatever fails, every frame is there once, in order, without a hole, and what was shown is what is stored.
    #[test]
    fn nothing_is_lost_doubled_or_renumbered(
        writes in prop::collection::vec(0..8_u8, 1..40),
        faults in prop::collection::vec(
            prop_oneof![3 => Just(Fault::None), 1 => Just(Fault::Before), 1 => Just(Fault::After), 1 => Just(Fault::Crash)],
            0..40,
        ),
        waits in prop::collection::vec(any::<bool>(), 40),
    ) {
        run(async {
            let (store, log, broker) = start(faults).await;
            let mut shown = broker.subscribe(SESSION, Seq::ZERO).await.unwrap();
            let texts: Vec<_> = (0..writes.len()).map(|n| format!("t{n}")).collect();
            for (n, ((text, kind), wait)) in (1..).zip(texts.iter().zip(&writes).zip(&waits)) {
                let entry = match kind {
                    0 => changing(text),
                    1 => entry(text),
                    2 | 3 => journaled(text, RUNNERS[1], n),
                    _ => journaled(text, RUNNERS[0], n),
                };
                if *wait {
                    log.write(entry).await.unwrap();
                } else {
                    log.reserve().await.unwrap().send(Queued::silent(entry));
                }
            }
            log.write(entry("end")).await.unwrap();
            let texts = [texts, vec!["end".to_owned()]].concat();
            let kept = store.frames_after(SESSION, Seq::ZERO, ALL).await.unwrap();
            prop_assert_eq!(stored(&kept), expected(&texts));
            let mut seen = Vec::new();
            while seen.len() < texts.len() {
                seen.extend(shown.next().await.unwrap().unwrap());
            }
            prop_assert_eq!(stored(&seen), expected(&texts));
            Ok(())
        })?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// However clients come, lag and go, each sees every frame after the one it named, once and in order.
    #[test]
    fn every_client_sees_every_frame_once_and_in_order(
        steps in prop::collection::vec((0..3_usize, 0..4_u8), 1..120),
    ) {
        run(async {
            let (_, log, broker) = start(Vec::new()).await;
            let mut clients: Vec<(Seq, Subscription)> = Vec::new();
            for _ in 0..3 {
                clients.push((Seq::ZERO, broker.subscribe(SESSION, Seq::ZERO).await.unwrap()));
            }
            let mut written = 0;
            for (client, step) in steps {
                let (seen, subscription) = &mut clients[client];
                match step {
                    0 => {
                        // More than the ring holds, now and then: that client is healed from the log.
                        let frames = if written % 5 == 0 { limits::RING.frames + 1 } else { 1 };
                        let frames: Vec<_> = (0..frames).map(|_| said("x")).collect();
                        written += frames.len() as u64;
                        log.write(Entry { session: Some(SESSION), changes: Vec::new(), frames }).await.unwrap();
                    }
                    1 => *subscription = broker.subscribe(SESSION, *seen).await.unwrap(),
                    _ if *seen < Seq(written) => {
                        for frame in subscription.next().await.unwrap().unwrap() {
                            prop_assert_eq!(frame.seq, seen.next());
                            *seen = frame.seq;
                        }
                    }
                    _ => {
                        let none = tokio::time::timeout(Duration::from_secs(1), subscription.next()).await;
                        prop_assert!(none.is_err(), "nothing is there to be seen");
                    }
                }
            }
            Ok(())
        })?;
    }
}

#[test]
fn an_entry_that_does_not_fit_is_refused_alone() {
    run(async {
        let (store, log, _) = start(Vec::new()).await;
        log.write(changing("one")).await.unwrap();
        let again = Entry { frames: vec![said("refused")], ..changing("one") };
        let (good, bad, more) = tokio::join!(log.write(entry("two")), log.write(again), log.write(entry("three")));
        assert!(matches!(bad, Err(StoreError::Conflict { .. })), "{bad:?}");
        good.unwrap();
        more.unwrap();
        let kept = store.frames_after(SESSION, Seq::ZERO, ALL).await.unwrap();
        let texts = ["one", "two", "three"].map(str::to_owned);
        assert_eq!(stored(&kept), expected(&texts), "and no number is wasted on it");
    });
}

#[test]
fn a_closed_broker_lets_its_clients_go() {
    run(async {
        let (_, _log, broker) = start(Vec::new()).await;
        let mut client = broker.subscribe(SESSION, Seq::ZERO).await.unwrap();
        broker.close();
        assert_eq!(client.next().await.unwrap(), None);
    });
}

#[test]
fn a_client_ahead_of_the_log_is_told_and_goes_on_from_its_end() {
    run(async {
        let (_, log, broker) = start(Vec::new()).await;
        log.write(entry("one")).await.unwrap();
        let mut client = broker.subscribe(SESSION, Seq(1000)).await.unwrap();
        let told = client.next().await.unwrap().unwrap();
        assert_eq!(told[0].seq, Seq(1));
        assert!(told[0].body.contains(r#""type":"resync""#), "{}", told[0].body);
        log.write(entry("two")).await.unwrap();
        assert_eq!(client.next().await.unwrap().unwrap()[0].seq, Seq(2));
    });
}

#[test]
fn whoever_watches_a_removed_session_is_let_go() {
    run(async {
        let (_, _log, broker) = start(Vec::new()).await;
        let mut client = broker.subscribe(SESSION, Seq::ZERO).await.unwrap();
        broker.end(SESSION);
        assert_eq!(client.next().await.unwrap(), None);
    });
}

#[test]
fn what_a_journal_would_make_again_is_shown_before_it_is_on_disk_and_soon_put_there() {
    run(async {
        let (store, log, broker) = start(Vec::new()).await;
        let mut client = broker.subscribe(SESSION, Seq::ZERO).await.unwrap();
        log.write(journaled("one", RUNNERS[0], 1)).await.unwrap();
        assert_eq!(client.next().await.unwrap().unwrap().len(), 1);
        assert_eq!(store.inner.last_seq(SESSION).await.unwrap(), Seq::ZERO, "it is not on disk yet");
        tokio::time::sleep(limits::VOLATILE.1 * 2).await;
        assert_eq!(store.inner.last_seq(SESSION).await.unwrap(), Seq(1));
        let kept = store.runner(RUNNERS[0]).await.unwrap().unwrap();
        assert_eq!(kept.consumed.position, Position(1));
    });
}

#[test]
fn what_comes_from_elsewhere_puts_on_disk_what_came_before() {
    run(async {
        for second in [entry("two"), changing("two"), journaled("two", RUNNERS[1], 1)] {
            let (store, log, _) = start(Vec::new()).await;
            log.write(journaled("one", RUNNERS[0], 1)).await.unwrap();
            log.write(second).await.unwrap();
            assert_eq!(store.inner.last_seq(SESSION).await.unwrap(), Seq(2));
        }
    });
}

#[test]
fn what_a_database_lost_unnoticed_is_written_again_before_anything_is_put_behind_it() {
    run(async {
        for elsewhere in [false, true] {
            let (store, log, _) = start(Vec::new()).await;
            log.write(journaled("one", RUNNERS[0], 1)).await.unwrap();
            store.volatile().clear();
            if elsewhere {
                log.write(Entry { session: None, changes: vec![project("another")], frames: Vec::new() })
                    .await
                    .unwrap();
            } else {
                tokio::time::sleep(limits::VOLATILE.1 * 2).await;
            }
            assert_eq!(store.inner.last_seq(SESSION).await.unwrap(), Seq(1));
            assert_eq!(store.runner(RUNNERS[0]).await.unwrap().unwrap().consumed.position, Position(1));
        }
    });
}

const LEASE: Duration = Duration::from_secs(3600);

/// A log of one of two servers, and the other one's writer.
async fn shared(faults: Vec<Fault>) -> (Arc<Faulty>, Log, Broker, Standing, Owner) {
    let [here, there] = [91, 92].map(|number| ServerId::from_uuid(Uuid::from_u128(number)));
    // Each is the first to register, so the fence is known before there is a store.
    let [here, there] = [here, there].map(|server| Owner { server, fence: Fence(1) });
    let standing = Standing::of(here);
    let (store, log, broker) = start_as(faults, standing.clone()).await;
    for writer in [here, there] {
        let fence = store.register(writer.server, LEASE, Timestamp::UNIX_EPOCH).await.unwrap();
        assert_eq!(fence, writer.fence);
    }
    (store, log, broker, standing, there)
}

/// The other server's frame under this number.
async fn by_other(store: &Faulty, writer: Owner, text: &str, seq: u64) {
    let frames = vec![StoredFrame { session_id: SESSION, seq: Seq(seq), body: said(text).encode(Seq(seq)).into() }];
    let batch = WriteBatch { changes: Vec::new(), frames, durable: true, writer: Some(writer) };
    store.inner.commit(batch).await.unwrap();
}

#[test]
fn a_number_that_another_server_gave_away_is_not_given_again() {
    // The last of these is written, and nobody is told.
    for faults in [vec![], vec![Fault::None, Fault::None, Fault::After], vec![Fault::None, Fault::Before]] {
        run(async {
            let (store, log, broker, _, other) = shared(faults).await;
            let mut client = broker.subscribe(SESSION, Seq::ZERO).await.unwrap();
            log.write(journaled("one", RUNNERS[0], 1)).await.unwrap();
            assert_eq!(store.inner.last_seq(SESSION).await.unwrap(), Seq(1), "it is on disk at once");
            by_other(&store, other, "two", 2).await;
            log.write(entry("three")).await.unwrap();
            by_other(&store, other, "four", 4).await;
            broker.look(SESSION).await.unwrap();
            let texts = ["one", "two", "three", "four"].map(str::to_owned);
            let mut seen = Vec::new();
            while seen.len() < texts.len() {
                seen.extend(client.next().await.unwrap().unwrap());
            }
            assert_eq!(stored(&seen), expected(&texts));
            let kept = store.frames_after(SESSION, Seq::ZERO, ALL).await.unwrap();
            assert_eq!(stored(&kept), expected(&texts));
        });
    }
}

#[test]
fn a_log_that_is_fenced_off_refuses_all_and_says_so() {
    run(async {
        let (store, log, _, standing, _) = shared(Vec::new()).await;
        log.write(entry("one")).await.unwrap();
        store.register(ServerId::from_uuid(Uuid::from_u128(91)), LEASE, Timestamp::UNIX_EPOCH).await.unwrap();
        assert!(!standing.is_fenced_off());
        let (first, second) = tokio::join!(log.write(entry("two")), log.write(changing("three")));
        for refused in [first, second, log.write(entry("four")).await] {
            assert!(matches!(refused, Err(StoreError::FencedOff)), "{refused:?}");
        }
        assert!(standing.is_fenced_off());
        assert_eq!(store.inner.last_seq(SESSION).await.unwrap(), Seq(1));
    });
}
