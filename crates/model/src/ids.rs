//! Ids as newtypes, so that a chat's id is never taken for a session's.
//!
//! Ids of our own are UUIDs and are made by the shells (nothing here draws a random number). Ids that an agent chose
//! are opaque strings, never parsed and never assumed to be unique beyond that agent session.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What clients see of an id: the text or the number that stands in JSON.
macro_rules! described {
    ($name:ident, $typescript:literal, $openapi:ident $(, $format:literal)?) => {
        #[cfg(feature = "openapi")]
        impl utoipa::ToSchema for $name {}

        #[cfg(feature = "openapi")]
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                use utoipa::openapi::schema::{Object, Type};
                let schema = Object::builder().schema_type(Type::$openapi);
                $(let schema = schema.format(Some(utoipa::openapi::SchemaFormat::Custom($format.to_owned())));)?
                schema.into()
            }
        }

        #[cfg(feature = "typescript")]
        impl ts_rs::TS for $name {
            type WithoutGenerics = Self;
            type OptionInnerType = Self;
            fn name(_: &ts_rs::Config) -> String { $typescript.to_owned() }
            fn inline(_: &ts_rs::Config) -> String { $typescript.to_owned() }
        }
    };
}

/// Declares a newtype over [`Uuid`].
macro_rules! id {
    ($($(#[$meta:meta])* $name:ident;)+) => { $(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        described!($name, "string", String, "uuid");

        impl $name {
            /// Wraps an id that a shell made or a store read.
            pub const fn from_uuid(id: Uuid) -> Self { Self(id) }

            /// The id as a UUID.
            pub const fn as_uuid(self) -> Uuid { self.0 }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { self.0.fmt(f) }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> { Uuid::from_str(text).map(Self) }
        }
    )+ };
}

/// Declares a newtype over a shared string that somebody else chose.
macro_rules! name {
    ($($(#[$meta:meta])* $name:ident;)+) => { $(
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        described!($name, "string", String);

        impl $name {
            /// Wraps the text as it is.
            pub fn new(text: impl Into<Arc<str>>) -> Self { Self(text.into()) }

            /// The text as it was given.
            pub fn as_str(&self) -> &str { &self.0 }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(&self.0) }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self { Self::new(text) }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self { Self::new(text) }
        }
    )+ };
}

id! {
    /// A git repository on this machine.
    ProjectId;
    /// A piece of work on one project.
    SessionId;
    /// One tab of a session: the unit of an agent's context.
    ChatId;
    /// A git worktree that a session or a task owns.
    WorktreeId;
    /// One unit of work for one agent.
    TaskId;
    /// One execution of a task by a backend.
    TurnId;
    /// One message of a chat.
    MessageId;
    /// A question from an agent to a human.
    InteractionId;
    /// An edit held back until a human decides.
    PendingId;
    /// One hunk of a pending change.
    HunkId;
    /// A decision on pending changes that is being carried out.
    DecisionId;
    /// A process that keeps one agent alive beside the server, and the journal of what the agent said.
    RunnerId;
    /// One server of those that share a database. It lasts: a server that starts again has the id that it had.
    ServerId;
    /// One line of the usage ledger.
    UsageId;
}

name! {
    /// An agent's name in the registry: `demo`, `qwen`, `goose`, …
    AgentName;
    /// The id that an agent gave its own session.
    AgentSessionId;
    /// The id that an agent gave one of its tool calls.
    ToolCallId;
}

/// Declares a newtype over a number that counts up from 1.
macro_rules! number {
    ($($(#[$meta:meta])* $name:ident;)+) => { $(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        described!($name, "number", Integer);

        impl $name {
            /// Before the first one: what comes after it is everything.
            pub const ZERO: Self = Self(0);

            /// The number after this one.
            #[must_use]
            pub const fn next(self) -> Self { Self(self.0 + 1) }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { self.0.fmt(f) }
        }
    )+ };
}

number! {
    /// The number of a frame within its session: 1 for the first, then up by one without a hole.
    Seq;
    /// The number of a record within a runner's journal: 1 for the first, then up by one without a hole.
    Position;
    /// What tells the process that speaks for a server from those that did before it: each has a higher one.
    Fence;
}
