//! How domain types get a JSON form without having one themselves.
//!
//! Each form mirrors a type of the model, field by field (serde's `remote`), so that a new field or variant does not
//! compile until it has its place in the journal. These forms are not those of `boocoder-wire`: what clients see leaves
//! out what they do not need and spells an agent's JSON anew, while a journal has to give back exactly what was put in.
//! All enums are tagged from outside: such a value is read in one pass, without a copy of it in between.

use std::fmt::Display;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use boocoder_model::RawJson;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A form of the type `Of`.
pub(crate) trait Form {
    type Of;
    fn serialize<S: Serializer>(value: &Self::Of, serializer: S) -> Result<S::Ok, S::Error>;
    fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self::Of, D::Error>;
}

/// Lets mirrors (serde's `remote`) be used where a [`Form`] is asked for.
macro_rules! mirrors {
    ($($form:ident: $of:ty,)+) => { $(
        impl Form for $form {
            type Of = $of;
            fn serialize<S: serde::Serializer>(value: &$of, serializer: S) -> Result<S::Ok, S::Error> {
                Self::serialize(value, serializer)
            }
            fn deserialize<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<$of, D::Error> {
                Self::deserialize(deserializer)
            }
        }
    )+ };
}
pub(super) use mirrors;

/// A borrowed value in its form.
pub(crate) struct By<'a, F: Form>(pub(crate) &'a F::Of);

impl<F: Form> Serialize for By<'_, F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        F::serialize(self.0, serializer)
    }
}

/// A value read from its form.
pub(crate) struct Read<F: Form>(pub(crate) F::Of);

impl<'de, F: Form> Deserialize<'de> for Read<F> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        F::deserialize(deserializer).map(Self)
    }
}

/// A list of what has a form.
pub(crate) struct List<F>(PhantomData<F>);

impl<F: Form> Form for List<F> {
    type Of = Vec<F::Of>;

    fn serialize<S: Serializer>(items: &Vec<F::Of>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(items.iter().map(By::<F>))
    }

    fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<F::Of>, D::Error> {
        let items = Vec::<Read<F>>::deserialize(deserializer)?;
        Ok(items.into_iter().map(|item| item.0).collect())
    }
}

/// Something that may be absent. Where it stands in a struct, it takes `#[serde(default)]` too.
pub(crate) struct Maybe<F>(PhantomData<F>);

impl<F: Form> Form for Maybe<F> {
    type Of = Option<F::Of>;

    fn serialize<S: Serializer>(value: &Option<F::Of>, serializer: S) -> Result<S::Ok, S::Error> {
        value.as_ref().map(By::<F>).serialize(serializer)
    }

    fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<F::Of>, D::Error> {
        Ok(Option::<Read<F>>::deserialize(deserializer)?.map(|value| value.0))
    }
}

/// Something that is kept in a box for its size.
pub(crate) struct Boxed<F>(PhantomData<F>);

impl<F: Form> Form for Boxed<F> {
    type Of = Box<F::Of>;

    fn serialize<S: Serializer>(value: &Box<F::Of>, serializer: S) -> Result<S::Ok, S::Error> {
        F::serialize(value, serializer)
    }

    fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Box<F::Of>, D::Error> {
        F::deserialize(deserializer).map(Box::new)
    }
}

/// Something with a fixed name, by its name.
pub(crate) struct Named<T>(PhantomData<T>);

impl<T: Display + FromStr<Err: Display>> Form for Named<T> {
    type Of = T;

    fn serialize<S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// An agent's own JSON, as a string that holds its text: so it keeps its very spelling, stays on one line, and does no
/// harm if it is no JSON after all.
pub(super) struct Raw;

impl Form for Raw {
    type Of = RawJson;

    fn serialize<S: Serializer>(raw: &RawJson, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(raw.as_str())
    }

    fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<RawJson, D::Error> {
        String::deserialize(deserializer).map(RawJson::new)
    }
}

/// A path: its text, or its bytes if it is no text.
pub(crate) struct AsPath;

#[derive(Deserialize)]
#[serde(untagged)]
enum TextOrBytes {
    Text(String),
    Bytes(Vec<u8>),
}

impl Form for AsPath {
    type Of = PathBuf;

    fn serialize<S: Serializer>(path: &PathBuf, serializer: S) -> Result<S::Ok, S::Error> {
        use std::os::unix::ffi::OsStrExt;
        let path: &Path = path;
        match path.to_str() {
            Some(text) => serializer.serialize_str(text),
            None => path.as_os_str().as_bytes().serialize(serializer),
        }
    }

    fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
        use std::os::unix::ffi::OsStringExt;
        Ok(match TextOrBytes::deserialize(deserializer)? {
            TextOrBytes::Text(text) => text.into(),
            TextOrBytes::Bytes(bytes) => std::ffi::OsString::from_vec(bytes).into(),
        })
    }
}
