//! A client of a session's frames that comes back whenever it is cut off, and trusts nobody.

use std::sync::Arc;

use futures::StreamExt;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Duration, Instant, sleep, timeout, timeout_at};
use tokio_tungstenite::tungstenite::Message;

use crate::client::Client;
use crate::random::Random;
use crate::serving::LIMIT;

/// The pause before it comes back.
const AGAIN: Duration = Duration::from_millis(5);

/// The buffer of a client that lags as soon as it stops reading.
const SMALL: u32 = 4096;

/// What a client has of a session: of each frame what it keeps, and what was wrong.
pub(crate) struct Seen<T> {
    pub(crate) frames: Vec<T>,
    pub(crate) wrong: Vec<String>,
}

impl<T> Seen<T> {
    pub(crate) fn nothing() -> Self {
        Self { frames: Vec::new(), wrong: Vec::new() }
    }

    /// Takes the frames of a message in, which have to be the very next ones.
    pub(crate) fn take(&mut self, text: &str, keep: impl Fn(Value) -> T) {
        let message: Value = serde_json::from_str(text).expect("JSON");
        let frames = if let Value::Array(frames) = message { frames } else { vec![message] };
        for frame in frames {
            let due = self.frames.len() as u64 + 1;
            if frame["type"] == "resync" || frame["seq"] != due {
                self.wrong.push(format!("{} {} came where frame {due} was due", frame["type"], frame["seq"]));
            } else {
                self.frames.push(keep(frame));
            }
        }
    }
}

/// It ends when it is dropped.
pub(crate) struct Watcher<T> {
    seen: watch::Receiver<Seen<T>>,
    task: JoinHandle<()>,
}

impl<T: Send + Sync + 'static> Watcher<T> {
    /// Watches a session from its first frame on, and keeps of each frame what `keep` makes of it.
    pub(crate) fn start(client: &Client, session: &str, keep: impl Fn(Value) -> T + Send + Sync + 'static) -> Self {
        let (sender, seen) = watch::channel(Seen::nothing());
        let (client, session, keep) = (client.clone(), session.to_owned(), Arc::new(keep));
        let task = tokio::spawn(async move {
            loop {
                let after = sender.borrow().frames.len();
                if let Some(mut socket) = client.connect(&session, after, None).await {
                    while let Some(Ok(message)) = socket.next().await {
                        if let Message::Text(text) = message {
                            sender.send_modify(|seen| seen.take(&text, &*keep));
                        }
                    }
                }
                sleep(AGAIN).await;
            }
        });
        Self { seen, task }
    }

    /// Waits until the frames so far have what is looked for.
    pub(crate) async fn until<R>(&self, what: &str, found: impl Fn(&[T]) -> Option<R>) -> R {
        let mut seen = self.seen.clone();
        let looking = async {
            loop {
                if let Some(it) = found(&seen.borrow_and_update().frames) {
                    return it;
                }
                seen.changed().await.expect("the watcher goes on");
            }
        };
        timeout(LIMIT, looking).await.unwrap_or_else(|_| panic!("the frames show in time {what}"))
    }

    pub(crate) fn look<R>(&self, at: impl FnOnce(&Seen<T>) -> R) -> R {
        at(&self.seen.borrow())
    }
}

impl<T> Drop for Watcher<T> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The first frames of a session, as a client sees them that comes only now.
pub(crate) async fn replay<T>(client: &Client, session: &str, count: usize, keep: impl Fn(Value) -> T) -> Seen<T> {
    let mut seen = Seen::nothing();
    let reading = async {
        while seen.frames.len() < count && seen.wrong.is_empty() {
            let Some(mut socket) = client.connect(session, seen.frames.len(), None).await else { continue };
            while seen.frames.len() < count && seen.wrong.is_empty() {
                match socket.next().await {
                    Some(Ok(Message::Text(text))) => seen.take(&text, &keep),
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => break,
                }
            }
        }
    };
    timeout(LIMIT, reading).await.expect("a replay ends in time");
    seen
}

/// Connects with what it has, reads for a while, stops reading, goes without a word or with one, and comes back, until
/// it has as many frames as it is told in the end. Gives what it has, and how often it came.
pub(crate) async fn come_and_go<T>(
    client: Client,
    session: String,
    mut random: Random,
    end: watch::Receiver<Option<usize>>,
    keep: impl Fn(Value) -> T,
) -> (Seen<T>, usize) {
    let (mut seen, mut times) = (Seen::nothing(), 0);
    let has_all = |seen: &Seen<T>| end.borrow().is_some_and(|count| seen.frames.len() >= count);
    while !has_all(&seen) && seen.wrong.is_empty() {
        let buffer = random.chance(50).then_some(SMALL);
        let Some(mut socket) = client.connect(&session, seen.frames.len(), buffer).await else {
            sleep(AGAIN).await;
            continue;
        };
        times += 1;
        for _ in 0..1 + random.below(3) {
            let until = Instant::now() + random.pause(Duration::from_millis(600));
            while let Ok(Some(Ok(message))) = timeout_at(until, socket.next()).await {
                if let Message::Text(text) = message {
                    seen.take(&text, &keep);
                }
            }
            sleep(random.pause(Duration::from_millis(800))).await;
        }
        if random.chance(30) {
            let _ = socket.close(None).await;
        } else if random.chance(50) {
            // A connection that is reset, as when a machine is switched off and on again.
            let _ = socket.get_ref().set_zero_linger();
        }
    }
    (seen, times)
}
