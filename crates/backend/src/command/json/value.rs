//! JSON that is read leniently and passed on exactly.

use std::collections::BTreeMap;

use boocoder_model::{AgentEvent, RawJson};
use serde_json::value::RawValue;

/// A JSON value by its very text. Whoever asks for something that is not there, or is of another kind, gets nothing.
#[derive(Clone, Copy)]
pub(super) struct Json<'a>(&'a str);

impl<'a> Json<'a> {
    /// The text of an object, if it is one.
    pub(super) fn object(text: &'a str) -> Option<Self> {
        let json = Self(text.trim());
        json.fields().is_some().then_some(json)
    }

    fn fields(self) -> Option<BTreeMap<String, &'a RawValue>> {
        serde_json::from_str(self.0).ok()
    }

    /// A field of an object that is there and not null.
    pub(super) fn get(self, name: &str) -> Option<Self> {
        let value = self.fields()?.remove(name)?.get();
        (value != "null").then_some(Self(value))
    }

    /// The elements of an array.
    pub(super) fn array(self) -> Vec<Self> {
        let elements: Vec<&'a RawValue> = serde_json::from_str(self.0).unwrap_or_default();
        elements.into_iter().map(|element| Self(element.get())).collect()
    }

    /// The elements of an array that is a field.
    pub(super) fn list(self, name: &str) -> Vec<Self> {
        self.get(name).map(Self::array).unwrap_or_default()
    }

    pub(super) fn text(self) -> Option<String> {
        serde_json::from_str(self.0).ok()
    }

    /// A text that is a field.
    pub(super) fn string(self, name: &str) -> Option<String> {
        self.get(name)?.text()
    }

    /// A number that is a field; zero if it is none.
    pub(super) fn number(self, name: &str) -> f64 {
        self.get(name).and_then(|value| serde_json::from_str(value.0).ok()).unwrap_or_default()
    }

    pub(super) fn is_true(self, name: &str) -> bool {
        self.get(name).is_some_and(|value| value.0 == "true")
    }

    pub(super) fn raw(self) -> RawJson {
        RawJson::new(self.0)
    }

    /// This, kept whole.
    pub(super) fn unmapped(self, kind: impl Into<String>) -> AgentEvent {
        AgentEvent::Unmapped { kind: kind.into(), raw: self.raw() }
    }
}
