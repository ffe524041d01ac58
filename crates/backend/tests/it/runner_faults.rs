//! What becomes of a session when its runner is killed, held up, lied to or given no room.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use boocoder_backend::{AgentBackend, BackendError, Delivery, OpenSpec, Runners, SessionEvent};
use boocoder_model::{AgentEvent, DecidedBy, InteractionOutcome, Position, RunnerId, TurnStatus};
use boocoder_testkit::process::{alive, descendants};
use rustix::process::Signal;
use tokio::time::timeout;

use crate::runner::{Server, is_segment, its_turn};
use crate::support::{
    Home, PATIENCE, Rig, agent, directory, in_both_homes, kill, new_runner, runner_pids, runners, says, until,
};

in_both_homes! {
    a_killed_agent_is_a_crash,
}

async fn a_killed_agent_is_a_crash(home: Home) {
    let mut rig = Rig::demo(home).await;
    let turn = rig.start("say before\nsleep 600000").await;
    rig.until(|event| says(event, "before")).await;
    kill(rig.pid(), Signal::KILL);
    let end = rig.end(turn).await;
    assert_eq!((end.outcome.status, end.outcome.decided_by), (TurnStatus::Failed, DecidedBy::Crash));
    let (_, status, _) = rig.exited().await;
    assert_eq!(status, "killed by SIGKILL");
}

/// Everything that an event channel brings, to its end.
async fn all(rig: &mut Rig) -> Vec<Delivery> {
    let mut all = Vec::new();
    while let Some(delivery) = timeout(PATIENCE, rig.events.recv()).await.expect("something happens") {
        all.push(delivery);
    }
    all
}

#[tokio::test]
async fn a_killed_runner_is_a_crash_that_is_told_the_same_way_each_time() {
    let dir = directory();
    let backend = runners(dir.path(), &[]);
    let mut rig = Rig::open_with(&backend, Arc::clone(&dir), agent(&["demo"]), None).await.expect("opens");
    let turn = rig.start("say before\nshell touch runs; sleep 300; true").await;
    let (file, runner) = (rig.at("runs"), runner_pids(dir.path())[0]);
    until("the agent, a shell and its command", move || file.exists() && descendants(runner).len() >= 3).await;
    let family = descendants(runner);
    kill(runner, Signal::KILL);
    let told = all(&mut rig).await;
    let [.., ended, exited] = &told[..] else { panic!("{told:?}") };
    let SessionEvent::TurnEnded { turn: of, outcome } = &ended.event else { panic!("{told:?}") };
    assert_eq!((*of, outcome.status, outcome.decided_by), (turn, TurnStatus::Failed, DecidedBy::Crash));
    assert_eq!(outcome.reason, "the runner of the agent was killed");
    assert!(matches!(exited.event, SessionEvent::Exited { .. }));
    assert!(told.iter().any(|delivery| says(&delivery.event, "before")), "what was said is not lost");
    assert!(!family.iter().any(|pid| alive(*pid)), "nothing of it is left");
    let prompt = rig.text("more");
    assert!(matches!(rig.session.prompt(prompt).await, Err(BackendError::Closed)));
    timeout(PATIENCE, rig.session.close()).await.expect("there is nothing to close");

    let (mut again, state) = Rig::attach(&backend, &dir, Position::ZERO).await.expect("its journal is there");
    let retold = all(&mut again).await;
    assert_eq!(retold, told);
    assert_eq!((state.turn, Some(state.last)), (Some(turn), exited.position));
}

#[tokio::test]
async fn questions_of_a_killed_runner_are_withdrawn() {
    let mut server = Server::start("write a.txt hello");
    server.until("asked");
    server.kill();
    runner_pids(server.dir.path()).iter().for_each(|pid| kill(*pid, Signal::KILL));
    let path = server.dir.path().to_owned();
    until("the end of the runner", move || runner_pids(&path).is_empty()).await;
    let backend = runners(server.dir.path(), &[]);
    let (mut rig, state) = Rig::attach(&backend, &server.dir, Position::ZERO).await.expect("its journal is there");
    assert!(state.questions.is_empty());
    let (id, _, _) = rig.question().await;
    let withdrawn = rig.next().await.expect("an event");
    let (outcome, decided_by) = (InteractionOutcome::Cancelled, DecidedBy::Crash);
    assert_eq!(withdrawn, SessionEvent::Withdrawn { id, outcome, decided_by });
    assert_eq!(rig.end(its_turn()).await.outcome.decided_by, DecidedBy::Crash);
}

#[tokio::test]
async fn leftovers_are_those_of_dead_runners_alone() {
    let mut killed = Server::start("say one\nshell touch runs; sleep 300; true");
    killed.until("text");
    let (dir, file) = (Arc::clone(&killed.dir), killed.dir.path().join("tree/runs"));
    until("the command", move || file.exists()).await;
    let backend = runners(dir.path(), &[]);
    // Another runner of the same owner, which lives.
    let spec = OpenSpec { agent: agent(&["demo"]), cwd: dir.path().join("tree"), resume: None, runner: new_runner() };
    let living = backend.open(spec).await.expect("opens");
    let dead = *runner_pids(dir.path())
        .iter()
        .find(|pid| !descendants(**pid).contains(&living.session.info().pid))
        .expect("the other");
    let family = descendants(dead);
    killed.kill();
    assert_eq!(backend.end_leftovers(Duration::from_millis(500)).await, 0, "both live");
    kill(dead, Signal::KILL);
    until("the end of the runner", move || !alive(dead)).await;
    assert!(family.iter().any(|pid| alive(*pid)), "a command outlives its killed runner by itself");
    assert!(backend.end_leftovers(Duration::from_millis(500)).await >= 1);
    assert!(!family.iter().any(|pid| alive(*pid)));
    assert!(alive(living.session.info().pid), "a living runner's agent is spared");
    timeout(PATIENCE, living.session.close()).await.expect("closes");
}

#[tokio::test]
async fn an_opening_that_nobody_waits_for_leaves_nothing() {
    let dir = directory();
    let backend = runners(dir.path(), &[]);
    let opening = Rig::open_with(&backend, Arc::clone(&dir), agent(&["mute", "stays"]), None);
    assert!(timeout(Duration::from_millis(800), opening).await.is_err(), "it never answers");
    let path = dir.path().to_owned();
    let nothing = move || {
        let places = path.join("runners").read_dir().map_or(0, Iterator::count);
        runner_pids(&path).is_empty() && places == 0
    };
    until("nothing to be left", nothing).await;
}

#[tokio::test]
async fn a_runner_that_does_not_start_says_why_and_leaves_nothing() {
    let dir = directory();
    let backend = runners(dir.path(), &["exit"]);
    let error = Rig::open_with(&backend, Arc::clone(&dir), agent(&["demo"]), None).await.err().expect("it cannot");
    let message = error.to_string();
    assert!(matches!(error, BackendError::Runner(_)) && message.contains("this runner does not start"), "{message}");
    assert!(backend.list().await.is_empty());
    let missing = boocoder_backend::runner::RunnerBackend::new("/no/such/runner", [""; 0], dir.path(), "x");
    let error = Rig::open_with(&missing, dir, agent(&["demo"]), None).await.err().expect("it cannot");
    assert!(matches!(error, BackendError::Spawn { .. }), "{error}");
}

async fn place(backend: &impl Runners, dir: &Path) -> PathBuf {
    dir.join("runners").join(backend.list().await[0].to_string())
}

#[tokio::test]
async fn whoever_does_not_know_the_secret_is_not_let_in() {
    let dir = directory();
    let backend = runners(dir.path(), &[]);
    let mut rig = Rig::open_with(&backend, Arc::clone(&dir), agent(&["demo"]), None).await.expect("opens");
    let place = place(&backend, dir.path()).await;
    let long = format!("{}\n", "x".repeat(100_000));
    for hello in
        ["{\"protocol\":1,\"secret\":\"guess\"}\n", "{\"protocol\":1,\"secret\":\"\"}\n", "GET / HTTP/1.1\n\n", &long]
    {
        let mut stream = UnixStream::connect(place.join("socket")).expect("it listens");
        let _ = stream.write_all(hello.as_bytes());
        let mut answer = Vec::new();
        // What was not read when the runner turned away is an error of the connection.
        let _ = stream.read_to_end(&mut answer);
        assert_eq!(answer, b"");
    }
    assert_eq!(rig.run("say undisturbed").await.text(), "undisturbed");
}

/// A runner's place in which the test itself plays the runner, as far as its first word.
async fn played(version: u32) -> BackendError {
    let dir = directory();
    let backend = runners(dir.path(), &[]);
    let id = new_runner();
    let place = dir.path().join("runners").join(id.to_string());
    std::fs::create_dir_all(&place).expect("made");
    std::fs::write(place.join("secret"), "s").expect("written");
    let lock = std::fs::File::create(place.join("lock")).expect("made");
    lock.lock().expect("free");
    let listener = UnixListener::bind(place.join("socket")).expect("free");
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().expect("somebody comes");
        let mut lines = BufReader::new(stream.try_clone().expect("cloned"));
        lines.read_line(&mut String::new()).expect("a hello");
        let welcome = format!("{{\"protocol\":{version},\"written\":0,\"mood\":\"good\"}}\n");
        (&stream).write_all(welcome.as_bytes()).expect("written");
        let _ = lines.read_line(&mut String::new());
    });
    let error = backend.attach(id, Position::ZERO).await.err().expect("nothing was ever opened");
    drop(lock);
    error
}

#[tokio::test]
async fn a_runner_of_the_version_before_is_understood_and_a_newer_one_is_not() {
    assert!(matches!(played(1).await, BackendError::Closed), "it has no session, but is understood");
    assert!(matches!(played(2).await, BackendError::Closed));
    for not_understood in [0, 3] {
        let error = played(not_understood).await;
        let named = format!("version {not_understood}");
        assert!(matches!(error, BackendError::Runner(_)) && error.to_string().contains(&named), "{error}");
    }
}

#[tokio::test]
async fn a_broken_connection_is_made_anew_and_nothing_comes_twice() {
    let dir = directory();
    let backend = runners(dir.path(), &[]);
    let rig = Rig::open_with(&backend, Arc::clone(&dir), agent(&["demo"]), None).await.expect("opens");
    let guard = rig.leave();
    let socket = place(&backend, dir.path()).await.join("socket");
    let behind = socket.with_file_name("behind");
    std::fs::rename(&socket, &behind).expect("renamed");
    let listener = tokio::net::UnixListener::bind(&socket).expect("free");
    let breaking = Arc::new(tokio::sync::Notify::new());
    let breaks = Arc::clone(&breaking);
    tokio::spawn(async move {
        loop {
            let (mut near, _) = listener.accept().await.expect("somebody comes");
            let mut far = tokio::net::UnixStream::connect(&behind).await.expect("it listens");
            tokio::select! {
                _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                () = breaks.notified() => {}
            }
        }
    });
    let (mut rig, _) = Rig::attach(&backend, &dir, Position::ZERO).await.expect("it lives");
    let turn = rig.start("say one\nsleep 500\nsay two").await;
    rig.until(|event| says(event, "one")).await;
    breaking.notify_one();
    assert_eq!(rig.end(turn).await.text(), "\ntwo");
    breaking.notify_one();
    assert_eq!(rig.run("say three").await.text(), "three");
    rig.close().await;
    drop(guard);
}

/// How many bytes a process has written so far.
fn written(pid: u32) -> u64 {
    let io = std::fs::read_to_string(format!("/proc/{pid}/io")).expect("its counters");
    let line = io.lines().find_map(|line| line.strip_prefix("wchar: ")).expect("bytes written");
    line.trim().parse().expect("a number")
}

#[tokio::test]
async fn a_journal_that_nobody_takes_in_slows_the_agent_and_keeps_nobody_from_stopping_it() {
    const JOURNAL: u64 = 2_000_000;
    let dir = directory();
    let backend = runners(dir.path(), &["journal=2000000", "segment=200000"]);
    let mut rig = Rig::open_with(&backend, Arc::clone(&dir), agent(&["demo"]), None).await.expect("opens");
    let place = place(&backend, dir.path()).await;
    let bytes = || -> u64 {
        let segments = place.read_dir().expect("there").flatten().filter(is_segment);
        segments.filter_map(|entry| Some(entry.metadata().ok()?.len())).sum()
    };
    let turn = rig.start("stream 100000 300").await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let (said, journal) = (written(rig.pid()), bytes());
    assert!(said < 16 * 1024 * 1024, "the agent has written {said} bytes though nobody takes them in");
    assert!((JOURNAL..JOURNAL * 2).contains(&journal), "{journal} bytes");

    // Taken in, it goes on.
    let mut read = 0;
    while read < 10_000_000 {
        if let SessionEvent::Agent { event: AgentEvent::Text(text), .. } = rig.next().await.expect("an event") {
            read += text.len();
        }
        rig.session.acknowledge(rig.last).await;
    }
    // Nobody takes it in any more, and yet it can be stopped.
    tokio::time::sleep(Duration::from_secs(1)).await;
    timeout(PATIENCE, rig.session.cancel(turn, DecidedBy::User)).await.expect("in time").expect("taken");
    let pid = rig.pid();
    timeout(PATIENCE, rig.session.close()).await.expect("closing does not wait for that");
    assert!(!alive(pid) && runner_pids(dir.path()).is_empty());
    let (events, _, _) = rig.exited().await;
    assert!(events.iter().any(|event| matches!(event, SessionEvent::TurnEnded { turn: of, .. } if *of == turn)));
}

#[tokio::test]
async fn a_runner_that_is_stopped_is_killed_when_it_has_to_close() {
    let mut spec = agent(&["demo"]);
    spec.limits.kill = Duration::from_millis(100);
    let mut rig = Rig::open(Home::Runner, spec).await;
    rig.run("say hello").await;
    let runner = runner_pids(rig.dir.path())[0];
    kill(runner, Signal::STOP);
    timeout(PATIENCE, rig.session.close()).await.expect("in time");
    assert!(!alive(runner) && !alive(rig.pid()));
    rig.exited().await;
}

#[tokio::test]
async fn a_runner_that_is_stopped_is_killed_when_it_does_not_answer() {
    let mut rig = Rig::open(Home::Runner, agent(&["demo"])).await;
    let turn = rig.start("say before\nsleep 600000").await;
    rig.until(|event| says(event, "before")).await;
    let runner = runner_pids(rig.dir.path())[0];
    kill(runner, Signal::STOP);
    let cancelled = timeout(PATIENCE, rig.session.cancel(turn, DecidedBy::User)).await.expect("in time");
    assert!(cancelled.is_ok(), "{cancelled:?}");
    assert_eq!(rig.end(turn).await.outcome.decided_by, DecidedBy::Crash);
    rig.exited().await;
    assert!(!alive(runner) && !alive(rig.pid()), "nothing works on unseen");
}

#[tokio::test]
async fn a_runner_that_nobody_can_talk_to_is_ended_before_its_turn_is() {
    let mut server = Server::start("say before\nsleep 600000");
    server.until("text");
    server.kill();
    let path = server.dir.path();
    let runner = runner_pids(path)[0];
    let family = descendants(runner);
    let backend = runners(path, &[]);
    std::fs::remove_file(place(&backend, path).await.join("secret")).expect("there");
    let (mut rig, _) = Rig::attach(&backend, &server.dir, Position::ZERO).await.expect("its journal is there");
    assert!(!alive(runner) && !family.iter().any(|pid| alive(*pid)));
    let end = rig.end(its_turn()).await;
    assert_eq!((end.outcome.status, end.outcome.decided_by), (TurnStatus::Failed, DecidedBy::Crash));
}

#[tokio::test]
async fn a_journal_that_is_cut_off_under_its_reader_ends_the_session() {
    let dir = directory();
    let backend = runners(dir.path(), &[]);
    let mut rig = Rig::open_with(&backend, Arc::clone(&dir), agent(&["demo"]), None).await.expect("opens");
    rig.run("say hello").await;
    let place = place(&backend, dir.path()).await;
    let segment = place.read_dir().expect("there").flatten().find(is_segment).expect("a journal").path();
    std::fs::OpenOptions::new().write(true).open(segment).and_then(|file| file.set_len(0)).expect("cut off");
    rig.start("say more").await;
    let (_, status, _) = rig.exited().await;
    assert!(status.contains("its journal cannot be read"), "{status}");
}

#[tokio::test]
async fn a_torn_last_line_is_no_event() {
    let dir = directory();
    let backend = runners(dir.path(), &[]);
    let mut rig = Rig::open_with(&backend, Arc::clone(&dir), agent(&["demo"]), None).await.expect("opens");
    rig.run("say whole").await;
    let place = place(&backend, dir.path()).await;
    kill(runner_pids(dir.path())[0], Signal::KILL);
    let told = all(&mut rig).await;
    let segment = place.read_dir().expect("there").flatten().find(is_segment).expect("a journal").path();
    let mut file = std::fs::OpenOptions::new().append(true).open(segment).expect("there");
    file.write_all(br#"{"n":99,"event":{"agent":{"tu"#).expect("written");
    let (mut again, _) = Rig::attach(&backend, &dir, rig.last).await.expect("its journal is there");
    assert_eq!(all(&mut again).await, told);
}

#[tokio::test]
async fn a_session_that_never_opened_is_told_from_one_that_was_refused() {
    let dir = directory();
    let backend = runners(dir.path(), &[]);
    let nobody = RunnerId::from_uuid(uuid::Uuid::from_u128(7));
    let place = dir.path().join("runners").join(nobody.to_string());
    std::fs::create_dir_all(&place).expect("made");
    let closed = backend.attach(nobody, Position::ZERO).await.err().expect("nothing is there");
    assert!(matches!(closed, BackendError::Closed), "{closed}");
    let refused = r#"{"n":0,"state":{}}
{"n":1,"refused":{"open":{"not_found":{"command":"x"}}}}
"#;
    std::fs::write(place.join(format!("journal-{:020}.ndjson", 1)), refused).expect("written");
    let error = backend.attach(nobody, Position::ZERO).await.err().expect("it was refused");
    assert!(matches!(error, BackendError::NotFound { .. }), "{error}");
}
