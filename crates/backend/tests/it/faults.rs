//! Agents that do not keep to the protocol, die, or leave things behind.

use std::time::Duration;

use boocoder_backend::{BackendError, SessionEvent};
use boocoder_model::{
    AgentEvent, Answer, DecidedBy, InteractionOutcome, PermissionKind, Question, StepUsage, TurnStatus, UsageReport,
};
use boocoder_testkit::process::{alive, descendants};

use crate::support::{Home, Rig, agent, agent_event, in_both_homes, says};

in_both_homes! {
    an_unknown_stop_reason_is_kept_and_its_usage_counted,
    a_permission_of_an_unknown_kind_is_still_a_human_s_to_give,
    an_agent_that_takes_its_question_back_is_told_so,
    an_elicitation_that_is_completed_elsewhere_is_settled,
    a_provider_s_error_is_the_reason_of_the_turn,
    what_follows_the_end_of_a_turn_belongs_to_none,
    unknown_things_are_kept_and_malformed_ones_reported,
    noise_without_end_is_counted_and_not_kept,
    a_line_of_fifty_megabytes_is_taken_and_one_over_the_limit_reported,
    an_agent_that_dies_in_a_turn_leaves_nothing_open,
    an_agent_that_exits_between_turns_says_so,
    what_ignores_every_polite_word_is_killed_with_all_its_children,
    children_of_a_dead_agent_are_found_by_their_mark,
    an_agent_that_does_not_answer_a_control_request_is_ended,
    a_turn_cancelled_before_its_prompt_was_sent_ends_as_cancelled,
}

async fn an_unknown_stop_reason_is_kept_and_its_usage_counted(home: Home) {
    let mut rig = Rig::script(home).await;
    let end = rig.run("stop coffee_break").await;
    assert_eq!((end.outcome.status, end.outcome.reason.as_str()), (TurnStatus::Completed, "coffee_break"));
    let used = |event: &AgentEvent| {
        matches!(event, AgentEvent::Usage(UsageReport::Delta { used: StepUsage { input: 7, output: 3, .. }, .. }))
    };
    assert!(end.events.last().is_some_and(|event| agent_event(event, used)), "{:#?}", end.events);
    assert_eq!(rig.run("nothing").await.outcome.reason, "end_turn", "an absent reason is the end of the turn");
}

async fn a_permission_of_an_unknown_kind_is_still_a_human_s_to_give(home: Home) {
    let mut rig = Rig::script(home).await;
    let turn = rig.start("permission").await;
    let (id, question, _) = rig.question().await;
    let Question::Permission { options, tool_call, .. } = &question else { panic!("{question:?}") };
    assert_eq!((options[0].kind, tool_call.is_none()), (PermissionKind::Other, true));
    let wrong = rig.session.answer(id, Answer::Select("maybe".into())).await.expect_err("no such option");
    assert!(matches!(wrong, BackendError::InvalidAnswer(_)), "{wrong}");
    rig.session.answer(id, Answer::Select("odd".into())).await.expect("still open");
    assert_eq!(rig.end(turn).await.text(), r#"{"outcome":{"outcome":"selected","optionId":"odd"}}"#);
}

async fn an_agent_that_takes_its_question_back_is_told_so(home: Home) {
    let mut rig = Rig::script(home).await;
    let end = rig.run("taken-back").await;
    assert_eq!(end.text(), "-32800");
    let withdrawn = end.events.iter().any(|event| {
        matches!(
            event,
            SessionEvent::Withdrawn { outcome: InteractionOutcome::Cancelled, decided_by: DecidedBy::Agent, .. }
        )
    });
    assert!(withdrawn, "{:#?}", end.events);
}

async fn an_elicitation_that_is_completed_elsewhere_is_settled(home: Home) {
    let mut rig = Rig::script(home).await;
    let lines = [
        r#"{"jsonrpc":"2.0","id":77,"method":"elicitation/create","params":{"sessionId":"s","mode":"url","elicitationId":"e1","url":"https://a.b","message":"Log in"}}"#,
        r#"{"jsonrpc":"2.0","method":"elicitation/complete","params":{"elicitationId":"e1"}}"#,
    ];
    let end = rig.run(&format!("raw {}", lines.join("|"))).await;
    let [_, SessionEvent::Asked { id: asked, .. }, settled, _] = &end.events[..] else { panic!("{:#?}", end.events) };
    let (outcome, decided_by) = (InteractionOutcome::Accepted(None), DecidedBy::Agent);
    assert_eq!(*settled, SessionEvent::Withdrawn { id: *asked, outcome, decided_by });
}

async fn a_provider_s_error_is_the_reason_of_the_turn(home: Home) {
    let mut rig = Rig::script(home).await;
    let end = rig.run("error the model is on fire").await;
    assert_eq!((end.outcome.status, end.outcome.decided_by), (TurnStatus::Failed, DecidedBy::Agent));
    assert_eq!(end.outcome.reason, "the model is on fire");
    assert_eq!(rig.run("hello").await.text(), "hello");
}

async fn what_follows_the_end_of_a_turn_belongs_to_none(home: Home) {
    let mut rig = Rig::script(home).await;
    for _ in 0..20 {
        let end = rig.run("late").await;
        assert_eq!(end.text(), "");
        let late = rig.until(|event| says(event, "late")).await;
        assert!(matches!(late.last(), Some(SessionEvent::Agent { turn: None, .. })));
    }
}

async fn unknown_things_are_kept_and_malformed_ones_reported(home: Home) {
    let mut rig = Rig::script(home).await;
    let lines = [
        r#"{"jsonrpc":"2.0","method":"session/update","params":{"sessionId":"s","update":{"sessionUpdate":"weather","b":1,"a":1.50}}}"#,
        r#"{"jsonrpc":"2.0","method":"vendor/news","params":{"z":1,"a":2}}"#,
        r#"{"jsonrpc":"2.0","method":"session/update","params":{"sessionId":"other","update":{"sessionUpdate":"agent_message_chunk","content":{"type":"text","text":"not ours"}}}}"#,
        r#"{"jsonrpc":"2.0","method":"_boocoder/fence","params":{"number":99999}}"#,
        r#"[{"jsonrpc":"2.0","id":1,"method":"x"}]"#,
        r#"{"jsonrpc":"2.0","id":1,"result":1,"error":2}"#,
        r#"{"jsonrpc":"2.0","id":"nobody","result":1}"#,
        r#"{"jsonrpc":"2.0","method":"session/update"}"#,
        r#"{"jsonrpc":"2.0","method":"$/cancel_request","params":7}"#,
        "17",
        "null",
        "{}",
        "\"x\"",
        "{\"jsonrpc\":",
        "",
    ];
    let end = rig.run(&format!("raw {}", lines.join("|"))).await;
    assert_eq!((end.text().as_str(), end.outcome.status), ("raw written", TurnStatus::Completed));
    let unmapped: Vec<_> = end
        .events
        .iter()
        .filter_map(|event| match event {
            SessionEvent::Agent { event: AgentEvent::Unmapped { kind, raw }, .. } => {
                Some((kind.as_str(), raw.as_str()))
            }
            _ => None,
        })
        .collect();
    assert!(unmapped.contains(&("weather", r#"{"sessionUpdate":"weather","b":1,"a":1.50}"#)), "{unmapped:?}");
    assert!(unmapped.contains(&("vendor/news", r#"{"z":1,"a":2}"#)), "{unmapped:?}");
    assert!(unmapped.iter().any(|(kind, raw)| *kind == "session/update" && raw.contains("not ours")), "{unmapped:?}");
    assert!(unmapped.iter().any(|(kind, _)| *kind == "_boocoder/fence"), "{unmapped:?}");
    let notices =
        end.events.iter().filter(|event| agent_event(event, |event| matches!(event, AgentEvent::Notice(_)))).count();
    assert_eq!(notices, 9, "{:#?}", end.events);
    assert_eq!(rig.run("hello").await.text(), "hello");
}

async fn noise_without_end_is_counted_and_not_kept(home: Home) {
    let mut rig = Rig::script(home).await;
    let lines = vec!["noise"; 500].join("|");
    let end = rig.run(&format!("raw {lines}")).await;
    let notices: Vec<_> = end
        .events
        .iter()
        .filter_map(|event| match event {
            SessionEvent::Agent { event: AgentEvent::Notice(line), .. } => Some(line.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(notices.len(), 33);
    assert_eq!(notices[32], "468 more lines on standard output were no messages");
}

async fn a_line_of_fifty_megabytes_is_taken_and_one_over_the_limit_reported(home: Home) {
    let mut rig = Rig::script(home).await;
    assert_eq!(rig.run("long 50000000").await.text().len(), 50_000_000);
    let mut spec = agent(&["script"]);
    spec.limits.line = 1024 * 1024;
    let mut rig = Rig::open(home, spec).await;
    let end = rig.run("long 50000000").await;
    assert_eq!((end.text().as_str(), end.outcome.status), ("", TurnStatus::Completed));
    let over = |event: &AgentEvent| matches!(event, AgentEvent::Notice(line) if line.contains("over the limit"));
    assert!(end.events.iter().any(|event| agent_event(event, over)));
    assert_eq!(rig.run("hello").await.text(), "hello");
}

async fn an_agent_that_dies_in_a_turn_leaves_nothing_open(home: Home) {
    let mut rig = Rig::script(home).await;
    let turn = rig.start("permission").await;
    let (id, _, _) = rig.question().await;
    let pid = rustix::process::Pid::from_raw(i32::try_from(rig.pid()).expect("a pid")).expect("not zero");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it runs");
    let end = rig.end(turn).await;
    let withdrawn =
        SessionEvent::Withdrawn { id, outcome: InteractionOutcome::Cancelled, decided_by: DecidedBy::Crash };
    assert!(end.events.contains(&withdrawn), "{:#?}", end.events);
    assert_eq!((end.outcome.status, end.outcome.decided_by), (TurnStatus::Failed, DecidedBy::Crash));
    assert!(end.outcome.reason.contains("SIGKILL"), "{}", end.outcome.reason);
    let (_, status, _) = rig.exited().await;
    assert_eq!(status, "killed by SIGKILL");
}

async fn an_agent_that_exits_between_turns_says_so(home: Home) {
    let mut rig = Rig::script(home).await;
    let end = rig.run("die").await;
    assert!(end.outcome.reason.contains("exit status 9"), "{}", end.outcome.reason);
    rig.exited().await;
}

/// An agent in shell that ignores SIGTERM and the end of its input, with a child in a session of its own that does too.
pub(crate) const STUBBORN: &str = r#"
trap '' TERM
answer() { read -r line; id=$(printf '%s' "$line" | sed 's/.*"id":\("[^"]*"\|[0-9]*\).*/\1/'); printf '{"jsonrpc":"2.0","id":%s,"result":%s}\n' "$id" "$1"; }
answer '{"protocolVersion":1}'
setsid sh -c 'trap "" TERM; sleep 600 & sleep 600' >/dev/null 2>&1 &
env -i setsid sleep 600 >/dev/null 2>&1 &
answer '{"sessionId":"s"}'
: > answered
while :; do read -r line || sleep 1; done
"#;

async fn what_ignores_every_polite_word_is_killed_with_all_its_children(home: Home) {
    let mut spec = crate::support::spec("/bin/sh".as_ref(), vec!["-c".into(), STUBBORN.into()]);
    spec.limits.kill = Duration::from_millis(200);
    let mut rig = Rig::open(home, spec).await;
    let pid = rig.pid();
    // Both are there before the end begins.
    let family = tokio::task::spawn_blocking(move || {
        boocoder_testkit::process::wait_until(crate::support::PATIENCE, "the children", || descendants(pid).len() >= 4)
            .map(|()| descendants(pid))
    });
    let family = family.await.expect("no panic").expect("four children");
    let (_, status, _) = rig.close().await;
    assert_eq!(status, "killed by SIGKILL");
    let left: Vec<_> = family.into_iter().filter(|pid| alive(*pid)).collect();
    assert!(left.is_empty(), "{left:?}");
}

async fn children_of_a_dead_agent_are_found_by_their_mark(home: Home) {
    let mut rig = Rig::script(home).await;
    let child: u32 = rig.run("children").await.text().parse().expect("a pid");
    assert!(alive(child));
    let pid = rustix::process::Pid::from_raw(i32::try_from(rig.pid()).expect("a pid")).expect("not zero");
    let mut family = descendants(child);
    family.push(child);
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it runs");
    rig.exited().await;
    let left: Vec<_> = family.into_iter().filter(|pid| alive(*pid)).collect();
    assert!(left.is_empty(), "{left:?}");
}

async fn an_agent_that_does_not_answer_a_control_request_is_ended(home: Home) {
    let mut spec = agent(&["script", "stays"]);
    spec.limits.control = Duration::from_millis(300);
    let mut rig = Rig::open(home, spec).await;
    let mut prompt = rig.text("hello");
    prompt.mode = Some("stuck".into());
    let error = rig.session.prompt(prompt).await.expect_err("it never answers");
    assert!(matches!(error, BackendError::StartTimeout { stage: "session/set_mode", .. }), "{error}");
    let (events, _, _) = rig.exited().await;
    assert!(!events.iter().any(|event| matches!(event, SessionEvent::TurnEnded { .. })), "no turn began");
}

async fn a_turn_cancelled_before_its_prompt_was_sent_ends_as_cancelled(home: Home) {
    let mut spec = agent(&["script"]);
    spec.limits.cancel = Duration::from_millis(300);
    let mut rig = Rig::open(home, spec).await;
    let mut prompt = rig.text("hello");
    prompt.mode = Some("stuck".into());
    let turn = prompt.turn;
    let session = rig.session.clone();
    let prompting = tokio::spawn(async move { session.prompt(prompt).await });
    // Until the prompt has been taken, another one is not refused.
    loop {
        let mut probe = rig.text("probe");
        probe.mode = Some("no such mode".into());
        match rig.session.prompt(probe).await {
            Err(BackendError::Busy) => break,
            _ => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
    rig.session.cancel(turn, DecidedBy::User).await.expect("taken");
    prompting.await.expect("no panic").expect("its end comes as an event");
    let end = rig.end(turn).await;
    assert_eq!((end.outcome.status, end.outcome.decided_by), (TurnStatus::Cancelled, DecidedBy::User));
}
