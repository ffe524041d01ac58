//! What a turn looks like on a terminal: the answer on standard output, everything else dimmed on standard error.

use std::io::{self, IsTerminal, Write};

/// Starts dimmed text on a terminal, and ends it.
const DIM: (&str, &str) = ("\x1b[2m", "\x1b[0m");
/// Goes to the start of the line and empties it.
const WIPE: &str = "\r\x1b[2K";
/// The strokes of the progress line.
const STROKES: [char; 4] = ['-', '\\', '|', '/'];

/// Where a turn is shown.
pub(super) struct Screen {
    out: Box<dyn Write + Send>,
    err: Box<dyn Write + Send>,
    out_is_terminal: bool,
    err_is_terminal: bool,
    /// What stands at the end of the screen.
    tail: Tail,
    /// Whether the answer so far ends in the middle of a line.
    answer_open: bool,
    /// Whether a line of the answer was ended on the terminal before the agent ended it.
    broken_off: bool,
    stroke: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tail {
    /// A finished line.
    Line,
    /// An unfinished line of the answer.
    Answer,
    /// An unfinished line of reasoning.
    Thought,
    /// The progress line.
    Progress,
    /// A question's prompt, with what a human may have typed.
    Prompt,
}

impl Screen {
    pub(super) fn new() -> Self {
        let (out, err) = (io::stdout(), io::stderr());
        let (out_is_terminal, err_is_terminal) = (out.is_terminal(), err.is_terminal());
        Self::on(Box::new(out), out_is_terminal, Box::new(err), err_is_terminal)
    }

    fn on(
        out: Box<dyn Write + Send>,
        out_is_terminal: bool,
        err: Box<dyn Write + Send>,
        err_is_terminal: bool,
    ) -> Self {
        Self {
            out,
            err,
            out_is_terminal,
            err_is_terminal,
            tail: Tail::Line,
            answer_open: false,
            broken_off: false,
            stroke: 0,
        }
    }

    /// Whether a progress line makes sense.
    pub(super) fn is_animated(&self) -> bool {
        self.err_is_terminal
    }

    /// More of the answer. To a file or a pipe it goes byte for byte; to a terminal without control characters, which
    /// could otherwise rewrite what stands there.
    pub(super) fn answer(&mut self, text: &str) -> io::Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        self.turn_to(Tail::Answer)?;
        if self.out_is_terminal {
            let text = if self.broken_off { text.strip_prefix('\n').unwrap_or(text) } else { text };
            self.out.write_all(tame(text).as_bytes())?;
        } else {
            self.out.write_all(text.as_bytes())?;
        }
        self.broken_off = false;
        self.out.flush()?;
        self.answer_open = !text.ends_with('\n');
        self.tail = if self.answer_open && self.out_is_terminal { Tail::Answer } else { Tail::Line };
        Ok(())
    }

    /// More of the reasoning.
    pub(super) fn thought(&mut self, text: &str) -> io::Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        self.turn_to(Tail::Thought)?;
        self.dimmed(&tame(text))?;
        self.tail = if text.ends_with('\n') { Tail::Line } else { Tail::Thought };
        Ok(())
    }

    /// A line about the turn.
    pub(super) fn remark(&mut self, text: &str) -> io::Result<()> {
        self.turn_to(Tail::Line)?;
        self.dimmed(&tame(text))?;
        self.err.write_all(b"\n")?;
        self.err.flush()
    }

    /// A question's prompt; a typed line is expected behind it.
    pub(super) fn prompt(&mut self, text: &str) -> io::Result<()> {
        self.turn_to(Tail::Line)?;
        self.err.write_all(tame(text).as_bytes())?;
        self.err.flush()?;
        self.tail = Tail::Prompt;
        Ok(())
    }

    /// The human pressed return, which ended the prompt's line.
    pub(super) fn typed(&mut self) {
        self.tail = Tail::Line;
    }

    /// A line for programs.
    pub(super) fn record(&mut self, text: &str) -> io::Result<()> {
        self.turn_to(Tail::Line)?;
        writeln!(self.out, "{text}")?;
        self.out.flush()
    }

    /// The next stroke of the progress line, where it does not get in the way of anything.
    pub(super) fn progress(&mut self, text: &str) -> io::Result<()> {
        if !self.err_is_terminal || !matches!(self.tail, Tail::Line | Tail::Progress) {
            return Ok(());
        }
        self.stroke = (self.stroke + 1) % STROKES.len();
        let stroke = STROKES.get(self.stroke).copied().unwrap_or(' ');
        write!(self.err, "{WIPE}{}{stroke} {}{}", DIM.0, tame(text), DIM.1)?;
        self.err.flush()?;
        self.tail = Tail::Progress;
        Ok(())
    }

    /// Ends the last line, so that the shell's prompt stands on its own.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        self.turn_to(Tail::Line)?;
        if std::mem::take(&mut self.answer_open) && !self.out_is_terminal {
            self.out.write_all(b"\n")?;
        }
        self.out.flush()
    }

    /// Makes room for what comes next.
    fn turn_to(&mut self, next: Tail) -> io::Result<()> {
        match self.tail {
            tail if tail == next => return Ok(()),
            Tail::Line => {}
            Tail::Progress => self.err.write_all(WIPE.as_bytes())?,
            Tail::Answer => {
                self.out.write_all(b"\n")?;
                self.out.flush()?;
                (self.answer_open, self.broken_off) = (false, true);
            }
            Tail::Thought | Tail::Prompt => self.err.write_all(b"\n")?,
        }
        self.err.flush()?;
        self.tail = Tail::Line;
        Ok(())
    }

    fn dimmed(&mut self, text: &str) -> io::Result<()> {
        let (start, end) = if self.err_is_terminal { DIM } else { ("", "") };
        write!(self.err, "{start}{text}{end}")?;
        self.err.flush()
    }
}

/// The text with its control characters made visible, line ends and tabs excepted.
fn tame(text: &str) -> String {
    let visible = |character: char| match character {
        '\n' | '\t' => character,
        control if control.is_control() => char::REPLACEMENT_CHARACTER,
        other => other,
    };
    text.chars().map(visible).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    /// Both outputs in one, as a terminal shows them.
    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Paper {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    #[test]
    fn a_terminal_shows_each_thing_on_lines_of_its_own() {
        let paper = Paper::default();
        let mut screen = Screen::on(Box::new(paper.clone()), true, Box::new(paper.clone()), true);
        screen.progress("waiting").unwrap();
        screen.thought("hm").unwrap();
        screen.thought("m").unwrap();
        screen.answer("hel").unwrap();
        screen.progress("not in the middle of a line").unwrap();
        screen.answer("lo\x1b[2J").unwrap();
        screen.remark("a tool").unwrap();
        screen.answer("\nend\n").unwrap();
        screen.answer("\nlast\n").unwrap();
        screen.finish().unwrap();
        let shown = paper.text().replace(DIM.0, "<").replace(DIM.1, ">").replace(WIPE, "~");
        assert_eq!(shown, "~<\\ waiting>~<hm><m>\nhello\u{fffd}[2J\n<a tool>\nend\n\nlast\n");
    }

    #[test]
    fn a_pipe_gets_the_answer_byte_for_byte_and_nothing_else() {
        let (out, err) = (Paper::default(), Paper::default());
        let mut screen = Screen::on(Box::new(out.clone()), false, Box::new(err.clone()), false);
        screen.answer("a\x1b").unwrap();
        screen.remark("a tool").unwrap();
        screen.thought("hm").unwrap();
        screen.progress("waiting").unwrap();
        screen.answer("b").unwrap();
        screen.finish().unwrap();
        screen.finish().unwrap();
        assert_eq!(out.text(), "a\x1bb\n");
        assert_eq!(err.text(), "a tool\nhm\n");
    }

    #[test]
    fn a_prompt_stands_until_a_line_was_typed() {
        let paper = Paper::default();
        let mut screen = Screen::on(Box::new(paper.clone()), true, Box::new(paper.clone()), true);
        screen.prompt("choose: ").unwrap();
        screen.progress("waiting").unwrap();
        screen.typed();
        screen.remark("chosen").unwrap();
        assert_eq!(paper.text(), format!("choose: {}chosen{}\n", DIM.0, DIM.1));
    }
}
