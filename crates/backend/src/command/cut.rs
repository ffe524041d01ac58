//! Text within limits: what is over is left out, counted, and marked where it is missing.

use crate::limits::REASON_TAIL;

/// Text that is collected for the consumer, line by line.
pub(super) struct Cut {
    /// What the consumer has not got yet.
    out: String,
    /// A line may have this many bytes.
    line_limit: usize,
    /// Bytes of the line under way that were taken, and that were left out.
    line: usize,
    line_over: u64,
    /// All may have this many bytes more.
    room: usize,
    over: u64,
    tail: String,
}

impl Cut {
    pub(super) fn new(line_limit: usize, total: usize) -> Self {
        let (out, tail) = (String::new(), String::new());
        Self { out, line_limit, line: 0, line_over: 0, room: total, over: 0, tail }
    }

    /// More of the line.
    pub(super) fn push(&mut self, text: String) {
        let kept = text.floor_char_boundary(self.line_limit - self.line);
        self.line += kept;
        self.line_over += (text.len() - kept) as u64;
        if self.line_over > 0 {
            // A shorter character that comes later must not fill the gap.
            self.line = self.line_limit;
        }
        self.add(&text[..kept]);
    }

    /// The line is complete.
    pub(super) fn end_line(&mut self) {
        self.mark_line();
        self.line = 0;
        self.add("\n");
    }

    /// All is complete.
    pub(super) fn finish(&mut self) {
        self.mark_line();
        if self.over > 0 {
            self.out += &format!("\n[the output ends here: {} more bytes were left out]\n", self.over);
        }
    }

    /// What the consumer is to get.
    pub(super) fn take(&mut self) -> String {
        std::mem::take(&mut self.out)
    }

    /// The end of all text, of what was left out as a whole, too.
    pub(super) fn tail(&self) -> &str {
        let tail = self.tail.trim();
        &tail[tail.ceil_char_boundary(tail.len().saturating_sub(REASON_TAIL))..]
    }

    fn mark_line(&mut self) {
        let over = std::mem::take(&mut self.line_over);
        if over > 0 {
            self.add(&format!(" [{over} bytes of this line were left out]"));
        }
    }

    fn add(&mut self, text: &str) {
        self.tail += text;
        if self.tail.len() > 2 * REASON_TAIL {
            self.tail.drain(..self.tail.ceil_char_boundary(self.tail.len() - REASON_TAIL));
        }
        let kept = if self.over > 0 { 0 } else { text.floor_char_boundary(self.room) };
        self.out += &text[..kept];
        self.room -= kept;
        self.over += (text.len() - kept) as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(line: usize, total: usize, lines: &[&str]) -> String {
        let mut cut = Cut::new(line, total);
        for line in lines {
            // Each line in two pieces.
            let (one, two) = line.split_at(line.floor_char_boundary(line.len() / 2));
            cut.push(one.to_owned());
            cut.push(two.to_owned());
            cut.end_line();
        }
        cut.finish();
        cut.take()
    }

    #[test]
    fn a_long_line_is_cut_and_marked_and_the_next_one_is_whole() {
        let cut = " [4 bytes of this line were left out]";
        assert_eq!(lines(4, 1000, &["abcdefgh", "ijkl"]), format!("abcd{cut}\nijkl\n"));
        assert_eq!(lines(3, 1000, &["aäöx"]), "aä [3 bytes of this line were left out]\n");
    }

    #[test]
    fn all_together_is_cut_once_and_marked_at_the_end_with_what_is_missing() {
        let cut = "\n[the output ends here: 6 more bytes were left out]\n";
        assert_eq!(lines(10, 7, &["abcd", "efg", "hij"]), format!("abcd\nef{cut}"));
        assert_eq!(lines(10, 9, &["abcd", "efg"]), "abcd\nefg\n", "exactly as much as fits is whole");
    }

    #[test]
    fn the_end_is_known_although_it_was_left_out() {
        let mut cut = Cut::new(usize::MAX, 3);
        cut.push("x".repeat(3 * REASON_TAIL));
        cut.end_line();
        cut.push("what went wrong".to_owned());
        assert!(cut.tail().ends_with("x\nwhat went wrong"));
        assert_eq!(cut.tail().len(), REASON_TAIL);
    }
}
