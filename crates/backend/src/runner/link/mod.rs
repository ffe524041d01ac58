//! The server's end of a session that a runner keeps.
//!
//! | module | does |
//! | --- | --- |
//! | `mod` | the one actor between the session's handle and the runner: commands, replies, what to do when it breaks |
//! | `connection` | one connection, from its handshake on |
//! | `feed` | reads the journal and gives its events to the consumer, at the consumer's pace |
//! | `handle` | the session as its caller sees it |

mod connection;
mod feed;
mod handle;

use std::collections::BTreeMap;
use std::time::Duration;

use boocoder_model::Position;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::sleep;

pub(crate) use self::connection::Connection;
pub(crate) use self::feed::{Feed, Progress};
pub(crate) use self::handle::RunnerSession;
use super::journal::read_state;
use super::place::Place;
use super::protocol::{Command, Told};
use super::record::Record;
use super::state::State;
use crate::BackendError;
use crate::limits::{RECONNECT_LONGEST, RECONNECT_SHORTEST};
use crate::process::{Whose, end};

/// What a link and whatever else deals with one runner has to know of it.
#[derive(Clone, Debug)]
pub(crate) struct Runner {
    pub(crate) place: Place,
    /// The mark of the runner, and of all that its agent starts.
    pub(crate) mark: String,
    /// How long each step of ending the agent has.
    pub(crate) kill: Duration,
}

impl Runner {
    /// Connects, while it lives.
    pub(crate) async fn connect(&self) -> Result<Connection, BackendError> {
        let secret = self.place.secret().map_err(|error| BackendError::Runner(format!("has no secret: {error}")))?;
        Connection::open(&self.place, secret).await
    }

    /// Ends what a runner that has died left of its agent, and says where the session stands then, with the records
    /// that bring it there.
    pub(crate) async fn bury(&self) -> Result<(State, Vec<Record>), BackendError> {
        end(Whose::Agents(self.mark.clone()), self.kill).await;
        let dir = self.place.dir().to_owned();
        let state = tokio::task::spawn_blocking(move || read_state(&dir)).await;
        let state =
            state.map_err(|error| BackendError::Runner(format!("left a journal that was not read: {error}")))?;
        let state =
            state.map_err(|error| BackendError::Runner(format!("left a journal that cannot be read: {error}")))?;
        let state = state.unwrap_or_default();
        let ending = state.ending();
        Ok((state.after(&ending), ending))
    }

    /// Kills it, should it live. Its agent is left to [`bury`](Self::bury).
    pub(crate) async fn kill(&self) {
        end(Whose::Runner(self.mark.clone()), Duration::ZERO).await;
    }
}

/// What the handle of a session asks of its link.
pub(crate) struct Asked {
    pub(crate) command: Command,
    pub(crate) reply: oneshot::Sender<Result<(), BackendError>>,
}

/// The actor.
pub(crate) struct Link {
    runner: Runner,
    asked: mpsc::Receiver<Asked>,
    /// The last record that the consumer has taken in.
    consumed: watch::Receiver<Position>,
    progress: watch::Sender<Progress>,
    /// Commands without a reply, by their numbers.
    pending: BTreeMap<u64, Asked>,
    last_id: u64,
}

/// Why a connection is over.
enum Over {
    /// All handles were dropped: the session goes on without us.
    Left,
    /// Another server has taken our place.
    Replaced,
    /// It broke.
    Broken,
}

/// What a link sees to next.
enum Next {
    Asked(Option<Asked>),
    Told(Option<Told>),
    Consumed,
}

impl Link {
    pub(crate) fn new(
        runner: Runner,
        asked: mpsc::Receiver<Asked>,
        consumed: watch::Receiver<Position>,
        progress: watch::Sender<Progress>,
    ) -> Self {
        Self { runner, asked, consumed, progress, pending: BTreeMap::new(), last_id: 0 }
    }

    /// Runs while there is a handle: on this connection, on others if it breaks, and on the journal's word alone once
    /// the runner has died.
    pub(crate) async fn run(mut self, mut connection: Connection) {
        loop {
            match self.serve(connection).await {
                Over::Left => return,
                Over::Replaced => {
                    self.progress.send_replace(Progress::Replaced);
                    return;
                }
                Over::Broken => {}
            }
            match self.reconnect().await {
                Some(next) => connection = next,
                None if self.asked.is_closed() => return,
                None => return self.mourn().await,
            }
        }
    }

    /// Passes commands and replies on.
    async fn serve(&mut self, mut connection: Connection) -> Over {
        self.progress.send_replace(Progress::Written(connection.written));
        for (id, asked) in &self.pending {
            if connection.send(*id, &asked.command).await.is_err() {
                return Over::Broken;
            }
        }
        self.consumed.mark_changed();
        loop {
            let next = tokio::select! {
                asked = self.asked.recv() => Next::Asked(asked),
                told = connection.told.recv() => Next::Told(told),
                Ok(()) = self.consumed.changed() => Next::Consumed,
            };
            let sent = match next {
                Next::Asked(None) => return Over::Left,
                Next::Asked(Some(asked)) => {
                    self.last_id += 1;
                    let sent = connection.send(self.last_id, &asked.command).await;
                    self.pending.insert(self.last_id, asked);
                    sent
                }
                Next::Consumed => {
                    let consumed = *self.consumed.borrow_and_update();
                    self.last_id += 1;
                    connection.send(self.last_id, &Command::Acknowledge(consumed)).await
                }
                Next::Told(None) => return Over::Broken,
                Next::Told(Some(Told::Replaced)) => return Over::Replaced,
                Next::Told(Some(Told::Written(written))) => {
                    self.progress.send_replace(Progress::Written(written));
                    Ok(())
                }
                Next::Told(Some(Told::Reply { id, error })) => {
                    self.replied(id, error.map(Into::into));
                    Ok(())
                }
            };
            if sent.is_err() {
                return Over::Broken;
            }
        }
    }

    /// Closing is done when the runner has gone, and not when it says so. A caller that no longer waits is passed over.
    fn replied(&mut self, id: u64, error: Option<BackendError>) {
        if self.pending.get(&id).is_some_and(|asked| matches!(asked.command, Command::Close)) {
            return;
        }
        if let Some(asked) = self.pending.remove(&id) {
            let _ = asked.reply.send(error.map_or(Ok(()), Err));
        }
    }

    /// Connects again. Not if the runner has died, and not if nobody needs it any more.
    async fn reconnect(&mut self) -> Option<Connection> {
        let mut pause = RECONNECT_SHORTEST;
        while self.runner.place.is_alive() && !self.asked.is_closed() {
            match self.runner.connect().await {
                Ok(connection) => return Some(connection),
                Err(error) => tracing::debug!(%error, "the connection to a runner broke and does not come back yet"),
            }
            sleep(pause).await;
            pause = (pause * 2).min(RECONNECT_LONGEST);
        }
        None
    }

    /// The runner has died: what is left is ended, and what its journal tells is all that there is to say.
    pub(crate) async fn mourn(mut self) {
        let (state, ending) = match self.runner.bury().await {
            Ok(buried) => buried,
            Err(error) => {
                tracing::error!(%error, mark = self.runner.mark, "a session is lost");
                (State::default(), Vec::new())
            }
        };
        self.progress.send_replace(Progress::Ended(ending));
        let pending = std::mem::take(&mut self.pending);
        for asked in pending.into_values() {
            let _ = asked.reply.send(epitaph(&state, &asked.command));
        }
        while let Some(asked) = self.asked.recv().await {
            let _ = asked.reply.send(epitaph(&state, &asked.command));
        }
    }
}

/// What a command comes to when the session has ended here. One that was carried out before is told so: what became of
/// it stands in the journal.
fn epitaph(state: &State, command: &Command) -> Result<(), BackendError> {
    match command {
        Command::Open(_) => state.opened().unwrap_or(Err(BackendError::Closed)).map(drop),
        Command::Prompt(prompt) if state.turn == Some(prompt.turn) => Ok(()),
        Command::Prompt(_) => Err(BackendError::Closed),
        Command::Answer { id, answer } if state.has_taken(*id, answer) => Ok(()),
        Command::Answer { id, .. } => Err(BackendError::UnknownInteraction(*id)),
        Command::Cancel { .. } | Command::Close | Command::Acknowledge(_) => Ok(()),
    }
}
