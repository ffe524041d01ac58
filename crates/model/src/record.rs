//! The nouns that are kept.

use std::path::PathBuf;

use jiff::Timestamp;

use crate::text_enum::text_enum;
use crate::{
    AgentName, AgentSessionId, ChatId, ContentPart, DecidedBy, InteractionId, InteractionOutcome, MessageId, Position,
    ProjectId, Question, RunnerId, Seq, SessionId, TaskId, ToolCallSnapshot, TurnId, TurnOutcome, UsageLedger,
    UsageTotals, WorktreeId,
};

/// A git repository on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    /// Its id.
    pub id: ProjectId,
    /// What to call it.
    pub name: String,
    /// The root of its checkout, absolute and without symlinks.
    pub path: PathBuf,
    /// When it was added.
    pub created_at: Timestamp,
}

/// A piece of work on one project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// The project it works on.
    pub project_id: ProjectId,
    /// What to call it.
    pub title: String,
    /// When it began.
    pub created_at: Timestamp,
}

/// One tab of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chat {
    /// Its id.
    pub id: ChatId,
    /// The session it belongs to.
    pub session_id: SessionId,
    /// What to call it.
    pub title: String,
    /// The message of another chat of the session up to which, itself included, this one begins with what was said there.
    pub forked_from: Option<MessageId>,
    /// When it was opened.
    pub created_at: Timestamp,
}

/// A git worktree that one session or one task owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Worktree {
    /// Its id.
    pub id: WorktreeId,
    /// The project it was made from.
    pub project_id: ProjectId,
    /// The session that owns it, or none if it is a single task's.
    pub session_id: Option<SessionId>,
    /// The task that owns it, or none if it is a session's.
    pub task_id: Option<TaskId>,
    /// Where it is.
    pub path: PathBuf,
    /// The project's commit that it was made from, in hexadecimal.
    pub base_commit: String,
    /// When it was made.
    pub created_at: Timestamp,
}

text_enum! {
    /// How far a task has come.
    pub enum TaskState ("task state") {
        /// Waiting its turn.
        Queued = "queued",
        /// An agent works on it.
        Running = "running",
        /// Ended well.
        Completed = "completed",
        /// Ended badly.
        Failed = "failed",
        /// Stopped.
        Cancelled = "cancelled",
    }
}

impl TaskState {
    /// Whether the task has ended.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

text_enum! {
    /// How a task was run.
    pub enum ExecutionPath ("execution path") {
        /// By BooCoder itself.
        Native = "native",
        /// By a fresh ACP agent of its own.
        Acp = "acp",
        /// By the chat's warm ACP agent.
        AcpWarm = "acp_warm",
        /// By the warm opencode server.
        Opencode = "opencode",
        /// By a plain process under a terminal.
        Pty = "pty",
    }
}

text_enum! {
    /// Who answers an agent's permission requests.
    #[derive(Default)]
    pub enum Approval ("approval") {
        /// A human.
        #[default]
        Ask = "ask",
        /// Nobody is asked: what can be allowed once is allowed. An explicit choice, recorded with the task.
        Auto = "auto",
    }
}

/// One unit of work for one agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Its id.
    pub id: TaskId,
    /// The project it works on.
    pub project_id: ProjectId,
    /// The session it came from, if any.
    pub session_id: Option<SessionId>,
    /// The chat it came from, if any.
    pub chat_id: Option<ChatId>,
    /// The agent that does it.
    pub agent: AgentName,
    /// What it is asked to do.
    pub input: Vec<ContentPart>,
    /// The model to use, or the agent's own choice.
    pub model: Option<String>,
    /// The mode to use, or the agent's own choice.
    pub mode_id: Option<String>,
    /// How hard to think, or the agent's own choice.
    pub thinking_option_id: Option<String>,
    /// Who answers permission requests.
    pub approval: Approval,
    /// How far it has come.
    pub state: TaskState,
    /// Who wants it to stop, if somebody does, although it runs: kept, so that no crash forgets it.
    pub cancel_requested: Option<DecidedBy>,
    /// How it was run, once it was.
    pub execution_path: Option<ExecutionPath>,
    /// How it ended, once it has.
    pub outcome: Option<TurnOutcome>,
    /// The beginning of the answer, or the error.
    pub output_summary: Option<String>,
    /// Tokens used, input and output together, if the agent told.
    pub cost_tokens: Option<u64>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When an agent began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

/// One execution of a task by a backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Its id.
    pub id: TurnId,
    /// The task it executes.
    pub task_id: TaskId,
    /// The agent's message that it fills.
    pub message_id: MessageId,
    /// The last frame of the session before it began: what it said is in the frames after.
    pub after: Seq,
    /// The git tree of the worktree when it began, in hexadecimal.
    pub before_tree: Option<String>,
    /// The git tree of the worktree when it ended, in hexadecimal.
    pub after_tree: Option<String>,
    /// How it ended, or none while it runs.
    pub outcome: Option<TurnOutcome>,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

text_enum! {
    /// Who speaks in a message.
    pub enum MessageRole ("message role") {
        /// The human.
        User = "user",
        /// The agent.
        Assistant = "assistant",
    }
}

text_enum! {
    /// How far a message has come.
    pub enum MessageStatus ("message status") {
        /// A human's message that waits its turn.
        Queued = "queued",
        /// An agent's message that still grows.
        Streaming = "streaming",
        /// Whole.
        Complete = "complete",
        /// As far as it came before the turn failed.
        Failed = "failed",
        /// As far as it came before the turn was cancelled.
        Cancelled = "cancelled",
    }
}

/// One message of a chat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its id.
    pub id: MessageId,
    /// The chat it stands in, or none for the answer to a task without a chat.
    pub chat_id: Option<ChatId>,
    /// The session of that chat.
    pub session_id: Option<SessionId>,
    /// The task it asks for or answers.
    pub task_id: TaskId,
    /// Who speaks.
    pub role: MessageRole,
    /// The agent asked, or answering.
    pub agent: AgentName,
    /// What is said, whole.
    pub content: String,
    /// Parts that are not text, in their order.
    pub attachments: Vec<ContentPart>,
    /// The reasoning shown, whole.
    pub reasoning: String,
    /// The tool calls, each as its last snapshot, in the order they began.
    pub tool_calls: Vec<ToolCallSnapshot>,
    /// How far it has come.
    pub status: MessageStatus,
    /// Why it failed, if it did.
    pub error: Option<String>,
    /// When it began.
    pub created_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

text_enum! {
    /// The state of an agent session.
    pub enum AgentSessionStatus ("agent session status") {
        /// A turn runs.
        Active = "active",
        /// Warm, and waiting.
        Idle = "idle",
        /// Its process died.
        Crashed = "crashed",
        /// Ended on purpose.
        Closed = "closed",
        /// Its process died too often in too short a time; a new message starts it again.
        Parked = "parked",
    }
}

text_enum! {
    /// How an agent session came to its context. A verified fact, never a hope.
    pub enum Resumed ("resumption") {
        /// The agent loaded its own session.
        Native = "native",
        /// A new session was given the chat's history.
        History = "history",
        /// A new session that knows nothing.
        New = "new",
    }
}

/// What is known of one agent in one chat. Its key is (chat, agent). What it used is told by the usage ledger alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentSession {
    /// The chat.
    pub chat_id: ChatId,
    /// The agent.
    pub agent: AgentName,
    /// How it is run.
    pub backend: ExecutionPath,
    /// The agent's own id for the session, if it has one that can be used again.
    pub native_id: Option<AgentSessionId>,
    /// Its state.
    pub status: AgentSessionStatus,
    /// How it came to its context.
    pub resumed: Option<Resumed>,
    /// A digest of the configuration that it was opened with.
    pub config_fingerprint: Option<String>,
    /// When it last did something.
    pub last_active_at: Option<Timestamp>,
}

/// A process that keeps one agent alive beside the server, as the server knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Runner {
    /// Its id.
    pub id: RunnerId,
    /// The chat whose agent it keeps, or none for the agent of a task of its own.
    pub chat_id: Option<ChatId>,
    /// The task that it was started for.
    pub task_id: TaskId,
    /// The agent.
    pub agent: AgentName,
    /// How far its journal has been taken in.
    pub consumed: Consumed,
    /// When it was started.
    pub created_at: Timestamp,
}

/// How far a journal has been taken in, and what taking in the next record depends on. It is kept together with the
/// frames that the records became, so that after any crash the next record becomes the same frames again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Consumed {
    /// The last record taken in.
    pub position: Position,
    /// The usage totals after it.
    pub ledger: UsageLedger,
    /// The turn under way at it, and the totals when that turn began.
    pub turn: Option<(TurnId, UsageTotals)>,
}

/// A question from an agent to a human.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interaction {
    /// Its id.
    pub id: InteractionId,
    /// The session it was asked in, if any.
    pub session_id: Option<SessionId>,
    /// The chat it was asked in, if any.
    pub chat_id: Option<ChatId>,
    /// The task it was asked for.
    pub task_id: TaskId,
    /// The agent that asks.
    pub agent: AgentName,
    /// What it asks.
    pub question: Question,
    /// How it was settled and who decided it, or none while it is open.
    pub settled: Option<(InteractionOutcome, DecidedBy)>,
    /// When it was asked.
    pub created_at: Timestamp,
}
