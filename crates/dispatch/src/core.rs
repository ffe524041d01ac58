//! The scheduler's decisions: when to claim a task, where it runs, and what a cancellation or a shutdown means.

#[cfg(test)]
mod tests;

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
    /// A task that [may begin at once](DispatchCore::admits) begins: it is not in the store yet.
    Begin(Box<Task>),
    /// A task's turn is settled and stored.
    Ended(TaskId),
    /// A task's turn did not begin, since the store does not say that it runs: a crash of the database undid its claim.
    /// With who wanted it to stop meanwhile, if somebody did.
    Lost(TaskId, Option<DecidedBy>),
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
    /// Tasks that were claimed a second time, since the first claim was undone, and whose lanes do not know yet. A lane that
    /// began its turn before it could notice needs nothing of it.
    again: BTreeMap<TaskId, Box<Task>>,
    claiming: bool,
    wake_again: bool,
    /// Whether all that could be claimed was: the last claim found nothing.
    nothing_waits: bool,
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
            again: BTreeMap::new(),
            claiming: false,
            wake_again: false,
            nothing_waits: false,
            early_cancels: BTreeSet::new(),
            draining: false,
        }
    }

    /// How many tasks run.
    pub fn running(&self) -> usize {
        self.running.len()
    }

    /// Whether a task that is not in the store yet may begin at once, instead of being queued and claimed: there is room for
    /// it, nothing runs in its chat, and nothing waits there that would be overtaken.
    pub fn admits(&self, task: &Task) -> bool {
        let chat = |lane: &LaneKey| match lane {
            LaneKey::Chat(chat, _) => Some(*chat),
            LaneKey::Task(_) => None,
        };
        let lane = LaneKey::of(task);
        let is_free = chat(&lane).is_some() && self.running.values().all(|busy| chat(busy) != chat(&lane));
        let has_room = self.running.len() < self.max_running;
        has_room && is_free && self.nothing_waits && !self.claiming && !self.draining && self.again.is_empty()
    }

    /// Takes in what happened, and says what to do about it.
    pub fn handle(&mut self, input: Input) -> Vec<Action> {
        match input {
            Input::Wake => self.claim(),
            Input::Claimed(Some(task)) => self.start(task),
            Input::Begin(task) => self.begin(task),
            Input::Claimed(None) => {
                self.claiming = false;
                self.nothing_waits = true;
                self.early_cancels.clear();
                let wake_again = std::mem::take(&mut self.wake_again);
                if wake_again && !self.draining { self.claim() } else { self.drained() }
            }
            Input::ClaimFailed => {
                self.claiming = false;
                self.nothing_waits = false;
                self.drained()
            }
            Input::Ended(task) => {
                self.again.remove(&task);
                if let Some(lane) = self.running.remove(&task) {
                    self.use_lane(&lane);
                }
                let mut actions = self.evict();
                actions.extend(if self.draining { self.drained() } else { self.claim() });
                actions
            }
            Input::Lost(id, by) => {
                self.running.remove(&id);
                match self.again.remove(&id) {
                    Some(mut task) => {
                        task.cancel_requested = task.cancel_requested.or(by);
                        self.run(task)
                    }
                    None if self.draining => self.drained(),
                    None => self.claim(),
                }
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
        (self.claiming, self.nothing_waits) = (true, false);
        vec![Action::Claim]
    }

    fn start(&mut self, mut task: Box<Task>) -> Vec<Action> {
        self.claiming = false;
        if self.running.contains_key(&task.id) {
            let is_cancelled = self.early_cancels.remove(&task.id);
            task.cancel_requested = task.cancel_requested.or(is_cancelled.then_some(DecidedBy::User));
            self.again.insert(task.id, task);
            return self.claim();
        }
        self.run(task)
    }

    fn begin(&mut self, task: Box<Task>) -> Vec<Action> {
        let mut actions = self.occupy(task);
        actions.extend(self.evict());
        actions
    }

    fn occupy(&mut self, task: Box<Task>) -> Vec<Action> {
        let lane = LaneKey::of(&task);
        self.running.insert(task.id, lane.clone());
        self.use_lane(&lane);
        vec![Action::Run(lane, task)]
    }

    fn run(&mut self, task: Box<Task>) -> Vec<Action> {
        let (id, lane) = (task.id, LaneKey::of(&task));
        let mut actions = self.occupy(task);
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
        if let Some(again) = self.again.get_mut(&task) {
            again.cancel_requested = again.cancel_requested.or(Some(by));
        } else if self.claiming {
            // The store says that it runs: where we have not heard of it, its claim is on the way back to us.
            self.early_cancels.insert(task);
        }
        self.running.get(&task).map(|lane| Action::Cancel(lane.clone(), task, by)).into_iter().collect()
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
