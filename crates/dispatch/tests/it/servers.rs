//! Two dispatchers on one store: each runs what it owns, and what one is asked the other one does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use boocoder_backend::{OneshotBackend, Registry};
use boocoder_dispatch::{
    DispatchConfig, DispatchError, DispatchLimits, Dispatcher, NewMessage, Parts, Preparations, PriceTable,
    Subscription,
};
use boocoder_model::{
    AgentSessionStatus, Answer, ChatId, ContentPart, DecidedBy, InteractionId, InteractionOutcome, MessageStatus, Seq,
    ServerId, SessionId, Task, TaskId, TaskState,
};
use boocoder_store::{InteractionFilter, MemStore, ReadBudget, Store, StoreError, StoredFrame};
use boocoder_testkit::repo::TestRepo;
use boocoder_wire::{Frame, FrameBody};
use tokio::runtime::Runtime;
use uuid::Uuid;

use crate::restart::{agent, options, said};
use crate::runners::World;

const ALL: ReadBudget = ReadBudget { frames: usize::MAX, bytes: usize::MAX };
const LEASE: Duration = Duration::from_millis(1500);
const PATIENCE: Duration = Duration::from_secs(60);

/// What servers share.
struct Shared {
    store: Arc<dyn Store>,
    repo: TestRepo,
    place: tempfile::TempDir,
}

/// A server: it runs while it is driven, and stands still else, as a process that is stopped does.
struct Server {
    id: ServerId,
    runtime: Runtime,
    dispatcher: Dispatcher,
    world: World,
}

impl Shared {
    fn new() -> Self {
        Self { store: Arc::new(MemStore::new()), repo: TestRepo::new().unwrap(), place: tempfile::tempdir().unwrap() }
    }

    /// Starts a server under this number, with what it left of its agents.
    fn start(&self, number: u128, world: &World) -> Server {
        let id = ServerId::from_uuid(Uuid::from_u128(number));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let limits = DispatchLimits {
            activity: Duration::from_millis(50),
            // So two tasks at once are those of two servers.
            max_running: 1,
            lease: LEASE,
            renewal: LEASE / 8,
            ..DispatchLimits::default()
        };
        let parts = Parts {
            store: Arc::clone(&self.store),
            registry: Registry::new([agent()], []),
            warm: Arc::new(world.clone()),
            oneshot: Arc::new(OneshotBackend::new(world.clone())),
            git: boocoder_worktree::Git::new(boocoder_worktree::Limits::default()),
            server: Some(id),
            config: DispatchConfig {
                preparations: Preparations::default(),
                worktrees: self.place.path().join(number.to_string()),
                limits,
                agents: [].into(),
                prices: PriceTable::default(),
            },
        };
        let dispatcher = runtime.block_on(Dispatcher::start(parts)).unwrap();
        Server { id, runtime, dispatcher, world: world.clone() }
    }

    fn session(&self, server: &Server) -> SessionId {
        let path = self.repo.path();
        server.run(async |dispatcher| {
            let project = dispatcher.add_project(path, None).await.unwrap();
            dispatcher.add_session(project.id, None).await.unwrap().0.id
        })
    }

    /// Drives servers while something is done, each in a thread of its own.
    fn drive<T>(servers: &[&Server], work: impl FnOnce() -> T) -> T {
        let stop = AtomicBool::new(false);
        std::thread::scope(|threads| {
            for server in servers {
                threads.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        server.wait(2);
                        server.world.step();
                    }
                });
            }
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
            stop.store(true, Ordering::Relaxed);
            result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Drives servers until something is so.
    fn until(&self, servers: &[&Server], what: &str, mut is_so: impl AsyncFnMut(&dyn Store) -> bool) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let begun = now();
        Self::drive(servers, || {
            while !runtime.block_on(is_so(&*self.store)) {
                assert!(begun.elapsed() < PATIENCE, "{what} in time");
                std::thread::sleep(Duration::from_millis(2));
            }
        });
    }

    fn until_ended(&self, servers: &[&Server], task: TaskId) -> Task {
        self.until(servers, "the task ends", async |store| task_of(store, task).await.state.is_final());
        read(task_of(&*self.store, task))
    }

    fn until_asked(&self, servers: &[&Server]) -> InteractionId {
        self.until(servers, "a question", async |store| !open(store).await.is_empty());
        read(open(&*self.store))[0]
    }

    /// The log, which has no hole.
    fn log(&self, session: SessionId) -> Vec<StoredFrame> {
        let stored = read(self.store.frames_after(session, Seq::ZERO, ALL)).unwrap();
        let numbers: Vec<_> = stored.iter().map(|frame| frame.seq.0).collect();
        assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>(), "no hole");
        stored
    }

    fn frames(&self, session: SessionId) -> Vec<Frame> {
        self.log(session).iter().map(|frame| Frame::decode(&frame.body).unwrap()).collect()
    }
}

impl Server {
    fn run<T>(&self, work: impl AsyncFnOnce(Dispatcher) -> T) -> T {
        self.runtime.block_on(work(self.dispatcher.clone()))
    }

    fn wait(&self, millis: u64) {
        self.run(async |_| tokio::time::sleep(Duration::from_millis(millis)).await);
    }

    fn send(&self, session_id: SessionId, chat_id: Option<ChatId>, content: &str) -> TaskId {
        let content = vec![ContentPart::Text(content.to_owned())];
        let message = NewMessage { session_id, chat_id, content, options: options() };
        self.run(async |dispatcher| dispatcher.send_message(message).await.unwrap().task_id)
    }

    fn subscribe(&self, session: SessionId) -> Subscription {
        self.run(async |dispatcher| dispatcher.subscribe(session, Seq::ZERO).await.unwrap())
    }

    fn is_fenced_off(&self) -> bool {
        self.run(async |dispatcher| {
            tokio::time::timeout(Duration::from_millis(5), dispatcher.fenced_off()).await.is_ok()
        })
    }

    /// Everything that it does stops where it is. Its agents go on.
    fn kill(self) {
        drop(self.runtime);
    }
}

#[expect(clippy::disallowed_methods, reason = "a test is a shell: it gives up after a while")]
fn now() -> Instant {
    Instant::now()
}

fn read<T>(reading: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(reading)
}

async fn task_of(store: &dyn Store, task: TaskId) -> Task {
    store.task(task).await.unwrap().unwrap()
}

async fn open(store: &dyn Store) -> Vec<InteractionId> {
    let open = store.interactions(InteractionFilter::default()).await.unwrap();
    open.into_iter().map(|asked| asked.id).collect()
}

fn count(frames: &[Frame], is_it: impl Fn(&FrameBody) -> bool) -> usize {
    frames.iter().filter(|frame| is_it(&frame.body)).count()
}

/// Takes in what a client sees until it has seen so many frames.
async fn see(client: &mut Subscription, seen: &mut Vec<StoredFrame>, until: usize) {
    while seen.len() < until {
        seen.extend(client.next().await.unwrap().expect("the session is there"));
    }
}

/// Two servers, and a session with an agent that lives under the first.
fn two(shared: &Shared) -> (Server, Server, SessionId) {
    let here = shared.start(1, &World::default());
    let session = shared.session(&here);
    let first = here.send(session, None, "say one");
    shared.until_ended(&[&here], first);
    let there = Shared::drive(&[&here], || shared.start(2, &World::default()));
    (here, there, session)
}

#[test]
fn a_message_to_the_other_server_runs_where_the_agent_is_and_is_seen_everywhere() {
    let shared = Shared::new();
    let (here, there, session) = two(&shared);
    let mut client = there.subscribe(session);
    let task = there.send(session, None, "say two\nuse 3\nsay three");
    let ended = shared.until_ended(&[&here, &there], task);
    assert_eq!(ended.state, TaskState::Completed, "{ended:?}");
    assert_eq!((here.world.prompts(), there.world.prompts()), (2, 0));
    let log = shared.log(session);
    let mut seen = Vec::new();
    Shared::drive(&[&here], || there.run(async |_| see(&mut client, &mut seen, log.len()).await));
    assert_eq!(seen, log);
    assert_eq!(said(&shared.frames(session), task), "twothree");
    assert!(!here.is_fenced_off() && !there.is_fenced_off());
}

#[test]
fn a_start_leaves_what_others_run_alone() {
    let shared = Shared::new();
    let (here, there, session) = two(&shared);
    let task = here.send(session, None, "say two\nask may I?");
    let asked = shared.until_asked(&[&here, &there]);
    there.kill();
    let before = shared.log(session);
    let there = Shared::drive(&[&here], || shared.start(2, &World::default()));
    assert_eq!(shared.log(session), before, "nothing was settled");
    assert_eq!(read(open(&*shared.store)), [asked]);
    assert_eq!(read(task_of(&*shared.store, task)).state, TaskState::Running);
    Shared::drive(&[&here], || {
        there.run(async |dispatcher| dispatcher.answer(asked, Answer::Select("yes".into())).await.unwrap());
    });
    assert_eq!(shared.until_ended(&[&here, &there], task).state, TaskState::Completed);
}

#[test]
fn an_answer_to_the_other_server_reaches_the_agent() {
    let shared = Shared::new();
    let (here, there, session) = two(&shared);
    let task = here.send(session, None, "ask may I?\nsay done");
    let asked = shared.until_asked(&[&here, &there]);
    let answer = |answer: Answer| {
        let answer = async |dispatcher: Dispatcher| dispatcher.answer(asked, answer).await;
        Shared::drive(&[&here], || there.run(answer))
    };
    let wrong = answer(Answer::Select("no such option".into()));
    assert!(matches!(wrong, Err(DispatchError::Invalid(_))), "{wrong:?}");
    let settled = answer(Answer::Select("yes".into())).unwrap().settled;
    assert_eq!(settled, Some((InteractionOutcome::Selected("yes".into()), DecidedBy::User)));
    let again = answer(Answer::Cancel);
    assert!(matches!(again, Err(DispatchError::AlreadySettled { .. })), "{again:?}");
    assert_eq!(shared.until_ended(&[&here, &there], task).state, TaskState::Completed);
    assert_eq!(said(&shared.frames(session), task), "answered Select(\"yes\")done");
}

#[test]
fn an_answer_that_the_owner_does_not_act_on_is_kept_for_it() {
    let shared = Shared::new();
    let (here, there, session) = two(&shared);
    let task = here.send(session, None, "ask may I?");
    let asked = shared.until_asked(&[&here, &there]);
    // The first one stands still, for less than its lease.
    let silent = there.run(async |dispatcher| dispatcher.answer(asked, Answer::Select("yes".into())).await);
    assert!(matches!(silent, Err(DispatchError::OwnerSilent)), "{silent:?}");
    let ended = shared.until_ended(&[&here], task);
    assert_eq!(ended.state, TaskState::Completed, "{ended:?}");
    assert!(said(&shared.frames(session), task).starts_with("answered Select"));
}

#[test]
fn a_cancellation_at_the_other_server_stops_the_turn() {
    let shared = Shared::new();
    let (here, there, session) = two(&shared);
    let task = here.send(session, None, "say two\nask may I?");
    shared.until_asked(&[&here, &there]);
    there.run(async |dispatcher| dispatcher.cancel_task(task).await.unwrap());
    let ended = shared.until_ended(&[&here, &there], task);
    assert_eq!((ended.state, ended.cancel_requested), (TaskState::Cancelled, Some(DecidedBy::User)));
    let next = there.send(session, None, "say three");
    assert_eq!(shared.until_ended(&[&here, &there], next).state, TaskState::Completed);
    assert_eq!(here.world.prompts(), 3);
}

#[test]
fn a_session_that_one_server_removes_is_gone_from_the_other() {
    let shared = Shared::new();
    let (here, there, session) = two(&shared);
    let mut client = here.subscribe(session);
    there.run(async |dispatcher| dispatcher.remove_session(session, true).await.unwrap());
    shared.until(&[&here, &there], "its agent is closed", async |store| store.runners().await.unwrap().is_empty());
    here.run(async |_| while client.next().await.unwrap().is_some() {});
    assert!(client.is_session_removed());
}

/// What the first ran fails, and the other one goes on with the chat.
#[test]
fn a_server_that_dies_is_taken_over_when_its_lease_ends() {
    let shared = Shared::new();
    let (here, there, session) = two(&shared);
    let task = here.send(session, None, "say two\nask may I?");
    let asked = shared.until_asked(&[&here, &there]);
    let next = there.send(session, None, "say three");
    here.kill();
    let ended = shared.until_ended(&[&there], task);
    let outcome = ended.outcome.unwrap();
    assert_eq!((ended.state, outcome.decided_by), (TaskState::Failed, DecidedBy::Crash));
    assert_eq!(outcome.reason, "the server that ran the turn has gone");
    assert_eq!(shared.until_ended(&[&there], next).state, TaskState::Completed);
    assert_eq!(there.world.prompts(), 1);

    let settled = read(shared.store.interaction(asked)).unwrap().unwrap().settled;
    assert_eq!(settled, Some((InteractionOutcome::Cancelled, DecidedBy::Crash)));
    let frames = shared.frames(session);
    assert_eq!(said(&frames, task), "two");
    assert_eq!(count(&frames, |body| matches!(body, FrameBody::InteractionResolved { .. })), 1);
    assert_eq!(count(&frames, |body| matches!(body, FrameBody::TaskUpdated { outcome: Some(_), .. })), 3);
    let messages = read(shared.store.messages_of_task(task)).unwrap();
    assert_eq!((messages[1].status, messages[1].content.as_str()), (MessageStatus::Failed, "two"));
    assert!(read(shared.store.lapsed(jiff::Timestamp::MAX)).unwrap().iter().all(|lapsed| lapsed.server == there.id));
}

/// An idle agent of a server that has gone keeps its chat from nobody, and is not shown as live.
#[test]
fn an_agent_that_waited_under_a_server_that_died_is_not_waited_for() {
    let shared = Shared::new();
    let (here, there, session) = two(&shared);
    here.kill();
    let chat = read(shared.store.chats(session)).unwrap()[0].id;
    shared.until(&[&there], "its agent is given up", async |store| {
        let record = store.agent_session(chat, &"fake".into()).await.unwrap().unwrap();
        record.status == AgentSessionStatus::Closed
    });
    let next = there.send(session, None, "say two");
    assert_eq!(shared.until_ended(&[&there], next).state, TaskState::Completed);
    assert_eq!(there.world.prompts(), 1);
}

/// A server that is stopped for longer than its lease and goes on then: nothing of what it does counts.
#[test]
fn a_server_that_comes_back_late_writes_nothing_and_may_start_again() {
    let shared = Shared::new();
    let (here, there, session) = two(&shared);
    let task = here.send(session, None, "say two\nask may I?\nsay late");
    let asked = shared.until_asked(&[&here, &there]);
    assert_eq!(shared.until_ended(&[&there], task).state, TaskState::Failed);
    let next = there.send(session, None, "say three");
    assert_eq!(shared.until_ended(&[&there], next).state, TaskState::Completed);

    let before = shared.log(session);
    let late = here.run(async |dispatcher| dispatcher.answer(asked, Answer::Select("yes".into())).await);
    assert!(matches!(late, Err(DispatchError::AlreadySettled { .. })), "{late:?}");
    here.run(async |dispatcher| {
        let title = Some("late".to_owned());
        let refused = dispatcher.add_chat(session, title).await;
        assert!(matches!(refused, Err(DispatchError::Store(StoreError::FencedOff))), "{refused:?}");
        dispatcher.fenced_off().await;
    });
    for _ in 0..50 {
        here.world.step();
        here.wait(2);
    }
    assert_eq!(shared.log(session), before);
    assert!(!there.is_fenced_off());
    here.run(async |dispatcher| dispatcher.hand_over().await);
    let world = here.world.clone();
    here.kill();

    let here = Shared::drive(&[&there], || shared.start(1, &world));
    assert!(!here.is_fenced_off());
    assert!(!world.has_runners(), "it has ended what nobody waits for any more");
    let last = here.send(session, None, "say four");
    assert_eq!(shared.until_ended(&[&here, &there], last).state, TaskState::Completed);
    assert_eq!(there.world.prompts(), 2, "the agent lives under the other one now");
    let frames = shared.frames(session);
    assert_eq!(count(&frames, |body| matches!(body, FrameBody::TaskUpdated { outcome: Some(_), .. })), 4);
}

/// A server that restarts within its lease goes on with what it ran.
#[test]
fn a_server_that_restarts_in_time_keeps_its_turn() {
    let shared = Shared::new();
    let (here, there, session) = two(&shared);
    let task = here.send(session, None, "say two\nask may I?\nsay three");
    let asked = shared.until_asked(&[&here, &there]);
    let world = here.world.clone();
    here.kill();
    let here = Shared::drive(&[&there], || shared.start(1, &world));
    Shared::drive(&[&here], || {
        there.run(async |dispatcher| dispatcher.answer(asked, Answer::Select("yes".into())).await.unwrap());
    });
    assert_eq!(shared.until_ended(&[&here, &there], task).state, TaskState::Completed);
    assert_eq!(said(&shared.frames(session), task), "twoanswered Select(\"yes\")three");
    assert_eq!(world.prompts(), 2);
}

/// Both write to the log of one session all the time: it has no hole, and clients of both see the same.
#[test]
fn two_servers_write_to_one_session_at_once() {
    let shared = Shared::new();
    let (here, there, session) = two(&shared);
    let prompt = (0..40).map(|n| format!("say {n} ")).collect::<Vec<_>>().join("\n");
    let other = there.run(async |dispatcher| dispatcher.add_chat(session, None).await.unwrap()).id;
    let elsewhere = there.send(session, Some(other), &prompt);
    shared.until_ended(&[&there], elsewhere);
    assert_eq!(there.world.prompts(), 1);

    let mut clients = [here.subscribe(session), there.subscribe(session)];
    let tasks: Vec<_> =
        (0..3).flat_map(|_| [here.send(session, Some(other), &prompt), there.send(session, None, &prompt)]).collect();
    for task in &tasks {
        assert_eq!(shared.until_ended(&[&here, &there], *task).state, TaskState::Completed);
    }
    assert_eq!((here.world.prompts(), there.world.prompts()), (4, 4));
    let log = shared.log(session);
    let whole: String = (0..40).map(|n| format!("{n} ")).collect();
    let frames = shared.frames(session);
    for task in tasks {
        assert_eq!(said(&frames, task), whole);
    }
    for (server, client) in [&here, &there].into_iter().zip(&mut clients) {
        let mut seen = Vec::new();
        server.run(async |_| see(client, &mut seen, log.len()).await);
        assert_eq!(seen, log);
    }
}

/// Whoever makes the session's worktree first, the other one works in it, too.
#[test]
fn two_chats_of_a_new_session_begin_under_two_servers() {
    let shared = Shared::new();
    let here = shared.start(1, &World::default());
    let there = Shared::drive(&[&here], || shared.start(2, &World::default()));
    let session = shared.session(&here);
    let chats = [None, Some(here.run(async |dispatcher| dispatcher.add_chat(session, None).await.unwrap()).id)];
    let tasks = chats.map(|chat| here.send(session, chat, "say one\nask may I?"));
    shared.until(&[&here, &there], "both ask", async |store| open(store).await.len() == 2);
    assert_eq!((here.world.prompts(), there.world.prompts()), (1, 1));
    for asked in read(open(&*shared.store)) {
        Shared::drive(&[&there], || {
            here.run(async |dispatcher| dispatcher.answer(asked, Answer::Select("yes".into())).await.unwrap());
        });
    }
    for task in tasks {
        let ended = shared.until_ended(&[&here, &there], task);
        assert_eq!(ended.state, TaskState::Completed, "{ended:?}");
    }
}

/// A server that stops politely lets the others go on at once.
#[test]
fn what_a_server_leaves_that_stops_is_free_at_once() {
    let shared = Shared::new();
    let (here, there, session) = two(&shared);
    Shared::drive(&[&there], || here.run(async |dispatcher| dispatcher.shutdown().await));
    let next = there.send(session, None, "say two");
    assert_eq!(shared.until_ended(&[&there], next).state, TaskState::Completed);
    assert_eq!(there.world.prompts(), 1);
}
