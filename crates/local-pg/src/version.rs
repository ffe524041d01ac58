//! PostgreSQL's version, as `postgres -V` prints it.

use std::fmt;

/// The oldest major version that is accepted; older ones are near their end of life.
pub const MIN_MAJOR: u32 = 15;

/// A PostgreSQL version. Data made by one major version cannot be read by another; minor versions are interchangeable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// The release line, such as 18.
    pub major: u32,
    /// The fixes within it, such as 4; 0 for a beta or development build.
    pub minor: u32,
}

impl Version {
    /// Reads the line that `postgres -V` prints, such as `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
    /// `None` when it is not of that form.
    pub fn parse(line: &str) -> Option<Self> {
        let number = line.trim().strip_prefix("postgres (PostgreSQL) ")?.split_whitespace().next()?;
        let (major, rest) = split_digits(number)?;
        let minor = rest.strip_prefix('.').and_then(split_digits).map_or(0, |(minor, _)| minor);
        Some(Self { major, minor })
    }
}

/// The number at the start of `text` and what follows it.
fn split_digits(text: &str) -> Option<(u32, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    Some((digits.parse().ok()?, rest))
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_servers_print() {
        let cases = [
            ("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n", Some((15, 18))),
            ("postgres (PostgreSQL) 18.4", Some((18, 4))),
            ("postgres (PostgreSQL) 19beta2", Some((19, 0))),
            ("postgres (PostgreSQL) 19devel", Some((19, 0))),
            ("postgres (PostgreSQL) 9.6.24", Some((9, 6))),
            ("pg_ctl (PostgreSQL) 15.18", None),
            ("postgres (PostgreSQL) ", None),
            ("postgres (PostgreSQL) devel", None),
            ("", None),
        ];
        for (line, expected) in cases {
            assert_eq!(Version::parse(line).map(|v| (v.major, v.minor)), expected, "{line:?}");
        }
    }
}
