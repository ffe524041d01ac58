//! Decides what the mock model answers to a request, before anything is written.

use std::time::Duration;

use crate::limits;
use crate::llm::protocol::{Chat, Refusal};
use crate::llm::script::{self, Step};
use crate::llm::tools::{self, Call};

/// What every side call of an agent is answered.
const SIDE_ANSWER: &str = "Mock side answer";
/// What is said when a script has nothing left to say, for an empty answer makes agents ask again.
const CLOSING: &str = "Done.";

/// A part of an answer.
#[derive(Debug, PartialEq)]
pub(crate) enum Part {
    /// Text in chunks, with a pause before each.
    Text { chunks: Vec<String>, pace: Duration },
    /// Reasoning in chunks.
    Reasoning { chunks: Vec<String> },
    /// A tool call, always the last part.
    Call(Call),
    /// An error in place of the rest.
    Error(Refusal),
    /// Silence for so long in place of the rest.
    Silence(Duration),
}

impl Part {
    fn text(text: &str) -> Self {
        Self::Text { chunks: words(text), pace: Duration::ZERO }
    }

    /// The tokens that this part counts for.
    pub(crate) fn tokens(&self) -> u64 {
        let chunks = match self {
            Self::Text { chunks, .. } | Self::Reasoning { chunks } => chunks.len(),
            Self::Call(_) => 1,
            Self::Error(_) | Self::Silence(_) => 0,
        };
        chunks as u64
    }
}

/// The parts of the answer to `chat`, never none.
pub(crate) fn plan(chat: &Chat) -> Result<Vec<Part>, Refusal> {
    if chat.tools.is_empty() {
        return Ok(vec![Part::text(SIDE_ANSWER)]);
    }
    let Some(steps) = script::parse(&chat.user_words)? else {
        let Chat { user_words, user_messages, .. } = chat;
        return Ok(vec![Part::text(&format!("You said: {user_words} (user message {user_messages})"))]);
    };
    let mut parts = Vec::new();
    for step in current(&steps, chat.tool_rounds) {
        parts.push(match step {
            Step::Text(text) => Part::text(text),
            Step::Reason(text) => Part::Reasoning { chunks: words(text) },
            Step::Slow { pace, chunks } => {
                Part::Text { chunks: (1..=*chunks).map(|n| format!("{n} ")).collect(), pace: *pace }
            }
            Step::Write { .. } | Step::Shell { .. } => match tools::choose(step, &chat.tools)? {
                Some(call) => Part::Call(call),
                None => continue,
            },
            Step::Error { status } => Part::Error(Refusal { status: *status, message: format!("mock error {status}") }),
            Step::Hang => Part::Silence(limits::HANG),
        });
    }
    if parts.iter().all(|part| matches!(part, Part::Reasoning { .. })) {
        parts.push(Part::text(CLOSING));
    }
    Ok(parts)
}

/// The steps from after the last tool that has been called up to the next tool call.
fn current(steps: &[Step], tool_rounds: usize) -> &[Step] {
    let calls: Vec<usize> = (0..steps.len()).filter(|&index| steps[index].calls_tool()).collect();
    let start = match tool_rounds.checked_sub(1) {
        None => 0,
        Some(last) => calls.get(last).map_or(steps.len(), |call| call + 1),
    };
    let end = calls.get(tool_rounds).map_or(steps.len(), |call| call + 1);
    &steps[start..end]
}

/// The words of a text, each with the white space that follows it.
fn words(text: &str) -> Vec<String> {
    text.split_inclusive(char::is_whitespace).map(str::to_owned).collect()
}
