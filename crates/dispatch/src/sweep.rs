//! What a starting process settles of what an earlier one left: in order, interactions, turns and tasks, agent sessions.

use std::collections::BTreeSet;
use std::sync::Arc;

use boocoder_model::{
    AgentName, AgentSessionStatus, DecidedBy, InteractionOutcome, Message, MessageRole, MessageStatus, Seq, Task,
    TaskState, Turn, TurnOutcome,
};
use boocoder_store::{Change, InteractionFilter, Store, TaskFilter};
use boocoder_wire::FrameBody;

use crate::command::DispatchError;
use crate::env;
use crate::lane_core::{settlement, task_updated};
use crate::log::{Entry, Log};
use crate::recorder::{Subject, touched};
use crate::replay;
use crate::workspace::Workspaces;

/// Why a turn that was running then has failed.
const REASON: &str = "the server stopped in the middle of the turn";

/// How much there was to settle.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Swept {
    pub(crate) interactions: usize,
    pub(crate) tasks: usize,
    pub(crate) agent_sessions: usize,
}

impl Swept {
    /// Whether there was nothing to settle.
    pub(crate) const fn is_none(&self) -> bool {
        self.interactions + self.tasks + self.agent_sessions == 0
    }
}

/// Settles what was left. Doing it again finds nothing.
pub(crate) async fn run(store: &Arc<dyn Store>, log: &Log, workspaces: &Workspaces) -> Result<Swept, DispatchError> {
    let mut swept = Swept::default();
    for asked in store.interactions(InteractionFilter::default()).await? {
        let subject = Subject { chat_id: asked.chat_id, message_id: None, task_id: Some(asked.task_id) };
        let (change, frame) =
            settlement(subject, asked.id, InteractionOutcome::Cancelled, DecidedBy::Crash, env::now());
        log.write(Entry { session: asked.session_id, changes: vec![change], frames: vec![frame] }).await?;
        swept.interactions += 1;
    }
    let running = TaskFilter { state: Some(TaskState::Running), ..TaskFilter::default() };
    for task in store.tasks(running).await? {
        settle_task(store, log, workspaces, task).await?;
        swept.tasks += 1;
    }
    for mut session in store.live_agent_sessions().await? {
        session.status = match session.status {
            AgentSessionStatus::Active => AgentSessionStatus::Crashed,
            AgentSessionStatus::Idle | AgentSessionStatus::Crashed | AgentSessionStatus::Closed => {
                AgentSessionStatus::Closed
            }
        };
        let subject = Subject { chat_id: Some(session.chat_id), ..Subject::default() };
        let frame = subject.frame(FrameBody::AgentSessionUpdated {
            agent: session.agent.to_string(),
            status: session.status.to_string(),
            has_session: session.native_id.is_some(),
            resumed: session.resumed.map(|resumed| resumed.to_string()),
        });
        let owner = store.chat(session.chat_id).await?.map(|chat| chat.session_id);
        let changes = vec![Change::PutAgentSession(Box::new(session))];
        log.write(Entry { session: owner, changes, frames: vec![frame] }).await?;
        swept.agent_sessions += 1;
    }
    Ok(swept)
}

async fn settle_task(
    store: &Arc<dyn Store>,
    log: &Log,
    workspaces: &Workspaces,
    mut task: Task,
) -> Result<(), DispatchError> {
    let now = env::now();
    let outcome = TurnOutcome::failed(DecidedBy::Crash, REASON);
    task.state = TaskState::Failed;
    task.ended_at = Some(now);
    task.output_summary = Some(REASON.to_owned());
    task.outcome = Some(outcome.clone());
    let (mut changes, mut frames) = (Vec::new(), Vec::new());
    let mut named = BTreeSet::new();
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
                    error: Some(REASON.to_owned()),
                    finished_at: Some(now),
                    ..said
                };
                frames.push(
                    subject.frame(FrameBody::MessageComplete {
                        status: said.status.to_string(),
                        error: said.error.clone(),
                    }),
                );
                named.extend(touched(&said));
                changes.push(Change::PutMessage(Box::new(said)));
            }
            (MessageRole::User, MessageStatus::Queued) => {
                let done = Message { status: MessageStatus::Complete, finished_at: Some(now), ..message };
                changes.push(Change::PutMessage(Box::new(done)));
            }
            (MessageRole::Assistant | MessageRole::User, _) => {}
        }
    }
    for turn in turns.into_iter().filter(|turn| turn.outcome.is_none()) {
        let ended = Turn { outcome: Some(outcome.clone()), ended_at: Some(now), ..turn };
        changes.push(Change::PutTurn(ended));
    }
    let subject = Subject { chat_id: task.chat_id, message_id: None, task_id: Some(task.id) };
    // What it had changed by then is its agent's, not that of whoever works there next.
    let (more, frame) = compare(store, workspaces, &task, &named).await;
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
    touched: &BTreeSet<String>,
) -> (Vec<Change>, Option<FrameBody>) {
    let compared = async {
        let project = store.project(task.project_id).await?.ok_or(DispatchError::NotFound("project"))?;
        workspaces.compare(task, touched, &project).await
    };
    match compared.await {
        Ok(compared) => {
            let named = |agents: Vec<Option<AgentName>>| {
                let agents = agents.into_iter().map(|agent| agent.map(|name| name.to_string())).collect();
                FrameBody::PendingChanged { agents }
            };
            (compared.changes, compared.agents.map(named))
        }
        Err(error) => {
            tracing::warn!(task = %task.id, %error, "what an interrupted turn changed could not be read");
            (Vec::new(), None)
        }
    }
}
