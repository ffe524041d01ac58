//! The JSON lines that known command lines print, as agent events.
//!
//! A mapper takes one line after the other and never fails: what it does not know becomes `Unmapped`, whole. Lines that
//! only frame others (`turn.started`, the scaffold of a streamed message) become nothing. It remembers what later lines
//! refer to, and what was said of the end.

mod calls;
mod claude;
mod codex;
#[cfg(test)]
mod tests;
mod value;

use boocoder_model::{AgentEvent, TurnOutcome};

use self::claude::Claude;
use self::codex::Codex;
use self::value::Json;
use crate::OutputForm;

/// Maps the lines of one process.
pub(super) enum Mapper {
    Claude(Box<Claude>),
    Codex(Box<Codex>),
}

impl Mapper {
    /// A mapper of lines of this form, if they are JSON.
    pub(super) fn of(form: OutputForm) -> Option<Self> {
        match form {
            OutputForm::Text => None,
            OutputForm::ClaudeJson => Some(Self::Claude(Box::default())),
            OutputForm::CodexJson => Some(Self::Codex(Box::default())),
        }
    }

    /// The events of a line, or none of a line that is no JSON object.
    pub(super) fn read(&mut self, line: &str) -> Option<Vec<AgentEvent>> {
        let line = Json::object(line)?;
        let before = self.session_id().map(str::to_owned);
        let events = match self {
            Self::Claude(claude) => claude.read(line),
            Self::Codex(codex) => codex.read(line),
        };
        if let Some(session) = self.session_id().filter(|session| before.as_deref() != Some(session)) {
            tracing::debug!(session, "a command line told its session");
        }
        Some(events)
    }

    /// How the turn ended, if a line has said so.
    pub(super) fn outcome(&self) -> Option<TurnOutcome> {
        match self {
            Self::Claude(claude) => claude.outcome(),
            Self::Codex(codex) => codex.outcome(),
        }
    }

    /// The last trouble that it told of.
    pub(super) fn trouble(&self) -> Option<&str> {
        match self {
            Self::Claude(_) => None,
            Self::Codex(codex) => codex.trouble(),
        }
    }

    /// The agent's own id for its session, if a line has told it.
    pub(super) fn session_id(&self) -> Option<&str> {
        match self {
            Self::Claude(claude) => claude.session_id(),
            Self::Codex(codex) => codex.session_id(),
        }
    }

    /// Tool calls that have not ended will not any more: their last snapshots.
    pub(super) fn cancel_running(&mut self) -> Vec<AgentEvent> {
        match self {
            Self::Claude(claude) => claude.calls.cancel_running(),
            Self::Codex(codex) => codex.calls.cancel_running(),
        }
    }
}
