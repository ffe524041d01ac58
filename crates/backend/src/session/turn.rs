//! The state of the one turn that may run, as a machine without clocks or pipes.
//!
//! Commands change it (`begin`, `cancel`), inputs move it (`handle_*`), and `poll_timeout` says when it wants to be
//! asked again. What to do about a step is the session's business.

use std::time::{Duration, Instant};

use boocoder_model::{DecidedBy, TurnId, TurnOutcome};

/// Where a turn stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TurnPhase {
    /// No turn.
    Idle,
    /// The model, the mode or the thinking level is being set; the prompt has not been sent.
    Preparing {
        /// The turn.
        turn: TurnId,
        /// When the agent has to have answered.
        until: Instant,
    },
    /// The prompt is with the agent.
    Running {
        /// The turn.
        turn: TurnId,
        /// The last sign of life.
        heard: Instant,
    },
    /// It was cancelled, and the agent has not acknowledged it yet. The outcome stands, whatever the agent answers.
    Cancelling {
        /// The turn.
        turn: TurnId,
        /// How it ends.
        outcome: TurnOutcome,
        /// When the agent has to have answered.
        until: Instant,
    },
}

/// What a limit that ran out means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overdue {
    /// The agent did not answer a control request.
    Control,
    /// The agent gave no sign of life.
    Silence,
    /// The agent did not answer a cancellation.
    Cancel,
}

/// The one turn that may run.
#[derive(Debug)]
pub(crate) struct Turn {
    phase: TurnPhase,
    silence: Duration,
    cancel: Duration,
    control: Duration,
}

impl Turn {
    /// No turn yet. The limits are those of the agent.
    pub(crate) fn new(limits: &crate::Limits) -> Self {
        Self { phase: TurnPhase::Idle, silence: limits.silence, cancel: limits.cancel, control: limits.control }
    }

    /// The turn, if there is one.
    pub(crate) fn current(&self) -> Option<TurnId> {
        match self.phase {
            TurnPhase::Idle => None,
            TurnPhase::Preparing { turn, .. }
            | TurnPhase::Running { turn, .. }
            | TurnPhase::Cancelling { turn, .. } => Some(turn),
        }
    }

    /// Whether it has been cancelled.
    pub(crate) fn is_cancelling(&self) -> bool {
        matches!(self.phase, TurnPhase::Cancelling { .. })
    }

    /// Begins a turn, unless one is there already.
    pub(crate) fn begin(&mut self, turn: TurnId, now: Instant) -> bool {
        let idle = self.phase == TurnPhase::Idle;
        if idle {
            self.phase = TurnPhase::Preparing { turn, until: now + self.control };
        }
        idle
    }

    /// Takes back a turn that never came to its prompt.
    pub(crate) fn abandon(&mut self) {
        self.phase = TurnPhase::Idle;
    }

    /// Cancels the turn with the outcome that it will have. False if it is not there or cancelled already.
    pub(crate) fn cancel(&mut self, turn: TurnId, outcome: TurnOutcome, now: Instant) -> bool {
        let running = self.current() == Some(turn) && !self.is_cancelling();
        if running {
            self.phase = TurnPhase::Cancelling { turn, outcome, until: now + self.cancel };
        }
        running
    }

    /// A control request was answered, and another follows or the prompt was sent.
    pub(crate) fn handle_prepared(&mut self, prompt_sent: bool, now: Instant) {
        if let TurnPhase::Preparing { turn, .. } = self.phase {
            self.phase = if prompt_sent {
                TurnPhase::Running { turn, heard: now }
            } else {
                TurnPhase::Preparing { turn, until: now + self.control }
            };
        }
    }

    /// The agent gave a sign of life, or was kept from giving one.
    pub(crate) fn handle_activity(&mut self, now: Instant) {
        if let TurnPhase::Running { heard, .. } = &mut self.phase {
            *heard = now;
        }
    }

    /// The agent was not listened to for this long, which is not its fault.
    pub(crate) fn handle_stall(&mut self, lasted: Duration) {
        match &mut self.phase {
            TurnPhase::Idle => {}
            TurnPhase::Running { heard: since, .. }
            | TurnPhase::Preparing { until: since, .. }
            | TurnPhase::Cancelling { until: since, .. } => *since += lasted,
        }
    }

    /// The turn ends, by the agent's answer or by its death; a cancelled turn keeps the outcome of its cancellation.
    pub(crate) fn handle_end(&mut self, outcome: impl FnOnce() -> TurnOutcome) -> Option<(TurnId, TurnOutcome)> {
        match std::mem::replace(&mut self.phase, TurnPhase::Idle) {
            TurnPhase::Idle => None,
            TurnPhase::Preparing { turn, .. } | TurnPhase::Running { turn, .. } => Some((turn, outcome())),
            TurnPhase::Cancelling { turn, outcome, .. } => Some((turn, outcome)),
        }
    }

    /// Which limit has run out, if one has. `busy` suspends the limit on silence: a tool runs or a question is open.
    pub(crate) fn handle_timeout(&self, now: Instant, busy: bool) -> Option<Overdue> {
        if self.poll_timeout(busy)? > now {
            return None;
        }
        match self.phase {
            TurnPhase::Idle => None,
            TurnPhase::Preparing { .. } => Some(Overdue::Control),
            TurnPhase::Running { .. } => Some(Overdue::Silence),
            TurnPhase::Cancelling { .. } => Some(Overdue::Cancel),
        }
    }

    /// When to call [`Self::handle_timeout`].
    pub(crate) fn poll_timeout(&self, busy: bool) -> Option<Instant> {
        match self.phase {
            TurnPhase::Idle => None,
            TurnPhase::Preparing { until, .. } | TurnPhase::Cancelling { until, .. } => Some(until),
            TurnPhase::Running { heard, .. } => (!busy).then(|| heard + self.silence),
        }
    }

    /// The outcome of a turn without a sign of life.
    pub(crate) fn silent(&self) -> TurnOutcome {
        TurnOutcome::failed(DecidedBy::Watchdog, format!("the agent gave no sign of life for {:?}", self.silence))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limits;
    use boocoder_model::{StopReason, TurnStatus};
    use uuid::Uuid;

    const ONE: TurnId = TurnId::from_uuid(Uuid::from_u128(1));
    const TWO: TurnId = TurnId::from_uuid(Uuid::from_u128(2));

    fn second(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[expect(clippy::disallowed_methods, reason = "an Instant can only be made by the clock; all others are relative")]
    fn start() -> Instant {
        Instant::now()
    }

    fn turn() -> Turn {
        let limits = Limits { silence: second(10), cancel: second(3), control: second(2), ..Limits::default() };
        Turn::new(&limits)
    }

    fn running(now: Instant) -> Turn {
        let mut turn = turn();
        assert!(turn.begin(ONE, now));
        turn.handle_prepared(true, now);
        turn
    }

    fn done() -> TurnOutcome {
        TurnOutcome::stopped(&StopReason::EndTurn)
    }

    #[test]
    fn one_turn_at_a_time() {
        let now = start();
        let mut turn = running(now);
        assert!(!turn.begin(TWO, now));
        assert_eq!(turn.handle_end(done), Some((ONE, done())));
        assert_eq!(turn.handle_end(done), None, "it ends once");
        assert!(turn.begin(TWO, now));
    }

    #[test]
    fn a_cancelled_turn_keeps_its_outcome_whatever_the_agent_answers() {
        let now = start();
        let mut turn = running(now);
        let cancelled = TurnOutcome::cancelled(DecidedBy::User, "stop");
        assert!(turn.cancel(ONE, cancelled.clone(), now));
        assert!(!turn.cancel(ONE, TurnOutcome::cancelled(DecidedBy::Policy, "again"), now), "the first one counts");
        assert_eq!(turn.handle_end(done), Some((ONE, cancelled)));
    }

    #[test]
    fn only_the_turn_that_runs_is_cancelled() {
        let now = start();
        let outcome = || TurnOutcome::cancelled(DecidedBy::User, "stop");
        assert!(!turn().cancel(ONE, outcome(), now));
        assert!(!running(now).cancel(TWO, outcome(), now));
        let mut preparing = turn();
        preparing.begin(ONE, now);
        assert!(preparing.cancel(ONE, outcome(), now));
    }

    #[test]
    fn silence_is_measured_from_the_last_sign_of_life_and_not_while_the_agent_is_busy() {
        let now = start();
        let mut turn = running(now);
        assert_eq!(turn.poll_timeout(false), Some(now + second(10)));
        turn.handle_activity(now + second(5));
        assert_eq!(turn.handle_timeout(now + second(14), false), None);
        assert_eq!(turn.handle_timeout(now + second(15), false), Some(Overdue::Silence));
        assert_eq!(turn.handle_timeout(now + second(99), true), None);
        assert_eq!(turn.silent().status, TurnStatus::Failed);
    }

    #[test]
    fn a_control_request_and_a_cancellation_have_limits_even_while_busy() {
        let now = start();
        let mut turn = turn();
        turn.begin(ONE, now);
        assert_eq!(turn.handle_timeout(now + second(2), true), Some(Overdue::Control));
        turn.handle_prepared(false, now + second(1));
        assert_eq!(turn.handle_timeout(now + second(2), true), None, "each request has its own limit");
        turn.cancel(ONE, TurnOutcome::cancelled(DecidedBy::User, "stop"), now + second(4));
        assert_eq!(turn.handle_timeout(now + second(6), true), None);
        assert_eq!(turn.handle_timeout(now + second(7), true), Some(Overdue::Cancel));
    }

    #[test]
    fn signs_of_life_do_not_prolong_a_cancellation() {
        let now = start();
        let mut turn = running(now);
        turn.cancel(ONE, TurnOutcome::cancelled(DecidedBy::User, "stop"), now);
        turn.handle_activity(now + second(2));
        assert_eq!(turn.poll_timeout(false), Some(now + second(3)));
    }

    #[test]
    fn the_agent_is_not_blamed_for_the_time_in_which_nobody_listened() {
        let now = start();
        let mut turn = running(now);
        turn.handle_stall(second(100));
        assert_eq!(turn.poll_timeout(false), Some(now + second(110)));
        turn.cancel(ONE, TurnOutcome::cancelled(DecidedBy::User, "stop"), now);
        turn.handle_stall(second(5));
        assert_eq!(turn.poll_timeout(false), Some(now + second(8)));
    }

    #[test]
    fn a_turn_that_never_came_to_its_prompt_leaves_nothing_behind() {
        let now = start();
        let mut turn = turn();
        turn.begin(ONE, now);
        turn.abandon();
        assert_eq!((turn.current(), turn.poll_timeout(false)), (None, None));
        assert_eq!(turn.phase, TurnPhase::Idle);
    }
}
