//! From the bytes that a program writes to a terminal to the text that a human would read there.
//!
//! A machine without IO: bytes in, text out, and what comes out does not depend on where the bytes were split. It is a
//! terminal of one line. Colours, titles and links are dropped, a carriage return and a few movements of the cursor
//! within the line overwrite what stands there, so that a progress bar leaves its last state alone; a line is given once
//! it is complete. Movements to other lines only end the line: what was given is not taken back.

use vte::{Params, Parser, Perform};

use super::cut::Cut;
use crate::limits::HELD_LINE;

/// Makes text of what a program writes to its terminal.
pub(super) struct TerminalText {
    /// The beginning of a character whose end has not come yet.
    rest: Vec<u8>,
    parser: Parser,
    line: Line,
}

impl TerminalText {
    /// Text whose lines, and which as a whole, may have as many bytes as told; what is over is cut, and marked.
    pub(super) fn new(line: usize, total: usize) -> Self {
        let line = Line { cells: Vec::new(), column: 0, overwritten: false, out: Cut::new(line, total) };
        Self { rest: Vec::new(), parser: Parser::new(), line }
    }

    /// Takes what was written next, and gives the lines that are complete by now.
    pub(super) fn push(&mut self, bytes: &[u8]) -> String {
        // The parser loses characters at the borders of chunks at times, so it is given whole ones.
        let mut bytes = [&self.rest, bytes].concat();
        self.rest = bytes.split_off(bytes.len() - unfinished(&bytes));
        let text = String::from_utf8_lossy(&bytes);
        self.parser.advance(&mut self.line, text.as_bytes());
        self.line.out.take()
    }

    /// Nothing more is written: gives what is left.
    pub(super) fn finish(&mut self) -> String {
        if !std::mem::take(&mut self.rest).is_empty() {
            self.parser.advance(&mut self.line, "\u{fffd}".as_bytes());
        }
        self.line.give();
        self.line.out.finish();
        self.line.out.take()
    }

    /// The end of all text, short enough for a reason.
    pub(super) fn tail(&self) -> &str {
        self.line.out.tail()
    }
}

/// How many bytes at the end are the beginning of a character.
fn unfinished(bytes: &[u8]) -> usize {
    let begins = |count: &usize| {
        let end = &bytes[bytes.len() - count..];
        std::str::from_utf8(end).is_err_and(|error| error.valid_up_to() == 0 && error.error_len().is_none())
    };
    (1..=bytes.len().min(3)).find(begins).unwrap_or(0)
}

/// The line that the cursor is in.
struct Line {
    cells: Vec<char>,
    column: usize,
    /// Something in it was overwritten or erased, so that blanks at its end may be left of that.
    overwritten: bool,
    out: Cut,
}

impl Line {
    /// Gives the line as it stands.
    fn give(&mut self) {
        if self.overwritten {
            let end = self.cells.iter().rposition(|cell| *cell != ' ').map_or(0, |last| last + 1);
            self.cells.truncate(end);
        }
        self.out.push(self.cells.drain(..).collect());
        (self.column, self.overwritten) = (0, false);
    }

    fn end(&mut self) {
        self.give();
        self.out.end_line();
    }

    /// The cursor goes elsewhere: what stands here is complete.
    fn leave(&mut self) {
        if !self.cells.is_empty() {
            self.end();
        }
        self.column = 0;
    }

    fn erase(&mut self, mode: u16) {
        self.overwritten = true;
        match mode {
            0 => self.cells.truncate(self.column),
            1 => self.cells.iter_mut().take(self.column + 1).for_each(|cell| *cell = ' '),
            _ => self.cells.clear(),
        }
    }

    fn go_to(&mut self, column: usize) {
        self.column = column.min(HELD_LINE - 1);
    }
}

impl Perform for Line {
    fn print(&mut self, character: char) {
        if character == '\u{7f}' {
            return;
        }
        if self.cells.len() < self.column {
            self.cells.resize(self.column, ' ');
        }
        match self.cells.get_mut(self.column) {
            Some(cell) => {
                *cell = character;
                self.overwritten = true;
            }
            None => self.cells.push(character),
        }
        self.column += 1;
        if self.cells.len() >= HELD_LINE {
            self.give();
        }
    }

    fn execute(&mut self, control: u8) {
        match control {
            b'\r' => self.column = 0,
            b'\n' | 0x0b | 0x0c | 0x84 | 0x85 => self.end(),
            b'\t' => self.print('\t'),
            0x08 => self.column = self.column.saturating_sub(1),
            _ => {}
        }
    }

    fn csi_dispatch(&mut self, params: &Params, intermediates: &[u8], ignore: bool, action: char) {
        if ignore || !intermediates.is_empty() {
            return;
        }
        let given = params.iter().next().and_then(|param| param.first()).copied().unwrap_or(0);
        let count = usize::from(given.max(1));
        match action {
            'C' | 'a' => self.go_to(self.column + count),
            'D' => self.column = self.column.saturating_sub(count),
            'G' | '`' => self.go_to(count - 1),
            'K' => self.erase(given),
            'J' if given == 0 => self.erase(0),
            'A' | 'B' | 'E' | 'F' | 'H' | 'J' | 'd' | 'e' | 'f' => self.leave(),
            _ => {}
        }
    }

    fn esc_dispatch(&mut self, intermediates: &[u8], _ignore: bool, byte: u8) {
        if intermediates.is_empty() && matches!(byte, b'D' | b'E') {
            self.end();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn whole(bytes: &[u8]) -> String {
        let mut text = TerminalText::new(usize::MAX, usize::MAX);
        text.push(bytes) + &text.finish()
    }

    fn split(bytes: &[u8], at: usize) -> String {
        let mut text = TerminalText::new(usize::MAX, usize::MAX);
        let (one, two) = bytes.split_at(at);
        text.push(one) + &text.push(two) + &text.finish()
    }

    #[test]
    fn colours_titles_and_links_are_dropped_and_the_text_stays() {
        assert_eq!(whole(b"\x1b[1;31mred\x1b[0m plain\n"), "red plain\n");
        assert_eq!(whole(b"\x1b]0;a title\x07text\x1b]8;;http://a\x1b\\link\x1b]8;;\x1b\\."), "textlink.");
        assert_eq!(whole(b"\x1bP1$r0m\x1b\\a\x1b_hidden\x1b\\b\x1b(Bc\x07\x00\x7fd"), "abcd");
        assert_eq!(whole("naïve \u{9b}31m ✓ 日本\n".as_bytes()), "naïve 31m ✓ 日本\n");
        assert_eq!(whole(b"two blanks  \r\nat an end\ttab"), "two blanks  \nat an end\ttab");
    }

    #[test]
    fn a_progress_line_leaves_its_last_state() {
        assert_eq!(whole(b"10%\r50%\r100%\ndone\n"), "100%\ndone\n");
        assert_eq!(whole(b"downloading\rok\x1b[K\n"), "ok\n");
        assert_eq!(whole(b"downloading\rok         \n"), "ok\n");
        assert_eq!(whole(b"abc\rX\n"), "Xbc\n");
        assert_eq!(whole(b"spin |\x08/\x08-\x08ok\n"), "spin ok\n");
        assert_eq!(whole(b"\x1b[2K\x1b[1Gone\x1b[2K\x1b[1Gtwo\n"), "two\n");
        assert_eq!(whole(b"a\x1b[3Cb\x1b[2Dc\n"), "a  cb\n");
        assert_eq!(whole(b"gone\r\x1b[K"), "");
    }

    #[test]
    fn another_line_is_not_taken_back() {
        assert_eq!(whole(b"one\ntwo\x1b[1Athree\n"), "one\ntwo\nthree\n");
        assert_eq!(whole(b"kept\x1b[2J\x1b[Hon a clear screen\n"), "kept\non a clear screen\n");
    }

    #[test]
    fn bytes_that_are_no_text_are_marked_and_a_long_line_comes_in_pieces() {
        assert_eq!(whole(b"a\xffb\xe2\x82"), "a\u{fffd}b\u{fffd}");
        let mut text = TerminalText::new(usize::MAX, usize::MAX);
        assert_eq!(text.push(&vec![b'x'; HELD_LINE + 3]).len(), HELD_LINE);
        assert_eq!(text.finish(), "xxx");
        // No movement of the cursor makes the line longer than that.
        let mut text = TerminalText::new(usize::MAX, usize::MAX);
        text.push(b"\x1b[65535C\x1b[65535C\x1b[65535Cx");
        assert!(text.line.cells.capacity() <= 2 * HELD_LINE);
    }

    #[test]
    fn an_endless_control_string_is_not_kept() {
        // With its feature `std` the parser keeps all of it in a vector, without it a fixed part in itself.
        assert!(size_of::<Parser>() > 1024, "another crate of the workspace has switched `std` on");
        assert_eq!(whole(&[b"\x1b]0;".as_slice(), &vec![b'x'; 1 << 20], b"\x07end"].concat()), "end");
    }

    const SAMPLE: &[u8] =
        "\x1b[1;38;5;196mé\x1b[0m\r\nab\u{1f980}c\r\x1b[Kd\x1b]0;t\u{e9}\x07e\x1b]8;;x\x1b\\f\x1b[2Cg\nlast".as_bytes();

    #[test]
    fn a_border_at_any_byte_changes_nothing() {
        let expected = "é\ndef  g\nlast";
        for at in 0..=SAMPLE.len() {
            assert_eq!(split(SAMPLE, at), expected, "split at {at}");
        }
        // A character that ends behind a border, with the beginning of another soon after it.
        let close = "é\u{61}€".as_bytes();
        (0..=close.len()).for_each(|at| assert_eq!(split(close, at), "éa€"));
    }

    fn piece() -> impl Strategy<Value = Vec<u8>> {
        const KNOWN: [&[u8]; 14] = [
            b"\x1b[31m",
            b"\x1b[K",
            b"\r",
            b"\n",
            b"\x08",
            b"\x1b]0;t\x07",
            b"\x1b]8;;u\x1b\\",
            b"\x1b[2A",
            b"\x1bP q\x1b\\",
            b"\x1b[12G",
            b"\t",
            b"\xe2\x82",
            b"\xff",
            b"\x1b",
        ];
        prop_oneof![
            proptest::sample::select(&KNOWN[..]).prop_map(<[u8]>::to_vec),
            any::<String>().prop_map(String::into_bytes),
            proptest::collection::vec(any::<u8>(), 0..6),
        ]
    }

    proptest! {
        #[test]
        fn what_comes_out_does_not_depend_on_the_borders_and_holds_no_controls(
            pieces in proptest::collection::vec(piece(), 0..20), cuts in proptest::collection::vec(any::<u16>(), 0..8),
        ) {
            let bytes = pieces.concat();
            let expected = whole(&bytes);
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| usize::from(cut) % (bytes.len() + 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let mut text = TerminalText::new(usize::MAX, usize::MAX);
            let mut seen: String = cuts.windows(2).map(|cut| text.push(&bytes[cut[0]..cut[1]])).collect();
            seen += &text.finish();
            prop_assert_eq!(&seen, &expected);
            prop_assert!(!seen.chars().any(|c| c.is_control() && c != '\n' && c != '\t'), "{:?}", seen);
        }
    }
}
