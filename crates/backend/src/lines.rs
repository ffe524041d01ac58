//! Lines from a pipe or a socket, each with a limit on its length.

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};

use crate::limits::READ_BUFFER;

/// A line buffer that grew past this many bytes is given back.
const KEPT_CAPACITY: usize = 64 * 1024;

/// One line, without its end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    /// A whole one.
    Whole(&'a [u8]),
    /// One that was longer than the limit: its beginning, and its length in bytes.
    TooLong {
        /// As much as the limit allows.
        head: &'a [u8],
        /// How long it was.
        bytes: u64,
    },
}

/// Splits a stream into lines.
pub(crate) struct Lines<R> {
    reader: BufReader<R>,
    line: Vec<u8>,
    limit: usize,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(crate) fn new(reader: R, limit: usize) -> Self {
        Self { reader: BufReader::with_capacity(READ_BUFFER, reader), line: Vec::new(), limit }
    }

    /// The next line, or none at the end of the stream. The last line needs no end.
    pub(crate) async fn next(&mut self) -> std::io::Result<Option<Line<'_>>> {
        self.line.clear();
        if self.line.capacity() > KEPT_CAPACITY {
            self.line = Vec::new();
        }
        let most = u64::try_from(self.limit).unwrap_or(u64::MAX - 1) + 1;
        if (&mut self.reader).take(most).read_until(b'\n', &mut self.line).await? == 0 {
            return Ok(None);
        }
        if self.line.len() > self.limit && !self.line.ends_with(b"\n") {
            let rest = skip_line(&mut self.reader).await?;
            let bytes = self.line.len() as u64 + rest;
            self.line.truncate(self.limit);
            return Ok(Some(Line::TooLong { head: &self.line, bytes }));
        }
        let line = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
        Ok(Some(Line::Whole(line.strip_suffix(b"\r").unwrap_or(line))))
    }
}

/// Reads past the end of the line. Says how many bytes it still had.
async fn skip_line(reader: &mut (impl AsyncBufRead + Unpin)) -> std::io::Result<u64> {
    let mut skipped = 0;
    loop {
        let buffer = reader.fill_buf().await?;
        if buffer.is_empty() {
            return Ok(skipped);
        }
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let (bytes, used) = end.map_or((buffer.len(), buffer.len()), |end| (end, end + 1));
        skipped += bytes as u64;
        reader.consume(used);
        if end.is_some() {
            return Ok(skipped);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lines(input: &[u8], limit: usize) -> Vec<String> {
        let mut lines = Lines::new(input, limit);
        let mut seen = Vec::new();
        while let Some(line) = lines.next().await.expect("a slice never fails") {
            seen.push(match line {
                Line::Whole(line) => String::from_utf8_lossy(line).into_owned(),
                Line::TooLong { head, bytes } => format!("{}… {bytes}", String::from_utf8_lossy(head)),
            });
        }
        seen
    }

    #[tokio::test]
    async fn lines_end_with_a_feed_or_with_the_stream() {
        assert_eq!(lines(b"one\ntwo\r\n\nlast", 10).await, ["one", "two", "", "last"]);
        assert!(lines(b"", 10).await.is_empty());
    }

    #[tokio::test]
    async fn a_line_over_the_limit_is_cut_and_the_next_one_is_whole() {
        assert_eq!(lines(b"0123456789\n01234\nx", 5).await, ["01234… 10", "01234", "x"]);
        assert_eq!(lines(b"0123456", 5).await, ["01234… 7"]);
    }

    #[tokio::test]
    async fn a_long_line_gives_its_memory_back() {
        let mut input = vec![b'x'; 1024 * 1024];
        input.extend_from_slice(b"\nshort\n");
        let mut lines = Lines::new(&input[..], 2 * 1024 * 1024);
        lines.next().await.expect("no error");
        assert_eq!(lines.next().await.expect("no error"), Some(Line::Whole(b"short")));
        assert!(lines.line.capacity() <= KEPT_CAPACITY);
    }
}
