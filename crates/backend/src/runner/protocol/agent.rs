//! The forms of what an agent says.

use boocoder_model as model;
use boocoder_model::{
    AgentCommand, AgentEvent, ConfigChoice, ConfigOption, ConfigValue, ContentPart, Location, PermissionOption,
    PlanEntry, Question, RawJson, ToolCallId, ToolCallSnapshot, ToolContent, UsageReport,
};
use serde::{Deserialize, Serialize};

use super::forms::{Form, List, Maybe, Named, Raw, mirrors};
use super::usage::UsageForm;

mirrors! {
    EventForm: AgentEvent,
    ContentForm: ContentPart,
    ToolContentForm: ToolContent,
    LocationForm: Location,
    CallForm: ToolCallSnapshot,
    PlanForm: PlanEntry,
    CommandForm: AgentCommand,
    OptionForm: ConfigOption,
    ChoiceForm: ConfigChoice,
    PermissionForm: PermissionOption,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "AgentEvent", rename_all = "snake_case")]
pub(super) enum EventForm {
    Text(String),
    Reasoning(String),
    Content(#[serde(with = "ContentForm")] ContentPart),
    UserContent(#[serde(with = "ContentForm")] ContentPart),
    ToolCall(#[serde(with = "CallForm")] ToolCallSnapshot),
    ToolUpdate(#[serde(with = "CallForm")] ToolCallSnapshot),
    Plan(#[serde(with = "List::<PlanForm>")] Vec<PlanEntry>),
    Commands(#[serde(with = "List::<CommandForm>")] Vec<AgentCommand>),
    Mode(String),
    ConfigOptions(#[serde(with = "List::<OptionForm>")] Vec<ConfigOption>),
    Title(Option<String>),
    Usage(#[serde(with = "UsageForm")] UsageReport),
    Notice(String),
    Compaction {
        summary: Option<String>,
        status: Option<String>,
    },
    Unmapped {
        kind: String,
        #[serde(with = "Raw")]
        raw: RawJson,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "ContentPart", rename_all = "snake_case")]
pub(super) enum ContentForm {
    Text(String),
    Image { mime_type: String, data: String, uri: Option<String> },
    Audio { mime_type: String, data: String },
    ResourceLink { uri: String, name: String, mime_type: Option<String> },
    Resource { uri: String, mime_type: Option<String>, text: String },
    ResourceBlob { uri: String, mime_type: Option<String>, blob: String },
    Unknown(#[serde(with = "Raw")] RawJson),
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "ToolContent", rename_all = "snake_case")]
pub(super) enum ToolContentForm {
    Part(#[serde(with = "ContentForm")] ContentPart),
    Diff { path: String, old_text: Option<String>, new_text: String },
    Terminal { id: String },
    Unknown(#[serde(with = "Raw")] RawJson),
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Location")]
pub(super) struct LocationForm {
    path: String,
    line: Option<u32>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "ToolCallSnapshot")]
pub(super) struct CallForm {
    id: ToolCallId,
    title: String,
    #[serde(with = "Named::<model::ToolKind>")]
    kind: model::ToolKind,
    #[serde(with = "Named::<model::ToolStatus>")]
    status: model::ToolStatus,
    #[serde(with = "Maybe::<Raw>", default)]
    input: Option<RawJson>,
    #[serde(with = "Maybe::<Raw>", default)]
    output: Option<RawJson>,
    #[serde(with = "List::<LocationForm>")]
    locations: Vec<Location>,
    #[serde(with = "List::<ToolContentForm>")]
    content: Vec<ToolContent>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "PlanEntry")]
pub(super) struct PlanForm {
    content: String,
    #[serde(with = "Named::<model::PlanPriority>")]
    priority: model::PlanPriority,
    #[serde(with = "Named::<model::PlanStatus>")]
    status: model::PlanStatus,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "AgentCommand")]
pub(super) struct CommandForm {
    name: String,
    description: Option<String>,
    hint: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "ConfigOption")]
pub(super) struct OptionForm {
    id: String,
    name: String,
    description: Option<String>,
    category: Option<String>,
    #[serde(with = "ValueForm")]
    value: ConfigValue,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "ConfigValue", rename_all = "snake_case")]
enum ValueForm {
    Select {
        current: String,
        #[serde(with = "List::<ChoiceForm>")]
        choices: Vec<ConfigChoice>,
    },
    Toggle(bool),
    Unknown(#[serde(with = "Raw")] RawJson),
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "ConfigChoice")]
pub(super) struct ChoiceForm {
    id: String,
    name: String,
    description: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Question", rename_all = "snake_case")]
pub(super) enum QuestionForm {
    Permission {
        title: String,
        #[serde(with = "Maybe::<CallForm>", default)]
        tool_call: Option<ToolCallSnapshot>,
        #[serde(with = "List::<PermissionForm>")]
        options: Vec<PermissionOption>,
    },
    Form {
        title: String,
        #[serde(with = "Raw")]
        schema: RawJson,
    },
    Url {
        title: String,
        url: String,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "PermissionOption")]
pub(super) struct PermissionForm {
    id: String,
    name: String,
    #[serde(with = "Named::<model::PermissionKind>")]
    kind: model::PermissionKind,
}
