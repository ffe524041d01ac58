//! Nouns as rows: which columns there are, how they are written, and how they are read back.

use std::error::Error;
use std::fmt::Display;
use std::path::PathBuf;
use std::str::FromStr;
use std::{ffi::OsString, os::unix::ffi::OsStringExt};

use boocoder_model::UnknownName;
use serde::de::DeserializeOwned;
use tokio_postgres::Row;
use tokio_postgres::types::{FromSqlOwned, Json};
use uuid::Uuid;

use super::conn::Params;
use crate::StoreError;
use crate::rule::conflict;

/// Where a noun is kept.
pub(super) struct Table<'a> {
    /// The noun in words.
    pub(super) what: &'static str,
    pub(super) name: &'static str,
    /// What identifies a row.
    pub(super) key: &'static [&'static str],
    /// The columns that hold the noun, in the order of its values; those of the key come first.
    pub(super) columns: &'a [&'static str],
}

/// Something that is kept as a row.
pub(super) trait Noun: Sized {
    const TABLE: Table<'static>;

    /// Its values, in the order of the columns.
    fn values(&self) -> Result<Params<'_>, StoreError>;

    /// The noun that a row holds.
    fn read(row: &Fields<'_>) -> Result<Self, StoreError>;
}

impl Table<'_> {
    /// `$1, $2, …`, one for each column.
    fn placeholders(&self) -> String {
        (1..=self.columns.len()).map(|place| format!("${place}")).collect::<Vec<_>>().join(", ")
    }

    pub(super) fn insert(&self) -> String {
        format!("INSERT INTO {} ({}) VALUES ({})", self.name, self.columns.join(", "), self.placeholders())
    }

    /// An insert that brings no row unless the condition holds.
    pub(super) fn insert_if(&self, condition: &str) -> String {
        let (name, columns, values) = (self.name, self.columns.join(", "), self.placeholders());
        format!("INSERT INTO {name} ({columns}) SELECT {values} WHERE {condition} RETURNING 1")
    }

    pub(super) fn upsert(&self) -> String {
        let replaced: Vec<_> = self.columns.iter().map(|column| format!("{column} = excluded.{column}")).collect();
        format!("{} ON CONFLICT ({}) DO UPDATE SET {}", self.insert(), self.key.join(", "), replaced.join(", "))
    }

    /// An update of every column; the placeholders go on after the columns' own.
    pub(super) fn update(&self, condition: &str) -> String {
        let set: Vec<_> = (1..).zip(self.columns).map(|(place, column)| format!("{column} = ${place}")).collect();
        format!("UPDATE {} SET {} WHERE {condition} RETURNING 1", self.name, set.join(", "))
    }

    /// A query for rows that [`Noun::read`] reads.
    pub(super) fn select(&self, rest: &str) -> String {
        let name = self.name;
        let columns: Vec<_> = self.columns.iter().map(|column| format!("{name}.{column}")).collect();
        format!("SELECT {} FROM {name} {rest}", columns.join(", "))
    }
}

/// A number as the database holds it.
pub(super) fn bigint(what: &'static str, value: u64) -> Result<i64, StoreError> {
    i64::try_from(value).map_err(|_| conflict(what, format!("the number {value} is too large to keep")))
}

/// A row under a noun's name, for errors that say what could not be read.
pub(super) struct Fields<'a> {
    row: &'a Row,
    what: &'static str,
}

impl<'a> Fields<'a> {
    pub(super) const fn new(row: &'a Row, what: &'static str) -> Self {
        Self { row, what }
    }

    pub(super) fn corrupt(&self, column: &str, error: impl Display) -> StoreError {
        StoreError::Corrupt { what: self.what, detail: format!("{column}: {error}") }
    }

    /// A column whose type the driver knows.
    pub(super) fn get<T: FromSqlOwned>(&self, column: &str) -> Result<T, StoreError> {
        self.row.try_get(column).map_err(|error| {
            let cause = error.source().map(ToString::to_string);
            self.corrupt(column, cause.unwrap_or_else(|| error.to_string()))
        })
    }

    pub(super) fn id<T>(&self, column: &str, id: fn(Uuid) -> T) -> Result<T, StoreError> {
        self.get(column).map(id)
    }

    pub(super) fn id_if_any<T>(&self, column: &str, id: fn(Uuid) -> T) -> Result<Option<T>, StoreError> {
        Ok(self.get::<Option<Uuid>>(column)?.map(id))
    }

    /// A column that holds JSON.
    pub(super) fn json<T: DeserializeOwned>(&self, column: &str) -> Result<T, StoreError> {
        self.get(column).map(|Json(value)| value)
    }

    pub(super) fn json_if_any<T: DeserializeOwned>(&self, column: &str) -> Result<Option<T>, StoreError> {
        Ok(self.get::<Option<Json<T>>>(column)?.map(|Json(value)| value))
    }

    /// A column that holds the JSON form of a domain type.
    pub(super) fn doc<D, T>(&self, column: &str) -> Result<T, StoreError>
    where
        D: DeserializeOwned,
        T: TryFrom<D, Error: Display>,
    {
        T::try_from(self.json::<D>(column)?).map_err(|error| self.corrupt(column, error))
    }

    pub(super) fn doc_if_any<D, T>(&self, column: &str) -> Result<Option<T>, StoreError>
    where
        D: DeserializeOwned,
        T: TryFrom<D, Error: Display>,
    {
        let doc = self.json_if_any::<D>(column)?;
        doc.map(T::try_from).transpose().map_err(|error| self.corrupt(column, error))
    }

    /// A column that holds JSON forms of a domain type.
    pub(super) fn docs<D, T>(&self, column: &str) -> Result<Vec<T>, StoreError>
    where
        D: DeserializeOwned,
        T: TryFrom<D, Error: Display>,
    {
        let docs = self.json::<Vec<D>>(column)?;
        docs.into_iter().map(|doc| T::try_from(doc).map_err(|error| self.corrupt(column, error))).collect()
    }

    /// A column with a fixed name.
    pub(super) fn name<T: FromStr<Err = UnknownName>>(&self, column: &str) -> Result<T, StoreError> {
        self.get::<String>(column)?.parse().map_err(|error| self.corrupt(column, error))
    }

    pub(super) fn name_if_any<T: FromStr<Err = UnknownName>>(&self, column: &str) -> Result<Option<T>, StoreError> {
        let name = self.get::<Option<String>>(column)?;
        name.as_deref().map(str::parse).transpose().map_err(|error| self.corrupt(column, error))
    }

    /// A column that counts.
    pub(super) fn count(&self, column: &str) -> Result<u64, StoreError> {
        self.get::<i64>(column)?.try_into().map_err(|error| self.corrupt(column, error))
    }

    pub(super) fn count_if_any(&self, column: &str) -> Result<Option<u64>, StoreError> {
        let count = self.get::<Option<i64>>(column)?;
        count.map(u64::try_from).transpose().map_err(|error| self.corrupt(column, error))
    }

    pub(super) fn path(&self, column: &str) -> Result<PathBuf, StoreError> {
        Ok(OsString::from_vec(self.get(column)?).into())
    }
}
