//! Cancelling: the outcome stands, nothing is left open, and the next turn is its own.

use std::time::{Duration, Instant};

use boocoder_backend::{BackendError, SessionEvent};
use boocoder_model::{
    AgentEvent, DecidedBy, InteractionOutcome, PermissionKind, ToolStatus, TurnId, TurnOutcome, TurnStatus,
};
use boocoder_testkit::process::{alive, descendants};

use crate::support::{Home, Rig, Turn, agent, agent_event, in_both_homes, says};

in_both_homes! {
    a_stream_is_cancelled_and_the_next_turn_answers_for_itself,
    an_open_permission_is_withdrawn_in_the_name_of_whoever_cancelled,
    a_command_in_our_terminal_dies_with_its_turn,
    an_agent_that_ignores_the_cancellation_is_ended_within_its_limit,
    cancelling_something_else_changes_nothing,
    silence_ends_a_turn_in_the_name_of_the_watchdog,
    nobody_is_silent_while_a_human_is_asked_or_a_command_runs,
    tools_that_run_are_shown_as_cancelled_before_the_end,
}

async fn cancelled(rig: &mut Rig, turn: TurnId) -> Turn {
    rig.session.cancel(turn, DecidedBy::User).await.expect("taken");
    let end = rig.end(turn).await;
    assert_eq!(end.outcome, TurnOutcome::cancelled(DecidedBy::User, "cancelled"));
    end
}

async fn a_stream_is_cancelled_and_the_next_turn_answers_for_itself(home: Home) {
    let mut rig = Rig::demo(home).await;
    for round in 0..5 {
        let turn = rig.start("stream 1000000 100").await;
        rig.until(|event| says(event, "")).await;
        let early = rig.text("say too early");
        assert!(matches!(rig.session.prompt(early).await, Err(BackendError::Busy)));
        cancelled(&mut rig, turn).await;
        let next = format!("say round {round}");
        assert_eq!(rig.run(&next).await.text(), format!("round {round}"));
    }
}

async fn an_open_permission_is_withdrawn_in_the_name_of_whoever_cancelled(home: Home) {
    let mut rig = Rig::demo(home).await;
    let turn = rig.start("write a.txt x").await;
    let (id, _, _) = rig.question().await;
    let end = cancelled(&mut rig, turn).await;
    let withdrawn = SessionEvent::Withdrawn { id, outcome: InteractionOutcome::Cancelled, decided_by: DecidedBy::User };
    assert!(end.events.contains(&withdrawn), "{:#?}", end.events);
    let canceled =
        |event: &AgentEvent| matches!(event, AgentEvent::ToolUpdate(call) if call.status == ToolStatus::Canceled);
    assert!(end.events.iter().any(|event| agent_event(event, canceled)), "{:#?}", end.events);
    assert!(!rig.at("a.txt").exists());
    let error = rig.session.answer(id, boocoder_model::Answer::Cancel).await.expect_err("nobody asks");
    assert!(matches!(error, BackendError::UnknownInteraction(unknown) if unknown == id));
    assert_eq!(rig.run("say next").await.text(), "next");
}

async fn a_command_in_our_terminal_dies_with_its_turn(home: Home) {
    let mut rig = Rig::demo(home).await;
    let turn = rig.start("shell echo $$ > pid; sleep 600").await;
    let file = rig.at("pid");
    let written = move || std::fs::read_to_string(&file).ok().and_then(|pid| pid.trim().parse::<u32>().ok());
    let pid = tokio::task::spawn_blocking(move || {
        boocoder_testkit::process::wait_until(crate::support::PATIENCE, "the command", || written().is_some())
            .map(|()| written())
    });
    let pid = pid.await.expect("no panic").expect("it runs").expect("a number");
    assert!(alive(pid) && descendants(std::process::id()).contains(&pid));
    cancelled(&mut rig, turn).await;
    assert_eq!(rig.run("say next").await.text(), "next");
    tokio::task::spawn_blocking(move || {
        boocoder_testkit::process::wait_until(crate::support::PATIENCE, "the command's end", || !alive(pid))
    })
    .await
    .expect("no panic")
    .expect("the command is dead");
}

async fn an_agent_that_ignores_the_cancellation_is_ended_within_its_limit(home: Home) {
    let mut spec = agent(&["demo"]);
    spec.limits.cancel = Duration::from_millis(300);
    let mut rig = Rig::open(home, spec).await;
    let turn = rig.start("say hanging\nhang").await;
    rig.until(|event| says(event, "hanging")).await;
    let pid = rig.pid();
    let end = cancelled(&mut rig, turn).await;
    assert!(end.text().is_empty());
    assert!(!alive(pid), "its process is ended before its turn is");
    rig.exited().await;
}

async fn cancelling_something_else_changes_nothing(home: Home) {
    let mut rig = Rig::demo(home).await;
    let turn = rig.start("say one\nsleep 200\nsay two").await;
    let other = TurnId::from_uuid(uuid::Uuid::from_u128(999));
    rig.session.cancel(other, DecidedBy::User).await.expect("taken");
    let end = rig.end(turn).await;
    assert_eq!(end.outcome.status, TurnStatus::Completed);
    rig.session.cancel(turn, DecidedBy::User).await.expect("too late, and no error");
    assert_eq!(rig.run("say next").await.text(), "next");
}

#[expect(clippy::disallowed_methods, reason = "the test measures what it waits for")]
async fn silence_ends_a_turn_in_the_name_of_the_watchdog(home: Home) {
    let mut spec = agent(&["demo"]);
    spec.limits.silence = Duration::from_millis(300);
    let mut rig = Rig::open(home, spec).await;
    let start = Instant::now();
    let end = rig.run("sleep 600000").await;
    assert_eq!((end.outcome.status, end.outcome.decided_by), (TurnStatus::Failed, DecidedBy::Watchdog));
    assert!(start.elapsed() >= Duration::from_millis(300));
    assert_eq!(rig.run("say awake").await.text(), "awake", "the same process goes on");
}

async fn nobody_is_silent_while_a_human_is_asked_or_a_command_runs(home: Home) {
    let mut spec = agent(&["demo"]);
    spec.limits.silence = Duration::from_millis(300);
    let mut rig = Rig::open(home, spec).await;
    let turn = rig.start("shell sleep 1\nwrite a.txt x").await;
    let (id, question, _) = rig.question().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    rig.decide(id, &question, PermissionKind::AllowOnce).await;
    assert_eq!(rig.end(turn).await.outcome.status, TurnStatus::Completed);
}

async fn tools_that_run_are_shown_as_cancelled_before_the_end(home: Home) {
    let mut rig = Rig::script(home).await;
    let turn = rig.start("tool").await;
    rig.until(|event| says(event, "digging")).await;
    let end = cancelled(&mut rig, turn).await;
    let canceled = |event: &AgentEvent| matches!(event, AgentEvent::ToolUpdate(call) if call.title == "dig" && call.status == ToolStatus::Canceled);
    assert!(end.events.iter().any(|event| agent_event(event, canceled)), "{:#?}", end.events);
}
