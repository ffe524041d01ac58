//! What clients are answered.

use boocoder_model as model;
use boocoder_model::{ChatId, InteractionId, MessageId, ProjectId, SessionId, TaskId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Approval;
use crate::parts::{Choice, Command, Content, Outcome, Settlement, ToolCall};
use crate::usage::Used;

/// The answer to [`NewMessage`](super::NewMessage): the message is kept, and will be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct Accepted {
    /// The human's message.
    pub message_id: MessageId,
    /// The task that answers it.
    pub task_id: TaskId,
    /// The chat it stands in.
    pub chat_id: ChatId,
}

/// The answer to [`NewAnswer`](super::NewAnswer): how the question is settled now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct Settled {
    /// The question.
    pub id: InteractionId,
    /// How it was settled.
    pub outcome: Settlement,
    /// By whom: `agent`, `user`, `policy`, `watchdog` or `crash`.
    pub decided_by: String,
}

/// `GET /api/health`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct Health {
    /// `ok`.
    pub status: String,
    /// The server's version.
    pub version: String,
}

/// A project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct Project {
    /// Its id.
    pub id: ProjectId,
    /// What to call it.
    pub name: String,
    /// The root of its checkout.
    pub path: String,
    /// When it was added.
    pub created_at: Timestamp,
}

impl From<model::Project> for Project {
    fn from(project: model::Project) -> Self {
        Self {
            id: project.id,
            name: project.name,
            path: project.path.to_string_lossy().into_owned(),
            created_at: project.created_at,
        }
    }
}

/// A chat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct Chat {
    /// Its id.
    pub id: ChatId,
    /// The session it belongs to.
    pub session_id: SessionId,
    /// What to call it.
    pub title: String,
    /// The message of another chat up to which, itself included, this one begins with what was said there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forked_from: Option<MessageId>,
    /// When it was opened.
    pub created_at: Timestamp,
}

impl From<model::Chat> for Chat {
    fn from(chat: model::Chat) -> Self {
        Self {
            id: chat.id,
            session_id: chat.session_id,
            title: chat.title,
            forked_from: chat.forked_from,
            created_at: chat.created_at,
        }
    }
}

/// A session with its chats, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// The project it works on.
    pub project_id: ProjectId,
    /// What to call it.
    pub title: String,
    /// Its chats.
    pub chats: Vec<Chat>,
    /// When it began.
    pub created_at: Timestamp,
}

impl Session {
    /// A session and its chats as one body.
    pub fn new(session: model::Session, chats: Vec<model::Chat>) -> Self {
        Self {
            id: session.id,
            project_id: session.project_id,
            title: session.title,
            chats: chats.into_iter().map(Into::into).collect(),
            created_at: session.created_at,
        }
    }
}

/// A message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct Message {
    /// Its id.
    pub id: MessageId,
    /// The chat it stands in.
    pub chat_id: Option<ChatId>,
    /// The task it asks for or answers.
    pub task_id: TaskId,
    /// `user` or `assistant`.
    pub role: String,
    /// The agent asked, or answering.
    pub agent: String,
    /// What is said, whole.
    pub content: String,
    /// Parts that are not text.
    pub attachments: Vec<Content>,
    /// The reasoning shown, whole.
    pub reasoning: String,
    /// The tool calls, each as its last snapshot.
    pub tool_calls: Vec<ToolCall>,
    /// `queued`, `streaming`, `complete`, `failed` or `cancelled`.
    pub status: String,
    /// Why it failed.
    pub error: Option<String>,
    /// When it began.
    pub created_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

impl From<model::Message> for Message {
    fn from(message: model::Message) -> Self {
        Self {
            id: message.id,
            chat_id: message.chat_id,
            task_id: message.task_id,
            role: message.role.to_string(),
            agent: message.agent.to_string(),
            content: message.content,
            attachments: message.attachments.into_iter().map(Into::into).collect(),
            reasoning: message.reasoning,
            tool_calls: message.tool_calls.into_iter().map(Into::into).collect(),
            status: message.status.to_string(),
            error: message.error,
            created_at: message.created_at,
            finished_at: message.finished_at,
        }
    }
}

/// What is known of one agent in one chat.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct AgentSession {
    /// The chat.
    pub chat_id: ChatId,
    /// The agent.
    pub agent: String,
    /// `active`, `idle`, `crashed` or `closed`.
    pub status: String,
    /// Whether a native session id is stored.
    pub has_session: bool,
    /// How it came to its context: `native`, `history` or `new`; null before it was opened.
    pub resumed: Option<String>,
    /// When it last did something.
    pub last_active_at: Option<Timestamp>,
    /// What it used so far, by the usage ledger.
    #[serde(flatten)]
    pub used: Used,
}

impl AgentSession {
    /// What is known of it, and what it used.
    pub fn new(session: model::AgentSession, used: &model::UsageTotals) -> Self {
        Self {
            chat_id: session.chat_id,
            agent: session.agent.to_string(),
            status: session.status.to_string(),
            has_session: session.native_id.is_some(),
            resumed: session.resumed.map(|resumed| resumed.to_string()),
            last_active_at: session.last_active_at,
            used: used.into(),
        }
    }
}

/// A task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct Task {
    /// Its id.
    pub id: TaskId,
    /// The project it works on.
    pub project_id: ProjectId,
    /// The session it came from.
    pub session_id: Option<SessionId>,
    /// The chat it came from.
    pub chat_id: Option<ChatId>,
    /// The agent that does it.
    pub agent: String,
    /// What it is asked to do.
    pub input: Vec<Content>,
    /// The model to use, or null for the agent's own choice.
    pub model: Option<String>,
    /// The mode to use.
    pub mode_id: Option<String>,
    /// How hard to think.
    pub thinking_option_id: Option<String>,
    /// Who answers permission requests.
    pub approval: Approval,
    /// `queued`, `running`, `completed`, `failed` or `cancelled`.
    pub state: String,
    /// `native`, `acp`, `acp_warm`, `opencode` or `pty`; null before it runs.
    pub execution_path: Option<String>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// The beginning of the answer, or the error.
    pub output_summary: Option<String>,
    /// The agent's answer, whole. Only a single task is shown with it, not the tasks of a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// Tokens used, input and output together.
    pub cost_tokens: Option<u64>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When an agent began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

impl From<model::Task> for Task {
    fn from(task: model::Task) -> Self {
        Self {
            id: task.id,
            project_id: task.project_id,
            session_id: task.session_id,
            chat_id: task.chat_id,
            agent: task.agent.to_string(),
            input: task.input.into_iter().map(Into::into).collect(),
            model: task.model,
            mode_id: task.mode_id,
            thinking_option_id: task.thinking_option_id,
            approval: task.approval.into(),
            state: task.state.to_string(),
            execution_path: task.execution_path.map(|path| path.to_string()),
            outcome: task.outcome.map(Into::into),
            output_summary: task.output_summary,
            output: None,
            cost_tokens: task.cost_tokens,
            created_at: task.created_at,
            started_at: task.started_at,
            ended_at: task.ended_at,
        }
    }
}

/// `GET /api/sessions/:id/worktree-risk`: what is at stake when the session's worktree is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct Risk {
    /// Files that differ from the worktree's last commit.
    pub uncommitted: u64,
    /// Commits that no branch of the project has.
    pub unmerged: u64,
    /// Pending changes that nobody has decided on.
    pub pending: u64,
}

/// An agent, and what it offers as far as is known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct Provider {
    /// Its name in the registry.
    pub name: String,
    /// What to show.
    pub label: String,
    /// Whether it may be used.
    pub enabled: bool,
    /// `ready`, `loading`, `unavailable` or `error`.
    pub status: String,
    /// Why it is not ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How to mend that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Its models; empty while they are not known.
    pub models: Vec<Choice>,
    /// Its modes; empty while they are not known.
    pub modes: Vec<Choice>,
    /// How hard it can think; empty while that is not known.
    pub thinking_options: Vec<Choice>,
    /// Its slash commands, as far as they are known.
    pub commands: Vec<Command>,
}

/// `DIR/server.json`: where the server of a data directory is reached, for programs of the same user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerInfo {
    /// Its base address, such as `http://127.0.0.1:4317`.
    pub url: String,
    /// The token that it asks for.
    pub token: String,
    /// Its process.
    pub pid: u32,
    /// Its version.
    pub version: String,
}
