//! The rules that every engine enforces, in the words that callers read.

use boocoder_model::{DecidedBy, Interaction, InteractionOutcome};

use crate::StoreError;

pub(crate) const ABSENT: &str = "there is none with this id";
pub(crate) const ID_TAKEN: &str = "its id is taken";
pub(crate) const PATH_TAKEN: &str = "there is one at this path already";
pub(crate) const REQUEST_TAKEN: &str = "this request was made already";
pub(crate) const NO_PROJECT: &str = "its project is not there";
pub(crate) const NO_SESSION: &str = "its session is not there";
pub(crate) const NO_CHAT: &str = "its chat is not there";
pub(crate) const NO_TASK: &str = "its task is not there";
pub(crate) const NO_TURN: &str = "its turn is not there";
pub(crate) const NO_MESSAGE: &str = "its message is not there";
pub(crate) const NO_WORKTREE: &str = "its worktree is not there";
pub(crate) const OTHER_SESSION: &str = "its chat is of another session";
pub(crate) const GONE: &str = "its session or its chat is not there or was removed";
pub(crate) const CHAT_BUSY: &str = "another task of its chat is running";
pub(crate) const HAS_RUNNER: &str = "its chat has one for this agent already";
pub(crate) const HAS_WORKTREE: &str = "its session or its task has one already";
pub(crate) const ONE_OWNER: &str = "it belongs either to a session or to a task";
pub(crate) const SEQ: &str = "the numbers do not follow on from the last one";
pub(crate) const BEYOND: &str = "it is not there, or its log ends before";
pub(crate) const ENDED: &str = "it is not there, or it has ended";
pub(crate) const ALIVE: &str = "its lease has not ended, or another one has taken over already";
pub(crate) const REVISED: &str = "it was revised in the meantime";
pub(crate) const PASSED: &str = "it is not there, it has ended, or more of its journal was taken in already";

/// The change does not fit the state.
pub(crate) fn conflict(what: &'static str, detail: impl Into<String>) -> StoreError {
    StoreError::Conflict { what, detail: detail.into() }
}

/// It is not in the state that it should be in.
pub(crate) fn found_in(state: &str) -> String {
    format!("it is {state}")
}

/// It was settled before.
pub(crate) fn already_settled(outcome: &InteractionOutcome, decided_by: DecidedBy) -> String {
    format!("already settled: {} by {decided_by}", outcome.as_str())
}

/// An interaction opens unsettled, since settling it is a change of its own.
pub(crate) fn opens(interaction: &Interaction) -> Result<(), StoreError> {
    match &interaction.settled {
        None => Ok(()),
        Some((outcome, decided_by)) => Err(conflict("interaction", already_settled(outcome, *decided_by))),
    }
}
