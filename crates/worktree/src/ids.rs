//! Git's own ids as newtypes. They are checked to be hexadecimal, so that none is ever read as an option.

use std::fmt;
use std::str::FromStr;

use crate::WorktreeError;

/// Whether this is an object id: 40 (SHA-1) or 64 (SHA-256) hexadecimal digits.
pub(crate) fn is_object_id(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Declares a newtype over an object id.
macro_rules! object_id {
    ($($(#[$meta:meta])* $name:ident;)+) => { $(
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The id in hexadecimal.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = WorktreeError;

            fn from_str(text: &str) -> Result<Self, WorktreeError> {
                if is_object_id(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(WorktreeError::InvalidId { text: text.to_owned() })
                }
            }
        }

        impl From<&$name> for Treeish {
            fn from(id: &$name) -> Self {
                Self(id.0.clone())
            }
        }
    )+ };
}

object_id! {
    /// The id of a commit.
    CommitId;
    /// The id of a tree: the names, modes and contents of all files at one moment.
    TreeId;
}

/// Anything that names a tree: a [`TreeId`], or a [`CommitId`] for the tree of that commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Treeish(String);

impl Treeish {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hexadecimal_of_the_right_length_is_an_id() {
        assert!("0123456789abcdef0123456789abcdef01234567".parse::<CommitId>().is_ok());
        for text in ["", "HEAD", "--all", "0123", "g123456789abcdef0123456789abcdef01234567"] {
            assert!(text.parse::<TreeId>().is_err(), "{text:?} is no id");
        }
    }
}
