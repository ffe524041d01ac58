//! What other servers on the same store see to, so that a start leaves it to them.

use std::collections::BTreeSet;
use std::sync::Arc;

use boocoder_model::{
    AgentName, AgentSession, ChatId, Interaction, InteractionId, Message, MessageId, TaskId, TaskState,
};
use boocoder_store::{InteractionFilter, Owned, Store, StoreError, TaskFilter};

/// What was there before it was asked who sees to it. What came later is somebody else's.
struct Seen {
    interactions: BTreeSet<InteractionId>,
    messages: BTreeSet<MessageId>,
    agents: BTreeSet<(ChatId, AgentName)>,
}

/// What other servers see to: nothing, if this one has the store for itself.
#[derive(Default)]
pub(crate) struct Others {
    seen: Option<Seen>,
    tasks: BTreeSet<TaskId>,
    agents: BTreeSet<(ChatId, AgentName)>,
}

impl Others {
    /// Looks at what there is, and then at whose it is. What is seen and has come to its end meanwhile is not there any
    /// more when it is looked at again.
    pub(crate) async fn look(store: &Arc<dyn Store>, own: &Owned) -> Result<Self, StoreError> {
        let open = store.interactions(InteractionFilter::default()).await?;
        let growing = store.streaming_messages().await?;
        let live = store.live_agent_sessions().await?;
        let seen = Seen {
            interactions: open.into_iter().map(|asked| asked.id).collect(),
            messages: growing.into_iter().map(|message| message.id).collect(),
            agents: live.into_iter().map(|session| (session.chat_id, session.agent)).collect(),
        };
        let running = TaskFilter { state: Some(TaskState::Running), ..TaskFilter::default() };
        let tasks = store.tasks(running).await?;
        let foreign = tasks.into_iter().filter(|task| own.running.iter().all(|other| other.id != task.id));
        let (mut tasks, mut agents) = (BTreeSet::new(), BTreeSet::new());
        for task in foreign {
            tasks.insert(task.id);
            agents.extend(task.chat_id.map(|chat| (chat, task.agent)));
        }
        let runners = store.runners().await?;
        let foreign = runners.into_iter().filter(|runner| own.runners.iter().all(|other| other.id != runner.id));
        agents.extend(foreign.filter_map(|runner| Some((runner.chat_id?, runner.agent))));
        Ok(Self { seen: Some(seen), tasks, agents })
    }

    /// Whether a question is another server's to settle.
    pub(crate) fn ask(&self, asked: &Interaction) -> bool {
        let is_new = self.seen.as_ref().is_some_and(|seen| !seen.interactions.contains(&asked.id));
        is_new || self.tasks.contains(&asked.task_id)
    }

    /// Whether a message is another server's to end.
    pub(crate) fn write(&self, message: &Message) -> bool {
        let is_new = self.seen.as_ref().is_some_and(|seen| !seen.messages.contains(&message.id));
        let agent = message.chat_id.map(|chat| (chat, message.agent.clone()));
        is_new || self.tasks.contains(&message.task_id) || agent.is_some_and(|agent| self.agents.contains(&agent))
    }

    /// Whether an agent lives under another server.
    pub(crate) fn keep(&self, session: &AgentSession) -> bool {
        let agent = (session.chat_id, session.agent.clone());
        self.seen.as_ref().is_some_and(|seen| !seen.agents.contains(&agent)) || self.agents.contains(&agent)
    }
}
