//! What the mock model remembers of the requests that it got.

use std::collections::VecDeque;

use serde_json::Value;

use crate::limits;

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ending {
    /// It is being answered.
    Open,
    /// The whole answer was written.
    Complete,
    /// It was answered with this HTTP status and an error, as the script said or because it broke the protocol.
    Refused(u16),
    /// The client closed the connection before the answer was whole.
    DroppedByClient,
    /// The server was dropped before the answer was whole.
    Stopped,
}

/// One request as it came in.
#[derive(Clone, Debug)]
pub struct RecordedRequest {
    /// Counts the requests of this server from 0.
    pub number: u64,
    /// The path without its query.
    pub path: String,
    /// The body; a string if it was no JSON, null if there was none.
    pub body: Value,
    /// How it ended.
    pub ending: Ending,
}

impl RecordedRequest {
    /// Whether it was sent by the agent for its own ends, which shows in that it offers no tools.
    #[must_use]
    pub fn is_side_call(&self) -> bool {
        self.body.get("tools").and_then(Value::as_array).is_none_or(Vec::is_empty)
    }
}

/// Tokens as the mock model counts them: four bytes of a prompt are one, a chunk of an answer is one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenUsage {
    /// Tokens read.
    pub prompt_tokens: u64,
    /// Tokens written.
    pub completion_tokens: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Log {
    next: u64,
    requests: VecDeque<RecordedRequest>,
    usage: TokenUsage,
}

impl Log {
    pub(crate) fn begin(&mut self, path: &str, body: Value) -> u64 {
        let number = self.next;
        self.next += 1;
        if self.requests.len() == limits::MAX_RECORDED {
            self.requests.pop_front();
        }
        self.requests.push_back(RecordedRequest { number, path: path.to_owned(), body, ending: Ending::Open });
        number
    }

    pub(crate) fn end(&mut self, number: u64, ending: Ending) {
        if let Some(request) = self.requests.iter_mut().find(|request| request.number == number) {
            request.ending = ending;
        }
    }

    pub(crate) fn report(&mut self, usage: TokenUsage) {
        self.usage.prompt_tokens += usage.prompt_tokens;
        self.usage.completion_tokens += usage.completion_tokens;
    }

    pub(crate) fn requests(&self) -> Vec<RecordedRequest> {
        self.requests.iter().cloned().collect()
    }

    pub(crate) fn usage(&self) -> TokenUsage {
        self.usage
    }
}
