//! The session that a runner keeps, and its journal.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use boocoder_model::{Answer, DecidedBy, InteractionId, Position, TurnId};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::limits::{DISK_PAUSE, JOURNAL_BATCH, REFUSAL, RunnerLimits};
use crate::runner::coalesce::coalesce;
use crate::runner::journal::Writer;
use crate::runner::protocol::{Command, ErrorForm};
use crate::runner::record::{Entry, Refused, Sent};
use crate::runner::state::Opening;
use crate::{AgentBackend, AgentSession, BackendError, Delivery, OpenSpec, Opened, Prompt, SessionEvent};

/// Carries out commands, and writes down what happens.
pub(super) struct Keeper {
    backend: Arc<dyn AgentBackend>,
    limits: RunnerLimits,
    session: OnceLock<Arc<dyn AgentSession>>,
    journal: Mutex<Writer>,
    /// The last record.
    written: watch::Sender<Position>,
    /// Something was acknowledged.
    room: Notify,
    /// One opening, one prompt and one answer at a time, so that one that comes twice finds what the first has done.
    opening: tokio::sync::Mutex<()>,
    prompting: tokio::sync::Mutex<()>,
    answering: tokio::sync::Mutex<()>,
    closing: CancellationToken,
    /// Nothing more will happen.
    over: watch::Sender<bool>,
}

impl Keeper {
    pub(super) fn new(backend: Arc<dyn AgentBackend>, writer: Writer, limits: RunnerLimits) -> Self {
        Self {
            backend,
            limits,
            session: OnceLock::new(),
            journal: Mutex::new(writer),
            written: watch::Sender::new(Position::ZERO),
            room: Notify::new(),
            opening: tokio::sync::Mutex::default(),
            prompting: tokio::sync::Mutex::default(),
            answering: tokio::sync::Mutex::default(),
            closing: CancellationToken::new(),
            over: watch::Sender::new(false),
        }
    }

    /// Told how far the journal is.
    pub(super) fn written(&self) -> watch::Receiver<Position> {
        self.written.subscribe()
    }

    /// Told when nothing more will happen.
    pub(super) fn over(&self) -> watch::Receiver<bool> {
        self.over.subscribe()
    }

    /// Whether nobody has asked for anything yet.
    pub(super) fn is_idle(&self) -> bool {
        self.journal().state().opening == Opening::Idle
    }

    /// Carries out a command.
    pub(super) async fn carry_out(self: Arc<Self>, command: Command) -> Result<(), BackendError> {
        match command {
            Command::Open(spec) => self.open(*spec).await,
            Command::Prompt(prompt) => self.prompt(prompt).await,
            Command::Answer { id, answer } => self.answer(id, answer).await,
            Command::Cancel { turn, decided_by } => self.cancel(turn, decided_by).await,
            Command::Close => {
                self.close().await;
                Ok(())
            }
            Command::Acknowledge(consumed) => {
                self.acknowledge(consumed);
                Ok(())
            }
        }
    }

    async fn open(self: Arc<Self>, spec: OpenSpec) -> Result<(), BackendError> {
        let _one = self.opening.lock().await;
        if let Some(opened) = self.journal().state().opened() {
            return opened.map(drop);
        }
        let (agent, limits) = (spec.agent.name.clone(), spec.agent.limits.clone());
        let sent = Sent::Open { agent, cwd: spec.cwd.clone(), resume: spec.resume.clone(), limits };
        self.record([Entry::Sent(sent)]).await;
        let opened = tokio::select! {
            opened = self.backend.open(spec) => opened,
            () = self.closing.cancelled() => Err(BackendError::Closed),
        };
        match opened {
            Ok(Opened { session, events }) => {
                self.record([Entry::Opened(Box::new(session.info().clone()))]).await;
                let _ = self.session.set(session);
                tokio::spawn(Arc::clone(&self).write_down(events));
                Ok(())
            }
            Err(error) => {
                self.record([Entry::Refused(Refused::Open(ErrorForm::from(&error)))]).await;
                self.over.send_replace(true);
                Err(error)
            }
        }
    }

    /// Starts a turn, unless the journal knows it already. The prompt is on record before the session has it, so that
    /// no turn runs of which a later server knows nothing. One that the session refuses is taken back, and may come
    /// again.
    async fn prompt(&self, prompt: Prompt) -> Result<(), BackendError> {
        let turn = prompt.turn;
        // One that comes again while the first is on its way waits for what becomes of that. Another one only waits
        // for a refusal, which comes at once.
        let is_other = self.journal().state().running.is_some_and(|running| running != turn);
        let _one = if is_other {
            timeout(REFUSAL, self.prompting.lock()).await.map_err(|_| BackendError::Busy)?
        } else {
            self.prompting.lock().await
        };
        let session = {
            let journal = self.journal();
            let state = journal.state();
            if state.turn == Some(turn) {
                return Ok(());
            }
            if state.running.is_some() {
                return Err(BackendError::Busy);
            }
            self.session.get().filter(|_| !state.ended).cloned().ok_or(BackendError::Closed)?
        };
        self.record([Entry::Sent(Sent::Prompt(prompt.clone()))]).await;
        let prompted = session.prompt(prompt).await;
        if let Err(error) = &prompted {
            let error = ErrorForm::from(error);
            self.record([Entry::Refused(Refused::Prompt { turn, error })]).await;
        }
        prompted
    }

    /// Gives an answer, unless the very same was given before.
    async fn answer(&self, id: InteractionId, answer: Answer) -> Result<(), BackendError> {
        let _one = self.answering.lock().await;
        if self.journal().state().has_taken(id, &answer) {
            return Ok(());
        }
        let session = self.session.get().ok_or(BackendError::UnknownInteraction(id))?;
        session.answer(id, answer.clone()).await?;
        self.record([Entry::Sent(Sent::Answer { id, answer })]).await;
        Ok(())
    }

    /// Cancels first and writes that down later: a full disk must not keep a turn from being stopped.
    async fn cancel(&self, turn: TurnId, decided_by: DecidedBy) -> Result<(), BackendError> {
        let Some(session) = self.session.get() else { return Ok(()) };
        session.cancel(turn, decided_by).await?;
        self.try_record([Entry::Sent(Sent::Cancel { turn, decided_by })]);
        Ok(())
    }

    /// Closes the session, or keeps it from being opened. Done when nothing of the agent is left.
    pub(super) async fn close(&self) {
        self.try_record([Entry::Sent(Sent::Close)]);
        self.closing.cancel();
        match self.session.get() {
            Some(session) => session.close().await,
            // An opening that is under way ends as refused.
            None => {
                let _one = self.opening.lock().await;
                match self.session.get() {
                    Some(session) => session.close().await,
                    None => drop(self.over.send_replace(true)),
                }
            }
        }
    }

    fn acknowledge(&self, consumed: Position) {
        if let Err(error) = self.journal().forget(consumed) {
            tracing::warn!(%error, "a part of the journal that is not needed any more was not removed");
        }
        self.room.notify_one();
    }

    /// Writes down all events, to the last one.
    async fn write_down(self: Arc<Self>, mut events: mpsc::Receiver<Delivery>) {
        let mut batch = Vec::new();
        loop {
            self.has_room().await;
            if events.recv_many(&mut batch, JOURNAL_BATCH).await == 0 {
                break;
            }
            let events = coalesce(batch.drain(..).map(|delivery| delivery.event));
            let is_last = matches!(events.last(), Some(SessionEvent::Exited { .. }));
            self.record(events.into_iter().map(Entry::Event)).await;
            if is_last {
                break;
            }
        }
        self.over.send_replace(true);
    }

    /// Done when the journal may grow. Once the session is to be closed it may: the rest is little, and the agent's
    /// last words count.
    async fn has_room(&self) {
        while self.journal().bytes() > self.limits.journal && !self.closing.is_cancelled() {
            tokio::select! {
                () = self.room.notified() => {}
                () = self.closing.cancelled() => {}
            }
        }
    }

    /// Writes records, however long the disk is full.
    async fn record(&self, entries: impl IntoIterator<Item = Entry>) {
        let mut entries = entries.into_iter().collect();
        while !self.append(&mut entries) {
            sleep(DISK_PAUSE).await;
        }
    }

    /// Writes records that are good to have, if the disk takes them.
    fn try_record(&self, entries: impl IntoIterator<Item = Entry>) {
        self.append(&mut entries.into_iter().collect());
    }

    fn append(&self, entries: &mut VecDeque<Entry>) -> bool {
        let mut journal = self.journal();
        let result = journal.append(entries);
        self.written.send_replace(journal.state().last);
        result.inspect_err(|error| tracing::warn!(%error, "the journal was not written")).is_ok()
    }

    fn journal(&self) -> MutexGuard<'_, Writer> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
