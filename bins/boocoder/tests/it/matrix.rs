//! kill -9 at each step of a turn: of the server, of the agent's runner, of the agent, of the database.
//!
//! Each victim is a test, each step of a turn a row of the table that it prints. `BOOCODER_FAULT_ROUNDS` says how often
//! each step is taken, `BOOCODER_FAULT_SEED` makes the same choices again; `cargo xtask faults` runs the whole.

#![expect(clippy::print_stdout, reason = "the table is the result")]

mod checks;
mod column;
mod round;
mod script;
mod step;

use std::any::Any;
use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use tokio::time::Instant;

use crate::random::{self, Random};
use column::Column;
use step::{STEPS, Victim};

const ROUNDS: &str = "BOOCODER_FAULT_ROUNDS";
const SEED: &str = "BOOCODER_FAULT_SEED";

#[tokio::test]
async fn a_turn_goes_on_when_the_server_is_killed_at_any_step() {
    every_step(Victim::Server).await;
}

#[tokio::test]
async fn a_turn_goes_on_when_the_database_is_killed_at_any_step() {
    every_step(Victim::Postgres).await;
}

#[tokio::test]
async fn a_turn_fails_and_the_next_works_when_its_runner_is_killed_at_any_step() {
    every_step(Victim::Runner).await;
}

#[tokio::test]
async fn a_turn_fails_and_the_next_works_when_its_agent_is_killed_at_any_step() {
    every_step(Victim::Agent).await;
}

/// What became of the rounds of a step.
#[derive(Default)]
struct Row {
    rounds: u64,
    ok: u64,
    notes: Vec<String>,
}

async fn every_step(victim: Victim) {
    let (rounds, seed) = (random::number(ROUNDS).unwrap_or(1), random::seed(SEED));
    println!("{SEED}={seed}");
    let mut random = Random::new(seed);
    let begun = Instant::now();
    let mut column = Column::start(victim, random.fork()).await;
    let mut rows: [Row; STEPS.len()] = std::array::from_fn(|_| Row::default());
    for round in 0..rounds {
        for (step, row) in STEPS.into_iter().zip(&mut rows) {
            row.rounds += 1;
            let name = format!("{}{round}", step.name().replace(' ', ""));
            match AssertUnwindSafe(round::run(&mut column, step, &name)).catch_unwind().await {
                Ok(note) => {
                    row.ok += 1;
                    row.notes.extend(note);
                }
                Err(panic) => {
                    let reason = reason(&*panic);
                    println!(
                        "\nround {round}, {} × {}: {reason}\n{}",
                        step.name(),
                        victim.name(),
                        column.renew().await
                    );
                    row.notes.push(format!("round {round}: {reason}"));
                }
            }
        }
    }
    column.stop().await;

    println!("\n{:<10}{:<20}{:>7}{:>5}  notes", "victim", "step", "rounds", "ok");
    for (step, row) in STEPS.into_iter().zip(&rows) {
        let notes = summary(&row.notes);
        println!("{:<10}{:<20}{:>7}{:>5}  {notes}", victim.name(), step.name(), row.rounds, row.ok);
    }
    println!("{} rounds in {} s", rounds * STEPS.len() as u64, begun.elapsed().as_secs());
    let failed: u64 = rows.iter().map(|row| row.rounds - row.ok).sum();
    assert_eq!(failed, 0, "rounds that failed; {SEED}={seed}");
}

fn reason(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}

/// Each note once, with how often it was made.
fn summary(notes: &[String]) -> String {
    let mut counts = std::collections::BTreeMap::new();
    for note in notes {
        *counts.entry(note.lines().next().unwrap_or_default()).or_insert(0) += 1;
    }
    let parts: Vec<String> = counts.iter().map(|(note, count)| format!("{count}× {note}")).collect();
    parts.join("; ")
}
