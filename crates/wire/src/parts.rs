//! What frames and bodies are made of.

use boocoder_model as model;
use boocoder_model::{ChatId, InteractionId, SessionId, TaskId, ToolCallId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Json;

/// One part of a message: `{"type": "text", "text": …}` and so on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Content {
    /// Text.
    Text {
        /// The text.
        text: String,
    },
    /// An image in base64.
    Image {
        /// Its media type.
        mime_type: String,
        /// Its bytes.
        data: String,
        /// Where it came from.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        uri: Option<String>,
    },
    /// A sound in base64.
    Audio {
        /// Its media type.
        mime_type: String,
        /// Its bytes.
        data: String,
    },
    /// A pointer to something.
    ResourceLink {
        /// Where it is.
        uri: String,
        /// What to call it.
        name: String,
        /// Its media type.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mime_type: Option<String>,
    },
    /// A resource with its text or its bytes (base64) in place.
    Resource {
        /// Where it is.
        uri: String,
        /// Its media type.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mime_type: Option<String>,
        /// Its text.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        text: Option<String>,
        /// Its bytes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        blob: Option<String>,
    },
    /// A kind that this version does not know.
    Unknown {
        /// All of it.
        raw: Json,
    },
}

impl From<model::ContentPart> for Content {
    fn from(part: model::ContentPart) -> Self {
        use model::ContentPart as Part;
        match part {
            Part::Text(text) => Self::Text { text },
            Part::Image { mime_type, data, uri } => Self::Image { mime_type, data, uri },
            Part::Audio { mime_type, data } => Self::Audio { mime_type, data },
            Part::ResourceLink { uri, name, mime_type } => Self::ResourceLink { uri, name, mime_type },
            Part::Resource { uri, mime_type, text } => Self::Resource { uri, mime_type, text: Some(text), blob: None },
            Part::ResourceBlob { uri, mime_type, blob } => {
                Self::Resource { uri, mime_type, text: None, blob: Some(blob) }
            }
            Part::Unknown(raw) => Self::Unknown { raw: raw.into() },
        }
    }
}

impl From<Content> for model::ContentPart {
    fn from(content: Content) -> Self {
        match content {
            Content::Text { text } => Self::Text(text),
            Content::Image { mime_type, data, uri } => Self::Image { mime_type, data, uri },
            Content::Audio { mime_type, data } => Self::Audio { mime_type, data },
            Content::ResourceLink { uri, name, mime_type } => Self::ResourceLink { uri, name, mime_type },
            Content::Resource { uri, mime_type, blob: Some(blob), .. } => Self::ResourceBlob { uri, mime_type, blob },
            Content::Resource { uri, mime_type, text, blob: None } => {
                Self::Resource { uri, mime_type, text: text.unwrap_or_default() }
            }
            Content::Unknown { raw } => Self::Unknown(raw.0),
        }
    }
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct Location {
    /// The path as the agent gave it.
    pub path: String,
    /// The line as the agent counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
}

/// What a tool call shows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToolContent {
    /// Text, an image, …
    Content {
        /// The part.
        content: Content,
    },
    /// A change to a file, as the agent tells it.
    Diff {
        /// The path as the agent gave it.
        path: String,
        /// The text before; absent for a new file.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        old_text: Option<String>,
        /// The text after.
        new_text: String,
    },
    /// A terminal that the agent runs. The end of what it had said by then follows as text.
    Terminal {
        /// Its id.
        terminal_id: String,
    },
    /// A kind that this version does not know.
    Unknown {
        /// All of it.
        raw: Json,
    },
}

/// The whole state of a tool call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct ToolCall {
    /// The agent's id for it.
    pub id: ToolCallId,
    /// What it does, in words.
    pub title: String,
    /// `read`, `edit`, `delete`, `move`, `search`, `execute`, `think`, `fetch`, `switch_mode` or `other`.
    pub kind: String,
    /// `pending`, `in_progress`, `completed`, `failed` or `canceled`.
    pub status: String,
    /// Its arguments, or null.
    pub input: Option<Json>,
    /// Its result, or null.
    pub output: Option<Json>,
    /// The files it touches.
    pub locations: Vec<Location>,
    /// What it shows.
    pub content: Vec<ToolContent>,
}

impl From<model::ToolContent> for ToolContent {
    fn from(content: model::ToolContent) -> Self {
        match content {
            model::ToolContent::Part(part) => Self::Content { content: part.into() },
            model::ToolContent::Diff { path, old_text, new_text } => Self::Diff { path, old_text, new_text },
            model::ToolContent::Terminal { id } => Self::Terminal { terminal_id: id },
            model::ToolContent::Unknown(raw) => Self::Unknown { raw: raw.into() },
        }
    }
}

impl From<model::ToolCallSnapshot> for ToolCall {
    fn from(call: model::ToolCallSnapshot) -> Self {
        Self {
            id: call.id,
            title: call.title,
            kind: call.kind.to_string(),
            status: call.status.to_string(),
            input: call.input.map(Json),
            output: call.output.map(Json),
            locations: call.locations.into_iter().map(|at| Location { path: at.path, line: at.line }).collect(),
            content: call.content.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<ToolContent> for model::ToolContent {
    fn from(content: ToolContent) -> Self {
        match content {
            ToolContent::Content { content } => Self::Part(content.into()),
            ToolContent::Diff { path, old_text, new_text } => Self::Diff { path, old_text, new_text },
            ToolContent::Terminal { terminal_id } => Self::Terminal { id: terminal_id },
            ToolContent::Unknown { raw } => Self::Unknown(raw.0),
        }
    }
}

impl TryFrom<ToolCall> for model::ToolCallSnapshot {
    type Error = model::UnknownName;

    fn try_from(call: ToolCall) -> Result<Self, model::UnknownName> {
        Ok(Self {
            id: call.id,
            title: call.title,
            kind: call.kind.parse()?,
            status: call.status.parse()?,
            input: call.input.map(|input| input.0),
            output: call.output.map(|output| output.0),
            locations: call.locations.into_iter().map(|at| model::Location { path: at.path, line: at.line }).collect(),
            content: call.content.into_iter().map(Into::into).collect(),
        })
    }
}

/// One step of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct PlanEntry {
    /// What is to be done.
    pub content: String,
    /// `high`, `medium` or `low`.
    pub priority: String,
    /// `pending`, `in_progress` or `completed`.
    pub status: String,
}

/// A slash command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct Command {
    /// Its name, without the slash.
    pub name: String,
    /// What it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What to type after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl From<model::AgentCommand> for Command {
    fn from(command: model::AgentCommand) -> Self {
        Self { name: command.name, description: command.description, hint: command.hint }
    }
}

/// One choice of a session's option.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct Choice {
    /// The agent's id for it.
    pub id: String,
    /// What to call it.
    pub name: String,
    /// What it means.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// Something about a session that can be set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct ConfigOption {
    /// The agent's id for it.
    pub id: String,
    /// What to call it.
    pub name: String,
    /// What it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// `mode`, `model`, `thought_level` or the agent's own word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// What it is set to: a choice's id, true or false, or an unknown kind's own JSON.
    pub value: Json,
    /// What it can be set to; empty for what is on or off.
    pub choices: Vec<Choice>,
}

impl From<model::ConfigOption> for ConfigOption {
    fn from(option: model::ConfigOption) -> Self {
        let (value, choices) = match option.value {
            model::ConfigValue::Select { current, choices } => (serde_json::Value::from(current).to_string(), choices),
            model::ConfigValue::Toggle(on) => (on.to_string(), Vec::new()),
            model::ConfigValue::Unknown(raw) => (raw.to_string(), Vec::new()),
        };
        let choices = choices
            .into_iter()
            .map(|choice| Choice { id: choice.id, name: choice.name, description: choice.description })
            .collect();
        Self {
            id: option.id,
            name: option.name,
            description: option.description,
            category: option.category,
            value: Json(model::RawJson::new(value)),
            choices,
        }
    }
}

/// One way to answer a permission request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct PermissionOption {
    /// The id to answer with.
    pub option_id: String,
    /// What to show.
    pub name: String,
    /// `allow_once`, `allow_always`, `reject_once`, `reject_always` or `other`.
    pub kind: String,
}

/// A question from an agent to a human.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct Interaction {
    /// The id to answer it by.
    pub id: InteractionId,
    /// The session it was asked in.
    pub session_id: Option<SessionId>,
    /// The chat it was asked in.
    pub chat_id: Option<ChatId>,
    /// The task it was asked for.
    pub task_id: TaskId,
    /// The agent that asks.
    pub agent: String,
    /// `permission` or `elicitation`.
    pub kind: String,
    /// What to show as the question.
    pub title: String,
    /// The tool call in question.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_call: Option<ToolCall>,
    /// The ways to answer a permission request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub options: Option<Vec<PermissionOption>>,
    /// The JSON schema of a form's answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<Json>,
    /// The address to open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// When it was asked.
    pub created_at: Timestamp,
}

impl From<model::Interaction> for Interaction {
    fn from(asked: model::Interaction) -> Self {
        let kind = asked.question.kind().to_string();
        let title = asked.question.title().to_owned();
        let (mut tool_call, mut options, mut schema, mut url) = (None, None, None, None);
        match asked.question {
            model::Question::Permission { tool_call: call, options: ways, .. } => {
                tool_call = call.map(Into::into);
                options = Some(ways.into_iter().map(Into::into).collect());
            }
            model::Question::Form { schema: form, .. } => schema = Some(Json(form)),
            model::Question::Url { url: address, .. } => url = Some(address),
        }
        Self {
            id: asked.id,
            session_id: asked.session_id,
            chat_id: asked.chat_id,
            task_id: asked.task_id,
            agent: asked.agent.to_string(),
            kind,
            title,
            tool_call,
            options,
            schema,
            url,
            created_at: asked.created_at,
        }
    }
}

impl From<model::PermissionOption> for PermissionOption {
    fn from(option: model::PermissionOption) -> Self {
        Self { option_id: option.id, name: option.name, kind: option.kind.to_string() }
    }
}

/// How a task ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct Outcome {
    /// `agent`, `user`, `policy`, `watchdog` or `crash`.
    pub decided_by: String,
    /// Why, in words.
    pub reason: String,
}

impl From<model::TurnOutcome> for Outcome {
    fn from(outcome: model::TurnOutcome) -> Self {
        Self { decided_by: outcome.decided_by.to_string(), reason: outcome.reason }
    }
}

/// How an interaction was settled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct Settlement {
    /// `selected`, `accepted`, `declined` or `cancelled`.
    pub action: String,
    /// The option chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub option_id: Option<String>,
    /// The form's content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Json>,
}

impl From<model::InteractionOutcome> for Settlement {
    fn from(outcome: model::InteractionOutcome) -> Self {
        let action = outcome.as_str().to_owned();
        match outcome {
            model::InteractionOutcome::Selected(option) => Self { action, option_id: Some(option), content: None },
            model::InteractionOutcome::Accepted(content) => {
                Self { action, option_id: None, content: content.map(Json) }
            }
            model::InteractionOutcome::Declined | model::InteractionOutcome::Cancelled => {
                Self { action, option_id: None, content: None }
            }
        }
    }
}
