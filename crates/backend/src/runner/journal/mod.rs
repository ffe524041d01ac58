//! The journal: a row of files of bounded size, written by the runner and read by the server.
//!
//! Each segment is named by the first record in it and begins with the state before that record. A batch is one write.
//! Nothing is synced: what was written survives the death of the process, and when the machine dies the agent is gone
//! anyway.

mod reader;
mod writer;

use std::io;
use std::path::{Path, PathBuf};

use boocoder_model::Position;

pub(crate) use self::reader::{Reader, read_state};
pub(crate) use self::writer::Writer;

/// Why a journal cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JournalError {
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{}: {source}", path.display())]
    Corrupt { path: PathBuf, source: serde_json::Error },
    #[error("record {expected} was expected, and {found} is there")]
    Gap { expected: Position, found: Position },
    #[error("record {written} was written, and nothing is there behind record {last}")]
    Short { written: Position, last: Position },
}

/// The file whose first record is `first`.
fn segment(dir: &Path, first: Position) -> PathBuf {
    dir.join(format!("journal-{:020}.ndjson", first.0))
}

/// The first records of all segments, in order.
fn segments(dir: &Path) -> Result<Vec<Position>, JournalError> {
    let entries = match dir.read_dir() {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(JournalError::Io { path: dir.to_owned(), source }),
    };
    let first = |name: &str| name.strip_prefix("journal-")?.strip_suffix(".ndjson")?.parse().ok().map(Position);
    let mut all: Vec<_> = entries.flatten().filter_map(|entry| first(entry.file_name().to_str()?)).collect();
    all.sort_unstable();
    Ok(all)
}

#[cfg(test)]
mod tests;
