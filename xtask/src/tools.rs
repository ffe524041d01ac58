//! What several commands need: running programs in stages, and getting the programs that are missing.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// A stage that ended with a failure of its own, which it has already explained; its exit status becomes ours.
#[derive(Debug)]
pub(crate) struct StageFailed {
    stage: String,
    pub(crate) code: u8,
}

impl fmt::Display for StageFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "failed: {}", self.stage)
    }
}

impl std::error::Error for StageFailed {}

/// The workspace's top directory.
///
/// Cargo says where this package is when it runs us. What was true when we were built comes second, for clones that
/// share a target directory share this program too.
#[expect(clippy::disallowed_methods, reason = "cargo tells its children by the environment where they are")]
pub(crate) fn root() -> PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    let package = Path::new(&package);
    package.parent().unwrap_or(package).to_path_buf()
}

/// Runs cargo in the workspace; its output goes to ours.
///
/// # Errors
/// [`StageFailed`] with cargo's exit status.
pub(crate) fn cargo(args: &[&str]) -> Result<()> {
    cargo_with(args, &[])
}

/// The same, with variables added to its environment.
///
/// # Errors
/// [`StageFailed`] with cargo's exit status.
pub(crate) fn cargo_with(args: &[&str], variables: &[(&str, &str)]) -> Result<()> {
    let mut cargo = Command::new("cargo");
    cargo.args(args).envs(variables.iter().copied()).current_dir(root()).stdin(Stdio::null());
    stage(&format!("cargo {}", args.join(" ")), cargo)
}

/// Runs a program as a stage of that name; its output goes to ours.
///
/// # Errors
/// [`StageFailed`] with the program's exit status.
pub(crate) fn stage(stage: &str, mut command: Command) -> Result<()> {
    println!("\n==> {stage}");
    let status = command.status().with_context(|| format!("cannot run {stage}"))?;
    if status.success() {
        return Ok(());
    }
    // A stage that was killed by a signal has no status of its own.
    let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
    Err(StageFailed { stage: stage.to_owned(), code }.into())
}

/// Prints what a check found.
///
/// # Errors
/// [`StageFailed`] if it found something.
pub(crate) fn report(check: &str, findings: &[String]) -> Result<()> {
    for finding in findings {
        println!("{check}: {finding}");
    }
    if findings.is_empty() {
        println!("{check}: nothing to complain about");
        return Ok(());
    }
    Err(StageFailed { stage: format!("{check}, {} findings", findings.len()), code: 1 }.into())
}

/// Whether this program can be run. It is asked for its version, since a name on `PATH` may be a broken link.
pub(crate) fn found(program: &str, args: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(args).current_dir(root()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Makes sure that a program is there: on Debian, as root, it is installed; elsewhere the person is told.
///
/// # Errors
/// When it is not there and was not installed.
pub(crate) fn ensure(program: &str, debian_package: &str) -> Result<()> {
    if found(program, &["--version"]) {
        return Ok(());
    }
    if is_root() && found("apt-get", &["--version"]) {
        println!("{program} is not there: installing Debian's {debian_package}");
        for args in [&["update"][..], &["install", "--yes", "--no-install-recommends", debian_package]] {
            let mut apt = Command::new("apt-get");
            apt.args(args).env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null());
            let status = apt.status().context("cannot run apt-get")?;
            if !status.success() {
                bail!("apt-get {} failed: install {program} yourself, then run this again", args.join(" "));
            }
        }
        if found(program, &["--version"]) {
            return Ok(());
        }
    }
    bail!("{program} is needed and was not found on PATH: install it (on Debian: apt-get install {debian_package})")
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}
