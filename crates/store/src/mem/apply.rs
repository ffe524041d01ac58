//! Writing a batch: each change checks its rules, then puts what it changes.

use std::path::PathBuf;

use boocoder_model::{
    AgentSession, Chat, ChatId, Consumed, DecidedBy, DecisionId, Interaction, InteractionId, InteractionOutcome,
    Message, OpenDecision, PendingChange, Project, ProjectId, Runner, RunnerId, Seq, Session, SessionId, Task, TaskId,
    TaskState, Turn, UsageEntry, Worktree, WorktreeId,
};
use jiff::Timestamp;

use super::tables::{Kept, Log, Tables, Undo};
use crate::rule::{self, conflict};
use crate::{Change, StoreError, StoredFrame, Wish, WriteBatch, Writer, frames};

impl Tables {
    /// Writes all of the batch, or nothing.
    pub(super) fn commit(&mut self, batch: WriteBatch) -> Result<(), StoreError> {
        self.check_writer(batch.writer)?;
        let mut undo = Undo::default();
        let writer = batch.writer;
        let changed = batch.changes.into_iter().try_for_each(|change| self.apply(change, writer, &mut undo));
        let written = changed.and_then(|()| self.append(batch.frames));
        if written.is_err() {
            undo.run(self);
        }
        written
    }

    /// Appends the frames once every number is known to follow on.
    fn append(&mut self, frames: Vec<StoredFrame>) -> Result<(), StoreError> {
        for (session, before) in frames::follows(&frames)? {
            require(self.sessions.contains_key(&session), "frame", rule::NO_SESSION)?;
            require(self.last_seq(session) == before, "frame", rule::SEQ)?;
        }
        for frame in frames {
            self.logs.entry(frame.session_id).or_default().bodies.push(frame.body);
        }
        Ok(())
    }

    fn apply(&mut self, change: Change, writer: Option<Writer>, undo: &mut Undo) -> Result<(), StoreError> {
        match change {
            Change::AddProject(project) => self.add_project(project, undo),
            Change::MoveProject { id, path } => self.move_project(id, path, undo),
            Change::AddSession(session) => self.add_session(session, undo),
            Change::RemoveSession { id, at } => self.remove_session(id, at, undo),
            Change::RenameSession { id, title } => self.rename_session(id, title, undo),
            Change::RenameChat { id, title } => self.rename_chat(id, title, undo),
            Change::AddChat(chat) => self.add_chat(chat, undo),
            Change::RemoveChat { id, at } => self.remove_chat(id, at, undo),
            Change::AddTask { task, request_key } => self.add_task(*task, request_key, undo),
            Change::UpdateTask { task, from } => self.update_task(*task, from, undo),
            Change::RequestCancel { task, by } => self.request_cancel(task, by, undo),
            Change::PutMessage(message) => self.put_message(*message, undo),
            Change::PutTurn(turn) => self.put_turn(turn, undo),
            Change::PutAgentSession(agent_session) => self.put_agent_session(*agent_session, undo),
            Change::AddUsage(entry) => self.add_usage(entry, undo),
            Change::OpenInteraction(interaction) => self.open_interaction(*interaction, undo),
            Change::SettleInteraction { id, outcome, decided_by, at: _ } => {
                self.settle_interaction(id, outcome, decided_by, undo)
            }
            Change::AddWorktree(worktree) => self.add_worktree(worktree, undo),
            Change::MoveWorktree { id, path } => self.move_worktree(id, path, undo),
            Change::RemoveWorktree { id, at } => self.remove_worktree(id, at, undo),
            Change::AddPending(pending) => self.add_pending(*pending, undo),
            Change::RevisePending(pending) => self.revise_pending(*pending, undo),
            Change::BeginDecision(decision) => self.begin_decision(*decision, undo),
            Change::EndDecision { id } => self.end_decision(id, undo),
            Change::AddRunner(runner) => self.add_runner(*runner, writer, undo),
            Change::Consume { runner, consumed } => self.consume(runner, consumed, undo),
            Change::EndRunner { id, at } => self.end_runner(id, at, undo),
            Change::ExpectFrames { session, through } => self.expect_frames(session, through),
            Change::PutWish(wish) => self.put_wish(wish, undo),
            Change::CompactFrames { session, through } => self.compact(session, through, undo),
        }
    }

    fn add_project(&mut self, project: Project, undo: &mut Undo) -> Result<(), StoreError> {
        require(!self.projects.contains_key(&project.id), "project", rule::ID_TAKEN)?;
        require(self.projects.values().all(|other| other.path != project.path), "project", rule::PATH_TAKEN)?;
        undo.put(self, |tables| &mut tables.projects, project.id, project);
        Ok(())
    }

    fn move_project(&mut self, id: ProjectId, path: PathBuf, undo: &mut Undo) -> Result<(), StoreError> {
        let project = self.projects.get(&id).ok_or_else(|| conflict("project", rule::ABSENT))?.clone();
        let is_free = self.projects.values().all(|other| other.id == id || other.path != path);
        require(is_free, "project", rule::PATH_TAKEN)?;
        undo.put(self, |tables| &mut tables.projects, id, Project { path, ..project });
        Ok(())
    }

    fn add_session(&mut self, session: Session, undo: &mut Undo) -> Result<(), StoreError> {
        require(!self.sessions.contains_key(&session.id), "session", rule::ID_TAKEN)?;
        require(self.projects.contains_key(&session.project_id), "session", rule::NO_PROJECT)?;
        undo.put(self, |tables| &mut tables.sessions, session.id, Kept::new(session));
        Ok(())
    }

    fn remove_session(&mut self, id: SessionId, at: Timestamp, undo: &mut Undo) -> Result<(), StoreError> {
        let value = self.live_session(id).ok_or_else(|| conflict("session", rule::ABSENT))?.clone();
        undo.put(self, |tables| &mut tables.sessions, id, Kept { value, removed_at: Some(at) });
        let live = self.chats.values().filter_map(Kept::live).filter(|chat| chat.session_id == id);
        for chat in live.map(|chat| chat.id).collect::<Vec<_>>() {
            self.remove_chat(chat, at, undo)?;
        }
        Ok(())
    }

    fn add_chat(&mut self, chat: Chat, undo: &mut Undo) -> Result<(), StoreError> {
        require(!self.chats.contains_key(&chat.id), "chat", rule::ID_TAKEN)?;
        require(self.live_session(chat.session_id).is_some(), "chat", rule::GONE)?;
        let has_message = chat.forked_from.is_none_or(|id| self.messages.contains_key(&id));
        require(has_message, "chat", rule::NO_MESSAGE)?;
        undo.put(self, |tables| &mut tables.chats, chat.id, Kept::new(chat));
        Ok(())
    }

    fn rename_session(&mut self, id: SessionId, title: String, undo: &mut Undo) -> Result<(), StoreError> {
        let session = self.live_session(id).ok_or_else(|| conflict("session", rule::ABSENT))?;
        let renamed = Session { title, ..session.clone() };
        undo.put(self, |tables| &mut tables.sessions, id, Kept::new(renamed));
        Ok(())
    }

    fn rename_chat(&mut self, id: ChatId, title: String, undo: &mut Undo) -> Result<(), StoreError> {
        let chat = self.live_chat(id).ok_or_else(|| conflict("chat", rule::ABSENT))?;
        let renamed = Chat { title, ..chat.clone() };
        undo.put(self, |tables| &mut tables.chats, id, Kept::new(renamed));
        Ok(())
    }

    fn remove_chat(&mut self, id: ChatId, at: Timestamp, undo: &mut Undo) -> Result<(), StoreError> {
        let value = self.live_chat(id).ok_or_else(|| conflict("chat", rule::ABSENT))?.clone();
        undo.put(self, |tables| &mut tables.chats, id, Kept { value, removed_at: Some(at) });
        Ok(())
    }

    fn add_task(&mut self, task: Task, request_key: Option<String>, undo: &mut Undo) -> Result<(), StoreError> {
        require(!self.tasks.contains_key(&task.id), "task", rule::ID_TAKEN)?;
        require(task.session_id.is_none_or(|id| self.live_session(id).is_some()), "task", rule::GONE)?;
        require(task.chat_id.is_none_or(|id| self.live_chat(id).is_some()), "task", rule::GONE)?;
        self.check_task(&task)?;
        if let Some(key) = request_key {
            require(!self.requests.contains_key(&key), "task", rule::REQUEST_TAKEN)?;
            undo.put(self, |tables| &mut tables.requests, key, task.id);
        }
        undo.put(self, |tables| &mut tables.tasks, task.id, task);
        Ok(())
    }

    /// Replaces a task but for the request to stop it, which the caller's copy may not know of.
    fn update_task(&mut self, task: Task, from: TaskState, undo: &mut Undo) -> Result<(), StoreError> {
        let cancel_requested = self.task_in(task.id, from)?.cancel_requested;
        self.check_task(&task)?;
        undo.put(self, |tables| &mut tables.tasks, task.id, Task { cancel_requested, ..task });
        Ok(())
    }

    fn request_cancel(&mut self, id: TaskId, by: DecidedBy, undo: &mut Undo) -> Result<(), StoreError> {
        let mut task = self.task_in(id, TaskState::Running)?.clone();
        task.cancel_requested = task.cancel_requested.or(Some(by));
        undo.put(self, |tables| &mut tables.tasks, id, task);
        Ok(())
    }

    /// The task, which must be in this state.
    fn task_in(&self, id: TaskId, state: TaskState) -> Result<&Task, StoreError> {
        let task = self.tasks.get(&id).ok_or_else(|| conflict("task", rule::ABSENT))?;
        require(task.state == state, "task", rule::found_in(task.state.as_str()))?;
        Ok(task)
    }

    fn check_task(&self, task: &Task) -> Result<(), StoreError> {
        require(self.projects.contains_key(&task.project_id), "task", rule::NO_PROJECT)?;
        self.check_place("task", task.session_id, task.chat_id)?;
        let is_other = |other: &Task| other.id != task.id && other.chat_id == task.chat_id;
        let is_busy = task.chat_id.is_some()
            && task.state == TaskState::Running
            && self.tasks.values().any(|other| is_other(other) && other.state == TaskState::Running);
        require(!is_busy, "task", rule::CHAT_BUSY)
    }

    fn put_message(&mut self, message: Message, undo: &mut Undo) -> Result<(), StoreError> {
        self.check_task_of("message", Some(message.task_id))?;
        self.check_place("message", message.session_id, message.chat_id)?;
        undo.put(self, |tables| &mut tables.messages, message.id, message);
        Ok(())
    }

    fn put_turn(&mut self, turn: Turn, undo: &mut Undo) -> Result<(), StoreError> {
        self.check_task_of("turn", Some(turn.task_id))?;
        require(self.messages.contains_key(&turn.message_id), "turn", rule::NO_MESSAGE)?;
        undo.put(self, |tables| &mut tables.turns, turn.id, turn);
        Ok(())
    }

    fn put_agent_session(&mut self, row: AgentSession, undo: &mut Undo) -> Result<(), StoreError> {
        require(self.chats.contains_key(&row.chat_id), "agent session", rule::NO_CHAT)?;
        let key = (row.chat_id, row.agent.clone());
        undo.put(self, |tables| &mut tables.agent_sessions, key, row);
        Ok(())
    }

    fn add_usage(&mut self, entry: UsageEntry, undo: &mut Undo) -> Result<(), StoreError> {
        if self.usage_entries.contains_key(&entry.id) {
            return Ok(());
        }
        self.check_task_of("usage entry", Some(entry.task_id))?;
        require(entry.turn_id.is_none_or(|id| self.turns.contains_key(&id)), "usage entry", rule::NO_TURN)?;
        undo.put(self, |tables| &mut tables.usage_entries, entry.id, entry);
        Ok(())
    }

    fn open_interaction(&mut self, interaction: Interaction, undo: &mut Undo) -> Result<(), StoreError> {
        rule::opens(&interaction)?;
        require(!self.interactions.contains_key(&interaction.id), "interaction", rule::ID_TAKEN)?;
        self.check_task_of("interaction", Some(interaction.task_id))?;
        self.check_place("interaction", interaction.session_id, interaction.chat_id)?;
        undo.put(self, |tables| &mut tables.interactions, interaction.id, interaction);
        Ok(())
    }

    fn settle_interaction(
        &mut self,
        id: InteractionId,
        outcome: InteractionOutcome,
        decided_by: DecidedBy,
        undo: &mut Undo,
    ) -> Result<(), StoreError> {
        let mut interaction = self.interactions.get(&id).ok_or_else(|| conflict("interaction", rule::ABSENT))?.clone();
        rule::opens(&interaction)?;
        interaction.settled = Some((outcome, decided_by));
        undo.put(self, |tables| &mut tables.interactions, id, interaction);
        Ok(())
    }

    fn add_worktree(&mut self, worktree: Worktree, undo: &mut Undo) -> Result<(), StoreError> {
        require(!self.worktrees.contains_key(&worktree.id), "worktree", rule::ID_TAKEN)?;
        require(worktree.session_id.is_some() != worktree.task_id.is_some(), "worktree", rule::ONE_OWNER)?;
        require(self.projects.contains_key(&worktree.project_id), "worktree", rule::NO_PROJECT)?;
        self.check_place("worktree", worktree.session_id, None)?;
        self.check_task_of("worktree", worktree.task_id)?;
        let owner = (worktree.session_id, worktree.task_id);
        let is_free = self.live_worktrees().all(|other| (other.session_id, other.task_id) != owner);
        require(is_free, "worktree", rule::HAS_WORKTREE)?;
        undo.put(self, |tables| &mut tables.worktrees, worktree.id, Kept::new(worktree));
        Ok(())
    }

    fn move_worktree(&mut self, id: WorktreeId, path: PathBuf, undo: &mut Undo) -> Result<(), StoreError> {
        let live = self.worktrees.get(&id).and_then(Kept::live);
        let moved = Worktree { path, ..live.ok_or_else(|| conflict("worktree", rule::ABSENT))?.clone() };
        undo.put(self, |tables| &mut tables.worktrees, id, Kept::new(moved));
        Ok(())
    }

    fn remove_worktree(&mut self, id: WorktreeId, at: Timestamp, undo: &mut Undo) -> Result<(), StoreError> {
        let live = self.worktrees.get(&id).and_then(Kept::live);
        let value = live.ok_or_else(|| conflict("worktree", rule::ABSENT))?.clone();
        undo.put(self, |tables| &mut tables.worktrees, id, Kept { value, removed_at: Some(at) });
        Ok(())
    }

    fn add_pending(&mut self, pending: PendingChange, undo: &mut Undo) -> Result<(), StoreError> {
        require(!self.pending.contains_key(&pending.id), "pending change", rule::ID_TAKEN)?;
        self.check_place("pending change", pending.session_id, None)?;
        self.check_task_of("pending change", pending.task_id)?;
        let has_worktree = pending.worktree_id.is_none_or(|id| self.worktrees.contains_key(&id));
        require(has_worktree, "pending change", rule::NO_WORKTREE)?;
        self.check_hunks(&pending)?;
        undo.put(self, |tables| &mut tables.pending, pending.id, pending);
        Ok(())
    }

    /// The hunks of a pending change are in no other one, and each of them once.
    fn check_hunks(&self, pending: &PendingChange) -> Result<(), StoreError> {
        let others = self.pending.values().filter(|other| other.id != pending.id);
        let mut hunks: Vec<_> = others.flat_map(|other| &other.hunks).map(|hunk| hunk.id).collect();
        for hunk in &pending.hunks {
            require(!hunks.contains(&hunk.id), "hunk", rule::ID_TAKEN)?;
            self.check_task_of("hunk", hunk.task_id)?;
            hunks.push(hunk.id);
        }
        Ok(())
    }

    fn revise_pending(&mut self, pending: PendingChange, undo: &mut Undo) -> Result<(), StoreError> {
        let before = self.pending.get(&pending.id).ok_or_else(|| conflict("pending change", rule::ABSENT))?.clone();
        require(before.revision.checked_add(1) == Some(pending.revision), "pending change", rule::REVISED)?;
        self.check_task_of("pending change", pending.task_id)?;
        self.check_hunks(&pending)?;
        let PendingChange { session_id, worktree_id, file_path, created_at, .. } = before;
        let after = PendingChange { session_id, worktree_id, file_path, created_at, ..pending };
        undo.put(self, |tables| &mut tables.pending, after.id, after);
        Ok(())
    }

    fn begin_decision(&mut self, decision: OpenDecision, undo: &mut Undo) -> Result<(), StoreError> {
        require(!self.decisions.contains_key(&decision.id), "decision", rule::ID_TAKEN)?;
        require(self.projects.contains_key(&decision.project_id), "decision", rule::NO_PROJECT)?;
        undo.put(self, |tables| &mut tables.decisions, decision.id, decision);
        Ok(())
    }

    fn end_decision(&mut self, id: DecisionId, undo: &mut Undo) -> Result<(), StoreError> {
        require(self.decisions.contains_key(&id), "decision", rule::ABSENT)?;
        undo.take(self, |tables| &mut tables.decisions, id);
        Ok(())
    }

    fn add_runner(&mut self, runner: Runner, writer: Option<Writer>, undo: &mut Undo) -> Result<(), StoreError> {
        require(!self.runners.contains_key(&runner.id), "runner", rule::ID_TAKEN)?;
        self.check_place("runner", None, runner.chat_id)?;
        self.check_task_of("runner", Some(runner.task_id))?;
        let is_same = |other: &Runner| other.chat_id == runner.chat_id && other.agent == runner.agent;
        let is_free = runner.chat_id.is_none() || !self.live_runners().any(is_same);
        require(is_free, "runner", rule::HAS_RUNNER)?;
        if let Some(writer) = writer {
            undo.put(self, |tables| &mut tables.runner_owners, runner.id, writer.server);
        }
        undo.put(self, |tables| &mut tables.runners, runner.id, Kept::new(runner));
        Ok(())
    }

    fn put_wish(&mut self, wish: Wish, undo: &mut Undo) -> Result<(), StoreError> {
        let asked = self.interactions.get(&wish.interaction_id);
        rule::opens(asked.ok_or_else(|| conflict("interaction", rule::ABSENT))?)?;
        undo.put(self, |tables| &mut tables.wishes, wish.interaction_id, wish);
        Ok(())
    }

    fn consume(&mut self, id: RunnerId, consumed: Consumed, undo: &mut Undo) -> Result<(), StoreError> {
        let runner = self.live_runner(id).filter(|runner| runner.consumed.position <= consumed.position);
        let runner = runner.ok_or_else(|| conflict("runner", rule::PASSED))?.clone();
        undo.put(self, |tables| &mut tables.runners, id, Kept::new(Runner { consumed, ..runner }));
        Ok(())
    }

    fn end_runner(&mut self, id: RunnerId, at: Timestamp, undo: &mut Undo) -> Result<(), StoreError> {
        let value = self.live_runner(id).ok_or_else(|| conflict("runner", rule::ENDED))?.clone();
        undo.put(self, |tables| &mut tables.runners, id, Kept { value, removed_at: Some(at) });
        Ok(())
    }

    fn expect_frames(&self, session: SessionId, through: Seq) -> Result<(), StoreError> {
        let reaches = self.sessions.contains_key(&session) && through <= self.last_seq(session);
        require(reaches, "session", rule::BEYOND)
    }

    fn compact(&mut self, session: SessionId, through: Seq, undo: &mut Undo) -> Result<(), StoreError> {
        self.expect_frames(session, through)?;
        if through > self.log_floor(session) {
            let bodies = self.logs.get(&session).map_or_else(Vec::new, |log| log.bodies[log.until(through)..].to_vec());
            undo.put(self, |tables| &mut tables.logs, session, Log { floor: through, bodies });
        }
        Ok(())
    }

    /// The session and the chat, as far as they are given, are there and belong together.
    fn check_place(
        &self,
        what: &'static str,
        session: Option<SessionId>,
        chat: Option<ChatId>,
    ) -> Result<(), StoreError> {
        require(session.is_none_or(|id| self.sessions.contains_key(&id)), what, rule::NO_SESSION)?;
        let Some(chat) = chat else { return Ok(()) };
        let of_chat = self.chats.get(&chat).ok_or_else(|| conflict(what, rule::NO_CHAT))?.value.session_id;
        require(session.is_none_or(|id| id == of_chat), what, rule::OTHER_SESSION)
    }

    fn check_task_of(&self, what: &'static str, task: Option<TaskId>) -> Result<(), StoreError> {
        require(task.is_none_or(|id| self.tasks.contains_key(&id)), what, rule::NO_TASK)
    }
}

fn require(holds: bool, what: &'static str, detail: impl Into<String>) -> Result<(), StoreError> {
    if holds { Ok(()) } else { Err(conflict(what, detail)) }
}
