//! The port: what is asked of a store, whichever engine keeps it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use boocoder_model::{
    AgentName, AgentSession, Chat, ChatId, Fence, Interaction, InteractionId, Message, MessageId, OpenDecision,
    PendingChange, PendingId, Project, ProjectId, Runner, RunnerId, Seq, ServerId, Session, SessionId, Task, TaskId,
    TaskState, Turn, UsageEntry, Worktree,
};
use jiff::Timestamp;
use tokio::sync::{broadcast, watch};

use crate::{Groups, News, Owned, StatsQuery, StoreError, TurnCounts, UsageSum, Wish, WriteBatch, Writer};

/// A frame as it is kept: the very text that clients are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredFrame {
    /// The session whose frame it is.
    pub session_id: SessionId,
    /// Its number within the session.
    pub seq: Seq,
    /// Its JSON text, number included.
    pub body: Arc<str>,
}

/// How much of the log one read may bring. At least one frame comes if there is any, whatever its size.
#[derive(Clone, Copy, Debug)]
pub struct ReadBudget {
    /// At most so many frames.
    pub frames: usize,
    /// At most about so many bytes.
    pub bytes: usize,
}

/// Which tasks to list. Every field narrows; all absent lists everything, newest first.
#[derive(Clone, Debug, Default)]
pub struct TaskFilter {
    /// Those of this session.
    pub session_id: Option<SessionId>,
    /// Those of this chat.
    pub chat_id: Option<ChatId>,
    /// Those in this state.
    pub state: Option<TaskState>,
    /// At most so many; absent means the store's own limit.
    pub limit: Option<usize>,
}

/// Which interactions to list.
#[derive(Clone, Copy, Debug, Default)]
pub struct InteractionFilter {
    /// Those of this session.
    pub session_id: Option<SessionId>,
    /// Those of this task.
    pub task_id: Option<TaskId>,
    /// Settled ones too.
    pub settled: bool,
}

/// What keeps everything.
///
/// There is one way to write, [`Store::commit`], so that frames and the state that they tell of are never apart. What is
/// not found is `Ok(None)` or an empty list. Lists are in the order in which things were added, whatever their times say.
///
/// What was removed is kept but no longer shown: a session or a chat is found neither by its id nor in a list, and the
/// messages, agent sessions and pending changes of a session that was removed, or of a chat, are in no list of that
/// session. What may still have to come to its end is found all the same: tasks, turns, interactions, worktrees, single
/// rows by their key, and the log, whose last frames tell clients of the removal.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Writes all of the batch in one transaction, or nothing.
    ///
    /// # Errors
    /// [`StoreError::FencedOff`] if the batch's writer is. [`StoreError::Conflict`] if a change does not fit the state
    /// (its guard failed, its key is taken); the batch without that change may be tried again.
    /// [`StoreError::Unreachable`] if the database stays away for longer than the engine tries; then it may be that the
    /// batch was written all the same. A caller that comes back with the same batch has it written once.
    async fn commit(&self, batch: WriteBatch) -> Result<(), StoreError>;

    /// Takes the oldest queued task that may run, and sets it running. Tasks of one chat are given out in order and one
    /// at a time; two callers never get the same task. It is the writer's from then on, durably; where a runner of
    /// another server keeps the agent of the task's chat, the task waits for that server. Without a writer a crash of
    /// the database may undo a claim: then the task is queued again, and what changes it from running is refused.
    ///
    /// # Errors
    /// [`StoreError::FencedOff`] if the writer is. [`StoreError::Unreachable`] if the database stays away; should a task have
    /// been claimed all the same, the next call brings it.
    async fn claim_task(&self, by: Option<Writer>, now: Timestamp) -> Result<Option<Task>, StoreError>;

    /// A counter that moves whenever a task may have become claimable, by whichever process.
    fn wakeups(&self) -> watch::Receiver<u64>;

    /// What servers that share this store tell each other. It tells of batches with a writer alone.
    fn news(&self) -> broadcast::Receiver<News>;

    /// Gives a server the next fence, and a lease that ends after `lease` unless it is renewed. Whoever had spoken for it
    /// before is fenced off. What it owned stays its own; what nobody owns becomes its own if no other server is alive.
    ///
    /// Leases go by the store's own clock. Where it has none, `now` is the time, here and in the calls below.
    async fn register(&self, server: ServerId, lease: Duration, now: Timestamp) -> Result<Fence, StoreError>;

    /// Has the lease end after `lease` from now.
    ///
    /// # Errors
    /// [`StoreError::FencedOff`] if the writer is.
    async fn renew(&self, writer: Writer, lease: Duration, now: Timestamp) -> Result<(), StoreError>;

    /// The servers whose lease has ended and that own tasks or runners still.
    async fn lapsed(&self, now: Timestamp) -> Result<Vec<Writer>, StoreError>;

    /// Takes over what a server owned, durably: fences it off, so that nothing that it still writes is taken, makes its
    /// running tasks the taker's to settle, and ends its runners, whose agents are not live any more. Returns those
    /// runners.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if the lease has not ended, or if another one was first;
    /// [`StoreError::FencedOff`] if the taker is.
    async fn take_over(&self, taker: Writer, lapsed: Writer, now: Timestamp) -> Result<Vec<Runner>, StoreError>;

    /// What a server owns.
    async fn owned(&self, server: ServerId) -> Result<Owned, StoreError>;

    /// The server that claimed a task, or took it over.
    async fn server_of(&self, task: TaskId) -> Result<Option<ServerId>, StoreError>;

    /// The wishes for questions that are open and of running tasks of this server.
    async fn wishes(&self, server: ServerId) -> Result<Vec<Wish>, StoreError>;

    /// Whether the store answers.
    async fn ping(&self) -> Result<(), StoreError>;

    /// The frames of a session after `after`, in order, within the budget. If some of them were removed, it is what is
    /// left, with no sign of the hole: whoever promises every frame compares `after` with [`Store::log_floor`] once the
    /// frames are there.
    async fn frames_after(
        &self,
        session: SessionId,
        after: Seq,
        budget: ReadBudget,
    ) -> Result<Vec<StoredFrame>, StoreError>;

    /// The number of the session's last frame, whether or not it was removed, [`Seq::ZERO`] if there was none yet.
    async fn last_seq(&self, session: SessionId) -> Result<Seq, StoreError>;

    /// The number of the last frame that [`Change::CompactFrames`](crate::Change::CompactFrames) removed from the
    /// session's log, [`Seq::ZERO`] if none was.
    async fn log_floor(&self, session: SessionId) -> Result<Seq, StoreError>;

    /// One project.
    async fn project(&self, id: ProjectId) -> Result<Option<Project>, StoreError>;
    /// The project with its checkout at exactly this path.
    async fn project_at(&self, path: &Path) -> Result<Option<Project>, StoreError>;
    /// All projects, oldest first.
    async fn projects(&self) -> Result<Vec<Project>, StoreError>;

    /// One session.
    async fn session(&self, id: SessionId) -> Result<Option<Session>, StoreError>;
    /// All sessions, newest first.
    async fn sessions(&self) -> Result<Vec<Session>, StoreError>;
    /// One chat.
    async fn chat(&self, id: ChatId) -> Result<Option<Chat>, StoreError>;
    /// The chats of a session, oldest first.
    async fn chats(&self, session: SessionId) -> Result<Vec<Chat>, StoreError>;

    /// One task.
    async fn task(&self, id: TaskId) -> Result<Option<Task>, StoreError>;
    /// Tasks, newest first.
    async fn tasks(&self, filter: TaskFilter) -> Result<Vec<Task>, StoreError>;
    /// The task that was asked for with this request key.
    async fn task_by_request(&self, request_key: &str) -> Result<Option<Task>, StoreError>;

    /// One message, also of a session or a chat that was removed.
    async fn message(&self, id: MessageId) -> Result<Option<Message>, StoreError>;
    /// The messages of a session, or of one of its chats, oldest first.
    async fn messages(&self, session: SessionId, chat: Option<ChatId>) -> Result<Vec<Message>, StoreError>;
    /// The newest messages of [`Store::messages`], or of those before one of them, at most `limit`, oldest first. Nothing is
    /// before a message that there is not.
    async fn messages_page(
        &self,
        session: SessionId,
        chat: Option<ChatId>,
        before: Option<MessageId>,
        limit: usize,
    ) -> Result<Vec<Message>, StoreError>;
    /// The newest messages of a chat before the first one of a task, at most `limit`, oldest first. Nothing is before a
    /// task without messages.
    async fn messages_before(&self, chat: ChatId, task: TaskId, limit: usize) -> Result<Vec<Message>, StoreError>;
    /// The message that a chat was forked from, if it was. The chat may have been removed.
    async fn forked_from(&self, chat: ChatId) -> Result<Option<MessageId>, StoreError>;
    /// The newest of the messages of a message's chat up to this one, itself included, oldest first. The chat may have been
    /// removed.
    async fn messages_until(&self, message: MessageId, limit: usize) -> Result<Vec<Message>, StoreError>;
    /// The messages of a task, oldest first: the human's, if it came from a chat, then the agent's.
    async fn messages_of_task(&self, task: TaskId) -> Result<Vec<Message>, StoreError>;
    /// The agents' messages that still grow, of all sessions, removed ones too, oldest first: what a server that starts
    /// has to take up or to end.
    async fn streaming_messages(&self) -> Result<Vec<Message>, StoreError>;
    /// The turns of a task, oldest first.
    async fn turns_of_task(&self, task: TaskId) -> Result<Vec<Turn>, StoreError>;
    /// The turns of all tasks of a session, oldest first.
    async fn turns_of_session(&self, session: SessionId) -> Result<Vec<Turn>, StoreError>;

    /// What is known of an agent in a chat.
    async fn agent_session(&self, chat: ChatId, agent: &AgentName) -> Result<Option<AgentSession>, StoreError>;
    /// The agent sessions of all the session's chats, freshest first, those without activity last, then by agent.
    async fn agent_sessions(&self, session: SessionId) -> Result<Vec<AgentSession>, StoreError>;

    /// The agent sessions of all chats that are recorded as active or idle: what a server that starts has to check.
    async fn live_agent_sessions(&self) -> Result<Vec<AgentSession>, StoreError>;

    /// One runner, whether or not it has ended, which the record does not tell.
    async fn runner(&self, id: RunnerId) -> Result<Option<Runner>, StoreError>;
    /// The runners that have not ended, oldest first.
    async fn runners(&self) -> Result<Vec<Runner>, StoreError>;

    /// One interaction.
    async fn interaction(&self, id: InteractionId) -> Result<Option<Interaction>, StoreError>;
    /// Interactions, oldest first.
    async fn interactions(&self, filter: InteractionFilter) -> Result<Vec<Interaction>, StoreError>;

    /// One pending change.
    async fn pending_change(&self, id: PendingId) -> Result<Option<PendingChange>, StoreError>;
    /// The pending changes of a session, whatever their status, oldest first.
    async fn pending_changes(&self, session: SessionId) -> Result<Vec<PendingChange>, StoreError>;
    /// The decisions on pending changes that are being carried out, of all servers, oldest first.
    async fn open_decisions(&self) -> Result<Vec<OpenDecision>, StoreError>;
    /// The pending changes that a task made, whatever their status, oldest first.
    async fn pending_changes_of_task(&self, task: TaskId) -> Result<Vec<PendingChange>, StoreError>;

    /// What was used, by the usage ledger: sums of its lines, placed by the time at which each was taken in.
    async fn usage(&self, query: &StatsQuery) -> Result<Groups<UsageSum>, StoreError>;
    /// The lines of the usage ledger of a task, oldest first.
    async fn usage_of_task(&self, task: TaskId) -> Result<Vec<UsageEntry>, StoreError>;
    /// How many turns there were, placed by the time at which each began.
    async fn turn_counts(&self, query: &StatsQuery) -> Result<Groups<TurnCounts>, StoreError>;

    /// The worktree that a session owns.
    async fn worktree_of_session(&self, session: SessionId) -> Result<Option<Worktree>, StoreError>;
    /// The worktrees of sessions that were removed and of tasks that have ended, oldest first. Whoever removed such a
    /// session died before it came to its worktree; that of a task may hold work that is nowhere else.
    async fn orphaned_worktrees(&self) -> Result<Vec<Worktree>, StoreError>;
    /// Every worktree that was not removed, oldest first.
    async fn worktrees(&self) -> Result<Vec<Worktree>, StoreError>;
    /// The worktree that a task owns.
    async fn worktree_of_task(&self, task: TaskId) -> Result<Option<Worktree>, StoreError>;
}
