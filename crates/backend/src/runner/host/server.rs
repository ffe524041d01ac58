//! The server that is connected to a runner: one at a time, the newest.

use std::sync::Arc;

use boocoder_model::Position;
use subtle::ConstantTimeEq;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Mutex, Semaphore, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::keeper::Keeper;
use crate::BackendError;
use crate::limits::{COMMAND_LINE, HANDSHAKE, HELLO_LINE, LAST_WORDS, RUNNER_COMMANDS};
use crate::lines::{Line, Lines};
use crate::runner::protocol::{ErrorForm, Hello, PROTOCOL, Request, Told, Welcome, line};

/// Lets servers in, and keeps the newest.
pub(super) struct Servers {
    secret: String,
    keeper: Arc<Keeper>,
    newest: Mutex<Option<Connected>>,
    connected: watch::Sender<bool>,
}

/// A connected server.
struct Connected {
    replaced: CancellationToken,
    task: JoinHandle<()>,
}

impl Servers {
    pub(super) fn new(secret: String, keeper: Arc<Keeper>) -> Self {
        Self { secret, keeper, newest: Mutex::new(None), connected: watch::Sender::new(false) }
    }

    /// Told whether there is a server.
    pub(super) fn connected(&self) -> watch::Receiver<bool> {
        self.connected.subscribe()
    }

    /// Serves whoever knows the secret, in the place of whoever was served before. No command of that one is taken any
    /// more once the new one is welcome.
    pub(super) async fn welcome(self: Arc<Self>, mut stream: UnixStream) {
        if !timeout(HANDSHAKE, self.knows_secret(&mut stream)).await.unwrap_or(false) {
            tracing::warn!("somebody connected who does not know the secret");
            return;
        }
        let mut newest = self.newest.lock().await;
        if let Some(before) = newest.take() {
            before.replaced.cancel();
            let _ = before.task.await;
        }
        let replaced = CancellationToken::new();
        self.connected.send_replace(true);
        let (servers, replaced_by) = (Arc::clone(&self), replaced.clone());
        let task = tokio::spawn(async move {
            serve(Arc::clone(&servers.keeper), stream, &replaced_by).await;
            if !replaced_by.is_cancelled() {
                servers.connected.send_replace(false);
            }
        });
        *newest = Some(Connected { replaced, task });
    }

    async fn knows_secret(&self, stream: &mut UnixStream) -> bool {
        let mut lines = Lines::new(stream, HELLO_LINE);
        let Ok(Some(Line::Whole(line))) = lines.next().await else { return false };
        let Ok(hello) = serde_json::from_slice::<Hello>(line) else { return false };
        bool::from(hello.secret.as_bytes().ct_eq(self.secret.as_bytes()))
    }

    /// Done when the server that is connected has all that it can be told.
    pub(super) async fn finish(&self) {
        if let Some(last) = self.newest.lock().await.take() {
            let _ = last.task.await;
        }
    }
}

/// Serves one connection, until either side is done with it.
async fn serve(keeper: Arc<Keeper>, stream: UnixStream, replaced: &CancellationToken) {
    let (read, write) = stream.into_split();
    let (replies_tx, replies) = mpsc::channel(RUNNER_COMMANDS);
    let busy = Arc::new(Semaphore::new(RUNNER_COMMANDS));
    let mut teller = Teller { keeper: Arc::clone(&keeper), write, replies, busy: Arc::clone(&busy) };
    let written = *keeper.written().borrow();
    if teller.tell(&Welcome { protocol: PROTOCOL, written }).await.is_err() {
        return;
    }
    tokio::select! {
        () = take_commands(keeper, read, replies_tx, busy) => {}
        _ = teller.run() => {}
        () = replaced.cancelled() => {}
    }
    if replaced.is_cancelled() {
        let _ = timeout(LAST_WORDS, teller.tell(&Told::Replaced)).await;
    }
}

/// Reads commands, and has each carried out in a task of its own: some take long, and none keeps another waiting. A
/// command goes on when its connection has gone.
async fn take_commands(keeper: Arc<Keeper>, read: OwnedReadHalf, replies: mpsc::Sender<Told>, busy: Arc<Semaphore>) {
    let mut lines = Lines::new(read, COMMAND_LINE);
    while let Ok(Some(Line::Whole(line))) = lines.next().await {
        let Ok(permit) = Arc::clone(&busy).acquire_owned().await else { return };
        let Request { id, command } = match serde_json::from_slice(line) {
            Ok(request) => request,
            Err(error) => {
                let Some(id) = number(line) else { return };
                let error = BackendError::Runner(format!("does not understand a command: {error}"));
                let _ = replies.send(Told::Reply { id, error: Some(ErrorForm::from(&error)) }).await;
                continue;
            }
        };
        let (keeper, replies) = (Arc::clone(&keeper), replies.clone());
        tokio::spawn(async move {
            let error = keeper.carry_out(command).await.err();
            let _ = replies.send(Told::Reply { id, error: error.as_ref().map(ErrorForm::from) }).await;
            drop(permit);
        });
    }
}

/// The number of a request that cannot be read otherwise.
fn number(line: &[u8]) -> Option<u64> {
    #[derive(serde::Deserialize)]
    struct Number {
        id: u64,
    }
    serde_json::from_slice::<Number>(line).ok().map(|number| number.id)
}

/// Tells a server how its commands went and how far the journal is.
struct Teller {
    keeper: Arc<Keeper>,
    write: OwnedWriteHalf,
    replies: mpsc::Receiver<Told>,
    busy: Arc<Semaphore>,
}

impl Teller {
    /// Runs until nothing more will happen and all is told, or nobody listens.
    async fn run(&mut self) -> std::io::Result<()> {
        let mut written = self.keeper.written();
        let mut over = self.keeper.over();
        written.mark_changed();
        loop {
            let told = tokio::select! {
                biased;
                Some(reply) = self.replies.recv() => reply,
                Ok(()) = written.changed() => Told::Written(latest(&mut written)),
                _ = over.wait_for(|over| *over) => break,
            };
            self.tell(&told).await?;
        }
        // Whoever still waits for an answer gets it: with all permits in hand, no command is under way.
        let all = u32::try_from(RUNNER_COMMANDS).unwrap_or(u32::MAX);
        let busy = Arc::clone(&self.busy);
        let _all = timeout(LAST_WORDS, busy.acquire_many(all)).await;
        while let Ok(reply) = self.replies.try_recv() {
            self.tell(&reply).await?;
        }
        self.tell(&Told::Written(latest(&mut written))).await
    }

    async fn tell(&mut self, told: &impl serde::Serialize) -> std::io::Result<()> {
        self.write.write_all(&line(told)).await
    }
}

fn latest(written: &mut watch::Receiver<Position>) -> Position {
    *written.borrow_and_update()
}
