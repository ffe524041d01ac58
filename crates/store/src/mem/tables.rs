//! What is kept, and the one way to change it so that a batch can be undone.

use std::fmt;
use std::hash::Hash;
use std::sync::Arc;

use boocoder_model::{
    AgentName, AgentSession, Chat, ChatId, DecisionId, Fence, Interaction, InteractionId, Message, MessageId,
    OpenDecision, PendingChange, PendingId, Project, ProjectId, Runner, RunnerId, Seq, ServerId, Session, SessionId,
    Task, TaskId, Turn, TurnId, UsageEntry, UsageId, Worktree, WorktreeId,
};
use indexmap::IndexMap;
use jiff::Timestamp;

use crate::Wish;

/// Something that can be removed and is kept all the same.
#[derive(Clone, Debug)]
pub(super) struct Kept<T> {
    pub(super) value: T,
    pub(super) removed_at: Option<Timestamp>,
}

impl<T> Kept<T> {
    pub(super) const fn new(value: T) -> Self {
        Self { value, removed_at: None }
    }

    /// The value, unless it was removed.
    pub(super) const fn live(&self) -> Option<&T> {
        match self.removed_at {
            None => Some(&self.value),
            Some(_) => None,
        }
    }
}

/// A server, as it registered and renewed its lease.
#[derive(Clone, Copy, Debug)]
pub(super) struct Registered {
    pub(super) fence: Fence,
    pub(super) alive_until: Timestamp,
}

/// Whose a task is that was claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TaskOwner {
    pub(super) server: ServerId,
    /// Its agent lives elsewhere: it can only be settled.
    pub(super) is_taken_over: bool,
}

/// Every table, in the order in which things were added.
#[derive(Debug, Default)]
pub(super) struct Tables {
    pub(super) projects: IndexMap<ProjectId, Project>,
    pub(super) sessions: IndexMap<SessionId, Kept<Session>>,
    pub(super) chats: IndexMap<ChatId, Kept<Chat>>,
    pub(super) tasks: IndexMap<TaskId, Task>,
    pub(super) requests: IndexMap<String, TaskId>,
    pub(super) messages: IndexMap<MessageId, Message>,
    pub(super) turns: IndexMap<TurnId, Turn>,
    pub(super) agent_sessions: IndexMap<(ChatId, AgentName), AgentSession>,
    pub(super) usage_entries: IndexMap<UsageId, UsageEntry>,
    pub(super) interactions: IndexMap<InteractionId, Interaction>,
    pub(super) worktrees: IndexMap<WorktreeId, Kept<Worktree>>,
    pub(super) pending: IndexMap<PendingId, PendingChange>,
    pub(super) decisions: IndexMap<DecisionId, OpenDecision>,
    /// Removed means ended.
    pub(super) runners: IndexMap<RunnerId, Kept<Runner>>,
    pub(super) logs: IndexMap<SessionId, Log>,
    pub(super) servers: IndexMap<ServerId, Registered>,
    pub(super) task_owners: IndexMap<TaskId, TaskOwner>,
    pub(super) runner_owners: IndexMap<RunnerId, ServerId>,
    pub(super) wishes: IndexMap<InteractionId, Wish>,
}

/// The log of a session: its first frame has the number after the floor, so a frame's place tells its number.
#[derive(Clone, Debug, Default)]
pub(super) struct Log {
    pub(super) floor: Seq,
    pub(super) bodies: Vec<Arc<str>>,
}

impl Log {
    pub(super) const fn last(&self) -> Seq {
        Seq(self.floor.0 + self.bodies.len() as u64)
    }

    /// How many of the frames that are left are not after this number.
    pub(super) fn until(&self, seq: Seq) -> usize {
        usize::try_from(seq.0.saturating_sub(self.floor.0))
            .map_or(self.bodies.len(), |count| count.min(self.bodies.len()))
    }
}

type Inverse = Box<dyn FnOnce(&mut Tables) + Send>;

/// What takes the changes of one batch back, newest first.
#[derive(Default)]
pub(super) struct Undo(Vec<Inverse>);

impl fmt::Debug for Undo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Undo({} steps)", self.0.len())
    }
}

impl Undo {
    /// Puts a value into a table and remembers what was there. Every change of state goes through here.
    pub(super) fn put<K, V>(
        &mut self,
        tables: &mut Tables,
        table: fn(&mut Tables) -> &mut IndexMap<K, V>,
        key: K,
        value: V,
    ) where
        K: Clone + Hash + Eq + Send + 'static,
        V: Send + 'static,
    {
        let before = table(tables).insert(key.clone(), value);
        self.0.push(Box::new(move |tables| {
            match before {
                Some(value) => table(tables).insert(key, value),
                None => table(tables).shift_remove(&key),
            };
        }));
    }

    /// Takes a value out of a table, at whose place it is put back when the batch is undone.
    pub(super) fn take<K, V>(&mut self, tables: &mut Tables, table: fn(&mut Tables) -> &mut IndexMap<K, V>, key: K)
    where
        K: Copy + Eq + Hash + Send + 'static,
        V: Send + 'static,
    {
        if let Some((index, _, value)) = table(tables).shift_remove_full(&key) {
            self.0.push(Box::new(move |tables| {
                table(tables).shift_insert(index, key, value);
            }));
        }
    }

    /// Takes everything back.
    pub(super) fn run(self, tables: &mut Tables) {
        for inverse in self.0.into_iter().rev() {
            inverse(tables);
        }
    }
}
