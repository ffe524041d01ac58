//! When a turn is over. Without clocks or pipes.
//!
//! What counts is the assistant's message that answers our own prompt's id, once it is complete and no tool calls follow.
//! That a session is idle, or that something failed, is said without the turn: after an abort it is said twice, the
//! second time in the middle of whatever was asked next. So it settles nothing, and only makes us ask the server how the
//! turn stands. Behind a server that does not say which prompt a message answers stands the turn guard.

use std::time::Duration;

use boocoder_model::{AgentEvent, DecidedBy, StopReason, TurnId, TurnOutcome};
use boocoder_turn_guard::{Ending, TurnGuard, TurnKey, Verdict};

use super::reading::MessageEnd;
use crate::limits::{LOOK_AGAIN, LOOK_PAUSE, PROMPT_BEGINS, PROMPT_LOST};

/// What to do about a turn.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Decision {
    /// Nothing yet.
    Wait,
    /// It is over.
    Settle(TurnOutcome),
    /// The server took the prompt and forgot it: send it again.
    Resend,
}

/// The turn that runs.
#[derive(Debug)]
struct Running {
    prompt: String,
    sent: Duration,
    /// The server works on it, or did.
    begun: bool,
    cancelled: Option<Duration>,
    resent: bool,
    /// What failed since then.
    error: Option<String>,
    /// How the last message without a key ended.
    last: Option<MessageEnd>,
    /// The last message ended with its tools, and none has followed. After a rejected permission none does.
    after_tools: bool,
    /// When to ask the server how it stands.
    look: Option<Duration>,
    /// Since when the server is known to have nothing to do.
    idle: Option<Duration>,
}

/// Settles turns, one after another.
#[derive(Debug)]
pub(super) struct Settlement {
    guard: TurnGuard,
    running: Option<Running>,
    /// Whether the server says which prompt a message answers.
    has_keys: bool,
}

impl Settlement {
    /// No turn yet. The guard's own limits are not used: whenever it is in doubt, the server is asked.
    pub(super) fn new() -> Self {
        let guard = TurnGuard::new(boocoder_turn_guard::Limits::default());
        Self { guard, running: None, has_keys: true }
    }

    /// The prompt of a turn is on its way. False if another turn still runs.
    pub(super) fn begin(&mut self, turn: TurnId, prompt: &str, now: Duration) -> bool {
        let key = self.has_keys.then(|| TurnKey::from(prompt));
        if self.running.is_some() || self.guard.begin(turn, key, now).is_err() {
            return false;
        }
        self.running = Some(Running {
            prompt: prompt.to_owned(),
            sent: now,
            begun: false,
            cancelled: None,
            resent: false,
            error: None,
            last: None,
            after_tools: false,
            look: Some(now + PROMPT_LOST),
            idle: None,
        });
        true
    }

    /// The prompt of the turn that runs.
    pub(super) fn prompt(&self) -> Option<&str> {
        self.running.as_ref().map(|running| running.prompt.as_str())
    }

    /// The turn was aborted.
    pub(super) fn cancel(&mut self, now: Duration) {
        if let Some(running) = &mut self.running {
            running.cancelled.get_or_insert(now);
            running.look = Some(now + LOOK_AGAIN);
            // A guard that has no turn has nothing to cancel.
            let _ = self.guard.cancel(now);
        }
    }

    /// The turn came to its end in another way, and the server may still send its own.
    pub(super) fn forget(&mut self, now: Duration) {
        if self.running.is_some() {
            self.finish(Ending::Failed, now);
        }
    }

    /// The agent did something in answer to `prompt`. Whether that is the turn that runs.
    pub(super) fn handle_event(&mut self, prompt: &str, event: &AgentEvent, now: Duration) -> bool {
        let Some(running) = self.running.as_mut().filter(|running| running.prompt == prompt) else { return false };
        running.after_tools &= !event.is_work();
        running.idle = None;
        if !running.begun && running.cancelled.is_none() {
            // The prompt is not lost. What makes us look later stays: a late event is no sign that there is more to come.
            running.look = None;
        }
        running.begun = true;
        let key = TurnKey::from(prompt);
        matches!(self.guard.handle_keyed_event(&key, event, now), Verdict::Belongs(_) | Verdict::Session)
    }

    /// A message of the assistant ended.
    pub(super) fn handle_end(&mut self, prompt: Option<&str>, end: MessageEnd, now: Duration) -> Decision {
        let Some(running) = &mut self.running else { return Decision::Wait };
        let Some(prompt) = prompt else {
            self.has_keys = false;
            running.begun = true;
            running.last = Some(end);
            return Decision::Wait;
        };
        if prompt != running.prompt {
            return Decision::Wait;
        }
        running.begun = true;
        match outcome(&end) {
            Some(outcome) => {
                let ending = if matches!(end, MessageEnd::Stopped(_)) { Ending::Stopped } else { Ending::Failed };
                self.finish(ending, now);
                Decision::Settle(outcome)
            }
            None => {
                running.after_tools |= end == MessageEnd::Step;
                if end == MessageEnd::Unsaid {
                    running.look = Some(now + LOOK_PAUSE);
                }
                Decision::Wait
            }
        }
    }

    /// Something failed, in whichever turn.
    pub(super) fn handle_error(&mut self, error: String, now: Duration) {
        if let Some(running) = &mut self.running {
            running.error = Some(error);
            running.look_by(now + LOOK_PAUSE);
        }
    }

    /// The session is idle, since whichever turn.
    pub(super) fn handle_idle(&mut self, now: Duration) -> Decision {
        let is_keyless = !self.has_keys && self.guard.phase().key().is_none();
        let verdict = self.guard.handle_end(None, Ending::Stopped, now);
        let Some(running) = &mut self.running else { return Decision::Wait };
        if is_keyless && matches!(verdict, Verdict::Settled(_)) {
            let outcome = running.told();
            self.running = None;
            return Decision::Settle(outcome);
        }
        running.look_by(now + LOOK_PAUSE);
        Decision::Wait
    }

    /// The server was asked: it works on something in this session, or on nothing. What its messages tell was taken in
    /// before.
    pub(super) fn handle_looked(&mut self, is_busy: bool, now: Duration) -> Decision {
        let Some(running) = &mut self.running else { return Decision::Wait };
        if is_busy {
            running.idle = None;
            running.look = running.cancelled.map(|_| now + LOOK_AGAIN);
            return Decision::Wait;
        }
        let idle = *running.idle.get_or_insert(now);
        let waits = match running.cancelled {
            // A prompt that was not begun when it was aborted may be begun yet.
            Some(cancelled) if !running.begun => now < cancelled + PROMPT_BEGINS,
            Some(_) => false,
            None if running.after_tools && running.error.is_none() => false,
            None if running.error.is_some() || running.last.is_some() => now < idle + LOOK_AGAIN,
            None if running.begun => now < idle + PROMPT_BEGINS,
            None => now < running.sent + PROMPT_LOST,
        };
        if waits {
            running.look = Some(now + LOOK_AGAIN);
            return Decision::Wait;
        }
        if !running.begun && running.cancelled.is_none() && running.error.is_none() && !running.resent {
            running.resent = true;
            running.sent = now;
            running.look = Some(now + PROMPT_LOST);
            return Decision::Resend;
        }
        let outcome = running.told();
        self.finish(Ending::Failed, now);
        Decision::Settle(outcome)
    }

    /// When to ask the server how the turn stands.
    pub(super) fn poll_look(&self) -> Option<Duration> {
        self.running.as_ref().and_then(|running| running.look)
    }

    /// The server is being asked.
    pub(super) fn looking(&mut self) {
        if let Some(running) = &mut self.running {
            running.look = None;
        }
    }

    /// The server did not say: it is asked again.
    pub(super) fn look_again(&mut self, now: Duration) {
        if let Some(running) = &mut self.running {
            running.look_by(now + LOOK_AGAIN);
        }
    }

    /// The turn is over, whatever the guard expected.
    fn finish(&mut self, ending: Ending, now: Duration) {
        self.running = None;
        let key = self.guard.phase().key().cloned();
        let _ = self.guard.handle_end(key.as_ref(), ending, now);
    }
}

impl Running {
    /// The server is to be asked then at the latest.
    fn look_by(&mut self, then: Duration) {
        self.look = Some(self.look.map_or(then, |look| look.min(then)));
    }

    /// How the turn ended, as far as anybody said.
    fn told(&self) -> TurnOutcome {
        let last = self.last.as_ref().and_then(outcome);
        match (&self.error, last) {
            _ if self.cancelled.is_some() => TurnOutcome::cancelled(DecidedBy::User, "cancelled"),
            (_, Some(outcome)) => outcome,
            (Some(error), None) => TurnOutcome::failed(DecidedBy::Agent, error.clone()),
            (None, None) if self.after_tools => TurnOutcome::stopped(&StopReason::EndTurn),
            (None, None) if self.begun => {
                TurnOutcome::failed(DecidedBy::Agent, "opencode gave the turn up and did not say why")
            }
            (None, None) => TurnOutcome::failed(DecidedBy::Agent, "opencode took the prompt and did not work on it"),
        }
    }
}

/// The outcome of a turn whose last message ended like this.
fn outcome(end: &MessageEnd) -> Option<TurnOutcome> {
    match end {
        MessageEnd::Open | MessageEnd::Step | MessageEnd::Unsaid => None,
        MessageEnd::Stopped(reason) => Some(TurnOutcome::stopped(reason)),
        MessageEnd::Aborted => Some(TurnOutcome::stopped(&StopReason::Cancelled)),
        MessageEnd::Failed(error) => Some(TurnOutcome::failed(DecidedBy::Agent, error.clone())),
    }
}

#[cfg(test)]
mod tests {
    use boocoder_model::TurnStatus;
    use uuid::Uuid;

    use super::*;

    const ONE: TurnId = TurnId::from_uuid(Uuid::from_u128(1));
    const TWO: TurnId = TurnId::from_uuid(Uuid::from_u128(2));
    const STOP: MessageEnd = MessageEnd::Stopped(StopReason::EndTurn);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn text() -> AgentEvent {
        AgentEvent::Text("x".into())
    }

    fn begun(turn: TurnId, prompt: &str, now: Duration) -> Settlement {
        let mut settlement = Settlement::new();
        assert!(settlement.begin(turn, prompt, now));
        settlement
    }

    fn status(decision: &Decision) -> Option<TurnStatus> {
        match decision {
            Decision::Settle(outcome) => Some(outcome.status),
            Decision::Wait | Decision::Resend => None,
        }
    }

    #[test]
    fn the_message_that_answers_the_prompt_settles_and_no_other() {
        let mut it = begun(ONE, "a", ms(0));
        assert_eq!(it.handle_end(Some("z"), STOP, ms(1)), Decision::Wait);
        assert_eq!(it.handle_end(Some("a"), MessageEnd::Step, ms(2)), Decision::Wait);
        assert_eq!(it.handle_idle(ms(3)), Decision::Wait, "idle says nothing of the turn");
        assert_eq!(status(&it.handle_end(Some("a"), STOP, ms(4))), Some(TurnStatus::Completed));
        assert_eq!(it.handle_end(Some("a"), STOP, ms(5)), Decision::Wait, "it ends once");
        assert!(it.begin(TWO, "b", ms(6)));
        assert!(!it.begin(ONE, "c", ms(7)), "one at a time");
    }

    #[test]
    fn the_second_idle_of_an_aborted_turn_leaves_the_next_one_alone() {
        let mut it = begun(ONE, "a", ms(0));
        it.handle_event("a", &text(), ms(1));
        it.cancel(ms(2));
        it.handle_error("MessageAbortedError: Aborted".into(), ms(3));
        assert_eq!(it.handle_idle(ms(4)), Decision::Wait);
        assert_eq!(status(&it.handle_end(Some("a"), MessageEnd::Aborted, ms(5))), Some(TurnStatus::Cancelled));
        assert!(it.begin(TWO, "b", ms(6)));
        assert_eq!(it.handle_idle(ms(7)), Decision::Wait);
        assert_eq!(it.handle_looked(false, ms(300)), Decision::Wait, "it may not have begun yet");
        assert!(it.handle_event("b", &text(), ms(400)));
        assert!(!it.handle_event("a", &text(), ms(401)), "late words of the old turn are not the new one's");
        assert_eq!(status(&it.handle_end(Some("b"), STOP, ms(500))), Some(TurnStatus::Completed));
    }

    #[test]
    fn an_abort_before_the_first_word_ends_when_the_server_has_nothing_to_do_for_long_enough() {
        let mut it = begun(ONE, "a", ms(0));
        it.cancel(ms(10));
        it.handle_idle(ms(20));
        assert_eq!(it.handle_looked(false, ms(300)), Decision::Wait, "it may begin yet");
        assert_eq!(it.handle_looked(true, ms(1000)), Decision::Wait);
        let decision = it.handle_looked(false, ms(10) + PROMPT_BEGINS);
        assert_eq!(status(&decision), Some(TurnStatus::Cancelled));
    }

    #[test]
    fn a_prompt_that_the_server_forgot_is_sent_again_once() {
        let mut it = begun(ONE, "a", ms(0));
        assert_eq!(it.poll_look(), Some(PROMPT_LOST));
        it.looking();
        assert_eq!(it.handle_looked(false, PROMPT_LOST), Decision::Resend);
        assert_eq!(it.handle_looked(false, PROMPT_LOST + ms(500)), Decision::Wait);
        let decision = it.handle_looked(false, PROMPT_LOST * 2);
        let Decision::Settle(outcome) = decision else { panic!("{decision:?}") };
        assert_eq!((outcome.status, outcome.decided_by), (TurnStatus::Failed, DecidedBy::Agent));
    }

    #[test]
    fn an_error_without_a_message_fails_the_turn_when_the_server_is_idle() {
        let mut it = begun(ONE, "a", ms(0));
        it.handle_error("UnknownError: model not found".into(), ms(5));
        it.handle_idle(ms(6));
        assert_eq!(it.poll_look(), Some(ms(5) + LOOK_PAUSE));
        it.looking();
        assert_eq!(it.handle_looked(false, ms(210)), Decision::Wait);
        let decision = it.handle_looked(false, ms(210) + LOOK_AGAIN);
        let Decision::Settle(outcome) = decision else { panic!("{decision:?}") };
        assert_eq!(outcome.reason, "UnknownError: model not found");
    }

    #[test]
    fn a_turn_whose_end_never_comes_is_not_stranded() {
        let mut it = begun(ONE, "a", ms(0));
        it.handle_event("a", &text(), ms(1));
        it.handle_idle(ms(2));
        assert_eq!(it.handle_looked(false, ms(300)), Decision::Wait);
        assert_eq!(status(&it.handle_looked(false, ms(300) + PROMPT_BEGINS)), Some(TurnStatus::Failed));
    }

    #[test]
    fn an_event_that_comes_late_does_not_keep_the_server_from_being_asked() {
        let mut it = begun(ONE, "a", ms(0));
        it.handle_event("a", &text(), ms(1));
        it.handle_idle(ms(2));
        it.handle_event("a", &text(), ms(3));
        assert_eq!(it.poll_look(), Some(ms(2) + LOOK_PAUSE));
    }

    #[test]
    fn a_rejected_permission_ends_a_turn_with_its_tools() {
        let mut it = begun(ONE, "a", ms(0));
        it.handle_event("a", &text(), ms(1));
        it.handle_end(Some("a"), MessageEnd::Step, ms(2));
        assert_eq!(it.handle_looked(true, ms(3)), Decision::Wait, "another message follows");
        it.handle_event("a", &text(), ms(4));
        it.handle_end(Some("a"), MessageEnd::Step, ms(5));
        it.handle_idle(ms(6));
        assert_eq!(status(&it.handle_looked(false, ms(206))), Some(TurnStatus::Completed));
    }

    #[test]
    fn without_keys_the_guard_tells_the_turns_apart() {
        let mut it = begun(ONE, "a", ms(0));
        it.handle_end(None, STOP, ms(1));
        it.handle_idle(ms(2));
        it.handle_looked(false, ms(300));
        assert_eq!(status(&it.handle_looked(false, ms(300) + LOOK_AGAIN)), Some(TurnStatus::Completed));
        // From here on it is known that there are none.
        let later = ms(20_000);
        assert!(it.begin(TWO, "b", later));
        it.cancel(later + ms(1));
        assert_eq!(status(&it.handle_idle(later + ms(2))), Some(TurnStatus::Cancelled));
        assert!(it.begin(ONE, "c", later + ms(3)));
        assert_eq!(it.handle_idle(later + ms(4)), Decision::Wait, "the aborted turn's second one");
        it.handle_event("c", &text(), later + ms(5));
        it.handle_end(None, STOP, later + ms(6));
        assert_eq!(status(&it.handle_idle(later + ms(7))), Some(TurnStatus::Completed));
    }
}
