//! A session with its chats, and the clients that watch it.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::client::id;
use crate::random::Random;
use crate::serving::LIMIT;
use crate::watcher::{Seen, Watcher, come_and_go, replay};
use crate::world::World;

/// How long no frame must have come for a session to be at rest.
const REST: Duration = Duration::from_secs(2);

pub(crate) struct Session {
    pub(crate) id: String,
    pub(crate) chats: Vec<String>,
    steady: Watcher<u64>,
    fickle: JoinHandle<(Seen<u64>, usize)>,
    end: watch::Sender<Option<usize>>,
}

/// Of each frame a number is kept, so that half an hour of them fits into memory.
fn digest(frame: Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    frame.to_string().hash(&mut hasher);
    hasher.finish()
}

impl Session {
    pub(crate) async fn open(world: &World, project: &str, count: usize, random: Random) -> Self {
        let (session, first) = world.client.session(project).await;
        let mut chats = vec![first];
        while chats.len() < count {
            chats.push(id(&world.client.post(&format!("/api/sessions/{session}/chats"), json!({})).await));
        }
        let (sender, end) = watch::channel(None);
        let steady = Watcher::start(&world.client, &session, digest);
        let fickle = tokio::spawn(come_and_go(world.client.clone(), session.clone(), random, end, digest));
        Self { id: session, chats, steady, fickle, end: sender }
    }

    /// Compares what its clients have seen with each other and with a replay. Gives the number of frames.
    pub(crate) async fn close(self, world: &World) -> usize {
        let count = || self.steady.look(|seen| seen.frames.len());
        let mut last = count();
        loop {
            sleep(REST).await;
            if count() == last {
                break;
            }
            last = count();
        }
        self.end.send_replace(Some(last));
        let later = replay(&world.client, &self.id, last, digest).await;
        later.wrong.iter().for_each(|wrong| world.wrong(format!("a replay: {wrong}")));
        self.steady.look(|seen| compare(world, "a client that stayed", seen, &later));
        match timeout(LIMIT, self.fickle).await {
            Ok(Ok((seen, _))) => compare(world, "a client that came and went", &seen, &later),
            Ok(Err(panic)) => world.wrong(format!("a client gave up: {panic}")),
            Err(_) => world.wrong("a client that came and went does not get all frames".to_owned()),
        }
        last
    }
}

fn compare(world: &World, who: &str, seen: &Seen<u64>, later: &Seen<u64>) {
    seen.wrong.iter().for_each(|wrong| world.wrong(format!("{who}: {wrong}")));
    let differ = seen.frames.iter().zip(&later.frames).filter(|(seen, later)| seen != later).count();
    if differ > 0 {
        world.wrong(format!("{who} saw {differ} frames other than a replay shows them"));
    }
}
