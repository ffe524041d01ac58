//! The engine that keeps everything in this process.

mod apply;
mod read;
mod servers;
mod stats;
mod tables;

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use boocoder_model::{
    AgentName, AgentSession, Chat, ChatId, Fence, Interaction, InteractionId, Message, MessageId, OpenDecision,
    PendingChange, PendingId, Project, ProjectId, Runner, RunnerId, Seq, ServerId, Session, SessionId, Task, TaskId,
    Turn, UsageEntry, Worktree,
};
use jiff::Timestamp;
use tokio::sync::{broadcast, watch};

use crate::limits::NEWS;
use crate::{
    Groups, InteractionFilter, News, Owned, ReadBudget, StatsQuery, Store, StoreError, StoredFrame, TaskFilter,
    TurnCounts, UsageSum, Wish, WriteBatch, Writer,
};
use tables::Tables;

/// Keeps everything in memory: the same rules as a database, and gone with the process.
#[derive(Debug)]
pub struct MemStore {
    tables: Mutex<Tables>,
    wakeups: watch::Sender<u64>,
    news: broadcast::Sender<News>,
}

impl Default for MemStore {
    fn default() -> Self {
        Self { tables: Mutex::default(), wakeups: watch::Sender::default(), news: broadcast::Sender::new(NEWS) }
    }
}

impl MemStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// A batch is undone before its error is returned, so a poisoned lock still guards whole batches.
    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        self.wakeups.send_modify(|count| *count = count.wrapping_add(1));
    }
}

#[async_trait]
impl Store for MemStore {
    async fn commit(&self, batch: WriteBatch) -> Result<(), StoreError> {
        let wakes = batch.wakes_claimers();
        let news = batch.writer.map(|writer| (writer.server, batch.news()));
        self.tables().commit(batch)?;
        if wakes {
            self.wake();
        }
        if let Some((by, news)) = news {
            for about in news {
                // Nobody need listen.
                let _ = self.news.send(News::Written { by, about });
            }
        }
        Ok(())
    }

    async fn claim_task(&self, by: Option<Writer>, now: Timestamp) -> Result<Option<Task>, StoreError> {
        self.tables().claim(by, now)
    }

    fn wakeups(&self) -> watch::Receiver<u64> {
        self.wakeups.subscribe()
    }

    fn news(&self) -> broadcast::Receiver<News> {
        self.news.subscribe()
    }

    async fn register(&self, server: ServerId, lease: Duration, now: Timestamp) -> Result<Fence, StoreError> {
        Ok(self.tables().register(server, lease, now))
    }

    async fn renew(&self, writer: Writer, lease: Duration, now: Timestamp) -> Result<(), StoreError> {
        self.tables().renew(writer, lease, now)
    }

    async fn lapsed(&self, now: Timestamp) -> Result<Vec<Writer>, StoreError> {
        Ok(self.tables().lapsed(now))
    }

    async fn take_over(&self, taker: Writer, lapsed: Writer, now: Timestamp) -> Result<Vec<Runner>, StoreError> {
        let runners = self.tables().take_over(taker, lapsed, now)?;
        self.wake();
        Ok(runners)
    }

    async fn owned(&self, server: ServerId) -> Result<Owned, StoreError> {
        Ok(self.tables().owned(server))
    }

    async fn server_of(&self, task: TaskId) -> Result<Option<ServerId>, StoreError> {
        Ok(self.tables().owner_of(task))
    }

    async fn wishes(&self, server: ServerId) -> Result<Vec<Wish>, StoreError> {
        Ok(self.tables().wishes_of(server))
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn frames_after(
        &self,
        session: SessionId,
        after: Seq,
        budget: ReadBudget,
    ) -> Result<Vec<StoredFrame>, StoreError> {
        Ok(self.tables().frames_after(session, after, budget))
    }

    async fn last_seq(&self, session: SessionId) -> Result<Seq, StoreError> {
        Ok(self.tables().last_seq(session))
    }

    async fn log_floor(&self, session: SessionId) -> Result<Seq, StoreError> {
        Ok(self.tables().log_floor(session))
    }

    async fn project(&self, id: ProjectId) -> Result<Option<Project>, StoreError> {
        Ok(self.tables().projects.get(&id).cloned())
    }

    async fn project_at(&self, path: &Path) -> Result<Option<Project>, StoreError> {
        Ok(self.tables().projects.values().find(|project| project.path == path).cloned())
    }

    async fn projects(&self) -> Result<Vec<Project>, StoreError> {
        Ok(self.tables().projects.values().cloned().collect())
    }

    async fn session(&self, id: SessionId) -> Result<Option<Session>, StoreError> {
        Ok(self.tables().live_session(id).cloned())
    }

    async fn sessions(&self) -> Result<Vec<Session>, StoreError> {
        Ok(self.tables().sessions.values().rev().filter_map(|kept| kept.live()).cloned().collect())
    }

    async fn chat(&self, id: ChatId) -> Result<Option<Chat>, StoreError> {
        Ok(self.tables().live_chat(id).cloned())
    }

    async fn chats(&self, session: SessionId) -> Result<Vec<Chat>, StoreError> {
        let tables = self.tables();
        let live = tables.chats.values().filter_map(|kept| kept.live());
        Ok(live.filter(|chat| chat.session_id == session).cloned().collect())
    }

    async fn task(&self, id: TaskId) -> Result<Option<Task>, StoreError> {
        Ok(self.tables().tasks.get(&id).cloned())
    }

    async fn tasks(&self, filter: TaskFilter) -> Result<Vec<Task>, StoreError> {
        Ok(self.tables().tasks(&filter))
    }

    async fn task_by_request(&self, request_key: &str) -> Result<Option<Task>, StoreError> {
        let tables = self.tables();
        Ok(tables.requests.get(request_key).and_then(|id| tables.tasks.get(id)).cloned())
    }

    async fn messages(&self, session: SessionId, chat: Option<ChatId>) -> Result<Vec<Message>, StoreError> {
        Ok(self.tables().messages(session, chat))
    }

    async fn messages_page(
        &self,
        session: SessionId,
        chat: Option<ChatId>,
        before: Option<MessageId>,
        limit: usize,
    ) -> Result<Vec<Message>, StoreError> {
        Ok(self.tables().messages_page(session, chat, before, limit))
    }

    async fn messages_before(&self, chat: ChatId, task: TaskId, limit: usize) -> Result<Vec<Message>, StoreError> {
        Ok(self.tables().messages_before(chat, task, limit))
    }

    async fn forked_from(&self, chat: ChatId) -> Result<Option<MessageId>, StoreError> {
        Ok(self.tables().chats.get(&chat).and_then(|chat| chat.value.forked_from))
    }

    async fn messages_until(&self, message: MessageId, limit: usize) -> Result<Vec<Message>, StoreError> {
        Ok(self.tables().messages_until(message, limit))
    }

    async fn message(&self, id: MessageId) -> Result<Option<Message>, StoreError> {
        Ok(self.tables().messages.get(&id).cloned())
    }

    async fn messages_of_task(&self, task: TaskId) -> Result<Vec<Message>, StoreError> {
        Ok(self.tables().messages.values().filter(|message| message.task_id == task).cloned().collect())
    }

    async fn streaming_messages(&self) -> Result<Vec<Message>, StoreError> {
        Ok(self.tables().streaming_messages())
    }

    async fn turns_of_task(&self, task: TaskId) -> Result<Vec<Turn>, StoreError> {
        Ok(self.tables().turns.values().filter(|turn| turn.task_id == task).cloned().collect())
    }

    async fn turns_of_session(&self, session: SessionId) -> Result<Vec<Turn>, StoreError> {
        let tables = self.tables();
        let is_of = |task: &TaskId| tables.tasks.get(task).is_some_and(|task| task.session_id == Some(session));
        Ok(tables.turns.values().filter(|turn| is_of(&turn.task_id)).cloned().collect())
    }

    async fn agent_session(&self, chat: ChatId, agent: &AgentName) -> Result<Option<AgentSession>, StoreError> {
        Ok(self.tables().agent_sessions.get(&(chat, agent.clone())).cloned())
    }

    async fn agent_sessions(&self, session: SessionId) -> Result<Vec<AgentSession>, StoreError> {
        Ok(self.tables().agent_sessions(session))
    }

    async fn live_agent_sessions(&self) -> Result<Vec<AgentSession>, StoreError> {
        Ok(self.tables().live_agent_sessions())
    }

    async fn runner(&self, id: RunnerId) -> Result<Option<Runner>, StoreError> {
        Ok(self.tables().runners.get(&id).map(|kept| kept.value.clone()))
    }

    async fn runners(&self) -> Result<Vec<Runner>, StoreError> {
        Ok(self.tables().live_runners().cloned().collect())
    }

    async fn interaction(&self, id: InteractionId) -> Result<Option<Interaction>, StoreError> {
        Ok(self.tables().interactions.get(&id).cloned())
    }

    async fn interactions(&self, filter: InteractionFilter) -> Result<Vec<Interaction>, StoreError> {
        Ok(self.tables().interactions(filter))
    }

    async fn pending_change(&self, id: PendingId) -> Result<Option<PendingChange>, StoreError> {
        Ok(self.tables().pending.get(&id).cloned())
    }

    async fn pending_changes(&self, session: SessionId) -> Result<Vec<PendingChange>, StoreError> {
        Ok(self.tables().pending_changes(session))
    }

    async fn open_decisions(&self) -> Result<Vec<OpenDecision>, StoreError> {
        Ok(self.tables().decisions.values().cloned().collect())
    }

    async fn pending_changes_of_task(&self, task: TaskId) -> Result<Vec<PendingChange>, StoreError> {
        Ok(self.tables().pending_changes_of_task(task))
    }

    async fn usage(&self, query: &StatsQuery) -> Result<Groups<UsageSum>, StoreError> {
        Ok(self.tables().usage(query))
    }

    async fn usage_of_task(&self, task: TaskId) -> Result<Vec<UsageEntry>, StoreError> {
        Ok(self.tables().usage_entries.values().filter(|entry| entry.task_id == task).cloned().collect())
    }

    async fn turn_counts(&self, query: &StatsQuery) -> Result<Groups<TurnCounts>, StoreError> {
        Ok(self.tables().turn_counts(query))
    }

    async fn worktree_of_session(&self, session: SessionId) -> Result<Option<Worktree>, StoreError> {
        Ok(self.tables().live_worktrees().find(|tree| tree.session_id == Some(session)).cloned())
    }

    async fn orphaned_worktrees(&self) -> Result<Vec<Worktree>, StoreError> {
        let tables = self.tables();
        let is_orphan = |tree: &&Worktree| {
            tree.session_id.is_some_and(|id| tables.live_session(id).is_none())
                || tree.task_id.and_then(|id| tables.tasks.get(&id)).is_some_and(|task| task.state.is_final())
        };
        Ok(tables.live_worktrees().filter(is_orphan).cloned().collect())
    }

    async fn worktrees(&self) -> Result<Vec<Worktree>, StoreError> {
        Ok(self.tables().live_worktrees().cloned().collect())
    }

    async fn worktree_of_task(&self, task: TaskId) -> Result<Option<Worktree>, StoreError> {
        Ok(self.tables().live_worktrees().find(|tree| tree.task_id == Some(task)).cloned())
    }
}
