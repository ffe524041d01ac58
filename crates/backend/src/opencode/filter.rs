//! Strips what opencode's context-pruning plugin appends to an answer: elements whose name begins with `dcp-`.
//!
//! The plugin marks its messages with `<dcp-message-id>m0012</dcp-message-id>` and the like, each on a line of its own or
//! at the end of one, and models learn to write them, too. An element is taken out if it is whole, stands outside code,
//! and begins or ends a line. So a mention survives: in prose, in a code span or block, or without its end.
//!
//! Text comes in chunks with any borders. What may still turn out to be such an element is held back until that is
//! decided, as are empty lines before it; what never ends is let through.

use std::mem::take;

use crate::limits::METADATA as HELD;

/// What every element begins with.
const BEGIN: &str = "<dcp-";

/// Where the text stands in terms of Markdown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Code {
    /// Outside code.
    #[default]
    None,
    /// In a span that as many backticks end.
    Span(usize),
    /// In a block that at least as many of this character end.
    Block(char, usize),
}

/// A text on its way through the filter.
#[derive(Clone, Debug)]
pub(super) struct MetadataFilter {
    /// Not looked at yet.
    held: String,
    /// White space since the end of the last line that was let through.
    space: String,
    /// An element was taken out since then.
    stripped: bool,
    code: Code,
    /// Nothing but white space stands before in the line.
    line_start: bool,
}

impl Default for MetadataFilter {
    fn default() -> Self {
        Self { held: String::new(), space: String::new(), stripped: false, code: Code::None, line_start: true }
    }
}

/// What stands at the front of the text.
enum Front {
    /// So many bytes that go through.
    Text(usize),
    /// So many bytes of metadata.
    Metadata(usize),
    /// More is needed to tell.
    Unclear,
}

impl MetadataFilter {
    /// Takes more text, and gives back what of it goes through by now.
    pub(super) fn push(&mut self, chunk: &str) -> String {
        self.held.push_str(chunk);
        self.drain(false)
    }

    /// The text has ended: gives back the rest. The next text begins anew.
    pub(super) fn finish(&mut self) -> String {
        let mut out = self.drain(true);
        if !self.stripped {
            out.push_str(&self.space);
        }
        *self = Self::default();
        out
    }

    fn drain(&mut self, is_end: bool) -> String {
        let held = take(&mut self.held);
        let mut out = String::new();
        let mut at = 0;
        while at < held.len() {
            let rest = &held[at..];
            match self.front(rest, is_end) {
                Front::Text(length) => {
                    self.let_through(&rest[..length], &mut out);
                    at += length;
                }
                Front::Metadata(length) => {
                    self.stripped = true;
                    at += length;
                }
                Front::Unclear => break,
            }
        }
        held[at..].clone_into(&mut self.held);
        out
    }

    fn let_through(&mut self, text: &str, out: &mut String) {
        for character in text.chars() {
            if character == '\n' || character.is_whitespace() && !self.space.is_empty() {
                self.space.push(character);
            } else {
                out.push_str(&take(&mut self.space));
                out.push(character);
                self.stripped = false;
            }
            if character == '\n' {
                self.line_start = true;
                if matches!(self.code, Code::Span(_)) {
                    self.code = Code::None;
                }
            } else if !character.is_whitespace() {
                self.line_start = false;
            }
        }
    }

    fn front(&mut self, rest: &str, is_end: bool) -> Front {
        let Some(first) = rest.chars().next() else { return Front::Unclear };
        match first {
            '`' | '~' => self.fence(first, rest, is_end),
            '<' if self.code == Code::None => element(rest, self.line_start, is_end),
            _ => Front::Text(first.len_utf8()),
        }
    }

    /// A run of characters that may begin or end code.
    fn fence(&mut self, mark: char, rest: &str, is_end: bool) -> Front {
        let run = rest.len() - rest.trim_start_matches(mark).len();
        if run == rest.len() && !is_end {
            return Front::Unclear;
        }
        self.code = match self.code {
            Code::None if self.line_start && run >= 3 => Code::Block(mark, run),
            Code::None if mark == '`' => Code::Span(run),
            Code::Span(open) if mark == '`' && open == run => Code::None,
            Code::Block(open, length) if open == mark && run >= length && self.line_start => Code::None,
            same @ (Code::None | Code::Span(_) | Code::Block(..)) => same,
        };
        Front::Text(run)
    }
}

/// What a `<` outside code begins.
fn element(rest: &str, begins_line: bool, is_end: bool) -> Front {
    match whole(rest, is_end) {
        Whole::No => Front::Text(1),
        Whole::Unclear => Front::Unclear,
        Whole::Yes(length) if begins_line => Front::Metadata(length),
        Whole::Yes(length) => match ends_line(&rest[length..], is_end) {
            Some(true) => Front::Metadata(length),
            Some(false) => Front::Text(1),
            None if rest.len() > HELD => Front::Text(1),
            None => Front::Unclear,
        },
    }
}

/// Whether an element stands here.
enum Whole {
    Yes(usize),
    No,
    Unclear,
}

fn whole(rest: &str, is_end: bool) -> Whole {
    let unclear = || if is_end || rest.len() > HELD { Whole::No } else { Whole::Unclear };
    if !rest.starts_with(BEGIN) {
        return if BEGIN.starts_with(rest) { unclear() } else { Whole::No };
    }
    let is_name = |character: char| character.is_ascii_alphanumeric() || character == '-' || character == '_';
    let name = &rest[1..];
    let name = &name[..name.find(|character| !is_name(character)).unwrap_or(name.len())];
    let after = 1 + name.len();
    let Some(tag) = rest[after..].find(['>', '<']) else { return unclear() };
    let attributes = &rest[after..after + tag];
    if !rest[after + tag..].starts_with('>')
        || !attributes.starts_with(|c: char| c.is_whitespace() || c == '/') && tag > 0
    {
        return Whole::No;
    }
    let opened = after + tag + 1;
    if attributes.ends_with('/') {
        return Whole::Yes(opened);
    }
    let close = format!("</{name}>");
    match rest[opened..].find(&close) {
        Some(body) if body <= HELD => Whole::Yes(opened + body + close.len()),
        Some(_) => Whole::No,
        None => unclear(),
    }
}

/// Whether nothing follows in the line but white space and further elements.
fn ends_line(after: &str, is_end: bool) -> Option<bool> {
    let rest = after.trim_start_matches([' ', '\t', '\r']);
    if rest.is_empty() {
        return is_end.then_some(true);
    }
    if rest.starts_with('\n') {
        return Some(true);
    }
    match whole(rest, is_end) {
        Whole::Yes(length) => ends_line(&rest[length..], is_end),
        Whole::No => Some(false),
        Whole::Unclear => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn filtered<'a>(chunks: impl IntoIterator<Item = &'a str>) -> String {
        let mut filter = MetadataFilter::default();
        let mut out: String = chunks.into_iter().map(|chunk| filter.push(chunk)).collect();
        out.push_str(&filter.finish());
        out
    }

    /// The text in all ways to cut it in three.
    fn check(text: &str, expected: &str) {
        assert_eq!(filtered([text]), expected);
        let borders: Vec<_> = (0..=text.len()).filter(|at| text.is_char_boundary(*at)).collect();
        for (index, first) in borders.iter().enumerate() {
            for second in &borders[index..] {
                let chunks = [&text[..*first], &text[*first..*second], &text[*second..]];
                assert_eq!(filtered(chunks), expected, "{chunks:?}");
            }
        }
        let each: Vec<_> = borders.windows(2).map(|border| &text[border[0]..border[1]]).collect();
        assert_eq!(filtered(each), expected);
    }

    #[test]
    fn metadata_is_taken_out_wherever_the_chunks_end() {
        for (text, expected) in [
            ("Done.\n\n<dcp-message-id>m0012</dcp-message-id>", "Done."),
            ("Done.<dcp-message-id priority=\"low\">m0012</dcp-message-id>\n", "Done."),
            ("<dcp-message-id>m1</dcp-message-id>\nHello", "\nHello"),
            ("<dcp-message-id>m1</dcp-message-id>Hello", "Hello"),
            ("a\n<dcp-system-reminder>\nprune <b>now</b>\n</dcp-system-reminder>\nb", "a\n\nb"),
            ("a <dcp-x>1</dcp-x> <dcp-y/>\nb", "a  \nb"),
            ("ä<dcp-x>ü</dcp-x>", "ä"),
            ("<dcp-x/>", ""),
            ("a\n```\ncode\n```\n<dcp-x>1</dcp-x>", "a\n```\ncode\n```"),
        ] {
            check(text, expected);
        }
    }

    #[test]
    fn a_mention_survives() {
        for text in [
            "The tag <dcp-message-id> marks a message.",
            "Write `<dcp-message-id>m1</dcp-message-id>`",
            "```xml\n<dcp-message-id>m1</dcp-message-id>\n```\n",
            "~~~\n<dcp-x>1</dcp-x>\n~~~",
            "The <dcp-x>1</dcp-x> element is the plugin's.",
            "<dcp-message-id>never closed\nand on and on",
            "<dcp-message-id",
            "a < b <d <dc <dcp",
            "<dcp->x</dcp-y> <DCP-x>1</DCP-x>",
            "``a ` <dcp-x>1</dcp-x> ``",
            "white space stays \n \n",
        ] {
            check(text, text);
        }
    }

    #[test]
    fn what_does_not_end_is_not_held_for_ever() {
        let mut filter = MetadataFilter::default();
        let long = "x".repeat(HELD);
        assert_eq!(filter.push("<dcp-x>"), "");
        let out = filter.push(&long) + &filter.push("y");
        assert_eq!(out, format!("<dcp-x>{long}y"));
    }

    proptest! {
        #[test]
        fn chunks_make_no_difference(
            words in prop::collection::vec(prop::sample::select(vec![
                "<dcp-a>", "</dcp-a>", "<dcp-b x=\"1\">", "</dcp-b>", "<dcp-c/>", "`", "```", "~~~", "\n", " ", "word", "<", "ß", "\t",
            ]), 0..24),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let text = words.concat();
            let borders: Vec<_> = (0..=text.len()).filter(|at| text.is_char_boundary(*at)).collect();
            let mut at: Vec<_> = cuts.iter().map(|cut| borders[cut.index(borders.len())]).chain([0, text.len()]).collect();
            at.sort_unstable();
            let chunks = at.windows(2).map(|border| &text[border[0]..border[1]]);
            prop_assert_eq!(filtered(chunks), filtered([text.as_str()]));
        }

        #[test]
        fn text_without_an_element_is_not_changed(text in "[a-z<>`~/ \n-]{0,80}") {
            prop_assume!(!text.contains(BEGIN));
            prop_assert_eq!(filtered([text.as_str()]), text);
        }
    }
}
