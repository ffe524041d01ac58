//! How long an agent without work is kept, and how soon one that died is started again.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;

use super::after;
use crate::limits::{self, DispatchLimits};

/// What a lane remembers for these decisions. Times are arguments.
#[derive(Debug, Default)]
pub(super) struct Keeping {
    /// Since when the agent has had nothing to do.
    idle_since: Option<Timestamp>,
    /// When the opening that is under way began.
    opening_since: Option<Timestamp>,
    /// How long the last opening took: what it costs to let the agent go and have it resume.
    opened_in: Duration,
    /// When the agent died, as far as that still counts, oldest first.
    deaths: VecDeque<Timestamp>,
    /// Since when nothing starts the agent but a new message.
    parked_at: Option<Timestamp>,
}

impl Keeping {
    /// An agent is being started.
    pub(super) const fn begin_opening(&mut self, now: Timestamp) {
        self.opening_since = Some(now);
    }

    /// It is there.
    pub(super) fn opened(&mut self, now: Timestamp) {
        if let Some(since) = self.opening_since.take() {
            self.opened_in = Duration::try_from(now.duration_since(since)).unwrap_or_default();
        }
    }

    /// The agent has nothing to do from now on.
    pub(super) const fn rest(&mut self, now: Timestamp) {
        self.idle_since = Some(now);
    }

    /// The agent has work, or has gone.
    pub(super) const fn stir(&mut self) {
        self.idle_since = None;
    }

    /// When an agent that has nothing to do is let go: after the configured time, or else after a time that makes up for
    /// what it costs to resume it.
    pub(super) fn until(&self, limits: &DispatchLimits) -> Option<Timestamp> {
        let measured = || {
            let (shortest, longest) = limits::IDLE;
            self.opened_in.saturating_mul(limits::IDLE_PER_OPENING).clamp(shortest, longest)
        };
        Some(after(self.idle_since?, limits.idle.unwrap_or_else(measured)))
    }

    /// The agent died. Says whether that was once too often, so that it is parked.
    pub(super) fn died(&mut self, now: Timestamp, limits: &DispatchLimits) -> bool {
        self.opening_since = None;
        self.forget_before(now, limits);
        self.deaths.push_back(now);
        if self.deaths.len() > limits.crashes {
            self.parked_at = Some(now);
        }
        self.parked_at.is_some()
    }

    /// Whether a task may start the agent: any may, unless the agent is parked; then one that was asked for since may, and
    /// takes it out of that.
    pub(super) fn admits(&mut self, asked_at: Timestamp) -> bool {
        match self.parked_at {
            Some(parked_at) if asked_at <= parked_at => false,
            Some(_) => {
                self.parked_at = None;
                self.deaths.clear();
                true
            }
            None => true,
        }
    }

    /// Whether the agent is parked.
    pub(super) const fn is_parked(&self) -> bool {
        self.parked_at.is_some()
    }

    /// Until when to wait before the agent is started again: at once after the first death, then longer each time.
    pub(super) fn not_before(&mut self, now: Timestamp, limits: &DispatchLimits) -> Option<Timestamp> {
        self.forget_before(now, limits);
        let doublings = u32::try_from(self.deaths.len()).ok()?.checked_sub(2)?;
        let pause = limits.crash_pause.saturating_mul(2_u32.saturating_pow(doublings)).min(limits.crash_window);
        Some(after(*self.deaths.back()?, pause))
    }

    fn forget_before(&mut self, now: Timestamp, limits: &DispatchLimits) {
        self.deaths.retain(|died| after(*died, limits.crash_window) > now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn limits() -> DispatchLimits {
        DispatchLimits {
            crashes: 3,
            crash_window: Duration::from_secs(60),
            crash_pause: Duration::from_secs(1),
            ..DispatchLimits::default()
        }
    }

    #[test]
    fn an_agent_is_kept_as_long_as_is_configured_or_as_its_opening_is_worth() {
        let mut keeping = Keeping::default();
        assert_eq!(keeping.until(&limits()), None, "not while it works");
        keeping.begin_opening(at(0));
        keeping.opened(at(3));
        keeping.rest(at(10));
        assert_eq!(keeping.until(&limits()), Some(at(10 + 3 * i64::from(limits::IDLE_PER_OPENING))));
        let configured = DispatchLimits { idle: Some(Duration::from_secs(5)), ..limits() };
        assert_eq!(keeping.until(&configured), Some(at(15)));
        keeping.begin_opening(at(0));
        keeping.opened(at(0));
        assert_eq!(keeping.until(&limits()), Some(after(at(10), limits::IDLE.0)), "never shorter than this");
        keeping.stir();
        assert_eq!(keeping.until(&configured), None);
    }

    #[test]
    fn each_death_makes_the_next_start_wait_longer() {
        let mut keeping = Keeping::default();
        let mut waits = Vec::new();
        for second in [0, 10, 20] {
            keeping.died(at(second), &limits());
            waits.push(keeping.not_before(at(second), &limits()));
        }
        assert_eq!(waits, [None, Some(at(11)), Some(at(22))]);
        assert_eq!(keeping.not_before(at(200), &limits()), None, "what is long ago is forgotten");
    }

    #[test]
    fn one_death_too_many_parks_the_agent_until_a_new_message() {
        let mut keeping = Keeping::default();
        let parked: Vec<_> = [0, 1, 2, 3].into_iter().map(|second| keeping.died(at(second), &limits())).collect();
        assert_eq!(parked, [false, false, false, true]);
        assert!(!keeping.admits(at(2)), "a task that waited already does not start it");
        assert!(keeping.is_parked());
        assert!(keeping.admits(at(4)) && !keeping.is_parked());
        assert_eq!(keeping.not_before(at(4), &limits()), None, "the count begins anew");
    }
}
