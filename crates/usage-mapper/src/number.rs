//! Numbers out of JSON that may not hold any.

use serde_json::Value;

/// The number at `key`, also where it is written as text; zero where there is none.
pub(crate) fn number(object: &Value, key: &str) -> f64 {
    optional(object, key).unwrap_or_default()
}

/// The number at `key`, also where it is written as text.
pub(crate) fn optional(object: &Value, key: &str) -> Option<f64> {
    let value = object.get(key)?;
    value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())
}
