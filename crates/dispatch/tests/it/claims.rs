//! A database that loses claims in a crash of its own, before the turn of the task has begun.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use boocoder_model::{
    AgentName, AgentSession, Chat, ChatId, Fence, Interaction, InteractionId, Message, MessageId, OpenDecision,
    PendingChange, PendingId, Project, ProjectId, Runner, RunnerId, Seq, ServerId, Session, SessionId, Task, TaskId,
    TaskState, Turn, UsageEntry, Worktree,
};
use boocoder_store::{
    Change, Groups, InteractionFilter, MemStore, News, Owned, ReadBudget, StatsQuery, Store, StoreError, StoredFrame,
    TaskFilter, TurnCounts, UsageSum, Wish, WriteBatch, Writer,
};
use boocoder_wire::FrameBody;
use jiff::Timestamp;
use tokio::sync::{broadcast, watch};

use crate::restart::{Bench, said};

/// When a claim is lost.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Moment {
    /// As soon as it was reported: it is made again before its lane can know.
    AtOnce,
    /// Just before the turn begins.
    Late,
    /// The same, and somebody stops the task while it is queued again.
    Stopped,
}

/// A store in memory that loses claims.
struct Forgetful {
    inner: MemStore,
    moment: Moment,
    /// How often each task's claim is lost.
    times: usize,
    lost: Mutex<BTreeMap<TaskId, usize>>,
}

impl Forgetful {
    /// Undoes the claim of a task, as a crash does, unless that was done often enough.
    async fn lose(&self, task: &Task) {
        let lost = {
            let mut lost = self.lost.lock().unwrap();
            let lost = lost.entry(task.id).or_default();
            *lost += 1;
            *lost
        };
        if lost <= self.times {
            let queued = Task { state: TaskState::Queued, started_at: None, execution_path: None, ..task.clone() };
            let stopped = Task { state: TaskState::Cancelled, ..queued.clone() };
            let mut changes = vec![Change::UpdateTask { task: Box::new(queued), from: TaskState::Running }];
            if self.moment == Moment::Stopped {
                changes.push(Change::UpdateTask { task: Box::new(stopped), from: TaskState::Queued });
            }
            self.inner.commit(WriteBatch { changes, ..WriteBatch::default() }).await.unwrap();
        }
    }
}

macro_rules! delegate {
    ($($name:ident($($arg:ident: $ty:ty),*) -> $ret:ty;)+) => {
        #[async_trait]
        impl Store for Forgetful {
            async fn commit(&self, batch: WriteBatch) -> Result<(), StoreError> {
                for change in &batch.changes {
                    if let Change::UpdateTask { task, from: TaskState::Running } = change
                        && self.moment != Moment::AtOnce
                        && task.state == TaskState::Running
                        && self.inner.task(task.id).await?.is_some_and(|task| task.state == TaskState::Running)
                    {
                        self.lose(task).await;
                    }
                }
                self.inner.commit(batch).await
            }

            async fn claim_task(&self, by: Option<Writer>, now: Timestamp) -> Result<Option<Task>, StoreError> {
                let claimed = self.inner.claim_task(by, now).await?;
                if let Some(task) = claimed.as_ref().filter(|_| self.moment == Moment::AtOnce) {
                    self.lose(task).await;
                }
                Ok(claimed)
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
    frames_after(session: SessionId, after: Seq, budget: ReadBudget) -> Vec<StoredFrame>;
    last_seq(session: SessionId) -> Seq;
    agent_session(chat: ChatId, agent: &AgentName) -> Option<AgentSession>;
    register(server: ServerId, lease: Duration, now: Timestamp) -> Fence;
    renew(writer: Writer, lease: Duration, now: Timestamp) -> ();
    lapsed(now: Timestamp) -> Vec<Writer>;
    take_over(taker: Writer, lapsed: Writer, now: Timestamp) -> Vec<Runner>;
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
    orphaned_worktrees() -> Vec<Worktree>;
    usage(query: &StatsQuery) -> Groups<UsageSum>;
    usage_of_task(id: TaskId) -> Vec<UsageEntry>;
    turn_counts(query: &StatsQuery) -> Groups<TurnCounts>;
}

#[test]
fn a_message_whose_claim_was_lost_is_asked_once_and_answered() {
    for moment in [Moment::AtOnce, Moment::Late] {
        for times in 1..=3 {
            let (inner, lost) = (MemStore::new(), Mutex::default());
            let bench = Bench::over(Arc::new(Forgetful { inner, moment, times, lost }));
            let sent = ["one", "two", "three"].map(|text| bench.send(&format!("say {text}")));
            let alone = bench.add_task("say four");
            bench.calm();
            let frames = bench.frames();
            for (task, text) in sent.into_iter().zip(["one", "two", "three"]) {
                let kept = bench.run(async |dispatcher| dispatcher.store().task(task).await.unwrap().unwrap());
                assert_eq!(kept.state, TaskState::Completed, "{moment:?} {times}: {:?}", kept.outcome);
                assert_eq!(said(&frames, task), text);
                let ended = |body: &FrameBody| matches!(body, FrameBody::TaskUpdated { outcome: Some(_), .. });
                let ends = frames.iter().filter(|frame| frame.task_id == Some(task) && ended(&frame.body));
                assert_eq!(ends.count(), 1, "{moment:?} {times}");
            }
            let kept = bench.run(async |dispatcher| dispatcher.store().task(alone).await.unwrap().unwrap());
            assert_eq!(kept.state, TaskState::Completed, "{moment:?} {times}: {:?}", kept.outcome);
            assert_eq!(bench.world.prompts(), 3, "each is asked once");
            let messages = bench.run(async |dispatcher| dispatcher.store().messages_of_task(alone).await.unwrap());
            assert_eq!(messages.last().map(|message| message.content.as_str()), Some("four"));
        }
    }
}

#[test]
fn a_task_that_is_stopped_while_it_is_queued_again_leaves_no_worktree() {
    let (inner, lost) = (MemStore::new(), Mutex::default());
    let bench = Bench::over(Arc::new(Forgetful { inner, moment: Moment::Stopped, times: 1, lost }));
    let task = bench.add_task("say one");
    bench.calm();
    let kept = bench.run(async |dispatcher| {
        let store = dispatcher.store();
        // It is removed by git, which takes its time.
        let removed = async {
            while store.worktree_of_task(task).await.unwrap().is_some() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), removed).await.expect("the worktree goes");
        store.task(task).await.unwrap().unwrap()
    });
    assert_eq!(kept.state, TaskState::Cancelled);
    assert!(!bench.world.has_runners(), "no agent was asked");
}
