//! What a tool call would do, for a human who is asked to allow it.

use std::iter::once;

use boocoder_wire::parts::{Content, ToolCall, ToolContent};

use crate::limits::{PREVIEW_LINE, PREVIEW_LINES};

/// Indented lines: the files, the first lines of each change, and the arguments where nothing else is shown.
pub(super) fn preview(call: &ToolCall) -> String {
    let shown: Vec<String> = call.content.iter().filter_map(content).collect();
    let is_shown = |path: &str| {
        call.content.iter().any(|content| matches!(content, ToolContent::Diff { path: other, .. } if other == path))
    };
    let paths = call.locations.iter().filter(|at| !is_shown(&at.path)).map(|at| lines(once(at.path.as_str())));
    let arguments = call.input.iter().filter(|_| shown.is_empty()).map(|input| lines(input.0.as_str().lines()));
    paths.chain(arguments).chain(shown.iter().cloned()).collect()
}

fn content(content: &ToolContent) -> Option<String> {
    match content {
        ToolContent::Diff { path, old_text, new_text } => {
            Some(lines(once(path.as_str())) + &change(old_text.as_deref().unwrap_or_default(), new_text))
        }
        ToolContent::Content { content: Content::Text { text } } => Some(lines(text.lines())),
        ToolContent::Content { .. } | ToolContent::Terminal { .. } | ToolContent::Unknown { .. } => None,
    }
}

/// What is taken out and what is put in, without the lines that both texts begin and end with.
fn change(old: &str, new: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let same = |pair: &(&&str, &&str)| pair.0 == pair.1;
    let head = old.iter().zip(&new).take_while(same).count();
    let (old, new) = (old.get(head..).unwrap_or_default(), new.get(head..).unwrap_or_default());
    let tail = old.iter().rev().zip(new.iter().rev()).take_while(same).count();
    let (out, put) = (old.len() - tail, new.len() - tail);
    let out: Vec<String> = old.iter().take(out).map(|line| format!("- {line}")).collect();
    let put: Vec<String> = new.iter().take(put).map(|line| format!("+ {line}")).collect();
    lines(out.iter().chain(&put).map(String::as_str))
}

/// The first of the lines, each cut to a screen's measure, and how many more there are.
fn lines<'a>(all: impl Iterator<Item = &'a str>) -> String {
    let mut all = all.peekable();
    let mut text = String::new();
    for line in all.by_ref().take(PREVIEW_LINES) {
        let mut rest = line.chars();
        text.push_str("     ");
        text.extend(rest.by_ref().take(PREVIEW_LINE));
        text.push_str(if rest.next().is_some() { "…\n" } else { "\n" });
    }
    match all.count() {
        0 => text,
        more => format!("{text}     … and {more} more lines\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use boocoder_model::RawJson;
    use boocoder_wire::Json;
    use boocoder_wire::parts::Location;

    fn call(content: Vec<ToolContent>) -> ToolCall {
        ToolCall {
            id: "call".into(),
            title: "edit a.txt".into(),
            kind: "edit".into(),
            status: "pending".into(),
            input: Some(Json(RawJson::new(r#"{"command":"ls"}"#))),
            output: None,
            locations: vec![Location { path: "/p/a.txt".into(), line: None }],
            content,
        }
    }

    fn diff(old: Option<&str>, new: &str) -> ToolContent {
        ToolContent::Diff { path: "/p/a.txt".into(), old_text: old.map(Into::into), new_text: new.into() }
    }

    #[test]
    fn a_change_is_shown_by_the_lines_that_differ() {
        for (old, new, shown) in [
            (None, "x\ny\n", "+ x|+ y"),
            (Some("a\nb\nc\n"), "a\nB\nc\n", "- b|+ B"),
            (Some("a\na\n"), "a\na\na\n", "+ a"),
            (Some("a\nb\n"), "b\n", "- a"),
        ] {
            let text = preview(&call(vec![diff(old, new)]));
            let lines: Vec<&str> = text.lines().map(str::trim).collect();
            assert_eq!(lines, once("/p/a.txt").chain(shown.split('|')).collect::<Vec<_>>(), "{old:?} {new:?}");
        }
    }

    #[test]
    fn without_a_change_the_files_and_the_arguments_are_shown() {
        assert_eq!(preview(&call(vec![])), "     /p/a.txt\n     {\"command\":\"ls\"}\n");
        let text = ToolContent::Content { content: Content::Text { text: "why\nso".into() } };
        assert_eq!(preview(&call(vec![text])), "     /p/a.txt\n     why\n     so\n");
    }

    #[test]
    fn what_is_long_is_cut() {
        let text = preview(&call(vec![diff(None, &format!("{}\n{}", "é".repeat(500), "x\n".repeat(30)))]));
        assert!(text.contains(&format!("+ {}…\n", "é".repeat(PREVIEW_LINE - 2))), "{text}");
        assert!(text.ends_with("     + x\n     … and 11 more lines\n"), "{text}");
        assert_eq!(text.lines().count(), 1 + PREVIEW_LINES + 1);
    }
}
