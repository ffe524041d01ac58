//! A program that runs an agent, for tests that kill it in the middle.
//!
//! `test_host OWNER WORKTREE PROMPT PROGRAM [ARGUMENT]…` opens a session with the agent, gives it the prompt, and stays.

use std::time::Duration;

use boocoder_backend::{AcpBackend, AgentBackend, AgentSpec, CommandLine, Limits, OpenSpec, Prompt, Protocol};
use boocoder_model::{AgentName, ContentPart, RunnerId, TurnId};

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::disallowed_methods, reason = "a program passes its environment on")]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().expect("OWNER WORKTREE PROMPT PROGRAM");
    let (owner, cwd, prompt, command) = (next(), next(), next(), next());
    let agent = AgentSpec {
        name: AgentName::from("test"),
        label: "Test".into(),
        enabled: true,
        protocol: Protocol::Acp,
        command_line: CommandLine::default(),
        warm: true,
        command,
        args: arguments.collect(),
        env: [].into(),
        commands: vec![],
        mcp_servers: vec![],
        limits: Limits::default(),
    };
    let ours = ["PATH", "HOME"].into_iter().filter_map(|name| Some((name.into(), std::env::var_os(name)?))).collect();
    let backend = AcpBackend::new(ours).owned_by(owner);
    let runner = RunnerId::from_uuid(uuid::Uuid::from_u128(1));
    let spec = OpenSpec { agent, cwd: cwd.into(), resume: None, runner };
    let mut opened = backend.open(spec).await.expect("the session opens");
    let turn = TurnId::from_uuid(uuid::Uuid::from_u128(1));
    let content = vec![ContentPart::Text(prompt)];
    let prompt = Prompt { turn, content, model: None, mode: None, thinking: None };
    opened.session.prompt(prompt).await.expect("the turn starts");
    while opened.events.recv().await.is_some() {}
    // A test that fails to kill it is not held up by it for ever.
    tokio::time::sleep(Duration::from_secs(600)).await;
}
