//! Opening a session: what can go wrong, and what it is called.

use std::time::Duration;

use boocoder_backend::{BackendError, McpServer, SessionEvent, probe_version};
use boocoder_model::{AgentEvent, Resumed};
use boocoder_testkit::process::descendants;

use crate::support::{Home, Rig, agent, agent_event, directory, in_both_homes, ours, spec};

in_both_homes! {
    a_program_that_is_not_there_is_not_found,
    a_worktree_that_is_not_there_is_an_error_at_once,
    an_agent_that_exits_at_once_says_why,
    an_agent_that_never_answers_is_given_up_and_ended,
    another_version_of_the_protocol_is_named,
    an_agent_without_a_login_gives_its_own_instructions,
    what_the_agent_cannot_do_is_refused_before_it_is_asked,
    mcp_servers_are_handed_over,
    what_cannot_be_loaded_becomes_a_new_session_that_is_called_new,
    commands_that_come_before_the_session_are_kept,
}

async fn refused(home: Home, agent: boocoder_backend::AgentSpec) -> BackendError {
    match Rig::open_in(home, directory(), agent, None).await {
        Ok(_) => panic!("it must not open"),
        Err(error) => error,
    }
}

async fn a_program_that_is_not_there_is_not_found(home: Home) {
    let error = refused(home, spec("/no/such/agent".as_ref(), vec![])).await;
    assert!(matches!(&error, BackendError::NotFound { command } if command == "/no/such/agent"), "{error}");
}

async fn a_worktree_that_is_not_there_is_an_error_at_once(home: Home) {
    let dir = directory();
    std::fs::remove_dir(dir.path().join("tree")).expect("removed");
    let error = Rig::open_in(home, dir, agent(&["demo"]), None).await.err().expect("no worktree");
    assert!(matches!(error, BackendError::Spawn { .. }), "{error}");
}

async fn an_agent_that_exits_at_once_says_why(home: Home) {
    match refused(home, agent(&["exit"])).await {
        BackendError::Exited { status, stderr } => {
            assert_eq!((status.as_str(), stderr.as_str()), ("exit status 3", "no configuration found"));
        }
        other => panic!("{other}"),
    }
}

async fn an_agent_that_never_answers_is_given_up_and_ended(home: Home) {
    for (fault, stage) in [("mute", "initialize"), ("mute-session", "session/new")] {
        let mut spec = agent(&[fault, "stays"]);
        spec.limits.start = Duration::from_millis(400);
        match refused(home, spec).await {
            BackendError::StartTimeout { stage: at, .. } => assert_eq!(at, stage),
            other => panic!("{other}"),
        }
        let left: Vec<_> = descendants(std::process::id())
            .into_iter()
            .filter(|pid| {
                std::fs::read_to_string(format!("/proc/{pid}/cmdline"))
                    .is_ok_and(|line| line.contains(&format!("{fault}\0stays")))
            })
            .collect();
        assert!(left.is_empty(), "{fault} has left {left:?}");
    }
}

async fn another_version_of_the_protocol_is_named(home: Home) {
    match refused(home, agent(&["version"])).await {
        BackendError::ProtocolVersion { theirs, ours } => assert_eq!((theirs.as_str(), ours), ("99", 1)),
        other => panic!("{other}"),
    }
}

async fn an_agent_without_a_login_gives_its_own_instructions(home: Home) {
    match refused(home, agent(&["login"])).await {
        BackendError::AuthRequired { instructions } => {
            assert!(instructions.contains("run `x login`"), "{instructions}")
        }
        other => panic!("{other}"),
    }
}

async fn what_the_agent_cannot_do_is_refused_before_it_is_asked(home: Home) {
    let mut http = agent(&["script"]);
    http.mcp_servers =
        vec![McpServer::Http { name: "web".into(), url: "http://localhost/".into(), headers: [].into() }];
    assert!(matches!(refused(home, http).await, BackendError::Unsupported(_)));
}

async fn mcp_servers_are_handed_over(home: Home) {
    let mut spec = agent(&["demo"]);
    let server = McpServer::Stdio { name: "ours".into(), command: "/bin/true".into(), args: vec![], env: [].into() };
    spec.mcp_servers = vec![server];
    assert_eq!(Rig::open(home, spec).await.run("mcp").await.text(), "mcp: ours");
}

async fn what_cannot_be_loaded_becomes_a_new_session_that_is_called_new(home: Home) {
    let rig = Rig::open_in(home, directory(), agent(&["forgetful"]), Some("old".into())).await.expect("opens");
    assert_eq!((rig.session.info().resumed, rig.session.info().native_id.as_str()), (Resumed::New, "s"));
}

async fn commands_that_come_before_the_session_are_kept(home: Home) {
    let mut rig = Rig::script(home).await;
    let first = rig.next().await.expect("an event");
    let early = |event: &AgentEvent| matches!(event, AgentEvent::Commands(commands) if commands[0].name == "early");
    assert!(agent_event(&first, early), "{first:?}");
    assert!(matches!(first, SessionEvent::Agent { turn: None, .. }));
}

#[tokio::test]
async fn versions_are_asked_for_with_a_limit() {
    let limit = Duration::from_secs(30);
    let version = probe_version(&agent(&[]), &ours(), limit).await.expect("it tells");
    assert_eq!(version, "test agent 1.2.3");
    let sh = spec("/bin/sh".as_ref(), vec![]);
    let mut script = sh.clone();
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("agent.sh");
    std::fs::write(&file, "echo \"script $1\"\nsleep 600\n").expect("a script");
    script.args = vec![file.to_string_lossy().into_owned(), "--acp".into()];
    let version =
        probe_version(&script, &ours(), Duration::from_secs(1)).await.expect("it tells, and is not waited for");
    assert_eq!(version, "script --version");
    std::fs::write(&file, "sleep 600\n").expect("a script");
    let error = probe_version(&script, &ours(), Duration::from_millis(300)).await.expect_err("it never tells");
    assert!(matches!(error, BackendError::StartTimeout { stage: "--version", .. }), "{error}");
}
