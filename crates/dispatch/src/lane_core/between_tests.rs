//! What a lane decides around its turns: who stays, who is started again, what belongs to no turn.

use boocoder_backend::SessionEvent;
use boocoder_model::{AgentEvent, Approval, ContentPart};

use super::tests::{Bench, bodies, done, here, info, task_id};
use super::*;

fn settle(bench: &mut Bench) -> Vec<Action> {
    bench.tell(here([SessionEvent::TurnEnded { turn: super::tests::TURN, outcome: done() }]));
    bench.tell(Input::Compared(Box::default()));
    bench.tell(Input::Settled)
}

fn open(bench: &mut Bench, history: Option<&str>) -> Vec<Action> {
    bench.run(Approval::Ask);
    bench.tell(Input::Prepared(Box::default()));
    if let Some(history) = history {
        bench.tell(Input::History(history.to_owned()));
    }
    let actions = bench.tell(Input::Opened(Ok(info())));
    bench.tell(Input::Prompted(super::tests::TURN, Ok(())));
    actions
}

fn text(turn: Option<TurnId>, text: &str) -> Input {
    here([SessionEvent::Agent { turn, event: AgentEvent::Text(text.into()) }])
}

fn exited() -> Input {
    here([SessionEvent::Exited { status: "signal 9".into(), stderr: String::new() }])
}

fn status_of(actions: &[Action]) -> Option<(String, Option<String>)> {
    bodies(actions).into_iter().find_map(|body| {
        let FrameBody::AgentSessionUpdated { status, resumed, .. } = body else { return None };
        Some((status.clone(), resumed.clone()))
    })
}

#[test]
fn an_agent_without_work_is_let_go_when_its_time_is_over_and_no_message_waits() {
    let mut bench = Bench::new();
    open(&mut bench, None);
    settle(&mut bench);
    let due = bench.lane.poll_timeout().expect("it is not kept for ever");
    assert!(matches!(bench.lane.handle(Input::Timeout, due)[..], [Action::Evict]));
    let actions = bench.tell(Input::Evict);
    assert!(matches!(actions[..], [Action::Write(_), Action::CloseSession(None)]));
    assert_eq!(status_of(&actions).unwrap().0, "closed");
    assert_eq!(bench.lane.poll_timeout(), None);
    bench.run(Approval::Ask);
    let actions = bench.tell(Input::Prepared(Box::default()));
    assert!(matches!(&actions[..], [Action::Open(Opening { resume: Some(_), .. })]), "the next message resumes it");
}

#[test]
fn an_agent_that_works_is_not_let_go() {
    let mut bench = Bench::new();
    open(&mut bench, None);
    assert!(bench.tell(Input::Evict).is_empty());
}

#[test]
fn an_agent_that_dies_too_often_is_parked_until_a_new_message() {
    let mut bench = Bench::new();
    for _ in 0..=DispatchLimits::default().crashes {
        open(&mut bench, None);
        settle(&mut bench);
        bench.tell(exited());
    }
    bench.run(Approval::Ask);
    let actions = bench.tell(Input::Prepared(Box::default()));
    assert!(matches!(actions[..], [Action::Compare(..)]), "it is not started for what waited already: {actions:?}");
    let actions = bench.tell(Input::Compared(Box::default()));
    assert_eq!(status_of(&actions).unwrap().0, "parked");
    bench.tell(Input::Settled);

    let mut later = super::tests::task(Approval::Ask);
    later.created_at = super::tests::at(11);
    let start = super::tests::start();
    bench.tell(Input::Run(later, start));
    let actions = bench.tell(Input::Prepared(Box::default()));
    assert!(matches!(&actions[..], [Action::Open(Opening { not_before: None, .. })]), "{actions:?}");
}

#[test]
fn an_agent_that_died_twice_waits_before_it_is_started_again() {
    let mut bench = Bench::new();
    for _ in 0..2 {
        open(&mut bench, None);
        settle(&mut bench);
        bench.tell(exited());
    }
    bench.run(Approval::Ask);
    let actions = bench.tell(Input::Prepared(Box::default()));
    assert!(matches!(&actions[..], [Action::Open(Opening { not_before: Some(at), .. })] if *at > super::tests::at(10)));
}

#[test]
fn an_agent_that_lost_its_session_is_told_the_history_and_counts_as_knowing_it_once_it_answers() {
    let mut bench = Bench::new();
    let actions = open(&mut bench, Some("[user]\nhello\n\n"));
    let Some(Action::Prompt(prompt)) = actions.first() else { panic!("{actions:?}") };
    let [ContentPart::Text(history), ContentPart::Text(asked)] = &prompt.content[..] else { panic!("{prompt:?}") };
    assert!(history.contains("[user]\nhello") && asked == "hello");
    assert_eq!(status_of(&actions), Some(("active".into(), None)), "nothing is proved yet");
    let actions = bench.tell(text(Some(super::tests::TURN), "I know"));
    assert_eq!(status_of(&actions), Some(("active".into(), Some("history".into()))));
}

#[test]
fn an_agent_that_resumed_its_own_session_is_told_nothing() {
    let mut bench = Bench::new();
    bench.run(Approval::Ask);
    bench.tell(Input::Prepared(Box::default()));
    bench.tell(Input::History("x".into()));
    let native = Box::new(SessionInfo { resumed: Resumed::Native, ..*info() });
    let actions = bench.tell(Input::Opened(Ok(native)));
    let Some(Action::Prompt(prompt)) = actions.first() else { panic!("{actions:?}") };
    assert_eq!(prompt.content.len(), 1);
    assert_eq!(status_of(&actions), Some(("active".into(), Some("native".into()))));
}

#[test]
fn an_agent_that_was_started_with_another_configuration_is_replaced_before_its_next_turn() {
    let mut bench = Bench::new();
    open(&mut bench, None);
    settle(&mut bench);
    bench.lane.fingerprint = "as configured now".into();
    bench.run(Approval::Ask);
    let actions = bench.tell(Input::Prepared(Box::default()));
    assert!(matches!(&actions[..], [Action::CloseSession(None), Action::Open(Opening { resume: Some(_), .. })]));
}

#[test]
fn work_between_turns_is_a_message_of_its_own_that_ends_by_itself() {
    let mut bench = Bench::new();
    open(&mut bench, None);
    settle(&mut bench);
    let actions = bench.tell(text(None, "by the way"));
    assert!(matches!(bodies(&actions)[..], [FrameBody::MessageStarted { .. }, FrameBody::Delta { .. }]));
    bench.tell(text(None, ", more"));
    let due = bench.lane.poll_timeout().unwrap();
    let actions = bench.lane.handle(Input::Timeout, due);
    let [Action::Write(entry)] = &actions[..] else { panic!("{actions:?}") };
    let [Change::PutMessage(message)] = &entry.changes[..] else { panic!("{entry:?}") };
    assert_eq!((message.content.as_str(), message.task_id), ("by the way, more", task_id()));
    assert!(matches!(entry.frames[0].body, FrameBody::MessageComplete { .. }));
}

#[test]
fn work_between_turns_ends_where_a_turn_begins() {
    let mut bench = Bench::new();
    open(&mut bench, None);
    settle(&mut bench);
    bench.tell(text(None, "by the way"));
    let actions = bench.run(Approval::Ask);
    assert!(matches!(bodies(&actions)[..], [FrameBody::MessageComplete { .. }, FrameBody::TaskUpdated { .. }, ..]));
}
