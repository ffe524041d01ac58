//! What a lane sets going and is told of later: whatever takes time, so that the lane itself never waits.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use boocoder_backend::{AgentBackend, AgentSession, BackendError, OpenSpec};
use boocoder_model::{
    AgentName, Answer, ChatId, DecidedBy, InteractionId, MessageRole, Position, Resumed, RunnerId, Task, TaskId,
    TaskState,
};
use boocoder_store::{Change, StatsQuery, Store, StoreError, TaskFilter};
use boocoder_usage_mapper::UsageMapper;
use jiff::Timestamp;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::{Lane, LaneParts, Step};
use crate::command::DispatchError;
use crate::compaction::compact;
use crate::core;
use crate::counters;
use crate::env;
use crate::history::history;
use crate::lane_core::{Compared, Input, Opening, Prepared, Preparing};
use crate::limits;
use crate::log::{Entry, Queued, gone};
use crate::scheduler::is_of_task;
use crate::touched::Touched;
use crate::workspace::Owner;

/// Tells what became of an entry.
type Written = oneshot::Receiver<Result<(), StoreError>>;

impl Lane {
    pub(super) fn with_session<F>(&mut self, run: impl FnOnce(Option<Arc<dyn AgentSession>>) -> F)
    where
        F: Future<Output = Step> + Send + 'static,
    {
        self.steps.push(Box::pin(run(self.session.clone())));
    }

    pub(super) fn prepare(&mut self, preparing: Preparing) {
        let Preparing { task, kept, know_record } = preparing;
        let parts = Arc::clone(&self.parts);
        let (kept, taken) = match (kept, self.offer.take()) {
            (Some(kept), Some(offer)) => (Some(with_task(offer.entry, kept)), Some(offer.taken)),
            (kept, _) => (kept, None),
        };
        let is_offered = taken.is_some();
        let kept = self.keep(kept);
        self.steps.push(Box::pin(async move {
            let mut prepared = Box::<Prepared>::default();
            let kept = async {
                let result = kept.await;
                let is_refused = matches!(&result, Err(StoreError::Conflict { .. }));
                match (taken, result) {
                    (None, result) => result.map_err(|error| (is_of_task(&error), error.to_string())),
                    (Some(taken), result) => {
                        let told = match &result {
                            Ok(()) => Ok(()),
                            Err(error) => Err((is_refused, error.to_string())),
                        };
                        // Whoever sent it may have gone.
                        let _ = taken.send(result);
                        told
                    }
                }
            };
            let loaded = async {
                load(&parts, &task, know_record, is_offered, &mut prepared).await?;
                worktree(&parts, &task).await.map(drop)
            };
            match futures::future::join(kept, loaded).await {
                (Err((true, _)), _) => (prepared.lost, prepared.refused) = (true, is_offered),
                (Err((false, error)), _) => prepared.failure = Some(error),
                (Ok(()), Err(error)) => prepared.failure = Some(error.to_string()),
                (Ok(()), Ok(())) => {}
            }
            Step::Prepared(prepared)
        }));
    }

    /// Writes what has to be on disk before something is begun. Done when it is.
    fn keep(&mut self, kept: Option<Entry>) -> impl Future<Output = Result<(), StoreError>> + use<> {
        let written = kept.map(|entry| {
            let (queued, written) = Queued::acknowledged(entry);
            self.outbox.push_back(queued);
            written
        });
        async move {
            match written {
                Some(written) => written.await.unwrap_or_else(|_| Err(gone())),
                None => Ok(()),
            }
        }
    }

    fn backend(&self) -> Arc<dyn AgentBackend> {
        Arc::clone(if self.warm { &self.parts.warm } else { &self.parts.oneshot })
    }

    pub(super) fn open(&mut self, opening: Opening) {
        let Opening { task, resume, runner, kept, not_before } = opening;
        let pause = not_before.and_then(|at| Duration::try_from(at.duration_since(env::now())).ok());
        self.opening = CancellationToken::new();
        let given_up = self.opening.clone();
        let backend = self.backend();
        let before = std::mem::take(&mut self.closed);
        let (parts, agent) = (Arc::clone(&self.parts), self.spec.clone());
        let kept = self.keep(kept);
        self.steps.push(Box::pin(async move {
            let ready = async {
                kept.await?;
                worktree(&parts, &task).await
            };
            let cwd = match ready.await {
                Ok(cwd) => cwd,
                Err(error) => {
                    let source = std::io::Error::other(error);
                    return Step::Opened(Err(BackendError::Spawn { command: agent.command, source }));
                }
            };
            let spec = OpenSpec { agent, cwd, resume, runner };
            let open = async {
                tokio::time::sleep(pause.unwrap_or_default()).await;
                for before in before {
                    before.cancelled().await;
                }
                let opened = backend.open(spec).await?;
                let is_new = opened.session.info().resumed == Resumed::New;
                let history = if is_new { told(&parts.store, &task, parts.limits.history).await } else { Ok(None) };
                let history = history.unwrap_or_else(|error| {
                    tracing::warn!(%error, "what was said in a chat could not be read for its agent");
                    None
                });
                Ok((opened, history))
            };
            tokio::select! {
                result = open => Step::Opened(result),
                () = given_up.cancelled() => Step::OpenAbandoned,
            }
        }));
    }

    /// Lets an agent without work go, unless a message waits for it.
    pub(super) fn evict(&mut self) {
        let (parts, agent, chat_id) = (Arc::clone(&self.parts), self.spec.name.clone(), self.chat);
        self.steps.push(Box::pin(async move {
            let waiting = TaskFilter { chat_id, state: Some(TaskState::Queued), ..TaskFilter::default() };
            match parts.store.tasks(waiting).await {
                Ok(tasks) if tasks.iter().all(|task| task.agent != agent) => Step::Told(Input::Evict),
                Ok(_) => Step::Nothing,
                Err(error) => {
                    tracing::debug!(%error, "an agent without work stays, since nobody knows what waits for it");
                    Step::Nothing
                }
            }
        }));
    }

    pub(super) fn attach(&mut self, runner: RunnerId, after: Position) {
        let backend = self.backend();
        self.steps.push(Box::pin(async move {
            Step::Attached(match backend.runners() {
                Some(runners) => runners.attach(runner, after).await,
                None => Err(BackendError::Closed),
            })
        }));
    }

    pub(super) fn discard(&mut self, runner: RunnerId) {
        let backend = self.backend();
        let ended = self.ending();
        self.steps.push(Box::pin(async move {
            let _told = ended.drop_guard();
            if let Some(runners) = backend.runners() {
                runners.discard(runner).await;
            }
            Step::Nothing
        }));
    }

    /// Tells the journal that it need not hold what came up to a record, once that is written.
    pub(super) fn acknowledge(&mut self, position: Position, written: Option<Written>) {
        self.with_session(move |session| async move {
            let is_kept = match written {
                Some(written) => matches!(written.await, Ok(Ok(()))),
                None => true,
            };
            if let Some(session) = session.filter(|_| is_kept) {
                session.acknowledge(position).await;
            }
            Step::Nothing
        });
    }

    pub(super) fn answer(&mut self, id: InteractionId, answer: Answer, written: Option<Written>) {
        let reply = self.answering.take();
        self.with_session(move |session| async move {
            let result = async {
                if let Some(written) = written {
                    written.await.unwrap_or_else(|_| Err(gone()))?;
                }
                let session = session.ok_or_else(|| DispatchError::Conflict("the agent has gone".to_owned()))?;
                if let Err(error) = session.answer(id, answer).await {
                    // The agent must not wait for an answer that it will never be given.
                    let _ = session.answer(id, Answer::Cancel).await;
                    return Err(DispatchError::Conflict(error.to_string()));
                }
                Ok(())
            };
            Step::Answered(result.await, reply)
        });
    }

    /// What a human changed in the worktree before the turn is theirs, not the agent's.
    pub(super) fn look_before(&mut self, task: Box<Task>, began: Timestamp) {
        let parts = Arc::clone(&self.parts);
        self.steps.push(Box::pin(async move {
            if let Err(error) = parts.workspaces.look_before(&task, began).await {
                tracing::warn!(task = %task.id, %error, "what a human changed in the worktree could not be told apart");
            }
            Step::Nothing
        }));
    }

    pub(super) fn compare(&mut self, task: Box<Task>, touched: Touched) {
        let parts = Arc::clone(&self.parts);
        self.steps.push(Box::pin(async move {
            let compared = match compare(&parts, &task, touched).await {
                Ok(compared) => compared,
                Err(error) => Compared { failure: Some(error.to_string()), ..Compared::default() },
            };
            Step::Told(Input::Compared(Box::new(compared)))
        }));
    }

    /// An agent is being ended: the next one that is started waits until this is cancelled.
    fn ending(&mut self) -> CancellationToken {
        let ended = CancellationToken::new();
        self.closed.retain(|earlier| !earlier.is_cancelled());
        self.closed.push(ended.clone());
        ended
    }

    pub(super) fn close_session(&mut self, runner: Option<RunnerId>) {
        self.events = None;
        let session = self.session.take();
        let backend = self.backend();
        let closed = self.ending();
        self.steps.push(Box::pin(async move {
            let _told = closed.drop_guard();
            if let Some(session) = session {
                session.close().await;
            }
            if let Some((runner, runners)) = runner.zip(backend.runners()) {
                runners.discard(runner).await;
            }
            Step::Nothing
        }));
    }

    fn discard_unused_worktree(&mut self, task: TaskId) {
        let parts = Arc::clone(&self.parts);
        self.steps.push(Box::pin(async move {
            if let Err(error) = parts.workspaces.discard_unused(task).await {
                tracing::warn!(%task, %error, "the worktree of a task could not be removed");
            }
            Step::Nothing
        }));
    }

    /// The task is not this lane's any more. Should it be claimed again, it comes anew. One that was refused was never taken in.
    pub(super) fn lost(&mut self, task: TaskId, by: Option<DecidedBy>, is_refused: bool) {
        if !is_refused {
            tracing::warn!(%task, "the database lost the claim of a task before its turn began");
            counters::claim_lost();
        }
        self.closing |= self.once;
        let (scheduler, parts, once) = (self.parts.scheduler.clone(), Arc::clone(&self.parts), self.once);
        self.steps.push(Box::pin(async move {
            // Before it can be claimed once more, which needs the worktree.
            if once && let Err(error) = parts.workspaces.discard_unused(task).await {
                tracing::warn!(%task, %error, "the worktree of a task could not be removed");
            }
            // A scheduler that has gone has nothing left to schedule.
            let _ = scheduler.send(core::Input::Lost(task, by)).await;
            Step::Nothing
        }));
    }

    pub(super) fn ended(&mut self, task: TaskId) {
        if self.once {
            self.discard_unused_worktree(task);
        }
        self.closing |= self.once;
        let (scheduler, parts) = (self.parts.scheduler.clone(), Arc::clone(&self.parts));
        let session = self.core.session();
        self.steps.push(Box::pin(async move {
            if let Some(session) = session
                && let Err(error) = compact(&parts, session).await
            {
                tracing::warn!(%session, %error, "the log of a session was not compacted");
            }
            Step::Nothing
        }));
        self.steps.push(Box::pin(async move {
            // A scheduler that has gone has nothing left to schedule.
            let _ = scheduler.send(core::Input::Ended(task)).await;
            Step::Nothing
        }));
    }
}

/// One entry that takes a task in and begins its turn.
fn with_task(mut offered: Entry, kept: Entry) -> Entry {
    for change in kept.changes {
        if let Change::UpdateTask { task: begun, .. } = &change {
            // It is added as the turn has it.
            let added = |change: &mut Change| {
                if let Change::AddTask { task, .. } = change {
                    task.clone_from(begun)
                }
            };
            offered.changes.iter_mut().for_each(added);
        } else {
            offered.changes.push(change);
        }
    }
    offered.frames.extend(kept.frames);
    offered
}

/// Loads what the turn needs to know.
async fn load(
    parts: &LaneParts,
    task: &Task,
    know_record: bool,
    is_offered: bool,
    prepared: &mut Prepared,
) -> Result<(), DispatchError> {
    prepared.note = parts.workspaces.refusals(task).await?;
    // What comes with an offer is written as answered.
    if !is_offered {
        let messages = parts.store.messages_of_task(task.id).await?;
        prepared.question = messages.into_iter().find(|message| message.role == MessageRole::User);
    }
    prepared.record = match task.chat_id {
        Some(chat) if !know_record => {
            prepared.ledger = Some(ledger(&parts.store, chat, &task.agent).await?);
            parts.store.agent_session(chat, &task.agent).await?
        }
        Some(_) | None => None,
    };
    Ok(())
}

/// What an agent used in a chat so far, by the lines of the ledger: its next reports are compared with that.
pub(crate) async fn ledger(
    store: &Arc<dyn Store>,
    chat: ChatId,
    agent: &AgentName,
) -> Result<UsageMapper, DispatchError> {
    let query = StatsQuery { chat_id: Some(chat), agent: Some(agent.clone()), ..StatsQuery::default() };
    let sum = store.usage(&query).await?.and_then(|groups| groups.into_values().next()).unwrap_or_default();
    Ok(UsageMapper::resume(sum.totals(), sum.tells_cost()))
}

/// What was said in the chat, for an agent that has been in it before and may have to begin anew; and, for any agent, what a
/// forked chat began with.
pub(crate) async fn told(store: &Arc<dyn Store>, task: &Task, budget: usize) -> Result<Option<String>, DispatchError> {
    const MOST: usize = limits::HISTORY_MESSAGES;
    let Some(chat) = task.chat_id.filter(|_| task.session_id.is_some()) else { return Ok(None) };
    let mut forked_from = store.forked_from(chat).await?;
    if forked_from.is_none() && store.agent_session(chat, &task.agent).await?.is_none() {
        return Ok(None);
    }
    let mut messages = store.messages_before(chat, task.id, MOST).await?;
    while let Some(last) = forked_from.filter(|_| messages.len() < MOST) {
        let mut earlier = store.messages_until(last, MOST - messages.len()).await?;
        forked_from = match earlier.last().and_then(|message| message.chat_id) {
            Some(chat) => store.forked_from(chat).await?,
            None => None,
        };
        earlier.append(&mut messages);
        messages = earlier;
    }
    Ok(history(&messages, messages.len() < MOST, budget))
}

/// Makes sure of the worktree.
async fn worktree(parts: &LaneParts, task: &Task) -> Result<PathBuf, DispatchError> {
    let project = parts.store.project(task.project_id).await?.ok_or(DispatchError::NotFound("project"))?;
    let slot = parts.workspaces.ensure(Owner::of(task), &project).await?;
    let workspace = slot.as_ref().ok_or(DispatchError::NotFound("worktree"))?;
    Ok(workspace.path().to_owned())
}

async fn compare(parts: &LaneParts, task: &Task, touched: Touched) -> Result<Compared, DispatchError> {
    let project = parts.store.project(task.project_id).await?.ok_or(DispatchError::NotFound("project"))?;
    parts.workspaces.compare(task, touched, &project).await
}
