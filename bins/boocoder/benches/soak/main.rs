//! Half an hour of everything at once: many chats, random messages, clients that come and go, agents and runners that
//! are killed, and now and then the server itself. Nothing may be lost or doubled, and nothing may be left.
//!
//! `cargo xtask soak [--minutes 30] [--chats 20] [--seed N]`. It prints a line each half minute and a report, and fails
//! if a single thing was wrong.

#![expect(clippy::print_stdout, reason = "the result goes to standard output")]

#[path = "../../tests/it/client.rs"]
mod client;
#[path = "../../tests/it/processes.rs"]
#[expect(dead_code, reason = "tests need more of it")]
mod processes;
#[path = "../../tests/it/random.rs"]
#[expect(dead_code, reason = "tests need more of it")]
mod random;
#[path = "../../tests/it/serving.rs"]
#[expect(dead_code, reason = "tests need more of it")]
mod serving;
#[path = "../../tests/it/watcher.rs"]
#[expect(dead_code, reason = "tests need more of it")]
mod watcher;

mod chat;
mod message;
mod samples;
mod session;
mod world;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use tokio::time::{Instant, sleep};

use random::Random;
use samples::Samples;
use serving::{Place, Serving};
use session::Session;
use world::World;

/// The chats of a session, which share its worktree and its frames.
const CHATS_OF_SESSION: usize = 4;

/// The shortest and the longest time between two kills, in seconds.
const AGENT_KILL: (u64, u64) = (5, 25);
const SERVER_KILL: (u64, u64) = (60, 180);

/// How long a killed server stays away at most.
const AWAY: Duration = Duration::from_secs(3);

/// How long the processes of a stopped server may take to be gone.
const GONE: Duration = Duration::from_secs(30);

struct Options {
    minutes: u64,
    chats: usize,
    seed: u64,
}

impl Options {
    fn read() -> Self {
        let mut options = Self { minutes: 30, chats: 20, seed: random::seed("BOOCODER_SOAK_SEED") };
        // Cargo says `--bench` to every benchmark.
        let mut args = std::env::args().skip(1).filter(|arg| arg != "--bench");
        while let Some(arg) = args.next() {
            let value = args.next().and_then(|value| value.parse().ok());
            let value: u64 = value.unwrap_or_else(|| panic!("{arg} takes a number"));
            match arg.as_str() {
                "--minutes" => options.minutes = value,
                "--chats" => options.chats = usize::try_from(value).expect("a number of chats"),
                "--seed" => options.seed = value,
                unknown => panic!("there is no option {unknown}"),
            }
        }
        options
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::read();
    println!("{} chats for {} minutes, --seed {}", options.chats, options.minutes, options.seed);
    let place = Place::new();
    let _nothing_stays = Leftovers(&place);
    let mut random = Random::new(options.seed);
    let server = place.serve().await;
    let until = Instant::now() + Duration::from_secs(60 * options.minutes);
    let world = Arc::new(World::new(&place, until));
    let project = world.client.project(&place).await;

    let (mut sessions, mut talkers) = (Vec::new(), Vec::new());
    for first in (0..options.chats).step_by(CHATS_OF_SESSION) {
        let count = CHATS_OF_SESSION.min(options.chats - first);
        let session = Session::open(&world, &project, count, random.fork()).await;
        for chat in &session.chats {
            talkers.push(tokio::spawn(chat::talk(world.clone(), session.id.clone(), chat.clone(), random.fork())));
        }
        sessions.push(session);
    }
    let killer = tokio::spawn(kill_agents(world.clone(), random.fork()));
    let (server, mut samples) = go_on(&world, &place, server, &mut random).await;
    killer.abort();
    for talker in join_all(talkers).await {
        match talker {
            Ok(log) => world.logs.lock().expect("no panic").push(log),
            Err(panic) => world.wrong(format!("a chat gave up: {panic}")),
        }
    }
    let mut frames = 0;
    for session in sessions {
        frames += session.close(&world).await;
    }
    world.check_logs();
    samples.take(&server, &world);
    let (status, log) = server.stop().await;
    if !status.success() {
        world.wrong(format!("the server ended with {status}: {log}"));
    }
    for process in processes::left(&world.data_dir, GONE).await {
        world.wrong(format!("left behind: {} {:?}", process.pid, process.argv));
    }
    samples.report();
    world.report(frames)
}

/// Samples and kills the server until the time is up or the user has seen enough.
async fn go_on(world: &World, place: &Place, mut server: Serving, random: &mut Random) -> (Serving, Samples) {
    let mut samples = Samples::default();
    let mut next = Instant::now() + between(random, SERVER_KILL);
    let mut enough = std::pin::pin!(tokio::signal::ctrl_c());
    while !world.is_over() {
        tokio::select! {
            () = sleep(Duration::from_secs(1)) => {}
            _ = &mut enough => world.stop(),
        }
        samples.take(&server, world);
        if Instant::now() >= next && !world.is_over() {
            server.killed().await;
            world.count("kills of the server");
            sleep(random.pause(AWAY)).await;
            server = place.serve().await;
            next = Instant::now() + between(random, SERVER_KILL);
        }
    }
    (server, samples)
}

/// Kills an agent, or what runs it, every few seconds.
async fn kill_agents(world: Arc<World>, mut random: Random) {
    loop {
        sleep(between(&mut random, AGENT_KILL)).await;
        let runs_it = random.chance(25);
        let mut victims = if runs_it { processes::runners(&world.data_dir) } else { Vec::new() };
        if victims.is_empty() {
            victims = processes::of(&world.data_dir);
            victims.retain(processes::Process::is_agent);
        }
        let count = victims.len() as u64;
        if let Some(victim) = victims.into_iter().nth(usize::try_from(random.below(count)).expect("a few")) {
            world.agent_dies();
            world.count(if victim.is_agent() { "kills of agents" } else { "kills of runners" });
            victim.kill();
        }
    }
}

fn between(random: &mut Random, (shortest, longest): (u64, u64)) -> Duration {
    Duration::from_secs(shortest) + Duration::from_millis(random.below((longest - shortest) * 1000))
}

/// Ends what is left, however this program ends.
struct Leftovers<'a>(&'a Place);

impl Drop for Leftovers<'_> {
    fn drop(&mut self) {
        processes::of(&self.0.data_dir()).iter().for_each(processes::Process::kill);
    }
}
