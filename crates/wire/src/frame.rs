//! Frames: the numbered events that clients of a session receive.

use std::collections::BTreeMap;

use boocoder_model::{ChatId, InteractionId, MessageId, Seq, TaskId};
use serde::{Deserialize, Serialize};

use crate::Json;
use crate::parts::{Command, ConfigOption, Content, Interaction, Outcome, PlanEntry, Settlement, ToolCall};
use crate::usage::Used;

/// A frame without its number, which the log gives it. Its content never changes afterwards.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct Frame {
    /// What it tells.
    #[cfg_attr(feature = "typescript", ts(skip))]
    #[serde(flatten)]
    pub body: FrameBody,
    /// The chat it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chat_id: Option<ChatId>,
    /// The message it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<MessageId>,
    /// The task it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_id: Option<TaskId>,
}

/// What a frame tells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum FrameBody {
    /// A message began: a human's, whole at once, or an agent's, to be continued by deltas.
    MessageStarted {
        /// `user` or `assistant`.
        role: String,
        /// The agent asked, or answering.
        agent: String,
        /// A human's text; absent for an agent's message.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        content: Option<String>,
        /// A human's parts that are not text.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        attachments: Vec<Content>,
    },
    /// More of the answer.
    Delta {
        /// The text to append.
        content: String,
    },
    /// More of the reasoning.
    ReasoningDelta {
        /// The text to append.
        content: String,
    },
    /// A part of the answer that is not text.
    Attachment {
        /// The part.
        content: Content,
    },
    /// A part of a user's message that the agent replays.
    UserContent {
        /// The part.
        content: Content,
    },
    /// A tool call, as the whole state.
    ToolCall {
        /// The state.
        tool_call: ToolCall,
    },
    /// The slash commands on offer, whole.
    AgentCommands {
        /// The commands.
        commands: Vec<Command>,
    },
    /// The plan, whole.
    Plan {
        /// Its steps.
        entries: Vec<PlanEntry>,
    },
    /// The agent switched its mode.
    ModeChanged {
        /// The agent's id for the mode.
        mode_id: String,
    },
    /// What can be set, whole.
    ConfigOptions {
        /// The options.
        options: Vec<ConfigOption>,
    },
    /// The agent's title for its session.
    AgentTitle {
        /// The title, or null if it was taken back.
        title: Option<String>,
    },
    /// What the agent session used so far: totals that never fall, and the state of the context.
    Usage {
        /// Tokens read.
        input_tokens: u64,
        /// Tokens written.
        output_tokens: u64,
        /// Cost in the main currency: US dollars, or the only one there is. Null where tokens were used whose cost nobody
        /// told.
        cost: Option<f64>,
        /// In which currency `cost` is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        currency: Option<String>,
        /// The cost in each currency, where there are several.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        costs: BTreeMap<String, f64>,
        /// Who told what this frame brought: `agent`, `step_event` or `price_table`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        source: Option<String>,
        /// The part of it that the turn under way used; absent between turns.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        turn: Option<Used>,
        /// Tokens in the context.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        context_used: Option<u64>,
        /// Tokens that the context can hold.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        context_size: Option<u64>,
    },
    /// A remark that is no part of the answer.
    Notice {
        /// The remark.
        message: String,
    },
    /// The agent compacted its context.
    Compaction {
        /// The summary, or a part of it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        summary: Option<String>,
        /// How far it has come, in the agent's word.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        status: Option<String>,
    },
    /// Something that this version does not know.
    Unmapped {
        /// What the agent calls it.
        kind: String,
        /// All of it.
        raw: Json,
    },
    /// The agent asks a human.
    InteractionRequested {
        /// The question.
        interaction: Box<Interaction>,
    },
    /// A question was settled.
    InteractionResolved {
        /// Which one.
        id: InteractionId,
        /// How.
        outcome: Settlement,
        /// By whom: `agent`, `user`, `policy`, `watchdog` or `crash`.
        decided_by: String,
    },
    /// An agent's message is over.
    MessageComplete {
        /// `complete`, `failed` or `cancelled`.
        status: String,
        /// Why it failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    /// A task moved on.
    TaskUpdated {
        /// `queued`, `running`, `completed`, `failed` or `cancelled`.
        state: String,
        /// How it ended.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        outcome: Option<Outcome>,
    },
    /// The session's pending changes are not what they were.
    PendingChanged {
        /// The agents whose changes are pending; null stands for a human.
        agents: Vec<Option<String>>,
    },
    /// An agent session is not what it was.
    AgentSessionUpdated {
        /// The agent.
        agent: String,
        /// `active`, `idle`, `crashed` or `closed`.
        status: String,
        /// Whether a native session id is stored.
        has_session: bool,
        /// How it came to its context: `native`, `history` or `new`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        resumed: Option<String>,
    },
    /// The session of the log, or with a chat that chat, has another title.
    Renamed {
        /// The title.
        title: String,
    },
    /// A human's message that waits says something else.
    MessageEdited {
        /// To which agent it goes, if that has changed as well.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        agent: Option<String>,
        /// Its text, whole.
        content: String,
        /// Its parts that are not text, whole.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        attachments: Vec<Content>,
    },
    /// The log no longer reaches back to where the client asked: fetch the state and go on from here.
    Resync {
        /// Why.
        reason: String,
    },
}

/// A frame as it is written: its number first, then its type.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = NumberedFrame))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(rename = "Frame"))]
pub struct Numbered<'a> {
    /// Its number within the session.
    seq: Seq,
    #[serde(flatten)]
    frame: &'a Frame,
}

impl Frame {
    /// A frame about the session as a whole.
    pub const fn of_session(body: FrameBody) -> Self {
        Self { body, chat_id: None, message_id: None, task_id: None }
    }

    /// Reads a frame back from its JSON text; its number is left out.
    ///
    /// # Errors
    /// The text is no frame.
    pub fn decode(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// The JSON text that clients are sent and that the log keeps.
    pub fn encode(&self, seq: Seq) -> String {
        // Serialising these types to memory has no way to fail: every key is a string and every map is written whole.
        serde_json::to_string(&Numbered { seq, frame: self }).unwrap_or_default()
    }
}
