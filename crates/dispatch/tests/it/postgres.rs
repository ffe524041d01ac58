//! Two dispatchers on one database, each with connections of its own, as two servers have them.

use std::ffi::OsString;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use boocoder_backend::{OneshotBackend, Registry};
use boocoder_dispatch::{DispatchConfig, DispatchLimits, Dispatcher, NewMessage, Parts, Preparations, PriceTable};
use boocoder_local_pg::{LocalPg, LocalPgConfig};
use boocoder_model::{Answer, ContentPart, DecidedBy, InteractionId, Seq, ServerId, SessionId, TaskId, TaskState};
use boocoder_store::{InteractionFilter, PgConfig, PgStore, ReadBudget, Store};
use boocoder_testkit::repo::TestRepo;
use tokio::runtime::Runtime;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use crate::restart::{agent, options};
use crate::runners::World;

const PATIENCE: Duration = Duration::from_secs(60);
const ALL: ReadBudget = ReadBudget { frames: usize::MAX, bytes: usize::MAX };

#[expect(clippy::disallowed_methods, reason = "a test is a shell: its search path is that of whoever runs it")]
fn search_path() -> OsString {
    std::env::var_os("PATH").unwrap()
}

/// A server in a runtime of its own, which ends with it.
struct Server {
    runtime: Runtime,
    dispatcher: Dispatcher,
    world: World,
}

impl Server {
    fn start(connection: &str, place: &Path, number: u128) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let world = World::default();
        let dispatcher = runtime.block_on(async {
            let store: Arc<dyn Store> = Arc::new(PgStore::connect(PgConfig::new(connection)).await.unwrap());
            let limits = DispatchLimits {
                lease: Duration::from_secs(3),
                renewal: Duration::from_millis(300),
                ..DispatchLimits::default()
            };
            let parts = Parts {
                store,
                registry: Registry::new([agent()], []),
                warm: Arc::new(world.clone()),
                oneshot: Arc::new(OneshotBackend::new(world.clone())),
                git: boocoder_worktree::Git::new(boocoder_worktree::Limits::default()),
                server: Some(ServerId::from_uuid(Uuid::from_u128(number))),
                config: DispatchConfig {
                    preparations: Preparations::default(),
                    worktrees: place.join(number.to_string()),
                    limits,
                    agents: [].into(),
                    prices: PriceTable::default(),
                },
            };
            Dispatcher::start(parts).await.unwrap()
        });
        let agents = world.clone();
        runtime.spawn(async move {
            loop {
                agents.step();
                sleep(Duration::from_millis(2)).await;
            }
        });
        Self { runtime, dispatcher, world }
    }

    fn run<T>(&self, work: impl AsyncFnOnce(&Dispatcher) -> T) -> T {
        self.runtime.block_on(async { timeout(PATIENCE, work(&self.dispatcher)).await.unwrap() })
    }

    fn send(&self, session_id: SessionId, content: &str) -> TaskId {
        let content = vec![ContentPart::Text(content.to_owned())];
        let message = NewMessage { session_id, chat_id: None, content, options: options() };
        self.run(async |dispatcher| dispatcher.send_message(message).await.unwrap().task_id)
    }

    /// The state that a task ends in, and who decided that.
    fn end_of(&self, task: TaskId) -> (TaskState, DecidedBy) {
        self.run(async |dispatcher| {
            loop {
                let task = dispatcher.store().task(task).await.unwrap().unwrap();
                if let Some(outcome) = task.outcome.filter(|_| task.state.is_final()) {
                    return (task.state, outcome.decided_by);
                }
                sleep(Duration::from_millis(5)).await;
            }
        })
    }

    fn asked(&self) -> InteractionId {
        self.run(async |dispatcher| {
            loop {
                let open = dispatcher.store().interactions(InteractionFilter::default()).await.unwrap();
                if let Some(asked) = open.first() {
                    return asked.id;
                }
                sleep(Duration::from_millis(5)).await;
            }
        })
    }
}

#[test]
fn two_servers_on_a_database_forward_show_and_take_over() {
    let place = tempfile::Builder::new().permissions(Permissions::from_mode(0o755)).tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let mut config = LocalPgConfig::new(place.path().join("postgres"), place.path().join("cache"));
    config.search_path = search_path();
    let database = runtime.block_on(LocalPg::start(config)).unwrap();
    let connection = database.connection_string();
    let repo = TestRepo::new().unwrap();

    let here = Server::start(&connection, place.path(), 1);
    let session = here.run(async |dispatcher| {
        let project = dispatcher.add_project(repo.path(), None).await.unwrap();
        dispatcher.add_session(project.id, None).await.unwrap().0.id
    });
    let first = here.send(session, "say one");
    assert_eq!(here.end_of(first).0, TaskState::Completed);
    let there = Server::start(&connection, place.path(), 2);
    let mut client = there.run(async |dispatcher| dispatcher.subscribe(session, Seq::ZERO).await.unwrap());

    // A message, an answer and a cancellation through the second, for an agent under the first.
    let second = there.send(session, "say two\nask may I?\nsay three");
    let asked = there.asked();
    there.run(async |dispatcher| dispatcher.answer(asked, Answer::Select("yes".into())).await.unwrap());
    assert_eq!(there.end_of(second).0, TaskState::Completed);
    let third = there.send(session, "ask may I?");
    there.asked();
    there.run(async |dispatcher| dispatcher.cancel_task(third).await.unwrap());
    assert_eq!(there.end_of(third), (TaskState::Cancelled, DecidedBy::User));
    assert_eq!((here.world.prompts(), there.world.prompts()), (3, 0));

    // The first one dies in a turn, and the second takes over.
    let fourth = there.send(session, "ask may I?");
    there.asked();
    drop(here.runtime);
    assert_eq!(there.end_of(fourth), (TaskState::Failed, DecidedBy::Crash));
    let fifth = there.send(session, "say five");
    assert_eq!(there.end_of(fifth).0, TaskState::Completed);
    assert_eq!(there.world.prompts(), 1);

    there.run(async |dispatcher| {
        let log = dispatcher.store().frames_after(session, Seq::ZERO, ALL).await.unwrap();
        let mut seen = Vec::new();
        while seen.len() < log.len() {
            seen.extend(client.next().await.unwrap().unwrap());
        }
        assert_eq!(seen[..log.len()], log);
        let numbers: Vec<_> = log.iter().map(|frame| frame.seq.0).collect();
        assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>(), "no hole");
        dispatcher.shutdown().await;
    });
    drop(there.runtime);
    runtime.block_on(database.stop());
}
