//! The one reading of a session update.

use std::borrow::Cow;

use agent_client_protocol_schema::v1::SessionUpdate;
use boocoder_model::{AgentEvent, AgentSessionId, ContentPart, RawJson};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::content::{debugged, read_content};
use crate::raw::{Raw, to_json, untouched};
use crate::session::{
    read_command, read_compaction, read_compaction_chunk, read_config_option, read_meta_usage, read_notice,
    read_plan_entry, read_usage,
};
use crate::tool_calls::ToolPatch;

/// What an update is called that does not say what it is.
const NAMELESS: &str = "session/update";

/// A `session/update` notification, read.
#[derive(Clone, Debug, PartialEq)]
pub struct ParsedUpdate {
    /// The session that it names, if it names one.
    pub session_id: Option<AgentSessionId>,
    /// What it says.
    pub update: Update,
}

/// What a session update says. [`SessionUpdateMapper::apply`](crate::SessionUpdateMapper::apply) makes events of it.
#[derive(Clone, Debug, PartialEq)]
pub enum Update {
    /// A kind that this version knows.
    Known(KnownUpdate),
    /// A kind that it does not know, or a known one that does not say what it has to, kept whole.
    Unknown {
        /// What the agent calls it.
        kind: String,
        /// All that it said.
        raw: RawJson,
    },
}

/// A known update: events, and what it says about a tool call, to be merged with what was said before.
#[derive(Clone, Debug, PartialEq)]
pub struct KnownUpdate {
    pub(crate) tool: Option<Box<ToolPatch>>,
    pub(crate) events: Vec<AgentEvent>,
}

impl From<Vec<AgentEvent>> for KnownUpdate {
    fn from(events: Vec<AgentEvent>) -> Self {
        Self { tool: None, events }
    }
}

impl From<KnownUpdate> for Update {
    fn from(update: KnownUpdate) -> Self {
        Self::Known(update)
    }
}

impl From<SessionUpdate> for Update {
    fn from(update: SessionUpdate) -> Self {
        match to_json(&update) {
            Some(raw) => read_update(&raw),
            None => Self::Unknown { kind: NAMELESS.to_owned(), raw: debugged(&update) },
        }
    }
}

/// Reads the params of a `session/update` notification.
///
/// What is not as the protocol says survives: an entry of a list that cannot be read becomes [`AgentEvent::Unmapped`],
/// an unknown block of content an `Unknown` part, and an update that says nothing known [`Update::Unknown`].
pub fn parse_update(params: &RawValue) -> ParsedUpdate {
    let envelope: EnvelopeWire<'_> = Raw::from(params).object().unwrap_or_default();
    let update = match envelope.update.present() {
        Some(update) => read_update(update),
        None => Update::Unknown { kind: NAMELESS.to_owned(), raw: untouched(params) },
    };
    let session_id = envelope.session_id.read::<Cow<'_, str>>().map(|id| AgentSessionId::new(&*id));
    ParsedUpdate { session_id, update }
}

/// Reads an update by itself.
fn read_update(raw: &RawValue) -> Update {
    Raw::from(raw).object::<Wire<'_>>().and_then(|wire| wire.read()).map_or_else(|| unknown(raw), Update::Known)
}

fn unknown(raw: &RawValue) -> Update {
    let kind = Raw::from(raw).object().and_then(|tag: TagWire<'_>| tag.session_update.read());
    Update::Unknown { kind: kind.unwrap_or_else(|| NAMELESS.to_owned()), raw: untouched(raw) }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct EnvelopeWire<'a> {
    #[serde(borrow)]
    session_id: Raw<'a>,
    update: Raw<'a>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct TagWire<'a> {
    #[serde(borrow)]
    session_update: Raw<'a>,
}

/// Every field of every kind of update, borrowed from the line and not yet read.
#[derive(Debug, Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Wire<'a> {
    #[serde(borrow)]
    session_update: Cow<'a, str>,
    #[serde(rename = "_meta")]
    meta: Raw<'a>,
    pub(crate) content: Raw<'a>,
    pub(crate) tool_call_id: Raw<'a>,
    pub(crate) title: Raw<'a>,
    pub(crate) name: Raw<'a>,
    pub(crate) kind: Raw<'a>,
    pub(crate) status: Raw<'a>,
    pub(crate) locations: Raw<'a>,
    pub(crate) raw_input: Raw<'a>,
    pub(crate) raw_output: Raw<'a>,
    entries: Raw<'a>,
    available_commands: Raw<'a>,
    current_mode_id: Raw<'a>,
    config_options: Raw<'a>,
    pub(crate) used: Raw<'a>,
    pub(crate) size: Raw<'a>,
    pub(crate) cost: Raw<'a>,
    pub(crate) severity: Raw<'a>,
    pub(crate) description: Raw<'a>,
    pub(crate) summary: Raw<'a>,
    pub(crate) error: Raw<'a>,
}

impl Wire<'_> {
    /// Reads the fields that the kind of update needs, or none if it is unknown or they are not there.
    fn read(&self) -> Option<KnownUpdate> {
        match &*self.session_update {
            "agent_message_chunk" => self.chunk(AgentEvent::Text),
            "agent_thought_chunk" => self.chunk(AgentEvent::Reasoning),
            "user_message_chunk" => {
                let part = Some(read_content(self.content.present()?)).filter(|part| !is_empty(part));
                Some(part.map(AgentEvent::UserContent).into_iter().collect::<Vec<_>>().into())
            }
            "tool_call" => self.tool_call(true),
            "tool_call_update" => self.tool_call(false),
            "plan" => self.list(self.entries, "plan.entries", read_plan_entry, AgentEvent::Plan),
            "available_commands_update" => {
                let kind = "available_commands_update.availableCommands";
                self.list(self.available_commands, kind, read_command, AgentEvent::Commands)
            }
            "config_option_update" => {
                let kind = "config_option_update.configOptions";
                self.list(self.config_options, kind, read_config_option, AgentEvent::ConfigOptions)
            }
            "current_mode_update" => one(AgentEvent::Mode(self.current_mode_id.read()?)),
            "session_info_update" if self.title.is_null() => one(AgentEvent::Title(None)),
            "session_info_update" => one(AgentEvent::Title(Some(self.title.read()?))),
            "usage_update" => one(read_usage(self)?),
            "notice" => one(read_notice(self)?),
            "compaction_update" => read_compaction(self).map(KnownUpdate::from),
            "compaction_summary_chunk" => read_compaction_chunk(self).map(KnownUpdate::from),
            _ => None,
        }
    }

    /// A piece of the answer or of the reasoning, with the usage that may come in its `_meta`.
    fn chunk(&self, text_event: fn(String) -> AgentEvent) -> Option<KnownUpdate> {
        let part = Some(read_content(self.content.present()?)).filter(|part| !is_empty(part));
        let said = part
            .map(|part| if let ContentPart::Text(text) = part { text_event(text) } else { AgentEvent::Content(part) });
        Some(said.into_iter().chain(read_meta_usage(self.meta)).collect::<Vec<_>>().into())
    }

    fn tool_call(&self, announced: bool) -> Option<KnownUpdate> {
        let mut events = Vec::new();
        let tool = ToolPatch::read(self, announced, &mut events)?;
        Some(KnownUpdate { tool: Some(Box::new(tool)), events })
    }

    /// A whole list that replaces the one before, and each of its entries that cannot be read by itself.
    fn list<'a, T>(
        &self,
        field: Raw<'a>,
        kind: &str,
        read: impl Fn(&'a RawValue) -> Option<T>,
        event: fn(Vec<T>) -> AgentEvent,
    ) -> Option<KnownUpdate> {
        let mut leftovers = Vec::new();
        let list = field.read_entries(kind, &mut leftovers, read)?;
        leftovers.insert(0, event(list));
        Some(leftovers.into())
    }
}

/// Whether a part is text without text, which agents send to carry something in its `_meta`.
fn is_empty(part: &ContentPart) -> bool {
    matches!(part, ContentPart::Text(text) if text.is_empty())
}

fn one(event: AgentEvent) -> Option<KnownUpdate> {
    Some(vec![event].into())
}
