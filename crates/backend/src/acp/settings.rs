//! What can be set in a session: modes, models and other options, whichever of three ways the agent offers them.
//!
//! Agents list them as config options (today's protocol), as `modes`, or as `models` (yesterday's); several list the
//! same thing twice. Here each thing is one [`ConfigOption`], and the newest way to set it is the one that is used.

use agent_client_protocol::v1::schema::SessionConfigOption;
use boocoder_acp_mapper::config_options;
use boocoder_model::{AgentSessionId, ConfigChoice, ConfigOption, ConfigValue, RawJson};
use serde_json::{Value, json};

use crate::BackendError;

/// What a prompt may ask to be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aspect {
    Mode,
    Model,
    Thinking,
}

impl Aspect {
    /// The option's category, and the ids by which agents without categories call it.
    fn names(self) -> (&'static str, &'static [&'static str]) {
        match self {
            Self::Mode => ("mode", &["mode"]),
            Self::Model => ("model", &["model"]),
            Self::Thinking => {
                ("thought_level", &["thought_level", "thinking", "thinking_effort", "reasoning_effort", "effort"])
            }
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Mode => "mode",
            Self::Model => "model",
            Self::Thinking => "thinking level",
        }
    }
}

/// How an option is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Via {
    ConfigOption,
    SetMode,
    SetModel,
}

/// A request that sets something.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Change {
    /// The request's method.
    pub(super) method: &'static str,
    /// Its params.
    pub(super) params: Value,
    id: String,
    value: ConfigValue,
}

/// Everything that can be set in one session.
#[derive(Clone, Debug, Default)]
pub(super) struct Settings {
    options: Vec<(ConfigOption, Via)>,
}

impl Settings {
    /// Reads the result of `session/new` or one of its relatives.
    pub(super) fn read(result: &Value) -> Self {
        let mut settings = Self::default();
        settings.replace(read_config_options(&result["configOptions"]));
        let modes = select(&result["modes"], "mode", "Mode", ["currentModeId", "availableModes", "id"]);
        let models = select(&result["models"], "model", "Model", ["currentModelId", "availableModels", "modelId"]);
        for (aspect, option, via) in [(Aspect::Mode, modes, Via::SetMode), (Aspect::Model, models, Via::SetModel)] {
            if let Some(option) = option
                && settings.find(aspect).is_none()
            {
                settings.options.push((option, via));
            }
        }
        settings
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<ConfigOption> {
        self.options.iter().map(|(option, _)| option.clone()).collect()
    }

    /// The agent listed its config options anew; what it offers by other means stays.
    pub(super) fn replace(&mut self, options: Vec<ConfigOption>) {
        let kept = std::mem::take(&mut self.options);
        let listed = |id: &str| options.iter().any(|option| option.id == id);
        let kept: Vec<_> =
            kept.into_iter().filter(|(option, via)| *via != Via::ConfigOption && !listed(&option.id)).collect();
        self.options = options.into_iter().map(|option| (option, Via::ConfigOption)).chain(kept).collect();
    }

    /// The agent switched its mode.
    pub(super) fn note_mode(&mut self, mode: &str) {
        if let Some(at) = self.find(Aspect::Mode)
            && let ConfigValue::Select { current, .. } = &mut self.options[at].0.value
        {
            mode.clone_into(current);
        }
    }

    /// The change that gives `aspect` the value `wanted`, or none if it has it.
    ///
    /// # Errors
    /// [`BackendError::Unsupported`] if there is nothing of the kind to set, or if the value is not on offer.
    pub(super) fn change(
        &self,
        session: &AgentSessionId,
        aspect: Aspect,
        wanted: &str,
    ) -> Result<Option<Change>, BackendError> {
        let unsupported = |offer: String| BackendError::Unsupported(format!("{} {wanted:?}{offer}", aspect.word()));
        let at = self.find(aspect).ok_or_else(|| unsupported(format!(": it offers no {} to choose", aspect.word())))?;
        let (option, via) = &self.options[at];
        let (value, sent) = match &option.value {
            ConfigValue::Select { current, .. } if current == wanted => return Ok(None),
            ConfigValue::Select { choices, .. } => {
                if !choices.iter().any(|choice| choice.id == wanted) {
                    let ids: Vec<_> = choices.iter().map(|choice| choice.id.as_str()).collect();
                    return Err(unsupported(format!(": it offers {}", ids.join(", "))));
                }
                (
                    ConfigValue::Select { current: wanted.to_owned(), choices: choices.clone() },
                    json!({ "value": wanted }),
                )
            }
            ConfigValue::Toggle(current) => {
                let on = match wanted {
                    "on" | "true" => true,
                    "off" | "false" => false,
                    _ => return Err(unsupported(": it offers on, off".to_owned())),
                };
                if on == *current {
                    return Ok(None);
                }
                (ConfigValue::Toggle(on), json!({ "type": "boolean", "value": on }))
            }
            ConfigValue::Unknown(_) => return Err(unsupported(": it is set in a way unknown here".to_owned())),
        };
        let (method, mut params) = match via {
            Via::ConfigOption => ("session/set_config_option", sent),
            Via::SetMode => ("session/set_mode", json!({ "modeId": wanted })),
            Via::SetModel => ("session/set_model", json!({ "modelId": wanted })),
        };
        params["sessionId"] = session.as_str().into();
        if *via == Via::ConfigOption {
            params["configId"] = option.id.as_str().into();
        }
        Ok(Some(Change { method, params, id: option.id.clone(), value }))
    }

    /// A change was made; the agent's answer may list all options anew.
    pub(super) fn made(&mut self, change: Change, answer: &Value) {
        if answer["configOptions"].is_array() {
            self.replace(read_config_options(&answer["configOptions"]));
        } else if let Some((option, _)) = self.options.iter_mut().find(|(option, _)| option.id == change.id) {
            option.value = change.value;
        }
    }

    /// By category first, since ids are the agent's own; among several of one category the one of that very id.
    fn find(&self, aspect: Aspect) -> Option<usize> {
        let (category, ids) = aspect.names();
        let at = |test: &dyn Fn(&ConfigOption) -> bool| self.options.iter().position(|(option, _)| test(option));
        let in_category = |option: &ConfigOption| option.category.as_deref() == Some(category);
        at(&|option| in_category(option) && ids.contains(&option.id.as_str()))
            .or_else(|| at(&in_category))
            .or_else(|| ids.iter().find_map(|id| at(&|option| option.id == *id)))
    }
}

/// Reads a list of config options. One that is not as the protocol says is kept whole, if it has an id.
fn read_config_options(list: &Value) -> Vec<ConfigOption> {
    let read = |value: &Value| {
        if let Ok(option) = serde_json::from_value::<SessionConfigOption>(value.clone()) {
            return config_options(vec![option]).pop();
        }
        let id = value["id"].as_str()?;
        Some(ConfigOption {
            id: id.to_owned(),
            name: value["name"].as_str().unwrap_or(id).to_owned(),
            description: None,
            category: value["category"].as_str().map(str::to_owned),
            value: ConfigValue::Unknown(RawJson::new(value.to_string())),
        })
    };
    list.as_array().into_iter().flatten().filter_map(read).collect()
}

/// Reads `modes` or `models`: the current one, and the list with an id, a name and a description each.
fn select(state: &Value, id: &str, name: &str, [current, list, key]: [&str; 3]) -> Option<ConfigOption> {
    let choice = |entry: &Value| {
        let id = entry[key].as_str()?;
        Some(ConfigChoice {
            id: id.to_owned(),
            name: entry["name"].as_str().unwrap_or(id).to_owned(),
            description: entry["description"].as_str().map(str::to_owned),
        })
    };
    let choices: Vec<_> = state[list].as_array()?.iter().filter_map(choice).collect();
    Some(ConfigOption {
        id: id.to_owned(),
        name: name.to_owned(),
        description: None,
        category: Some(id.to_owned()),
        value: ConfigValue::Select { current: state[current].as_str().unwrap_or_default().to_owned(), choices },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> AgentSessionId {
        AgentSessionId::from("s")
    }

    /// As qwen offers them: everything twice.
    fn both() -> Settings {
        Settings::read(&json!({
            "modes": { "currentModeId": "default", "availableModes": [{ "id": "default" }, { "id": "yolo", "name": "YOLO" }] },
            "models": { "currentModelId": "m1", "availableModels": [{ "modelId": "m1", "name": "One" }] },
            "configOptions": [{
                "id": "mode", "name": "Mode", "category": "mode", "type": "select", "currentValue": "default",
                "options": [{ "value": "default", "name": "default" }, { "value": "yolo", "name": "yolo" }],
            }],
        }))
    }

    fn change(settings: &Settings, aspect: Aspect, value: &str) -> Change {
        settings.change(&session(), aspect, value).expect("it is on offer").expect("it differs")
    }

    #[test]
    fn what_is_offered_twice_is_one_option_and_set_the_newest_way() {
        let settings = both();
        let ids: Vec<_> = settings.all().into_iter().map(|option| option.id).collect();
        assert_eq!(ids, ["mode", "model"]);
        let change = change(&settings, Aspect::Mode, "yolo");
        assert_eq!(change.method, "session/set_config_option");
        assert_eq!(change.params, json!({ "value": "yolo", "sessionId": "s", "configId": "mode" }));
    }

    #[test]
    fn yesterdays_modes_and_models_are_set_by_their_own_methods() {
        let settings = Settings::read(&json!({
            "modes": { "currentModeId": "a", "availableModes": [{ "id": "a" }, { "id": "b" }] },
            "models": { "currentModelId": "m1", "availableModels": [{ "modelId": "m1" }, { "modelId": "m2" }] },
        }));
        let mode = change(&settings, Aspect::Mode, "b");
        assert_eq!((mode.method, mode.params), ("session/set_mode", json!({ "modeId": "b", "sessionId": "s" })));
        let model = change(&settings, Aspect::Model, "m2");
        assert_eq!((model.method, model.params), ("session/set_model", json!({ "modelId": "m2", "sessionId": "s" })));
    }

    #[test]
    fn only_what_differs_is_sent_and_what_is_not_on_offer_is_refused_with_the_choices() {
        let mut settings = both();
        assert_eq!(settings.change(&session(), Aspect::Mode, "default").expect("on offer"), None);
        let error = settings.change(&session(), Aspect::Mode, "plan").expect_err("not on offer");
        assert_eq!(error.to_string(), "the agent does not support mode \"plan\": it offers default, yolo");
        settings.change(&session(), Aspect::Thinking, "high").expect_err("there is none");
        settings.note_mode("yolo");
        assert_eq!(settings.change(&session(), Aspect::Mode, "yolo").expect("on offer"), None);
    }

    #[test]
    fn a_change_that_was_made_is_in_force() {
        let mut settings = both();
        let to_yolo = change(&settings, Aspect::Mode, "yolo");
        settings.made(to_yolo, &json!({}));
        assert_eq!(settings.change(&session(), Aspect::Mode, "yolo").expect("on offer"), None);
    }

    #[test]
    fn the_thinking_level_is_found_by_its_category_and_a_toggle_takes_on_and_off() {
        let settings = Settings::read(&json!({ "configOptions": [
            { "id": "effort", "name": "Effort", "category": "thought_level", "type": "select", "currentValue": "low",
              "options": [{ "value": "low", "name": "Low" }, { "value": "high", "name": "High" }] },
        ]}));
        assert_eq!(change(&settings, Aspect::Thinking, "high").params["configId"], "effort");
        let toggle = Settings::read(&json!({ "configOptions": [
            { "id": "thinking", "name": "Thinking", "type": "boolean", "currentValue": false },
        ]}));
        assert_eq!(change(&toggle, Aspect::Thinking, "on").params["value"], true);
        toggle.change(&session(), Aspect::Thinking, "high").expect_err("neither on nor off");
    }

    #[test]
    fn an_option_of_an_unknown_shape_is_kept_and_nonsense_is_no_option() {
        let settings = Settings::read(&json!({ "modes": 1, "models": [], "configOptions": [
            { "id": "odd", "name": "Odd", "type": "slider", "min": 0 }, 7, { "name": "no id" },
        ]}));
        let [option] = &settings.all()[..] else { panic!("one option") };
        assert!(matches!((option.id.as_str(), &option.value), ("odd", ConfigValue::Unknown(_))));
    }
}
