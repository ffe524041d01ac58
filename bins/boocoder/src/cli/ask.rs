//! A question at the terminal, as a machine: a typed line in, the next prompt or the whole answer out.

use boocoder_model::{InteractionId, RawJson};
use boocoder_wire::Json;
use boocoder_wire::http::{AnswerAction, NewAnswer};
use boocoder_wire::parts::{Interaction, PermissionOption};
use serde_json::{Map, Value};

use super::preview::preview;

/// A question that is being asked.
#[derive(Debug)]
pub(super) struct Asking {
    pub(super) id: InteractionId,
    title: String,
    /// What the tool call would do, as indented lines; empty without one.
    preview: String,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// One of these.
    Options(Vec<PermissionOption>),
    /// Yes or no, with an address to open first if there is one.
    Consent { url: Option<String> },
    /// The fields of a form; those before `given.len()` have been answered.
    Form { fields: Vec<Field>, given: Vec<Option<Value>> },
}

/// What follows a typed line.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    /// Show this and wait for another line.
    Prompt(String),
    /// Send this.
    Answer(NewAnswer),
}

/// A field of a form.
#[derive(Debug)]
struct Field {
    name: String,
    prompt: String,
    kind: Kind,
    required: bool,
    default: Option<Value>,
}

#[derive(Debug)]
enum Kind {
    Text,
    Number,
    Integer,
    YesNo,
    /// One of these values.
    Choice(Vec<Value>),
}

impl Asking {
    /// Begins to ask.
    pub(super) fn new(interaction: Interaction) -> Self {
        let stage = match (interaction.options, interaction.schema, interaction.url) {
            (Some(mut options), _, _) => {
                options.sort_by_key(|option| rank(&option.kind));
                Stage::Options(options)
            }
            (None, Some(schema), _) => match fields(&schema) {
                fields if fields.is_empty() => Stage::Consent { url: None },
                fields => Stage::Form { fields, given: Vec::new() },
            },
            (None, None, url) => Stage::Consent { url },
        };
        let preview = interaction.tool_call.as_ref().map(preview).unwrap_or_default();
        Self { id: interaction.id, title: interaction.title, preview, stage }
    }

    /// What to show now.
    pub(super) fn prompt(&self) -> String {
        match &self.stage {
            Stage::Options(options) => {
                let lines = options.iter().enumerate().map(|(at, option)| format!("  {}  {}\n", at + 1, option.name));
                format!("{}\n{}{}choose by number: ", self.title, self.preview, lines.collect::<String>())
            }
            Stage::Consent { url: Some(url) } => format!("{}\n  {url}\ndone? [y/n]: ", self.title),
            Stage::Consent { url: None } => format!("{} [y/n]: ", self.title),
            Stage::Form { fields, given } => {
                let head = if given.is_empty() { format!("{} (`!` declines)\n", self.title) } else { String::new() };
                fields.get(given.len()).map_or(head.clone(), |field| format!("{head}{}", field.prompt))
            }
        }
    }

    /// Takes a typed line.
    pub(super) fn line(&mut self, line: &str) -> Step {
        let line = line.trim();
        match &mut self.stage {
            Stage::Options(options) => {
                let at = line.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
                match at.and_then(|at| options.get(at)) {
                    Some(option) => Step::Answer(NewAnswer::Option { option_id: option.option_id.clone() }),
                    None => Step::Prompt(format!("a number from 1 to {}: ", options.len())),
                }
            }
            Stage::Consent { .. } => match yes_no(line) {
                Some(true) => answer(AnswerAction::Accept, None),
                Some(false) => answer(AnswerAction::Decline, None),
                None => Step::Prompt("y or n: ".to_owned()),
            },
            Stage::Form { .. } if line == "!" => answer(AnswerAction::Decline, None),
            Stage::Form { fields, given } => {
                match fields.get(given.len()).map(|field| field.read(line)) {
                    Some(Err(hint)) => return Step::Prompt(hint),
                    Some(Ok(value)) => given.push(value),
                    None => {}
                }
                if given.len() < fields.len() {
                    return Step::Prompt(self.prompt());
                }
                let pairs = fields.iter().zip(given.drain(..));
                let content: Map<String, Value> =
                    pairs.filter_map(|(field, value)| Some((field.name.clone(), value?))).collect();
                answer(AnswerAction::Accept, Some(Json(RawJson::new(Value::Object(content).to_string()))))
            }
        }
    }
}

/// The place of an option: what decides on this one call comes first, whatever order the agent gives.
fn rank(kind: &str) -> usize {
    let order = ["allow_once", "reject_once", "allow_always", "reject_always"];
    order.iter().position(|known| *known == kind).unwrap_or(order.len())
}

fn answer(action: AnswerAction, content: Option<Json>) -> Step {
    Step::Answer(NewAnswer::Action { action, content })
}

fn yes_no(line: &str) -> Option<bool> {
    match line.to_lowercase().as_str() {
        "y" | "yes" | "true" => Some(true),
        "n" | "no" | "false" => Some(false),
        _ => None,
    }
}

impl Field {
    /// The value that a line means: none for an optional field that is left out.
    fn read(&self, line: &str) -> Result<Option<Value>, String> {
        if line.is_empty() {
            return match (&self.default, self.required) {
                (Some(default), _) => Ok(Some(default.clone())),
                (None, false) => Ok(None),
                (None, true) => Err(format!("this is needed (`!` declines)\n{}", self.prompt)),
            };
        }
        let value = match &self.kind {
            Kind::Text => Some(Value::from(line)),
            Kind::Number => line.parse::<f64>().ok().filter(|number| number.is_finite()).map(Value::from),
            Kind::Integer => line.parse::<i64>().ok().map(Value::from),
            Kind::YesNo => yes_no(line).map(Value::from),
            Kind::Choice(values) => values.iter().find(|value| shown(value) == line).cloned(),
        };
        value.map(Some).ok_or_else(|| format!("that is not {}\n{}", self.kind.expected(), self.prompt))
    }
}

impl Kind {
    fn of(schema: &Value) -> Self {
        if let Some(values) = schema["enum"].as_array() {
            return Self::Choice(values.clone());
        }
        if let Some(options) = schema["oneOf"].as_array() {
            return Self::Choice(options.iter().map(|option| option["const"].clone()).collect());
        }
        match schema["type"].as_str() {
            Some("number") => Self::Number,
            Some("integer") => Self::Integer,
            Some("boolean") => Self::YesNo,
            Some(_) | None => Self::Text,
        }
    }

    fn expected(&self) -> String {
        match self {
            Self::Text => "a text".to_owned(),
            Self::Number => "a number".to_owned(),
            Self::Integer => "a whole number".to_owned(),
            Self::YesNo => "y or n".to_owned(),
            Self::Choice(values) => format!("one of {}", values.iter().map(shown).collect::<Vec<_>>().join(", ")),
        }
    }
}

fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)
}

/// The fields of a form, in the order of its schema. Forms are flat objects.
fn fields(schema: &Json) -> Vec<Field> {
    let schema: Value = serde_json::from_str(schema.0.as_str()).unwrap_or_default();
    let required = |name: &str| schema["required"].as_array().is_some_and(|names| names.iter().any(|it| it == name));
    let Some(properties) = schema["properties"].as_object() else { return Vec::new() };
    properties.iter().map(|(name, field)| read_field(name, field, required(name))).collect()
}

fn read_field(name: &str, schema: &Value, required: bool) -> Field {
    let kind = Kind::of(schema);
    let default = schema.get("default").cloned();
    let label = schema["title"].as_str().unwrap_or(name);
    let more = schema["description"].as_str().map_or_else(String::new, |text| format!(" - {text}"));
    let usual = match (&default, required) {
        (Some(default), _) => format!(" [{}]", shown(default)),
        (None, false) => " [nothing]".to_owned(),
        (None, true) => String::new(),
    };
    let expected = if matches!(kind, Kind::Text) { String::new() } else { format!(" ({})", kind.expected()) };
    Field { name: name.to_owned(), prompt: format!("{label}{more}{expected}{usual}: "), kind, required, default }
}

#[cfg(test)]
mod tests {
    use super::*;
    use boocoder_model::TaskId;
    use uuid::Uuid;

    fn interaction(options: Option<Vec<PermissionOption>>, schema: Option<&str>, url: Option<&str>) -> Interaction {
        Interaction {
            id: InteractionId::from_uuid(Uuid::from_u128(1)),
            session_id: None,
            chat_id: None,
            task_id: TaskId::from_uuid(Uuid::from_u128(2)),
            agent: "demo".into(),
            kind: "permission".into(),
            title: "write a.txt".into(),
            tool_call: None,
            options,
            schema: schema.map(|schema| Json(RawJson::new(schema))),
            url: url.map(Into::into),
            created_at: jiff::Timestamp::UNIX_EPOCH,
        }
    }

    fn option(id: &str) -> PermissionOption {
        PermissionOption { option_id: id.into(), name: format!("Name of {id}"), kind: "allow_once".into() }
    }

    fn accepted(content: &str) -> Step {
        answer(AnswerAction::Accept, Some(Json(RawJson::new(content))))
    }

    #[test]
    fn an_option_is_chosen_by_its_number_and_by_nothing_else() {
        let mut asking = Asking::new(interaction(Some(vec![option("always"), option("no")]), None, None));
        assert_eq!(asking.prompt(), "write a.txt\n  1  Name of always\n  2  Name of no\nchoose by number: ");
        for line in ["", "0", "3", "-1", "yes", "always"] {
            assert_eq!(asking.line(line), Step::Prompt("a number from 1 to 2: ".into()), "{line:?}");
        }
        assert_eq!(asking.line(" 2 \n"), Step::Answer(NewAnswer::Option { option_id: "no".into() }));
    }

    #[test]
    fn what_decides_once_is_offered_first_and_answered_with_its_own_id() {
        let kinds = ["other", "reject_always", "allow_always", "reject_once", "allow_once"];
        let of_kind = |kind: &str| PermissionOption { kind: kind.into(), ..option(kind) };
        let mut asking = Asking::new(interaction(Some(kinds.map(of_kind).into()), None, None));
        for (number, id) in ["allow_once", "reject_once", "allow_always", "reject_always", "other"].iter().enumerate() {
            let expected = Step::Answer(NewAnswer::Option { option_id: (*id).into() });
            assert_eq!(asking.line(&(number + 1).to_string()), expected);
        }
    }

    #[test]
    fn an_address_is_shown_and_consent_is_asked() {
        let mut asking = Asking::new(interaction(None, None, Some("https://login.example")));
        assert!(asking.prompt().contains("https://login.example"));
        assert_eq!(asking.line(""), Step::Prompt("y or n: ".into()));
        assert_eq!(asking.line("n"), answer(AnswerAction::Decline, None));
        assert_eq!(asking.line("YES"), answer(AnswerAction::Accept, None));
    }

    #[test]
    fn a_form_is_filled_in_field_by_field() {
        let schema = r#"{"type":"object","required":["name","size"],"properties":{
            "name":{"type":"string","title":"Your name"},
            "size":{"type":"integer","default":3},
            "fast":{"type":"boolean","description":"quick or thorough"},
            "tone":{"enum":["kind","stern"]},
            "ratio":{"type":"number"}}}"#;
        let mut asking = Asking::new(interaction(None, Some(schema), None));
        assert_eq!(asking.prompt(), "write a.txt (`!` declines)\nYour name: ");
        assert!(matches!(asking.line(""), Step::Prompt(hint) if hint.starts_with("this is needed")));
        assert_eq!(asking.line("Ada"), Step::Prompt("size (a whole number) [3]: ".into()));
        assert!(matches!(asking.line("big"), Step::Prompt(hint) if hint.starts_with("that is not a whole number")));
        assert_eq!(asking.line(""), Step::Prompt("fast - quick or thorough (y or n) [nothing]: ".into()));
        assert_eq!(asking.line("y"), Step::Prompt("tone (one of kind, stern) [nothing]: ".into()));
        assert!(matches!(asking.line("rude"), Step::Prompt(_)));
        assert_eq!(asking.line("stern"), Step::Prompt("ratio (a number) [nothing]: ".into()));
        assert_eq!(asking.line(""), accepted(r#"{"name":"Ada","size":3,"fast":true,"tone":"stern"}"#));
    }

    #[test]
    fn a_form_can_be_declined_at_any_field_and_one_without_fields_is_a_plain_question() {
        let schema = r#"{"properties":{"a":{"type":"string"}}}"#;
        let mut asking = Asking::new(interaction(None, Some(schema), None));
        assert_eq!(asking.line("!"), answer(AnswerAction::Decline, None));
        for schema in ["{}", "not json", r#"{"properties":{}}"#] {
            let mut asking = Asking::new(interaction(None, Some(schema), None));
            assert_eq!(asking.line("y"), answer(AnswerAction::Accept, None), "{schema}");
        }
    }
}
