//! Runs other people's coding agents: starts them, talks to them, answers them, ends them.
//!
//! The port is small. An [`AgentBackend`] opens a session with an agent; an [`AgentSession`] takes prompts, answers and
//! cancellations; everything that happens comes as [`SessionEvent`]s over one bounded channel. Only plain data crosses
//! it, so a backend may live in another process than its caller.
//!
//! | item | is |
//! | --- | --- |
//! | [`AcpBackend`] | warm agents that speak the Agent Client Protocol: one process for all turns of a session |
//! | [`OpencodeBackend`] | opencode's HTTP server: one for all sessions, each with a native session in it |
//! | [`host_server`] | what keeps such a server for the sessions of other processes |
//! | [`CommandBackend`] | command lines that speak no protocol: a process for each turn |
//! | [`RouterBackend`] | whichever of these an agent's protocol asks for |
//! | [`runner::RunnerBackend`] | the same agents, each kept by a process of its own that outlives this one |
//! | [`runner::host`] | what such a process runs |
//! | [`OneshotBackend`] | a wrapper that closes a session after its single turn |
//! | [`end_leftovers`] | ends what a program that was killed has left of its agents |
//! | [`registry`] | which agents there are, where their programs lie, which version they have |
//! | [`environment_for`] | what an agent gets to see of our environment |
//! | [`allowed_environment`] | what any other program that runs for a project gets to see of it |
//! | [`limits`] | every limit by its name |
//!
//! What a caller may rely on:
//! * A turn that was started ends with exactly one [`SessionEvent::TurnEnded`], which says who decided it, and
//!   everything of the turn comes before that.
//! * A slow consumer slows the agent; it never fills the memory.
//! * When [`AgentSession::close`] returns, no process of the agent is left, whatever it started and wherever that went.
//! * If this program is killed, the sessions of runners go on, and the next program takes them up by [`Runners`] where
//!   this one stood. Of other sessions the next one ends what is left by [`end_leftovers`]: all that still has the
//!   environment that it was given, and what that has started. Only Linux shows the environment of a process.
//! * An agent's requests for files and terminals end at the worktree. Its own commands do not: who runs an agent runs
//!   its shell.
//!
//! Deliberately not here: which task goes to which agent, what is stored, and who may answer a question.
//! The next protocol gets a folder beside `acp` and implements the two traits; a runner hosts whatever does.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use boocoder_backend::{AcpBackend, AgentBackend, Environment, OpenSpec, Prompt, Registry, SessionEvent, builtins};
//! use boocoder_model::{AgentEvent, AgentName, ContentPart, RunnerId, TurnId};
//!
//! let registry = Registry::new(builtins(&std::env::current_exe()?), []);
//! let agent = registry.get(&AgentName::from("goose")).ok_or("goose is built in")?.clone();
//! let ours: Environment = std::env::vars_os().collect();
//! let runner = RunnerId::from_uuid(uuid::Uuid::from_u128(1));
//! let spec = OpenSpec { agent, cwd: "/srv/tree".into(), resume: None, runner };
//! let mut opened = AcpBackend::new(ours).open(spec).await?;
//!
//! let turn = TurnId::from_uuid(uuid::Uuid::from_u128(1));
//! let content = vec![ContentPart::Text("what does this project do?".into())];
//! opened.session.prompt(Prompt { turn, content, model: None, mode: None, thinking: None }).await?;
//! while let Some(delivery) = opened.events.recv().await {
//!     match delivery.event {
//!         SessionEvent::Agent { event: AgentEvent::Text(text), .. } => print!("{text}"),
//!         SessionEvent::TurnEnded { outcome, .. } => {
//!             println!("{}", outcome.reason);
//!             break;
//!         }
//!         _ => {}
//!     }
//! }
//! opened.session.close().await;
//! # Ok(())
//! # }
//! ```

mod acp;
mod backend;
mod command;
mod environment;
mod error;
pub mod limits;
mod lines;
mod oneshot;
mod opencode;
mod process;
pub mod registry;
mod router;
pub mod runner;
mod session;
mod spec;

pub use acp::{AcpBackend, check_answer};
pub use backend::{
    AgentBackend, AgentSession, Attached, Delivery, OpenSpec, Opened, Prompt, PromptSupport, RunnerState, Runners,
    SessionEvent, SessionInfo,
};
pub use command::CommandBackend;
pub use environment::{Environment, allowed_environment, environment_for};
pub use error::BackendError;
pub use limits::Limits;
pub use oneshot::OneshotBackend;
pub use opencode::{OpencodeBackend, check_opencode_version, host_server};
pub use process::{OWNER, end_leftovers};
pub use registry::{AgentOverride, Registry, builtins, locate, probe_version};
pub use router::RouterBackend;
pub use spec::{AgentSpec, CommandLine, McpServer, OutputForm, PromptBy, Protocol};
