//! `cargo xtask faults` and `cargo xtask soak`: trials that take longer than tests should.

use anyhow::{Result, bail};

use crate::tools;

/// How often each step of a turn meets each victim.
const ROUNDS: &str = "20";

/// Runs the kill matrix: `[--rounds N] [--seed N]`.
///
/// # Errors
/// When an argument is not known, and [`StageFailed`](tools::StageFailed) when a round failed.
pub(crate) fn matrix(args: &[String]) -> Result<()> {
    let mut variables = vec![("BOOCODER_FAULT_ROUNDS", ROUNDS)];
    for (name, value) in options(args)? {
        match name {
            "--rounds" => variables.push(("BOOCODER_FAULT_ROUNDS", value)),
            "--seed" => variables.push(("BOOCODER_FAULT_SEED", value)),
            unknown => bail!("`cargo xtask faults` has no option {unknown}"),
        }
    }
    // Not by nextest, which ends a test that takes so long. Each victim has a thread of its own.
    let test = ["test", "--package", "boocoder", "--test", "it", "--", "matrix::"];
    let shown = ["--nocapture", "--test-threads", "4"];
    tools::cargo_with(&[&test[..], &shown].concat(), &variables)
}

/// Runs the soak: `[--minutes N] [--chats N] [--seed N]`.
///
/// # Errors
/// When an argument is not known, and [`StageFailed`](tools::StageFailed) when a thing was wrong.
pub(crate) fn soak(args: &[String]) -> Result<()> {
    for (name, _) in options(args)? {
        if !["--minutes", "--chats", "--seed"].contains(&name) {
            bail!("`cargo xtask soak` has no option {name}");
        }
    }
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    tools::cargo(&[&["bench", "--package", "boocoder", "--bench", "soak", "--"], &args[..]].concat())
}

/// Arguments as pairs of an option and its number.
fn options(args: &[String]) -> Result<Vec<(&str, &str)>> {
    args.chunks(2)
        .map(|pair| match pair {
            [name, value] if value.parse::<u64>().is_ok() => Ok((name.as_str(), value.as_str())),
            [name, ..] => bail!("{name} takes a number"),
            [] => bail!("an option is missing"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_come_with_numbers() {
        let args = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(options(&args("--rounds 3 --seed 4")).unwrap(), [("--rounds", "3"), ("--seed", "4")]);
        assert!(options(&[]).unwrap().is_empty());
        for wrong in ["--rounds", "--rounds x", "--rounds 3 --seed"] {
            assert!(options(&args(wrong)).is_err(), "{wrong}");
        }
        assert!(matrix(&args("--minutes 3")).is_err() && soak(&args("--rounds 3")).is_err());
    }
}
