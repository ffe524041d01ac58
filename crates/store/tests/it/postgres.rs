//! What only an engine on a server can do wrong: several processes, restarts, broken connections.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use boocoder_model::{
    AgentName, Approval, Consumed, ContentPart, Position, Project, ProjectId, Runner, RunnerId, Seq, Session,
    SessionId, Task, TaskId, TaskState,
};
use boocoder_store::conformance::PATIENCE;
use boocoder_store::{Change, PgConfig, PgStore, ReadBudget, Store, StoreError, StoredFrame, TaskFilter, WriteBatch};
use jiff::Timestamp;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_postgres::config::Host;
use uuid::Uuid;

use crate::database::{Database, Server};

pub(crate) const AT: Timestamp = Timestamp::UNIX_EPOCH;
const PROJECT: ProjectId = ProjectId::from_uuid(Uuid::from_u128(1));
pub(crate) const SESSION: SessionId = SessionId::from_uuid(Uuid::from_u128(2));
const RUNNER: RunnerId = RunnerId::from_uuid(Uuid::from_u128(3));

pub(crate) fn batch(changes: Vec<Change>, frames: Vec<StoredFrame>) -> WriteBatch {
    WriteBatch { changes, frames, durable: true, writer: None }
}

pub(crate) fn frame(seq: u64) -> StoredFrame {
    StoredFrame { session_id: SESSION, seq: Seq(seq), body: format!("{{\"seq\":{seq}}}").into() }
}

pub(crate) fn task(number: u128) -> Task {
    Task {
        id: TaskId::from_uuid(Uuid::from_u128(number)),
        project_id: PROJECT,
        session_id: None,
        chat_id: None,
        agent: AgentName::from("demo"),
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
        created_at: AT,
        started_at: None,
        ended_at: None,
    }
}

pub(crate) fn add(number: u128) -> Change {
    Change::AddTask { task: Box::new(task(number)), request_key: None }
}

/// A project with a session.
pub(crate) async fn settle(store: &dyn Store) {
    let project = Project { id: PROJECT, name: "tea".into(), path: "/srv/tea".into(), created_at: AT };
    let session = Session { id: SESSION, project_id: PROJECT, title: "tea".into(), created_at: AT };
    let changes = vec![Change::AddProject(project), Change::AddSession(session)];
    store.commit(batch(changes, Vec::new())).await.unwrap();
}

/// A runner that was started for a task that has ended.
async fn start_runner(store: &dyn Store) {
    let started_for = Task { state: TaskState::Cancelled, ..task(4) };
    let runner = Runner {
        id: RUNNER,
        chat_id: None,
        task_id: started_for.id,
        agent: "demo".into(),
        consumed: Consumed::default(),
        created_at: AT,
    };
    let ended = Change::UpdateTask { task: Box::new(started_for), from: TaskState::Queued };
    store.commit(batch(vec![add(4), ended, Change::AddRunner(Box::new(runner))], Vec::new())).await.unwrap();
}

fn consume(position: u64) -> Change {
    Change::Consume { runner: RUNNER, consumed: Consumed { position: Position(position), ..Consumed::default() } }
}

pub(crate) async fn log(store: &dyn Store) -> Vec<StoredFrame> {
    store.frames_after(SESSION, Seq::ZERO, ReadBudget { frames: usize::MAX, bytes: usize::MAX }).await.unwrap()
}

#[tokio::test]
async fn processes_wake_each_other() {
    let database = Database::create().await;
    let (here, there) = (database.store().await, database.store().await);
    settle(&here).await;
    let mut wakeups = there.wakeups();
    // Beginning to listen counts as a wake-up, too; from then on only the other store's tasks do.
    timeout(PATIENCE, wakeups.wait_for(|count| *count > 0)).await.unwrap().unwrap();
    here.commit(batch(vec![add(10)], Vec::new())).await.unwrap();
    timeout(PATIENCE, wakeups.changed()).await.unwrap().unwrap();
    assert_eq!(there.claim_task(None, AT).await.unwrap().map(|task| task.id), Some(task(10).id));
    assert_eq!(here.claim_task(None, AT).await.unwrap(), None);
    for store in [here, there] {
        store.close().await;
    }
    database.end().await;
}

#[tokio::test]
async fn two_that_start_at_once_migrate_once() {
    let database = Database::create().await;
    let (here, there) = tokio::join!(database.store(), database.store());
    settle(&here).await;
    assert_eq!(there.projects().await.unwrap().len(), 1);
    let applied = "SELECT count(*) FROM refinery_schema_history GROUP BY version HAVING count(*) > 1";
    assert!(database.client().await.query(applied, &[]).await.unwrap().is_empty());
    for store in [here, there] {
        store.close().await;
    }
    database.end().await;
}

/// How often frames, a journal, a task and a claim go through while connections break.
const ROUNDS: u64 = 150;

/// A store that does not give up soon.
async fn stubborn(mut config: PgConfig) -> PgStore {
    config.limits.attempts = 60;
    config.limits.first_pause = Duration::from_millis(1);
    config.limits.longest_pause = Duration::from_millis(50);
    PgStore::connect(config).await.unwrap()
}

/// Writes and claims, counting the rounds, and looks whether all of it is there once.
async fn work(store: &PgStore, done: &AtomicU64) {
    settle(store).await;
    start_runner(store).await;
    let mut claimed = Vec::new();
    for round in 1..=ROUNDS {
        let loose = WriteBatch { durable: false, ..batch(vec![consume(3 * round - 2)], vec![frame(2 * round - 1)]) };
        store.commit(loose).await.unwrap();
        // Written a second time, the first of these goes back.
        store.commit(batch(vec![consume(3 * round - 1), consume(3 * round)], Vec::new())).await.unwrap();
        let number = 1_000 + u128::from(round);
        store.commit(batch(vec![add(number)], vec![frame(2 * round)])).await.unwrap();
        claimed.extend(store.claim_task(None, AT).await.unwrap().map(|task| task.id));
        done.store(round, Ordering::Relaxed);
    }
    assert_eq!(log(store).await, (1..=2 * ROUNDS).map(frame).collect::<Vec<_>>());
    assert_eq!(store.runner(RUNNER).await.unwrap().unwrap().consumed.position, Position(3 * ROUNDS));
    let expected: Vec<_> = (1..=u128::from(ROUNDS)).map(|round| task(1_000 + round).id).collect();
    assert_eq!(claimed, expected);
    let running = TaskFilter { state: Some(TaskState::Running), ..TaskFilter::default() };
    assert_eq!(store.tasks(running).await.unwrap().len(), expected.len());
}

#[tokio::test]
async fn what_is_written_over_connections_that_are_cut_is_written_once() {
    let database = Database::create().await;
    let store = stubborn(database.config()).await;
    let client = database.client().await;
    let done = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&done);
    let cut = tokio::spawn(async move {
        let others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                      WHERE datname = current_database() AND pid <> pg_backend_pid()";
        loop {
            client.execute(others, &[]).await.unwrap();
            // However slow the machine is, a few rounds get through between two cuts.
            let before = seen.load(Ordering::Relaxed);
            while seen.load(Ordering::Relaxed) < before + 3 {
                sleep(Duration::from_millis(1)).await;
            }
        }
    });
    work(&store, &done).await;
    cut.abort();
    assert!(cut.await.unwrap_err().is_cancelled(), "connections were cut until the end");

    // The listening connection was cut, too, and is there again.
    let mut wakeups = store.wakeups();
    let other = database.store().await;
    let woken = async {
        for number in 5_000.. {
            wakeups.mark_unchanged();
            other.commit(batch(vec![add(number)], Vec::new())).await.unwrap();
            if timeout(Duration::from_secs(1), wakeups.changed()).await.is_ok() {
                break;
            }
        }
    };
    timeout(PATIENCE, woken).await.unwrap();
    store.close().await;
    other.close().await;
    database.end().await;
}

/// The server has done what it was asked, and the connection breaks before its answer arrives.
#[tokio::test]
async fn what_is_written_is_written_once_though_answers_are_lost() {
    let database = Database::create().await;
    let proxy = LossyProxy::spawn(&database.config().connection);
    let store = stubborn(PgConfig::new(proxy.connection.clone())).await;
    proxy.losses.begun.store(true, Ordering::Relaxed);
    work(&store, &AtomicU64::new(0)).await;
    assert!(proxy.losses.lost.load(Ordering::Relaxed) > ROUNDS / 10, "answers were lost all along");
    store.close().await;
    proxy.stop().await;
    database.end().await;
}

/// Hands connections on to the server, but swallows some of its answers and then hangs up.
struct LossyProxy {
    connection: String,
    _place: TempDir,
    losses: Arc<Losses>,
    accepting: JoinHandle<()>,
}

/// What a [`LossyProxy`] has done.
#[derive(Default)]
struct Losses {
    begun: AtomicBool,
    answers: AtomicU64,
    lost: AtomicU64,
}

impl LossyProxy {
    /// One answer in so many is lost: enough of them for a new connection to get something done, and a prime, so that
    /// each of the answers in a round is lost some time.
    const ONE_IN: u64 = 23;

    fn spawn(connection: &str) -> Self {
        let target: tokio_postgres::Config = connection.parse().unwrap();
        let Some(Host::Unix(server)) = target.get_hosts().first().cloned() else { panic!("no socket in {connection}") };
        let server = server.join(format!(".s.PGSQL.{}", target.get_ports().first().copied().unwrap_or(5432)));
        let place = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(place.path().join(".s.PGSQL.5432")).unwrap();
        let losses = Arc::new(Losses::default());
        let counted = Arc::clone(&losses);
        let accepting = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (near, _) = listener.accept().await.unwrap();
                let far = UnixStream::connect(&server).await.unwrap();
                connections.spawn(Self::hand_on(near, far, Arc::clone(&counted)));
            }
        });
        let (user, name) = (target.get_user().unwrap(), target.get_dbname().unwrap());
        let connection = format!("host={} user={user} dbname={name}", place.path().display());
        Self { connection, _place: place, losses, accepting }
    }

    async fn hand_on(near: UnixStream, far: UnixStream, losses: Arc<Losses>) {
        let ((mut from_near, mut to_near), (mut from_far, mut to_far)) = (near.into_split(), far.into_split());
        let requests = async { drop(tokio::io::copy(&mut from_near, &mut to_far).await) };
        let replies = async {
            let mut answer = vec![0; 1 << 20];
            while let Ok(length @ 1..) = from_far.read(&mut answer).await {
                let begun = losses.begun.load(Ordering::Relaxed);
                if begun && losses.answers.fetch_add(1, Ordering::Relaxed).is_multiple_of(Self::ONE_IN) {
                    losses.lost.fetch_add(1, Ordering::Relaxed);
                    break;
                }
                if to_near.write_all(&answer[..length]).await.is_err() {
                    break;
                }
            }
        };
        tokio::select! {
            () = requests => {}
            () = replies => {}
        }
    }

    async fn stop(self) {
        self.accepting.abort();
        assert!(self.accepting.await.unwrap_err().is_cancelled(), "the proxy worked until the end");
    }
}

/// The server is killed in the middle and comes back: what was durable is there, and the store goes on by itself.
#[tokio::test]
async fn the_store_outlives_the_server() {
    let server = Server::start().await;
    let mut config = PgConfig::new(server.connection_string());
    config.limits.attempts = 100;
    let store = PgStore::connect(config).await.unwrap();
    settle(&store).await;
    for seq in 1..=60 {
        if seq % 25 == 0 {
            let pid = fs::read_to_string(server.pid_file()).unwrap();
            let pid = Pid::from_raw(pid.lines().next().unwrap().parse().unwrap()).unwrap();
            kill_process(pid, Signal::KILL).unwrap();
        }
        store.commit(batch(Vec::new(), vec![frame(seq)])).await.unwrap();
    }
    assert_eq!(log(&store).await, (1..=60).map(frame).collect::<Vec<_>>());
    // A ping is one question: it fails while a connection is left that the last kill has broken.
    let answers = async {
        while store.ping().await.is_err() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, answers).await.unwrap();
    store.close().await;
    server.stop().await;
}

/// A caller that gives up leaves nothing open behind.
#[tokio::test]
async fn an_abandoned_commit_leaves_no_transaction_open() {
    let database = Database::create().await;
    let store = database.store().await;
    settle(&store).await;
    for number in 0..40 {
        let commit = store.commit(batch(vec![add(100 + number)], Vec::new()));
        // Some end before they begin, some in the middle, some come to their end.
        let _ = timeout(Duration::from_micros(50 * u64::try_from(number).unwrap()), commit).await;
    }
    let client = database.client().await;
    let open = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND xact_start IS NOT NULL \
                AND pid <> pg_backend_pid()";
    let all_ended = async {
        while client.query_one(open, &[]).await.unwrap().get::<_, i64>(0) > 0 {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, all_ended).await.unwrap();
    store.commit(batch(vec![add(99)], vec![frame(1)])).await.unwrap();
    store.close().await;
    database.end().await;
}

#[tokio::test]
async fn what_cannot_be_read_is_said_to_be_corrupt() {
    let database = Database::create().await;
    let store = database.store().await;
    settle(&store).await;
    store.commit(batch(vec![add(10)], Vec::new())).await.unwrap();
    let client = database.client().await;
    client.batch_execute("UPDATE tasks SET input = '[{\"song\":1}]'").await.unwrap();
    let error = store.task(task(10).id).await.unwrap_err();
    assert!(matches!(&error, StoreError::Corrupt { what: "task", detail } if detail.starts_with("input: ")), "{error}");
    client.batch_execute("UPDATE tasks SET input = '[]', outcome = '{\"status\":\"lost\"}'").await.unwrap();
    let error = store.task(task(10).id).await.unwrap_err();
    assert!(
        matches!(&error, StoreError::Corrupt { what: "task", detail } if detail.starts_with("outcome: ")),
        "{error}"
    );
    store.close().await;
    database.end().await;
}

#[tokio::test]
async fn a_database_of_a_later_version_is_refused() {
    let database = Database::create().await;
    database.store().await.close().await;
    let later = "INSERT INTO refinery_schema_history SELECT 9999, 'later', applied_on, checksum \
                 FROM refinery_schema_history WHERE version = 1";
    database.client().await.batch_execute(later).await.unwrap();
    let error = PgStore::connect(database.config()).await.unwrap_err();
    assert!(matches!(error, StoreError::Migration(_)), "{error}");
    database.end().await;
}

#[tokio::test]
async fn a_closed_store_and_an_absent_server_are_unreachable() {
    let database = Database::create().await;
    let store = database.store().await;
    store.close().await;
    let error = store.projects().await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    let left = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let client = database.client().await;
    let all_gone = async {
        while client.query_one(left, &[]).await.unwrap().get::<_, i64>(0) > 0 {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, all_gone).await.unwrap();
    database.end().await;

    let place = tempfile::tempdir().unwrap();
    let mut config = PgConfig::new(format!("host={} user=nobody", place.path().display()));
    config.limits.attempts = 2;
    let error = PgStore::connect(config).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
}

#[tokio::test]
async fn a_refusal_says_what_the_server_said() {
    let database = Database::create().await;
    let config = PgConfig::new(format!("{} dbname=absent", database.config().connection));
    let error = PgStore::connect(config).await.unwrap_err();
    assert_eq!(error.to_string(), "the database refused: database \"absent\" does not exist");
    database.end().await;

    let config = PgConfig::new("postgres://me:secret@[nowhere");
    assert!(!format!("{config:?}").contains("secret"));
    let error = PgStore::connect(config).await.unwrap_err();
    assert!(matches!(error, StoreError::Driver(_)) && !error.to_string().contains("secret"), "{error}");
    assert!(!format!("{:?}", PgConfig::new("postgres://me:secret@localhost/db")).contains("secret"));
}
