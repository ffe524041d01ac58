//! The reading end of a journal, from any position, while it is written or long after.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use boocoder_model::Position;

use super::{JournalError, segment, segments};
use crate::limits::READ_BUFFER;
use crate::runner::record::{Entry, Record};
use crate::runner::state::State;

/// Reads the records after a position, in order and without a hole.
pub(crate) struct Reader {
    dir: PathBuf,
    /// The last record read or passed over.
    last: Position,
    /// The first record of the segment that is being read.
    first: Position,
    file: File,
    /// How far whole lines of it have been read.
    offset: u64,
}

impl Reader {
    /// Stands after the record `after`. None if nothing is there.
    pub(crate) fn open(dir: &Path, after: Position) -> Result<Option<Self>, JournalError> {
        let all = segments(dir)?;
        let Some(oldest) = all.first() else { return Ok(None) };
        let wanted = after.next();
        let Some(first) = all.iter().copied().rfind(|first| *first <= wanted) else {
            return Err(JournalError::Gap { expected: wanted, found: *oldest });
        };
        let file = open(dir, first)?;
        let mut reader = Self { dir: dir.to_owned(), last: Position(first.0 - 1), first, file, offset: 0 };
        reader.pass(after)?;
        Ok(Some(reader))
    }

    /// The last record that was read.
    pub(crate) fn last(&self) -> Position {
        self.last
    }

    /// Reads on: to the record `upto` if it is told, else to the end, which a torn line is, too; and not much more than
    /// `most` bytes at a time. Whoever reads what is still being written tells how far, since behind that a failed
    /// write may stand, to be cut off again. At the end there is nothing; before a record that is
    /// told, that is an error.
    pub(crate) fn read(&mut self, upto: Option<Position>, most: u64) -> Result<Vec<Record>, JournalError> {
        let mut records = Vec::new();
        let begun = self.offset;
        self.lines(
            |last| upto.is_none_or(|upto| last < upto),
            |path, line, bytes| {
                let record =
                    Record::decode(line).map_err(|source| JournalError::Corrupt { path: path.to_owned(), source })?;
                let n = record.n;
                if !matches!(record.entry, Entry::State(_)) {
                    records.push(record);
                }
                // A segment's beginning alone is not enough: nothing is what is read at the end.
                Ok((n, records.is_empty() || bytes.saturating_sub(begun) < most))
            },
        )?;
        if !records.is_empty() || upto.is_some_and(|upto| self.last >= upto) {
            return Ok(records);
        }
        if self.step()? {
            return self.read(upto, most);
        }
        match upto {
            Some(written) => Err(JournalError::Short { written, last: self.last }),
            None => Ok(records),
        }
    }

    /// Passes over the records up to `after`, if they are there yet.
    fn pass(&mut self, after: Position) -> Result<(), JournalError> {
        self.lines(
            |last| last < after,
            |path, line, _| {
                let n =
                    Record::number(line).map_err(|source| JournalError::Corrupt { path: path.to_owned(), source })?;
                Ok((n, true))
            },
        )
    }

    /// Goes through whole lines while `wanted` says so of the last record, and `take` of the line, by its number and
    /// whether to go on.
    fn lines(
        &mut self,
        wanted: impl Fn(Position) -> bool,
        mut take: impl FnMut(&Path, &[u8], u64) -> Result<(Position, bool), JournalError>,
    ) -> Result<(), JournalError> {
        let path = segment(&self.dir, self.first);
        let io = |source| JournalError::Io { path: path.clone(), source };
        self.file.seek(SeekFrom::Start(self.offset)).map_err(io)?;
        let mut lines = BufReader::with_capacity(READ_BUFFER, &self.file);
        let mut line = Vec::new();
        let mut on = true;
        while on && wanted(self.last) {
            line.clear();
            let bytes = lines.read_until(b'\n', &mut line).map_err(io)? as u64;
            let Some(text) = line.strip_suffix(b"\n") else { break };
            let is_header = self.offset == 0;
            let n;
            (n, on) = take(&path, text, self.offset + bytes)?;
            let expected = if is_header { self.last } else { self.last.next() };
            if n != expected {
                return Err(JournalError::Gap { expected, found: n });
            }
            (self.last, self.offset) = (n, self.offset + bytes);
        }
        Ok(())
    }

    /// Goes on to the next segment, if there is one. That the one before has been read to its end then is certain:
    /// nothing is written to it any more, and the next one begins with what is missing.
    fn step(&mut self) -> Result<bool, JournalError> {
        let next = self.last.next();
        if next == self.first {
            return Ok(false);
        }
        match File::open(segment(&self.dir, next)) {
            Ok(file) => {
                (self.first, self.file, self.offset) = (next, file, 0);
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(source) => Err(JournalError::Io { path: segment(&self.dir, next), source }),
        }
    }
}

/// Where the session stands, by the last segment that has its beginning. None if nothing is there.
pub(crate) fn read_state(dir: &Path) -> Result<Option<State>, JournalError> {
    for first in segments(dir)?.into_iter().rev() {
        let path = segment(dir, first);
        let io = |source| JournalError::Io { path: path.clone(), source };
        let mut lines = BufReader::with_capacity(READ_BUFFER, open(dir, first)?);
        let mut state = State::default();
        let mut line = Vec::new();
        let mut seen = false;
        while lines.read_until(b'\n', &mut line).map_err(io)? > 0 && line.ends_with(b"\n") {
            let record = Record::decode(line.trim_ascii_end())
                .map_err(|source| JournalError::Corrupt { path: path.clone(), source })?;
            state.apply(&record);
            seen = true;
            line.clear();
        }
        if seen {
            return Ok(Some(state));
        }
    }
    Ok(None)
}

fn open(dir: &Path, first: Position) -> Result<File, JournalError> {
    let path = segment(dir, first);
    File::open(&path).map_err(|source| JournalError::Io { path, source })
}
