//! What a client can set on a session: mode, model and thought level, each a choice from a short list.

use std::collections::BTreeMap;

use agent_client_protocol::v1::schema::{
    SessionConfigOption, SessionConfigOptionCategory, SessionConfigSelectOption, SessionMode, SessionModeState,
};
use serde::{Deserialize, Serialize};

/// The id of the setting that `session/set_mode` sets too.
pub(crate) const MODE: &str = "mode";
const MODEL: &str = "model";
const THOUGHT: &str = "thought_level";

struct Choice {
    id: &'static str,
    name: &'static str,
    about: &'static str,
}

/// One setting; the first choice is the default.
struct Setting {
    id: &'static str,
    name: &'static str,
    choices: [Choice; 2],
}

static SETTINGS: [Setting; 3] = [
    Setting {
        id: MODE,
        name: "Mode",
        choices: [
            Choice { id: "ask", name: "Ask", about: "asks before it writes a file" },
            Choice { id: "auto", name: "Auto", about: "writes files without asking" },
        ],
    },
    Setting {
        id: MODEL,
        name: "Model",
        choices: [
            Choice { id: "demo-fast", name: "Demo Fast", about: "echoes at once" },
            Choice { id: "demo-slow", name: "Demo Slow", about: "pauses after each echoed word" },
        ],
    },
    Setting {
        id: THOUGHT,
        name: "Thinking",
        choices: [
            Choice { id: "off", name: "Off", about: "thinks only when told to" },
            Choice { id: "brief", name: "Brief", about: "begins each turn with a short thought" },
        ],
    },
];

/// The values that differ from their defaults.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Settings(BTreeMap<String, String>);

impl Settings {
    pub(crate) fn writes_without_asking(&self) -> bool {
        self.get(&SETTINGS[0]) == "auto"
    }

    pub(crate) fn is_slow(&self) -> bool {
        self.get(&SETTINGS[1]) == "demo-slow"
    }

    pub(crate) fn thinks(&self) -> bool {
        self.get(&SETTINGS[2]) == "brief"
    }

    fn get(&self, setting: &Setting) -> &str {
        self.0.get(setting.id).map_or(setting.choices[0].id, String::as_str)
    }

    /// Sets one setting, or says what it could have been set to.
    pub(crate) fn set(&mut self, id: &str, value: &str) -> Result<(), String> {
        let Some(setting) = SETTINGS.iter().find(|setting| setting.id == id) else {
            let ids: Vec<&str> = SETTINGS.iter().map(|setting| setting.id).collect();
            return Err(format!("unknown option {id:?}; there are {}", ids.join(", ")));
        };
        let Some(choice) = setting.choices.iter().find(|choice| choice.id == value) else {
            let ids: Vec<&str> = setting.choices.iter().map(|choice| choice.id).collect();
            return Err(format!("unknown {id} {value:?}; there are {}", ids.join(", ")));
        };
        self.0.insert(setting.id.to_owned(), choice.id.to_owned());
        Ok(())
    }

    /// The state of all settings, as a client shows them.
    pub(crate) fn options(&self) -> Vec<SessionConfigOption> {
        let choices = |setting: &Setting| -> Vec<_> {
            let option = |c: &Choice| SessionConfigSelectOption::new(c.id, c.name).description(c.about.to_owned());
            setting.choices.iter().map(option).collect()
        };
        let category = |setting: &Setting| match setting.id {
            MODE => SessionConfigOptionCategory::Mode,
            MODEL => SessionConfigOptionCategory::Model,
            _ => SessionConfigOptionCategory::ThoughtLevel,
        };
        let option = |setting: &Setting| {
            let current = self.get(setting).to_owned();
            SessionConfigOption::select(setting.id, setting.name, current, choices(setting)).category(category(setting))
        };
        SETTINGS.iter().map(option).collect()
    }

    /// The mode alone, for clients that know modes but not options.
    pub(crate) fn modes(&self) -> SessionModeState {
        let mode = &SETTINGS[0];
        let choice = |c: &Choice| SessionMode::new(c.id, c.name).description(c.about.to_owned());
        SessionModeState::new(self.get(mode).to_owned(), mode.choices.iter().map(choice).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_takes_only_its_own_choices() {
        let mut settings = Settings::default();
        assert!(!settings.writes_without_asking() && !settings.is_slow() && !settings.thinks());
        settings.set(MODE, "auto").unwrap();
        settings.set(MODEL, "demo-slow").unwrap();
        settings.set(THOUGHT, "brief").unwrap();
        assert!(settings.writes_without_asking() && settings.is_slow() && settings.thinks());
        assert_eq!(settings.set(MODE, "yolo").unwrap_err(), "unknown mode \"yolo\"; there are ask, auto");
        assert_eq!(settings.set("x", "y").unwrap_err(), "unknown option \"x\"; there are mode, model, thought_level");
        assert!(settings.writes_without_asking(), "a refused value changes nothing");
    }
}
