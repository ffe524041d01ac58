//! Sessions that outlive their server: who may take them up, where they go on, what they cost.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use boocoder_backend::{AgentBackend, BackendError, OneshotBackend, Runners, SessionEvent};
use boocoder_model::{Answer, PermissionKind, Position, Question, TurnId, TurnStatus};
use boocoder_testkit::process::{alive, descendants, private_kib};
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::time::timeout;

use crate::support::{
    Home, PATIENCE, Rig, agent, beside_tests, directory, kill, runner_pids, runners, says, test_agent, text_of, until,
};

/// A server of its own, whose words the test reads.
pub(crate) struct Server {
    pub(crate) dir: Arc<TempDir>,
    program: Child,
    says: BufReader<ChildStdout>,
}

/// The turn that such a server starts.
pub(crate) fn its_turn() -> TurnId {
    TurnId::from_uuid(uuid::Uuid::from_u128(1))
}

impl Server {
    pub(crate) fn start(prompt: &str) -> Self {
        Self::start_with(prompt, &[&test_agent().to_string_lossy(), "demo"])
    }

    pub(crate) fn start_with(prompt: &str, agent: &[&str]) -> Self {
        let dir = directory();
        let mut command = Command::new(beside_tests("test_server"));
        command.arg(dir.path()).arg(prompt).args(agent).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut program = command.spawn().expect("the server starts");
        let says = BufReader::new(program.stdout.take().expect("piped"));
        Self { dir, program, says }
    }

    /// Waits until it tells something of the kind. Says at which position, and what.
    pub(crate) fn until(&mut self, kind: &str) -> (Position, String) {
        loop {
            let mut line = String::new();
            assert!(self.says.read_line(&mut line).expect("readable") > 0, "it has ended");
            let mut words = line.trim_end().splitn(3, ' ');
            let position = words.next().and_then(|word| word.parse().ok()).map(Position).expect("a position");
            if words.next() == Some(kind) {
                return (position, words.next().unwrap_or_default().to_owned());
            }
        }
    }

    pub(crate) fn kill(&mut self) {
        self.program.kill().expect("it runs");
        self.program.wait().expect("it is ours");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

/// What `stream COUNT BYTES` says.
fn flood(count: usize, bytes: usize) -> String {
    let chunk = |number: usize| {
        let number = number.to_string();
        let dots = ".".repeat(bytes - number.len() - 1);
        format!("{number}{dots} ")
    };
    (0..count).map(chunk).collect()
}

#[expect(clippy::disallowed_methods, reason = "the test measures what it waits for")]
fn now() -> Instant {
    Instant::now()
}

#[tokio::test]
#[expect(clippy::print_stderr, reason = "a figure to look at")]
async fn a_killed_server_s_turn_goes_on_and_the_next_server_gets_all_of_it_once() {
    let mut server = Server::start("say one\nsleep 1500\nsay two");
    let (position, _) = server.until("text");
    server.kill();
    let backend = runners(server.dir.path(), &[]);
    let start = now();
    let (mut rig, state) = Rig::attach(&backend, &server.dir, Position::ZERO).await.expect("it lives");
    eprintln!("attaching took {:?}", start.elapsed());
    assert_eq!(state.turn, Some(its_turn()));
    let end = rig.end(its_turn()).await;
    assert_eq!((end.text().as_str(), end.outcome.status), ("one\ntwo", TurnStatus::Completed));
    let last = rig.last;

    // From where the killed one stood, only the rest comes.
    let (mut rig, state) = Rig::attach(&backend, &server.dir, position).await.expect("it lives");
    assert_eq!(state.last, last);
    assert_eq!(rig.end(its_turn()).await.text(), "\ntwo");
    assert_eq!(rig.run("say three").await.text(), "three", "the same session goes on");
    rig.close().await;
    assert!(runner_pids(server.dir.path()).is_empty());
}

#[tokio::test]
async fn a_server_that_is_killed_while_the_agent_starts_is_followed_by_one_that_waits_for_it() {
    let line = format!("sleep 2; exec {} demo", test_agent().display());
    let mut server = Server::start_with("say never", &["/bin/sh", "-c", &line]);
    let path = server.dir.path().to_owned();
    let is_starting = move || runner_pids(&path).first().is_some_and(|pid| !descendants(*pid).is_empty());
    until("the agent's start", is_starting).await;
    server.kill();
    let backend = runners(server.dir.path(), &[]);
    let (mut rig, state) = Rig::attach(&backend, &server.dir, Position::ZERO).await.expect("it opens");
    assert_eq!(state.turn, None, "the prompt was never given");
    assert_eq!(rig.run("say begun").await.text(), "begun");
}

#[tokio::test]
async fn a_one_shot_session_in_a_runner_ends_with_its_turn() {
    let dir = directory();
    let backend = OneshotBackend::new(runners(dir.path(), &[]));
    let mut rig = Rig::open_with(&backend, Arc::clone(&dir), agent(&["demo"]), None).await.expect("opens");
    assert_eq!(rig.run("say once").await.text(), "once");
    let (_, status, _) = rig.exited().await;
    assert_eq!(status, "exit status 0");
    let path = dir.path().to_owned();
    until("the end of the runner", move || runner_pids(&path).is_empty()).await;
    assert_eq!(backend.runners().expect("it has them").list().await.len(), 1, "its journal waits");
}

#[tokio::test]
async fn a_question_stays_open_for_the_next_server_and_is_answered_once() {
    let mut server = Server::start("write a.txt hello");
    let (position, id) = server.until("asked");
    server.kill();
    let backend = runners(server.dir.path(), &[]);
    let (mut rig, state) = Rig::attach(&backend, &server.dir, Position(position.0 - 1)).await.expect("it lives");
    assert_eq!(state.questions.iter().map(ToString::to_string).collect::<Vec<_>>(), [id]);
    let (id, question, _) = rig.question().await;
    let Question::Permission { options, .. } = &question else { panic!("{question:?}") };
    let allow = options.iter().find(|option| option.kind == PermissionKind::AllowOnce).expect("an option");
    let answer = Answer::Select(allow.id.clone());
    rig.session.answer(id, answer.clone()).await.expect("it is asked");
    rig.session.answer(id, answer).await.expect("the same answer again is none");
    let other = rig.session.answer(id, Answer::Cancel).await.expect_err("it is answered");
    assert!(matches!(other, BackendError::UnknownInteraction(_)), "{other}");
    assert_eq!(rig.end(its_turn()).await.outcome.status, TurnStatus::Completed);
    assert!(rig.at("a.txt").exists());
}

#[tokio::test]
async fn a_prompt_that_comes_twice_runs_once_and_a_refused_one_may_come_again() {
    let mut rig = Rig::demo(Home::Runner).await;
    let prompt = rig.text("say once");
    let turn = prompt.turn;
    let (first, second) = tokio::join!(rig.session.prompt(prompt.clone()), rig.session.prompt(prompt.clone()));
    first.and(second).expect("one turn");
    assert_eq!(rig.end(turn).await.text(), "once");
    rig.session.prompt(prompt).await.expect("it has run");

    let mut refused = rig.text("say later");
    refused.mode = Some("nonsense".into());
    let turn = refused.turn;
    rig.session.prompt(refused.clone()).await.expect_err("no such mode");
    refused.mode = None;
    rig.session.prompt(refused).await.expect("another attempt");
    assert_eq!(rig.end(turn).await.text(), "later");
}

#[tokio::test]
#[expect(clippy::print_stderr, reason = "figures to look at")]
async fn an_agent_that_floods_while_nobody_is_there_loses_nothing() {
    const COUNT: usize = 200_000;
    const BYTES: usize = 50;
    let dir = directory();
    let backend = runners(dir.path(), &[]);
    let mut rig = Rig::open_with(&backend, Arc::clone(&dir), agent(&["demo"]), None).await.expect("opens");
    let _other = Rig::demo(Home::Runner).await;
    let pid = runner_pids(dir.path())[0];
    rig.run("say warm").await;
    eprintln!("a runner at rest has {} KiB for itself", private_kib(pid).expect("it runs"));
    let (last, turn) = (rig.last, rig.start(&format!("stream {COUNT} {BYTES}")).await);
    let _guard = rig.leave();
    let start = now();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (mut rig, state) = Rig::attach(&backend, &dir, last).await.expect("it lives");
    eprintln!("after {:?} there are {} records", start.elapsed(), state.last.0);
    let end = rig.end(turn).await;
    let took = start.elapsed();
    let events = end.events.len();
    eprintln!(
        "{COUNT} updates as {events} events in {took:?}: {:.0} updates a second",
        COUNT as f64 / took.as_secs_f64()
    );
    assert_eq!(end.outcome.status, TurnStatus::Completed);
    assert!(end.text() == flood(COUNT, BYTES), "all of it, in order");
    let kib = private_kib(pid).expect("it runs");
    eprintln!("and after the flood {kib} KiB");
    assert!(kib <= 4 * 1024, "{kib} KiB");
}

#[tokio::test]
#[expect(clippy::print_stderr, reason = "a figure to look at")]
async fn a_runner_is_small() {
    // Alone, it would be counted the pages of its program, which it shares with other runners and with the server.
    let _other = Rig::demo(Home::Runner).await;
    let mut rig = Rig::demo(Home::Runner).await;
    rig.run("say hello\nshell true").await;
    let pid = runner_pids(rig.dir.path())[0];
    let kib = private_kib(pid).expect("it runs");
    eprintln!("a runner has {kib} KiB for itself");
    assert!(kib <= 4 * 1024, "{kib} KiB");
}

#[tokio::test]
async fn whoever_attaches_later_takes_the_place_of_whoever_was_there() {
    let dir = directory();
    let backend = runners(dir.path(), &[]);
    let mut first = Rig::open_with(&backend, Arc::clone(&dir), agent(&["demo"]), None).await.expect("opens");
    let turn = first.start("say one\nsleep 500\nsay two").await;
    first.until(|event| says(event, "one")).await;
    let (mut second, state) = Rig::attach(&backend, &dir, first.last).await.expect("it lives");
    assert_eq!(state.turn, Some(turn));
    assert_eq!(second.end(turn).await.text(), "\ntwo");
    while let Some(event) = first.next().await {
        assert!(!matches!(event, SessionEvent::Exited { .. }), "it is not over, only elsewhere");
    }
    let prompt = first.text("say nothing");
    let closed = first.session.prompt(prompt).await.expect_err("it has been replaced");
    assert!(matches!(closed, BackendError::Closed), "{closed}");
    timeout(PATIENCE, first.session.close()).await.expect("nothing to close any more");
    assert_eq!(second.run("say mine").await.text(), "mine");
}

#[tokio::test]
async fn without_a_server_for_too_long_a_session_is_closed_and_its_journal_kept() {
    let dir = directory();
    let backend = runners(dir.path(), &["orphan=300"]);
    let mut rig = Rig::open_with(&backend, Arc::clone(&dir), agent(&["demo"]), None).await.expect("opens");
    let turn = rig.start("say working\nsleep 600000").await;
    rig.until(|event| says(event, "working")).await;
    let (last, pid) = (rig.last, rig.pid());
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(alive(pid), "somebody is there");
    let _guard = rig.leave();
    let path = dir.path().to_owned();
    until("the end of the runner", move || runner_pids(&path).is_empty()).await;
    assert!(!alive(pid));
    let (mut rig, state) = Rig::attach(&backend, &dir, last).await.expect("its journal is there");
    assert_eq!((state.turn, state.questions.len()), (Some(turn), 0));
    assert_eq!(rig.end(turn).await.outcome.reason, "the agent session was closed");
    rig.exited().await;
}

#[tokio::test]
async fn what_is_acknowledged_is_removed_and_the_rest_is_enough() {
    let dir = directory();
    let backend = runners(dir.path(), &["segment=20000"]);
    let mut rig = Rig::open_with(&backend, Arc::clone(&dir), agent(&["demo"]), None).await.expect("opens");
    for _ in 0..10 {
        rig.run("stream 500 20").await;
    }
    let runner = backend.list().await[0];
    let place = dir.path().join("runners").join(runner.to_string());
    let segments = move || place.read_dir().expect("there").flatten().filter(is_segment).count();
    assert!(segments() > 3, "{}", segments());
    rig.session.acknowledge(rig.last).await;
    until("the removal of old segments", move || segments() == 1).await;
    let (mut rig, state) = Rig::attach(&backend, &dir, rig.last).await.expect("it lives");
    assert!(state.last >= rig.last && state.turn.is_some());
    assert_eq!(rig.run("say on").await.text(), "on");
}

pub(crate) fn is_segment(entry: &std::fs::DirEntry) -> bool {
    entry.file_name().to_string_lossy().starts_with("journal-")
}

#[tokio::test]
async fn a_session_is_listed_until_it_is_discarded() {
    let dir = directory();
    let backend = runners(dir.path(), &[]);
    assert!(backend.list().await.is_empty());
    let rig = Rig::open_with(&backend, Arc::clone(&dir), agent(&["demo"]), None).await.expect("opens");
    let (ids, pid) = (backend.list().await, rig.pid());
    let runner = runner_pids(dir.path())[0];
    assert_eq!(ids.len(), 1);
    timeout(PATIENCE, backend.runners().expect("it has them").discard(ids[0])).await.expect("in time");
    assert!(!alive(pid) && !alive(runner));
    assert!(backend.list().await.is_empty());
    let gone = backend.attach(ids[0], Position::ZERO).await.err().expect("nothing is there");
    assert!(matches!(gone, BackendError::Closed), "{gone}");
}

#[tokio::test]
async fn a_runner_hears_of_no_terminal_and_ends_when_it_is_told_to() {
    let mut rig = Rig::demo(Home::Runner).await;
    let pid = runner_pids(rig.dir.path())[0];
    for signal in [Signal::INT, Signal::HUP, Signal::INT] {
        kill(pid, signal);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(rig.run("say still here").await.text(), "still here");
    let turn = rig.start("say working\nsleep 600000").await;
    rig.until(|event| says(event, "working")).await;
    kill(pid, Signal::TERM);
    let (events, status, _) = rig.exited().await;
    let end = events.iter().any(|event| matches!(event, SessionEvent::TurnEnded { turn: of, .. } if *of == turn));
    assert!(end, "{}", text_of(&events));
    assert_eq!(status, "exit status 0");
    until("the end of the runner", move || !alive(pid)).await;
}
