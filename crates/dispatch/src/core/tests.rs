//! What the scheduler decides, one case at a time.

use boocoder_model::{Approval, ProjectId, SessionId, TaskState};
use jiff::Timestamp;
use uuid::Uuid;

use super::*;

fn task(id: u128) -> Box<Task> {
    Box::new(Task {
        id: task_id(id),
        project_id: ProjectId::from_uuid(Uuid::from_u128(1)),
        session_id: Some(SessionId::from_uuid(Uuid::from_u128(2))),
        chat_id: Some(ChatId::from_uuid(Uuid::from_u128(id))),
        agent: "demo".into(),
        input: Vec::new(),
        model: None,
        mode_id: None,
        thinking_option_id: None,
        approval: Approval::Ask,
        state: TaskState::Running,
        cancel_requested: None,
        execution_path: None,
        outcome: None,
        output_summary: None,
        cost_tokens: None,
        created_at: Timestamp::UNIX_EPOCH,
        started_at: None,
        ended_at: None,
    })
}

fn task_id(id: u128) -> TaskId {
    TaskId::from_uuid(Uuid::from_u128(id))
}

fn lane(id: u128) -> LaneKey {
    LaneKey::Chat(ChatId::from_uuid(Uuid::from_u128(id)), "demo".into())
}

#[test]
fn one_claim_at_a_time_and_a_wake_in_between_is_not_lost() {
    let mut core = DispatchCore::new(4, 8, BTreeMap::new());
    assert_eq!(core.handle(Input::Wake), [Action::Claim]);
    assert_eq!(core.handle(Input::Wake), []);
    assert_eq!(core.handle(Input::Claimed(None)), [Action::Claim], "for the wake in between");
    assert_eq!(core.handle(Input::Claimed(None)), []);
}

#[test]
fn a_claimed_task_runs_on_its_lane_and_the_next_is_claimed_at_once() {
    let mut core = DispatchCore::new(4, 8, BTreeMap::new());
    core.handle(Input::Wake);
    let actions = core.handle(Input::Claimed(Some(task(5))));
    assert_eq!(actions, [Action::Run(lane(5), task(5)), Action::Claim]);
}

#[test]
fn a_task_without_a_chat_has_a_lane_of_its_own() {
    let mut core = DispatchCore::new(1, 8, BTreeMap::new());
    core.handle(Input::Wake);
    let loose = Box::new(Task { chat_id: None, ..*task(5) });
    let actions = core.handle(Input::Claimed(Some(loose.clone())));
    assert_eq!(actions, [Action::Run(LaneKey::Task(loose.id), loose)]);
}

#[test]
fn at_the_limit_nothing_is_claimed_until_something_ends() {
    let mut core = DispatchCore::new(1, 8, BTreeMap::new());
    core.handle(Input::Wake);
    assert_eq!(core.handle(Input::Claimed(Some(task(5)))), [Action::Run(lane(5), task(5))]);
    assert_eq!(core.handle(Input::Wake), []);
    assert_eq!(core.handle(Input::Ended(task_id(5))), [Action::Claim]);
}

#[test]
fn a_cancellation_that_overtakes_its_claim_still_counts() {
    let mut core = DispatchCore::new(1, 8, BTreeMap::new());
    core.handle(Input::Wake);
    assert_eq!(core.handle(Input::Cancel(task_id(5), DecidedBy::User)), []);
    let actions = core.handle(Input::Claimed(Some(task(5))));
    assert_eq!(actions, [Action::Run(lane(5), task(5)), Action::Cancel(lane(5), task_id(5), DecidedBy::User)]);
}

#[test]
fn a_task_whose_claim_was_undone_is_claimed_and_run_again() {
    let mut core = DispatchCore::new(1, 8, BTreeMap::new());
    core.handle(Input::Wake);
    core.handle(Input::Claimed(Some(task(5))));
    assert_eq!(core.handle(Input::Lost(task_id(5), None)), [Action::Claim]);
    assert_eq!(core.handle(Input::Claimed(Some(task(5)))), [Action::Run(lane(5), task(5))]);
}

#[test]
fn a_task_that_is_claimed_again_before_its_lane_knows_is_run_again_once_it_does() {
    let mut core = DispatchCore::new(4, 8, BTreeMap::new());
    core.handle(Input::Wake);
    core.handle(Input::Claimed(Some(task(5))));
    assert_eq!(core.handle(Input::Claimed(Some(task(5)))), [Action::Claim], "a lane has it");
    assert_eq!(core.handle(Input::Lost(task_id(5), None)), [Action::Run(lane(5), task(5))]);
    assert_eq!(core.running(), 1);
}

#[test]
fn a_task_that_is_claimed_again_is_not_run_again_if_its_turn_has_begun() {
    let mut core = DispatchCore::new(1, 8, BTreeMap::new());
    core.handle(Input::Wake);
    core.handle(Input::Claimed(Some(task(5))));
    core.handle(Input::Claimed(Some(task(5))));
    assert_eq!(core.handle(Input::Ended(task_id(5))), [Action::Claim]);
    assert_eq!(core.handle(Input::Lost(task_id(5), None)), [], "a claim is under way");
}

#[test]
fn a_cancellation_of_a_task_that_is_claimed_again_still_counts() {
    let stopped = Box::new(Task { cancel_requested: Some(DecidedBy::User), ..*task(5) });
    let (cancel, lost) = (Input::Cancel(task_id(5), DecidedBy::User), Input::Lost(task_id(5), None));
    let again = Input::Claimed(Some(task(5)));
    let told = Input::Lost(task_id(5), Some(DecidedBy::User));
    for inputs in [[cancel.clone(), again.clone(), lost.clone()], [again.clone(), cancel.clone(), lost]] {
        let mut core = DispatchCore::new(4, 8, BTreeMap::new());
        core.handle(Input::Wake);
        core.handle(Input::Claimed(Some(task(5))));
        let actions = inputs.map(|input| core.handle(input)).concat();
        assert_eq!(actions.last(), Some(&Action::Run(lane(5), stopped.clone())), "{actions:?}");
    }
    let mut core = DispatchCore::new(4, 8, BTreeMap::new());
    core.handle(Input::Wake);
    core.handle(Input::Claimed(Some(task(5))));
    core.handle(again);
    assert_eq!(core.handle(told), [Action::Run(lane(5), stopped)]);
}

#[test]
fn a_drain_does_not_leave_a_task_running_that_was_claimed_again() {
    let mut core = DispatchCore::new(2, 8, BTreeMap::new());
    core.handle(Input::Wake);
    core.handle(Input::Claimed(Some(task(5))));
    core.handle(Input::Drain);
    assert_eq!(core.handle(Input::Claimed(Some(task(5)))), []);
    let cancelled = Action::Cancel(lane(5), task_id(5), DecidedBy::Policy);
    assert_eq!(core.handle(Input::Lost(task_id(5), None)), [Action::Run(lane(5), task(5)), cancelled]);
    assert_eq!(core.handle(Input::Ended(task_id(5))), [Action::Drained]);
}

#[test]
fn a_cancellation_of_something_that_has_ended_does_nothing() {
    let mut core = DispatchCore::new(1, 8, BTreeMap::new());
    assert_eq!(core.handle(Input::Cancel(task_id(5), DecidedBy::User)), []);
}

#[test]
fn one_warm_agent_too_many_lets_the_one_go_that_was_used_longest_ago_and_none_that_works() {
    let mut core = DispatchCore::new(4, 2, BTreeMap::new());
    core.handle(Input::Wake);
    for id in [5, 6] {
        core.handle(Input::Claimed(Some(task(id))));
    }
    core.handle(Input::Ended(task_id(6)));
    let actions = core.handle(Input::Claimed(Some(task(7))));
    assert_eq!(actions[..2], [Action::Run(lane(7), task(7)), Action::Evict(lane(6))], "5 still works");
    core.handle(Input::Ended(task_id(5)));
    core.handle(Input::Ended(task_id(7)));
    assert_eq!(core.handle(Input::TakenUp(None, lane(9))), [Action::Evict(lane(5))]);
}

#[test]
fn agents_of_one_name_may_have_a_limit_of_their_own() {
    let mut core = DispatchCore::new(4, 8, [("demo".into(), 1)].into());
    let other = LaneKey::Chat(ChatId::from_uuid(Uuid::from_u128(7)), "other".into());
    for lane in [other, lane(5)] {
        assert_eq!(core.handle(Input::TakenUp(None, lane)), []);
    }
    assert_eq!(core.handle(Input::TakenUp(None, lane(6))), [Action::Evict(lane(5))]);
}

#[test]
fn a_task_that_was_taken_up_counts_and_is_cancelled_like_any_other() {
    let mut core = DispatchCore::new(1, 8, BTreeMap::new());
    assert_eq!(core.handle(Input::TakenUp(Some(task_id(5)), lane(5))), []);
    assert_eq!(core.handle(Input::Wake), [], "the limit is reached");
    let cancelled = [Action::Cancel(lane(5), task_id(5), DecidedBy::User)];
    assert_eq!(core.handle(Input::Cancel(task_id(5), DecidedBy::User)), cancelled);
    assert_eq!(core.handle(Input::Ended(task_id(5))), [Action::Claim]);
}

#[test]
fn leaving_claims_nothing_more_and_cancels_nothing() {
    let mut core = DispatchCore::new(4, 8, BTreeMap::new());
    core.handle(Input::Wake);
    core.handle(Input::Claimed(Some(task(5))));
    assert_eq!(core.handle(Input::Leave), []);
    assert_eq!(core.handle(Input::Wake), []);
}

#[test]
fn draining_cancels_what_runs_and_ends_when_the_last_has_ended() {
    let mut core = DispatchCore::new(2, 8, BTreeMap::new());
    core.handle(Input::Wake);
    core.handle(Input::Claimed(Some(task(5))));
    assert_eq!(core.handle(Input::Drain), [Action::Cancel(lane(5), task_id(5), DecidedBy::Policy)]);
    assert_eq!(core.handle(Input::Wake), [], "nothing new");
    assert_eq!(core.handle(Input::Claimed(None)), [], "one still runs");
    assert_eq!(core.handle(Input::Ended(task_id(5))), [Action::Drained]);
}

#[test]
fn a_claim_that_comes_back_while_draining_is_run_only_to_be_cancelled() {
    let mut core = DispatchCore::new(2, 8, BTreeMap::new());
    core.handle(Input::Wake);
    assert_eq!(core.handle(Input::Drain), [], "a claim is under way");
    let actions = core.handle(Input::Claimed(Some(task(5))));
    assert_eq!(actions, [Action::Run(lane(5), task(5)), Action::Cancel(lane(5), task_id(5), DecidedBy::Policy)]);
}

#[test]
fn a_wake_during_the_last_claim_does_not_keep_a_drain_from_ending() {
    let mut core = DispatchCore::new(2, 8, BTreeMap::new());
    core.handle(Input::Wake);
    core.handle(Input::Wake);
    assert_eq!(core.handle(Input::Drain), [], "a claim is under way");
    assert_eq!(core.handle(Input::Claimed(None)), [Action::Drained]);
}

#[test]
fn draining_when_nothing_runs_ends_at_once() {
    assert_eq!(DispatchCore::new(2, 8, BTreeMap::new()).handle(Input::Drain), [Action::Drained]);
}

/// A store with tasks and a shell, as far as the scheduler can tell.
#[derive(Default)]
struct World {
    queued: Vec<u128>,
    running: Vec<u128>,
    claims: usize,
    drained: usize,
}

impl World {
    fn act(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Claim => self.claims += 1,
                Action::Run(_, task) => self.running.push(task.id.as_uuid().as_u128()),
                Action::Cancel(..) | Action::Evict(_) => {}
                Action::Drained => self.drained += 1,
            }
        }
    }

    /// The claim under way comes back, with a task if there is one.
    fn claimed(&mut self) -> Option<Input> {
        self.claims = self.claims.checked_sub(1)?;
        Some(Input::Claimed(self.queued.pop().map(task)))
    }
}

proptest::proptest! {
    /// Whatever comes in which order: at most so many run, one claim is under way at a time, no task waits while
    /// there is room, and a drain ends.
    #[test]
    fn nothing_waits_in_vain(steps in proptest::collection::vec(0..6_u8, 0..80), tasks in 0..12_u128) {
        let (mut core, mut world) = (DispatchCore::new(3, 8, BTreeMap::new()), World::default());
        let mut draining = false;
        world.queued = (1..=tasks).collect();
        let quiet = std::iter::repeat_n([2, 3], 200).flatten();
        for step in std::iter::once(0).chain(steps).chain(quiet) {
            let input = match step {
                0 => Some(Input::Wake),
                1 => Some(Input::Cancel(task_id(u128::from(step)), DecidedBy::User)),
                2 => world.claimed(),
                3 => world.running.pop().map(|id| Input::Ended(task_id(id))),
                4 if world.claims > 0 => {
                    world.claims -= 1;
                    let actions = core.handle(Input::ClaimFailed);
                    world.act(actions);
                    Some(Input::Wake)
                }
                5 if !draining => {
                    draining = true;
                    Some(Input::Drain)
                }
                _ => None,
            };
            if let Some(input) = input {
                let actions = core.handle(input);
                world.act(actions);
            }
            proptest::prop_assert!(world.claims <= 1);
            proptest::prop_assert!(world.running.len() <= 3 || draining);
        }
        proptest::prop_assert!(world.running.is_empty() && world.claims == 0);
        if draining {
            proptest::prop_assert!(world.drained > 0, "the drain never ended");
        } else {
            proptest::prop_assert!(world.queued.is_empty(), "a task was left waiting");
        }
    }
}

#[test]
fn a_task_begins_at_once_where_nothing_runs_and_nothing_could_wait() {
    let mut core = DispatchCore::new(2, 8, BTreeMap::new());
    assert!(!core.admits(&task(5)), "nobody has looked yet what waits");
    core.handle(Input::Wake);
    assert!(!core.admits(&task(5)), "a claim is under way");
    core.handle(Input::Claimed(None));
    assert!(core.admits(&task(5)));
    assert_eq!(core.handle(Input::Begin(task(5))), [Action::Run(lane(5), task(5))], "without a claim");
    let same_chat = Box::new(Task { id: task_id(6), agent: "other".into(), chat_id: task(5).chat_id, ..*task(6) });
    assert!(!core.admits(&same_chat), "one turn at a time in a chat, whoever's");
    assert!(core.admits(&task(7)));
    core.handle(Input::Begin(task(7)));
    assert!(!core.admits(&task(8)), "there is no room");
    assert_eq!(core.handle(Input::Ended(task_id(7))), [Action::Claim], "something may have waited for room");
    assert!(!core.admits(&task(8)));
    core.handle(Input::ClaimFailed);
    assert!(!core.admits(&task(8)), "nobody knows what waits");
    core.handle(Input::Wake);
    core.handle(Input::Claimed(None));
    assert!(core.admits(&task(8)));
    assert!(!core.admits(&Task { session_id: None, ..*task(9) }), "a task of its own is claimed");
    core.handle(Input::Drain);
    assert!(!core.admits(&task(8)));
}

#[test]
fn a_task_that_was_not_taken_in_after_all_leaves_its_chat_free() {
    let mut core = DispatchCore::new(2, 8, BTreeMap::new());
    core.handle(Input::Wake);
    core.handle(Input::Claimed(None));
    core.handle(Input::Begin(task(5)));
    assert_eq!(core.handle(Input::Lost(task_id(5), None)), [Action::Claim]);
    core.handle(Input::Claimed(None));
    assert!(core.admits(&task(5)) && core.running() == 0);
}
