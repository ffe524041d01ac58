//! Real agents, pinned, each in front of a model of ours: what the demo agent is meant to stand for.

use std::path::Path;
use std::time::Duration;

use boocoder_backend::{AgentSpec, Limits, Protocol};
use boocoder_model::{AgentEvent, DecidedBy, InteractionOutcome, PermissionKind, Question, Resumed, TurnStatus};
use boocoder_testkit::TestkitError;
use boocoder_testkit::agents::{self, AgentLaunch};
use boocoder_testkit::llm::MockModel;
use boocoder_testkit::process::{alive, descendants};

use crate::support::{Home, PATIENCE, Rig, agent_event, directory, says, spec, text_of};
use boocoder_backend::SessionEvent;

type Launch = fn(&MockModel, &Path) -> Result<AgentLaunch, TestkitError>;

/// An agent, its model and its worktree.
struct Real {
    // Dropped last: the agent talks to it.
    rig: Rig,
    _model: MockModel,
    agent: AgentSpec,
}

impl Real {
    async fn start(launch: Launch, protocol: Protocol) -> Self {
        let dir = directory();
        let home = dir.path().join("home");
        // The first start installs the agents, which takes minutes.
        let (model, launched) = tokio::task::spawn_blocking(move || {
            std::fs::create_dir(&home).expect("a home");
            let model = MockModel::start().expect("a model");
            let launched = launch(&model, &home).expect("the agent is installed");
            (model, launched)
        })
        .await
        .expect("no panic");
        let mut agent = spec(&launched.command, launched.args);
        agent.env = launched.env;
        agent.protocol = protocol;
        agent.limits = Limits { kill: Duration::from_secs(3), ..Limits::default() };
        let rig = Rig::open_in(Home::Here, dir, agent.clone(), None).await.expect("the agent opens a session");
        Self { rig, _model: model, agent }
    }

    async fn talks(&mut self) {
        let first = self.rig.run("MOCK:REASON because ;; TEXT first answer.").await;
        assert_eq!(first.outcome.status, TurnStatus::Completed, "{:?}", first.outcome);
        assert!(first.text().contains("first answer."), "{}", first.text());
        let thought = |event: &AgentEvent| matches!(event, AgentEvent::Reasoning(text) if text.contains("because"));
        assert!(first.events.iter().any(|event| agent_event(event, thought)), "{:#?}", first.events);
        let second = self.rig.run("MOCK:TEXT second answer.").await;
        assert!(second.text().contains("second answer.") && !second.text().contains("first"), "{}", second.text());
    }

    /// A write that is decided as `kind`.
    async fn writes(&mut self, file: &str, kind: PermissionKind) {
        let path = self.rig.at(file);
        let turn = self.rig.start(&format!("MOCK:WRITE path={} content=hello ;; TEXT Written.", path.display())).await;
        let (id, question, _) = self.rig.question().await;
        assert!(!path.exists(), "nothing is written before it is allowed");
        self.rig.decide(id, &question, kind).await;
        let end = self.rig.end(turn).await;
        assert_eq!(end.outcome.status, TurnStatus::Completed, "{:?}", end.outcome);
        assert_eq!(path.exists(), kind == PermissionKind::AllowOnce, "{:#?}", end.events);
    }

    async fn is_cancelled_while_it_asks(&mut self) {
        let path = self.rig.at("never.txt");
        let write = format!("MOCK:TEXT Writing. ;; WRITE path={} content=x ;; TEXT Written.", path.display());
        let turn = self.rig.start(&write).await;
        let (id, _, _) = self.rig.question().await;
        self.rig.session.cancel(turn, DecidedBy::User).await.expect("taken");
        let end = self.rig.end(turn).await;
        assert_eq!((end.outcome.status, end.outcome.decided_by), (TurnStatus::Cancelled, DecidedBy::User));
        let withdrawn =
            SessionEvent::Withdrawn { id, outcome: InteractionOutcome::Cancelled, decided_by: DecidedBy::User };
        assert!(end.events.contains(&withdrawn), "{:#?}", end.events);
        assert!(!path.exists());
        self.answers_for_itself("after the question").await;
    }

    async fn is_cancelled_while_a_command_runs(&mut self) {
        let pid = self.rig.at("pid");
        let command = format!("echo $$ > {}; sleep 601; echo woke", pid.display());
        let turn = self.rig.start(&format!("MOCK:TEXT Sleeping. ;; SHELL cmd={command} ;; TEXT Slept.")).await;
        let (id, question, _) = self.rig.question().await;
        assert!(matches!(question, Question::Permission { .. }));
        self.rig.decide(id, &question, PermissionKind::AllowOnce).await;
        let read = move || std::fs::read_to_string(&pid).ok().and_then(|pid| pid.trim().parse::<u32>().ok());
        let shell = eventually("the command", read).await;
        self.rig.session.cancel(turn, DecidedBy::User).await.expect("taken");
        let end = self.rig.end(turn).await;
        assert_eq!((end.outcome.status, end.outcome.decided_by), (TurnStatus::Cancelled, DecidedBy::User));
        self.answers_for_itself("after the command").await;
        eventually("the command's end", move || (!alive(shell)).then_some(())).await;
    }

    async fn is_cancelled_while_it_speaks(&mut self) {
        let turn = self.rig.start("MOCK:SLOW ms=100 chunks=1000").await;
        self.rig.until(|event| says(event, "")).await;
        self.rig.session.cancel(turn, DecidedBy::User).await.expect("taken");
        let end = self.rig.end(turn).await;
        assert_eq!((end.outcome.status, end.outcome.decided_by), (TurnStatus::Cancelled, DecidedBy::User));
        self.answers_for_itself("after the speech").await;
    }

    async fn answers_for_itself(&mut self, words: &str) {
        let end = self.rig.run(&format!("MOCK:TEXT {words}")).await;
        assert_eq!(end.outcome.status, TurnStatus::Completed, "{:?}", end.outcome);
        assert_eq!(end.text().trim(), words);
    }

    /// Ends it, and starts another process that goes on with the session.
    async fn resume(self) -> Self {
        let Self { rig, _model, agent } = self;
        let (dir, native_id) = (rig.dir.clone(), rig.session.info().native_id.clone());
        leaves_nothing(rig).await;
        let mut rig =
            Rig::open_in(Home::Here, dir, agent.clone(), Some(native_id.clone())).await.expect("the agent loads");
        assert_eq!((rig.session.info().resumed, &rig.session.info().native_id), (Resumed::Native, &native_id));
        let turn = rig.start("MOCK:TEXT resumed.").await;
        let seen =
            rig.until(|event| matches!(event, SessionEvent::TurnEnded { turn: ended, .. } if *ended == turn)).await;
        assert_eq!(text_of(&seen).trim(), "resumed.", "nothing of the history is said again");
        Self { rig, _model, agent }
    }
}

/// Closes the session. No process of it is left.
async fn leaves_nothing(mut rig: Rig) {
    let mut family = descendants(rig.pid());
    family.push(rig.pid());
    let (_, status, _) = rig.close().await;
    let left: Vec<_> = family.into_iter().filter(|pid| alive(*pid)).collect();
    assert!(left.is_empty(), "{left:?} are left ({status})");
}

async fn eventually<T: Send + 'static>(what: &'static str, look: impl Fn() -> Option<T> + Send + 'static) -> T {
    let waiting = tokio::task::spawn_blocking(move || {
        boocoder_testkit::process::wait_until(PATIENCE, what, || look().is_some()).map(|()| look())
    });
    waiting.await.expect("no panic").expect("it happens").expect("and stays")
}

async fn check(launch: Launch, protocol: Protocol) {
    let mut real = Real::start(launch, protocol).await;
    let pid = real.rig.pid();
    real.talks().await;
    real.writes("no.txt", PermissionKind::RejectOnce).await;
    real.writes("yes.txt", PermissionKind::AllowOnce).await;
    real.is_cancelled_while_it_speaks().await;
    real.is_cancelled_while_it_asks().await;
    real.is_cancelled_while_a_command_runs().await;
    assert!(alive(pid) && real.rig.pid() == pid, "it was one process all the time");
    let real = real.resume().await;
    leaves_nothing(real.rig).await;
}

#[tokio::test]
async fn qwen_keeps_its_word() {
    check(agents::qwen, Protocol::Acp).await;
}

#[tokio::test]
async fn goose_keeps_its_word() {
    check(agents::goose, Protocol::Acp).await;
}

#[tokio::test]
async fn opencode_keeps_its_word() {
    check(agents::opencode_server, Protocol::Opencode).await;
}
