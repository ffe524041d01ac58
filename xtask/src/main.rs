//! `cargo xtask COMMAND`: the project's own commands, the same on every machine.
//!
//! A rule of the project lives here as a function with a test ([`ladder`], [`tidy`]), so that `cargo xtask test` holds
//! people to it and nobody has to remember it. To add a command, add a module, an arm in [`run`] and a line in [`HELP`].
#![expect(clippy::print_stdout, reason = "a command talks to the person who called it")]

mod bench;
mod ci;
mod faults;
mod generate;
mod ladder;
mod metadata;
mod test;
mod tidy;
mod tools;
mod up;
mod web;

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::metadata::Metadata;
use crate::tools::StageFailed;

const HELP: &str = "cargo xtask COMMAND

  up [--release] [-- ARGS]  build BooCoder with its page and run `boocoder serve ARGS` in the foreground
  test                      everything that must pass: doctests, then all tests, real agents included
  ci                        what a change must pass before it is merged: format, lints, rules, tests, each crate alone
  ladder                    check which crate depends on what
  gen                       write the page's types anew, from those of crates/wire
  screens                   take the pictures of the page in docs/screens anew
  speed                     print how large and how quick the page is, beside the goals
  tidy                      check the rules for files and packages
  bench                     run the benchmarks and print what they found
  faults [--rounds N] [--seed N]
                            kill each process at each step of a turn, 20 times unless N says otherwise
  soak [--minutes N] [--chats N] [--seed N]
                            half an hour of everything at once, kills included
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let Err(error) = run(&args) else { return ExitCode::SUCCESS };
    if let Some(failed) = error.downcast_ref::<StageFailed>() {
        // The stage has said why, and what it printed last stays the last of our output.
        return ExitCode::from(failed.code);
    }
    println!("{error:#}");
    ExitCode::FAILURE
}

fn run(args: &[String]) -> Result<()> {
    let (command, rest) = args.split_first().map_or(("help", args), |(first, rest)| (first.as_str(), rest));
    match command {
        "up" => return up::run(rest),
        "faults" => return faults::matrix(rest),
        "soak" => return faults::soak(rest),
        _ => {}
    }
    if !rest.is_empty() {
        bail!("`cargo xtask {command}` takes no arguments\n\n{HELP}");
    }
    match command {
        "test" => test::run(),
        "ci" => ci::run(),
        "ladder" => tools::report("ladder", &ladder::check(&Metadata::load()?)),
        "tidy" => tools::report("tidy", &tidy::check(&tools::root(), &Metadata::load()?)?),
        "gen" => generate::run(),
        "bench" => bench::run(),
        "screens" => web::screens(),
        "speed" => web::speed(),
        "help" | "-h" | "--help" => {
            print!("{HELP}");
            Ok(())
        }
        unknown => bail!("there is no command `{unknown}`\n\n{HELP}"),
    }
}
