//! What is kept, and the one way to change it so that a batch can be undone.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;

use boocoder_model::{
    AgentName, AgentSession, Chat, ChatId, Interaction, InteractionId, Message, MessageId, PendingChange, PendingId,
    Project, ProjectId, Session, SessionId, Task, TaskId, Turn, TurnId, Worktree, WorktreeId,
};
use indexmap::IndexMap;
use jiff::Timestamp;

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
    pub(super) interactions: IndexMap<InteractionId, Interaction>,
    pub(super) worktrees: IndexMap<WorktreeId, Kept<Worktree>>,
    pub(super) pending: IndexMap<PendingId, PendingChange>,
    /// The log of each session: the first frame has the number 1, so a frame's place tells its number.
    pub(super) frames: BTreeMap<SessionId, Vec<Arc<str>>>,
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

    /// Takes everything back.
    pub(super) fn run(self, tables: &mut Tables) {
        for inverse in self.0.into_iter().rev() {
            inverse(tables);
        }
    }
}
