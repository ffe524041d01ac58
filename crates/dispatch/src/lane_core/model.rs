//! The lane against a model of its world: whatever comes in which order, a turn ends once, and so does every question.

use std::collections::BTreeMap;

use boocoder_model::{AgentEvent, Approval, PermissionKind, PermissionOption};
use proptest::prelude::*;
use uuid::Uuid;

use boocoder_backend::SessionEvent;

use super::tests::{Bench, done, here, task_id};
use super::*;

/// A backend, a store and git, as far as the lane can tell: each thing that it wants done is done later, or fails.
#[derive(Default)]
struct World {
    preparing: bool,
    opening: bool,
    abandoned: bool,
    prompting: bool,
    comparing: bool,
    settling: bool,
    /// The turn that the agent works on.
    turn: Option<TurnId>,
    open: bool,
    asked: BTreeMap<InteractionId, usize>,
    next: u128,
    ended: usize,
}

impl World {
    fn act(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Prepare(preparing) => {
                    preparing.kept.into_iter().for_each(|entry| self.write(entry));
                    self.preparing = true;
                }
                Action::Open(_) => self.opening = true,
                Action::AbandonOpen => self.abandoned = true,
                Action::Prompt(prompt) => (self.prompting, self.turn) = (true, Some(prompt.turn)),
                Action::CancelTurn(..) | Action::Answer(..) | Action::LookBefore(..) => {}
                Action::Attach(..) | Action::Discard(_) | Action::Acknowledge(_) | Action::Evict => {}
                Action::Write(entry) | Action::WriteThenAnswer(entry, ..) | Action::WriteThenAcknowledge(entry, _) => {
                    self.write(entry);
                }
                Action::Compare(..) => self.comparing = true,
                Action::Settle(entry) => {
                    self.write(entry);
                    self.settling = true;
                }
                Action::CloseSession(_) => (self.open, self.turn) = (false, None),
                Action::Ended(_) | Action::Lost(..) => self.ended += 1,
            }
        }
    }

    fn write(&mut self, entry: Entry) {
        for change in entry.changes {
            if let Change::OpenInteraction(asked) = &change {
                assert!(self.asked.insert(asked.id, 0).is_none(), "a question is kept once");
            }
            if let Change::SettleInteraction { id, .. } = &change {
                *self.asked.get_mut(id).expect("a question is kept before it is settled") += 1;
            }
        }
    }

    /// What a step of the world tells the lane, if it can happen now.
    fn step(&mut self, step: u8) -> Option<Input> {
        let take = |flag: &mut bool| std::mem::take(flag).then_some(());
        let events = |event| Some(here([event]));
        let running = self.turn.filter(|_| self.open && !self.prompting);
        match step {
            0 => take(&mut self.preparing).map(|()| Input::Prepared(Box::default())),
            1 => take(&mut self.preparing).map(|()| {
                Input::Prepared(Box::new(Prepared { failure: Some("no disk".into()), ..Prepared::default() }))
            }),
            2 if !self.abandoned => take(&mut self.opening).map(|()| {
                self.open = true;
                Input::Opened(Ok(super::tests::info()))
            }),
            3 if !self.abandoned => take(&mut self.opening).map(|()| Input::Opened(Err(BackendError::Closed))),
            4 => take(&mut self.prompting).map(|()| {
                Input::Prompted(super::tests::TURN, if self.open { Ok(()) } else { Err(BackendError::Closed) })
            }),
            5 => events(SessionEvent::Agent { turn: Some(running?), event: AgentEvent::Text("word".into()) }),
            6 => {
                self.next += 1;
                let option =
                    PermissionOption { id: "once".into(), name: "Once".into(), kind: PermissionKind::AllowOnce };
                let question = Question::Permission { title: "May I?".into(), tool_call: None, options: vec![option] };
                let id = InteractionId::from_uuid(Uuid::from_u128(self.next));
                events(SessionEvent::Asked { turn: Some(running?), id, question })
            }
            7 => {
                let (id, _) = self.asked.iter().find(|(_, settled)| **settled == 0)?;
                Some(Input::Answer(*id, Answer::Select("once".into())))
            }
            8 => {
                self.turn.take_if(|_| running.is_some());
                events(SessionEvent::TurnEnded { turn: running?, outcome: done() })
            }
            9 => {
                let was_open = std::mem::take(&mut self.open);
                self.turn.take_if(|_| !self.prompting);
                was_open.then(|| events(SessionEvent::Exited { status: "signal 9".into(), stderr: String::new() }))?
            }
            10 => Some(Input::Cancel(task_id(), DecidedBy::User)),
            11 => Some(Input::Timeout),
            12 => take(&mut self.comparing).map(|()| Input::Compared(Box::default())),
            13 => take(&mut self.settling).map(|()| Input::Settled),
            14 => take(&mut self.settling).map(|()| Input::SettleRefused("it is applied".into())),
            15 => take(&mut self.preparing)
                .map(|()| Input::Prepared(Box::new(Prepared { lost: true, ..Prepared::default() }))),
            _ => None,
        }
    }
}

proptest! {
    #[test]
    fn a_turn_ends_once_and_so_does_every_question(
        autonomous in any::<bool>(),
        steps in prop::collection::vec(prop::collection::vec(0..16_u8, 0..40), 1..4),
    ) {
        let (mut bench, mut world) = (Bench::new(), World::default());
        for (turns, steps) in steps.into_iter().enumerate() {
            world.act(bench.run(if autonomous { Approval::Auto } else { Approval::Ask }));
            // In the end the world does what is asked of it, and the agent comes to an end.
            let calm = std::iter::repeat_n([0, 2, 4, 8, 12, 13], 8).flatten();
            for step in steps.into_iter().chain(calm) {
                if std::mem::take(&mut world.abandoned) && std::mem::take(&mut world.opening) {
                    let actions = bench.lane.open_abandoned(super::tests::at(10));
                    world.act(actions);
                }
                if let Some(input) = world.step(step) {
                    let actions = bench.tell(input);
                    world.act(actions);
                }
                prop_assert!(world.ended <= turns + 1, "a turn ended twice");
            }
            prop_assert_eq!(world.ended, turns + 1, "a turn never ended");
            prop_assert!(bench.lane.is_idle());
            prop_assert!(world.asked.values().all(|settled| *settled == 1), "{:?}", world.asked);
        }
    }
}
