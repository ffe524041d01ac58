//! The writing end of a journal.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use boocoder_model::Position;

use super::segment;
use crate::limits::JOURNAL_WRITE;
use crate::runner::record::{Entry, Record};
use crate::runner::state::State;

/// Writes a journal. It alone gives numbers.
pub(crate) struct Writer {
    dir: PathBuf,
    state: State,
    /// All segments that are there, the last one being written.
    segments: VecDeque<Segment>,
    file: Disk,
    /// The size from which on a new segment is begun.
    most: u64,
}

struct Segment {
    first: Position,
    bytes: u64,
}

impl Writer {
    /// Begins the journal of a new session in `dir`, with segments of about `most` bytes.
    pub(crate) fn create(dir: PathBuf, most: u64) -> io::Result<Self> {
        let state = State::default();
        let (file, bytes) = begin(&dir, &state)?;
        let first = state.last.next();
        Ok(Self { dir, state, segments: [Segment { first, bytes }].into(), file, most })
    }

    /// Where the session stands.
    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// The size of all that is there.
    pub(crate) fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// Writes the entries and takes out what it has written. After an error the rest is still to be written, and
    /// nothing torn is in the journal as soon as the next attempt begins.
    pub(crate) fn append(&mut self, entries: &mut VecDeque<Entry>) -> io::Result<()> {
        self.file.mend()?;
        while !entries.is_empty() {
            self.append_some(entries)?;
        }
        Ok(())
    }

    /// Writes as much as one write takes.
    fn append_some(&mut self, entries: &mut VecDeque<Entry>) -> io::Result<()> {
        let mut buffer = Vec::new();
        let mut n = self.state.last;
        let mut records = Vec::new();
        while let Some(entry) = entries.pop_front() {
            n = n.next();
            let record = Record { n, entry };
            buffer.extend(record.encode());
            records.push(record);
            if buffer.len() >= JOURNAL_WRITE {
                break;
            }
        }
        if let Err(error) = self.write(&buffer) {
            records.into_iter().rev().for_each(|record| entries.push_front(record.entry));
            return Err(error);
        }
        records.iter().for_each(|record| self.state.apply(record));
        Ok(())
    }

    fn write(&mut self, buffer: &[u8]) -> io::Result<()> {
        let bytes = buffer.len() as u64;
        let fits = |segment: &Segment| segment.first == self.state.last.next() || segment.bytes + bytes <= self.most;
        if !self.segments.back().is_some_and(fits) {
            let (file, bytes) = begin(&self.dir, &self.state)?;
            self.file.follow(file);
            self.segments.push_back(Segment { first: self.state.last.next(), bytes });
        }
        self.file.write(buffer)?;
        if let Some(segment) = self.segments.back_mut() {
            segment.bytes += bytes;
        }
        Ok(())
    }

    /// Removes the segments of which all records are acknowledged. The last one stays: it tells the state.
    pub(crate) fn forget(&mut self, acknowledged: Position) -> io::Result<()> {
        while let [oldest, next, ..] = self.segments.make_contiguous()
            && next.first <= acknowledged.next()
        {
            match fs::remove_file(segment(&self.dir, oldest.first)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => drop(self.segments.pop_front()),
            }
        }
        Ok(())
    }

    /// Lets the disk take only so many bytes more.
    #[cfg(test)]
    pub(super) fn limit_disk(&mut self, room: Option<usize>) {
        self.file.room = room;
    }
}

/// Begins a segment by the state so far. Says how large it is.
fn begin(dir: &std::path::Path, state: &State) -> io::Result<(Disk, u64)> {
    let path = segment(dir, state.last.next());
    let header = Record { n: state.last, entry: Entry::State(Box::new(state.clone())) }.encode();
    let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&path)?;
    let mut disk = Disk { file, bytes: 0, torn: false, room: None };
    if let Err(error) = disk.write(&header) {
        // It is begun anew with the next attempt.
        let _ = fs::remove_file(&path);
        return Err(error);
    }
    Ok((disk, header.len() as u64))
}

/// A file that is appended to in whole writes.
struct Disk {
    file: File,
    /// Its size in whole writes.
    bytes: u64,
    /// A write failed halfway.
    torn: bool,
    /// For tests: how many bytes it still takes.
    room: Option<usize>,
}

impl Disk {
    fn write(&mut self, buffer: &[u8]) -> io::Result<()> {
        self.mend()?;
        self.torn = true;
        if let Err(error) = self.write_all(buffer) {
            // If not now, then before the next write.
            let _ = self.mend();
            return Err(error);
        }
        self.torn = false;
        self.bytes += buffer.len() as u64;
        Ok(())
    }

    fn write_all(&mut self, buffer: &[u8]) -> io::Result<()> {
        let taken = self.room.map_or(buffer.len(), |room| room.min(buffer.len()));
        self.file.write_all(&buffer[..taken])?;
        self.room = self.room.map(|room| room - taken);
        if taken < buffer.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    /// Cuts off what a failed write has left.
    fn mend(&mut self) -> io::Result<()> {
        if self.torn {
            self.file.set_len(self.bytes)?;
            self.torn = false;
        }
        Ok(())
    }

    /// Goes on with the next file.
    fn follow(&mut self, next: Self) {
        *self = Self { room: self.room, ..next };
    }
}
