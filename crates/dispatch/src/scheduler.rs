//! The shell of the scheduler: one loop that owns the lanes, feeds `DispatchCore` and does what it says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use boocoder_backend::{AgentSpec, Registry};
use boocoder_model::{AgentName, Answer, ChatId, DecidedBy, Interaction, Task, TaskId, TaskState, TurnOutcome};
use boocoder_store::{Change, StoreError};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::task::TaskTracker;

use crate::command::DispatchError;
use crate::core::{Action, DispatchCore, Input, LaneKey};
use crate::env;
use crate::lane::{Lane, LaneCommand, LaneParts, Offer};
use crate::lane_core::task_updated;
use crate::limits;
use crate::log::Entry;
use crate::recorder::Subject;
use crate::sweep::Left;

/// What the scheduler is asked from outside.
pub(crate) enum Request {
    /// Something may be claimable.
    Wake,
    /// Run a task that is not in the store yet, if it may begin at once; its entry is written with the turn's first one. An
    /// offer that is dropped was not taken.
    Begin(Box<Task>, Offer),
    /// Cancel a task that is not queued any more.
    Cancel(TaskId),
    /// Hand an answer to the lane that asked.
    Answer(Box<Interaction>, Answer, oneshot::Sender<Result<(), DispatchError>>),
    /// End the lanes of a chat in which nothing runs.
    CloseChat(ChatId),
    /// End the lanes of chats that another server removed.
    CloseRemoved,
    /// Stop; answered when every lane has ended.
    Drain(oneshot::Sender<()>),
    /// Stop and leave the agents to the next process; answered when every lane has ended.
    Leave(oneshot::Sender<()>),
}

pub(crate) struct Scheduler {
    core: DispatchCore,
    parts: Arc<LaneParts>,
    registry: Arc<Registry>,
    lanes: BTreeMap<LaneKey, mpsc::Sender<LaneCommand>>,
    tracker: TaskTracker,
    drained: Option<oneshot::Sender<()>>,
    /// What comes with the task that is being handed to its lane.
    offer: Option<Offer>,
}

impl Scheduler {
    /// Starts it with what an earlier process left. The receiver is told when that is taken in.
    pub(crate) fn start(
        parts: Arc<LaneParts>,
        registry: Arc<Registry>,
        left: Vec<Left>,
        requests: mpsc::Receiver<Request>,
        inputs: mpsc::Receiver<Input>,
    ) -> oneshot::Receiver<()> {
        let (ready, is_ready) = oneshot::channel();
        let max_warm_of = parts.keeping.iter().filter_map(|(name, it)| Some((name.clone(), it.max_warm?))).collect();
        let core = DispatchCore::new(parts.limits.max_running, parts.limits.max_warm, max_warm_of);
        let wakeups = parts.store.wakeups();
        let scheduler = Self {
            core,
            parts,
            registry,
            lanes: BTreeMap::new(),
            tracker: TaskTracker::new(),
            drained: None,
            offer: None,
        };
        tokio::spawn(scheduler.run(left, ready, requests, inputs, wakeups));
        is_ready
    }

    async fn run(
        mut self,
        left: Vec<Left>,
        ready: oneshot::Sender<()>,
        mut requests: mpsc::Receiver<Request>,
        mut inputs: mpsc::Receiver<Input>,
        mut wakeups: watch::Receiver<u64>,
    ) {
        let mut watching = true;
        let standing = self.parts.standing.clone();
        let mut has_left = false;
        self.take_up(left).await;
        // Whoever started this may have given up.
        let _ = ready.send(());
        self.tell(Input::Wake).await;
        loop {
            tokio::select! {
                Some(input) = inputs.recv() => {
                    if let Input::Ended(task) | Input::Lost(task, _) = &input {
                        self.lanes.remove(&LaneKey::Task(*task));
                    }
                    self.tell(input).await;
                }
                request = requests.recv() => match request {
                    Some(request) => self.request(request).await,
                    None => return,
                },
                () = standing.fenced_off(), if !has_left => {
                    has_left = true;
                    self.leave().await;
                }
                changed = wakeups.changed(), if watching => match changed {
                    Ok(()) => self.tell(Input::Wake).await,
                    Err(_) => watching = false,
                },
            }
        }
    }

    async fn request(&mut self, request: Request) {
        match request {
            Request::Wake => self.tell(Input::Wake).await,
            Request::Begin(task, offer) => {
                let is_taken = self.parts.standing.writer().is_none() && self.core.admits(&task);
                let spec = self.registry.get(&task.agent).filter(|spec| spec.enabled && is_taken).cloned();
                if let Some(spec) = spec {
                    self.offer = Some(offer);
                    self.lane(&LaneKey::of(&task), spec);
                    self.tell(Input::Begin(task)).await;
                }
            }
            Request::Cancel(task) => self.tell(Input::Cancel(task, DecidedBy::User)).await,
            Request::Answer(interaction, answer, reply) => self.answer(&interaction, answer, reply).await,
            Request::CloseChat(chat) => self.close_chat(chat).await,
            Request::CloseRemoved => self.close_removed().await,
            Request::Drain(done) => {
                self.drained = Some(done);
                if self.parts.standing.is_fenced_off() {
                    // Nothing that runs here is this server's to cancel.
                    self.leave().await;
                } else {
                    self.tell(Input::Drain).await;
                }
            }
            Request::Leave(done) => {
                self.drained = Some(done);
                self.leave().await;
            }
        }
    }

    /// Claims nothing more, and ends the lanes without their agents.
    async fn leave(&mut self) {
        self.tell(Input::Leave).await;
        self.end_lanes(|| LaneCommand::Leave);
    }

    async fn close_chat(&mut self, chat: ChatId) {
        let of_chat = |key: &LaneKey| matches!(key, LaneKey::Chat(id, _) if *id == chat);
        let keys: Vec<_> = self.lanes.keys().filter(|key| of_chat(key)).cloned().collect();
        for key in keys {
            if let Some(lane) = self.lanes.remove(&key) {
                let _ = lane.send(LaneCommand::Close).await;
            }
        }
    }

    /// Ends the lanes of chats that are not there any more.
    async fn close_removed(&mut self) {
        let of = |key: &LaneKey| match key {
            LaneKey::Chat(chat, _) => Some(*chat),
            LaneKey::Task(_) => None,
        };
        for chat in self.lanes.keys().filter_map(of).collect::<BTreeSet<_>>() {
            match self.parts.store.chat(chat).await {
                Ok(Some(_)) => {}
                Ok(None) => self.close_chat(chat).await,
                Err(error) => tracing::warn!(%chat, %error, "nobody knows whether a chat was removed"),
            }
        }
    }

    /// Goes on with what an earlier process left, and waits until all that its agents said meanwhile is taken in: a frame
    /// that was shown before keeps its number only if nothing else gets one first.
    async fn take_up(&mut self, left: Vec<Left>) {
        let mut catching_up = Vec::new();
        for left in left {
            let (caught_up, is_caught_up) = oneshot::channel();
            let (task, key, agent, command) = match left {
                Left::Run(task) => {
                    (Some(task.id), LaneKey::of(&task), task.agent.clone(), LaneCommand::Run(task, None))
                }
                Left::Turn(taken) => {
                    let task = &taken.task;
                    let (id, key, agent) = (task.id, LaneKey::of(task), task.agent.clone());
                    (Some(id), key, agent, LaneCommand::TakeUp(taken, caught_up))
                }
                Left::Agent(chat, adopted) => {
                    let agent = adopted.runner.agent.clone();
                    (None, LaneKey::Chat(chat, agent.clone()), agent, LaneCommand::Adopt(adopted, caught_up))
                }
            };
            let Some(spec) = self.registry.get(&agent).cloned() else { continue };
            let lane = self.lane(&key, spec);
            let _ = lane.send(command).await;
            self.tell(Input::TakenUp(task, key)).await;
            catching_up.push(is_caught_up);
        }
        // A lane that drops its end has nothing to catch up with.
        let all = futures::future::join_all(catching_up);
        if tokio::time::timeout(limits::CATCH_UP, all).await.is_err() {
            tracing::warn!("what agents said while there was no server is still being taken in");
        }
    }

    async fn tell(&mut self, input: Input) {
        for action in self.core.handle(input) {
            match action {
                Action::Claim => self.claim(),
                Action::Run(key, task) => self.start_task(key, task).await,
                Action::Cancel(key, task, by) => {
                    if let Some(lane) = self.lanes.get(&key) {
                        let _ = lane.send(LaneCommand::Cancel(task, by)).await;
                    }
                }
                Action::Evict(key) => {
                    if let Some(lane) = self.lanes.get(&key) {
                        let _ = lane.send(LaneCommand::Evict).await;
                    }
                }
                Action::Drained => self.end_lanes(|| LaneCommand::Close),
            }
        }
    }

    fn claim(&self) {
        let parts = Arc::clone(&self.parts);
        tokio::spawn(async move {
            match parts.store.claim_task(parts.standing.writer(), env::now()).await {
                Ok(task) => drop(parts.scheduler.send(Input::Claimed(task.map(Box::new))).await),
                Err(error) => {
                    parts.standing.note(&error);
                    tracing::warn!(%error, "a task could not be claimed; trying again");
                    let _ = parts.scheduler.send(Input::ClaimFailed).await;
                    tokio::time::sleep(parts.limits.claim_retry).await;
                    let _ = parts.scheduler.send(Input::Wake).await;
                }
            }
        });
    }

    async fn start_task(&mut self, key: LaneKey, task: Box<Task>) {
        let id = task.id;
        let Some(spec) = self.registry.get(&task.agent).filter(|spec| spec.enabled).cloned() else {
            return self.refuse(task);
        };
        let lane = self.lane(&key, spec);
        let offer = self.offer.take();
        let is_offered = offer.is_some();
        if lane.send(LaneCommand::Run(task, offer)).await.is_err() {
            if is_offered {
                // It is nowhere yet, and is queued by whoever offered it.
                let scheduler = self.parts.scheduler.clone();
                tokio::spawn(async move { drop(scheduler.send(Input::Lost(id, None)).await) });
            } else {
                tracing::error!(task = %id, "a lane ended before its task could be handed to it");
            }
        }
    }

    /// The lane with this key, which is started if there is none.
    fn lane(&mut self, key: &LaneKey, spec: AgentSpec) -> mpsc::Sender<LaneCommand> {
        if let Some(lane) = self.lanes.get(key).filter(|lane| !lane.is_closed()) {
            return lane.clone();
        }
        let lane = Lane::start(Arc::clone(&self.parts), spec, key, &self.tracker);
        self.lanes.insert(key.clone(), lane.clone());
        lane
    }

    /// A task whose agent was taken out of the configuration, or disabled, after it was accepted.
    fn refuse(&self, mut task: Box<Task>) {
        let parts = Arc::clone(&self.parts);
        tokio::spawn(async move {
            let id = task.id;
            let reason = not_there(&task.agent);
            task.state = TaskState::Failed;
            task.ended_at = Some(env::now());
            task.output_summary = Some(reason.clone());
            task.outcome = Some(TurnOutcome::failed(DecidedBy::Policy, reason));
            let subject = Subject { chat_id: task.chat_id, message_id: None, task_id: Some(id) };
            let entry = Entry {
                session: task.session_id,
                frames: vec![subject.frame(task_updated(&task))],
                changes: vec![Change::UpdateTask { task, from: TaskState::Running }],
            };
            let input = match parts.log.write(entry).await {
                Err(error) if is_of_task(&error) => Input::Lost(id, None),
                Err(error) => {
                    tracing::error!(task = %id, %error, "a task that cannot run could not be settled");
                    Input::Ended(id)
                }
                Ok(()) => Input::Ended(id),
            };
            let _ = parts.scheduler.send(input).await;
        });
    }

    async fn answer(
        &self,
        interaction: &Interaction,
        answer: Answer,
        reply: oneshot::Sender<Result<(), DispatchError>>,
    ) {
        let key = match interaction.chat_id {
            Some(chat) if interaction.session_id.is_some() => LaneKey::Chat(chat, interaction.agent.clone()),
            Some(_) | None => LaneKey::Task(interaction.task_id),
        };
        match self.lanes.get(&key) {
            Some(lane) => {
                // A lane that has just ended drops the reply, and the caller sees that.
                let _ = lane.send(LaneCommand::Answer(interaction.id, answer, reply)).await;
            }
            None => {
                let _ = reply.send(Err(DispatchError::Conflict("the agent that asked has gone".to_owned())));
            }
        }
    }

    fn end_lanes(&mut self, command: fn() -> LaneCommand) {
        let lanes = std::mem::take(&mut self.lanes);
        let tracker = self.tracker.clone();
        tracker.close();
        let done = self.drained.take();
        tokio::spawn(async move {
            for lane in lanes.into_values() {
                let _ = lane.send(command()).await;
            }
            tracker.wait().await;
            if let Some(done) = done {
                let _ = done.send(());
            }
        });
    }
}

/// Whether an entry was refused since its task is not in the state that it should be in.
pub(crate) fn is_of_task(error: &StoreError) -> bool {
    matches!(error, StoreError::Conflict { what: "task", .. })
}

/// Why a task fails whose agent was taken out of the configuration, or disabled, after it was accepted.
pub(crate) fn not_there(agent: &AgentName) -> String {
    format!("agent {agent} is not in the configuration, or is disabled")
}

/// How many requests may wait for the scheduler.
pub(crate) const REQUESTS: usize = limits::COMMAND_QUEUE;
