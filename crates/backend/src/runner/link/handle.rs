//! The session as its caller sees it.

use std::pin::pin;
use std::time::Duration;

use async_trait::async_trait;
use boocoder_model::{Answer, DecidedBy, InteractionId, Position, TurnId};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use super::{Asked, Runner};
use crate::limits::{RUNNER_REPLY, SIGN_OF_LIFE};
use crate::runner::host::closing_time;
use crate::runner::protocol::Command;
use crate::{AgentSession, BackendError, Limits, Prompt, SessionInfo};

/// A session that a runner keeps. Dropping it leaves the session to the runner.
pub(crate) struct RunnerSession {
    pub(crate) info: SessionInfo,
    pub(crate) runner: Runner,
    pub(crate) limits: Limits,
    pub(crate) asked: mpsc::Sender<Asked>,
    pub(crate) consumed: watch::Sender<Position>,
}

impl RunnerSession {
    /// Asks the runner, within `limit`. None if nobody is there to ask any more.
    async fn ask(&self, command: Command, limit: Duration) -> Option<Result<(), BackendError>> {
        let what = name(&command);
        let mut asking = pin!(timeout(limit, self.pass(command)));
        let answered = match timeout(SIGN_OF_LIFE, &mut asking).await {
            Ok(answered) => answered,
            Err(_) => {
                self.kill_if_stuck().await;
                asking.await
            }
        };
        let late = |_| Some(Err(BackendError::Runner(format!("did not answer {what} within {limit:?}"))));
        answered.unwrap_or_else(late)
    }

    async fn pass(&self, command: Command) -> Option<Result<(), BackendError>> {
        let (reply, result) = oneshot::channel();
        self.asked.send(Asked { command, reply }).await.ok()?;
        result.await.ok()
    }

    /// A runner that does not even answer what it answers at once is as good as dead: it is killed, so that its session
    /// ends as one does whose runner has died.
    async fn kill_if_stuck(&self) {
        let known = *self.consumed.borrow();
        if timeout(SIGN_OF_LIFE, self.pass(Command::Acknowledge(known))).await.is_err() {
            tracing::warn!(mark = self.runner.mark, "a runner gives no sign of life and is killed");
            self.runner.kill().await;
        }
    }
}

#[async_trait]
impl AgentSession for RunnerSession {
    fn info(&self) -> &SessionInfo {
        &self.info
    }

    async fn prompt(&self, prompt: Prompt) -> Result<(), BackendError> {
        // The model, the mode and the thinking level are set before, each within its limit.
        let limit = self.limits.control * 3 + RUNNER_REPLY;
        self.ask(Command::Prompt(prompt), limit).await.unwrap_or(Err(BackendError::Closed))
    }

    async fn answer(&self, id: InteractionId, answer: Answer) -> Result<(), BackendError> {
        let gone = Err(BackendError::UnknownInteraction(id));
        self.ask(Command::Answer { id, answer }, RUNNER_REPLY).await.unwrap_or(gone)
    }

    async fn cancel(&self, turn: TurnId, decided_by: DecidedBy) -> Result<(), BackendError> {
        self.ask(Command::Cancel { turn, decided_by }, RUNNER_REPLY).await.unwrap_or(Ok(()))
    }

    async fn acknowledge(&self, consumed: Position) {
        self.consumed.send_if_modified(|known| consumed > std::mem::replace(known, consumed.max(*known)));
    }

    /// A runner that does not close in time is killed, and its agent with it.
    async fn close(&self) {
        let limit = closing_time(self.limits.kill);
        if let Some(Err(error)) = self.ask(Command::Close, limit).await {
            tracing::warn!(%error, "a runner is killed");
            self.runner.kill().await;
            let _ = self.ask(Command::Close, limit).await;
        }
    }
}

/// What a command is called in an error.
const fn name(command: &Command) -> &'static str {
    match command {
        Command::Open(_) => "the opening",
        Command::Prompt(_) => "a prompt",
        Command::Answer { .. } => "an answer",
        Command::Cancel { .. } => "a cancellation",
        Command::Close => "the closing",
        Command::Acknowledge(_) => "an acknowledgement",
    }
}
