//! Enums that have one fixed name each, on the wire and in the database alike.

/// A name that is none of an enum's own.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown {what}: {name:?}")]
pub struct UnknownName {
    /// The enum, in words.
    pub what: &'static str,
    /// The name that was read.
    pub name: String,
}

/// Declares an enum with one name for each variant: `as_str`, `Display`, `FromStr` and `ALL` come from the same table.
macro_rules! text_enum {
    ($(#[$meta:meta])* $vis:vis enum $name:ident ($what:literal) { $($(#[$vmeta:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $vis enum $name { $($(#[$vmeta])* $variant,)+ }

        impl $name {
            /// Every variant, in the order of the declaration.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The fixed name.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::UnknownName;

            fn from_str(name: &str) -> Result<Self, Self::Err> {
                match name {
                    $($text => Ok(Self::$variant),)+
                    _ => Err($crate::UnknownName { what: $what, name: name.to_owned() }),
                }
            }
        }
    };
}

pub(crate) use text_enum;

#[cfg(test)]
mod tests {
    use crate::{MessageStatus, TaskState, ToolStatus, UnknownName};

    #[test]
    fn every_name_reads_back_as_its_variant() {
        for state in TaskState::ALL {
            assert_eq!(state.as_str().parse(), Ok(*state));
        }
        for status in ToolStatus::ALL {
            assert_eq!(status.as_str().parse(), Ok(*status));
        }
        assert_eq!(MessageStatus::Streaming.to_string(), "streaming");
    }

    #[test]
    fn a_name_of_nobody_says_what_it_was_read_as() {
        let error: UnknownName = "paused".parse::<TaskState>().expect_err("no such state");
        assert_eq!(error.to_string(), "unknown task state: \"paused\"");
    }
}
