//! What clients send.

use boocoder_model as model;
use boocoder_model::{ChatId, HunkId, MessageId, PendingId, ProjectId, SessionId, TaskId};
use serde::{Deserialize, Serialize};

use crate::Json;
use crate::parts::Content;

/// What is said to an agent: one text, or several parts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(untagged, expecting = "expected a string or an array of content parts")]
pub enum Contents {
    /// One text.
    Text(String),
    /// Several parts.
    Parts(Vec<Content>),
}

impl From<Contents> for Vec<model::ContentPart> {
    fn from(contents: Contents) -> Self {
        match contents {
            Contents::Text(text) => vec![model::ContentPart::Text(text)],
            Contents::Parts(parts) => parts.into_iter().map(Into::into).collect(),
        }
    }
}

/// Who answers an agent's permission requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum Approval {
    /// A human.
    #[default]
    Ask,
    /// Nobody is asked: what can be allowed once is allowed.
    Auto,
}

impl From<Approval> for model::Approval {
    fn from(approval: Approval) -> Self {
        match approval {
            Approval::Ask => Self::Ask,
            Approval::Auto => Self::Auto,
        }
    }
}

impl From<model::Approval> for Approval {
    fn from(approval: model::Approval) -> Self {
        match approval {
            model::Approval::Ask => Self::Ask,
            model::Approval::Auto => Self::Auto,
        }
    }
}

/// `POST /api/projects`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(deny_unknown_fields)]
pub struct NewProject {
    /// A directory in the project's checkout.
    pub path: String,
    /// What to call it; absent means the directory's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// `PATCH /api/projects/:id`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(deny_unknown_fields)]
pub struct MovedProject {
    /// Where the project's checkout is now.
    pub path: String,
}

/// `POST /api/sessions`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(deny_unknown_fields)]
pub struct NewSession {
    /// The project to work on.
    pub project_id: ProjectId,
    /// What to call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
}

/// `POST /api/sessions/:id/chats`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(deny_unknown_fields)]
pub struct NewChat {
    /// What to call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
}

/// `POST /api/messages/:id/swap`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(deny_unknown_fields)]
pub struct NewSwap {
    /// The message that it changes places with.
    pub with: MessageId,
}

/// `POST /api/chats/:id/fork`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(deny_unknown_fields)]
pub struct NewFork {
    /// The last message that the new chat begins with; absent means the last one that is said to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<MessageId>,
    /// What to call it; absent means as the chat it comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
}

/// `PATCH /api/sessions/:id`, `PATCH /api/chats/:id`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(deny_unknown_fields)]
pub struct NewTitle {
    /// What to call it from now on.
    pub title: String,
}

/// `PATCH /api/messages/:id`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(deny_unknown_fields)]
pub struct EditedMessage {
    /// What is said instead.
    pub content: Contents,
}

/// `POST /api/sessions/:id/messages`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(deny_unknown_fields)]
pub struct NewMessage {
    /// What is said.
    pub content: Contents,
    /// To which agent.
    pub agent: String,
    /// In which chat; absent means the session's first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chat_id: Option<ChatId>,
    /// With which model; absent means the agent's own choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// In which mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode_id: Option<String>,
    /// Thinking how hard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thinking_option_id: Option<String>,
    /// Who answers permission requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,
    /// What makes a repeated request the same request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

/// `POST /api/tasks`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(deny_unknown_fields)]
pub struct NewTask {
    /// The project to work on.
    pub project_id: ProjectId,
    /// What is asked.
    pub input: Contents,
    /// Of which agent.
    pub agent: String,
    /// The session, if it belongs to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<SessionId>,
    /// The chat, if it belongs to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chat_id: Option<ChatId>,
    /// With which model; absent means the agent's own choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// In which mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode_id: Option<String>,
    /// Thinking how hard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thinking_option_id: Option<String>,
    /// Who answers permission requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,
    /// What makes a repeated request the same request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

/// `POST /api/interactions/:id`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(
    untagged,
    deny_unknown_fields,
    expecting = "expected {\"option_id\": …} or {\"action\": \"accept\", \"decline\" or \"cancel\", \"content\"?: …}"
)]
pub enum NewAnswer {
    /// This option of a permission request.
    Option {
        /// Which one.
        option_id: String,
    },
    /// What is done with an elicitation; `cancel` also withdraws a permission request.
    Action {
        /// What is done.
        action: AnswerAction,
        /// The form's content, if it is accepted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        content: Option<Json>,
    },
}

/// What is done with an elicitation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum AnswerAction {
    /// Yes, with the form's content if it is a form.
    Accept,
    /// No.
    Decline,
    /// Neither.
    Cancel,
}

impl From<NewAnswer> for model::Answer {
    fn from(answer: NewAnswer) -> Self {
        match answer {
            NewAnswer::Option { option_id } => Self::Select(option_id),
            NewAnswer::Action { action: AnswerAction::Accept, content } => Self::Accept(content.map(|form| form.0)),
            NewAnswer::Action { action: AnswerAction::Decline, .. } => Self::Decline,
            NewAnswer::Action { action: AnswerAction::Cancel, .. } => Self::Cancel,
        }
    }
}

/// `POST /api/sessions/:id/pending`: a human's own change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(deny_unknown_fields)]
pub struct NewPending {
    /// The file, relative to the project's root.
    pub file_path: String,
    /// Its whole content.
    pub content: String,
}

/// `POST /api/sessions/:id/pending/apply`, `/reject` and `/revert`: several changes at once, all of them or none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(deny_unknown_fields)]
pub struct ChangeChoice {
    /// The changes meant; absent means all that can be decided on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changes: Option<Vec<PickedChange>>,
}

/// One of the changes of a [`ChangeChoice`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(deny_unknown_fields)]
pub struct PickedChange {
    /// The change.
    pub id: PendingId,
    /// The hunks meant; absent or empty means all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hunks: Vec<HunkId>,
}

/// `POST /api/sessions/:id/restore`: brings the worktree back to what it held after a turn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(deny_unknown_fields)]
pub struct NewRestore {
    /// The task of the turn.
    pub turn: TaskId,
}

/// `POST /api/sessions/:id/export`: makes a branch of a session's turns, one commit each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(deny_unknown_fields)]
pub struct NewExport {
    /// The branch's name. There must be none of that name.
    pub branch: String,
}

/// `POST /api/pending/:id/apply`, `/reject` and `/revert`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(deny_unknown_fields)]
pub struct HunkChoice {
    /// The hunks meant; absent or empty means all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hunks: Vec<HunkId>,
}
