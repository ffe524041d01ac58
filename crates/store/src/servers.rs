//! What several servers on one store know of each other: who writes, who owns what, and what they tell each other.

use boocoder_model::{ChatId, Fence, InteractionId, InteractionOutcome, Runner, ServerId, SessionId, Task, TaskId};
use jiff::Timestamp;

/// The process that speaks for a server. Another process that registers under the same id, or a server that takes over
/// what it owned, raises the fence; from then on nothing that is written under this one is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Writer {
    /// The server.
    pub server: ServerId,
    /// The fence that it was given when it registered.
    pub fence: Fence,
}

/// What a server owns.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Owned {
    /// The tasks that it claimed and that still run, newest first.
    pub running: Vec<Task>,
    /// The tasks that still run and that it took over from a server whose lease had ended, newest first. They are its to
    /// settle, and not its to go on with: their agents live elsewhere.
    pub taken_over: Vec<Task>,
    /// The runners that it started and that have not ended, oldest first.
    pub runners: Vec<Runner>,
}

/// An answer that a human gave to a server which does not run the task. The server that does carries it out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// The question.
    pub interaction_id: InteractionId,
    /// How it is to be settled.
    pub outcome: InteractionOutcome,
    /// When the human said so.
    pub wished_at: Timestamp,
}

/// What reaches a server from those that it shares a store with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// Something was written. Whoever writes hears of it, too.
    Written {
        /// By which server.
        by: ServerId,
        /// What it is about.
        about: About,
    },
    /// Something may have been missed: everything is to be looked at.
    Missed,
}

/// What a write was about: ids alone. What is so now is asked of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// The session's log has grown.
    Frames(SessionId),
    /// The session was removed.
    SessionRemoved(SessionId),
    /// The chat was removed.
    ChatRemoved(ChatId),
    /// Somebody wants this task, which runs, to stop.
    CancelRequested(TaskId),
    /// Somebody has answered this question.
    Wished(InteractionId),
}
