//! opencode's server, the real one, where things go wrong.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use boocoder_backend::{AgentSpec, BackendError, Limits, Protocol, SessionEvent};
use boocoder_model::{AgentEvent, DecidedBy, PermissionKind, Resumed, TurnStatus, UsageReport};
use boocoder_testkit::agents;
use boocoder_testkit::llm::{Ending, MockModel};
use boocoder_testkit::process::alive;
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::time::sleep;

use crate::support::{Home, Rig, Turn, agent_event, beside_tests, directory, kill, says, spec, until};

/// opencode, its model, and where both live.
struct Bench {
    dir: Arc<TempDir>,
    agent: AgentSpec,
    model: MockModel,
}

impl Bench {
    async fn new(limits: Limits) -> Self {
        let dir = directory();
        let home = dir.path().join("home");
        let (model, launched) = tokio::task::spawn_blocking(move || {
            std::fs::create_dir(&home).expect("a home");
            let model = MockModel::start().expect("a model");
            let launched = agents::opencode_server(&model, &home).expect("the agent is installed");
            (model, launched)
        })
        .await
        .expect("no panic");
        let mut agent = spec(&launched.command, launched.args);
        agent.env = launched.env;
        agent.protocol = Protocol::Opencode;
        agent.limits = limits;
        Self { dir, agent, model }
    }

    /// Puts a proxy in front of the server. The file that it gives cuts all connections while it is there.
    fn behind_a_proxy(&mut self) -> PathBuf {
        let program =
            std::mem::replace(&mut self.agent.command, beside_tests("test_opencode").to_string_lossy().into());
        let dir = self.dir.path().to_string_lossy().into_owned();
        self.agent.args.splice(0..0, [dir, program]);
        self.dir.path().join("cut")
    }

    async fn open(&self, home: Home) -> Rig {
        Rig::open_in(home, Arc::clone(&self.dir), self.agent.clone(), None).await.expect("it opens")
    }
}

fn limits() -> Limits {
    Limits { kill: Duration::from_secs(3), ..Limits::default() }
}

/// Numbers that look random, from a seed that a failure names.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

#[expect(clippy::disallowed_methods, reason = "each run tries other delays, and says which")]
fn numbers() -> Numbers {
    let seed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_nanos();
    Numbers(u64::try_from(seed % u128::from(u64::MAX)).expect("fits"))
}

fn used(turn: &Turn) -> (u64, u64) {
    let usage = |event: &SessionEvent| match event {
        SessionEvent::Agent { event: AgentEvent::Usage(UsageReport::Delta { used, .. }), .. } => {
            Some((used.input, used.output))
        }
        _ => None,
    };
    turn.events.iter().filter_map(usage).fold((0, 0), |sum, used| (sum.0 + used.0, sum.1 + used.1))
}

#[tokio::test]
async fn a_prompt_right_after_an_abort_is_never_lost_and_never_ended_by_the_old_turn() {
    let bench = Bench::new(limits()).await;
    let mut rig = bench.open(Home::Here).await;
    let mut numbers = numbers();
    let seed = numbers.0;
    for round in 0..50 {
        let turn = rig.start(&format!("MOCK:SLOW ms=20 chunks=200 ;; TEXT old{round}")).await;
        sleep(Duration::from_millis(numbers.below(400))).await;
        rig.session.cancel(turn, DecidedBy::User).await.expect("taken");
        let end = rig.end(turn).await;
        assert_eq!((end.outcome.status, end.outcome.decided_by), (TurnStatus::Cancelled, DecidedBy::User));
        let next = rig.run(&format!("MOCK:TEXT round {round}.")).await;
        assert_eq!(next.outcome.status, TurnStatus::Completed, "seed {seed}, round {round}: {:?}", next.outcome);
        assert_eq!(next.text().trim(), format!("round {round}."), "seed {seed}: {:#?}", next.events);
    }
    rig.close().await;
}

#[tokio::test]
async fn what_was_asked_when_a_turn_was_aborted_is_never_done() {
    let bench = Bench::new(limits()).await;
    let mut rig = bench.open(Home::Here).await;
    let path = rig.at("never.txt");
    let turn = rig.start(&format!("MOCK:WRITE path={} content=x ;; TEXT Written.", path.display())).await;
    let (id, question, _) = rig.question().await;
    rig.session.cancel(turn, DecidedBy::User).await.expect("taken");
    let answered = rig.session.answer(id, boocoder_model::Answer::Select("once".into())).await;
    assert!(matches!(answered, Err(BackendError::UnknownInteraction(_))), "{answered:?} to {question:?}");
    let end = rig.end(turn).await;
    assert_eq!(end.outcome.status, TurnStatus::Cancelled);
    assert_eq!(rig.run("MOCK:TEXT after.").await.text().trim(), "after.");
    sleep(Duration::from_secs(1)).await;
    assert!(!path.exists(), "nothing is written afterwards");
    rig.close().await;
}

#[tokio::test]
async fn a_failing_provider_gives_an_honest_outcome_and_the_next_message_runs() {
    let bench = Bench::new(Limits { silence: Duration::from_secs(8), ..limits() }).await;
    let mut rig = bench.open(Home::Here).await;
    for code in [400, 401] {
        let end = rig.run(&format!("MOCK:ERROR code={code}")).await;
        assert_eq!((end.outcome.status, end.outcome.decided_by), (TurnStatus::Failed, DecidedBy::Agent), "{code}");
        assert!(end.outcome.reason.contains(&code.to_string()), "{}", end.outcome.reason);
        assert_eq!(rig.run("MOCK:TEXT well.").await.text().trim(), "well.", "after {code}");
    }
    for code in [429, 500] {
        let turn = rig.start(&format!("MOCK:ERROR code={code}")).await;
        let is_notice = |event: &AgentEvent| matches!(event, AgentEvent::Notice(text) if text.contains("tries again"));
        rig.until(|event| agent_event(event, is_notice)).await;
        rig.session.cancel(turn, DecidedBy::User).await.expect("taken");
        assert_eq!(rig.end(turn).await.outcome.status, TurnStatus::Cancelled, "{code}");
        assert_eq!(rig.run("MOCK:TEXT well.").await.text().trim(), "well.", "after {code}");
    }
    let end = rig.run("MOCK:HANG").await;
    assert_eq!((end.outcome.status, end.outcome.decided_by), (TurnStatus::Failed, DecidedBy::Watchdog));
    assert_eq!(rig.run("MOCK:TEXT well.").await.text().trim(), "well.", "after silence");
    rig.close().await;
}

#[tokio::test]
async fn what_a_turn_used_is_what_the_model_counted() {
    let bench = Bench::new(limits()).await;
    let mut rig = bench.open(Home::Here).await;
    let path = rig.at("a.txt");
    for prompt in ["MOCK:TEXT one.".to_owned(), format!("MOCK:WRITE path={} content=x ;; TEXT two.", path.display())] {
        let before = bench.model.usage();
        let turn = rig.start(&prompt).await;
        if prompt.contains("WRITE") {
            let (id, question, _) = rig.question().await;
            rig.decide(id, &question, PermissionKind::AllowOnce).await;
        }
        let end = rig.end(turn).await;
        let after = bench.model.usage();
        let counted = (after.prompt_tokens - before.prompt_tokens, after.completion_tokens - before.completion_tokens);
        assert_eq!(used(&end), counted, "{prompt}: {:#?}", end.events);
    }
    rig.close().await;
}

#[tokio::test]
async fn a_server_that_is_killed_fails_its_turn_and_the_next_one_resumes() {
    let bench = Bench::new(limits()).await;
    let mut rig = bench.open(Home::Here).await;
    rig.run("MOCK:TEXT remembered.").await;
    let turn = rig.start("MOCK:SLOW ms=50 chunks=1000").await;
    rig.until(|event| says(event, "")).await;
    kill(rig.pid(), Signal::KILL);
    let end = rig.end(turn).await;
    assert_eq!((end.outcome.status, end.outcome.decided_by), (TurnStatus::Failed, DecidedBy::Crash));
    let (_, status, _) = rig.exited().await;
    assert!(status.contains("SIGKILL"), "{status}");
    let native = rig.session.info().native_id.clone();
    let (_guard, dir) = rig.leave();
    let mut rig = Rig::open_in(Home::Here, dir, bench.agent.clone(), Some(native)).await.expect("it opens again");
    assert_eq!(rig.session.info().resumed, Resumed::Native);
    assert_eq!(rig.run("MOCK:TEXT again.").await.text().trim(), "again.");
    rig.close().await;
}

#[tokio::test]
async fn what_happens_while_the_stream_is_cut_is_neither_lost_nor_doubled() {
    let mut bench = Bench::new(limits()).await;
    let cut = bench.behind_a_proxy();
    let mut rig = bench.open(Home::Here).await;
    rig.run("MOCK:TEXT warm.").await;
    // What was said in another process is history, and is neither said nor counted again.
    let native = rig.session.info().native_id.clone();
    rig.close().await;
    let (_guard, dir) = rig.leave();
    let mut rig = Rig::open_in(Home::Here, dir, bench.agent.clone(), Some(native)).await.expect("it opens again");
    let before = bench.model.usage();
    let path = rig.at("cut.txt");
    let prompt = format!("MOCK:SLOW ms=100 chunks=30 ;; WRITE path={} content=x ;; TEXT The end.", path.display());
    let turn = rig.start(&prompt).await;
    let mut events = rig.until(|event| says(event, "")).await;
    std::fs::write(&cut, "").expect("cut");
    sleep(Duration::from_secs(5)).await;
    std::fs::remove_file(&cut).expect("mended");
    let (id, question, more) = rig.question().await;
    events.extend(more);
    rig.decide(id, &question, PermissionKind::AllowOnce).await;
    let end = rig.end(turn).await;
    assert_eq!(end.outcome.status, TurnStatus::Completed, "{:?}", end.outcome);
    events.extend(end.events);
    let whole = Turn { events, outcome: end.outcome };
    let words = bench.model.requests().len();
    let expected = crate::support::text_of(&whole.events);
    let slow: Vec<_> = expected.split_whitespace().take(30).collect();
    let distinct: std::collections::BTreeSet<_> = slow.iter().collect();
    assert_eq!((slow.len(), distinct.len()), (30, 30), "each of the slow words once: {expected} ({words} requests)");
    assert!(expected.ends_with("The end."), "{expected}");
    let after = bench.model.usage();
    assert_eq!(
        used(&whole),
        (after.prompt_tokens - before.prompt_tokens, after.completion_tokens - before.completion_tokens)
    );
    rig.close().await;
}

#[tokio::test]
async fn a_server_of_an_unknown_version_is_refused_in_words() {
    let mut agent = spec(&beside_tests("test_opencode"), vec!["2.0.1".into()]);
    agent.protocol = Protocol::Opencode;
    let Err(error) = Rig::open_in(Home::Here, directory(), agent, None).await else { panic!("it is refused") };
    assert!(error.to_string().contains("in version 2.0.1: this program knows version 1"), "{error}");
}

#[tokio::test]
async fn a_program_that_does_not_serve_is_an_error_with_its_words() {
    let mut agent = spec(Path::new("/bin/sh"), vec!["-c".into(), "echo no such model >&2; exit 3".into()]);
    agent.protocol = Protocol::Opencode;
    for home in [Home::Here, Home::Runner] {
        let Err(error) = Rig::open_in(home, directory(), agent.clone(), None).await else { panic!("it is refused") };
        let BackendError::Exited { status, stderr } = &error else { panic!("{error:?} in {home:?}") };
        assert!(status.contains('3') && stderr.contains("no such model"), "{error} in {home:?}");
    }
}

#[tokio::test]
async fn sessions_share_a_server_that_outlives_them_and_ends_unused() {
    let bench = Bench::new(limits()).await;
    let servers = bench.dir.path().join("servers");
    let backend = crate::support::runners(bench.dir.path(), &[]).with_servers(&servers);
    let (one, two) = tokio::join!(bench.open(Home::Runner), bench.open(Home::Runner));
    let (mut one, mut two) = (one, two);
    let server = one.pid();
    assert_eq!(two.pid(), server, "one server for both");
    assert_ne!(one.session.info().native_id, two.session.info().native_id);
    let (first, second) =
        (one.start("MOCK:SLOW ms=20 chunks=20 ;; TEXT one.").await, two.start("MOCK:TEXT two.").await);
    let (first, second) = (one.end(first).await, two.end(second).await);
    assert!(first.text().contains("one.") && !first.text().contains("two."), "{}", first.text());
    assert_eq!(second.text().trim(), "two.");
    backend.end_unused_servers(Duration::from_secs(10)).await;
    assert!(alive(server), "it is in use");
    for rig in [&one, &two] {
        rig.session.close().await;
    }
    assert!(alive(server), "it waits for the next one");
    backend.end_unused_servers(Duration::from_secs(10)).await;
    assert!(!alive(server), "nobody uses it any more");
}

#[tokio::test]
async fn a_host_that_is_killed_misleads_nobody_and_its_server_is_not_left_behind() {
    let bench = Bench::new(limits()).await;
    let backend = crate::support::runners(bench.dir.path(), &[]).with_servers(bench.dir.path().join("servers"));
    let mut one = bench.open(Home::Runner).await;
    one.run("MOCK:TEXT one.").await;
    let first = one.pid();
    kill(parent(first), Signal::KILL);
    let mut two = bench.open(Home::Runner).await;
    assert_eq!(two.run("MOCK:TEXT two.").await.text().trim(), "two.");
    let second = two.pid();
    assert_ne!(second, first, "a server without a host is used by nobody");
    assert!(!alive(first), "a server without a host makes way for one that has one");
    kill(parent(second), Signal::KILL);
    for rig in [&one, &two] {
        rig.session.close().await;
    }
    backend.end_unused_servers(Duration::from_secs(10)).await;
    assert!(!alive(second), "nothing is left of it");
}

#[tokio::test]
async fn a_slash_command_is_run_as_one_and_its_turn_ends() {
    let bench = Bench::new(limits()).await;
    let mut rig = bench.open(Home::Here).await;
    let offered = rig.until(|event| agent_event(event, |event| matches!(event, AgentEvent::Commands(_)))).await;
    let Some(SessionEvent::Agent { event: AgentEvent::Commands(commands), .. }) = offered.last() else {
        unreachable!()
    };
    assert!(commands.iter().any(|command| command.name == "init"), "{commands:?}");
    let end = rig.run("/init be brief").await;
    assert_eq!(end.outcome.status, TurnStatus::Completed, "{:?}", end.outcome);
    let asked = bench.model.requests().iter().map(|request| request.body.to_string()).collect::<String>();
    assert!(
        asked.contains("AGENTS.md") && asked.contains("be brief") && !asked.contains("/init"),
        "its template was sent"
    );
    assert_eq!(rig.run("MOCK:TEXT after.").await.text().trim(), "after.");
    rig.close().await;
}

#[tokio::test]
async fn a_directory_may_have_any_name_but_one_that_the_server_reads_as_another() {
    let mut bench = Bench::new(limits()).await;
    let odd = tempfile::Builder::new().prefix("odd & ü ? # '").tempdir().expect("a directory");
    std::fs::create_dir(odd.path().join("tree")).expect("a worktree");
    bench.dir = Arc::new(odd);
    let mut rig = bench.open(Home::Here).await;
    let path = rig.at("here.txt");
    let turn = rig.start(&format!("MOCK:WRITE path={} content=x ;; TEXT Written.", path.display())).await;
    let (id, question, _) = rig.question().await;
    rig.decide(id, &question, PermissionKind::AllowOnce).await;
    assert_eq!(rig.end(turn).await.outcome.status, TurnStatus::Completed);
    assert!(path.exists());
    rig.close().await;
    let escaped = tempfile::Builder::new().prefix("a%41").tempdir().expect("a directory");
    std::fs::create_dir(escaped.path().join("tree")).expect("a worktree");
    let opened = Rig::open_in(Home::Here, Arc::new(escaped), bench.agent.clone(), None).await;
    assert!(matches!(opened, Err(BackendError::Unsupported(_))), "it would work in aA");
}

/// The process that started another one.
fn parent(pid: u32) -> u32 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it lives");
    let (_, rest) = stat.rsplit_once(')').expect("a name");
    rest.split_whitespace().nth(1).and_then(|parent| parent.parse().ok()).expect("a parent")
}

#[tokio::test]
async fn what_a_killed_runner_had_under_way_is_stopped() {
    let bench = Bench::new(limits()).await;
    let backend = crate::support::runners(bench.dir.path(), &[]).with_servers(bench.dir.path().join("servers"));
    let mut rig = bench.open(Home::Runner).await;
    let turn = rig.start("MOCK:SLOW ms=100 chunks=2000").await;
    rig.until(|event| says(event, "")).await;
    let server = rig.pid();
    let runner = *crate::support::runner_pids(bench.dir.path()).first().expect("a runner");
    kill(runner, Signal::KILL);
    let end = rig.end(turn).await;
    assert_eq!((end.outcome.status, end.outcome.decided_by), (TurnStatus::Failed, DecidedBy::Crash));
    let requests = bench.model;
    until("the end of the request to the model", move || {
        requests.requests().iter().all(|request| request.ending != Ending::Open)
    })
    .await;
    assert!(alive(server), "others may use it");
    backend.end_unused_servers(Duration::from_secs(10)).await;
    assert!(!alive(server));
}
