//! The guard itself: commands, inputs, and the one timer.

use std::time::Duration;

use boocoder_model::{AgentEvent, TurnId};

use crate::{Ending, GuardError, Limits, Orphans, TurnKey, TurnPhase, Verdict};

/// Tells the events of one agent session apart by turn.
///
/// `now` is the time since any fixed point; it is only compared with earlier values of itself.
#[derive(Clone, Debug)]
pub struct TurnGuard {
    limits: Limits,
    phase: TurnPhase,
}

impl TurnGuard {
    /// A guard of a session in which no turn has run.
    pub fn new(limits: Limits) -> Self {
        Self { limits, phase: TurnPhase::Idle { orphans: Orphans::default() } }
    }

    /// Where the session is.
    pub fn phase(&self) -> &TurnPhase {
        &self.phase
    }

    /// A turn begins. `key` is what the wire will call it, where the wire does so.
    ///
    /// A turn that was cancelled and has not ended is given up: the caller has settled it, and the end that it may still
    /// send is a leftover.
    ///
    /// # Errors
    ///
    /// [`GuardError::StillRunning`] if a turn runs that nobody cancelled.
    pub fn begin(&mut self, turn: TurnId, key: Option<TurnKey>, now: Duration) -> Result<(), GuardError> {
        match self.phase {
            TurnPhase::Running { turn: running, .. } => {
                return Err(GuardError::StillRunning { running, begun: turn });
            }
            TurnPhase::Cancelling { .. } => self.expect_orphans(now),
            TurnPhase::Idle { .. } => {}
        }
        let orphans = *self.phase.orphans_mut();
        self.phase = TurnPhase::Running { turn, key, orphans, doubt: None };
        Ok(())
    }

    /// The running turn was aborted. It stays the session's turn until it ends or the limit for that runs out; to cancel
    /// it again changes nothing.
    ///
    /// # Errors
    ///
    /// [`GuardError::NothingToCancel`] if no turn runs.
    pub fn cancel(&mut self, now: Duration) -> Result<(), GuardError> {
        match &self.phase {
            TurnPhase::Idle { .. } => Err(GuardError::NothingToCancel),
            TurnPhase::Cancelling { .. } => Ok(()),
            TurnPhase::Running { turn, key, orphans, .. } => {
                let deadline = now.saturating_add(self.limits.cancel);
                self.phase = TurnPhase::Cancelling { turn: *turn, key: key.clone(), orphans: *orphans, deadline };
                Ok(())
            }
        }
    }

    /// An event that does not say which turn it is of.
    ///
    /// Activity in a running turn heals the guard: the leftovers of older turns came before it or will never come.
    pub fn handle_event(&mut self, event: &AgentEvent, _now: Duration) -> Verdict {
        if !event.is_work() {
            return Verdict::Session;
        }
        match &mut self.phase {
            TurnPhase::Idle { .. } => Verdict::Orphan,
            TurnPhase::Cancelling { turn, .. } => Verdict::Belongs(*turn),
            TurnPhase::Running { turn, orphans, doubt, .. } => {
                orphans.left = 0;
                *doubt = None;
                Verdict::Belongs(*turn)
            }
        }
    }

    /// An event that says which turn it is of. An older turn's late event heals nothing.
    pub fn handle_keyed_event(&mut self, key: &TurnKey, event: &AgentEvent, now: Duration) -> Verdict {
        if event.is_work() && self.phase.key().is_some_and(|own| own != key) {
            return Verdict::Orphan;
        }
        self.handle_event(event, now)
    }

    /// The agent says that a turn ended: which one, if `key` is given.
    ///
    /// A key counts only against the key that the turn began with; in a turn that began without one, every end is taken
    /// as if it had none.
    pub fn handle_end(&mut self, key: Option<&TurnKey>, ending: Ending, now: Duration) -> Verdict {
        let Some(turn) = self.phase.turn() else {
            if key.is_none() {
                self.phase.orphans_mut().take(now);
            }
            return Verdict::Orphan;
        };
        match (self.phase.key(), key) {
            (Some(own), Some(key)) if own == key => return self.settle(turn, ending, now),
            (Some(_), Some(_)) => return Verdict::Orphan,
            (None, _) | (Some(_), None) => {}
        }
        let keyed = self.phase.key().is_some();
        let orphan = self.phase.orphans_mut().take(now);
        if !keyed && !orphan {
            return self.settle(turn, ending, now);
        }
        // An expected leftover in a turn whose own end will carry its key leaves no doubt; the other two cases do.
        let limit = if keyed { self.limits.key } else { self.limits.silence };
        if let TurnPhase::Running { doubt, .. } = &mut self.phase
            && !(keyed && orphan)
        {
            doubt.get_or_insert(now.saturating_add(limit));
        }
        if orphan { Verdict::Orphan } else { Verdict::Undecided }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout), if at all.
    pub fn poll_timeout(&self) -> Option<Duration> {
        match self.phase {
            TurnPhase::Idle { .. } => None,
            TurnPhase::Running { doubt, .. } => doubt,
            TurnPhase::Cancelling { deadline, .. } => Some(deadline),
        }
    }

    /// Time passed. A turn whose limit ran out is over.
    pub fn handle_timeout(&mut self, now: Duration) -> Verdict {
        match (self.phase.turn(), self.poll_timeout()) {
            (Some(turn), Some(deadline)) if now >= deadline => {
                self.expect_orphans(now);
                self.become_idle();
                Verdict::Expired(turn)
            }
            _ => Verdict::Undecided,
        }
    }

    fn settle(&mut self, turn: TurnId, ending: Ending, now: Duration) -> Verdict {
        if ending == Ending::Failed || matches!(self.phase, TurnPhase::Cancelling { .. }) {
            self.expect_orphans(now);
        }
        self.become_idle();
        Verdict::Settled(turn)
    }

    fn expect_orphans(&mut self, now: Duration) {
        let until = now.saturating_add(self.limits.orphan_window);
        self.phase.orphans_mut().expect(self.limits.orphans, now, until);
    }

    fn become_idle(&mut self) {
        self.phase = TurnPhase::Idle { orphans: *self.phase.orphans_mut() };
    }
}
