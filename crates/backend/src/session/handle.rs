//! The caller's side of a session: commands to its actor.

use async_trait::async_trait;
use boocoder_model::{Answer, DecidedBy, InteractionId, TurnId};
use tokio::sync::{mpsc, oneshot};

use crate::{AgentSession, BackendError, Prompt, SessionInfo};

/// A command, and where its result goes.
pub(crate) enum Command {
    Prompt(Box<Prompt>, Reply<Result<(), BackendError>>),
    Answer(InteractionId, Answer, Reply<Result<(), BackendError>>),
    Cancel(TurnId, DecidedBy, Reply<Result<(), BackendError>>),
    Close(Reply<()>),
}

pub(crate) type Reply<T> = oneshot::Sender<T>;

/// The handle of an open session. When all handles are dropped, the session is closed.
pub(crate) struct SessionHandle {
    info: SessionInfo,
    commands: mpsc::Sender<Command>,
}

impl SessionHandle {
    pub(crate) fn new(info: SessionInfo, commands: mpsc::Sender<Command>) -> Self {
        Self { info, commands }
    }

    /// Sends a command and waits for its result. The actor answers within the limits of the agent, and dies with it.
    async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Option<T> {
        let (reply, result) = oneshot::channel();
        self.commands.send(command(reply)).await.ok()?;
        result.await.ok()
    }
}

#[async_trait]
impl AgentSession for SessionHandle {
    fn info(&self) -> &SessionInfo {
        &self.info
    }

    async fn prompt(&self, prompt: Prompt) -> Result<(), BackendError> {
        self.ask(|reply| Command::Prompt(Box::new(prompt), reply)).await.unwrap_or(Err(BackendError::Closed))
    }

    async fn answer(&self, id: InteractionId, answer: Answer) -> Result<(), BackendError> {
        // A session that has ended asks nothing any more.
        let gone = Err(BackendError::UnknownInteraction(id));
        self.ask(|reply| Command::Answer(id, answer, reply)).await.unwrap_or(gone)
    }

    async fn cancel(&self, turn: TurnId, decided_by: DecidedBy) -> Result<(), BackendError> {
        // The turns of a session that has ended have ended too.
        self.ask(|reply| Command::Cancel(turn, decided_by, reply)).await.unwrap_or(Ok(()))
    }

    async fn close(&self) {
        // Without an actor there is no process.
        let _ = self.ask(Command::Close).await;
    }
}
