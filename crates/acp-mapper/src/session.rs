//! What concerns the session: commands, plans, options, usage, notices and compaction.

use agent_client_protocol_schema::v1::SessionConfigOption;
use boocoder_model::{
    AgentCommand, AgentEvent, ConfigChoice, ConfigOption, ConfigValue, ContentPart, ContextUse, Cost, Currency,
    PlanEntry, TokenCounts, UsageReport,
};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::content::{debugged, read_content};
use crate::raw::{Raw, to_json, untouched};
use crate::update::Wire;

/// Converts the options of a session, as the responses to `session/new` and its relatives bring them.
pub fn config_options(options: Vec<SessionConfigOption>) -> Vec<ConfigOption> {
    let convert = |option: SessionConfigOption| {
        to_json(&option).and_then(|raw| read_config_option(&raw)).unwrap_or_else(|| ConfigOption {
            value: ConfigValue::Unknown(debugged(&option)),
            id: option.id.to_string(),
            name: option.name,
            description: option.description,
            category: None,
        })
    };
    options.into_iter().map(convert).collect()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct OptionWire<'a> {
    #[serde(borrow)]
    id: Raw<'a>,
    name: Raw<'a>,
    description: Raw<'a>,
    category: Raw<'a>,
    r#type: Raw<'a>,
    current_value: Raw<'a>,
    options: Raw<'a>,
}

/// Reads an option, or none if it has no id. A value of another kind, or a choice that is none, keeps the option whole.
pub(crate) fn read_config_option(raw: &RawValue) -> Option<ConfigOption> {
    let wire: OptionWire<'_> = Raw::from(raw).object()?;
    let id: String = wire.id.read()?;
    let value = match wire.r#type.read::<String>().as_deref() {
        Some("select") => wire.current_value.read().and_then(|current| {
            let choices = wire.options.entries()?.into_iter().map(read_choices).collect::<Option<Vec<_>>>()?;
            Some(ConfigValue::Select { current, choices: choices.into_iter().flatten().collect() })
        }),
        Some("boolean") => wire.current_value.read().map(ConfigValue::Toggle),
        _ => None,
    };
    Some(ConfigOption {
        name: wire.name.read().unwrap_or_else(|| id.clone()),
        description: wire.description.read(),
        category: wire.category.read(),
        value: value.unwrap_or_else(|| ConfigValue::Unknown(untouched(raw))),
        id,
    })
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ChoiceWire<'a> {
    #[serde(borrow)]
    value: Raw<'a>,
    name: Raw<'a>,
    description: Raw<'a>,
    options: Raw<'a>,
}

/// Reads a choice, or all choices of a group of them.
fn read_choices(raw: &RawValue) -> Option<Vec<ConfigChoice>> {
    let one = |wire: &ChoiceWire<'_>| {
        let id: String = wire.value.read()?;
        let name = wire.name.read().unwrap_or_else(|| id.clone());
        Some(ConfigChoice { id, name, description: wire.description.read() })
    };
    let wire: ChoiceWire<'_> = Raw::from(raw).object()?;
    match wire.options.entries() {
        Some(group) => group.into_iter().map(|raw| one(&Raw::from(raw).object()?)).collect(),
        None => Some(vec![one(&wire)?]),
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct CommandWire<'a> {
    #[serde(borrow)]
    name: Raw<'a>,
    description: Raw<'a>,
    input: Raw<'a>,
}

#[derive(Deserialize)]
struct CommandInput {
    hint: String,
}

/// Reads a slash command, or none if it has no name.
pub(crate) fn read_command(raw: &RawValue) -> Option<AgentCommand> {
    let said = |text: &String| !text.is_empty();
    let wire: CommandWire<'_> = Raw::from(raw).object()?;
    Some(AgentCommand {
        name: wire.name.read()?,
        description: wire.description.read().filter(said),
        hint: wire.input.object::<CommandInput>().map(|input| input.hint).filter(said),
    })
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct PlanWire<'a> {
    #[serde(borrow)]
    content: Raw<'a>,
    priority: Raw<'a>,
    status: Raw<'a>,
}

/// Reads a step of a plan, or none if it says nothing.
pub(crate) fn read_plan_entry(raw: &RawValue) -> Option<PlanEntry> {
    let wire: PlanWire<'_> = Raw::from(raw).object()?;
    let word = |field: Raw<'_>| field.read::<String>().unwrap_or_default();
    Some(PlanEntry {
        content: wire.content.read()?,
        priority: word(wire.priority).parse().unwrap_or_default(),
        status: word(wire.status).parse().unwrap_or_default(),
    })
}

#[derive(Deserialize)]
struct CostWire {
    amount: f64,
    currency: String,
}

/// Reads the size of the context, or none if a number is missing or is no count.
pub(crate) fn read_usage(wire: &Wire<'_>) -> Option<AgentEvent> {
    let context = ContextUse { used: wire.used.read()?, size: wire.size.read()? };
    // An amount without a currency could be added to nothing, and so is none.
    let cost = wire.cost.object::<CostWire>();
    let total_cost = cost.and_then(|cost| Cost::new(cost.amount, Currency::new(&cost.currency)?));
    Some(AgentEvent::Usage(UsageReport::Context { context, total_cost }))
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct MetaWire<'a> {
    #[serde(borrow)]
    usage: Raw<'a>,
    qwen_transcript: Raw<'a>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct CountsWire<'a> {
    #[serde(borrow)]
    input_tokens: Raw<'a>,
    output_tokens: Raw<'a>,
    thought_tokens: Raw<'a>,
    cached_read_tokens: Raw<'a>,
    cached_write_tokens: Raw<'a>,
    total_tokens: Raw<'a>,
}

/// Reads the usage of one model call from a chunk's `_meta`, where qwen puts it.
///
/// When it loads a session it replays the chunks of old turns, marked as its transcript; their usage was counted then.
pub(crate) fn read_meta_usage(meta: Raw<'_>) -> Option<AgentEvent> {
    let meta: MetaWire<'_> = meta.object()?;
    if meta.qwen_transcript.present().is_some() {
        return None;
    }
    let counts: CountsWire<'_> = meta.usage.object()?;
    let count = |field: Raw<'_>| field.read::<f64>().unwrap_or_default();
    let used = TokenCounts {
        input: count(counts.input_tokens),
        output: count(counts.output_tokens),
        reasoning: count(counts.thought_tokens),
        cache_read: count(counts.cached_read_tokens),
        cache_write: count(counts.cached_write_tokens),
        total: counts.total_tokens.read(),
    }
    .fold(None);
    (!used.is_empty()).then_some(AgentEvent::Usage(UsageReport::step(used)))
}

/// Reads a notice, or none if it has no title.
pub(crate) fn read_notice(wire: &Wire<'_>) -> Option<AgentEvent> {
    let mut text: String = wire.title.read()?;
    if let Some(severity) = wire.severity.read::<String>().filter(|severity| severity != "info") {
        text = format!("{severity}: {text}");
    }
    if let Some(description) = wire.description.read::<String>().filter(|text| !text.is_empty()) {
        text = format!("{text}\n{description}");
    }
    Some(AgentEvent::Notice(text))
}

/// Reads how far a compaction has come, or none if it says neither that nor why it failed nor what it made.
pub(crate) fn read_compaction(wire: &Wire<'_>) -> Option<Vec<AgentEvent>> {
    let mut more = Vec::new();
    let texts = wire.summary.read_entries("compaction_update.summary", &mut more, read_text);
    let (status, error) = (wire.status.read::<String>(), wire.error.read::<String>());
    if status.is_none() && texts.is_none() && error.is_none() {
        return None;
    }
    more.extend(error.map(|error| AgentEvent::Notice(format!("compaction: {error}"))));
    let mut events = vec![AgentEvent::Compaction { summary: texts.map(|texts| texts.concat()), status }];
    events.append(&mut more);
    Some(events)
}

/// Reads one more piece of a compaction's summary, or none if it is no text.
pub(crate) fn read_compaction_chunk(wire: &Wire<'_>) -> Option<Vec<AgentEvent>> {
    let text = read_text(wire.content.present()?)?;
    let event = |summary| AgentEvent::Compaction { summary: Some(summary), status: None };
    Some((!text.is_empty()).then(|| event(text)).into_iter().collect())
}

fn read_text(raw: &RawValue) -> Option<String> {
    let ContentPart::Text(text) = read_content(raw) else { return None };
    Some(text)
}
