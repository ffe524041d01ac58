//! A store in memory that fails in every way a database can.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use boocoder_model::{
    AgentName, AgentSession, Chat, ChatId, Fence, Interaction, InteractionId, Message, MessageId, OpenDecision,
    PendingChange, PendingId, Project, ProjectId, Runner, RunnerId, Seq, ServerId, Session, SessionId, Task, TaskId,
    Turn, UsageEntry, Worktree,
};
use boocoder_store::{
    Groups, InteractionFilter, MemStore, News, Owned, ReadBudget, StatsQuery, Store, StoreError, StoredFrame,
    TaskFilter, TurnCounts, UsageSum, Wish, WriteBatch, Writer as Owner,
};
use jiff::Timestamp;
use tokio::sync::{broadcast, watch};

use super::tests::SESSION;

/// What happens to one commit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fault {
    /// It is written.
    None,
    /// The connection dies before anything is written.
    Before,
    /// The connection dies after it was written, so that nobody knows.
    After,
    /// It is said to be written, and is not.
    Lie,
    /// It is written, and said not to fit.
    Denial,
    /// The database dies, and with it all that it had not put on disk.
    Crash,
}

/// A store in memory whose commits fail as they are told to.
pub(super) struct Faulty {
    pub(super) inner: MemStore,
    pub(super) faults: Vec<Fault>,
    pub(super) commits: AtomicUsize,
    /// Batches that were committed and are not on disk.
    pub(super) volatile: std::sync::Mutex<Vec<WriteBatch>>,
}

impl Faulty {
    pub(super) fn volatile(&self) -> std::sync::MutexGuard<'_, Vec<WriteBatch>> {
        self.volatile.lock().unwrap()
    }

    /// Takes a batch as a database does that has it in memory first.
    async fn take(&self, batch: WriteBatch) -> Result<(), StoreError> {
        if !batch.durable {
            let last = self.end_of(SESSION).await?;
            let follows = batch.frames.first().is_none_or(|first| first.seq == last.next());
            if !follows {
                return Err(unfit());
            }
            self.volatile().push(batch);
            return Ok(());
        }
        let before = std::mem::take(&mut *self.volatile());
        for batch in before {
            self.inner.commit(batch).await?;
        }
        self.inner.commit(batch).await
    }

    async fn end_of(&self, session: SessionId) -> Result<Seq, StoreError> {
        let volatile = self.volatile().iter().flat_map(|batch| batch.frames.last()).map(|frame| frame.seq).max();
        Ok(self.inner.last_seq(session).await?.max(volatile.unwrap_or(Seq::ZERO)))
    }
}

fn unfit() -> StoreError {
    StoreError::Conflict { what: "frame", detail: "its number does not follow on".to_owned() }
}

fn unreachable() -> StoreError {
    StoreError::Unreachable("the connection was reset".into())
}

macro_rules! delegate {
    ($($name:ident($($arg:ident: $ty:ty),*) -> $ret:ty;)+) => {
        #[async_trait]
        impl Store for Faulty {
            async fn commit(&self, batch: WriteBatch) -> Result<(), StoreError> {
                let turn = self.commits.fetch_add(1, Ordering::Relaxed);
                match self.faults.get(turn).copied().unwrap_or(Fault::None) {
                    Fault::None => self.take(batch).await,
                    Fault::Before => Err(unreachable()),
                    Fault::After => self.take(batch).await.and(Err(unreachable())),
                    Fault::Lie => Ok(()),
                    Fault::Denial => self.take(batch).await.and(Err(unfit())),
                    Fault::Crash => {
                        self.volatile().clear();
                        Err(unreachable())
                    }
                }
            }

            async fn last_seq(&self, session: SessionId) -> Result<Seq, StoreError> {
                self.end_of(session).await
            }

            async fn frames_after(
                &self,
                session: SessionId,
                after: Seq,
                budget: ReadBudget,
            ) -> Result<Vec<StoredFrame>, StoreError> {
                let all = ReadBudget { frames: usize::MAX, bytes: usize::MAX };
                let mut frames = self.inner.frames_after(session, after, all).await?;
                let volatile = self.volatile().iter().flat_map(|batch| batch.frames.clone()).collect::<Vec<_>>();
                frames.extend(volatile.into_iter().filter(|frame| frame.session_id == session && frame.seq > after));
                frames.truncate(budget.frames);
                Ok(frames)
            }

            async fn agent_session(&self, c: ChatId, a: &AgentName) -> Result<Option<AgentSession>, StoreError> {
                self.inner.agent_session(c, a).await
            }

            fn news(&self) -> broadcast::Receiver<News> {
                self.inner.news()
            }

            fn wakeups(&self) -> watch::Receiver<u64> {
                self.inner.wakeups()
            }

            $(async fn $name(&self, $($arg: $ty),*) -> Result<$ret, StoreError> {
                self.inner.$name($($arg),*).await
            })+
        }
    };
}

delegate! {
    ping() -> ();
    claim_task(by: Option<Owner>, now: Timestamp) -> Option<Task>;
    register(server: ServerId, lease: Duration, now: Timestamp) -> Fence;
    renew(writer: Owner, lease: Duration, now: Timestamp) -> ();
    lapsed(now: Timestamp) -> Vec<Owner>;
    take_over(taker: Owner, lapsed: Owner, now: Timestamp) -> Vec<Runner>;
    owned(server: ServerId) -> Owned;
    server_of(task: TaskId) -> Option<ServerId>;
    wishes(server: ServerId) -> Vec<Wish>;
    project(id: ProjectId) -> Option<Project>;
    project_at(path: &Path) -> Option<Project>;
    projects() -> Vec<Project>;
    session(id: SessionId) -> Option<Session>;
    sessions() -> Vec<Session>;
    chat(id: ChatId) -> Option<Chat>;
    chats(id: SessionId) -> Vec<Chat>;
    task(id: TaskId) -> Option<Task>;
    tasks(filter: TaskFilter) -> Vec<Task>;
    task_by_request(key: &str) -> Option<Task>;
    messages(session: SessionId, chat: Option<ChatId>) -> Vec<Message>;
    messages_before(chat: ChatId, task: TaskId, limit: usize) -> Vec<Message>;
    forked_from(id: ChatId) -> Option<MessageId>;
    messages_until(id: MessageId, limit: usize) -> Vec<Message>;
    message(id: MessageId) -> Option<Message>;
    messages_page(session: SessionId, chat: Option<ChatId>, before: Option<MessageId>, limit: usize) -> Vec<Message>;
    messages_of_task(id: TaskId) -> Vec<Message>;
    turns_of_session(session: SessionId) -> Vec<Turn>;
    turns_of_task(id: TaskId) -> Vec<Turn>;
    agent_sessions(id: SessionId) -> Vec<AgentSession>;
    live_agent_sessions() -> Vec<AgentSession>;
    runners() -> Vec<Runner>;
    runner(id: RunnerId) -> Option<Runner>;
    log_floor(session: SessionId) -> Seq;
    streaming_messages() -> Vec<Message>;
    interaction(id: InteractionId) -> Option<Interaction>;
    interactions(filter: InteractionFilter) -> Vec<Interaction>;
    pending_change(id: PendingId) -> Option<PendingChange>;
    pending_changes(id: SessionId) -> Vec<PendingChange>;
    open_decisions() -> Vec<OpenDecision>;
    pending_changes_of_task(id: TaskId) -> Vec<PendingChange>;
    worktree_of_session(id: SessionId) -> Option<Worktree>;
    worktrees() -> Vec<Worktree>;
    worktree_of_task(id: TaskId) -> Option<Worktree>;
    usage(query: &StatsQuery) -> Groups<UsageSum>;
    usage_of_task(id: TaskId) -> Vec<UsageEntry>;
    turn_counts(query: &StatsQuery) -> Groups<TurnCounts>;
    orphaned_worktrees() -> Vec<Worktree>;
}
