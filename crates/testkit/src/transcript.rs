//! Recorded conversations with agents: one JSON object a line, `{"t": seconds, "dir": who, "msg": …}`.
//!
//! A line that carries no message (something on stderr, a remark of the recorder) has `text` in its place, and an event
//! of an HTTP event stream has `ev`.

use std::path::Path;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::TestkitError;

/// Who a recorded line came from and went to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Direction {
    /// The client wrote it to the agent's stdin.
    C2a,
    /// The agent wrote it to its stdout.
    A2c,
    /// The agent wrote something to its stdout that is not JSON.
    Noise,
    /// The agent wrote it to its stderr.
    Stderr,
    /// A remark of the recorder.
    Note,
    /// An HTTP request to the agent's server.
    C2s,
    /// The server's answer to an HTTP request.
    S2c,
    /// An event of the server's event stream.
    Sse,
}

/// One recorded line.
#[derive(Debug, Deserialize)]
pub struct Entry {
    /// Seconds since the recording began.
    #[serde(rename = "t")]
    pub seconds: f64,
    /// Who it came from and went to.
    #[serde(rename = "dir")]
    pub direction: Direction,
    /// The message in its very text, where the line carries one.
    #[serde(rename = "msg", alias = "ev")]
    pub message: Option<Box<RawValue>>,
    /// What was written, where that is not a message.
    pub text: Option<String>,
}

/// A whole recording in its order.
#[derive(Debug)]
pub struct Transcript {
    /// The recorded lines.
    pub entries: Vec<Entry>,
}

#[derive(Deserialize)]
struct Notification<'a> {
    method: Option<&'a str>,
    #[serde(borrow)]
    params: Option<Params<'a>>,
}

#[derive(Deserialize)]
struct Params<'a> {
    #[serde(borrow)]
    update: Option<&'a RawValue>,
}

impl Transcript {
    /// Reads a recording.
    ///
    /// # Errors
    /// [`TestkitError::Io`] when the file cannot be read, [`TestkitError::Json`] naming the line that is not of the form
    /// above.
    pub fn read(path: &Path) -> Result<Self, TestkitError> {
        let text = std::fs::read_to_string(path).map_err(TestkitError::path("read", path))?;
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let entries = lines.map(|(index, line)| {
            serde_json::from_str(line).map_err(|source| TestkitError::Json {
                what: format!("line {} of {}", index + 1, path.display()),
                source,
            })
        });
        Ok(Self { entries: entries.collect::<Result<_, _>>()? })
    }

    /// The `update` of every ACP `session/update` that the agent sent, each in its very text and in order.
    pub fn updates(&self) -> impl Iterator<Item = &RawValue> {
        let from_agent = self.entries.iter().filter(|entry| entry.direction == Direction::A2c);
        from_agent.filter_map(|entry| {
            let notification: Notification<'_> = serde_json::from_str(entry.message.as_deref()?.get()).ok()?;
            notification.params.filter(|_| notification.method == Some("session/update"))?.update
        })
    }
}
