//! A data directory and its server over the rounds of one victim.

use std::path::PathBuf;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::step::Victim;
use crate::client::Client;
use crate::processes;
use crate::random::Random;
use crate::serving::{LIMIT, Place, Serving};

/// How often the database is killed under one server: a few deaths more within a minute, and it is given up.
const DEATHS: u32 = 4;

/// How long the processes of a stopped server may take to be gone.
const GONE: Duration = Duration::from_secs(20);

/// How long a killed server stays away at most.
const AWAY: Duration = Duration::from_millis(400);

/// The last lines of a server's log that are shown when a round failed.
const LOG_LINES: usize = 40;

pub(super) struct Column {
    pub(super) victim: Victim,
    pub(super) random: Random,
    pub(super) place: Place,
    pub(super) client: Client,
    pub(super) project: String,
    server: Option<Serving>,
    deaths: u32,
}

impl Column {
    pub(super) async fn start(victim: Victim, random: Random) -> Self {
        let place = Place::new();
        let server = place.serve().await;
        let client = Client::of(&place);
        let project = client.project(&place).await;
        Self { victim, random, place, client, project, server: Some(server), deaths: 0 }
    }

    pub(super) fn data_dir(&self) -> PathBuf {
        self.place.data_dir()
    }

    pub(super) fn server(&mut self) -> &mut Serving {
        self.server.as_mut().expect("a server runs")
    }

    /// Makes room for another round.
    pub(super) async fn prepare(&mut self) {
        if self.deaths >= DEATHS {
            self.stop().await;
            self.serve().await;
        }
    }

    async fn serve(&mut self) {
        self.server = Some(self.place.serve().await);
        self.deaths = 0;
    }

    /// Kills the server, and starts another one after a while.
    pub(super) async fn kill_server(&mut self) {
        self.server.take().expect("a server runs").killed().await;
        sleep(self.random.pause(AWAY)).await;
        self.serve().await;
    }

    /// Kills the database and waits for its return, under another server if this one gave up. Says whether it did.
    pub(super) async fn kill_database(&mut self) -> bool {
        let data_dir = self.data_dir();
        let killed = processes::postmaster(&data_dir).expect("a database runs");
        killed.kill();
        self.deaths += 1;
        let back = async {
            loop {
                if self.server().child.try_wait().expect("it can be asked").is_some() {
                    return true;
                }
                let again = processes::postmaster(&data_dir).is_some_and(|running| running.pid != killed.pid);
                if again
                    && self.client.attempt("GET", "/api/ready", None).await.is_some_and(|(status, _)| status == 200)
                {
                    return false;
                }
                sleep(Duration::from_millis(20)).await;
            }
        };
        let gave_up = timeout(LIMIT, back).await.expect("the database comes back in time");
        if gave_up {
            self.serve().await;
        }
        gave_up
    }

    /// Stops the server politely, after which nothing may be left of it.
    pub(super) async fn stop(&mut self) {
        let (status, log) = self.server.take().expect("a server runs").stop().await;
        assert!(status.success(), "{status}: {log}");
        let left = processes::left(&self.data_dir(), GONE).await;
        assert!(left.is_empty(), "left behind by a server that was stopped: {left:#?}");
    }

    /// Begins anew after a round that failed, and gives the end of the log of the server that it had failed with.
    pub(super) async fn renew(&mut self) -> String {
        let log = match self.server.take() {
            Some(server) => server.killed().await,
            None => String::new(),
        };
        processes::of(&self.data_dir()).iter().for_each(processes::Process::kill);
        *self = Self::start(self.victim, self.random.fork()).await;
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }
}

impl Drop for Column {
    fn drop(&mut self) {
        // A runner outlives the server that a failing test drops.
        processes::of(&self.data_dir()).iter().for_each(processes::Process::kill);
    }
}
