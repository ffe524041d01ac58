//! What the tool calls of a turn say they changed. Git tells what really changed; this only tells whose it is.

use std::path::Path;

use boocoder_model::{Message, ToolCallId, ToolCallSnapshot, ToolContent, ToolKind};

/// Some lines that went and the lines in their place.
type Effect = (Vec<u8>, Vec<u8>);

/// The files that a turn's tool calls name, in the order of the calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Touched(Vec<Named>);

/// A file that a tool call names.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Named {
    path: String,
    call: ToolCallId,
    is_edit: bool,
    /// The text before and after, if the call shows them; maybe only a part of the file's.
    texts: Option<(String, String)>,
}

impl Touched {
    /// What the tool calls of a message name, as the agent names it.
    pub(crate) fn by(message: &Message) -> Self {
        Self(message.tool_calls.iter().flat_map(named).collect())
    }

    /// The same with the paths relative to a directory, where they are in it.
    pub(crate) fn within(mut self, root: &Path) -> Self {
        for named in &mut self.0 {
            if let Some(inner) = Path::new(&named.path).strip_prefix(root).ok().and_then(Path::to_str) {
                named.path = inner.to_owned();
            }
        }
        self
    }

    /// Whether a tool call names this file.
    pub(crate) fn names(&self, path: &str) -> bool {
        self.0.iter().any(|named| named.path == path)
    }

    /// The tool call that made a change of these lines: the last one whose text after shows it and whose text before does
    /// not. A file that one call alone edited, without a text, is that one's.
    pub(crate) fn call_for(&self, path: &str, effects: &[Effect]) -> Option<&ToolCallId> {
        let mut edits = self.0.iter().filter(|named| named.is_edit && named.path == path);
        let shown = edits.clone().rev().find(|named| effects.iter().any(|effect| named.shows(effect)));
        let only = edits.next().filter(|only| only.texts.is_none() && edits.all(|other| other.call == only.call));
        shown.or(only).map(|named| &named.call)
    }

    pub(crate) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }
}

impl Named {
    fn shows(&self, (taken, put): &Effect) -> bool {
        let Some((old, new)) = &self.texts else { return false };
        if put.is_empty() { holds(old, taken) && !holds(new, taken) } else { holds(new, put) && !holds(old, put) }
    }
}

/// Whether a text has these lines, next to each other. The last may lack its line feed in either.
fn holds(text: &str, lines: &[u8]) -> bool {
    let Ok(lines) = std::str::from_utf8(lines) else { return false };
    text.contains(lines.strip_suffix('\n').unwrap_or(lines))
}

fn named(call: &ToolCallSnapshot) -> Vec<Named> {
    let is_edit = matches!(call.kind, ToolKind::Edit | ToolKind::Delete | ToolKind::Move);
    let name = |path: &String, is_edit, texts| Named { path: path.clone(), call: call.id.clone(), is_edit, texts };
    let locations = call.locations.iter().map(|at| name(&at.path, is_edit, None));
    let diffs = call.content.iter().filter_map(|content| match content {
        ToolContent::Diff { path, old_text, new_text } => {
            Some(name(path, true, Some((old_text.clone().unwrap_or_default(), new_text.clone()))))
        }
        ToolContent::Part(_) | ToolContent::Terminal { .. } | ToolContent::Unknown(_) => None,
    });
    diffs.chain(locations).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edit(call: &str, texts: Option<(&str, &str)>) -> Named {
        let texts = texts.map(|(old, new)| (old.to_owned(), new.to_owned()));
        Named { path: "a.txt".to_owned(), call: call.into(), is_edit: true, texts }
    }

    fn call_for(touched: &[Named], effect: (&str, &str)) -> Option<String> {
        let effect = (effect.0.as_bytes().to_vec(), effect.1.as_bytes().to_vec());
        let found = Touched(touched.to_vec());
        found.call_for("a.txt", &[effect]).map(|call| call.as_str().to_owned())
    }

    #[test]
    fn a_hunk_is_of_the_call_that_brought_its_lines() {
        // Each shows the whole file: the second one's text has the first one's lines as well.
        let calls = [edit("1", Some(("x\n", "x\none\n"))), edit("2", Some(("x\none\n", "x\none\ntwo\n")))];
        assert_eq!(call_for(&calls, ("", "one\n")).as_deref(), Some("1"));
        assert_eq!(call_for(&calls, ("", "two\n")).as_deref(), Some("2"));
        assert_eq!(call_for(&calls, ("", "three\n")), None, "nobody says so");
        assert_eq!(call_for(&[edit("3", Some(("a\nb", "a")))], ("b\n", "")).as_deref(), Some("3"));
    }

    #[test]
    fn a_file_that_one_call_edited_without_saying_how_is_that_calls() {
        assert_eq!(call_for(&[edit("1", None), edit("1", None)], ("", "one\n")).as_deref(), Some("1"));
        assert_eq!(call_for(&[edit("1", None), edit("2", None)], ("", "one\n")), None);
        let read = Named { is_edit: false, ..edit("1", None) };
        assert_eq!(call_for(std::slice::from_ref(&read), ("", "one\n")), None);
        assert!(Touched(vec![read]).names("a.txt"));
    }

    #[test]
    fn paths_are_taken_relative_to_the_worktree() {
        let inside = Named { path: "/w/src/a.rs".to_owned(), ..edit("1", None) };
        let outside = Named { path: "/elsewhere/b.rs".to_owned(), ..edit("1", None) };
        let touched = Touched(vec![inside, outside]).within(Path::new("/w"));
        assert!(touched.names("src/a.rs") && touched.names("/elsewhere/b.rs") && !touched.names("b.rs"));
    }
}
