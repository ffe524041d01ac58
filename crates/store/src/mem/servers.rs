//! Servers that share a store in memory: their leases, their fences, and what each of them owns.

use std::time::Duration;

use boocoder_model::{
    AgentSession, AgentSessionStatus, ChatId, Fence, Runner, RunnerId, ServerId, Task, TaskId, TaskState,
};
use jiff::Timestamp;

use super::tables::{Kept, Registered, Tables, TaskOwner};
use crate::rule::{self, conflict};
use crate::{Owned, StoreError, Wish, Writer};

impl Tables {
    /// A writer that another process has replaced, or another server taken over, writes nothing.
    pub(super) fn check_writer(&self, writer: Option<Writer>) -> Result<(), StoreError> {
        let Some(writer) = writer else { return Ok(()) };
        let fence = self.servers.get(&writer.server).map(|server| server.fence);
        if fence == Some(writer.fence) { Ok(()) } else { Err(StoreError::FencedOff) }
    }

    pub(super) fn register(&mut self, id: ServerId, lease: Duration, now: Timestamp) -> Fence {
        let fence = self.servers.get(&id).map_or(Fence::ZERO, |server| server.fence).next();
        self.servers.insert(id, Registered { fence, alive_until: until(now, lease) });
        let is_alone = self.servers.iter().all(|(other, server)| *other == id || server.alive_until <= now);
        if is_alone {
            for task in self.running().map(|task| task.id).collect::<Vec<_>>() {
                self.task_owners.entry(task).or_insert(TaskOwner { server: id, is_taken_over: false });
            }
            for runner in self.live_runners().map(|runner| runner.id).collect::<Vec<_>>() {
                self.runner_owners.entry(runner).or_insert(id);
            }
        }
        fence
    }

    pub(super) fn renew(&mut self, writer: Writer, lease: Duration, now: Timestamp) -> Result<(), StoreError> {
        self.check_writer(Some(writer))?;
        self.servers.insert(writer.server, Registered { fence: writer.fence, alive_until: until(now, lease) });
        Ok(())
    }

    pub(super) fn lapsed(&self, now: Timestamp) -> Vec<Writer> {
        let owns = |id: ServerId| {
            self.running().any(|task| self.owner_of(task.id) == Some(id)) || self.runners_of(id).next().is_some()
        };
        let lapsed = self.servers.iter().filter(|(id, server)| server.alive_until <= now && owns(**id));
        lapsed.map(|(id, server)| Writer { server: *id, fence: server.fence }).collect()
    }

    pub(super) fn take_over(
        &mut self,
        taker: Writer,
        lapsed: Writer,
        now: Timestamp,
    ) -> Result<Vec<Runner>, StoreError> {
        self.check_writer(Some(taker))?;
        let server = self.servers.get_mut(&lapsed.server);
        let server = server.filter(|server| server.fence == lapsed.fence && server.alive_until <= now);
        let server = server.ok_or_else(|| conflict("server", rule::ALIVE))?;
        server.fence = server.fence.next();
        let runners: Vec<_> = self.runners_of(lapsed.server).cloned().collect();
        for runner in &runners {
            self.runners.insert(runner.id, Kept { value: runner.clone(), removed_at: Some(now) });
            if let Some(chat) = runner.chat_id
                && let Some(session) = self.agent_sessions.get_mut(&(chat, runner.agent.clone()))
            {
                session.status = left_behind(session);
            }
        }
        let is_its = |id: &TaskId| self.owner_of(*id) == Some(lapsed.server);
        for task in self.running().map(|task| task.id).filter(is_its).collect::<Vec<_>>() {
            self.task_owners.insert(task, TaskOwner { server: taker.server, is_taken_over: true });
        }
        Ok(runners)
    }

    pub(super) fn owned(&self, server: ServerId) -> Owned {
        let of = |is_taken_over: bool| {
            let owner = TaskOwner { server, is_taken_over };
            let is_its = |task: &&Task| self.task_owners.get(&task.id) == Some(&owner);
            let mut tasks: Vec<_> = self.running().filter(is_its).cloned().collect();
            tasks.reverse();
            tasks
        };
        Owned { running: of(false), taken_over: of(true), runners: self.runners_of(server).cloned().collect() }
    }

    pub(super) fn owner_of(&self, task: TaskId) -> Option<ServerId> {
        self.task_owners.get(&task).map(|owner| owner.server)
    }

    pub(super) fn wishes_of(&self, server: ServerId) -> Vec<Wish> {
        let is_its = |wish: &&Wish| {
            let open = self.interactions.get(&wish.interaction_id).filter(|asked| asked.settled.is_none());
            let task = open.and_then(|asked| self.tasks.get(&asked.task_id));
            let running = task.filter(|task| task.state == TaskState::Running);
            running.is_some_and(|task| self.owner_of(task.id) == Some(server))
        };
        self.wishes.values().filter(is_its).cloned().collect()
    }

    /// Whether a runner of another server keeps the agent that a task of this chat needs.
    pub(super) fn is_elsewhere(&self, task: &Task, by: Option<Writer>) -> bool {
        let Some((chat, by)) = task.chat_id.zip(by) else { return false };
        let is_of =
            |runner: &&Runner| is_of(runner, chat, task) && self.runner_owners.get(&runner.id) != Some(&by.server);
        self.live_runners().any(|runner| is_of(&runner))
    }

    fn running(&self) -> impl Iterator<Item = &Task> {
        self.tasks.values().filter(|task| task.state == TaskState::Running)
    }

    fn runners_of(&self, server: ServerId) -> impl Iterator<Item = &Runner> {
        let is_its = move |id: RunnerId| self.runner_owners.get(&id) == Some(&server);
        self.live_runners().filter(move |runner| is_its(runner.id))
    }
}

fn is_of(runner: &Runner, chat: ChatId, task: &Task) -> bool {
    runner.chat_id == Some(chat) && runner.agent == task.agent
}

/// The status of an agent session whose runner nobody owns any more.
const fn left_behind(session: &AgentSession) -> AgentSessionStatus {
    match session.status {
        AgentSessionStatus::Active => AgentSessionStatus::Crashed,
        AgentSessionStatus::Idle => AgentSessionStatus::Closed,
        status @ (AgentSessionStatus::Crashed | AgentSessionStatus::Closed | AgentSessionStatus::Parked) => status,
    }
}

fn until(now: Timestamp, lease: Duration) -> Timestamp {
    now.checked_add(lease).unwrap_or(Timestamp::MAX)
}
