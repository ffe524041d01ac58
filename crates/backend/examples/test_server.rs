//! A server that keeps its session in a runner, for tests that kill it in the middle.
//!
//! `test_server DIRECTORY PROMPT PROGRAM [ARGUMENT]…` opens a session in `DIRECTORY/tree` with the agent, gives it the
//! prompt, and says on standard output what it got. A `PROGRAM` behind `pty:` speaks no protocol.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use boocoder_backend::runner::RunnerBackend;
use boocoder_backend::{AgentBackend, AgentSpec, CommandLine, Limits, OpenSpec, Prompt, Protocol, SessionEvent};
use boocoder_model::{AgentEvent, AgentName, ContentPart, RunnerId, TurnId};

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::wildcard_enum_match_arm, reason = "it tells of what the tests wait for")]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().expect("DIRECTORY PROMPT PROGRAM");
    let (dir, prompt, command) = (next(), next(), next());
    let (protocol, command) = match command.strip_prefix("pty:") {
        Some(command) => (Protocol::Pty, command.to_owned()),
        None => (Protocol::Acp, command),
    };
    let agent = AgentSpec {
        name: AgentName::from("test"),
        label: "Test".into(),
        enabled: true,
        protocol,
        command_line: CommandLine::default(),
        warm: true,
        command,
        args: arguments.collect(),
        env: [].into(),
        commands: vec![],
        mcp_servers: vec![],
        limits: Limits::default(),
    };
    let dir = Path::new(&dir);
    let runner = std::env::current_exe().expect("this program").with_file_name("test_runner");
    let backend = RunnerBackend::new(runner, [""; 0], dir.join("runners"), dir.to_string_lossy());
    let runner = RunnerId::from_uuid(uuid::Uuid::from_u128(1));
    let spec = OpenSpec { agent, cwd: dir.join("tree"), resume: None, runner };
    let mut opened = backend.open(spec).await.expect("the session opens");
    let turn = TurnId::from_uuid(uuid::Uuid::from_u128(1));
    let content = vec![ContentPart::Text(prompt)];
    let prompt = Prompt { turn, content, model: None, mode: None, thinking: None };
    opened.session.prompt(prompt).await.expect("the turn starts");
    let mut out = std::io::stdout();
    while let Some(delivery) = opened.events.recv().await {
        let position = delivery.position.expect("a journal has positions");
        let told = match delivery.event {
            SessionEvent::Agent { event: AgentEvent::Text(text), .. } => writeln!(out, "{position} text {text}"),
            SessionEvent::Asked { id, .. } => writeln!(out, "{position} asked {id}"),
            _ => writeln!(out, "{position} other"),
        };
        told.and_then(|()| out.flush()).expect("somebody reads");
    }
    // A test that fails to kill it is not held up by it for ever.
    tokio::time::sleep(Duration::from_secs(600)).await;
}
