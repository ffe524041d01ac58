//! The vocabulary of BooCoder: the words that every other crate speaks, and nothing else.
//!
//! This is the leaf of the workspace. It does no I/O, reads no clock, draws no random number and needs no runtime,
//! so that a mapper, a store or an editor plug-in can share its types at no cost.
//!
//! | module | holds |
//! | --- | --- |
//! | [`ids`] | one newtype for each kind of id, and [`Seq`], the number of a frame |
//! | [`event`] | [`AgentEvent`]: what an agent said or did, whichever protocol it came by |
//! | [`content`], [`tool_call`] | the parts of a message, and the whole state of a tool call |
//! | [`interaction`] | questions from an agent to a human, and their answers |
//! | [`outcome`], [`routing`] | how a turn ended and who decided it; which backend runs a task |
//! | [`usage`], [`money`] | tokens and cost, with their kind, their source and their currency told apart |
//! | [`stats`] | what statistics are grouped by |
//! | [`record`] | the nouns that are kept: projects, sessions, chats, tasks, messages, … |
//!
//! What is deliberately not here: JSON (only ids have serde; the forms on the wire live in `boocoder-wire`), SQL rows
//! (`boocoder-store` keeps its own) and anything that acts.
//!
//! ```
//! use boocoder_model::{AgentEvent, ToolCallId, ToolCallSnapshot, ToolStatus};
//!
//! let mut call = ToolCallSnapshot::new(ToolCallId::new("call-1"));
//! call.title = "read_file".into();
//! call.status = ToolStatus::Completed;
//! let AgentEvent::ToolCall(whole) = AgentEvent::ToolCall(call) else { unreachable!() };
//! assert!(whole.status.is_final());
//! ```

mod text_enum;

pub mod content;
pub mod event;
pub mod ids;
pub mod interaction;
pub mod money;
pub mod outcome;
pub mod pending;
pub mod raw;
mod record;
pub mod routing;
pub mod stats;
pub mod tool_call;
pub mod usage;

pub use content::ContentPart;
pub use event::{
    AgentCommand, AgentEvent, ConfigChoice, ConfigOption, ConfigValue, PlanEntry, PlanPriority, PlanStatus,
};
pub use ids::{
    AgentName, AgentSessionId, ChatId, DecisionId, Fence, HunkId, InteractionId, MessageId, PendingId, Position,
    ProjectId, RunnerId, Seq, ServerId, SessionId, TaskId, ToolCallId, TurnId, UsageId, WorktreeId,
};
pub use interaction::{Answer, InteractionKind, InteractionOutcome, PermissionKind, PermissionOption, Question};
pub use money::{Cost, Currency};
pub use outcome::{DecidedBy, StopReason, TurnOutcome, TurnStatus};
pub use pending::{
    BlobRef, Hunk, OpenDecision, Operation, PendingChange, PendingDecision, PendingDecisionKind, PendingStatus,
};
pub use raw::RawJson;
pub use record::{
    AgentSession, AgentSessionStatus, Approval, Chat, Consumed, ExecutionPath, Interaction, Message, MessageRole,
    MessageStatus, Project, Resumed, Runner, Session, Task, TaskState, Turn, Worktree,
};
pub use stats::{Dimension, GroupValue};
pub use text_enum::UnknownName;
pub use tool_call::{Location, ToolCallSnapshot, ToolContent, ToolKind, ToolStatus};
pub use usage::{
    ContextUse, MAX_COUNT, StepUsage, TokenCounts, UsageEntry, UsageKind, UsageLedger, UsageReport, UsageSource,
    UsageTotals,
};
