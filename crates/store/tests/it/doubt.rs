//! A transaction whose end nobody has seen: what became of it is known for certain, also after a crash of the database, which
//! forgets the numbers of transactions that were not on disk and gives them to others.

use std::fs;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use boocoder_model::TaskState;
use boocoder_store::conformance::PATIENCE;
use boocoder_store::{PgConfig, PgStore, Store, StoreError, TaskFilter, WriteBatch};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Notify, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_postgres::config::Host;
use tokio_postgres::{Client, NoTls};

use crate::database::{Database, Server};
use crate::postgres::{AT, add, batch, frame, log, settle, task};

/// Crashes that a test goes through at most until the server has forgotten a transaction in one: now and then it writes its
/// log to disk just before.
const CRASHES: u64 = 20;

/// What becomes of the next `COMMIT`.
#[derive(Clone, Copy)]
enum Fate {
    /// The server is killed before it hears of it.
    Crash(Pid),
    /// The server hears of it so much later, and whoever sent it never hears of the server.
    Late(Duration),
    /// The server does it, and from then on nothing comes through.
    Lost,
}

/// Hands connections on to the server, except where a `COMMIT` has another fate.
struct Gate {
    connection: String,
    _place: TempDir,
    state: Arc<State>,
    accepting: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    fate: Mutex<Option<Fate>>,
    /// Whether connections wait.
    shut: watch::Sender<bool>,
    met: Notify,
}

impl Gate {
    fn before(connection: &str) -> Self {
        let target: tokio_postgres::Config = connection.parse().unwrap();
        let Some(Host::Unix(server)) = target.get_hosts().first().cloned() else { panic!("no socket in {connection}") };
        let server = server.join(format!(".s.PGSQL.{}", target.get_ports().first().copied().unwrap_or(5432)));
        let place = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(place.path().join(".s.PGSQL.5432")).unwrap();
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        let accepting = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (near, _) = listener.accept().await.unwrap();
                let (server, state) = (server.clone(), Arc::clone(&shared));
                connections.spawn(async move {
                    state.shut.subscribe().wait_for(|shut| !shut).await.unwrap();
                    // A server that is not there hangs up.
                    if let Ok(far) = UnixStream::connect(&server).await {
                        hand_on(near, far, &state).await;
                    }
                });
            }
        });
        let (user, name) = (target.get_user().unwrap(), target.get_dbname().unwrap());
        let connection = format!("host={} user={user} dbname={name}", place.path().display());
        Self { connection, _place: place, state, accepting }
    }

    async fn store(&self) -> PgStore {
        let mut config = PgConfig::new(self.connection.clone());
        config.limits.attempts = 100;
        PgStore::connect(config).await.unwrap()
    }

    fn arm(&self, fate: Fate) {
        *self.state.fate.lock().unwrap() = Some(fate);
    }

    /// Does something in the middle of which the server crashes. Before it comes through again, others take the numbers of
    /// transactions up to well behind the one that was open. Says, too, whether the server had forgotten that one's.
    async fn through_a_crash<T>(&self, server: &Server, work: impl Future<Output = T>) -> (T, bool) {
        let next = next_number(&connect(server).await).await;
        self.arm(Fate::Crash(postmaster(server)));
        let others = async {
            self.state.met.notified().await;
            let client = connect(server).await;
            let first = number(&client).await;
            while number(&client).await < next + 20 {}
            self.state.shut.send_replace(false);
            first <= next
        };
        timeout(PATIENCE, async { tokio::join!(work, others) }).await.unwrap()
    }

    async fn stop(self) {
        self.accepting.abort();
        assert!(self.accepting.await.unwrap_err().is_cancelled(), "the gate worked until the end");
    }
}

async fn hand_on(near: UnixStream, far: UnixStream, state: &State) {
    let ((mut from_near, mut to_near), (mut from_far, mut to_far)) = (near.into_split(), far.into_split());
    let mut fate = None;
    {
        let requests = async {
            let mut request = vec![0; 1 << 20];
            while let Ok(length @ 1..) = from_near.read(&mut request).await {
                let request = &request[..length];
                if request.windows(7).any(|window| window == b"COMMIT\0") {
                    fate = state.fate.lock().unwrap().take();
                }
                if fate.is_some() || to_far.write_all(request).await.is_err() {
                    break;
                }
            }
        };
        let replies = async { drop(tokio::io::copy(&mut from_far, &mut to_near).await) };
        // Not even what is left of a server that was killed answers any more.
        let mut shut = state.shut.subscribe();
        tokio::select! {
            () = requests => {}
            () = replies => {}
            _ = shut.wait_for(|shut| *shut) => {}
        }
    }
    match fate {
        None => return,
        Some(Fate::Crash(postmaster)) => {
            state.shut.send_replace(true);
            kill_process(postmaster, Signal::KILL).unwrap();
            drop((from_near, to_near));
        }
        Some(Fate::Late(late)) => {
            drop((from_near, to_near));
            sleep(late).await;
            commit(&mut from_far, &mut to_far).await;
        }
        Some(Fate::Lost) => {
            state.shut.send_replace(true);
            commit(&mut from_far, &mut to_far).await;
            drop((from_near, to_near));
        }
    }
    state.met.notify_one();
}

async fn commit(from_far: &mut OwnedReadHalf, to_far: &mut OwnedWriteHalf) {
    to_far.write_all(b"Q\0\0\0\x0bCOMMIT\0").await.unwrap();
    let answer = from_far.read(&mut [0; 64]).await.unwrap();
    assert!(answer > 0, "it is committed");
}

fn postmaster(server: &Server) -> Pid {
    let pid = fs::read_to_string(server.pid_file()).unwrap();
    Pid::from_raw(pid.lines().next().unwrap().parse().unwrap()).unwrap()
}

/// Connects once the server is there.
async fn connect(server: &Server) -> Client {
    let connected = async {
        loop {
            if let Ok((client, connection)) = tokio_postgres::connect(&server.connection_string(), NoTls).await {
                tokio::spawn(connection);
                return client;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, connected).await.unwrap()
}

/// The number that the next transaction will have.
async fn next_number(client: &Client) -> u64 {
    let sql = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text";
    client.query_one(sql, &[]).await.unwrap().get::<_, String>(0).parse().unwrap()
}

/// The number of a transaction that is committed right away.
async fn number(client: &Client) -> u64 {
    let row = client.query_one("SELECT pg_current_xact_id()::text", &[]).await.unwrap();
    row.get::<_, String>(0).parse().unwrap()
}

#[tokio::test]
async fn a_batch_in_doubt_is_written_once_though_others_have_its_number_after_a_crash() {
    let server = Server::start().await;
    let gate = Gate::before(&server.connection_string());
    let store = gate.store().await;
    settle(&store).await;
    for durable in [true, false] {
        let mut was_forgotten = false;
        for _ in 0..CRASHES {
            let before = log(&store).await.len() as u64;
            let added = 100 + u128::from(before);
            let write = WriteBatch { durable, ..batch(vec![add(added)], vec![frame(before + 1)]) };
            let (written, forgotten) = gate.through_a_crash(&server, store.commit(write)).await;
            written.unwrap();
            assert_eq!(log(&store).await, (1..=before + 1).map(frame).collect::<Vec<_>>());
            assert_eq!(store.task(task(added).id).await.unwrap().map(|task| task.state), Some(TaskState::Queued));
            was_forgotten |= forgotten;
            if was_forgotten {
                break;
            }
        }
        assert!(was_forgotten, "the server always had it on disk");
    }
    store.close().await;
    gate.stop().await;
    server.stop().await;
}

#[tokio::test]
async fn a_claim_in_doubt_is_made_once_though_others_have_its_number_after_a_crash() {
    let server = Server::start().await;
    let gate = Gate::before(&server.connection_string());
    let store = gate.store().await;
    settle(&store).await;
    let mut was_forgotten = false;
    let mut count = 0;
    while !was_forgotten {
        count += 1;
        assert!(count <= CRASHES, "the server always had it on disk");
        let id = task(count.into()).id;
        store.commit(batch(vec![add(count.into())], Vec::new())).await.unwrap();
        let (claimed, forgotten) = gate.through_a_crash(&server, store.claim_task(None, AT)).await;
        assert_eq!(claimed.unwrap().map(|task| task.id), Some(id));
        assert_eq!(store.task(id).await.unwrap().map(|task| task.state), Some(TaskState::Running));
        assert_eq!(store.claim_task(None, AT).await.unwrap(), None);
        was_forgotten = forgotten;
    }
    store.close().await;
    gate.stop().await;
    server.stop().await;
}

/// Whoever asks what became of a transaction that has not ended waits for its end.
#[tokio::test]
async fn what_ends_late_is_waited_for_and_written_once() {
    let database = Database::create().await;
    let gate = Gate::before(&database.config().connection);
    let store = gate.store().await;
    settle(&store).await;
    let late = Fate::Late(Duration::from_millis(700));
    gate.arm(late);
    store.commit(batch(vec![add(10)], vec![frame(1)])).await.unwrap();
    assert_eq!(log(&store).await, [frame(1)]);
    gate.arm(late);
    let claimed = store.claim_task(None, AT).await.unwrap();
    assert_eq!(claimed.map(|task| task.id), Some(task(10).id));
    let running = TaskFilter { state: Some(TaskState::Running), ..TaskFilter::default() };
    assert_eq!(store.tasks(running).await.unwrap().len(), 1);
    assert!(gate.state.fate.lock().unwrap().is_none(), "both were late");
    store.close().await;
    gate.stop().await;
    database.end().await;
}

/// A caller that was told that the database is away, though what it asked for had been done, comes back.
#[tokio::test]
async fn what_was_done_before_the_database_went_away_is_found_done() {
    let database = Database::create().await;
    let gate = Gate::before(&database.config().connection);
    let mut config = PgConfig::new(gate.connection.clone());
    (config.limits.attempts, config.limits.connect) = (2, Duration::from_millis(100));
    let store = PgStore::connect(config).await.unwrap();
    settle(&store).await;
    let away = |error: StoreError| assert!(error.is_transient(), "{error}");

    // Written a second time, it would be refused.
    for durable in [true, false] {
        let number = if durable { 10 } else { 11 };
        let write = WriteBatch { durable, ..batch(vec![add(number)], Vec::new()) };
        gate.arm(Fate::Lost);
        away(store.commit(write.clone()).await.unwrap_err());
        away(store.commit(write.clone()).await.unwrap_err());
        gate.state.shut.send_replace(false);
        store.commit(write.clone()).await.unwrap();
        assert!(store.commit(write).await.is_err(), "it is another one from then on");
    }

    gate.arm(Fate::Lost);
    away(store.claim_task(None, AT).await.unwrap_err());
    away(store.claim_task(None, AT).await.unwrap_err());
    gate.state.shut.send_replace(false);
    let claimed = store.claim_task(None, AT).await.unwrap();
    assert_eq!(claimed.map(|task| (task.id, task.state)), Some((task(10).id, TaskState::Running)));
    assert_eq!(store.claim_task(None, AT).await.unwrap().map(|task| task.id), Some(task(11).id));
    assert_eq!(store.claim_task(None, AT).await.unwrap(), None);
    store.close().await;
    gate.stop().await;
    database.end().await;
}

/// There are no more rows than transactions at once, and those of a process that is gone do not stay for ever.
#[tokio::test]
async fn marks_are_used_again_and_go_when_they_are_old() {
    let database = Database::create().await;
    let client = database.client().await;
    let count = async || client.query_one("SELECT count(*) FROM commit_marks", &[]).await.unwrap().get::<_, i64>(0);
    let store = database.store().await;
    settle(&store).await;
    for number in 10..40 {
        store.commit(batch(vec![add(number)], Vec::new())).await.unwrap();
        assert!(store.commit(batch(vec![add(number)], Vec::new())).await.is_err());
        assert!(store.claim_task(None, AT).await.unwrap().is_some());
    }
    assert_eq!(count().await, 1);
    store.close().await;
    database.store().await.close().await;
    assert_eq!(count().await, 1, "it is not old yet");
    client.batch_execute("UPDATE commit_marks SET used_at = now() - interval '31 days'").await.unwrap();
    database.store().await.close().await;
    assert_eq!(count().await, 0);
    database.end().await;
}
