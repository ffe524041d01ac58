//! Paths inside a repository, as text that can be stored and shown whatever bytes they are made of.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::str::FromStr;

use crate::WorktreeError;

/// A file's path from the root of its repository, checked: never absolute, never through `..` or `.git`.
///
/// As text it is the path itself. Only a path that is no UTF-8, or that begins with a double quote, is written the way
/// git quotes (`"caf\351"`), so that text and path always stand for each other.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepoPath {
    text: String,
    bytes: Vec<u8>,
}

impl RepoPath {
    /// Checks a path as git stores it.
    ///
    /// # Errors
    /// [`WorktreeError::UnsafePath`] for a path that leads out of the repository or into git's own directory.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, WorktreeError> {
        let text = match std::str::from_utf8(bytes) {
            Ok(text) if !text.starts_with('"') => text.to_owned(),
            _ => quote(bytes),
        };
        match objection(bytes) {
            Some(reason) => Err(WorktreeError::UnsafePath { path: text, reason }),
            None => Ok(Self { text, bytes: bytes.to_owned() }),
        }
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The path as the file system knows it, relative to the repository's root.
    pub fn as_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.bytes))
    }

    /// The path as git stores it.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether the other path names a directory on the way to this one.
    pub(crate) fn is_below(&self, other: &Self) -> bool {
        self.bytes.strip_prefix(other.bytes.as_slice()).is_some_and(|rest| rest.first() == Some(&b'/'))
    }
}

impl fmt::Display for RepoPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for RepoPath {
    type Err = WorktreeError;

    fn from_str(text: &str) -> Result<Self, WorktreeError> {
        if !text.starts_with('"') {
            return Self::from_bytes(text.as_bytes());
        }
        let malformed = WorktreeError::UnsafePath { path: text.to_owned(), reason: "it is not quoted as git quotes" };
        unquote(text).map_or(Err(malformed), |bytes| Self::from_bytes(&bytes))
    }
}

/// Why a path must not be touched, if so.
fn objection(path: &[u8]) -> Option<&'static str> {
    if path.contains(&0) {
        return Some("it holds a NUL byte");
    }
    if path.starts_with(b"/") {
        return Some("it is absolute");
    }
    path.split(|byte| *byte == b'/').find_map(|part| {
        if part.is_empty() || part == b"." {
            return Some("it has an empty or `.` component");
        }
        if part == b".." {
            return Some("it leads out of the repository");
        }
        // Some file systems ignore case and trailing dots and spaces, and would take these for git's own directory.
        let end = part.iter().rposition(|byte| !matches!(byte, b'.' | b' ')).map_or(0, |last| last + 1);
        let seen: String = String::from_utf8_lossy(&part[..end]).chars().filter(|c| !is_ignored(*c)).collect();
        let reserved = seen.eq_ignore_ascii_case(".git") || part.eq_ignore_ascii_case(b"git~1");
        reserved.then_some("it leads into git's own directory")
    })
}

/// Whether a file system of macOS leaves the character out when it compares names. The list is git's own.
fn is_ignored(character: char) -> bool {
    matches!(character, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}')
}

fn quote(bytes: &[u8]) -> String {
    let mut text = String::from('"');
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if matches!(character, '"' | '\\') {
                text.push('\\');
            }
            text.push(character);
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\{byte:03o}"));
        }
    }
    text.push('"');
    text
}

fn unquote(text: &str) -> Option<Vec<u8>> {
    let mut rest = text.strip_prefix('"')?.strip_suffix('"')?.as_bytes();
    let mut bytes = Vec::with_capacity(rest.len());
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        bytes.push(match (byte, after.first()) {
            (b'\\', Some(&escaped @ (b'"' | b'\\'))) => {
                rest = &after[1..];
                escaped
            }
            (b'\\', _) => {
                let digits = std::str::from_utf8(after.get(..3)?).ok()?;
                rest = &after[3..];
                u8::from_str_radix(digits, 8).ok()?
            }
            (b'"', _) => return None,
            (plain, _) => plain,
        });
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ordinary_names_are_their_own_text() {
        for name in [
            "a",
            "ü/ß x",
            "back\\slash",
            "a\nb",
            "..a",
            "a..",
            ".gitignore",
            "say \"hi\"",
            ".g\u{200b}it",
            "a\u{200d}b",
        ] {
            assert_eq!(RepoPath::from_bytes(name.as_bytes()).expect(name).as_str(), name);
        }
        assert_eq!(RepoPath::from_bytes(b"caf\xe9").expect("odd, but fine").as_str(), "\"caf\\351\"");
        assert_eq!(RepoPath::from_bytes(b"\"").expect("odd, but fine").as_str(), "\"\\\"\"");
    }

    #[test]
    fn paths_out_of_the_repository_or_into_git_are_refused() {
        for path in [
            "",
            "/etc/passwd",
            "../x",
            "a/../../x",
            "a//b",
            "a/",
            "./a",
            ".git",
            ".git/config",
            "a/.GIT/hooks/x",
            ".git. /x",
            "git~1/x",
            ".g\u{200c}it/config",
            "a/.GIT\u{feff}/hooks/x",
            "a\0b",
            "\"..\"",
            "\"\\056\\056/x\"",
            "\"open",
            "\"a\"b\"",
        ] {
            assert!(path.parse::<RepoPath>().is_err(), "{path:?} must be refused");
        }
    }

    proptest! {
        #[test]
        fn text_and_path_stand_for_each_other(bytes in prop::collection::vec(any::<u8>(), 1..12)) {
            if let Ok(path) = RepoPath::from_bytes(&bytes) {
                prop_assert_eq!(path.as_str().parse::<RepoPath>().expect("reads back"), path);
            }
        }
    }

    #[test]
    fn below_means_through_a_directory() {
        let path = |text: &str| text.parse::<RepoPath>().expect("a fine path");
        assert!(path("a/b").is_below(&path("a")));
        assert!(!path("ab").is_below(&path("a")) && !path("a").is_below(&path("a")));
    }
}
