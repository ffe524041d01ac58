//! One connection to a runner.

use boocoder_model::Position;
use tokio::io::AsyncWriteExt;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use crate::BackendError;
use crate::limits::{HANDSHAKE, RUNNER_COMMANDS, TOLD_LINE};
use crate::lines::{Line, Lines};
use crate::runner::place::Place;
use crate::runner::protocol::{Command, Hello, PROTOCOL, Told, Welcome, is_understood, line};

/// A connection, past its handshake.
pub(crate) struct Connection {
    /// The last record of the journal when the runner said welcome.
    pub(crate) written: Position,
    /// What the runner tells. It ends with the connection.
    pub(crate) told: mpsc::Receiver<Told>,
    write: OwnedWriteHalf,
    _reader: AbortOnDropHandle<()>,
}

impl Connection {
    /// Connects to the runner in `place`, and shakes hands.
    pub(crate) async fn open(place: &Place, secret: String) -> Result<Self, BackendError> {
        let shaking = timeout(HANDSHAKE, shake_hands(place, secret)).await;
        let (welcome, lines, write) =
            shaking.map_err(|_| BackendError::Runner(format!("does not say welcome within {HANDSHAKE:?}")))??;
        if !is_understood(welcome.protocol) {
            let theirs = welcome.protocol;
            let message = format!("speaks version {theirs} of their protocol, and this program version {PROTOCOL}");
            return Err(BackendError::Runner(message));
        }
        let (told_tx, told) = mpsc::channel(RUNNER_COMMANDS);
        let reader = AbortOnDropHandle::new(tokio::spawn(listen(lines, told_tx)));
        Ok(Self { written: welcome.written, told, write, _reader: reader })
    }

    /// Sends a command under a number.
    pub(crate) async fn send(&mut self, id: u64, command: &Command) -> std::io::Result<()> {
        #[derive(serde::Serialize)]
        struct Numbered<'a> {
            id: u64,
            command: &'a Command,
        }
        self.write.write_all(&line(&Numbered { id, command })).await
    }
}

async fn shake_hands(
    place: &Place,
    secret: String,
) -> Result<(Welcome, Lines<OwnedReadHalf>, OwnedWriteHalf), BackendError> {
    let broken = |error: std::io::Error| BackendError::Runner(format!("does not take connections: {error}"));
    let (read, mut write) = place.connect().await.map_err(broken)?.into_split();
    write.write_all(&line(&Hello { protocol: PROTOCOL, secret })).await.map_err(broken)?;
    let mut lines = Lines::new(read, TOLD_LINE);
    let welcome = match lines.next().await.map_err(broken)? {
        Some(Line::Whole(line)) => serde_json::from_slice(line)
            .map_err(|error| BackendError::Runner(format!("says something else than welcome: {error}")))?,
        Some(Line::TooLong { .. }) => return Err(BackendError::Runner("says too much for a welcome".to_owned())),
        None => return Err(BackendError::Runner("does not let this program in".to_owned())),
    };
    Ok((welcome, lines, write))
}

/// Reads what the runner tells, as fast as that is taken.
async fn listen(mut lines: Lines<OwnedReadHalf>, told: mpsc::Sender<Told>) {
    while let Ok(Some(Line::Whole(line))) = lines.next().await {
        match serde_json::from_slice(line) {
            Ok(message) => {
                if told.send(message).await.is_err() {
                    return;
                }
            }
            // A newer runner may say more than this program knows, and nothing hangs on it.
            Err(error) => tracing::debug!(%error, "a runner says something that is not known here"),
        }
    }
}
