//! JSON that passes through as text.

use boocoder_model::RawJson;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// An agent's own JSON inside ours: written out verbatim, key order, number spelling and `\u0000` included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Json(pub RawJson);

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = self.0.as_str();
        match serde_json::from_str::<&RawValue>(text) {
            Ok(raw) => raw.serialize(serializer),
            // Not JSON after all: shown as the string that it is, so that nothing is lost.
            Err(_) => serializer.serialize_str(text),
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        Ok(Self(RawJson::new(value.to_string())))
    }
}

impl From<RawJson> for Json {
    fn from(raw: RawJson) -> Self {
        Self(raw)
    }
}

#[cfg(feature = "typescript")]
impl ts_rs::TS for Json {
    type WithoutGenerics = Self;
    type OptionInnerType = Self;

    fn name(_: &ts_rs::Config) -> String {
        "unknown".to_owned()
    }

    fn inline(cfg: &ts_rs::Config) -> String {
        Self::name(cfg)
    }
}

#[cfg(feature = "openapi")]
impl utoipa::ToSchema for Json {}

#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for Json {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        use utoipa::openapi::schema::{Object, SchemaType, Type};
        // Anything but null, which stands for its absence: an optional one is either of the two and never both.
        let types = [Type::Object, Type::Array, Type::String, Type::Number, Type::Boolean];
        Object::builder().schema_type(SchemaType::from_iter(types)).into()
    }
}
