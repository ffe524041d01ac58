//! Taking over from servers whose lease has ended: what they ran is settled here, and what they kept is left to others.

use std::collections::BTreeSet;
use std::sync::Arc;

use boocoder_model::{
    AgentSessionStatus, DecidedBy, InteractionOutcome, Message, MessageStatus, Runner, Seq, TaskId, TurnOutcome,
};
use boocoder_store::{Change, InteractionFilter, Store, StoreError, Writer};
use boocoder_wire::FrameBody;

use crate::command::DispatchError;
use crate::env;
use crate::lane_core::settlement;
use crate::log::{Entry, Log};
use crate::recorder::Subject;
use crate::replay;
use crate::sweep::{agent_session_frame, settle_task};
use crate::workspace::Workspaces;

/// Why a turn that such a server ran has failed.
const REASON: &str = "the server that ran the turn has gone";

/// Fences off every server whose lease has ended, and returns the runners that they left.
pub(crate) async fn take_over(store: &Arc<dyn Store>, taker: Writer) -> Result<Vec<Runner>, StoreError> {
    let mut ended = Vec::new();
    for lapsed in store.lapsed(env::now()).await? {
        if lapsed.server == taker.server {
            continue;
        }
        match store.take_over(taker, lapsed, env::now()).await {
            Ok(runners) => {
                tracing::warn!(server = %lapsed.server, runners = runners.len(), "took over from a server that has gone");
                ended.extend(runners);
            }
            // It came back at the last moment, or another one was first.
            Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(ended)
}

/// What a settlement works with.
pub(crate) struct Estate<'a> {
    pub(crate) store: &'a Arc<dyn Store>,
    pub(crate) log: &'a Log,
    pub(crate) workspaces: &'a Workspaces,
}

impl Estate<'_> {
    /// Settles the tasks that were taken over, and tells of the agents that went with their runners. Doing it again finds
    /// nothing more to settle.
    pub(crate) async fn settle(&self, taker: Writer, ended: &[Runner]) -> Result<(), DispatchError> {
        let tasks = self.store.owned(taker.server).await?.taken_over;
        if tasks.is_empty() && ended.is_empty() {
            return Ok(());
        }
        let ids: BTreeSet<TaskId> = tasks.iter().map(|task| task.id).collect();
        for asked in self.store.interactions(InteractionFilter::default()).await? {
            if ids.contains(&asked.task_id) {
                let subject = Subject { chat_id: asked.chat_id, message_id: None, task_id: Some(asked.task_id) };
                let (change, frame) =
                    settlement(subject, asked.id, InteractionOutcome::Cancelled, DecidedBy::Crash, env::now());
                self.log.write(Entry { session: asked.session_id, changes: vec![change], frames: vec![frame] }).await?;
            }
        }
        for task in tasks {
            let outcome = TurnOutcome::failed(DecidedBy::Crash, REASON);
            settle_task(self.store, self.log, self.workspaces, task, outcome).await?;
        }
        self.end_activities(ended).await?;
        for runner in ended {
            self.tell(runner).await?;
        }
        Ok(())
    }

    /// What an agent said without having been asked is whole as far as it came.
    async fn end_activities(&self, ended: &[Runner]) -> Result<(), DispatchError> {
        let is_of = |message: &Message| {
            ended.iter().any(|runner| runner.chat_id == message.chat_id && runner.agent == message.agent)
        };
        for message in self.store.streaming_messages().await?.into_iter().filter(is_of) {
            // The chat may have gone on by now, and a turn's message is its own.
            let task = self.store.task(message.task_id).await?;
            let Some(session) = message.session_id.filter(|_| task.is_none_or(|task| task.state.is_final())) else {
                continue;
            };
            end_activity(self.store, self.log, session, message).await?;
        }
        Ok(())
    }

    /// Shows that an agent is not live any more, unless it is again.
    async fn tell(&self, runner: &Runner) -> Result<(), DispatchError> {
        let Some(chat) = runner.chat_id else { return Ok(()) };
        let Some(record) = self.store.agent_session(chat, &runner.agent).await? else { return Ok(()) };
        let session = self.store.chat(chat).await?.map(|chat| chat.session_id);
        match record.status {
            AgentSessionStatus::Crashed | AgentSessionStatus::Closed => {
                let frames = vec![agent_session_frame(&record)];
                Ok(self.log.write(Entry { session, changes: Vec::new(), frames }).await?)
            }
            AgentSessionStatus::Active | AgentSessionStatus::Idle | AgentSessionStatus::Parked => Ok(()),
        }
    }
}

/// Ends a message of an agent that nobody had asked anything.
pub(crate) async fn end_activity(
    store: &Arc<dyn Store>,
    log: &Log,
    session: boocoder_model::SessionId,
    message: Message,
) -> Result<(), DispatchError> {
    let said = replay::put_together(store, session, Seq::ZERO, message).await?;
    let said = Message { status: MessageStatus::Complete, finished_at: Some(env::now()), ..said };
    let subject = Subject { chat_id: said.chat_id, message_id: Some(said.id), task_id: Some(said.task_id) };
    let frame = subject.frame(FrameBody::MessageComplete { status: said.status.to_string(), error: None });
    let changes = vec![Change::PutMessage(Box::new(said))];
    Ok(log.write(Entry { session: Some(session), changes, frames: vec![frame] }).await?)
}
