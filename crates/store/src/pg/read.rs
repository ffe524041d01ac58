//! The port: claims and commits are handed on, reads are here.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use boocoder_model::{
    AgentName, AgentSession, Chat, ChatId, Fence, Interaction, InteractionId, Message, MessageId, OpenDecision,
    PendingChange, PendingId, Project, ProjectId, Runner, RunnerId, Seq, ServerId, Session, SessionId, Task, TaskId,
    Turn, UsageEntry, Worktree,
};
use jiff::Timestamp;
use tokio::sync::{broadcast, watch};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::PgStore;
use super::conn::{Params, Query, params};
use super::failure::{Attempts, Failure};
use super::nouns;
use super::table::{Fields, Noun};
use crate::limits::LISTED_TASKS;
use crate::{
    Groups, InteractionFilter, News, Owned, ReadBudget, StatsQuery, Store, StoreError, StoredFrame, TaskFilter,
    TurnCounts, UsageSum, Wish, WriteBatch, Writer,
};

/// The frames that a budget allows: the sum runs along the index, so what is beyond the budget is not even sent.
const FRAMES: &str = "SELECT seq, body FROM (\
       SELECT seq, body, octet_length(body) AS bytes, sum(octet_length(body)) OVER (ORDER BY seq) AS total \
       FROM frames WHERE session_id = $1 AND seq > $2 ORDER BY seq LIMIT $3) log \
     WHERE total <= $4 OR total = bytes ORDER BY seq";

impl PgStore {
    /// The rows of a query, asked again while the database cannot be reached.
    pub(super) async fn rows(&self, query: &Query<'_>) -> Result<Vec<Row>, StoreError> {
        let mut attempts = Attempts::new(&self.limits);
        loop {
            match self.attempt_rows(query).await {
                Err(failure) if failure.is_transient() => {
                    tracing::debug!(%failure, "a read is tried again");
                    if !attempts.another().await {
                        return Err(failure.into());
                    }
                }
                answer => return Ok(answer?),
            }
        }
    }

    pub(super) async fn attempt_rows(&self, query: &Query<'_>) -> Result<Vec<Row>, Failure> {
        self.durable.get().await?.query(query).await
    }

    async fn all<N: Noun>(&self, query: Query<'_>) -> Result<Vec<N>, StoreError> {
        self.rows(&query).await?.iter().map(|row| N::read(&Fields::new(row, N::TABLE.what))).collect()
    }

    pub(super) async fn list<N: Noun>(&self, rest: &str, params: Params<'_>) -> Result<Vec<N>, StoreError> {
        self.all(Query::new(N::TABLE.select(rest), params)).await
    }

    /// A frame's number that a query tells of a session, zero if it tells none.
    async fn number(&self, sql: &'static str, session: SessionId) -> Result<Seq, StoreError> {
        let rows = self.rows(&Query::new(sql, params![session.as_uuid()])).await?;
        rows.first().map_or(Ok(Seq::ZERO), |row| Fields::new(row, "frame").count("seq").map(Seq))
    }

    async fn find<N: Noun>(&self, rest: &str, params: Params<'_>) -> Result<Option<N>, StoreError> {
        Ok(self.list(rest, params).await?.pop())
    }
}

/// Conditions that are joined by "and", each with its value.
#[derive(Default)]
struct Where<'a> {
    conditions: Vec<String>,
    params: Params<'a>,
}

impl<'a> Where<'a> {
    /// Narrows by a column, if there is a value for it.
    fn narrow(mut self, column: &str, value: Option<impl ToSql + Sync + Send + 'a>) -> Self {
        if let Some(value) = value {
            self.params.push(Box::new(value));
            self.conditions.push(format!("{column} = ${}", self.params.len()));
        }
        self
    }

    /// Narrows by a condition without a value.
    fn only_if(mut self, applies: bool, condition: &str) -> Self {
        if applies {
            self.conditions.push(condition.to_owned());
        }
        self
    }

    fn sql(&self) -> String {
        if self.conditions.is_empty() { String::new() } else { format!("WHERE {}", self.conditions.join(" AND ")) }
    }
}

/// A number as the database holds it; what is beyond has no rows anyway.
fn clamped(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

#[async_trait]
impl Store for PgStore {
    async fn commit(&self, batch: WriteBatch) -> Result<(), StoreError> {
        self.write(&batch).await
    }

    async fn claim_task(&self, by: Option<Writer>, now: Timestamp) -> Result<Option<Task>, StoreError> {
        self.claim(by, now).await
    }

    fn wakeups(&self) -> watch::Receiver<u64> {
        self.ears.wakeups.subscribe()
    }

    fn news(&self) -> broadcast::Receiver<News> {
        self.ears.news.subscribe()
    }

    async fn register(&self, server: ServerId, lease: Duration, _: Timestamp) -> Result<Fence, StoreError> {
        self.enter(server, lease).await
    }

    async fn renew(&self, writer: Writer, lease: Duration, _: Timestamp) -> Result<(), StoreError> {
        self.extend(writer, lease).await
    }

    async fn lapsed(&self, _: Timestamp) -> Result<Vec<Writer>, StoreError> {
        self.lapsed_servers().await
    }

    async fn take_over(&self, taker: Writer, lapsed: Writer, now: Timestamp) -> Result<Vec<Runner>, StoreError> {
        self.replace(taker, lapsed, now).await
    }

    async fn owned(&self, server: ServerId) -> Result<Owned, StoreError> {
        self.owned_by(server).await
    }

    async fn server_of(&self, task: TaskId) -> Result<Option<ServerId>, StoreError> {
        self.owner_of(task).await
    }

    async fn wishes(&self, server: ServerId) -> Result<Vec<Wish>, StoreError> {
        self.wishes_of(server).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(self.attempt_rows(&Query::new("SELECT", params![])).await.map(drop)?)
    }

    async fn frames_after(
        &self,
        session: SessionId,
        after: Seq,
        budget: ReadBudget,
    ) -> Result<Vec<StoredFrame>, StoreError> {
        let (frames, bytes) = (clamped(budget.frames.max(1)), clamped(budget.bytes));
        let rows = self.rows(&Query::new(FRAMES, params![session.as_uuid(), clamped(after.0), frames, bytes])).await?;
        let read = |row: &Row| {
            let fields = Fields::new(row, "frame");
            let body = row.try_get::<_, &str>("body").map_err(|error| fields.corrupt("body", error))?.into();
            Ok(StoredFrame { session_id: session, seq: Seq(fields.count("seq")?), body })
        };
        rows.iter().map(read).collect()
    }

    async fn last_seq(&self, session: SessionId) -> Result<Seq, StoreError> {
        let sql = "SELECT greatest(max(seq), (SELECT log_floor FROM sessions WHERE id = $1), 0) AS seq \
                   FROM frames WHERE session_id = $1";
        self.number(sql, session).await
    }

    async fn log_floor(&self, session: SessionId) -> Result<Seq, StoreError> {
        self.number("SELECT log_floor AS seq FROM sessions WHERE id = $1", session).await
    }

    async fn project(&self, id: ProjectId) -> Result<Option<Project>, StoreError> {
        self.find("WHERE id = $1", params![id.as_uuid()]).await
    }

    async fn project_at(&self, path: &Path) -> Result<Option<Project>, StoreError> {
        self.find("WHERE sha256(path) = sha256($1) AND path = $1", params![path.as_os_str().as_bytes()]).await
    }

    async fn projects(&self) -> Result<Vec<Project>, StoreError> {
        self.list("ORDER BY position", params![]).await
    }

    async fn session(&self, id: SessionId) -> Result<Option<Session>, StoreError> {
        self.find("WHERE id = $1 AND removed_at IS NULL", params![id.as_uuid()]).await
    }

    async fn sessions(&self) -> Result<Vec<Session>, StoreError> {
        self.list("WHERE removed_at IS NULL ORDER BY position DESC", params![]).await
    }

    async fn chat(&self, id: ChatId) -> Result<Option<Chat>, StoreError> {
        self.find("WHERE id = $1 AND removed_at IS NULL", params![id.as_uuid()]).await
    }

    async fn chats(&self, session: SessionId) -> Result<Vec<Chat>, StoreError> {
        self.list("WHERE session_id = $1 AND removed_at IS NULL ORDER BY position", params![session.as_uuid()]).await
    }

    async fn task(&self, id: TaskId) -> Result<Option<Task>, StoreError> {
        self.find("WHERE id = $1", params![id.as_uuid()]).await
    }

    async fn tasks(&self, filter: TaskFilter) -> Result<Vec<Task>, StoreError> {
        let mut narrowed = Where::default()
            .narrow("session_id", filter.session_id.map(SessionId::as_uuid))
            .narrow("chat_id", filter.chat_id.map(ChatId::as_uuid))
            .narrow("state", filter.state.map(|state| state.as_str()));
        narrowed.params.push(Box::new(clamped(filter.limit.unwrap_or(LISTED_TASKS))));
        let rest = format!("{} ORDER BY position DESC LIMIT ${}", narrowed.sql(), narrowed.params.len());
        self.list(&rest, narrowed.params).await
    }

    async fn task_by_request(&self, request_key: &str) -> Result<Option<Task>, StoreError> {
        let rest = "WHERE sha256(request_key) = sha256($1) AND request_key = $1";
        self.find(rest, params![request_key.as_bytes()]).await
    }

    async fn messages(&self, session: SessionId, chat: Option<ChatId>) -> Result<Vec<Message>, StoreError> {
        let rest = "JOIN sessions ON sessions.id = messages.session_id LEFT JOIN chats ON chats.id = messages.chat_id \
                    WHERE messages.session_id = $1 AND ($2::uuid IS NULL OR messages.chat_id = $2) \
                      AND sessions.removed_at IS NULL AND chats.removed_at IS NULL \
                    ORDER BY messages.position";
        self.list(rest, params![session.as_uuid(), chat.map(ChatId::as_uuid)]).await
    }

    async fn messages_page(
        &self,
        session: SessionId,
        chat: Option<ChatId>,
        before: Option<MessageId>,
        limit: usize,
    ) -> Result<Vec<Message>, StoreError> {
        let rest = "JOIN sessions ON sessions.id = messages.session_id LEFT JOIN chats ON chats.id = messages.chat_id \
                    WHERE messages.session_id = $1 AND ($2::uuid IS NULL OR messages.chat_id = $2) \
                      AND sessions.removed_at IS NULL AND chats.removed_at IS NULL \
                      AND ($3::uuid IS NULL OR messages.position < (SELECT position FROM messages WHERE id = $3)) \
                    ORDER BY messages.position DESC LIMIT $4";
        let chat = chat.map(ChatId::as_uuid);
        let params = params![session.as_uuid(), chat, before.map(MessageId::as_uuid), clamped(limit)];
        let mut newest: Vec<Message> = self.list(rest, params).await?;
        newest.reverse();
        Ok(newest)
    }

    async fn messages_before(&self, chat: ChatId, task: TaskId, limit: usize) -> Result<Vec<Message>, StoreError> {
        let rest = "WHERE chat_id = $1 AND position < (SELECT min(position) FROM messages WHERE task_id = $2) \
                    ORDER BY position DESC LIMIT $3";
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut newest: Vec<Message> = self.list(rest, params![chat.as_uuid(), task.as_uuid(), limit]).await?;
        newest.reverse();
        Ok(newest)
    }

    async fn forked_from(&self, chat: ChatId) -> Result<Option<MessageId>, StoreError> {
        let found: Option<Chat> = self.find("WHERE id = $1", params![chat.as_uuid()]).await?;
        Ok(found.and_then(|chat| chat.forked_from))
    }

    async fn messages_until(&self, message: MessageId, limit: usize) -> Result<Vec<Message>, StoreError> {
        let rest = "WHERE chat_id = (SELECT chat_id FROM messages WHERE id = $1) \
                      AND position <= (SELECT position FROM messages WHERE id = $1) ORDER BY position DESC LIMIT $2";
        let mut newest: Vec<Message> = self.list(rest, params![message.as_uuid(), clamped(limit)]).await?;
        newest.reverse();
        Ok(newest)
    }

    async fn message(&self, id: MessageId) -> Result<Option<Message>, StoreError> {
        self.find("WHERE id = $1", params![id.as_uuid()]).await
    }

    async fn messages_of_task(&self, task: TaskId) -> Result<Vec<Message>, StoreError> {
        self.list("WHERE task_id = $1 ORDER BY position", params![task.as_uuid()]).await
    }

    async fn streaming_messages(&self) -> Result<Vec<Message>, StoreError> {
        self.list("WHERE status = 'streaming' ORDER BY position", params![]).await
    }

    async fn turns_of_task(&self, task: TaskId) -> Result<Vec<Turn>, StoreError> {
        self.list("WHERE task_id = $1 ORDER BY position", params![task.as_uuid()]).await
    }

    async fn turns_of_session(&self, session: SessionId) -> Result<Vec<Turn>, StoreError> {
        let rest = "WHERE task_id IN (SELECT id FROM tasks WHERE session_id = $1) ORDER BY position";
        self.list(rest, params![session.as_uuid()]).await
    }

    async fn agent_session(&self, chat: ChatId, agent: &AgentName) -> Result<Option<AgentSession>, StoreError> {
        self.find("WHERE chat_id = $1 AND agent = $2", params![chat.as_uuid(), agent.as_str()]).await
    }

    async fn agent_sessions(&self, session: SessionId) -> Result<Vec<AgentSession>, StoreError> {
        let rest = "JOIN chats ON chats.id = agent_sessions.chat_id \
                    WHERE chats.session_id = $1 AND chats.removed_at IS NULL \
                    ORDER BY last_active_at DESC NULLS LAST, agent COLLATE \"C\", chat_id";
        self.list(rest, params![session.as_uuid()]).await
    }

    async fn live_agent_sessions(&self) -> Result<Vec<AgentSession>, StoreError> {
        self.list("WHERE status IN ('active', 'idle') ORDER BY chat_id, agent COLLATE \"C\"", params![]).await
    }

    async fn runner(&self, id: RunnerId) -> Result<Option<Runner>, StoreError> {
        self.find("WHERE id = $1", params![id.as_uuid()]).await
    }

    async fn runners(&self) -> Result<Vec<Runner>, StoreError> {
        self.list("WHERE ended_at IS NULL ORDER BY position", params![]).await
    }

    async fn interaction(&self, id: InteractionId) -> Result<Option<Interaction>, StoreError> {
        self.find("WHERE id = $1", params![id.as_uuid()]).await
    }

    async fn interactions(&self, filter: InteractionFilter) -> Result<Vec<Interaction>, StoreError> {
        let narrowed = Where::default()
            .narrow("session_id", filter.session_id.map(SessionId::as_uuid))
            .narrow("task_id", filter.task_id.map(TaskId::as_uuid))
            .only_if(!filter.settled, "settled_at IS NULL");
        self.list(&format!("{} ORDER BY position", narrowed.sql()), narrowed.params).await
    }

    async fn pending_change(&self, id: PendingId) -> Result<Option<PendingChange>, StoreError> {
        let query = Query::new(nouns::select_pending("WHERE id = $1"), params![id.as_uuid()]);
        Ok(self.all(query).await?.pop())
    }

    async fn pending_changes(&self, session: SessionId) -> Result<Vec<PendingChange>, StoreError> {
        let rest = "WHERE session_id = $1 \
                    AND EXISTS (SELECT FROM sessions WHERE sessions.id = session_id AND removed_at IS NULL) \
                    ORDER BY position";
        self.all(Query::new(nouns::select_pending(rest), params![session.as_uuid()])).await
    }

    async fn open_decisions(&self) -> Result<Vec<OpenDecision>, StoreError> {
        self.all(Query::new(OpenDecision::TABLE.select("ORDER BY position"), params![])).await
    }

    async fn pending_changes_of_task(&self, task: TaskId) -> Result<Vec<PendingChange>, StoreError> {
        self.all(Query::new(nouns::select_pending("WHERE task_id = $1 ORDER BY position"), params![task.as_uuid()]))
            .await
    }

    async fn usage(&self, query: &StatsQuery) -> Result<Groups<UsageSum>, StoreError> {
        self.sum_usage(query).await
    }

    async fn usage_of_task(&self, task: TaskId) -> Result<Vec<UsageEntry>, StoreError> {
        self.list("WHERE task_id = $1 ORDER BY position", params![task.as_uuid()]).await
    }

    async fn turn_counts(&self, query: &StatsQuery) -> Result<Groups<TurnCounts>, StoreError> {
        self.count_turns(query).await
    }

    async fn worktree_of_session(&self, session: SessionId) -> Result<Option<Worktree>, StoreError> {
        self.find("WHERE session_id = $1 AND removed_at IS NULL", params![session.as_uuid()]).await
    }

    async fn orphaned_worktrees(&self) -> Result<Vec<Worktree>, StoreError> {
        let removed = "SELECT FROM sessions WHERE sessions.id = session_id AND sessions.removed_at IS NOT NULL";
        let ended =
            "SELECT FROM tasks WHERE tasks.id = task_id AND tasks.state IN ('completed', 'failed', 'cancelled')";
        let orphaned = format!("removed_at IS NULL AND (EXISTS ({removed}) OR EXISTS ({ended}))");
        self.list(&format!("WHERE {orphaned} ORDER BY position"), params![]).await
    }

    async fn worktrees(&self) -> Result<Vec<Worktree>, StoreError> {
        self.list("WHERE removed_at IS NULL ORDER BY position", params![]).await
    }

    async fn worktree_of_task(&self, task: TaskId) -> Result<Option<Worktree>, StoreError> {
        self.find("WHERE task_id = $1 AND removed_at IS NULL", params![task.as_uuid()]).await
    }
}
