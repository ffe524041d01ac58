//! The reads that are more than a look-up.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use boocoder_model::{
    AgentSession, AgentSessionStatus, Chat, ChatId, Interaction, Message, MessageId, MessageStatus, PendingChange,
    Runner, RunnerId, Seq, Session, SessionId, Task, TaskId, TaskState, Worktree,
};
use jiff::Timestamp;

use super::tables::{Kept, Log, Tables, TaskOwner};
use crate::frames::Spent;
use crate::limits::LISTED_TASKS;
use crate::{InteractionFilter, ReadBudget, StoreError, StoredFrame, TaskFilter, Writer};

impl Tables {
    pub(super) fn live_session(&self, id: SessionId) -> Option<&Session> {
        self.sessions.get(&id).and_then(Kept::live)
    }

    pub(super) fn live_chat(&self, id: ChatId) -> Option<&Chat> {
        self.chats.get(&id).and_then(Kept::live)
    }

    pub(super) fn live_worktrees(&self) -> impl Iterator<Item = &Worktree> {
        self.worktrees.values().filter_map(Kept::live)
    }

    /// Whether neither the session nor the chat, as far as they are given, was removed.
    fn is_shown(&self, session: Option<SessionId>, chat: Option<ChatId>) -> bool {
        session.is_none_or(|id| self.live_session(id).is_some()) && chat.is_none_or(|id| self.live_chat(id).is_some())
    }

    /// Takes the oldest queued task whose chat has no other task before it and whose agent no other server keeps.
    pub(super) fn claim(&mut self, by: Option<Writer>, now: Timestamp) -> Result<Option<Task>, StoreError> {
        self.check_writer(by)?;
        let running = self.tasks.values().filter(|task| task.state == TaskState::Running);
        let mut busy: BTreeSet<ChatId> = running.filter_map(|task| task.chat_id).collect();
        let next = self.tasks.values().filter(|task| task.state == TaskState::Queued).find_map(|task| {
            let is_first = task.chat_id.is_none_or(|chat| busy.insert(chat));
            let is_free = is_first && self.is_shown(task.session_id, task.chat_id) && !self.is_elsewhere(task, by);
            is_free.then_some(task.id)
        });
        let Some(task) = next.and_then(|id| self.tasks.get_mut(&id)) else { return Ok(None) };
        task.state = TaskState::Running;
        task.started_at = Some(now);
        let task = task.clone();
        if let Some(by) = by {
            self.task_owners.insert(task.id, TaskOwner { server: by.server, is_taken_over: false });
        }
        Ok(Some(task))
    }

    pub(super) fn frames_after(&self, session: SessionId, after: Seq, budget: ReadBudget) -> Vec<StoredFrame> {
        let mut spent = Spent::new(budget);
        let Some(log) = self.logs.get(&session) else { return Vec::new() };
        let numbered = (log.floor.0 + 1..).map(Seq).zip(&log.bodies).skip(log.until(after));
        let frames = numbered.map(|(seq, body)| StoredFrame { session_id: session, seq, body: body.clone() });
        frames.take_while(|frame| spent.take(frame.body.len())).collect()
    }

    pub(super) fn last_seq(&self, session: SessionId) -> Seq {
        self.logs.get(&session).map_or(Seq::ZERO, Log::last)
    }

    pub(super) fn log_floor(&self, session: SessionId) -> Seq {
        self.logs.get(&session).map_or(Seq::ZERO, |log| log.floor)
    }

    pub(super) fn tasks(&self, filter: &TaskFilter) -> Vec<Task> {
        let fits = |task: &&Task| {
            (filter.session_id.is_none() || task.session_id == filter.session_id)
                && (filter.chat_id.is_none() || task.chat_id == filter.chat_id)
                && filter.state.is_none_or(|state| task.state == state)
        };
        self.tasks.values().rev().filter(fits).take(filter.limit.unwrap_or(LISTED_TASKS)).cloned().collect()
    }

    pub(super) fn messages(&self, session: SessionId, chat: Option<ChatId>) -> Vec<Message> {
        self.messages.values().filter(|message| self.is_listed(message, session, chat)).cloned().collect()
    }

    pub(super) fn messages_page(
        &self,
        session: SessionId,
        chat: Option<ChatId>,
        before: Option<MessageId>,
        limit: usize,
    ) -> Vec<Message> {
        let end = before.map_or(Some(self.messages.len()), |id| self.messages.get_index_of(&id));
        let earlier = self.messages.values().take(end.unwrap_or(0));
        let mut page: Vec<_> = earlier.filter(|message| self.is_listed(message, session, chat)).cloned().collect();
        page.drain(..page.len().saturating_sub(limit));
        page
    }

    fn is_listed(&self, message: &Message, session: SessionId, chat: Option<ChatId>) -> bool {
        message.session_id == Some(session)
            && (chat.is_none() || message.chat_id == chat)
            && self.is_shown(message.session_id, message.chat_id)
    }

    pub(super) fn messages_before(&self, chat: ChatId, task: TaskId, limit: usize) -> Vec<Message> {
        let all: Vec<_> = self.messages.values().collect();
        let Some(first) = all.iter().position(|message| message.task_id == task) else { return Vec::new() };
        let of_chat = all[..first].iter().rev().filter(|message| message.chat_id == Some(chat));
        let mut newest: Vec<_> = of_chat.take(limit).copied().cloned().collect();
        newest.reverse();
        newest
    }

    pub(super) fn messages_until(&self, message: MessageId, limit: usize) -> Vec<Message> {
        let all: Vec<_> = self.messages.values().collect();
        let Some(last) = all.iter().position(|other| other.id == message) else { return Vec::new() };
        let of_chat = all[..=last].iter().rev().filter(|other| other.chat_id == all[last].chat_id);
        let mut newest: Vec<_> = of_chat.take(limit).copied().cloned().collect();
        newest.reverse();
        newest
    }

    pub(super) fn streaming_messages(&self) -> Vec<Message> {
        self.messages.values().filter(|message| message.status == MessageStatus::Streaming).cloned().collect()
    }

    pub(super) fn live_runner(&self, id: RunnerId) -> Option<&Runner> {
        self.runners.get(&id).and_then(Kept::live)
    }

    pub(super) fn live_runners(&self) -> impl Iterator<Item = &Runner> {
        self.runners.values().filter_map(Kept::live)
    }

    pub(super) fn agent_sessions(&self, session: SessionId) -> Vec<AgentSession> {
        let of_session =
            |row: &&AgentSession| self.live_chat(row.chat_id).is_some_and(|chat| chat.session_id == session);
        let mut rows: Vec<_> = self.agent_sessions.values().filter(of_session).cloned().collect();
        rows.sort_by(|a, b| {
            let key = |row: &AgentSession| (Reverse(row.last_active_at), row.agent.clone(), row.chat_id);
            key(a).cmp(&key(b))
        });
        rows
    }

    pub(super) fn live_agent_sessions(&self) -> Vec<AgentSession> {
        let is_live = |row: &&AgentSession| matches!(row.status, AgentSessionStatus::Active | AgentSessionStatus::Idle);
        let mut rows: Vec<_> = self.agent_sessions.values().filter(is_live).cloned().collect();
        rows.sort_by(|a, b| (a.chat_id, &a.agent).cmp(&(b.chat_id, &b.agent)));
        rows
    }

    pub(super) fn interactions(&self, filter: InteractionFilter) -> Vec<Interaction> {
        let fits = |interaction: &&Interaction| {
            (filter.session_id.is_none() || interaction.session_id == filter.session_id)
                && filter.task_id.is_none_or(|task| interaction.task_id == task)
                && (filter.settled || interaction.settled.is_none())
        };
        self.interactions.values().filter(fits).cloned().collect()
    }

    pub(super) fn pending_changes(&self, session: SessionId) -> Vec<PendingChange> {
        if self.live_session(session).is_none() {
            return Vec::new();
        }
        self.pending.values().filter(|change| change.session_id == Some(session)).cloned().collect()
    }

    pub(super) fn pending_changes_of_task(&self, task: TaskId) -> Vec<PendingChange> {
        self.pending.values().filter(|change| change.task_id == Some(task)).cloned().collect()
    }
}
