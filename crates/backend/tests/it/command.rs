//! Command lines without a protocol: how they are started, what is read of them, how they end.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use boocoder_backend::{
    AcpBackend, AgentSpec, BackendError, CommandBackend, CommandLine, Limits, OutputForm, PromptBy, Protocol,
    SessionEvent,
};
use boocoder_model::{AgentEvent, Answer, DecidedBy, InteractionId, Position, ToolStatus, TurnStatus, UsageReport};
use boocoder_testkit::process::alive;
use rustix::process::Signal;

use crate::runner::{Server, its_turn};
use crate::support::{
    Home, Rig, Turn, agent_event, directory, in_both_homes, kill, ours, runner_pids, runners, says, spec, text_of,
    until,
};

in_both_homes! {
    the_prompt_is_an_argument_wherever_it_is_asked_for,
    the_prompt_is_the_standard_input_up_to_its_end,
    a_program_writes_to_a_plain_terminal_that_nobody_sits_at,
    what_a_terminal_would_not_show_is_not_said,
    the_exit_decides_how_a_turn_ends,
    a_turn_that_takes_too_long_is_ended_by_the_watchdog,
    a_cancelled_turn_leaves_no_grandchild_however_stubborn,
    what_is_over_the_limits_is_left_out_and_marked,
    each_turn_is_a_process_of_its_own_one_at_a_time,
    json_lines_become_events,
    json_lines_that_break_off_are_no_success,
}

/// A shell that runs `script`, with what follows as its arguments.
fn shell(script: &str, args: &[&str]) -> AgentSpec {
    let args = ["-c", script, "sh"].iter().chain(args).map(|&arg| arg.to_owned()).collect();
    AgentSpec { protocol: Protocol::Pty, warm: false, ..spec(Path::new("/bin/sh"), args) }
}

fn by_stdin(script: &str) -> AgentSpec {
    let command_line = CommandLine { prompt: PromptBy::Stdin, output: OutputForm::Text };
    AgentSpec { command_line, ..shell(script, &[]) }
}

fn printing(output: OutputForm, script: &str) -> AgentSpec {
    AgentSpec { command_line: CommandLine { prompt: PromptBy::Argument, output }, ..shell(script, &[]) }
}

async fn turn_of(home: Home, agent: AgentSpec, prompt: &str) -> Turn {
    let mut rig = Rig::open(home, agent).await;
    let turn = rig.run(prompt).await;
    rig.close().await;
    turn
}

fn data(name: &str) -> String {
    format!("{}/tests/data/{name}.jsonl", env!("CARGO_MANIFEST_DIR"))
}

async fn the_prompt_is_an_argument_wherever_it_is_asked_for(home: Home) {
    let prompt = "two words, $HOME \"quotes\"\nand a line";
    let last = turn_of(home, shell(r#"printf '<%s>' "$@""#, &["-v"]), prompt).await;
    assert_eq!(last.text(), format!("<-v><{prompt}>"));
    assert_eq!((last.outcome.status, last.outcome.decided_by), (TurnStatus::Completed, DecidedBy::Agent));
    let placed = turn_of(home, shell(r#"printf '<%s>' "$@""#, &["--ask={prompt}", "-v"]), "what?").await;
    assert_eq!(placed.text(), "<--ask=what?><-v>");
}

async fn the_prompt_is_the_standard_input_up_to_its_end(home: Home) {
    // More than a pipe holds, and no argument besides.
    let prompt = "line\n".repeat(100_000);
    let turn = turn_of(home, by_stdin("wc -c; echo $#"), &prompt).await;
    assert_eq!(turn.text().split_whitespace().collect::<Vec<_>>(), ["500000", "0"]);
    let unread = turn_of(home, by_stdin("echo unread"), &prompt).await;
    assert_eq!((unread.text().as_str(), unread.outcome.status), ("unread\n", TurnStatus::Completed));
    let empty = turn_of(home, shell("cat; echo end", &[]), "x").await;
    assert_eq!(empty.text(), "end\n", "without a prompt on it, the input is at its end");
}

async fn a_program_writes_to_a_plain_terminal_that_nobody_sits_at(home: Home) {
    let script = r#"[ -t 1 ] && [ -t 2 ] && [ ! -t 0 ] && echo "$TERM/$NO_COLOR/$COLORTERM" && stty -a <&1"#;
    let turn = turn_of(home, shell(script, &[]), "x").await;
    let text = turn.text();
    assert!(text.starts_with("dumb/1/\n"), "{text}");
    for setting in ["rows 50", "columns 160", "-echo ", "-opost"] {
        assert!(text.contains(setting), "{setting}: {text}");
    }
    if home == Home::Runner {
        // A runner has left the terminal of whoever started it, and its agents get none to ask at.
        let asking = turn_of(home, shell("read -r password </dev/tty", &[]), "x").await;
        assert_eq!(asking.outcome.status, TurnStatus::Failed, "{}", asking.outcome.reason);
        assert!(asking.outcome.reason.contains("/dev/tty"), "{}", asking.outcome.reason);
    }
}

async fn what_a_terminal_would_not_show_is_not_said(home: Home) {
    let script = r"printf '\033[1;31mred\033[0m\n10%%\r'; sleep 0.2; printf '100%%\n\033]0;title\007na\303'; sleep 0.2; \
                   printf '\257ve'";
    let turn = turn_of(home, shell(script, &[]), "x").await;
    assert_eq!(turn.text(), "red\n100%\nnaïve");
}

async fn the_exit_decides_how_a_turn_ends(home: Home) {
    let failed = turn_of(home, shell("echo said; echo 'no quota' >&2; exit 3", &[]), "x").await;
    assert_eq!((failed.outcome.status, failed.outcome.decided_by), (TurnStatus::Failed, DecidedBy::Agent));
    assert_eq!(failed.outcome.reason, "the agent exited (exit status 3): said\nno quota");
    assert_eq!(failed.text(), "said\nno quota\n");
    let silent = turn_of(home, shell("exit 7", &[]), "x").await;
    assert_eq!(silent.outcome.reason, "the agent exited (exit status 7)");
    let crashed = turn_of(home, shell("echo last words; kill -SEGV $$", &[]), "x").await;
    assert_eq!((crashed.outcome.status, crashed.outcome.decided_by), (TurnStatus::Failed, DecidedBy::Crash));
    assert!(crashed.outcome.reason.contains("SIGSEGV") && crashed.outcome.reason.ends_with("last words"));
    let gone = shell("x", &[]);
    let error = Rig::open_in(home, directory(), AgentSpec { command: "/no/such/program".into(), ..gone }, None).await;
    assert!(matches!(error.err(), Some(BackendError::NotFound { .. })));
}

async fn a_turn_that_takes_too_long_is_ended_by_the_watchdog(home: Home) {
    let mut agent = shell("echo begun; echo $$ >pid; sleep 600", &[]);
    agent.limits.run = Duration::from_millis(400);
    let mut rig = Rig::open(home, agent).await;
    let turn = rig.run("x").await;
    assert_eq!((turn.outcome.status, turn.outcome.decided_by), (TurnStatus::Failed, DecidedBy::Watchdog));
    assert_eq!(turn.outcome.reason, "the agent did not end within 400ms");
    assert_eq!(turn.text(), "begun\n");
    assert!(!alive(pid(&rig.at("pid"))));
    rig.close().await;
}

fn pid(file: &Path) -> u32 {
    std::fs::read_to_string(file).expect("written").trim().parse().expect("a process id")
}

/// A shell that is in no group and session of ours, does not end when it is asked to, and says who it is.
const STUBBORN: &str = r#"setsid sh -c 'trap "" TERM HUP; echo $$ >grandchild; while :; do sleep 1; done' & \
                          trap "" TERM; echo begun; while :; do sleep 1; done"#;

async fn a_cancelled_turn_leaves_no_grandchild_however_stubborn(home: Home) {
    let mut rig = Rig::open(home, shell(STUBBORN, &[])).await;
    let turn = rig.start("x").await;
    rig.until(|event| says(event, "begun")).await;
    let file = rig.at("grandchild");
    until("the grandchild", move || std::fs::read_to_string(&file).is_ok_and(|pid| pid.ends_with('\n'))).await;
    let grandchild = pid(&rig.at("grandchild"));
    assert!(alive(grandchild));
    rig.session.cancel(turn, DecidedBy::User).await.expect("it runs");
    let end = rig.end(turn).await;
    assert_eq!((end.outcome.status, end.outcome.decided_by), (TurnStatus::Cancelled, DecidedBy::User));
    assert!(!alive(grandchild), "it has outlived its turn");
    rig.close().await;
}

async fn what_is_over_the_limits_is_left_out_and_marked(home: Home) {
    let script = "echo 1234567890abc; i=0; while [ $i -lt 1000 ]; do i=$((i+1)); echo $i; done";
    let mut agent = shell(script, &[]);
    agent.limits = Limits { line: 10, output: 100, ..agent.limits };
    let turn = turn_of(home, agent, "x").await;
    let text = turn.text();
    assert!(text.starts_with("1234567890 [3 bytes of this line were left out]\n1\n2\n"), "{text}");
    let whole = 14 + (1..=1000).map(|number: u32| number.to_string().len() + 1).sum::<usize>();
    let mark = " [3 bytes of this line were left out]".len();
    let left_out = whole - 3 + mark - 100;
    assert!(text.ends_with(&format!("\n[the output ends here: {left_out} more bytes were left out]\n")), "{text}");
    assert_eq!(turn.outcome.status, TurnStatus::Completed, "the agent is not to blame");
}

async fn each_turn_is_a_process_of_its_own_one_at_a_time(home: Home) {
    let mut rig = Rig::open(home, shell(r#"echo $$; [ "$1" = wait ] && sleep 600; exit 0"#, &[])).await;
    let (one, two) = (rig.run("go").await, rig.run("go").await);
    assert_ne!(one.text(), two.text());
    let turn = rig.start("wait").await;
    let other = rig.text("go");
    assert!(matches!(rig.session.prompt(other).await, Err(BackendError::Busy)));
    let nobody = InteractionId::from_uuid(uuid::Uuid::from_u128(5));
    let answered = rig.session.answer(nobody, Answer::Cancel).await;
    assert!(matches!(answered, Err(BackendError::UnknownInteraction(_))));
    let (left, status, _) = rig.close().await;
    assert!(matches!(&left[..], [.., SessionEvent::TurnEnded { turn: ended, outcome }]
        if *ended == turn && outcome.status == TurnStatus::Cancelled && outcome.decided_by == DecidedBy::Policy));
    assert_eq!(status, "killed by SIGTERM");
}

async fn json_lines_become_events(home: Home) {
    let script = format!("[ -t 1 ] || cat '{}'; echo no JSON; echo oops >&2", data("claude-turn"));
    let turn = turn_of(home, printing(OutputForm::ClaudeJson, &script), "x").await;
    assert_eq!((turn.text().as_str(), turn.outcome.status), ("I will look\n\nall done", TurnStatus::Completed));
    let count = |is: fn(&AgentEvent) -> bool| turn.events.iter().filter(|event| agent_event(event, is)).count();
    assert_eq!(
        count(|event| matches!(event, AgentEvent::Usage(UsageReport::Delta { used, .. }) if used.input == 128)),
        1
    );
    assert_eq!(count(|event| matches!(event, AgentEvent::ToolCall(_))), 3);
    assert_eq!(count(|event| matches!(event, AgentEvent::Notice(line) if line == "no JSON")), 1);

    let script = format!("cat '{}'; exit 1", data("codex-unreachable"));
    let failed = turn_of(home, printing(OutputForm::CodexJson, &script), "x").await;
    assert_eq!((failed.outcome.status, failed.outcome.decided_by), (TurnStatus::Failed, DecidedBy::Agent));
    assert_eq!(failed.outcome.reason, "stream disconnected before completion: error sending request");
}

async fn json_lines_that_break_off_are_no_success(home: Home) {
    let silent = turn_of(home, printing(OutputForm::CodexJson, "echo '{\"type\":\"turn.started\"}'"), "x").await;
    assert_eq!(silent.outcome.reason, "the agent exited without a word on how the turn ended");
    assert_eq!(silent.outcome.status, TurnStatus::Failed);

    let script = format!("head -n 1 '{}'; tail -n 1 '{0}'; echo 'could not clean up' >&2; exit 4", data("codex-turn"));
    let unclean = turn_of(home, printing(OutputForm::CodexJson, &script), "x").await;
    assert_eq!(unclean.outcome.reason, "the agent exited (exit status 4): could not clean up");

    let script = format!("head -n 1 '{}'; echo said so >&2; kill -9 $$", data("codex-turn"));
    let crashed = turn_of(home, printing(OutputForm::CodexJson, &script), "x").await;
    assert_eq!((crashed.outcome.status, crashed.outcome.decided_by), (TurnStatus::Failed, DecidedBy::Crash));
    assert!(crashed.outcome.reason.ends_with("said so"), "{}", crashed.outcome.reason);

    let started =
        r#"{"type":"item.started","item":{"id":"i","type":"command_execution","command":"x","status":"in_progress"}}"#;
    let script = format!("echo '{started}'; sleep 600");
    let mut rig = Rig::open(home, printing(OutputForm::CodexJson, &script)).await;
    let turn = rig.start("x").await;
    rig.until(|event| agent_event(event, |event| matches!(event, AgentEvent::ToolCall(_)))).await;
    rig.session.cancel(turn, DecidedBy::User).await.expect("it runs");
    let end = rig.end(turn).await;
    let is_cancelled =
        |event: &AgentEvent| matches!(event, AgentEvent::ToolUpdate(call) if call.status == ToolStatus::Canceled);
    assert!(end.events.iter().any(|event| agent_event(event, is_cancelled)), "a tool is left running");
    rig.close().await;
}

#[tokio::test]
async fn a_slow_consumer_slows_the_program_and_gets_all_of_it_later() {
    const LINES: usize = 60_000;
    let script = format!(
        "i=0; while [ $i -lt {LINES} ]; do i=$((i+1)); printf '%0500d\\n' $i; [ $((i % 100)) -eq 0 ] && echo $i >count; done"
    );
    let mut agent = shell(&script, &[]);
    // Time in which nobody listens does not count.
    agent.limits = Limits { run: Duration::from_secs(60), output: usize::MAX, ..agent.limits };
    let mut rig = Rig::open(Home::Here, agent).await;
    let turn = rig.start("x").await;
    let count = rig.at("count");
    let written = move || std::fs::read_to_string(&count).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0);
    let (mut last, mut still) = (0, 0);
    while still < 10 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let now: usize = written();
        still = if now > 0 && now == last { still + 1 } else { 0 };
        last = now;
    }
    // What waits is one read of a terminal in each place of the queue, and no more.
    assert!(last < LINES / 2, "it has written {last} lines to a consumer that takes none");
    let end = rig.end(turn).await;
    let text = end.text();
    assert_eq!((text.len(), end.outcome.status), (LINES * 501, TurnStatus::Completed));
    assert!(text.lines().enumerate().all(|(at, line)| line.trim_start_matches('0') == (at + 1).to_string()));
    rig.close().await;
}

#[tokio::test]
async fn time_in_which_nobody_listens_does_not_count_against_a_program() {
    let mut agent = shell("yes | head -c 12000000; echo end", &[]);
    agent.limits = Limits { run: Duration::from_secs(4), output: usize::MAX, ..agent.limits };
    let mut rig = Rig::open(Home::Here, agent).await;
    let turn = rig.start("x").await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let end = rig.end(turn).await;
    assert_eq!(end.outcome.status, TurnStatus::Completed, "{}", end.outcome.reason);
    rig.close().await;
}

#[tokio::test]
async fn a_killed_server_s_command_line_goes_on_and_the_next_server_gets_all_of_it_once() {
    let script = "echo one; sleep 1.5; echo two";
    let mut server = Server::start_with("x", &["pty:/bin/sh", "-c", script]);
    let (position, _) = server.until("text");
    server.kill();
    let backend = runners(server.dir.path(), &[]);
    let (mut rig, state) = Rig::attach(&backend, &server.dir, Position::ZERO).await.expect("it lives");
    assert_eq!(state.turn, Some(its_turn()));
    let end = rig.end(its_turn()).await;
    assert_eq!((end.text().as_str(), end.outcome.status), ("one\ntwo\n", TurnStatus::Completed));
    let (mut rig, _) = Rig::attach(&backend, &server.dir, position).await.expect("it lives");
    assert_eq!(rig.end(its_turn()).await.text(), "two\n");
    rig.close().await;
    assert!(runner_pids(server.dir.path()).is_empty());
}

#[tokio::test]
async fn a_killed_runner_s_command_line_is_ended_and_its_turn_fails_with_what_was_said_kept() {
    let mut rig = Rig::open(Home::Runner, shell(STUBBORN, &[])).await;
    let turn = rig.start("x").await;
    rig.until(|event| says(event, "begun")).await;
    let file = rig.at("grandchild");
    until("the grandchild", move || std::fs::read_to_string(&file).is_ok_and(|pid| pid.ends_with('\n'))).await;
    let grandchild = pid(&rig.at("grandchild"));
    runner_pids(rig.dir.path()).into_iter().for_each(|runner| kill(runner, Signal::KILL));
    let end = rig.end(turn).await;
    assert_eq!((end.outcome.status, end.outcome.decided_by), (TurnStatus::Failed, DecidedBy::Crash));
    assert!(!alive(grandchild), "what a dead runner left is ended before the turn is");
    let dir = Arc::clone(&rig.dir);
    let (mut again, _) = Rig::attach(&runners(dir.path(), &[]), &dir, Position::ZERO).await.expect("its journal");
    assert_eq!(text_of(&again.end(turn).await.events), "begun\n");
}

#[tokio::test]
async fn each_backend_runs_agents_of_its_own_protocol_alone() {
    let opened = Rig::open_with(&AcpBackend::new(ours()), directory(), shell("x", &[]), None).await;
    assert!(matches!(opened.err(), Some(BackendError::Unsupported(_))));
    let acp = AgentSpec { protocol: Protocol::Acp, ..shell("x", &[]) };
    let opened = Rig::open_with(&CommandBackend::new(ours()), directory(), acp, None).await;
    assert!(matches!(opened.err(), Some(BackendError::Unsupported(_))));
    let dir = directory();
    std::fs::remove_dir(dir.path().join("tree")).expect("it is there");
    let opened = Rig::open_in(Home::Here, dir, shell("x", &[]), None).await;
    assert!(matches!(opened.err(), Some(BackendError::Spawn { .. })), "there is no worktree to run in");
}
