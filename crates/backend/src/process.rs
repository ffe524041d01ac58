//! A child process with everything that grows out of it: its group, its descendants, its end.
//!
//! Each process leads a group of its own and carries a mark in its environment, so that whatever it leaves behind is
//! found again, even what left the group or lost its parent. One supervisor task owns the child: it alone waits for it,
//! signals it and reaps it. Nothing is signalled by group id once the leader has been reaped, since the number may be
//! somebody else's by then. A second mark names the owner, and is for the next program to go by if this one is killed.

mod kin;
mod leftovers;
mod table;
mod tail;

use std::fmt;
use std::io;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use self::kin::Kin;
pub use self::leftovers::{OWNER, end_leftovers};
pub(crate) use self::leftovers::{RUNNER, Whose, end};
pub(crate) use self::tail::Tail;
use crate::limits::{STDERR_SETTLE, SWEEP_PAUSE, SWEEP_ROUNDS};

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exit {
    /// Its exit code, if it exited.
    pub(crate) code: Option<i32>,
    /// The signal that killed it, if one did.
    pub(crate) signal: Option<i32>,
}

impl Exit {
    /// The name of the signal that killed it.
    pub(crate) fn signal_name(self) -> Option<String> {
        self.signal.map(|number| match Signal::from_named_raw(number) {
            Some(Signal::KILL) => "SIGKILL".to_owned(),
            Some(Signal::TERM) => "SIGTERM".to_owned(),
            Some(Signal::INT) => "SIGINT".to_owned(),
            Some(Signal::HUP) => "SIGHUP".to_owned(),
            Some(Signal::ABORT) => "SIGABRT".to_owned(),
            Some(Signal::SEGV) => "SIGSEGV".to_owned(),
            Some(Signal::PIPE) => "SIGPIPE".to_owned(),
            _ => format!("signal {number}"),
        })
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code, self.signal_name()) {
            (Some(code), _) => write!(f, "exit status {code}"),
            (None, Some(signal)) => write!(f, "killed by {signal}"),
            (None, None) => f.write_str("exit status unknown"),
        }
    }
}

/// What becomes of the rest of the group when its leader exits by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// It is killed: an agent's helpers are of no use without it.
    Dies,
    /// It lives until the process is stopped: a shell may have left a server running on purpose.
    Lives,
}

/// A running process, or what is known of it after its end. Dropping it stops it.
pub(crate) struct Process {
    pid: Pid,
    stop: CancellationToken,
    close_input: CancellationToken,
    exited: watch::Receiver<Option<Exit>>,
    gone: watch::Receiver<bool>,
    stderr: Tail,
}

/// The ends of the pipes that the command asked for.
pub(crate) struct Pipes {
    /// Its standard input.
    pub(crate) stdin: Option<ChildStdin>,
    /// Its standard output.
    pub(crate) stdout: Option<ChildStdout>,
}

impl Process {
    /// Starts `command` in a group of its own, for an owner if there is one. Standard error is kept if the command pipes
    /// it.
    pub(crate) fn spawn(
        mut command: Command,
        owner: Option<&str>,
        rest: Rest,
        step: Duration,
    ) -> io::Result<(Self, Pipes)> {
        let children = signal(SignalKind::child())?;
        let mark = kin::mark();
        if let Some(owner) = owner {
            command.env(leftovers::OWNER, owner);
        }
        let mut child = command.env(kin::MARK, &mark).process_group(0).kill_on_drop(true).spawn()?;
        let pid = child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(Pid::from_raw)
            .ok_or_else(|| io::Error::other("the child has no process id"))?;
        let stderr = Tail::default();
        let reader = child.stderr.take().map(|pipe| AbortOnDropHandle::new(tokio::spawn(stderr.clone().fill(pipe))));
        let pipes = Pipes { stdin: child.stdin.take(), stdout: child.stdout.take() };
        let (exited_tx, exited) = watch::channel(None);
        let (gone_tx, gone) = watch::channel(false);
        let process =
            Self { pid, stop: CancellationToken::new(), close_input: CancellationToken::new(), exited, gone, stderr };
        let supervisor = Supervisor {
            child,
            kin: Kin::new(pid, mark),
            leader: pid,
            rest,
            step,
            has_input: pipes.stdin.is_some(),
            stop: process.stop.clone(),
            close_input: process.close_input.clone(),
            exited: exited_tx,
            reader,
            finished: false,
        };
        tokio::spawn(supervisor.run(children, gone_tx));
        Ok((process, pipes))
    }

    /// The leader's process id.
    pub(crate) fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Begins to end it: closed input, SIGTERM to the group, SIGKILL to all that is left, a limit after each.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }

    /// Told when the owner of the input pipe has to close it.
    pub(crate) fn close_input(&self) -> CancellationToken {
        self.close_input.clone()
    }

    /// How the leader ended, if it has.
    pub(crate) fn exit(&self) -> Option<Exit> {
        *self.exited.borrow()
    }

    /// Told how the leader ended.
    pub(crate) fn exits(&self) -> watch::Receiver<Option<Exit>> {
        self.exited.clone()
    }

    /// Told when nothing of it is left.
    pub(crate) fn goes(&self) -> watch::Receiver<bool> {
        self.gone.clone()
    }

    /// The end of what it wrote to standard error.
    pub(crate) fn stderr(&self) -> String {
        self.stderr.text()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Waits until `gone` says so. A supervisor that is no more has killed its process, so its silence is a yes.
pub(crate) async fn wait_gone(mut gone: watch::Receiver<bool>) {
    let _ = gone.wait_for(|gone| *gone).await;
}

/// The one owner of a child.
struct Supervisor {
    child: Child,
    kin: Kin,
    leader: Pid,
    rest: Rest,
    step: Duration,
    has_input: bool,
    stop: CancellationToken,
    close_input: CancellationToken,
    exited: watch::Sender<Option<Exit>>,
    reader: Option<AbortOnDropHandle<()>>,
    finished: bool,
}

impl Supervisor {
    async fn run(mut self, mut children: tokio::signal::unix::Signal, gone: watch::Sender<bool>) {
        let stop = self.stop.clone();
        let exit = tokio::select! {
            exit = until_exit(self.leader, &mut children) => exit,
            () = stop.cancelled() => self.end(&mut children).await,
        };
        if self.rest == Rest::Lives && !stop.is_cancelled() {
            self.exited.send_replace(Some(exit));
            stop.cancelled().await;
        }
        self.sweep().await;
        if let Some(reader) = self.reader.take() {
            // Whoever still holds the pipe is no kin of ours and gets no say in when this ends.
            let _ = timeout(STDERR_SETTLE, reader).await;
        }
        match timeout(self.step, self.child.wait()).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!(pid = self.leader.as_raw_pid(), %error, "the child could not be reaped"),
            Err(_) => tracing::warn!(pid = self.leader.as_raw_pid(), "the child hangs in the kernel and is left to it"),
        }
        self.finished = true;
        self.exited.send_replace(Some(exit));
        gone.send_replace(true);
    }

    /// Ends the leader, step by step. The descendants are listed first: once their parent is dead, nobody can tell
    /// whose they were.
    async fn end(&mut self, children: &mut tokio::signal::unix::Signal) -> Exit {
        self.refresh_kin().await;
        self.close_input.cancel();
        if self.has_input
            && let Ok(exit) = timeout(self.step, until_exit(self.leader, children)).await
        {
            return exit;
        }
        self.signal_group(Signal::TERM);
        if let Ok(exit) = timeout(self.step, until_exit(self.leader, children)).await {
            return exit;
        }
        self.refresh_kin().await;
        self.signal_group(Signal::KILL);
        // Only the kernel can hold up a SIGKILL; the limit is for a leader that hangs inside it.
        timeout(self.step, until_exit(self.leader, children)).await.unwrap_or(Exit { code: None, signal: None })
    }

    /// Kills all that is left of the group and its descendants. The leader is a zombie here and keeps its number.
    async fn sweep(&mut self) {
        for _ in 0..SWEEP_ROUNDS {
            self.signal_group(Signal::KILL);
            self.refresh_kin().await;
            if self.kin.kill() == 0 {
                return;
            }
            sleep(SWEEP_PAUSE).await;
        }
        tracing::warn!(pid = self.leader.as_raw_pid(), "processes of an ended agent are still there");
    }

    fn signal_group(&self, signal: Signal) {
        // An empty group is no failure.
        let _ = kill_process_group(self.leader, signal);
    }

    async fn refresh_kin(&mut self) {
        let mut kin = self.kin.clone();
        match tokio::task::spawn_blocking(move || {
            kin.refresh();
            kin
        })
        .await
        {
            Ok(kin) => self.kin = kin,
            Err(error) => tracing::warn!(%error, "the process table was not read"),
        }
    }
}

impl Drop for Supervisor {
    /// The runtime is going down in the middle of it: no time for politeness, but nothing may be left.
    fn drop(&mut self) {
        if !self.finished {
            self.kin.refresh();
            self.signal_group(Signal::KILL);
            self.kin.kill();
        }
    }
}

/// Waits until the leader has exited, and leaves it unreaped, so that its number stays its own.
async fn until_exit(leader: Pid, children: &mut tokio::signal::unix::Signal) -> Exit {
    loop {
        match waitid(WaitId::Pid(leader), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG) {
            Ok(Some(status)) => return Exit { code: status.exit_status(), signal: status.terminating_signal() },
            Ok(None) => {}
            Err(_) => return Exit { code: None, signal: None },
        }
        children.recv().await;
    }
}

/// A command that starts `program` with `env` and nothing else, in `cwd`.
pub(crate) fn command(
    program: &std::path::Path,
    args: &[String],
    env: &crate::Environment,
    cwd: &std::path::Path,
) -> Command {
    let mut command = Command::new(program);
    command.args(args).env_clear().envs(env).current_dir(cwd);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}
