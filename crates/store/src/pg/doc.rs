//! What stands in JSON columns: private twins of domain types, which have no JSON of their own.
//!
//! JSON from agents stands in here as a string that holds its text. So its key order, its spelling and its `\u0000`
//! survive whatever it is, even nested deeper than the database would parse it, or no JSON at all.

use boocoder_model::{
    BlobRef, ContentPart, Hunk, HunkId, InteractionOutcome, Location, PendingDecision, PermissionOption, Question,
    RawJson, TaskId, ToolCallId, ToolCallSnapshot, ToolContent, TurnOutcome, UnknownName,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The twins of several values.
pub(super) fn docs<'a, T, D: From<&'a T>>(values: &'a [T]) -> Vec<D> {
    values.iter().map(D::from).collect()
}

fn raw(json: &RawJson) -> String {
    json.as_str().to_owned()
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ContentPartDoc {
    Text(String),
    Image { mime_type: String, data: String, uri: Option<String> },
    Audio { mime_type: String, data: String },
    ResourceLink { uri: String, name: String, mime_type: Option<String> },
    Resource { uri: String, mime_type: Option<String>, text: String },
    ResourceBlob { uri: String, mime_type: Option<String>, blob: String },
    Unknown(String),
}

impl From<&ContentPart> for ContentPartDoc {
    fn from(part: &ContentPart) -> Self {
        match part.clone() {
            ContentPart::Text(text) => Self::Text(text),
            ContentPart::Image { mime_type, data, uri } => Self::Image { mime_type, data, uri },
            ContentPart::Audio { mime_type, data } => Self::Audio { mime_type, data },
            ContentPart::ResourceLink { uri, name, mime_type } => Self::ResourceLink { uri, name, mime_type },
            ContentPart::Resource { uri, mime_type, text } => Self::Resource { uri, mime_type, text },
            ContentPart::ResourceBlob { uri, mime_type, blob } => Self::ResourceBlob { uri, mime_type, blob },
            ContentPart::Unknown(json) => Self::Unknown(raw(&json)),
        }
    }
}

impl From<ContentPartDoc> for ContentPart {
    fn from(doc: ContentPartDoc) -> Self {
        match doc {
            ContentPartDoc::Text(text) => Self::Text(text),
            ContentPartDoc::Image { mime_type, data, uri } => Self::Image { mime_type, data, uri },
            ContentPartDoc::Audio { mime_type, data } => Self::Audio { mime_type, data },
            ContentPartDoc::ResourceLink { uri, name, mime_type } => Self::ResourceLink { uri, name, mime_type },
            ContentPartDoc::Resource { uri, mime_type, text } => Self::Resource { uri, mime_type, text },
            ContentPartDoc::ResourceBlob { uri, mime_type, blob } => Self::ResourceBlob { uri, mime_type, blob },
            ContentPartDoc::Unknown(text) => Self::Unknown(RawJson::new(text)),
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ToolContentDoc {
    Part(ContentPartDoc),
    Diff { path: String, old_text: Option<String>, new_text: String },
    Terminal { id: String },
    Unknown(String),
}

impl From<&ToolContent> for ToolContentDoc {
    fn from(content: &ToolContent) -> Self {
        match content {
            ToolContent::Part(part) => Self::Part(part.into()),
            ToolContent::Diff { path, old_text, new_text } => {
                Self::Diff { path: path.clone(), old_text: old_text.clone(), new_text: new_text.clone() }
            }
            ToolContent::Terminal { id } => Self::Terminal { id: id.clone() },
            ToolContent::Unknown(json) => Self::Unknown(raw(json)),
        }
    }
}

impl From<ToolContentDoc> for ToolContent {
    fn from(doc: ToolContentDoc) -> Self {
        match doc {
            ToolContentDoc::Part(part) => Self::Part(part.into()),
            ToolContentDoc::Diff { path, old_text, new_text } => Self::Diff { path, old_text, new_text },
            ToolContentDoc::Terminal { id } => Self::Terminal { id },
            ToolContentDoc::Unknown(text) => Self::Unknown(RawJson::new(text)),
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ToolCallDoc {
    id: ToolCallId,
    title: String,
    kind: String,
    status: String,
    input: Option<String>,
    output: Option<String>,
    locations: Vec<(String, Option<u32>)>,
    content: Vec<ToolContentDoc>,
}

impl From<&ToolCallSnapshot> for ToolCallDoc {
    fn from(call: &ToolCallSnapshot) -> Self {
        Self {
            id: call.id.clone(),
            title: call.title.clone(),
            kind: call.kind.as_str().to_owned(),
            status: call.status.as_str().to_owned(),
            input: call.input.as_ref().map(raw),
            output: call.output.as_ref().map(raw),
            locations: call.locations.iter().map(|location| (location.path.clone(), location.line)).collect(),
            content: docs(&call.content),
        }
    }
}

impl TryFrom<ToolCallDoc> for ToolCallSnapshot {
    type Error = UnknownName;

    fn try_from(doc: ToolCallDoc) -> Result<Self, UnknownName> {
        Ok(Self {
            id: doc.id,
            title: doc.title,
            kind: doc.kind.parse()?,
            status: doc.status.parse()?,
            input: doc.input.map(RawJson::new),
            output: doc.output.map(RawJson::new),
            locations: doc.locations.into_iter().map(|(path, line)| Location { path, line }).collect(),
            content: doc.content.into_iter().map(ToolContent::from).collect(),
        })
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct PermissionOptionDoc {
    id: String,
    name: String,
    kind: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum QuestionDoc {
    Permission { title: String, tool_call: Option<ToolCallDoc>, options: Vec<PermissionOptionDoc> },
    Form { title: String, schema: String },
    Url { title: String, url: String },
}

impl From<&Question> for QuestionDoc {
    fn from(question: &Question) -> Self {
        let option = |option: &PermissionOption| PermissionOptionDoc {
            id: option.id.clone(),
            name: option.name.clone(),
            kind: option.kind.as_str().to_owned(),
        };
        match question {
            Question::Permission { title, tool_call, options } => Self::Permission {
                title: title.clone(),
                tool_call: tool_call.as_ref().map(ToolCallDoc::from),
                options: options.iter().map(option).collect(),
            },
            Question::Form { title, schema } => Self::Form { title: title.clone(), schema: raw(schema) },
            Question::Url { title, url } => Self::Url { title: title.clone(), url: url.clone() },
        }
    }
}

impl TryFrom<QuestionDoc> for Question {
    type Error = UnknownName;

    fn try_from(doc: QuestionDoc) -> Result<Self, UnknownName> {
        let option = |option: PermissionOptionDoc| {
            Ok(PermissionOption { id: option.id, name: option.name, kind: option.kind.parse()? })
        };
        Ok(match doc {
            QuestionDoc::Permission { title, tool_call, options } => Self::Permission {
                title,
                tool_call: tool_call.map(ToolCallSnapshot::try_from).transpose()?,
                options: options.into_iter().map(option).collect::<Result<_, UnknownName>>()?,
            },
            QuestionDoc::Form { title, schema } => Self::Form { title, schema: RawJson::new(schema) },
            QuestionDoc::Url { title, url } => Self::Url { title, url },
        })
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum InteractionOutcomeDoc {
    Selected(String),
    Accepted(Option<String>),
    Declined,
    Cancelled,
}

impl From<&InteractionOutcome> for InteractionOutcomeDoc {
    fn from(outcome: &InteractionOutcome) -> Self {
        match outcome {
            InteractionOutcome::Selected(option) => Self::Selected(option.clone()),
            InteractionOutcome::Accepted(content) => Self::Accepted(content.as_ref().map(raw)),
            InteractionOutcome::Declined => Self::Declined,
            InteractionOutcome::Cancelled => Self::Cancelled,
        }
    }
}

impl From<InteractionOutcomeDoc> for InteractionOutcome {
    fn from(doc: InteractionOutcomeDoc) -> Self {
        match doc {
            InteractionOutcomeDoc::Selected(option) => Self::Selected(option),
            InteractionOutcomeDoc::Accepted(content) => Self::Accepted(content.map(RawJson::new)),
            InteractionOutcomeDoc::Declined => Self::Declined,
            InteractionOutcomeDoc::Cancelled => Self::Cancelled,
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct TurnOutcomeDoc {
    status: String,
    decided_by: String,
    reason: String,
}

impl From<&TurnOutcome> for TurnOutcomeDoc {
    fn from(outcome: &TurnOutcome) -> Self {
        Self {
            status: outcome.status.as_str().to_owned(),
            decided_by: outcome.decided_by.as_str().to_owned(),
            reason: outcome.reason.clone(),
        }
    }
}

impl TryFrom<TurnOutcomeDoc> for TurnOutcome {
    type Error = UnknownName;

    fn try_from(doc: TurnOutcomeDoc) -> Result<Self, UnknownName> {
        Ok(Self { status: doc.status.parse()?, decided_by: doc.decided_by.parse()?, reason: doc.reason })
    }
}

/// A row of `pending_hunks`, as the database puts it into JSON.
#[derive(Debug, Deserialize)]
pub(super) struct HunkDoc {
    id: HunkId,
    old_start: u32,
    old_lines: u32,
    new_start: u32,
    new_lines: u32,
    diff: String,
    status: String,
    agent: Option<String>,
    task_id: Option<TaskId>,
    tool_call_id: Option<String>,
}

impl TryFrom<HunkDoc> for Hunk {
    type Error = UnknownName;

    fn try_from(doc: HunkDoc) -> Result<Self, UnknownName> {
        Ok(Self {
            id: doc.id,
            old_start: doc.old_start,
            old_lines: doc.old_lines,
            new_start: doc.new_start,
            new_lines: doc.new_lines,
            diff: doc.diff,
            status: doc.status.parse()?,
            agent: doc.agent.map(Into::into),
            task_id: doc.task_id,
            tool_call_id: doc.tool_call_id.map(Into::into),
        })
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct BlobDoc {
    blob: String,
    mode: String,
}

impl From<&BlobRef> for BlobDoc {
    fn from(BlobRef { blob, mode }: &BlobRef) -> Self {
        Self { blob: blob.clone(), mode: mode.clone() }
    }
}

impl From<BlobDoc> for BlobRef {
    fn from(BlobDoc { blob, mode }: BlobDoc) -> Self {
        Self { blob, mode }
    }
}

/// A decision on a pending change.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct PendingDecisionDoc {
    kind: String,
    hunks: Vec<HunkId>,
    decided_by: String,
    at: Timestamp,
    against: String,
    before: Option<BlobDoc>,
    after: Option<BlobDoc>,
}

impl From<&PendingDecision> for PendingDecisionDoc {
    fn from(decision: &PendingDecision) -> Self {
        Self {
            kind: decision.kind.to_string(),
            hunks: decision.hunks.clone(),
            decided_by: decision.decided_by.to_string(),
            at: decision.at,
            against: decision.against.clone(),
            before: decision.before.as_ref().map(Into::into),
            after: decision.after.as_ref().map(Into::into),
        }
    }
}

impl TryFrom<PendingDecisionDoc> for PendingDecision {
    type Error = UnknownName;

    fn try_from(doc: PendingDecisionDoc) -> Result<Self, UnknownName> {
        Ok(Self {
            kind: doc.kind.parse()?,
            hunks: doc.hunks,
            decided_by: doc.decided_by.parse()?,
            at: doc.at,
            against: doc.against,
            before: doc.before.map(Into::into),
            after: doc.after.map(Into::into),
        })
    }
}
