//! Steps that a turn cannot take.

use boocoder_model::TurnId;

/// A command that does not fit the guard's phase. The guard is as it was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GuardError {
    /// A turn was begun while another one runs.
    #[error("turn {running} is still running: wait for its end or cancel it before beginning turn {begun}")]
    StillRunning {
        /// The turn that runs.
        running: TurnId,
        /// The turn that was to begin.
        begun: TurnId,
    },
    /// There is no turn to cancel.
    #[error("no turn is running: there is nothing to cancel")]
    NothingToCancel,
}
