//! Random interleavings against a model that is slow and plain: it keeps every leftover as an item of its own and every
//! fact about the turn as a flag.

use std::time::Duration;

use boocoder_model::{AgentEvent, TurnId};
use boocoder_turn_guard::{Ending, Limits, TurnGuard, TurnKey, Verdict};
use proptest::prelude::*;

use crate::{LIMITS, turn};

/// Whose key an event carries.
#[derive(Clone, Copy, Debug)]
enum Whose {
    Nobodys,
    This,
    Older,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Begin { keyed: bool },
    Cancel,
    Activity(Whose),
    SessionEvent,
    End(Whose, Ending),
    Wait(Duration),
}

struct Turn {
    id: TurnId,
    keyed: bool,
    cancelled_at: Option<Duration>,
    doubted_until: Option<Duration>,
}

struct Reference {
    limits: Limits,
    turn: Option<Turn>,
    /// When each expected leftover stops being expected.
    leftovers: Vec<Duration>,
}

impl Reference {
    fn expect_leftovers(&mut self, now: Duration) {
        self.forget_old_leftovers(now);
        let count = self.leftovers.len() + usize::from(self.limits.orphans);
        self.leftovers = vec![now + self.limits.orphan_window; count];
    }

    fn forget_old_leftovers(&mut self, now: Duration) {
        self.leftovers.retain(|until| now < *until);
    }

    fn begin(&mut self, id: TurnId, keyed: bool, now: Duration) -> bool {
        match &self.turn {
            Some(turn) if turn.cancelled_at.is_none() => return false,
            Some(_) => self.expect_leftovers(now),
            None => {}
        }
        self.turn = Some(Turn { id, keyed, cancelled_at: None, doubted_until: None });
        true
    }

    fn cancel(&mut self, now: Duration) -> bool {
        let Some(turn) = &mut self.turn else { return false };
        turn.cancelled_at.get_or_insert(now);
        turn.doubted_until = None;
        true
    }

    fn activity(&mut self, whose: Whose) -> Verdict {
        let Some(turn) = &mut self.turn else { return Verdict::Orphan };
        if turn.keyed && matches!(whose, Whose::Older) {
            return Verdict::Orphan;
        }
        if turn.cancelled_at.is_none() {
            turn.doubted_until = None;
            self.leftovers.clear();
        }
        Verdict::Belongs(turn.id)
    }

    fn end(&mut self, whose: Whose, ending: Ending, now: Duration) -> Verdict {
        self.forget_old_leftovers(now);
        let Some(turn) = &mut self.turn else {
            if matches!(whose, Whose::Nobodys) {
                self.leftovers.pop();
            }
            return Verdict::Orphan;
        };
        let own = match (turn.keyed, whose) {
            (true, Whose::This) => true,
            (true, Whose::Older) => return Verdict::Orphan,
            (true, Whose::Nobodys) => {
                let leftover = self.leftovers.pop().is_some();
                if !leftover && turn.cancelled_at.is_none() {
                    turn.doubted_until.get_or_insert(now + self.limits.key);
                }
                return if leftover { Verdict::Orphan } else { Verdict::Undecided };
            }
            (false, _) => self.leftovers.pop().is_none(),
        };
        if !own {
            if turn.cancelled_at.is_none() {
                turn.doubted_until.get_or_insert(now + self.limits.silence);
            }
            return Verdict::Orphan;
        }
        let (id, cancelled) = (turn.id, turn.cancelled_at.is_some());
        self.turn = None;
        if cancelled || ending == Ending::Failed {
            self.expect_leftovers(now);
        }
        Verdict::Settled(id)
    }

    fn limit(&self) -> Option<Duration> {
        let turn = self.turn.as_ref()?;
        turn.cancelled_at.map(|at| at + self.limits.cancel).or(turn.doubted_until)
    }

    fn timeout(&mut self, now: Duration) -> Verdict {
        if self.limit().is_none_or(|limit| now < limit) {
            return Verdict::Undecided;
        }
        self.expect_leftovers(now);
        self.turn.take().map_or(Verdict::Undecided, |turn| Verdict::Expired(turn.id))
    }
}

fn any_step() -> impl Strategy<Value = Step> {
    let whose = || prop_oneof![3 => Just(Whose::Nobodys), 1 => Just(Whose::This), 1 => Just(Whose::Older)];
    let ending = prop_oneof![3 => Just(Ending::Stopped), 1 => Just(Ending::Failed)];
    prop_oneof![
        4 => any::<bool>().prop_map(|keyed| Step::Begin { keyed }),
        2 => Just(Step::Cancel),
        3 => whose().prop_map(Step::Activity),
        1 => Just(Step::SessionEvent),
        5 => (whose(), ending).prop_map(|(whose, ending)| Step::End(whose, ending)),
        3 => (0..70_u64).prop_map(|seconds| Step::Wait(Duration::from_secs(seconds))),
    ]
}

fn key(number: u128) -> TurnKey {
    TurnKey::new(number.to_string())
}

/// The guard and the model, given the same steps.
struct Both {
    guard: TurnGuard,
    reference: Reference,
    now: Duration,
    begun: u128,
}

impl Both {
    fn new(orphans: u8) -> Self {
        let limits = Limits { orphans, ..LIMITS };
        let reference = Reference { limits, turn: None, leftovers: Vec::new() };
        Self { guard: TurnGuard::new(limits), reference, now: Duration::ZERO, begun: 0 }
    }

    /// Takes the step in both and returns both answers.
    fn take(&mut self, step: Step) -> (Option<Verdict>, Option<Verdict>) {
        let text = AgentEvent::Text("x".into());
        let (guard, reference, now) = (&mut self.guard, &mut self.reference, self.now);
        let (this, older) = (key(self.begun), key(0));
        let key_of = |whose| match whose {
            Whose::Nobodys => None,
            Whose::This => Some(&this),
            Whose::Older => Some(&older),
        };
        match step {
            Step::Begin { keyed } => {
                let id = self.begun + 1;
                let begun = guard.begin(turn(id), keyed.then(|| key(id)), now).is_ok();
                assert_eq!(begun, reference.begin(turn(id), keyed, now));
                self.begun += u128::from(begun);
                (None, None)
            }
            Step::Cancel => {
                assert_eq!(guard.cancel(now).is_ok(), reference.cancel(now));
                (None, None)
            }
            Step::Activity(whose) => {
                let verdict = match key_of(whose) {
                    Some(key) => guard.handle_keyed_event(key, &text, now),
                    None => guard.handle_event(&text, now),
                };
                (Some(verdict), Some(reference.activity(whose)))
            }
            Step::SessionEvent => (Some(guard.handle_event(&AgentEvent::Title(None), now)), Some(Verdict::Session)),
            Step::End(whose, ending) => {
                (Some(guard.handle_end(key_of(whose), ending, now)), Some(reference.end(whose, ending, now)))
            }
            Step::Wait(time) => {
                self.now += time;
                (Some(guard.handle_timeout(self.now)), Some(reference.timeout(self.now)))
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn the_guard_agrees_with_the_reference(orphans in 0..3_u8, steps in prop::collection::vec(any_step(), 0..60)) {
        let mut both = Both::new(orphans);
        let mut over = Vec::new();
        for step in steps {
            let (guard, reference) = both.take(step);
            prop_assert_eq!(guard, reference, "{:?}", step);
            prop_assert_eq!(both.guard.poll_timeout(), both.reference.limit());
            prop_assert_eq!(both.guard.phase().turn(), both.reference.turn.as_ref().map(|turn| turn.id));
            if let Some(Verdict::Settled(turn) | Verdict::Expired(turn)) = guard {
                prop_assert!(!over.contains(&turn), "a turn ends once");
                over.push(turn);
            }
        }
    }

    /// After any history, a turn that shows activity and then ends is settled by that end; and one that only ends is
    /// settled by it or has a limit.
    #[test]
    fn no_history_strands_a_turn(
        orphans in 0..3_u8,
        steps in prop::collection::vec(any_step(), 0..40),
        active in any::<bool>(),
    ) {
        let mut both = Both::new(orphans);
        for step in steps {
            let _ = both.take(step);
        }
        let (mut guard, now, last) = (both.guard, both.now, turn(u128::MAX));
        if guard.phase().turn().is_some() {
            guard.cancel(now).expect("a turn runs");
        }
        guard.begin(last, None, now).expect("no turn runs that was not cancelled");
        if active {
            let _ = guard.handle_event(&AgentEvent::Text("x".into()), now);
        }
        let verdict = guard.handle_end(None, Ending::Stopped, now);
        if active {
            prop_assert_eq!(verdict, Verdict::Settled(last));
        } else if verdict != Verdict::Settled(last) {
            let limit = guard.poll_timeout().expect("a doubted turn has a limit");
            prop_assert_eq!(guard.handle_timeout(limit), Verdict::Expired(last));
        }
    }
}
