//! Request and response bodies of the HTTP routes.
//!
//! A request with a field that is not known here is refused: a misspelt `approval` must not pass for an absent one.
//! Answers may gain fields, so readers of answers ignore those that they do not know.

mod pending;
mod request;
mod response;
mod stats;
mod worktree;

pub use pending::{Branch, Checkpoint, Comparison, FileComparison, Hunk, PendingChange, PendingDecision};
pub use request::{
    AnswerAction, Approval, ChangeChoice, Contents, EditedMessage, HunkChoice, MovedProject, NewAnswer, NewChat,
    NewExport, NewFork, NewMessage, NewPending, NewProject, NewRestore, NewSession, NewSwap, NewTask, NewTitle,
    PickedChange,
};
pub use response::{
    Accepted, AgentSession, Chat, Health, Message, Project, Provider, Risk, ServerInfo, Session, Settled, Task,
};
pub use stats::{Stats, StatsCost, StatsGroup, TurnCounts};
pub use worktree::Worktree;
