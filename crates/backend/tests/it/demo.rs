//! The demo agent, verb by verb.

use boocoder_backend::{AcpBackend, OneshotBackend, SessionEvent};
use boocoder_model::{
    AgentEvent, Answer, ContentPart, DecidedBy, PermissionKind, Question, RawJson, Resumed, StepUsage, ToolStatus,
    TurnOutcome, TurnStatus, UsageReport, UsageSource,
};

use crate::support::{Home, PATIENCE, Rig, agent, agent_event, directory, in_both_homes, ours, says, text_of};

in_both_homes! {
    two_prompts_go_to_one_process_and_one_session,
    thoughts_text_and_usage_come_in_order_before_the_end,
    a_write_asks_and_is_done_when_it_is_allowed_and_only_then,
    a_write_outside_the_worktree_is_refused_even_when_it_is_allowed,
    an_edit_reads_and_writes_through_us,
    a_shell_command_runs_in_the_worktree,
    questions_are_forms_and_addresses,
    commands_and_modes_are_kept_whenever_they_come,
    modes_and_models_are_set_before_the_prompt_and_unknown_ones_refused,
    refusals_and_crashes_are_told_apart_and_a_crash_says_its_status,
    garbage_is_reported_and_does_no_harm,
    a_loaded_session_remembers_and_says_nothing_twice,
    a_turn_that_runs_when_the_session_is_closed_is_cancelled_by_policy,
}

fn done() -> TurnOutcome {
    TurnOutcome::stopped(&boocoder_model::StopReason::EndTurn)
}

async fn two_prompts_go_to_one_process_and_one_session(home: Home) {
    let mut rig = Rig::demo(home).await;
    let (first, second) = (rig.run("pid").await, rig.run("pid").await);
    assert_eq!(first.outcome, done());
    assert_eq!(first.text(), second.text());
    assert!(first.text().contains(&format!("pid={} ", rig.pid())), "{}", first.text());
    assert!(first.text().contains(rig.session.info().native_id.as_str()));
    let (_, status, _) = rig.close().await;
    assert_eq!(status, "exit status 0");
}

async fn thoughts_text_and_usage_come_in_order_before_the_end(home: Home) {
    let mut rig = Rig::demo(home).await;
    let turn = rig.start("think hm\nsay hello\nusage 10 5 0.25").await;
    let end = rig.end(turn).await;
    assert_eq!(end.text(), "hello");
    assert!(
        end.events
            .iter()
            .filter(|event| says(event, ""))
            .all(|event| matches!(event, SessionEvent::Agent { turn: Some(of), .. } if *of == turn))
    );
    let place = |is: &dyn Fn(&AgentEvent) -> bool| {
        end.events.iter().position(|event| agent_event(event, is)).expect("it was said")
    };
    let thought = place(&|event| matches!(event, AgentEvent::Reasoning(text) if text == "hm"));
    let said = place(&|event| matches!(event, AgentEvent::Text(text) if text == "hello"));
    let used = place(&|event| {
        matches!(
            event,
            AgentEvent::Usage(UsageReport::Delta {
                source: UsageSource::Agent,
                used: StepUsage { input: 10, output: 5, cost: None }
            })
        )
    });
    assert!(thought < said && said < used && used == end.events.len() - 1);
}

async fn a_write_asks_and_is_done_when_it_is_allowed_and_only_then(home: Home) {
    let mut rig = Rig::demo(home).await;
    let turn = rig.start("write a.txt hello").await;
    let (id, question, _) = rig.question().await;
    assert!(matches!(&question, Question::Permission { tool_call: Some(call), .. } if !call.title.is_empty()));
    assert!(!rig.at("a.txt").exists());
    rig.decide(id, &question, PermissionKind::AllowOnce).await;
    let end = rig.end(turn).await;
    assert_eq!(end.outcome, done());
    assert_eq!(std::fs::read_to_string(rig.at("a.txt")).expect("written").trim_end(), "hello");
    let completed =
        |event: &AgentEvent| matches!(event, AgentEvent::ToolUpdate(call) if call.status == ToolStatus::Completed);
    assert!(end.events.iter().any(|event| agent_event(event, completed)));

    let turn = rig.start("write b.txt hello").await;
    let (id, question, _) = rig.question().await;
    rig.decide(id, &question, PermissionKind::RejectOnce).await;
    rig.end(turn).await;
    assert!(!rig.at("b.txt").exists());
    let again = rig.session.answer(id, Answer::Cancel).await.expect_err("it was answered");
    assert!(again.to_string().contains("is not open"), "{again}");
}

async fn a_write_outside_the_worktree_is_refused_even_when_it_is_allowed(home: Home) {
    let mut rig = Rig::demo(home).await;
    std::os::unix::fs::symlink(rig.dir.path(), rig.at("up")).expect("a link out");
    let outside = rig.dir.path().join("stolen.txt");
    for path in ["../stolen.txt", "up/stolen.txt", outside.to_str().expect("utf-8")] {
        let turn = rig.start(&format!("write {path} x")).await;
        let (id, question, _) = rig.question().await;
        rig.decide(id, &question, PermissionKind::AllowOnce).await;
        let end = rig.end(turn).await;
        let failed =
            |event: &AgentEvent| matches!(event, AgentEvent::ToolUpdate(call) if call.status == ToolStatus::Failed);
        assert!(end.events.iter().any(|event| agent_event(event, failed)), "{path}: {:#?}", end.events);
        assert!(!outside.exists(), "{path}");
    }
}

async fn an_edit_reads_and_writes_through_us(home: Home) {
    let mut rig = Rig::demo(home).await;
    std::fs::write(rig.at("a.txt"), "one two\n").expect("a file");
    let turn = rig.start("edit a.txt two => three").await;
    let (id, question, _) = rig.question().await;
    rig.decide(id, &question, PermissionKind::AllowOnce).await;
    rig.end(turn).await;
    assert_eq!(std::fs::read_to_string(rig.at("a.txt")).expect("there"), "one three\n");
}

async fn a_shell_command_runs_in_the_worktree(home: Home) {
    let mut rig = Rig::demo(home).await;
    let end = rig.run("shell echo hi; pwd; echo bye >&2").await;
    let said = format!("{:?}", end.events);
    let tree = rig.at("").canonicalize().expect("there");
    for part in ["hi", "bye", tree.to_str().expect("utf-8")] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

async fn questions_are_forms_and_addresses(home: Home) {
    let mut rig = Rig::demo(home).await;
    let turn = rig.start("ask Your name?").await;
    let (id, question, _) = rig.question().await;
    assert!(matches!(&question, Question::Form { title, .. } if title.contains("Your name?")));
    rig.session.answer(id, Answer::Select("x".into())).await.expect_err("no answer to a form");
    let content = RawJson::new(r#"{"answer":"Ada"}"#);
    rig.session.answer(id, Answer::Accept(Some(content))).await.expect("it is asked");
    assert!(rig.end(turn).await.text().contains("answer: Ada"));

    let turn = rig.start("open https://example.org/login").await;
    let (id, question, _) = rig.question().await;
    assert!(matches!(&question, Question::Url { url, .. } if url == "https://example.org/login"));
    rig.session.answer(id, Answer::Decline).await.expect("it is asked");
    assert!(rig.end(turn).await.text().contains("declined"));
}

async fn commands_and_modes_are_kept_whenever_they_come(home: Home) {
    let mut rig = Rig::demo(home).await;
    let mut end = rig.run("mode nonsense\nplan\ncommands\nattach").await;
    end.events.retain(|event| matches!(event, SessionEvent::Agent { .. }));
    let has = |is: &dyn Fn(&AgentEvent) -> bool| end.events.iter().any(|event| agent_event(event, is));
    assert!(has(&|event| matches!(event, AgentEvent::Commands(commands) if !commands.is_empty())));
    assert!(has(&|event| matches!(event, AgentEvent::Plan(entries) if entries.len() == 3)));
    assert!(has(&|event| matches!(event, AgentEvent::Content(ContentPart::Image { .. }))));
}

async fn modes_and_models_are_set_before_the_prompt_and_unknown_ones_refused(home: Home) {
    let mut rig = Rig::demo(home).await;
    let options = rig.session.info().options.clone();
    let choices = |id: &str| {
        let option = options.iter().find(|option| option.id == id).unwrap_or_else(|| panic!("{id}: {options:?}"));
        match &option.value {
            boocoder_model::ConfigValue::Select { current, choices } => {
                (current.clone(), choices.iter().map(|choice| choice.id.clone()).collect::<Vec<_>>())
            }
            other => panic!("{other:?}"),
        }
    };
    let (current, all) = choices("mode");
    let other = all.iter().find(|mode| **mode != current).expect("another mode").clone();
    let mut prompt = rig.text("say switched");
    prompt.mode = Some(other.clone());
    let turn = prompt.turn;
    rig.session.prompt(prompt).await.expect("the mode is on offer");
    let end = rig.end(turn).await;
    assert!(end.text().contains("switched"));
    let mut unknown = rig.text("say hi");
    unknown.mode = Some("nonsense".into());
    let error = rig.session.prompt(unknown).await.expect_err("not on offer").to_string();
    assert!(error.contains("nonsense") && error.contains(&other), "{error}");
    assert_eq!(rig.run("say on").await.text(), "on", "a refused prompt leaves the session as it was");
}

async fn refusals_and_crashes_are_told_apart_and_a_crash_says_its_status(home: Home) {
    let mut rig = Rig::demo(home).await;
    let refused = rig.run("refuse").await;
    assert_eq!((refused.outcome.status, refused.outcome.decided_by), (TurnStatus::Failed, DecidedBy::Agent));
    let turn = rig.start("say before\ncrash").await;
    let end = rig.end(turn).await;
    assert!(end.text().contains("before"), "what was said before is not lost");
    assert_eq!((end.outcome.status, end.outcome.decided_by), (TurnStatus::Failed, DecidedBy::Crash));
    assert!(end.outcome.reason.contains("exit status 101"), "{}", end.outcome.reason);
    let (_, status, _) = rig.exited().await;
    assert_eq!(status, "exit status 101");
    let prompt = rig.text("say more");
    let closed = rig.session.prompt(prompt).await.expect_err("it has gone");
    assert_eq!(closed.to_string(), "the agent session is closed");
}

async fn garbage_is_reported_and_does_no_harm(home: Home) {
    let mut rig = Rig::demo(home).await;
    let end = rig.run("garbage").await;
    assert_eq!(end.outcome, done());
    assert!(end.text().contains("garbage written"));
    let notices: Vec<_> = end
        .events
        .iter()
        .filter_map(|event| match event {
            SessionEvent::Agent { event: AgentEvent::Notice(line), .. } => Some(line.as_str()),
            _ => None,
        })
        .collect();
    assert!(notices.iter().any(|line| line.contains("this line is not JSON")), "{notices:?}");
    assert!(notices.iter().any(|line| line.contains("neither is this text")), "{notices:?}");
    assert_eq!(rig.run("say fine").await.text(), "fine");
}

async fn a_loaded_session_remembers_and_says_nothing_twice(home: Home) {
    let dir = directory();
    let state = dir.path().join("state");
    let spec = agent(&["demo", state.to_str().expect("utf-8")]);
    let mut rig = Rig::open_in(home, dir.clone(), spec.clone(), None).await.expect("opens");
    assert_eq!(rig.session.info().resumed, Resumed::New);
    assert!(rig.session.info().resumable);
    rig.run("remember the milk").await;
    let native_id = rig.session.info().native_id.clone();
    rig.close().await;

    let mut rig = Rig::open_in(home, dir.clone(), spec.clone(), Some(native_id.clone())).await.expect("opens");
    assert_eq!(rig.session.info().resumed, Resumed::Native);
    assert_eq!(rig.session.info().native_id, native_id);
    let end = rig.run("recall").await;
    assert_eq!(end.text(), "the milk", "no replayed history is in between");
    assert!(!end.events.iter().any(|event| agent_event(event, |event| matches!(event, AgentEvent::UserContent(_)))));
    rig.close().await;

    let mut rig = Rig::open_in(home, dir, spec, Some("no-such-session".into())).await.expect("opens");
    assert_eq!(rig.session.info().resumed, Resumed::New, "what cannot be loaded is not called resumed");
    assert_eq!(rig.run("recall").await.text(), "nothing is remembered");
}

#[tokio::test]
async fn a_one_shot_session_ends_with_its_turn() {
    let backend = OneshotBackend::new(AcpBackend::new(ours()));
    let mut rig = Rig::open_with(&backend, directory(), agent(&["demo"]), None).await.expect("opens");
    let end = rig.run("say once").await;
    assert_eq!((end.text().as_str(), end.outcome), ("once", done()));
    let prompt = rig.text("say twice");
    rig.session.prompt(prompt).await.expect_err("one turn");
    let (_, status, _) = rig.exited().await;
    assert_eq!(status, "exit status 0");
    assert!(!boocoder_testkit::process::alive(rig.pid()));
}

#[tokio::test]
async fn a_session_whose_handles_are_dropped_is_closed() {
    let rig = Rig::demo(Home::Here).await;
    is_closed_when_dropped(rig).await;
    let backend = OneshotBackend::new(AcpBackend::new(ours()));
    let rig = Rig::open_with(&backend, directory(), agent(&["demo"]), None).await.expect("opens");
    is_closed_when_dropped(rig).await;
}

async fn is_closed_when_dropped(rig: Rig) {
    let pid = rig.pid();
    drop(rig);
    let gone = tokio::task::spawn_blocking(move || {
        boocoder_testkit::process::wait_until(PATIENCE, "the end of the agent", || {
            !boocoder_testkit::process::alive(pid)
        })
    });
    gone.await.expect("no panic").expect("it is gone");
}

async fn a_turn_that_runs_when_the_session_is_closed_is_cancelled_by_policy(home: Home) {
    let mut rig = Rig::demo(home).await;
    let turn = rig.start("say working\nsleep 600000").await;
    rig.until(|event| says(event, "working")).await;
    let (events, _, _) = rig.close().await;
    let outcome = events.iter().find_map(|event| match event {
        SessionEvent::TurnEnded { turn: ended, outcome } if *ended == turn => Some(outcome.clone()),
        _ => None,
    });
    let outcome = outcome.unwrap_or_else(|| panic!("the turn has an end: {}", text_of(&events)));
    assert_eq!((outcome.status, outcome.decided_by), (TurnStatus::Cancelled, DecidedBy::Policy));
}
