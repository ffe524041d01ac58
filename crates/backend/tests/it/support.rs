//! A session with an agent in a worktree of its own, and ways to wait for what happens in it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use boocoder_backend::runner::RunnerBackend;
use boocoder_backend::{
    AgentBackend, AgentSession, AgentSpec, Attached, BackendError, CommandLine, Delivery, Environment, Limits,
    OpenSpec, Opened, Prompt, Protocol, RouterBackend, RunnerState, Runners, SessionEvent,
};
use boocoder_model::{
    AgentEvent, AgentName, AgentSessionId, Answer, ContentPart, InteractionId, PermissionKind, Position, Question,
    RunnerId, TurnId, TurnOutcome,
};
use boocoder_testkit::process::{alive, wait_until};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Nothing that a test waits for takes this long, however busy the machine is.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// The environment of the tests.
#[expect(clippy::disallowed_methods, reason = "a test passes its environment on as a program would")]
pub(crate) fn ours() -> Environment {
    ["PATH", "HOME"].into_iter().filter_map(|name| Some((name.into(), std::env::var_os(name)?))).collect()
}

/// The program of `examples/test_agent.rs`, which cargo builds along with the tests.
pub(crate) fn test_agent() -> PathBuf {
    beside_tests("test_agent")
}

/// A program of this crate's examples.
pub(crate) fn beside_tests(name: &str) -> PathBuf {
    let this = std::env::current_exe().expect("this program");
    let built = this.parent().and_then(Path::parent).expect("a target directory").join("examples").join(name);
    assert!(
        built.is_file(),
        "{} is missing: build it with `cargo build -p boocoder-backend --examples`",
        built.display()
    );
    built
}

/// An agent with these arguments to the test agent.
pub(crate) fn agent(args: &[&str]) -> AgentSpec {
    spec(&test_agent(), args.iter().map(|&arg| arg.to_owned()).collect())
}

pub(crate) fn spec(command: &Path, args: Vec<String>) -> AgentSpec {
    AgentSpec {
        name: AgentName::from("test"),
        label: "Test".into(),
        enabled: true,
        protocol: Protocol::Acp,
        command_line: CommandLine::default(),
        warm: true,
        command: command.to_string_lossy().into_owned(),
        args,
        env: [].into(),
        commands: vec![],
        mcp_servers: vec![],
        limits: Limits { start: Duration::from_secs(60), kill: Duration::from_millis(500), ..Limits::default() },
    }
}

/// Where a session lives. Both are to behave the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Home {
    /// In this process.
    Here,
    /// In a runner.
    Runner,
}

/// Runs each test with sessions in this process and with sessions that runners keep.
macro_rules! in_both_homes {
    ($($test:ident,)+) => {
        mod here {
            $(#[tokio::test] async fn $test() { super::$test($crate::support::Home::Here).await; })+
        }
        mod runner {
            $(#[tokio::test] async fn $test() { super::$test($crate::support::Home::Runner).await; })+
        }
    };
}
pub(crate) use in_both_homes;

/// A backend whose runners have these settings and live under `dir`.
pub(crate) fn runners(dir: &Path, settings: &[&str]) -> RunnerBackend {
    RunnerBackend::new(beside_tests("test_runner"), settings, dir.join("runners"), dir.to_string_lossy())
}

/// The runners that keep sessions in `dir`.
pub(crate) fn runner_pids(dir: &Path) -> Vec<u32> {
    let is_one = |pid: &u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        let program = line.split('\0').next().unwrap_or_default();
        program.ends_with("/test_runner") && line.contains(&*dir.to_string_lossy())
    };
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(is_one).filter(|pid| alive(*pid)).collect()
}

/// Sees to it that no test leaves a runner behind.
pub(crate) struct Guard(Arc<TempDir>);

impl Drop for Guard {
    fn drop(&mut self) {
        let pids = runner_pids(self.0.path());
        pids.iter().for_each(|pid| kill(*pid, Signal::TERM));
        let _ = wait_until(PATIENCE, "the end of a runner", || !pids.iter().any(|pid| alive(*pid)));
    }
}

/// Signals a process.
pub(crate) fn kill(pid: u32, signal: Signal) {
    let target = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process id");
    let _ = kill_process(target, signal);
    if signal == Signal::KILL {
        // The signal is there before the process is gone, and it keeps its locks until then.
        wait_until(PATIENCE, "the end of a killed process", || !alive(pid)).expect("in time");
    }
}

/// Waits without keeping the runtime from its work.
pub(crate) async fn until(what: &'static str, happened: impl FnMut() -> bool + Send + 'static) {
    tokio::task::spawn_blocking(move || wait_until(PATIENCE, what, happened))
        .await
        .expect("no panic")
        .expect("in time");
}

/// The id of another runner.
#[expect(clippy::disallowed_methods, reason = "a test draws ids as a server would")]
pub(crate) fn new_runner() -> RunnerId {
    RunnerId::from_uuid(uuid::Uuid::now_v7())
}

/// A session under test.
pub(crate) struct Rig {
    /// The worktree, and beside it whatever else the test needs.
    pub(crate) dir: Arc<TempDir>,
    pub(crate) session: Arc<dyn AgentSession>,
    pub(crate) events: mpsc::Receiver<Delivery>,
    /// The place of the last event in its journal.
    pub(crate) last: Position,
    turns: u128,
    guard: Guard,
}

/// What a turn brought.
pub(crate) struct Turn {
    pub(crate) events: Vec<SessionEvent>,
    pub(crate) outcome: TurnOutcome,
}

pub(crate) fn directory() -> Arc<TempDir> {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::create_dir(dir.path().join("tree")).expect("a worktree");
    Arc::new(dir)
}

impl Rig {
    pub(crate) async fn open(home: Home, agent: AgentSpec) -> Self {
        Self::open_in(home, directory(), agent, None).await.expect("the session opens")
    }

    pub(crate) async fn demo(home: Home) -> Self {
        Self::open(home, agent(&["demo"])).await
    }

    pub(crate) async fn script(home: Home) -> Self {
        Self::open(home, agent(&["script"])).await
    }

    pub(crate) async fn open_in(
        home: Home,
        dir: Arc<TempDir>,
        agent: AgentSpec,
        resume: Option<AgentSessionId>,
    ) -> Result<Self, BackendError> {
        match home {
            Home::Here => Self::open_with(&RouterBackend::new(ours()), dir, agent, resume).await,
            Home::Runner => Self::open_with(&runners(dir.path(), &[]), dir, agent, resume).await,
        }
    }

    pub(crate) async fn open_with(
        backend: &impl AgentBackend,
        dir: Arc<TempDir>,
        agent: AgentSpec,
        resume: Option<AgentSessionId>,
    ) -> Result<Self, BackendError> {
        let guard = Guard(Arc::clone(&dir));
        let runner = new_runner();
        let spec = OpenSpec { agent, cwd: dir.path().join("tree"), resume, runner };
        let opened = timeout(PATIENCE, backend.open(spec)).await.expect("opening ends")?;
        Ok(Self { dir, session: opened.session, events: opened.events, last: Position::ZERO, turns: 0, guard })
    }

    /// A session that is taken up again after a position, and where it stands.
    pub(crate) async fn attach(
        backend: &RunnerBackend,
        dir: &Arc<TempDir>,
        after: Position,
    ) -> Result<(Self, RunnerState), BackendError> {
        let guard = Guard(Arc::clone(dir));
        let id = *backend.list().await.first().expect("a runner");
        let Attached { opened, state } = timeout(PATIENCE, backend.attach(id, after)).await.expect("in time")?;
        let Opened { session, events } = opened;
        Ok((Self { dir: Arc::clone(dir), session, events, last: after, turns: 100, guard }, state))
    }

    /// Gives the session away, and what keeps its runner from being left behind.
    pub(crate) fn leave(self) -> (Guard, Arc<TempDir>) {
        (self.guard, self.dir)
    }

    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join("tree").join(path)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.session.info().pid
    }

    /// The prompt of a new turn.
    pub(crate) fn text(&mut self, text: &str) -> Prompt {
        self.turns += 1;
        Prompt {
            turn: TurnId::from_uuid(uuid::Uuid::from_u128(self.turns)),
            content: vec![ContentPart::Text(text.to_owned())],
            model: None,
            mode: None,
            thinking: None,
        }
    }

    pub(crate) async fn start(&mut self, text: &str) -> TurnId {
        let prompt = self.text(text);
        let turn = prompt.turn;
        timeout(PATIENCE, self.session.prompt(prompt)).await.expect("the prompt is taken").expect("the turn starts");
        turn
    }

    pub(crate) async fn next(&mut self) -> Option<SessionEvent> {
        let Delivery { position, event } = timeout(PATIENCE, self.events.recv()).await.expect("something happens")?;
        if let Some(position) = position {
            assert!(position > self.last, "{position} comes after {}: {event:?}", self.last);
            self.last = position;
        }
        Some(event)
    }

    /// Events up to the first one that `is` says yes to, which is the last.
    pub(crate) async fn until(&mut self, is: impl Fn(&SessionEvent) -> bool) -> Vec<SessionEvent> {
        let mut seen = Vec::new();
        while let Some(event) = self.next().await {
            let done = is(&event);
            seen.push(event);
            if done {
                return seen;
            }
        }
        panic!("the events ended: {seen:#?}");
    }

    pub(crate) async fn end(&mut self, turn: TurnId) -> Turn {
        let mut events = self.until(|event| matches!(event, SessionEvent::TurnEnded { .. })).await;
        let Some(SessionEvent::TurnEnded { turn: ended, outcome }) = events.pop() else { unreachable!() };
        assert_eq!(ended, turn, "the turn that ends is the one that ran");
        Turn { events, outcome }
    }

    pub(crate) async fn run(&mut self, text: &str) -> Turn {
        let turn = self.start(text).await;
        self.end(turn).await
    }

    /// The question that comes next.
    pub(crate) async fn question(&mut self) -> (InteractionId, Question, Vec<SessionEvent>) {
        let mut events = self.until(|event| matches!(event, SessionEvent::Asked { .. })).await;
        match events.pop() {
            Some(SessionEvent::Asked { id, question, .. }) => (id, question, events),
            other => panic!("{other:?} is no question"),
        }
    }

    /// Answers a permission by the kind of option.
    pub(crate) async fn decide(&self, id: InteractionId, question: &Question, kind: PermissionKind) {
        let Question::Permission { options, .. } = question else { panic!("{question:?} is no permission") };
        let option = options.iter().find(|option| option.kind == kind).expect("an option of the kind");
        self.session.answer(id, Answer::Select(option.id.clone())).await.expect("it is asked");
    }

    /// Closes the session. Says what came before the end of the events, and how the process ended.
    pub(crate) async fn close(&mut self) -> (Vec<SessionEvent>, String, String) {
        let session = Arc::clone(&self.session);
        let closing = tokio::spawn(async move { session.close().await });
        let ended = self.exited().await;
        timeout(PATIENCE, closing).await.expect("closing ends").expect("closing does not panic");
        assert!(!alive(self.pid()), "the agent has gone");
        ended
    }

    /// All that is left, to the end.
    pub(crate) async fn exited(&mut self) -> (Vec<SessionEvent>, String, String) {
        let mut events = self.until(|event| matches!(event, SessionEvent::Exited { .. })).await;
        assert_eq!(self.next().await, None, "nothing follows the exit");
        match events.pop() {
            Some(SessionEvent::Exited { status, stderr }) => (events, status, stderr),
            other => panic!("{other:?} is no exit"),
        }
    }
}

impl Turn {
    /// The answer.
    pub(crate) fn text(&self) -> String {
        text_of(&self.events)
    }
}

pub(crate) fn text_of(events: &[SessionEvent]) -> String {
    let text = |event: &SessionEvent| match event {
        SessionEvent::Agent { event: AgentEvent::Text(text), .. } => Some(text.clone()),
        _ => None,
    };
    events.iter().filter_map(text).collect()
}

/// Whether an event says something of the kind.
pub(crate) fn agent_event(event: &SessionEvent, is: impl Fn(&AgentEvent) -> bool) -> bool {
    matches!(event, SessionEvent::Agent { event, .. } if is(event))
}

/// Whether an event is text that contains `part`.
pub(crate) fn says(event: &SessionEvent, part: &str) -> bool {
    agent_event(event, |event| matches!(event, AgentEvent::Text(text) if text.contains(part)))
}
