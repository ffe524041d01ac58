//! What an agent said or did, whichever protocol it came by.

use crate::text_enum::text_enum;
use crate::{ContentPart, RawJson, ToolCallSnapshot, UsageReport};

/// One thing that an agent said or did.
///
/// The enum is exhaustive on purpose: a new event does not compile until it has a form on the wire.
#[derive(Clone, Debug, PartialEq)]
pub enum AgentEvent {
    /// More of the answer.
    Text(String),
    /// More of the reasoning.
    Reasoning(String),
    /// A part of the answer that is not text.
    Content(ContentPart),
    /// A part of a user's message, replayed by an agent that loads its history.
    UserContent(ContentPart),
    /// A tool call was announced.
    ToolCall(ToolCallSnapshot),
    /// A tool call moved on. The snapshot is whole.
    ToolUpdate(ToolCallSnapshot),
    /// The plan, whole, replacing the one before.
    Plan(Vec<PlanEntry>),
    /// The slash commands on offer, whole, replacing the ones before.
    Commands(Vec<AgentCommand>),
    /// The session switched to this mode.
    Mode(String),
    /// The session's options, whole, replacing the ones before.
    ConfigOptions(Vec<ConfigOption>),
    /// The session's title changed.
    Title(Option<String>),
    /// Tokens, cost or context size.
    Usage(UsageReport),
    /// A remark from the agent to the human that is no part of the answer, or noise on its standard output.
    Notice(String),
    /// The agent compacted its context, or summarised it for that.
    Compaction {
        /// The summary, or as much as this event brings of it.
        summary: Option<String>,
        /// How far it has come, in the agent's word.
        status: Option<String>,
    },
    /// Something that this version does not know, kept whole.
    Unmapped {
        /// What the agent calls it.
        kind: String,
        /// All that it said.
        raw: RawJson,
    },
}

impl AgentEvent {
    /// Whether it is something that an agent does in a turn. Everything else concerns the session as a whole, and some
    /// agents send it whenever they like.
    pub const fn is_work(&self) -> bool {
        match self {
            Self::Text(_)
            | Self::Reasoning(_)
            | Self::Content(_)
            | Self::ToolCall(_)
            | Self::ToolUpdate(_)
            | Self::Plan(_) => true,
            Self::UserContent(_)
            | Self::Commands(_)
            | Self::Mode(_)
            | Self::ConfigOptions(_)
            | Self::Title(_)
            | Self::Usage(_)
            | Self::Notice(_)
            | Self::Compaction { .. }
            | Self::Unmapped { .. } => false,
        }
    }
}

text_enum! {
    /// How much a plan's step matters.
    #[derive(Default)]
    pub enum PlanPriority ("plan priority") {
        /// First.
        High = "high",
        /// Then.
        #[default]
        Medium = "medium",
        /// Last.
        Low = "low",
    }
}

text_enum! {
    /// How far a plan's step has come.
    #[derive(Default)]
    pub enum PlanStatus ("plan status") {
        /// Not begun.
        #[default]
        Pending = "pending",
        /// Under way.
        InProgress = "in_progress",
        /// Done.
        Completed = "completed",
    }
}

/// One step of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanEntry {
    /// What is to be done.
    pub content: String,
    /// How much it matters.
    pub priority: PlanPriority,
    /// How far it has come.
    pub status: PlanStatus,
}

/// A slash command that an agent offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentCommand {
    /// Its name, without the slash.
    pub name: String,
    /// What it does, if the agent says so.
    pub description: Option<String>,
    /// What to type after it, if it takes anything.
    pub hint: Option<String>,
}

/// Something about a session that a human can set: its mode, its model, how hard it thinks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigOption {
    /// The agent's id for it.
    pub id: String,
    /// What to call it.
    pub name: String,
    /// What it does.
    pub description: Option<String>,
    /// `mode`, `model`, `thought_level` or the agent's own word.
    pub category: Option<String>,
    /// What it is set to and what it can be set to.
    pub value: ConfigValue,
}

/// The value of a [`ConfigOption`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigValue {
    /// One of several.
    Select {
        /// The id of the choice in force.
        current: String,
        /// The choices, groups flattened.
        choices: Vec<ConfigChoice>,
    },
    /// On or off.
    Toggle(bool),
    /// A kind that this version does not know, kept whole.
    Unknown(RawJson),
}

/// One choice of a [`ConfigValue::Select`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigChoice {
    /// The agent's id for it.
    pub id: String,
    /// What to call it.
    pub name: String,
    /// What it means.
    pub description: Option<String>,
}
