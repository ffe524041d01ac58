//! Runners as far as a dispatcher can tell: journals in memory that survive it, and an agent that does what its prompt
//! says, one record a step, whoever looks on.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use boocoder_backend::{
    AgentBackend, AgentSession, Attached, BackendError, Delivery, OpenSpec, Opened, Prompt, PromptSupport, RunnerState,
    Runners, SessionEvent, SessionInfo,
};
use boocoder_model::{
    AgentEvent, Answer, ContentPart, DecidedBy, InteractionId, InteractionOutcome, PermissionKind, PermissionOption,
    Position, Question, Resumed, RunnerId, StepUsage, StopReason, TurnId, TurnOutcome, UsageReport,
};
use tokio::sync::{mpsc, watch};
use uuid::Uuid;

/// All runners there are.
#[derive(Clone, Default)]
pub(crate) struct World(Arc<Mutex<BTreeMap<RunnerId, Journal>>>);

/// One runner: what it wrote down, and what its agent is still to do.
struct Journal {
    /// Events, and nothing for the commands that stand between them.
    records: Vec<Option<SessionEvent>>,
    turn: Option<TurnId>,
    /// What the agent does next.
    script: VecDeque<Step>,
    question: Option<InteractionId>,
    is_alive: bool,
    prompts: usize,
    acknowledged: Position,
    grown: watch::Sender<usize>,
}

#[derive(Clone)]
enum Step {
    Say(String),
    Use(u64),
    Ask(String),
    /// Between turns.
    Murmur(String),
    End,
}

impl World {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<RunnerId, Journal>> {
        self.0.lock().expect("no test panicked with it")
    }

    /// Every agent does the next thing, unless it waits for an answer. Says whether any did.
    pub(crate) fn step(&self) -> bool {
        self.lock().values_mut().filter(|journal| journal.is_alive && journal.question.is_none()).any(Journal::step)
    }

    /// Kills every runner.
    pub(crate) fn kill_runners(&self) {
        self.lock().values_mut().for_each(Journal::die);
    }

    /// Removes all that there is of any.
    pub(crate) fn lose_journals(&self) {
        self.lock().clear();
    }

    /// Whether there is anything left of any.
    pub(crate) fn has_runners(&self) -> bool {
        !self.lock().is_empty()
    }

    /// How many records no journal needs to hold any more.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.lock().values().map(|journal| journal.acknowledged.0).sum()
    }

    /// How many prompts agents were given.
    pub(crate) fn prompts(&self) -> usize {
        self.lock().values().map(|journal| journal.prompts).sum()
    }
}

impl Journal {
    fn push(&mut self, record: Option<SessionEvent>) {
        self.records.push(record);
        self.grown.send_replace(self.records.len());
    }

    #[expect(clippy::disallowed_methods, reason = "a test is a shell: it draws the ids that a runner would draw")]
    fn step(&mut self) -> bool {
        let Some(step) = self.script.pop_front() else { return false };
        let in_turn = |event| SessionEvent::Agent { turn: self.turn, event };
        let event = match step {
            Step::Say(text) => in_turn(AgentEvent::Text(text)),
            Step::Use(tokens) => {
                let used = StepUsage { input: tokens, output: 0, cost: None };
                in_turn(AgentEvent::Usage(UsageReport::turn(used)))
            }
            Step::Murmur(text) => SessionEvent::Agent { turn: None, event: AgentEvent::Text(text) },
            Step::Ask(title) => {
                let id = InteractionId::from_uuid(Uuid::now_v7());
                self.question = Some(id);
                let kind = PermissionKind::AllowOnce;
                let options = vec![PermissionOption { id: "yes".into(), name: "Yes".into(), kind }];
                SessionEvent::Asked {
                    turn: self.turn,
                    id,
                    question: Question::Permission { title, tool_call: None, options },
                }
            }
            Step::End => {
                let Some(turn) = self.turn else { return true };
                SessionEvent::TurnEnded { turn, outcome: TurnOutcome::stopped(&StopReason::EndTurn) }
            }
        };
        self.push(Some(event));
        true
    }

    /// The end that the death of a runner demands.
    fn die(&mut self) {
        if !std::mem::take(&mut self.is_alive) {
            return;
        }
        self.script.clear();
        if let Some(id) = self.question.take() {
            let (outcome, decided_by) = (InteractionOutcome::Cancelled, DecidedBy::Crash);
            self.push(Some(SessionEvent::Withdrawn { id, outcome, decided_by }));
        }
        let ended = |record: &Option<SessionEvent>| matches!(record, Some(SessionEvent::TurnEnded { turn, .. }) if Some(*turn) == self.turn);
        if let Some(turn) = self.turn
            && !self.records.iter().any(ended)
        {
            let outcome = TurnOutcome::failed(DecidedBy::Crash, "the runner was killed");
            self.push(Some(SessionEvent::TurnEnded { turn, outcome }));
        }
        self.push(Some(SessionEvent::Exited { status: "killed".into(), stderr: String::new() }));
    }

    fn last_event(&self) -> Position {
        Position(self.records.iter().rposition(Option::is_some).map_or(0, |at| at as u64 + 1))
    }
}

/// What a prompt has the agent do: `say TEXT`, `use TOKENS`, `ask TITLE`, `murmur TEXT` (after the turn), a line each.
fn script(prompt: &str) -> VecDeque<Step> {
    let mut steps = VecDeque::new();
    let mut later = Vec::new();
    for line in prompt.lines() {
        match line.split_once(' ') {
            Some(("say", text)) => steps.push_back(Step::Say(text.to_owned())),
            Some(("use", tokens)) => steps.push_back(Step::Use(tokens.parse().expect("a number"))),
            Some(("ask", title)) => steps.push_back(Step::Ask(title.to_owned())),
            Some(("murmur", text)) => later.push(Step::Murmur(text.to_owned())),
            _ => panic!("{line:?} is no step"),
        }
    }
    steps.push_back(Step::End);
    steps.extend(later);
    steps
}

struct Session {
    world: World,
    id: RunnerId,
    info: SessionInfo,
}

impl World {
    fn opened(&self, id: RunnerId, after: Position) -> Opened {
        let (sender, events) = mpsc::channel(4);
        let (world, grown) = (self.clone(), self.lock()[&id].grown.subscribe());
        tokio::spawn(deliver(world, id, after, grown, sender));
        let info = SessionInfo {
            native_id: format!("native-{id}").into(),
            resumable: false,
            resumed: Resumed::New,
            agent_version: None,
            pid: 1,
            prompt: PromptSupport::default(),
            options: Vec::new(),
        };
        Opened { session: Arc::new(Session { world: self.clone(), id, info }), events }
    }
}

async fn deliver(
    world: World,
    id: RunnerId,
    after: Position,
    mut grown: watch::Receiver<usize>,
    consumer: mpsc::Sender<Delivery>,
) {
    let mut next = after.0 as usize;
    loop {
        let records = world.lock().get(&id).map(|journal| journal.records[next..].to_vec());
        let Some(records) = records else { return };
        for event in records {
            next += 1;
            let Some(event) = event else { continue };
            let is_last = matches!(event, SessionEvent::Exited { .. });
            if consumer.send(Delivery { position: Some(Position(next as u64)), event }).await.is_err() || is_last {
                return;
            }
        }
        if grown.changed().await.is_err() {
            return;
        }
    }
}

#[async_trait]
impl AgentBackend for World {
    async fn open(&self, spec: OpenSpec) -> Result<Opened, BackendError> {
        let journal = Journal {
            records: vec![None],
            turn: None,
            script: VecDeque::new(),
            question: None,
            is_alive: true,
            prompts: 0,
            acknowledged: Position::ZERO,
            grown: watch::Sender::new(1),
        };
        assert!(self.lock().insert(spec.runner, journal).is_none(), "a runner is started once");
        Ok(self.opened(spec.runner, Position::ZERO))
    }

    fn runners(&self) -> Option<&dyn Runners> {
        Some(self)
    }
}

#[async_trait]
impl Runners for World {
    async fn list(&self) -> Vec<RunnerId> {
        self.lock().keys().copied().collect()
    }

    async fn attach(&self, id: RunnerId, after: Position) -> Result<Attached, BackendError> {
        let state = {
            let runners = self.lock();
            let journal = runners.get(&id).ok_or(BackendError::Closed)?;
            let questions: BTreeSet<_> = journal.question.into_iter().collect();
            RunnerState { last: journal.last_event(), turn: journal.turn, questions }
        };
        Ok(Attached { opened: self.opened(id, after), state })
    }

    async fn discard(&self, id: RunnerId) {
        self.lock().remove(&id);
    }
}

#[async_trait]
impl AgentSession for Session {
    fn info(&self) -> &SessionInfo {
        &self.info
    }

    async fn prompt(&self, prompt: Prompt) -> Result<(), BackendError> {
        let mut runners = self.world.lock();
        let journal = runners.get_mut(&self.id).filter(|journal| journal.is_alive).ok_or(BackendError::Closed)?;
        if journal.turn == Some(prompt.turn) {
            return Ok(());
        }
        let [.., ContentPart::Text(text)] = &prompt.content[..] else { panic!("{prompt:?} has no text") };
        // What it has yet to murmur it does before it turns to this.
        while journal.step() {}
        journal.turn = Some(prompt.turn);
        journal.prompts += 1;
        journal.script = script(text);
        journal.push(None);
        Ok(())
    }

    async fn answer(&self, id: InteractionId, answer: Answer) -> Result<(), BackendError> {
        let mut runners = self.world.lock();
        let journal = runners.get_mut(&self.id).ok_or(BackendError::Closed)?;
        if journal.question.take_if(|asked| *asked == id).is_none() {
            return Err(BackendError::UnknownInteraction(id));
        }
        journal.script.push_front(Step::Say(format!("answered {answer:?}")));
        journal.push(None);
        Ok(())
    }

    async fn cancel(&self, turn: TurnId, decided_by: DecidedBy) -> Result<(), BackendError> {
        let mut runners = self.world.lock();
        let journal = runners.get_mut(&self.id).ok_or(BackendError::Closed)?;
        if journal.turn == Some(turn) && !journal.script.is_empty() {
            journal.script.clear();
            journal.question = None;
            journal.push(None);
            journal
                .push(Some(SessionEvent::TurnEnded { turn, outcome: TurnOutcome::cancelled(decided_by, "cancelled") }));
        }
        Ok(())
    }

    async fn acknowledge(&self, consumed: Position) {
        if let Some(journal) = self.world.lock().get_mut(&self.id) {
            journal.acknowledged = journal.acknowledged.max(consumed);
        }
    }

    async fn close(&self) {
        if let Some(journal) = self.world.lock().get_mut(&self.id) {
            journal.die();
        }
    }
}
