//! What can be set for a prompt: the model, the mode (an agent, in opencode's words), and how hard it thinks (a variant).

use std::collections::BTreeMap;

use boocoder_model::{ConfigChoice, ConfigOption, ConfigValue};
use serde_json::Value;

use crate::{BackendError, Prompt};

/// One thing that can be set.
#[derive(Clone, Debug, Default, PartialEq)]
struct Choice {
    /// What the human chose; nothing as long as the server decides.
    chosen: Option<String>,
    /// What is in force as long as nobody chose.
    default: String,
    choices: Vec<ConfigChoice>,
}

/// The choices of a session.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Settings {
    model: Choice,
    mode: Choice,
    thinking: Choice,
    /// The variants of each model.
    variants: BTreeMap<String, Vec<String>>,
}

/// What goes with a prompt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Chosen {
    pub(super) model: Option<String>,
    pub(super) mode: Option<String>,
    pub(super) variant: Option<String>,
}

impl Settings {
    /// Reads what the server offers in a directory.
    pub(super) fn read(providers: &Value, modes: &[Value], config: &Value) -> Self {
        let mut settings = Self::default();
        for provider in providers["providers"].as_array().into_iter().flatten() {
            let Some(provider_id) = provider["id"].as_str() else { continue };
            for (id, model) in provider["models"].as_object().into_iter().flatten() {
                let id = format!("{provider_id}/{id}");
                let of = provider["name"].as_str().unwrap_or(provider_id);
                let name = format!("{of} {}", model["name"].as_str().unwrap_or(&id));
                let variants = model["variants"].as_object().into_iter().flatten().map(|(name, _)| name.clone());
                settings.variants.insert(id.clone(), variants.collect());
                settings.model.choices.push(ConfigChoice { id, name, description: None });
            }
        }
        let defaults = providers["default"].as_object().into_iter().flatten();
        let first = defaults.filter_map(|(provider, model)| Some(format!("{provider}/{}", model.as_str()?))).next();
        settings.model.default = config["model"].as_str().map(str::to_owned).or(first).unwrap_or_default();
        for mode in modes {
            let is_offered = mode["mode"].as_str() != Some("subagent") && mode["hidden"].as_bool() != Some(true);
            let Some(id) = mode["name"].as_str().filter(|_| is_offered) else { continue };
            let description = mode["description"].as_str().map(str::to_owned);
            settings.mode.choices.push(ConfigChoice { id: id.to_owned(), name: id.to_owned(), description });
        }
        let default = config["default_agent"].as_str().map(str::to_owned);
        let first = settings.mode.choices.iter().find(|choice| choice.id == "build").or(settings.mode.choices.first());
        settings.mode.default = default.or_else(|| first.map(|choice| choice.id.clone())).unwrap_or_default();
        settings.offer_variants();
        settings
    }

    /// Everything that can be set.
    pub(super) fn all(&self) -> Vec<ConfigOption> {
        let aspects = [
            ("model", "Model", "model", &self.model),
            ("mode", "Mode", "mode", &self.mode),
            ("variant", "Thinking", "thought_level", &self.thinking),
        ];
        let options = aspects.into_iter().filter(|(_, _, _, choice)| !choice.choices.is_empty());
        options.map(|(id, name, category, choice)| choice.option(id, name, category)).collect()
    }

    /// Takes what a prompt wants. Says what goes with it, and whether anything changed.
    ///
    /// # Errors
    /// [`BackendError::Unsupported`] for what is not on offer; then nothing changes.
    pub(super) fn choose(&mut self, prompt: &Prompt) -> Result<(Chosen, bool), BackendError> {
        let mut next = self.clone();
        next.model.choose("model", prompt.model.as_deref())?;
        next.offer_variants();
        next.mode.choose("mode", prompt.mode.as_deref())?;
        next.thinking.choose("thinking level", prompt.thinking.as_deref())?;
        let is_new = *self != next;
        *self = next;
        let (model, mode, thinking) = (&self.model, &self.mode, &self.thinking);
        Ok((
            Chosen { model: model.chosen.clone(), mode: mode.chosen.clone(), variant: thinking.chosen.clone() },
            is_new,
        ))
    }

    /// The thinking levels are those of the model in force.
    fn offer_variants(&mut self) {
        let of = self.variants.get(self.model.current()).map_or(&[][..], Vec::as_slice);
        let choice = |id: &String| ConfigChoice { id: id.clone(), name: id.clone(), description: None };
        let none = ConfigChoice { id: DEFAULT.to_owned(), name: DEFAULT.to_owned(), description: None };
        self.thinking.default = DEFAULT.to_owned();
        self.thinking.choices = of.iter().map(choice).collect();
        if !of.is_empty() {
            self.thinking.choices.insert(0, none);
        }
        self.thinking.chosen.take_if(|chosen| !of.contains(chosen));
    }
}

/// The thinking level of a model to which none was told.
const DEFAULT: &str = "default";

impl Choice {
    fn current(&self) -> &str {
        self.chosen.as_deref().unwrap_or(&self.default)
    }

    fn choose(&mut self, what: &str, wanted: Option<&str>) -> Result<(), BackendError> {
        let Some(wanted) = wanted else { return Ok(()) };
        if !self.choices.iter().any(|choice| choice.id == wanted) {
            return Err(BackendError::Unsupported(format!("the {what} {wanted:?}")));
        }
        self.chosen = Some(wanted.to_owned()).filter(|wanted| *wanted != self.default || self.default != DEFAULT);
        Ok(())
    }

    fn option(&self, id: &str, name: &str, category: &str) -> ConfigOption {
        let value = ConfigValue::Select { current: self.current().to_owned(), choices: self.choices.clone() };
        let (id, name) = (id.to_owned(), name.to_owned());
        ConfigOption { id, name, description: None, category: Some(category.to_owned()), value }
    }
}

#[cfg(test)]
mod tests {
    use boocoder_model::TurnId;
    use serde_json::json;

    use super::*;

    fn settings() -> Settings {
        let models =
            json!({ "small": { "name": "Small" }, "big": { "name": "Big", "variants": { "high": {}, "low": {} } } });
        let providers =
            json!({ "providers": [{ "id": "p", "name": "P", "models": models }], "default": { "p": "small" } });
        let modes = [
            json!({ "name": "plan", "mode": "primary" }),
            json!({ "name": "build", "mode": "primary" }),
            json!({ "name": "helper", "mode": "subagent" }),
            json!({ "name": "title", "mode": "primary", "hidden": true }),
        ];
        Settings::read(&providers, &modes, &json!({}))
    }

    fn prompt(model: Option<&str>, mode: Option<&str>, thinking: Option<&str>) -> Prompt {
        let own = |text: Option<&str>| text.map(str::to_owned);
        let turn = TurnId::from_uuid(uuid::Uuid::from_u128(1));
        Prompt { turn, content: vec![], model: own(model), mode: own(mode), thinking: own(thinking) }
    }

    fn current(settings: &Settings) -> Vec<(String, String)> {
        let read = |option: ConfigOption| match option.value {
            ConfigValue::Select { current, .. } => (option.id, current),
            other @ (ConfigValue::Toggle(_) | ConfigValue::Unknown(_)) => panic!("{other:?}"),
        };
        settings.all().into_iter().map(read).collect()
    }

    #[test]
    fn what_nobody_chose_is_left_to_the_server() {
        let mut settings = settings();
        assert_eq!(current(&settings), [("model".into(), "p/small".into()), ("mode".into(), "build".into())]);
        assert_eq!(settings.choose(&prompt(None, None, None)).expect("nothing"), (Chosen::default(), false));
    }

    #[test]
    fn a_choice_stays_and_a_model_brings_its_own_thinking_levels() {
        let mut settings = settings();
        let (chosen, is_new) = settings.choose(&prompt(Some("p/big"), Some("plan"), Some("high"))).expect("on offer");
        let all = Chosen { model: Some("p/big".into()), mode: Some("plan".into()), variant: Some("high".into()) };
        assert_eq!((chosen, is_new), (all.clone(), true));
        assert_eq!(settings.choose(&prompt(None, None, None)).expect("stays"), (all, false));
        let (chosen, _) = settings.choose(&prompt(None, None, Some("default"))).expect("none again");
        assert_eq!(chosen.variant, None);
        settings.choose(&prompt(None, None, Some("low"))).expect("on offer");
        let (chosen, _) = settings.choose(&prompt(Some("p/small"), None, None)).expect("on offer");
        assert_eq!(chosen.variant, None, "the small one has none");
    }

    #[test]
    fn what_is_not_on_offer_is_refused_and_changes_nothing() {
        let mut settings = settings();
        let before = settings.clone();
        for (model, mode, thinking) in
            [(Some("x/y"), None, None), (Some("p/big"), Some("helper"), None), (None, None, Some("high"))]
        {
            settings.choose(&prompt(model, mode, thinking)).expect_err("not on offer");
            assert_eq!(settings, before);
        }
    }
}
