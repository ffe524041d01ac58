//! A field of an update as the text that the agent wrote, read only by those who need it.

use boocoder_model::{AgentEvent, RawJson};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::{RawValue, to_raw_value};

/// A field that may be absent, null, or not what the protocol says.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Raw<'a>(Option<&'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for Raw<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&'a RawValue>::deserialize(deserializer).map(|raw| Self(Some(raw)))
    }
}

impl<'a> Raw<'a> {
    /// The field read as a string, a number or the like, or none if it is absent or something else.
    pub(crate) fn read<T: Deserialize<'a>>(self) -> Option<T> {
        serde_json::from_str(self.0?.get()).ok()
    }

    /// The field read as an object, or none if it is absent or something else. Serde would take a list for an object
    /// whose fields have no names.
    pub(crate) fn object<T: Deserialize<'a>>(self) -> Option<T> {
        let raw = self.0.filter(|raw| raw.get().starts_with('{'))?;
        serde_json::from_str(raw.get()).ok()
    }

    /// Whether the field is there and null.
    pub(crate) fn is_null(self) -> bool {
        self.0.is_some_and(|raw| raw.get() == "null")
    }

    /// The field's text, or none if it is absent or null.
    pub(crate) fn present(self) -> Option<&'a RawValue> {
        self.0.filter(|raw| raw.get() != "null")
    }

    /// The field to pass through untouched, or none if it is absent or null.
    pub(crate) fn json(self) -> Option<RawJson> {
        self.present().map(untouched)
    }

    /// The entries of a list, or none if the field is absent or null. What is no list is a list of itself.
    pub(crate) fn entries(self) -> Option<Vec<&'a RawValue>> {
        let raw = self.present()?;
        Some(serde_json::from_str(raw.get()).unwrap_or_else(|_| vec![raw]))
    }

    /// The entries of a list, each read by `read`; those that it cannot read become events of their own.
    pub(crate) fn read_entries<T>(
        self,
        kind: &str,
        leftovers: &mut Vec<AgentEvent>,
        read: impl Fn(&'a RawValue) -> Option<T>,
    ) -> Option<Vec<T>> {
        let mut keep = |entry: &'a RawValue| {
            let value = read(entry);
            if value.is_none() {
                leftovers.push(AgentEvent::Unmapped { kind: kind.to_owned(), raw: untouched(entry) });
            }
            value
        };
        Some(self.entries()?.into_iter().filter_map(&mut keep).collect())
    }
}

impl<'a> From<&'a RawValue> for Raw<'a> {
    fn from(raw: &'a RawValue) -> Self {
        Self(Some(raw))
    }
}

/// The very text of a value.
pub(crate) fn untouched(raw: &RawValue) -> RawJson {
    RawJson::new(raw.get())
}

/// A typed value as text, or none for what JSON cannot hold (a path that is not UTF-8).
pub(crate) fn to_json<T: Serialize + ?Sized>(value: &T) -> Option<Box<RawValue>> {
    to_raw_value(value).ok()
}
