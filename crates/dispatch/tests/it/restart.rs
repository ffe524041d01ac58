//! A dispatcher that dies at any moment and another one that goes on: nothing is lost, nothing is repeated.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use boocoder_backend::{AgentSpec, CommandLine, Limits, OneshotBackend, Protocol, Registry};
use boocoder_dispatch::{
    DispatchConfig, DispatchLimits, Dispatcher, NewMessage, NewTask, Parts, Preparations, PriceTable, TaskOptions,
};
use boocoder_model::{
    Answer, Approval, ContentPart, DecidedBy, MessageRole, MessageStatus, Seq, SessionId, TaskId, TaskState,
};
use boocoder_store::{InteractionFilter, MemStore, ReadBudget, Store, TaskFilter};
use boocoder_testkit::repo::TestRepo;
use boocoder_wire::{Frame, FrameBody};
use jiff::Timestamp;
use proptest::prelude::*;
use tokio::runtime::Runtime;

use crate::runners::World;

const ALL: ReadBudget = ReadBudget { frames: usize::MAX, bytes: usize::MAX };

/// What outlives a dispatcher, and the one that runs.
pub(crate) struct Bench {
    store: Arc<dyn Store>,
    pub(crate) world: World,
    repo: TestRepo,
    worktrees: tempfile::TempDir,
    running: Option<(Runtime, Dispatcher)>,
    limits: DispatchLimits,
    session: Option<SessionId>,
}

pub(crate) fn agent() -> AgentSpec {
    AgentSpec {
        name: "fake".into(),
        label: "Fake".into(),
        enabled: true,
        protocol: Protocol::Acp,
        command_line: CommandLine::default(),
        warm: true,
        command: "fake".into(),
        args: vec![],
        env: [].into(),
        commands: vec![],
        mcp_servers: vec![],
        limits: Limits::default(),
    }
}

pub(crate) fn options() -> TaskOptions {
    TaskOptions {
        agent: "fake".into(),
        model: None,
        mode_id: None,
        thinking_option_id: None,
        approval: Approval::Ask,
        request_id: None,
    }
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::over(Arc::new(MemStore::new()))
    }

    pub(crate) fn over(store: Arc<dyn Store>) -> Self {
        let mut bench = Self {
            store,
            world: World::default(),
            repo: TestRepo::new().unwrap(),
            worktrees: tempfile::tempdir().unwrap(),
            running: None,
            limits: DispatchLimits { activity: Duration::from_millis(50), ..DispatchLimits::default() },
            session: None,
        };
        bench.start();
        let path = bench.repo.path().to_owned();
        let session = bench.run(async move |dispatcher| {
            let project = dispatcher.add_project(Path::new(&path), None).await.unwrap();
            dispatcher.add_session(project.id, None).await.unwrap().0.id
        });
        bench.session = Some(session);
        bench
    }

    pub(crate) fn session(&self) -> SessionId {
        self.session.expect("it has begun")
    }

    /// The project's checkout.
    pub(crate) fn project(&self) -> std::path::PathBuf {
        self.repo.path().to_owned()
    }

    /// The session's worktree.
    pub(crate) fn worktree(&self) -> std::path::PathBuf {
        self.worktrees.path().join("w").join(format!("session-{}", self.session()))
    }

    fn start(&mut self) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let parts = Parts {
            store: Arc::clone(&self.store),
            registry: Registry::new([agent()], []),
            warm: Arc::new(self.world.clone()),
            oneshot: Arc::new(OneshotBackend::new(self.world.clone())),
            git: boocoder_worktree::Git::new(boocoder_worktree::Limits::default()),
            server: None,
            config: DispatchConfig {
                preparations: Preparations::default(),
                worktrees: self.worktrees.path().join("w"),
                limits: self.limits.clone(),
                agents: [].into(),
                prices: PriceTable::default(),
            },
        };
        let dispatcher = runtime.block_on(Dispatcher::start(parts)).unwrap();
        self.running = Some((runtime, dispatcher));
    }

    /// Everything that the dispatcher does stops where it is.
    fn kill(&mut self) {
        let (runtime, dispatcher) = self.running.take().unwrap();
        drop(runtime);
        drop(dispatcher);
    }

    pub(crate) fn run<T>(&self, work: impl AsyncFnOnce(Dispatcher) -> T) -> T {
        let (runtime, dispatcher) = self.running.as_ref().unwrap();
        runtime.block_on(work(dispatcher.clone()))
    }

    /// Gives the dispatcher a little time.
    pub(crate) fn turn(&self, millis: u64) {
        self.run(async |_| tokio::time::sleep(Duration::from_millis(millis)).await);
    }

    pub(crate) fn send(&self, content: &str) -> TaskId {
        let message = NewMessage {
            session_id: self.session.unwrap(),
            chat_id: None,
            content: vec![ContentPart::Text(content.to_owned())],
            options: options(),
        };
        self.run(async |dispatcher| dispatcher.send_message(message).await.unwrap().task_id)
    }

    /// A task that belongs to no session.
    pub(crate) fn add_task(&self, input: &str) -> TaskId {
        self.run(async |dispatcher| {
            let project_id = dispatcher.store().projects().await.unwrap()[0].id;
            let input = vec![ContentPart::Text(input.to_owned())];
            let new = NewTask { project_id, session_id: None, chat_id: None, input, options: options() };
            dispatcher.add_task(new).await.unwrap().id
        })
    }

    /// Answers whatever is asked.
    fn answer(&self) {
        self.run(async |dispatcher| {
            for asked in dispatcher.store().interactions(InteractionFilter::default()).await.unwrap() {
                // A lane that is only just taking its agent up has nobody to give the answer to yet.
                let _ = dispatcher.answer(asked.id, Answer::Select("yes".into())).await;
            }
        });
    }

    fn open_questions(&self) -> usize {
        self.run(async |dispatcher| dispatcher.store().interactions(InteractionFilter::default()).await.unwrap().len())
    }

    fn tasks_left(&self) -> usize {
        self.run(async |dispatcher| {
            let tasks = dispatcher.store().tasks(TaskFilter::default()).await.unwrap();
            tasks.iter().filter(|task| !task.state.is_final()).count()
        })
    }

    pub(crate) fn frames(&self) -> Vec<Frame> {
        let session = self.session.unwrap();
        let stored =
            self.run(async |dispatcher| dispatcher.store().frames_after(session, Seq::ZERO, ALL).await.unwrap());
        let numbers: Vec<_> = stored.iter().map(|frame| frame.seq.0).collect();
        assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>(), "no hole");
        stored.iter().map(|frame| Frame::decode(&frame.body).unwrap()).collect()
    }

    /// Lets everything come to its end.
    pub(crate) fn calm(&self) {
        for _ in 0..2000 {
            let stepped = self.world.step();
            self.answer();
            self.turn(2);
            if !stepped && self.tasks_left() == 0 {
                return self.turn(120);
            }
        }
        panic!("{} tasks never ended", self.tasks_left());
    }
}

#[derive(Clone, Debug)]
enum Op {
    Send,
    Step,
    Answer,
    Wait,
    Restart,
    HandOver,
    KillRunners,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        2 => Just(Op::Send),
        8 => Just(Op::Step),
        2 => Just(Op::Answer),
        3 => Just(Op::Wait),
        3 => Just(Op::Restart),
        1 => Just(Op::HandOver),
    ]
}

#[expect(clippy::disallowed_methods, reason = "a test is a shell: it says when a task was claimed")]
fn now() -> Timestamp {
    Timestamp::now()
}

fn prompt(n: usize) -> String {
    format!("say a{n} \nuse 3\nask may I {n}\nsay b{n} \nsay c{n}\nmurmur d{n}")
}

/// What the frames tell of the message of a task.
pub(crate) fn said(frames: &[Frame], task: TaskId) -> String {
    let delta = |frame: &&Frame| matches!(frame.body, FrameBody::Delta { .. }) && frame.task_id == Some(task);
    let text =
        |frame: &Frame| if let FrameBody::Delta { content } = &frame.body { content.clone() } else { String::new() };
    frames.iter().filter(delta).map(text).collect()
}

fn play(ops: &[Op]) -> Result<(), TestCaseError> {
    let mut bench = Bench::new();
    let mut sent = Vec::new();
    let mut killed = false;
    for op in ops {
        match op {
            Op::Send => sent.push(bench.send(&prompt(sent.len()))),
            Op::Step => drop(bench.world.step()),
            Op::Answer => bench.answer(),
            Op::Wait => bench.turn(3),
            Op::Restart => {
                bench.kill();
                bench.start();
            }
            Op::HandOver => {
                bench.run(async |dispatcher| dispatcher.hand_over().await);
                bench.kill();
                bench.start();
            }
            Op::KillRunners => {
                killed = true;
                bench.world.kill_runners();
            }
        }
    }
    bench.calm();
    let frames = bench.frames();
    for (n, task) in sent.iter().enumerate() {
        let kept = bench.run(async |dispatcher| dispatcher.store().task(*task).await.unwrap().unwrap());
        let answer = format!("a{n} answered Select(\"yes\")b{n} c{n}");
        let (whole, murmur) = (format!("{answer}d{n}"), format!("d{n}"));
        // What it murmured when the next turn had begun already stands for itself.
        let murmured =
            frames.iter().filter(|frame| matches!(&frame.body, FrameBody::Delta { content } if *content == murmur));
        let heard = said(&frames, *task);
        let lines = bench.run(async |dispatcher| dispatcher.store().usage_of_task(*task).await.unwrap());
        let used: u64 = lines.iter().map(|line| line.used.input).sum();
        prop_assert_eq!(used, kept.cost_tokens.unwrap_or_default(), "each use is in the ledger once: {:?}", lines);
        if killed {
            prop_assert!(kept.state.is_final());
            continue;
        }
        prop_assert_eq!((kept.state, kept.cost_tokens), (TaskState::Completed, Some(3)), "{:?}", kept.outcome);
        prop_assert!(heard == whole || heard == answer, "task {n}: {heard}");
        prop_assert_eq!(murmured.count(), 1, "task {}", n);
        let messages = bench.run(async |dispatcher| dispatcher.store().messages_of_task(*task).await.unwrap());
        let answers = messages.iter().filter(|message| message.role == MessageRole::Assistant);
        let content: String = answers.clone().map(|message| message.content.as_str()).collect();
        prop_assert_eq!(&content, &heard);
        prop_assert!(messages.iter().all(|message| message.status == MessageStatus::Complete), "{messages:?}");
    }
    if !killed {
        prop_assert_eq!(bench.world.prompts(), sent.len(), "each message is asked once");
    }
    let asked = frames.iter().filter(|frame| matches!(frame.body, FrameBody::InteractionRequested { .. })).count();
    let resolved = frames.iter().filter(|frame| matches!(frame.body, FrameBody::InteractionResolved { .. })).count();
    prop_assert_eq!(asked, resolved, "what was asked was settled once");
    let ended = |frame: &&Frame| matches!(&frame.body, FrameBody::TaskUpdated { outcome: Some(_), .. });
    prop_assert_eq!(frames.iter().filter(ended).count(), sent.len(), "each turn ends once");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_dispatcher_that_dies_at_any_moment_loses_and_repeats_nothing(ops in prop::collection::vec(op(), 5..60)) {
        play(&ops)?;
    }

    #[test]
    fn runners_that_die_fail_their_turns_and_no_others(
        mut ops in prop::collection::vec(op(), 5..40),
        places in prop::collection::vec(any::<prop::sample::Index>(), 1..3),
    ) {
        for place in places {
            ops.insert(place.index(ops.len()), Op::KillRunners);
        }
        play(&ops)?;
    }
}

#[test]
fn a_question_stays_open_over_a_restart_and_its_answer_reaches_the_agent() {
    let mut bench = Bench::new();
    let task = bench.send("ask may I?");
    let open = |bench: &Bench| {
        bench.run(async |dispatcher| dispatcher.store().interactions(InteractionFilter::default()).await.unwrap())
    };
    while open(&bench).is_empty() {
        bench.world.step();
        bench.turn(2);
    }
    let asked = open(&bench);
    bench.kill();
    bench.start();
    assert_eq!(open(&bench), asked, "it is the same question");
    bench.run(async |dispatcher| dispatcher.answer(asked[0].id, Answer::Select("yes".into())).await.unwrap());
    bench.calm();
    assert!(said(&bench.frames(), task).contains("answered Select"));
}

#[test]
fn a_cancellation_is_carried_out_by_the_next_dispatcher() {
    let mut bench = Bench::new();
    let task = bench.send("say one\nask may I?");
    while bench.frames().iter().all(|frame| !matches!(frame.body, FrameBody::InteractionRequested { .. })) {
        bench.world.step();
        bench.turn(2);
    }
    // It is kept, and then everything stops before the agent hears of it.
    bench.run(async |dispatcher| {
        let wanted = boocoder_store::Change::RequestCancel { task, by: boocoder_model::DecidedBy::User };
        let changes = vec![wanted];
        dispatcher
            .store()
            .commit(boocoder_store::WriteBatch { changes, frames: vec![], durable: true, writer: None })
            .await
            .unwrap();
    });
    bench.kill();
    bench.start();
    while bench.tasks_left() > 0 {
        bench.turn(5);
    }
    let kept = bench.run(async |dispatcher| dispatcher.store().task(task).await.unwrap().unwrap());
    assert_eq!(kept.state, TaskState::Cancelled, "{kept:?}");
}

#[test]
fn a_log_keeps_what_it_has_to_and_a_client_further_behind_is_told() {
    let mut bench = Bench::new();
    bench.limits.log_frames = 20;
    bench.kill();
    bench.start();
    let session = bench.session.unwrap();
    for _ in 0..10 {
        bench.send("say one\nsay two\nsay three");
        bench.calm();
    }
    let (floor, last) = bench.run(async |dispatcher| {
        let store = dispatcher.store();
        (store.log_floor(session).await.unwrap(), store.last_seq(session).await.unwrap())
    });
    assert!(floor > Seq::ZERO && last.0 - floor.0 >= 20, "{floor} of {last}");
    let next = |after| {
        bench.run(async move |dispatcher| {
            let mut frames = dispatcher.subscribe(session, after).await.unwrap();
            frames.next().await.unwrap().unwrap()
        })
    };
    let told = next(Seq::ZERO);
    assert!(told[0].body.contains("\"resync\"") && told[0].seq == last, "{told:?}");
    assert_eq!(next(floor)[0].seq, floor.next());
    let messages = bench.run(async |dispatcher| dispatcher.messages(session, None).await.unwrap());
    assert_eq!(messages.iter().filter(|message| message.content == "onetwothree").count(), 10, "the state is whole");
}

#[test]
fn a_runner_that_dies_with_the_dispatcher_before_it_was_asked_anything_is_replaced() {
    let mut bench = Bench::new();
    let mut sent = Vec::new();
    for millis in 0..12 {
        sent.push(bench.send("say hello"));
        bench.turn(millis);
        bench.kill();
        bench.world.kill_runners();
        bench.start();
        bench.calm();
    }
    for task in sent {
        let kept = bench.run(async |dispatcher| dispatcher.store().task(task).await.unwrap().unwrap());
        assert!(kept.state.is_final(), "{kept:?}");
    }
}

#[test]
fn a_task_that_was_claimed_and_had_not_begun_runs_on_the_agent_that_waits_in_its_chat() {
    let mut bench = Bench::new();
    bench.send("say hello");
    bench.calm();
    // The task is there, and was claimed by a dispatcher that got no further.
    bench.run(async |dispatcher| dispatcher.hand_over().await);
    let task = bench.send("say again");
    bench.run(async |dispatcher| {
        let claimed = dispatcher.store().claim_task(None, now()).await.unwrap();
        assert_eq!(claimed.map(|claimed| claimed.id), Some(task));
    });
    bench.kill();
    bench.start();
    bench.calm();
    let kept = bench.run(async |dispatcher| dispatcher.store().task(task).await.unwrap().unwrap());
    assert_eq!(kept.state, TaskState::Completed, "{kept:?}");
    assert_eq!(bench.world.prompts(), 2, "it is the same agent");
}

#[test]
fn a_turn_whose_journal_is_gone_is_not_run_again_once_something_is_known_of_it() {
    let mut bench = Bench::new();
    let task = bench.send("say one\nask may I\nsay two");
    while bench.open_questions() == 0 {
        bench.world.step();
        bench.turn(2);
    }
    bench.kill();
    bench.world.lose_journals();
    bench.start();
    bench.calm();
    let kept = bench.run(async |dispatcher| dispatcher.store().task(task).await.unwrap().unwrap());
    let outcome = kept.outcome.unwrap();
    assert_eq!((kept.state, outcome.decided_by), (TaskState::Failed, DecidedBy::Crash));
    assert!(!bench.world.has_runners(), "no agent was started for it");
}

#[test]
fn a_long_turn_has_its_journal_acknowledged_as_it_goes_with_a_session_and_without() {
    for with_session in [true, false] {
        let mut bench = Bench::new();
        let words: Vec<_> = (0..1000).map(|n| format!("say {n},")).collect();
        let prompt = format!("{}\nask is that all?", words.join("\n"));
        let task = if with_session { bench.send(&prompt) } else { bench.add_task(&prompt) };
        while bench.open_questions() == 0 {
            while bench.world.step() {}
            bench.turn(2);
        }
        bench.turn(20);
        let acknowledged = bench.world.acknowledged();
        assert!(acknowledged >= 700, "{acknowledged}");
        // What was acknowledged is not asked for again, and nothing is missing.
        bench.kill();
        bench.start();
        bench.calm();
        let messages = bench.run(async |dispatcher| dispatcher.store().messages_of_task(task).await.unwrap());
        let answer = messages.iter().find(|message| message.role == MessageRole::Assistant).unwrap();
        let numbers: String = (0..1000).map(|n| format!("{n},")).collect();
        assert_eq!(answer.content, format!("{numbers}answered Select(\"yes\")"), "with a session: {with_session}");
    }
}
