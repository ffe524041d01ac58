//! What a lane is given to decide with, and what it gives its shell to act with.

use std::sync::Arc;

use boocoder_model::{
    AgentCommand, AgentName, AgentSession, AgentSessionId, Consumed, ExecutionPath, Interaction, Message, MessageId,
    Runner, RunnerId, Seq, SessionId, Task, Turn, TurnId,
};
use boocoder_store::Change;
use boocoder_usage_mapper::{PriceTable, UsageMapper};
use jiff::Timestamp;

use crate::log::Entry;

/// The agent that a lane serves.
#[derive(Clone, Debug)]
pub(crate) struct Served {
    pub(crate) name: AgentName,
    /// The commands that it is known to offer before it tells.
    pub(crate) commands: Vec<AgentCommand>,
    /// A digest of what it is started with.
    pub(crate) fingerprint: String,
    /// Whether it lives under a runner.
    pub(crate) outlives: bool,
    /// How it is run where it stays warm, if it may.
    pub(crate) warm_path: Option<ExecutionPath>,
    /// What models cost whose agents do not tell.
    pub(crate) prices: Arc<PriceTable>,
}

/// The ids and facts that a shell gives a new turn.
#[derive(Clone, Debug)]
pub(crate) struct TurnStart {
    pub(crate) turn: TurnId,
    pub(crate) message: MessageId,
    pub(crate) after: Seq,
    pub(crate) path: ExecutionPath,
    /// What to call the runners that the turn may start: one, and one more should the first have gone unnoticed.
    pub(crate) runners: [RunnerId; 2],
}

/// A turn that an earlier process left under way, as far as it came.
#[derive(Clone, Debug)]
pub(crate) struct TakenUp {
    pub(crate) task: Box<Task>,
    pub(crate) turn: Turn,
    /// The agent's message as far as clients have seen it.
    pub(crate) message: Message,
    /// The runner that keeps the agent, and how far its journal was taken in; none if no agent was started.
    pub(crate) runner: Option<(RunnerId, Consumed)>,
    /// What the store knows of the agent in this chat.
    pub(crate) record: Option<AgentSession>,
    /// What the agent used in this chat, where no runner says so.
    pub(crate) ledger: UsageMapper,
    /// The task's questions, open and settled.
    pub(crate) interactions: Vec<Interaction>,
    /// What was said in the chat before, should the agent have to be told.
    pub(crate) history: Option<String>,
    pub(crate) runners: [RunnerId; 2],
}

/// A warm agent that an earlier process left waiting.
#[derive(Clone, Debug)]
pub(crate) struct Adopted {
    pub(crate) session: SessionId,
    pub(crate) runner: Runner,
    pub(crate) record: Option<AgentSession>,
}

/// What has to be there before an agent is asked.
#[derive(Clone, Debug)]
pub(crate) struct Preparing {
    pub(crate) task: Box<Task>,
    /// What has to be on disk before that, if it is not yet: that the turn has begun.
    pub(crate) kept: Option<Entry>,
    /// Whether the lane knows already what is known of the agent in this chat.
    pub(crate) know_record: bool,
}

/// How an agent is to be started.
#[derive(Clone, Debug)]
pub(crate) struct Opening {
    /// The task whose worktree the agent works in.
    pub(crate) task: Box<Task>,
    /// The agent's own session to go on with, if possible.
    pub(crate) resume: Option<AgentSessionId>,
    pub(crate) runner: RunnerId,
    /// What has to be on disk before anything is started: that there is a runner.
    pub(crate) kept: Option<Entry>,
    /// An agent that has died before waits until then.
    pub(crate) not_before: Option<Timestamp>,
}

/// What preparing a turn brought.
#[derive(Clone, Debug, Default)]
pub(crate) struct Prepared {
    /// The human's message that the task answers.
    pub(crate) question: Option<Message>,
    /// What is known of the agent in this chat, if the lane did not know it yet.
    pub(crate) record: Option<AgentSession>,
    /// What the agent used in this chat, if the lane did not know it yet.
    pub(crate) ledger: Option<UsageMapper>,
    /// What the agent is to be told of decisions on its changes.
    pub(crate) note: Option<String>,
    /// Why the turn cannot go on, if it cannot.
    pub(crate) failure: Option<String>,
    /// That it has not begun: the task is not this lane's, since the database lost its claim.
    pub(crate) lost: bool,
    /// And that it is nobody's, since it was not taken in.
    pub(crate) refused: bool,
}

/// What comparing the worktree brought.
#[derive(Clone, Debug, Default)]
pub(crate) struct Compared {
    pub(crate) before_tree: Option<String>,
    pub(crate) after_tree: Option<String>,
    pub(crate) changes: Vec<Change>,
    /// Who has pending changes now, if that is not what it was.
    pub(crate) agents: Option<Vec<Option<AgentName>>>,
    /// Why the comparison failed, if it did.
    pub(crate) failure: Option<String>,
}
