//! One case a test.

use boocoder_model::{AgentEvent, ContextUse, ToolCallId, ToolCallSnapshot, TurnId, UsageReport};
use boocoder_turn_guard::Ending::{Failed, Stopped};
use boocoder_turn_guard::{GuardError, Limits, TurnGuard, TurnKey, Verdict};

use crate::{LIMITS, at, turn};

fn text() -> AgentEvent {
    AgentEvent::Text("hello".into())
}

/// A guard whose turn 1 was cancelled, with its end seen or not, and whose turn 2 has begun since.
fn second_turn_after_an_abort(first_ended: bool) -> (TurnGuard, TurnId) {
    let mut guard = TurnGuard::new(LIMITS);
    guard.begin(turn(1), None, at(0)).expect("nothing runs");
    guard.cancel(at(1)).expect("turn 1 runs");
    if first_ended {
        assert_eq!(guard.handle_end(None, Stopped, at(1)), Verdict::Settled(turn(1)));
    }
    guard.begin(turn(2), None, at(2)).expect("turn 1 was cancelled");
    (guard, turn(2))
}

#[test]
fn an_end_settles_a_turn_that_nobody_aborted() {
    let mut guard = TurnGuard::new(LIMITS);
    guard.begin(turn(1), None, at(0)).expect("nothing runs");
    assert_eq!(guard.handle_event(&text(), at(1)), Verdict::Belongs(turn(1)));
    assert_eq!(guard.handle_end(None, Stopped, at(2)), Verdict::Settled(turn(1)));
    assert_eq!(guard.phase().turn(), None);

    guard.begin(turn(2), None, at(3)).expect("turn 1 ended");
    assert_eq!(guard.handle_end(None, Stopped, at(4)), Verdict::Settled(turn(2)), "also without any activity");
}

#[test]
fn the_leftover_of_an_abort_is_swallowed_once() {
    for first_ended in [false, true] {
        let (mut guard, second) = second_turn_after_an_abort(first_ended);
        assert_eq!(guard.handle_end(None, Stopped, at(2)), Verdict::Orphan);
        assert_eq!(guard.handle_end(None, Stopped, at(3)), Verdict::Settled(second));
    }
}

#[test]
fn activity_of_the_new_turn_heals_the_guard() {
    for first_ended in [false, true] {
        let (mut guard, second) = second_turn_after_an_abort(first_ended);
        assert_eq!(guard.handle_event(&text(), at(2)), Verdict::Belongs(second));
        assert_eq!(guard.handle_end(None, Stopped, at(3)), Verdict::Settled(second));
    }
}

#[test]
fn a_leftover_between_turns_is_swallowed_and_not_expected_again() {
    let mut guard = TurnGuard::new(LIMITS);
    guard.begin(turn(1), None, at(0)).expect("nothing runs");
    guard.cancel(at(1)).expect("turn 1 runs");
    assert_eq!(guard.handle_end(None, Stopped, at(1)), Verdict::Settled(turn(1)));
    assert_eq!(guard.handle_end(None, Stopped, at(1)), Verdict::Orphan);
    guard.begin(turn(2), None, at(2)).expect("turn 1 ended");
    assert_eq!(guard.handle_end(None, Failed, at(2)), Verdict::Settled(turn(2)));
}

#[test]
fn a_failure_leaves_an_orphan_as_an_abort_does() {
    let mut guard = TurnGuard::new(LIMITS);
    guard.begin(turn(1), None, at(0)).expect("nothing runs");
    assert_eq!(guard.handle_end(None, Failed, at(1)), Verdict::Settled(turn(1)));
    guard.begin(turn(2), None, at(1)).expect("turn 1 ended");
    assert_eq!(guard.handle_end(None, Stopped, at(1)), Verdict::Orphan);
    assert_eq!(guard.handle_end(None, Stopped, at(2)), Verdict::Settled(turn(2)));
}

#[test]
fn as_many_leftovers_are_swallowed_as_the_agent_is_known_to_send() {
    let mut guard = TurnGuard::new(Limits { orphans: 2, ..LIMITS });
    guard.begin(turn(1), None, at(0)).expect("nothing runs");
    guard.cancel(at(1)).expect("turn 1 runs");
    guard.begin(turn(2), None, at(1)).expect("turn 1 was cancelled");
    for _ in 0..2 {
        assert_eq!(guard.handle_end(None, Stopped, at(1)), Verdict::Orphan);
    }
    assert_eq!(guard.handle_end(None, Stopped, at(2)), Verdict::Settled(turn(2)));
}

#[test]
fn a_leftover_is_not_expected_for_ever() {
    let (mut guard, second) = second_turn_after_an_abort(true);
    assert_eq!(guard.handle_end(None, Stopped, at(11)), Verdict::Settled(second));
}

#[test]
fn a_turn_whose_own_end_was_swallowed_is_not_stranded() {
    let (mut guard, second) = second_turn_after_an_abort(true);
    assert_eq!(guard.poll_timeout(), None, "a turn may run as long as it likes");
    assert_eq!(guard.handle_end(None, Stopped, at(3)), Verdict::Orphan);
    assert_eq!(guard.poll_timeout(), Some(at(63)));
    assert_eq!(guard.handle_timeout(at(62)), Verdict::Undecided);
    assert_eq!(guard.handle_timeout(at(63)), Verdict::Expired(second));
    assert_eq!(guard.phase().turn(), None);
    assert_eq!(guard.poll_timeout(), None);
}

#[test]
fn activity_lifts_the_limit_that_a_swallowed_end_set() {
    let (mut guard, second) = second_turn_after_an_abort(true);
    assert_eq!(guard.handle_end(None, Stopped, at(3)), Verdict::Orphan);
    assert_eq!(guard.handle_event(&text(), at(30)), Verdict::Belongs(second));
    assert_eq!(guard.poll_timeout(), None);
    assert_eq!(guard.handle_timeout(at(1000)), Verdict::Undecided);
}

#[test]
fn a_cancelled_turn_that_never_ends_is_given_up() {
    let mut guard = TurnGuard::new(LIMITS);
    guard.begin(turn(1), None, at(0)).expect("nothing runs");
    guard.cancel(at(5)).expect("turn 1 runs");
    guard.cancel(at(9)).expect("to cancel again changes nothing");
    assert_eq!(guard.handle_event(&text(), at(9)), Verdict::Belongs(turn(1)), "its last words are its own");
    assert_eq!(guard.poll_timeout(), Some(at(25)));
    assert_eq!(guard.handle_timeout(at(25)), Verdict::Expired(turn(1)));
    guard.begin(turn(2), None, at(26)).expect("turn 1 is over");
    assert_eq!(guard.handle_end(None, Stopped, at(27)), Verdict::Orphan, "now it came after all");
}

#[test]
fn with_a_key_the_key_decides() {
    let (first, second) = (TurnKey::from("msg_1"), TurnKey::from("msg_2"));
    let mut guard = TurnGuard::new(LIMITS);
    guard.begin(turn(1), Some(first.clone()), at(0)).expect("nothing runs");
    guard.cancel(at(1)).expect("turn 1 runs");
    guard.begin(turn(2), Some(second.clone()), at(1)).expect("turn 1 was cancelled");

    assert_eq!(guard.handle_end(None, Stopped, at(1)), Verdict::Orphan);
    assert_eq!(guard.poll_timeout(), None, "the end of turn 2 will carry its key");
    assert_eq!(guard.handle_keyed_event(&first, &text(), at(1)), Verdict::Orphan);
    assert_eq!(guard.handle_end(Some(&first), Failed, at(1)), Verdict::Orphan);
    assert_eq!(guard.handle_keyed_event(&second, &text(), at(2)), Verdict::Belongs(turn(2)));
    assert_eq!(guard.handle_end(Some(&second), Stopped, at(3)), Verdict::Settled(turn(2)));
    assert_eq!(guard.handle_end(Some(&second), Stopped, at(3)), Verdict::Orphan, "a turn ends once");
}

#[test]
fn in_a_turn_with_a_key_an_end_without_one_waits_for_the_other() {
    let key = TurnKey::from("msg_1");
    let mut guard = TurnGuard::new(LIMITS);
    guard.begin(turn(1), Some(key.clone()), at(0)).expect("nothing runs");
    assert_eq!(guard.handle_end(None, Stopped, at(1)), Verdict::Undecided);
    assert_eq!(guard.handle_end(None, Stopped, at(3)), Verdict::Undecided);
    assert_eq!(guard.poll_timeout(), Some(at(6)), "the first end sets the limit");
    let mut waited = guard.clone();
    assert_eq!(waited.handle_timeout(at(6)), Verdict::Expired(turn(1)));
    assert_eq!(guard.handle_end(Some(&key), Stopped, at(4)), Verdict::Settled(turn(1)));
}

#[test]
fn an_aborted_turn_with_a_key_waits_for_it_no_longer_than_any_abort() {
    let mut guard = TurnGuard::new(LIMITS);
    guard.begin(turn(1), Some(TurnKey::from("msg_1")), at(0)).expect("nothing runs");
    guard.cancel(at(1)).expect("turn 1 runs");
    assert_eq!(guard.handle_end(None, Stopped, at(2)), Verdict::Undecided);
    assert_eq!(guard.poll_timeout(), Some(at(21)));
}

#[test]
fn a_key_is_ignored_in_a_turn_that_has_none() {
    let mut guard = TurnGuard::new(LIMITS);
    guard.begin(turn(1), None, at(0)).expect("nothing runs");
    let key = TurnKey::from("msg_1");
    assert_eq!(guard.handle_keyed_event(&key, &text(), at(1)), Verdict::Belongs(turn(1)));
    assert_eq!(guard.handle_end(Some(&key), Stopped, at(2)), Verdict::Settled(turn(1)));
}

#[test]
fn what_concerns_the_session_needs_no_turn_and_heals_nothing() {
    let context = ContextUse { used: 1, size: 2 };
    let (mut guard, second) = second_turn_after_an_abort(true);
    for event in [
        AgentEvent::Commands(Vec::new()),
        AgentEvent::Mode("plan".into()),
        AgentEvent::Title(None),
        AgentEvent::Usage(UsageReport::Context { context, total_cost: None }),
    ] {
        assert_eq!(TurnGuard::new(LIMITS).handle_event(&event, at(0)), Verdict::Session);
        assert_eq!(guard.handle_event(&event, at(2)), Verdict::Session);
    }
    assert_eq!(guard.handle_end(None, Stopped, at(3)), Verdict::Orphan);
    assert_eq!(guard.handle_end(None, Stopped, at(3)), Verdict::Settled(second));
}

#[test]
fn activity_between_turns_is_a_leftover() {
    let call = AgentEvent::ToolCall(ToolCallSnapshot::new(ToolCallId::new("call-1")));
    let mut guard = TurnGuard::new(LIMITS);
    assert_eq!(guard.handle_event(&call, at(0)), Verdict::Orphan);
    assert_eq!(guard.handle_end(None, Stopped, at(0)), Verdict::Orphan);
}

#[test]
fn illegal_steps_change_nothing() {
    let mut guard = TurnGuard::new(LIMITS);
    assert_eq!(guard.cancel(at(0)), Err(GuardError::NothingToCancel));
    guard.begin(turn(1), None, at(0)).expect("nothing runs");
    let before = guard.phase().clone();
    let error = GuardError::StillRunning { running: turn(1), begun: turn(2) };
    assert_eq!(guard.begin(turn(2), None, at(1)), Err(error));
    assert_eq!(guard.phase(), &before);
}
