//! What callers can ask of a dispatcher, and what they are told.

use boocoder_model::{
    AgentName, Approval, ChatId, ContentPart, DecidedBy, InteractionOutcome, MessageId, ProjectId, SessionId, TaskId,
};
use boocoder_store::StoreError;
use boocoder_worktree::{Risk, WorktreeError};

use crate::ledger::Clash;

/// A human's message to an agent.
#[derive(Clone, Debug)]
pub struct NewMessage {
    /// The session.
    pub session_id: SessionId,
    /// The chat, or the session's first.
    pub chat_id: Option<ChatId>,
    /// What is said.
    pub content: Vec<ContentPart>,
    /// How it is to be done.
    pub options: TaskOptions,
}

/// A task from elsewhere than a chat.
#[derive(Clone, Debug)]
pub struct NewTask {
    /// The project.
    pub project_id: ProjectId,
    /// The session, if it belongs to one.
    pub session_id: Option<SessionId>,
    /// The chat, if it belongs to one.
    pub chat_id: Option<ChatId>,
    /// What is asked.
    pub input: Vec<ContentPart>,
    /// How it is to be done.
    pub options: TaskOptions,
}

/// How a task is to be done.
#[derive(Clone, Debug)]
pub struct TaskOptions {
    /// By which agent.
    pub agent: AgentName,
    /// With which model.
    pub model: Option<String>,
    /// In which mode.
    pub mode_id: Option<String>,
    /// Thinking how hard.
    pub thinking_option_id: Option<String>,
    /// Who answers permission requests.
    pub approval: Approval,
    /// What makes a repeated request the same request, within its session or project.
    pub request_id: Option<String>,
}

/// A message that is kept and will be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The human's message.
    pub message_id: MessageId,
    /// The task that answers it.
    pub task_id: TaskId,
    /// The chat it stands in.
    pub chat_id: ChatId,
}

/// What is at stake when a session's worktree is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionRisk {
    /// Files that differ from the worktree's last commit.
    pub uncommitted: u64,
    /// Commits that no branch of the project has.
    pub unmerged: u64,
    /// Pending changes that nobody has decided on.
    pub pending: u64,
}

impl SessionRisk {
    /// Whether nothing would be lost.
    pub const fn is_none(&self) -> bool {
        self.uncommitted == 0 && self.unmerged == 0 && self.pending == 0
    }

    pub(crate) const fn new(risk: Risk, pending: u64) -> Self {
        Self { uncommitted: risk.uncommitted, unmerged: risk.unmerged, pending }
    }
}

/// Why a command was not carried out. Nothing changed.
#[derive(Debug, thiserror::Error)]
pub enum DispatchError {
    /// There is no such thing.
    #[error("{0} not found")]
    NotFound(&'static str),
    /// The request cannot be carried out as it stands.
    #[error("{0}")]
    Invalid(String),
    /// No agent has this name.
    #[error("no agent is called {0:?}")]
    UnknownAgent(String),
    /// The agent is configured not to be used.
    #[error("agent {0} is disabled in the configuration")]
    AgentDisabled(AgentName),
    /// The request does not fit what is so now.
    #[error("{0}")]
    Conflict(String),
    /// The question was settled before.
    #[error("the interaction is settled already: {} by {decided_by}", .outcome.as_str())]
    AlreadySettled {
        /// How it was settled.
        outcome: InteractionOutcome,
        /// By whom.
        decided_by: DecidedBy,
    },
    /// Work would be lost.
    #[error(
        "the session's worktree holds work that is nowhere else: {} uncommitted files, {} unmerged commits, {} pending \
         changes",
        .0.uncommitted, .0.unmerged, .0.pending
    )]
    AtRisk(SessionRisk),
    /// Files stand in the way of a decision. Nothing was written.
    #[error("{} moved on: {}", paths(.0), .0.first().map_or("", |clash| clash.reason.as_str()))]
    Clash(Vec<Clash>),
    /// The worktree or the checkout refused.
    #[error(transparent)]
    Worktree(#[from] WorktreeError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The server that runs the task was told, and has not acted on it yet. It may still do.
    #[error("the server that runs the task has not answered yet")]
    OwnerSilent,
    /// The server is shutting down.
    #[error("the server is shutting down")]
    ShuttingDown,
}

/// The files of clashes, in words.
fn paths(clashes: &[Clash]) -> String {
    clashes.iter().map(|clash| clash.path.as_str()).collect::<Vec<_>>().join(", ")
}
