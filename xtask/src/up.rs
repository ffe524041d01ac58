//! `cargo xtask up`: from a fresh clone to a running server.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{tools, web};

/// Builds BooCoder and becomes `boocoder serve`, with the arguments that come after `--`.
pub(crate) fn run(args: &[String]) -> Result<()> {
    let args = cargo_args(args)?;
    tools::ensure("git", "git")?;
    web::build()?;
    println!("building BooCoder; the first time this takes some minutes");
    let mut cargo = Command::new("cargo");
    cargo.args(args);
    become_it(cargo)
}

/// What cargo is called with. The directory stays the caller's, for paths among the arguments are meant from there.
fn cargo_args(args: &[String]) -> Result<Vec<String>> {
    let split = args.iter().position(|arg| arg == "--").unwrap_or(args.len());
    let (own, serve) = (args.get(..split).unwrap_or_default(), args.get(split + 1..).unwrap_or_default());
    let manifest = tools::root().join("Cargo.toml").display().to_string();
    let run = ["run", "--manifest-path", &manifest, "--package", "boocoder", "--bin", "boocoder"];
    let release: &[&str] = match own {
        [] => &[],
        [release] if release == "--release" => &["--release"],
        _ => bail!("`cargo xtask up` takes --release, and after `--` what `boocoder serve` takes"),
    };
    let words = [&run[..], release, &["--", "serve"]].concat();
    Ok(words.into_iter().map(str::to_owned).chain(serve.iter().cloned()).collect())
}

/// The server takes this process's place, so that signals reach it and its exit status is ours.
#[cfg(unix)]
fn become_it(mut command: Command) -> Result<()> {
    use std::os::unix::process::CommandExt;
    Err(command.exec()).context("cannot run cargo")
}

#[cfg(not(unix))]
fn become_it(mut command: Command) -> Result<()> {
    let status = command.status().context("cannot run cargo")?;
    std::process::exit(status.code().unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(words: &[&str]) -> Result<String> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        cargo_args(&words).map(|args| args.join(" "))
    }

    #[test]
    fn what_follows_the_dashes_is_the_servers() {
        assert!(args(&[]).unwrap().ends_with("--bin boocoder -- serve"));
        let all = args(&["--release", "--", "--listen", "127.0.0.1:0", "--", "x"]).unwrap();
        assert!(all.ends_with("--bin boocoder --release -- serve --listen 127.0.0.1:0 -- x"), "{all}");
    }

    #[test]
    fn other_arguments_are_refused() {
        for wrong in [&["--listen", "127.0.0.1:0"][..], &["--release", "--release"]] {
            assert!(args(wrong).is_err());
        }
    }
}
