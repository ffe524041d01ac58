//! The forms of what happens in a session and of what is asked of it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use boocoder_model as model;
use boocoder_model::{
    AgentCommand, AgentEvent, AgentName, AgentSessionId, Answer, ConfigOption, ContentPart, DecidedBy, InteractionId,
    InteractionOutcome, Question, RawJson, RunnerId, TurnId, TurnOutcome,
};
use serde::{Deserialize, Serialize};

use super::agent::{CommandForm, ContentForm, EventForm, OptionForm, QuestionForm};
use super::forms::{AsPath, Form, List, Maybe, Named, Raw, mirrors};
use crate::{
    AgentSpec, CommandLine, Limits, McpServer, OpenSpec, OutputForm, Prompt, PromptBy, PromptSupport, Protocol,
    SessionEvent, SessionInfo,
};

mirrors! {
    SessionEventForm: SessionEvent,
    InfoForm: SessionInfo,
    PromptForm: Prompt,
    AnswerForm: Answer,
    OpenForm: OpenSpec,
    LimitsForm: Limits,
    ServerForm: McpServer,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "SessionEvent", rename_all = "snake_case")]
pub(crate) enum SessionEventForm {
    Agent {
        turn: Option<TurnId>,
        #[serde(with = "EventForm")]
        event: AgentEvent,
    },
    Asked {
        turn: Option<TurnId>,
        id: InteractionId,
        #[serde(with = "QuestionForm")]
        question: Question,
    },
    Withdrawn {
        id: InteractionId,
        #[serde(with = "SettledForm")]
        outcome: InteractionOutcome,
        #[serde(with = "Named::<DecidedBy>")]
        decided_by: DecidedBy,
    },
    TurnEnded {
        turn: TurnId,
        #[serde(with = "OutcomeForm")]
        outcome: TurnOutcome,
    },
    Exited {
        status: String,
        stderr: String,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "InteractionOutcome", rename_all = "snake_case")]
enum SettledForm {
    Selected(String),
    Accepted(#[serde(with = "Maybe::<Raw>")] Option<RawJson>),
    Declined,
    Cancelled,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "TurnOutcome")]
struct OutcomeForm {
    #[serde(with = "Named::<model::TurnStatus>")]
    status: model::TurnStatus,
    #[serde(with = "Named::<DecidedBy>")]
    decided_by: DecidedBy,
    reason: String,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "SessionInfo")]
pub(crate) struct InfoForm {
    native_id: AgentSessionId,
    resumable: bool,
    #[serde(with = "Named::<model::Resumed>")]
    resumed: model::Resumed,
    agent_version: Option<String>,
    pid: u32,
    #[serde(with = "SupportForm")]
    prompt: PromptSupport,
    #[serde(with = "List::<OptionForm>")]
    options: Vec<ConfigOption>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "PromptSupport")]
struct SupportForm {
    image: bool,
    audio: bool,
    embedded: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Prompt")]
pub(crate) struct PromptForm {
    turn: TurnId,
    #[serde(with = "List::<ContentForm>")]
    content: Vec<ContentPart>,
    model: Option<String>,
    mode: Option<String>,
    thinking: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Answer", rename_all = "snake_case")]
pub(crate) enum AnswerForm {
    Select(String),
    Accept(#[serde(with = "Maybe::<Raw>")] Option<RawJson>),
    Decline,
    Cancel,
}

/// All that a session is opened with. Its environments may hold secrets: this crosses the socket and is never kept.
#[derive(Serialize, Deserialize)]
#[serde(remote = "OpenSpec")]
pub(crate) struct OpenForm {
    #[serde(with = "AgentForm")]
    agent: AgentSpec,
    #[serde(with = "AsPath")]
    cwd: PathBuf,
    resume: Option<AgentSessionId>,
    runner: RunnerId,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "AgentSpec")]
struct AgentForm {
    name: AgentName,
    label: String,
    enabled: bool,
    #[serde(with = "ProtocolForm")]
    protocol: Protocol,
    #[serde(with = "CommandLineForm", default)]
    command_line: CommandLine,
    warm: bool,
    command: String,
    args: Vec<String>,
    env: BTreeMap<String, String>,
    #[serde(with = "List::<CommandForm>")]
    commands: Vec<AgentCommand>,
    #[serde(with = "List::<ServerForm>")]
    mcp_servers: Vec<McpServer>,
    #[serde(with = "LimitsForm")]
    limits: Limits,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Protocol", rename_all = "snake_case")]
enum ProtocolForm {
    Acp,
    Opencode,
    Pty,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "CommandLine")]
struct CommandLineForm {
    #[serde(with = "PromptByForm")]
    prompt: PromptBy,
    #[serde(with = "OutputFormForm")]
    output: OutputForm,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "PromptBy", rename_all = "snake_case")]
enum PromptByForm {
    Argument,
    Stdin,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "OutputForm", rename_all = "snake_case")]
enum OutputFormForm {
    Text,
    ClaudeJson,
    CodexJson,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "McpServer", rename_all = "snake_case")]
enum ServerForm {
    Stdio { name: String, command: String, args: Vec<String>, env: BTreeMap<String, String> },
    Http { name: String, url: String, headers: BTreeMap<String, String> },
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Limits")]
pub(crate) struct LimitsForm {
    start: Duration,
    silence: Duration,
    cancel: Duration,
    kill: Duration,
    control: Duration,
    line: usize,
    file: usize,
    terminals: usize,
    terminal_output: usize,
    questions: usize,
    #[serde(default = "usual_run")]
    run: Duration,
    #[serde(default = "usual_output")]
    output: usize,
}

/// What a runner of the version before did not write down, since it had no use for it.
fn usual_run() -> Duration {
    Limits::default().run
}

/// See [`usual_run`].
fn usual_output() -> usize {
    Limits::default().output
}
