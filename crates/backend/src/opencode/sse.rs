//! Server-sent events, cut out of a stream of bytes. Without I/O.
//!
//! Only their data is of use here: opencode puts all into it. Each byte is looked at once, however long an event is and
//! wherever the chunks end.

/// Takes bytes, gives the data of whole events.
#[derive(Debug, Default)]
pub(super) struct Events {
    /// The line that has begun.
    line: Vec<u8>,
    /// The data of the event that has begun.
    data: Vec<u8>,
    has_data: bool,
}

/// An event is longer than may be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

impl Events {
    /// Takes a chunk, and gives the events that end in it. None may be longer than `most` bytes.
    pub(super) fn push(&mut self, chunk: &[u8], most: usize) -> Result<Vec<String>, TooLong> {
        let mut events = Vec::new();
        for part in chunk.split_inclusive(|byte| *byte == b'\n') {
            if self.line.len() + self.data.len() + part.len() > most {
                return Err(TooLong);
            }
            self.line.extend_from_slice(part);
            if part.ends_with(b"\n") {
                events.extend(self.end_line());
            }
        }
        Ok(events)
    }

    fn end_line(&mut self) -> Option<String> {
        let line = std::mem::take(&mut self.line);
        let line = line.strip_suffix(b"\n").unwrap_or(&line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            let data = std::mem::take(&mut self.data);
            return std::mem::take(&mut self.has_data).then(|| String::from_utf8_lossy(&data).into_owned());
        }
        if let Some(data) = line.strip_prefix(b"data:") {
            if self.has_data {
                self.data.push(b'\n');
            }
            self.has_data = true;
            self.data.extend_from_slice(data.strip_prefix(b" ").unwrap_or(data));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(chunks: &[&[u8]]) -> Vec<String> {
        let mut events = Events::default();
        chunks.iter().flat_map(|chunk| events.push(chunk, 1000).expect("short")).collect()
    }

    #[test]
    fn data_is_read_whatever_stands_around_it() {
        let text = b"event: x\nid: 1\ndata: {\"a\":1}\n\n: a comment\n\ndata:two\r\ndata: lines\r\n\r\ndata\n\ndata: unfinished";
        assert_eq!(all(&[text]), ["{\"a\":1}", "two\nlines"]);
    }

    #[test]
    fn an_event_that_is_too_long_is_an_error_also_when_it_has_many_lines() {
        let mut events = Events::default();
        assert_eq!(events.push(b"data: 123456\ndata: 123456\n", 40), Ok(vec![]));
        assert_eq!(events.push(b"data: 123456789012345678901234567890\n", 40), Err(TooLong));
    }

    proptest! {
        #[test]
        fn chunks_make_no_difference(
            lines in prop::collection::vec(prop::sample::select(vec!["data: a", "data: ß", "", "", "id: 1", "data:", ": x"]), 0..12),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let text = lines.iter().flat_map(|line| [line.as_bytes(), b"\n"].concat()).collect::<Vec<u8>>();
            let mut at: Vec<_> = cuts.iter().map(|cut| cut.index(text.len() + 1)).chain([0, text.len()]).collect();
            at.sort_unstable();
            let chunks: Vec<_> = at.windows(2).map(|border| &text[border[0]..border[1]]).collect();
            prop_assert_eq!(all(&chunks), all(&[&text]));
        }
    }
}
