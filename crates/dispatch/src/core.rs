//! The scheduler's decisions: when to claim a task, where it runs, and what a cancellation or a shutdown means.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use boocoder_model::{AgentName, ChatId, DecidedBy, Task, TaskId};

/// What a lane serves: an agent in a chat, or one task without a chat.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LaneKey {
    /// A warm agent of a chat.
    Chat(ChatId, AgentName),
    /// A task of its own.
    Task(TaskId),
}

impl LaneKey {
    /// The agent of a chat's lane.
    fn agent(&self) -> Option<&AgentName> {
        match self {
            Self::Chat(_, agent) => Some(agent),
            Self::Task(_) => None,
        }
    }

    /// The lane that runs a task.
    pub fn of(task: &Task) -> Self {
        match task.chat_id {
            Some(chat) if task.session_id.is_some() => Self::Chat(chat, task.agent.clone()),
            Some(_) | None => Self::Task(task.id),
        }
    }
}

/// Something that the scheduler is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// A task may have become claimable.
    Wake,
    /// A claim came back, with a task or without.
    Claimed(Option<Box<Task>>),
    /// A claim failed; the shell sends a wake later.
    ClaimFailed,
    /// A task's turn is settled and stored.
    Ended(TaskId),
    /// An earlier process left an agent on this lane, and the task that it works on, if it does.
    TakenUp(Option<TaskId>, LaneKey),
    /// Somebody wants a task that is not queued any more to stop.
    Cancel(TaskId, DecidedBy),
    /// The process is to stop, and what runs with it.
    Drain,
    /// The process is to stop, and what runs goes on without it.
    Leave,
}

/// Something that the scheduler wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Claim a task from the store, and report back.
    Claim,
    /// Run this task on this lane.
    Run(LaneKey, Box<Task>),
    /// Cancel this lane's turn if it is the one for this task.
    Cancel(LaneKey, TaskId, DecidedBy),
    /// There are too many warm agents: let this one go, which has been without work for longest.
    Evict(LaneKey),
    /// Nothing runs any more and nothing will: close the lanes.
    Drained,
}

/// Decides what runs. It does not act, wait or read a clock.
#[derive(Debug)]
pub struct DispatchCore {
    max_running: usize,
    max_warm: usize,
    /// The same for agents of one name.
    max_warm_of: BTreeMap<AgentName, usize>,
    running: BTreeMap<TaskId, LaneKey>,
    /// The lanes whose agents may be warm, the one without work for longest first.
    warm: VecDeque<LaneKey>,
    claiming: bool,
    wake_again: bool,
    /// Cancellations that overtook their own task's claim.
    early_cancels: BTreeSet<TaskId>,
    draining: bool,
}

impl DispatchCore {
    /// A scheduler that runs at most so many tasks at once, and keeps at most so many agents warm.
    pub fn new(max_running: usize, max_warm: usize, max_warm_of: BTreeMap<AgentName, usize>) -> Self {
        Self {
            max_running,
            max_warm,
            max_warm_of,
            running: BTreeMap::new(),
            warm: VecDeque::new(),
            claiming: false,
            wake_again: false,
            early_cancels: BTreeSet::new(),
            draining: false,
        }
    }

    /// How many tasks run.
    pub fn running(&self) -> usize {
        self.running.len()
    }

    /// Takes in what happened, and says what to do about it.
    pub fn handle(&mut self, input: Input) -> Vec<Action> {
        match input {
            Input::Wake => self.claim(),
            Input::Claimed(Some(task)) => self.start(task),
            Input::Claimed(None) => {
                self.claiming = false;
                self.early_cancels.clear();
                let wake_again = std::mem::take(&mut self.wake_again);
                if wake_again && !self.draining { self.claim() } else { self.drained() }
            }
            Input::ClaimFailed => {
                self.claiming = false;
                self.drained()
            }
            Input::Ended(task) => {
                if let Some(lane) = self.running.remove(&task) {
                    self.use_lane(&lane);
                }
                let mut actions = self.evict();
                actions.extend(if self.draining { self.drained() } else { self.claim() });
                actions
            }
            Input::TakenUp(task, lane) => {
                self.use_lane(&lane);
                self.running.extend(task.map(|task| (task, lane)));
                self.evict()
            }
            Input::Cancel(task, by) => self.cancel(task, by),
            Input::Drain => self.drain(),
            Input::Leave => {
                self.draining = true;
                Vec::new()
            }
        }
    }

    fn claim(&mut self) -> Vec<Action> {
        if self.draining || self.running.len() >= self.max_running {
            return Vec::new();
        }
        if self.claiming {
            self.wake_again = true;
            return Vec::new();
        }
        self.claiming = true;
        vec![Action::Claim]
    }

    fn start(&mut self, task: Box<Task>) -> Vec<Action> {
        self.claiming = false;
        let id = task.id;
        let lane = LaneKey::of(&task);
        self.running.insert(id, lane.clone());
        self.use_lane(&lane);
        let mut actions = vec![Action::Run(lane.clone(), task)];
        actions.extend(self.evict());
        if self.draining {
            actions.push(Action::Cancel(lane, id, DecidedBy::Policy));
        } else if self.early_cancels.remove(&id) {
            actions.push(Action::Cancel(lane, id, DecidedBy::User));
        }
        actions.extend(self.claim());
        actions
    }

    /// The lane has been without work for a shorter time than all others.
    fn use_lane(&mut self, lane: &LaneKey) {
        if matches!(lane, LaneKey::Chat(..)) {
            self.warm.retain(|other| other != lane);
            self.warm.push_back(lane.clone());
        }
    }

    /// Agents that have to go so that no more are warm than may be, of all and of each name. Those that work stay.
    fn evict(&mut self) -> Vec<Action> {
        let count = |agent: &AgentName| self.warm.iter().filter(|lane| lane.agent() == Some(agent)).count();
        let surplus_of = |(agent, most): (&AgentName, &usize)| (agent.clone(), count(agent).saturating_sub(*most));
        let mut surplus_of: BTreeMap<_, _> = self.max_warm_of.iter().map(surplus_of).collect();
        let mut surplus = self.warm.len().saturating_sub(self.max_warm);
        let (mut gone, mut kept) = (Vec::new(), VecDeque::new());
        for lane in std::mem::take(&mut self.warm) {
            let own = lane.agent().and_then(|agent| surplus_of.get_mut(agent)).filter(|own| **own > 0);
            let is_one_too_many = surplus > 0 || own.is_some();
            if is_one_too_many && self.running.values().all(|busy| *busy != lane) {
                surplus = surplus.saturating_sub(1);
                own.into_iter().for_each(|own| *own -= 1);
                gone.push(Action::Evict(lane));
            } else {
                kept.push_back(lane);
            }
        }
        self.warm = kept;
        gone
    }

    fn cancel(&mut self, task: TaskId, by: DecidedBy) -> Vec<Action> {
        match self.running.get(&task) {
            Some(lane) => vec![Action::Cancel(lane.clone(), task, by)],
            None => {
                // The store says that it runs and we have not heard of it: its claim is on the way back to us.
                if self.claiming {
                    self.early_cancels.insert(task);
                }
                Vec::new()
            }
        }
    }

    fn drain(&mut self) -> Vec<Action> {
        self.draining = true;
        let cancel = |(task, lane): (&TaskId, &LaneKey)| Action::Cancel(lane.clone(), *task, DecidedBy::Policy);
        let mut actions: Vec<_> = self.running.iter().map(cancel).collect();
        actions.extend(self.drained());
        actions
    }

    fn drained(&self) -> Vec<Action> {
        if self.draining && self.running.is_empty() && !self.claiming { vec![Action::Drained] } else { Vec::new() }
    }
}

#[cfg(test)]
mod tests {
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
}
