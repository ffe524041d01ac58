//! What a starting process does about what an earlier one left: turns whose agents live on are gone on with, all else is
//! settled, in order: interactions, turns and tasks, runners, agent sessions, worktrees.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use boocoder_backend::{Registry, Runners};
use boocoder_model::{
    AgentName, AgentSession, AgentSessionStatus, ChatId, DecidedBy, Interaction, InteractionOutcome, Message,
    MessageRole, MessageStatus, Runner, RunnerId, Seq, Task, TaskId, TaskState, Turn, TurnOutcome, UsageTotals,
};
use boocoder_store::{Change, InteractionFilter, Owned, Store, TaskFilter, Writer};
use boocoder_usage_mapper::UsageMapper;
use boocoder_wire::{Frame, FrameBody};

use crate::command::DispatchError;
use crate::counters;
use crate::env;
use crate::lane::{ledger, new_runners, told};
use crate::lane_core::{Adopted, TakenUp, settlement, task_updated};
use crate::ledger::pending_changed;
use crate::log::{Entry, Log};
use crate::others::Others;
use crate::recorder::Subject;
use crate::replay;
use crate::scheduler;
use crate::takeover::end_activity;
use crate::touched::Touched;
use crate::workspace::{Owner, Workspaces};

/// Why a turn that was running then has failed.
const REASON: &str = "the server stopped in the middle of the turn";

/// What an earlier process left and this one goes on with.
pub(crate) enum Left {
    /// A task that was claimed, and nothing more.
    Run(Box<Task>),
    /// A turn under way.
    Turn(Box<TakenUp>),
    /// A warm agent that waits.
    Agent(ChatId, Box<Adopted>),
}

/// How much there was to see to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Swept {
    pub(crate) interactions: usize,
    pub(crate) tasks: usize,
    pub(crate) turns_taken_up: usize,
    pub(crate) agents_taken_up: usize,
    pub(crate) runners: usize,
    pub(crate) agent_sessions: usize,
    pub(crate) messages: usize,
    pub(crate) worktrees: usize,
}

impl Swept {
    /// One line that says it all, in the log and in what is counted.
    pub(crate) fn tell(&self) {
        counters::swept(self);
        tracing::info!(
            turns_taken_up = self.turns_taken_up,
            agents_taken_up = self.agents_taken_up,
            interactions = self.interactions,
            tasks = self.tasks,
            runners = self.runners,
            agent_sessions = self.agent_sessions,
            messages = self.messages,
            worktrees = self.worktrees,
            "saw to what an earlier process left"
        );
    }
}

/// What a sweep works with.
pub(crate) struct Sweep<'a> {
    pub(crate) store: &'a Arc<dyn Store>,
    pub(crate) log: &'a Log,
    pub(crate) workspaces: &'a Workspaces,
    pub(crate) registry: &'a Registry,
    /// The agents that outlive a process, where they do.
    pub(crate) runners: Option<&'a dyn Runners>,
    /// How much of a chat's history an agent may be told, in bytes.
    pub(crate) history: usize,
    /// Who writes, if others write to the same store.
    pub(crate) writer: Option<Writer>,
}

impl Sweep<'_> {
    /// Settles what was left, and says what goes on. Doing it again finds nothing more to settle.
    pub(crate) async fn run(&self) -> Result<(Swept, Vec<Left>), DispatchError> {
        let (mut swept, mut left) = (Swept::default(), Vec::new());
        let (own, others) = self.own().await?;
        let mut rows: BTreeMap<RunnerId, Runner> = own.runners.into_iter().map(|row| (row.id, row)).collect();
        let (going_on, crashed): (Vec<_>, Vec<_>) = own.running.into_iter().partition(|task| self.goes_on(&task.agent));
        let tasks: BTreeSet<TaskId> = going_on.iter().map(|task| task.id).collect();
        swept.interactions = self.settle_interactions(&tasks, &others).await?;
        for task in crashed {
            let outcome = match self.runners {
                Some(_) => TurnOutcome::failed(DecidedBy::Policy, scheduler::not_there(&task.agent)),
                None => TurnOutcome::failed(DecidedBy::Crash, REASON),
            };
            settle_task(self.store, self.log, self.workspaces, task, outcome).await?;
            swept.tasks += 1;
        }
        let (mut kept, mut claimed) = (BTreeSet::new(), Vec::new());
        for task in going_on {
            swept.turns_taken_up += 1;
            let Some((turn, message)) = self.begun(&task).await? else {
                claimed.push(Left::Run(Box::new(task)));
                continue;
            };
            let row = rows.values().find(|row| is_of(row, &task)).map(|row| row.id).and_then(|id| rows.remove(&id));
            kept.extend(row.as_ref().map(|row| row.id));
            left.push(self.take_up(task, turn, message, row).await?);
        }
        for row in rows.into_values() {
            match self.adopt(&row).await? {
                Some((chat, adopted)) => {
                    kept.insert(row.id);
                    swept.agents_taken_up += 1;
                    left.push(Left::Agent(chat, Box::new(adopted)));
                }
                None => {
                    self.write(vec![Change::EndRunner { id: row.id, at: env::now() }]).await?;
                }
            }
        }
        // A task that is yet to begin runs on the agent of its chat, if that is still there.
        left.extend(claimed);
        swept.messages = self.end_activities(&left, &others).await?;
        swept.runners = self.discard_all_but(&kept).await;
        swept.agent_sessions = self.settle_agent_sessions(&left, &others).await?;
        swept.worktrees = self.remove_worktrees().await?;
        Ok((swept, left))
    }

    /// What is this server's to see to, and what is not.
    async fn own(&self) -> Result<(Owned, Others), DispatchError> {
        if let Some(writer) = self.writer {
            let own = self.store.owned(writer.server).await?;
            let others = Others::look(self.store, &own).await?;
            return Ok((own, others));
        }
        let every = Some(usize::MAX);
        let running = TaskFilter { state: Some(TaskState::Running), limit: every, ..TaskFilter::default() };
        let (running, runners) = (self.store.tasks(running).await?, self.store.runners().await?);
        Ok((Owned { running, runners, ..Owned::default() }, Others::default()))
    }

    /// Whether turns and warm agents of this name may go on: they live in processes of their own, and are still wanted.
    fn goes_on(&self, agent: &AgentName) -> bool {
        self.runners.is_some() && self.registry.get(agent).is_some_and(|spec| spec.enabled)
    }

    /// Questions of turns that do not go on are cancelled.
    async fn settle_interactions(&self, going_on: &BTreeSet<TaskId>, others: &Others) -> Result<usize, DispatchError> {
        let open = self.store.interactions(InteractionFilter::default()).await?;
        let is_orphan = |asked: &Interaction| !going_on.contains(&asked.task_id) && !others.ask(asked);
        let orphans: Vec<_> = open.into_iter().filter(is_orphan).collect();
        for asked in &orphans {
            let subject = Subject { chat_id: asked.chat_id, message_id: None, task_id: Some(asked.task_id) };
            let (change, frame) =
                settlement(subject, asked.id, InteractionOutcome::Cancelled, DecidedBy::Crash, env::now());
            self.log.write(Entry { session: asked.session_id, changes: vec![change], frames: vec![frame] }).await?;
        }
        Ok(orphans.len())
    }

    /// The turn of a task that was claimed, if it had begun, and its answer.
    async fn begun(&self, task: &Task) -> Result<Option<(Turn, Message)>, DispatchError> {
        let turns = self.store.turns_of_task(task.id).await?;
        let Some(turn) = turns.into_iter().rev().find(|turn| turn.outcome.is_none()) else { return Ok(None) };
        let messages = self.store.messages_of_task(task.id).await?;
        Ok(messages.into_iter().find(|message| message.id == turn.message_id).map(|message| (turn, message)))
    }

    /// A turn that was under way, as far as it came.
    async fn take_up(
        &self,
        task: Task,
        turn: Turn,
        message: Message,
        row: Option<Runner>,
    ) -> Result<Left, DispatchError> {
        let message = match task.session_id {
            Some(session) => replay::put_together(self.store, session, turn.after, message).await?,
            None => message,
        };
        let (record, ledger) = match task.chat_id {
            Some(chat) => {
                let record = self.store.agent_session(chat, &task.agent).await?;
                (record, ledger(self.store, chat, &task.agent).await?)
            }
            None => (None, UsageMapper::new()),
        };
        let of_task = InteractionFilter { task_id: Some(task.id), settled: true, ..InteractionFilter::default() };
        let interactions = self.store.interactions(of_task).await?;
        let runner = row.map(|row| (row.id, row.consumed));
        let history = told(self.store, &task, self.history).await?;
        let (task, runners) = (Box::new(task), new_runners());
        Ok(Left::Turn(Box::new(TakenUp {
            task,
            turn,
            message,
            runner,
            record,
            ledger,
            interactions,
            history,
            runners,
        })))
    }

    /// A warm agent without a turn, if its chat is still there.
    async fn adopt(&self, row: &Runner) -> Result<Option<(ChatId, Adopted)>, DispatchError> {
        let Some(chat) = row.chat_id.filter(|_| self.goes_on(&row.agent)) else { return Ok(None) };
        let Some(chat) = self.store.chat(chat).await? else { return Ok(None) };
        let record = self.store.agent_session(chat.id, &row.agent).await?;
        Ok(Some((chat.id, Adopted { session: chat.session_id, runner: row.clone(), record })))
    }

    /// What an agent said without having been asked is whole as far as it came.
    async fn end_activities(&self, left: &[Left], others: &Others) -> Result<usize, DispatchError> {
        let grows_on = |message: &Message| {
            left.iter().any(|left| matches!(left, Left::Turn(taken) if taken.turn.message_id == message.id))
        };
        let is_left = |message: &Message| !grows_on(message) && !others.write(message);
        let mut ended = 0;
        for message in self.store.streaming_messages().await?.into_iter().filter(is_left) {
            let Some(session) = message.session_id else { continue };
            end_activity(self.store, self.log, session, message).await?;
            ended += 1;
        }
        Ok(ended)
    }

    /// Ends the runners that nobody knows, and forgets the journals of those that have ended.
    async fn discard_all_but(&self, kept: &BTreeSet<RunnerId>) -> usize {
        let Some(runners) = self.runners else { return 0 };
        let unknown: Vec<_> = runners.list().await.into_iter().filter(|id| !kept.contains(id)).collect();
        futures::future::join_all(unknown.iter().map(|id| runners.discard(*id))).await;
        unknown.len()
    }

    /// Agent sessions without a runner are not live, whatever was last kept of them.
    async fn settle_agent_sessions(&self, left: &[Left], others: &Others) -> Result<usize, DispatchError> {
        let goes_on = |session: &AgentSession| {
            left.iter().any(|left| match left {
                Left::Agent(chat, adopted) => *chat == session.chat_id && adopted.runner.agent == session.agent,
                Left::Turn(taken) => taken.task.chat_id == Some(session.chat_id) && taken.task.agent == session.agent,
                Left::Run(_) => false,
            })
        };
        let live = self.store.live_agent_sessions().await?;
        let mut settled = 0;
        for mut session in live.into_iter().filter(|session| !goes_on(session) && !others.keep(session)) {
            session.status = match session.status {
                AgentSessionStatus::Active => AgentSessionStatus::Crashed,
                AgentSessionStatus::Idle
                | AgentSessionStatus::Crashed
                | AgentSessionStatus::Closed
                | AgentSessionStatus::Parked => AgentSessionStatus::Closed,
            };
            let frame = agent_session_frame(&session);
            let owner = self.store.chat(session.chat_id).await?.map(|chat| chat.session_id);
            let changes = vec![Change::PutAgentSession(Box::new(session))];
            self.log.write(Entry { session: owner, changes, frames: vec![frame] }).await?;
            settled += 1;
        }
        Ok(settled)
    }

    /// The worktrees of sessions that were removed go as well; unmerged work in them is kept under private refs. Those of
    /// tasks that have ended go if nothing would be lost with them.
    async fn remove_worktrees(&self) -> Result<usize, DispatchError> {
        let orphans = self.store.orphaned_worktrees().await?;
        let mut removed = self.workspaces.remove_strays().await?;
        for task in orphans.iter().filter_map(|tree| tree.task_id) {
            match self.workspaces.discard_unused(task).await {
                Ok(is_removed) => removed += usize::from(is_removed),
                // It is looked at again at the next start; nothing of it is lost meanwhile.
                Err(error) => tracing::warn!(%task, %error, "the worktree of a task that has ended stays"),
            }
        }
        for (session, project) in orphans.iter().filter_map(|tree| Some((tree.session_id?, tree.project_id))) {
            let Some(project) = self.store.project(project).await? else { continue };
            match self.workspaces.remove(Owner::Session(session), &project).await {
                Ok(()) => removed += 1,
                // It is looked at again at the next start; nothing of it is lost meanwhile.
                Err(error) => tracing::warn!(%session, %error, "the worktree of a removed session stays"),
            }
        }
        Ok(removed)
    }

    async fn write(&self, changes: Vec<Change>) -> Result<(), DispatchError> {
        Ok(self.log.write(Entry { session: None, changes, frames: Vec::new() }).await?)
    }
}

/// The frame that tells of an agent session.
pub(crate) fn agent_session_frame(session: &AgentSession) -> Frame {
    let subject = Subject { chat_id: Some(session.chat_id), ..Subject::default() };
    subject.frame(FrameBody::AgentSessionUpdated {
        agent: session.agent.to_string(),
        status: session.status.to_string(),
        has_session: session.native_id.is_some(),
        resumed: session.resumed.map(|resumed| resumed.to_string()),
    })
}

/// Whether a runner keeps the agent that this task runs on.
fn is_of(row: &Runner, task: &Task) -> bool {
    match (row.chat_id, task.chat_id) {
        (Some(kept), Some(chat)) => kept == chat && row.agent == task.agent,
        (None, _) => row.task_id == task.id,
        (Some(_), None) => false,
    }
}

/// Ends a task that nobody goes on with.
pub(crate) async fn settle_task(
    store: &Arc<dyn Store>,
    log: &Log,
    workspaces: &Workspaces,
    mut task: Task,
    outcome: TurnOutcome,
) -> Result<(), DispatchError> {
    let now = env::now();
    let reason = outcome.reason.clone();
    task.state = TaskState::Failed;
    task.ended_at = Some(now);
    task.output_summary = Some(reason.clone());
    task.outcome = Some(outcome.clone());
    let (mut changes, mut frames) = (Vec::new(), Vec::new());
    let mut named = Touched::default();
    let turns = store.turns_of_task(task.id).await?;
    for message in store.messages_of_task(task.id).await? {
        let subject =
            Subject { chat_id: message.chat_id, message_id: Some(message.id), task_id: Some(message.task_id) };
        match (message.role, message.status) {
            (MessageRole::Assistant, MessageStatus::Streaming) => {
                let after = turns.iter().find(|turn| turn.message_id == message.id).map_or(Seq::ZERO, |t| t.after);
                let said = match message.session_id {
                    Some(session) => replay::put_together(store, session, after, message).await?,
                    None => message,
                };
                let said = Message {
                    status: MessageStatus::Failed,
                    error: Some(reason.clone()),
                    finished_at: Some(now),
                    ..said
                };
                frames.push(
                    subject.frame(FrameBody::MessageComplete {
                        status: said.status.to_string(),
                        error: said.error.clone(),
                    }),
                );
                named.extend(Touched::by(&said));
                changes.push(Change::PutMessage(Box::new(said)));
            }
            (MessageRole::User, MessageStatus::Queued) => {
                let done = Message { status: MessageStatus::Complete, finished_at: Some(now), ..message };
                changes.push(Change::PutMessage(Box::new(done)));
            }
            (MessageRole::Assistant | MessageRole::User, _) => {}
        }
    }
    // What it used is in the ledger as far as it was taken in.
    let mut used = UsageTotals::default();
    store
        .usage_of_task(task.id)
        .await?
        .iter()
        .filter(|line| line.turn_id.is_some())
        .for_each(|line| used.add(&line.used));
    task.cost_tokens = Some(used.tokens()).filter(|tokens| *tokens > 0);
    for turn in turns.into_iter().filter(|turn| turn.outcome.is_none()) {
        let ended = Turn { outcome: Some(outcome.clone()), ended_at: Some(now), ..turn };
        changes.push(Change::PutTurn(ended));
    }
    let subject = Subject { chat_id: task.chat_id, message_id: None, task_id: Some(task.id) };
    // What it had changed by then is its agent's, not that of whoever works there next.
    let (more, frame) = compare(store, workspaces, &task, named).await;
    changes.extend(more);
    frames.extend(frame.map(|body| subject.frame(body)));
    frames.push(subject.frame(task_updated(&task)));
    let session = task.session_id;
    changes.push(Change::UpdateTask { task: Box::new(task), from: TaskState::Running });
    log.write(Entry { session, changes, frames }).await?;
    Ok(())
}

async fn compare(
    store: &Arc<dyn Store>,
    workspaces: &Workspaces,
    task: &Task,
    touched: Touched,
) -> (Vec<Change>, Option<FrameBody>) {
    let compared = async {
        let project = store.project(task.project_id).await?.ok_or(DispatchError::NotFound("project"))?;
        workspaces.compare(task, touched, &project).await
    };
    match compared.await {
        Ok(compared) => (compared.changes, compared.agents.map(pending_changed)),
        Err(error) => {
            tracing::warn!(task = %task.id, %error, "what an interrupted turn changed could not be read");
            (Vec::new(), None)
        }
    }
}
