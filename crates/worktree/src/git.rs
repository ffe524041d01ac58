//! The `git` command line, run with bounds: so many at once, for so long, printing so much.
//!
//! The user's own configuration counts (filters, line endings, ignore files), since the project is theirs. What the
//! environment would redirect (`GIT_DIR` and its kin) does not, and no hook fires for what we do.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::sync::{Mutex, MutexGuard, Semaphore};

use crate::{Limits, WorktreeError};

/// Variables that say where the user's configuration and git's own programs are; every other `GIT_*` is taken away.
const KEPT_VARIABLES: [&str; 4] = ["GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM", "GIT_EXEC_PATH"];

/// Settings that hold for every command, whatever the user's configuration says.
const SETTINGS: [&str; 10] = [
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.quotePath=false",
    // A warning about line endings must not fail a snapshot.
    "core.safecrlf=false",
    // A private index has to stand alone.
    "core.splitIndex=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "submodule.recurse=false",
    "worktree.useRelativePaths=false",
    "advice.addEmbeddedRepo=false",
];

/// Runs git. Clones share one bound on the number of processes.
#[derive(Clone, Debug)]
pub struct Git {
    limits: Arc<Limits>,
    permits: Arc<Semaphore>,
    /// Beside a permit, for commands that read or write a whole tree.
    tree_permits: Arc<Semaphore>,
    registry: Arc<Mutex<()>>,
    scrubbed: Arc<[OsString]>,
    trust_all: bool,
    variable: Option<(OsString, OsString)>,
}

impl Git {
    /// Git as it is found on `PATH`, within these limits.
    ///
    /// For root, git refuses every repository that root does not own, which in a container is every mounted one. Root
    /// gains nothing from that check, so it is switched off for root and for nobody else.
    pub fn new(limits: Limits) -> Self {
        let scrubbed = std::env::vars_os().map(|(name, _)| name).filter(|name| {
            let text = name.to_string_lossy();
            text.starts_with("GIT_") && !KEPT_VARIABLES.contains(&text.as_ref())
        });
        Self {
            permits: Arc::new(Semaphore::new(limits.processes.max(1))),
            tree_permits: Arc::new(Semaphore::new(limits.processes.saturating_sub(1).max(1))),
            registry: Arc::default(),
            limits: Arc::new(limits),
            scrubbed: scrubbed.collect(),
            trust_all: rustix::process::geteuid().is_root(),
            variable: None,
        }
    }

    /// Sets a variable for every command, and so for all that it starts: a mark by which the next process finds what one
    /// that was killed has left running.
    #[must_use]
    pub fn with_variable(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.variable = Some((name.into(), value.into()));
        self
    }

    /// The variable that marks what is started here.
    pub(crate) fn mark(&self) -> Option<(OsString, OsString)> {
        self.variable.clone()
    }

    /// The limits in force.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The version of git, such as `2.47.3`.
    ///
    /// # Errors
    /// [`WorktreeError::GitMissing`] if there is no git.
    pub async fn version(&self) -> Result<String, WorktreeError> {
        let line = self.command(Path::new("/"), ["version"]).line().await?;
        Ok(line.strip_prefix("git version ").unwrap_or(&line).to_owned())
    }

    /// Waits until nobody else here makes or removes a worktree.
    ///
    /// `git worktree add` reads all entries of its repository, and fails on one that another process is just writing.
    pub(crate) async fn registry(&self) -> Result<MutexGuard<'_, ()>, WorktreeError> {
        let limit = self.limits.tree_time;
        let timed_out = |_| WorktreeError::TimedOut { command: "wait for other worktrees".to_owned(), limit };
        tokio::time::timeout(limit, self.registry.lock()).await.map_err(timed_out)
    }

    /// A command to run in a directory.
    pub(crate) fn command<I>(&self, dir: &Path, args: I) -> Invocation<'_>
    where
        I: IntoIterator<Item: AsRef<OsStr>>,
    {
        let args: Vec<OsString> = args.into_iter().map(|arg| arg.as_ref().to_owned()).collect();
        let mut command = Command::new("git");
        command.current_dir(dir).arg("--no-optional-locks").arg("--literal-pathspecs");
        for setting in SETTINGS.iter().chain(self.trust_all.then_some(&"safe.directory=*")) {
            command.arg("-c").arg(setting);
        }
        command.args(&args);
        for name in self.scrubbed.iter() {
            command.env_remove(name);
        }
        command.env("GIT_TERMINAL_PROMPT", "0").env("LC_ALL", "C");
        command.envs(self.variable.clone());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        Invocation { git: self, command, args, input: Vec::new(), is_whole_tree: false }
    }
}

/// One git command, about to be run.
pub(crate) struct Invocation<'a> {
    git: &'a Git,
    command: Command,
    args: Vec<OsString>,
    input: Vec<u8>,
    is_whole_tree: bool,
}

/// What a command printed and how it ended.
pub(crate) struct Output {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    /// Whether `stdout` was cut at the limit, and the command ended for that.
    pub(crate) cut: bool,
    pub(crate) stderr: String,
}

impl Invocation<'_> {
    pub(crate) fn setting(mut self, name: &'static str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn input(mut self, bytes: Vec<u8>) -> Self {
        self.input = bytes;
        self
    }

    /// Allows the time of a command that reads or writes a whole tree. However many of these there are, one process stays
    /// free for short commands, unless there is only one.
    pub(crate) fn whole_tree(mut self) -> Self {
        self.is_whole_tree = true;
        self
    }

    /// The command in words, for errors.
    fn words(args: &[OsString]) -> String {
        let mut words = String::from("git");
        for arg in args {
            words.push(' ');
            words.push_str(&arg.to_string_lossy());
        }
        words
    }

    /// Runs the command to its end, whichever that is.
    pub(crate) async fn run(self) -> Result<Output, WorktreeError> {
        let Self { git, mut command, args, input, is_whole_tree } = self;
        let time = if is_whole_tree { git.limits.tree_time } else { git.limits.command_time };
        command.stdin(if input.is_empty() { Stdio::null() } else { Stdio::piped() });
        let work = async {
            let _tree_permit = match is_whole_tree {
                true => Some(git.tree_permits.acquire().await.expect("the semaphore is never closed")),
                false => None,
            };
            let _permit = git.permits.acquire().await.expect("the semaphore is never closed");
            let dir = command.as_std().get_current_dir().unwrap_or(Path::new(".")).to_owned();
            let group = Group(command.spawn().map_err(|source| cannot_start(&dir, source))?);
            group.communicate(input, &git.limits).await.map_err(WorktreeError::io("run git in", dir))
        };
        match tokio::time::timeout(time, work).await {
            Ok(output) => output,
            Err(_) => Err(WorktreeError::TimedOut { command: Self::words(&args), limit: time }),
        }
    }

    /// Runs the command and takes what it printed, which must be whole.
    pub(crate) async fn stdout(self) -> Result<Vec<u8>, WorktreeError> {
        let (args, limit) = (self.args.clone(), self.git.limits.output_bytes);
        let output = self.run().await?;
        if output.cut {
            return Err(WorktreeError::TooLarge { what: format!("the output of `{}`", Self::words(&args)), limit });
        }
        if output.code == Some(0) { Ok(output.stdout) } else { Err(output.failure(&Self::words(&args))) }
    }

    /// Runs the command and takes the one line that it printed.
    pub(crate) async fn line(self) -> Result<String, WorktreeError> {
        let mut line = self.stdout().await?;
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        String::from_utf8(line)
            .map_err(|error| WorktreeError::Unreadable { command: "git", reason: error.utf8_error().to_string() })
    }
}

impl Output {
    /// This output as an error.
    pub(crate) fn failure(self, command: &str) -> WorktreeError {
        let status = self.code.map_or_else(|| "a signal".to_owned(), |code| format!("status {code}"));
        WorktreeError::Failed { command: command.to_owned(), status, stderr: self.stderr.trim().to_owned() }
    }
}

/// A missing directory and a missing program give the same error; this tells them apart.
fn cannot_start(dir: &Path, source: std::io::Error) -> WorktreeError {
    if dir.is_dir() {
        WorktreeError::GitMissing(source)
    } else {
        WorktreeError::Io { action: "enter", path: dir.to_owned(), source }
    }
}

/// A child and all that it started. They end together when this is dropped.
pub(crate) struct Group(pub(crate) Child);

impl Group {
    async fn communicate(mut self, input: Vec<u8>, limits: &Limits) -> std::io::Result<Output> {
        let (stdin, stdout, stderr) = (self.0.stdin.take(), self.0.stdout.take(), self.0.stderr.take());
        let feed = async {
            if let Some(mut pipe) = stdin {
                // A command may end without reading all of its input; its status tells whether that was well.
                if let Err(error) = pipe.write_all(&input).await {
                    tracing::debug!(%error, "git did not read all of its input");
                }
            }
        };
        let (limit, tail) = (limits.output_bytes, limits.stderr_bytes);
        let talk = async { tokio::join!(feed, read_head(stdout, limit), read_tail(stderr, tail)) };
        tokio::pin!(talk);
        let ((), stdout, stderr) = talk.await;
        let (stdout, stderr) = (stdout?, stderr?);
        let cut = stdout.len() > limit;
        if cut {
            self.kill();
        }
        let code = self.0.wait().await?.code();
        Ok(Output { code, stdout, cut, stderr: String::from_utf8_lossy(&stderr).into_owned() })
    }

    fn kill(&self) {
        // The id is there only while the child has not been waited for, so no stranger's group is ever signalled.
        if let Some(pid) = self.0.id().and_then(|id| Pid::from_raw(id.cast_signed()))
            && let Err(error) = kill_process_group(pid, Signal::KILL)
        {
            tracing::debug!(%error, "git's process group was gone before it was ended");
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Reads up to one byte more than the limit, so that a cut shows.
async fn read_head(pipe: Option<impl AsyncRead + Unpin>, limit: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        pipe.take(limit as u64 + 1).read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
}

/// Reads all and keeps the last `limit` bytes.
async fn read_tail(pipe: Option<impl AsyncRead + Unpin>, limit: usize) -> std::io::Result<Vec<u8>> {
    const CHUNK: usize = 8 << 10;
    let mut kept = Vec::new();
    if let Some(mut pipe) = pipe {
        let mut chunk = [0; CHUNK];
        loop {
            let read = pipe.read(&mut chunk).await?;
            if read == 0 {
                break;
            }
            kept.extend_from_slice(&chunk[..read]);
            kept.drain(..kept.len().saturating_sub(limit));
        }
    }
    Ok(kept)
}
