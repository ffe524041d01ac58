//! Learning of what other processes did: tasks that they added or ended, and whatever else servers tell each other.

use std::convert::Infallible;
use std::fmt;
use std::future::poll_fn;
use std::task::{Context, Poll};

use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_postgres::{AsyncMessage, Client, Config, NoTls};

use super::failure::Failure;
use super::news;
use super::steps::CHANNEL;
use crate::News;
use crate::limits::PgLimits;

/// Where what is heard goes.
#[derive(Clone, Debug)]
pub(super) struct Ears {
    /// Counts what may have made a task claimable.
    pub(super) wakeups: watch::Sender<u64>,
    pub(super) news: broadcast::Sender<News>,
}

impl Ears {
    pub(super) fn wake(&self) {
        self.wakeups.send_modify(|count| *count = count.wrapping_add(1));
    }

    fn tell(&self, news: News) {
        // Nobody need listen.
        let _ = self.news.send(news);
    }
}

/// Listens until it is stopped or dropped.
pub(super) struct Listener(JoinHandle<Infallible>);

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Listener")
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Listener {
    pub(super) fn spawn(target: Config, limits: PgLimits, ears: Ears) -> Self {
        Self(tokio::spawn(async move {
            let mut pause = limits.first_pause;
            loop {
                let before = *ears.wakeups.borrow();
                let Err(failure) = listen(&target, &limits, &ears).await;
                tracing::warn!(%failure, "the database cannot tell of new tasks; listening again");
                sleep(pause).await;
                let has_heard = *ears.wakeups.borrow() != before;
                pause = if has_heard { limits.first_pause } else { (pause * 2).min(limits.longest_pause) };
            }
        }))
    }

    /// Stops and waits until its connection is gone.
    pub(super) async fn stop(mut self) {
        self.0.abort();
        // The task ends as cancelled, which is what was asked for.
        let _ = (&mut self.0).await;
    }
}

/// Listens on a connection of its own until that breaks.
async fn listen(target: &Config, limits: &PgLimits, ears: &Ears) -> Result<Infallible, Failure> {
    let connected = timeout(limits.connect, target.connect(NoTls)).await;
    let (client, mut connection) = connected.map_err(|_| Failure::Silent(limits.connect))??;
    tokio::select! {
        broken = hear(|context| connection.poll_message(context), ears) => broken,
        broken = talk(&client, limits, ears) => broken,
    }
}

/// Drives the connection and counts what it tells.
async fn hear(
    mut poll: impl FnMut(&mut Context<'_>) -> Poll<Option<Result<AsyncMessage, tokio_postgres::Error>>>,
    ears: &Ears,
) -> Result<Infallible, Failure> {
    while let Some(message) = poll_fn(&mut poll).await {
        if let AsyncMessage::Notification(told) = message? {
            match told.channel() {
                news::CHANNEL => ears.tell(news::read(told.payload())),
                _ => ears.wake(),
            }
        }
    }
    Err(Failure::Closed)
}

/// Asks to be told, then asks from time to time whether the other side is still there.
async fn talk(client: &Client, limits: &PgLimits, ears: &Ears) -> Result<Infallible, Failure> {
    let say = async |sql: &str| -> Result<(), Failure> {
        Ok(timeout(limits.answer, client.batch_execute(sql)).await.map_err(|_| Failure::Silent(limits.answer))??)
    };
    say(&format!("LISTEN {CHANNEL}; LISTEN {}", news::CHANNEL)).await?;
    // What was told while nobody listened is not told again.
    ears.wake();
    ears.tell(News::Missed);
    loop {
        sleep(limits.silence).await;
        say("").await?;
    }
}
