//! Running helper programs with a limit on their time and output, and tying children to the life of this process.

use std::ffi::{OsStr, OsString};
use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;

use crate::error::LocalPgError;
use crate::limits::OUTPUT_BYTES;

/// Where the system's own tools are when the search path does not say.
const SYSTEM_PATH: &str = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin";

/// The search path for the system's own tools: the given one, then the usual places.
pub(crate) fn tool_path(search_path: &OsStr) -> OsString {
    let mut path = search_path.to_owned();
    if !path.is_empty() {
        path.push(":");
    }
    path.push(SYSTEM_PATH);
    path
}

/// Runs a program to its end and returns what it printed on its standard output. It is killed past the limit.
pub(crate) async fn run(mut command: Command, limit: Duration) -> Result<String, LocalPgError> {
    let program = command.as_std().get_program().to_string_lossy().into_owned();
    let finished = async {
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn()?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let (stdout, stderr, status) = tokio::join!(read_start(stdout), read_start(stderr), child.wait());
        Ok((stdout?, stderr?, status?))
    };
    let ended: io::Result<(String, String, ExitStatus)> = tokio::time::timeout(limit, finished)
        .await
        .map_err(|_| LocalPgError::TimedOut { what: program.clone(), limit })?;
    let (stdout, stderr, status) = ended.map_err(|source| LocalPgError::Spawn { program: program.clone(), source })?;
    if status.success() {
        return Ok(stdout);
    }
    let output = format!("{}\n{}", stdout.trim(), stderr.trim()).trim().to_owned();
    Err(LocalPgError::Failed { program, status, output })
}

/// The first bytes of a pipe as text. The rest is read and dropped, so that the writer is not held up.
async fn read_start(pipe: Option<impl AsyncRead + Unpin>) -> io::Result<String> {
    let mut start = Vec::new();
    if let Some(mut pipe) = pipe {
        (&mut pipe).take(OUTPUT_BYTES).read_to_end(&mut start).await?;
        tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await?;
    }
    Ok(String::from_utf8_lossy(&start).into_owned())
}

/// Has the kernel send `signal` to the child when the thread that spawns it ends, however it ends.
///
/// The signal follows the thread, not the process, so this is only for the thread that keeps the server. Systems
/// other than Linux have no such signal; there the next start ends what is left over.
#[cfg(target_os = "linux")]
pub(crate) fn end_with_this_thread(command: &mut Command, signal: Signal) {
    let parent = rustix::process::getpid();
    let tie = move || {
        rustix::process::set_parent_process_death_signal(Some(signal))?;
        // A parent that died before the line above sends nothing any more.
        if rustix::process::getppid() == Some(parent) { Ok(()) } else { Err(rustix::io::Errno::SRCH.into()) }
    };
    #[expect(
        unsafe_code,
        reason = "the parent-death signal can only be set by the child itself, between fork and exec"
    )]
    // SAFETY: the closure makes two system calls and moves plain numbers. It takes no lock, allocates nothing and
    // touches no memory of another thread, which is all that may be done between fork and exec.
    unsafe {
        command.pre_exec(tie);
    }
}

/// Systems without a parent-death signal: the next start ends what is left over.
#[cfg(not(target_os = "linux"))]
pub(crate) fn end_with_this_thread(_command: &mut Command, _signal: Signal) {}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[tokio::test]
    async fn keeps_the_start_of_a_long_output_and_lets_the_program_end() {
        let text = run(sh("head -c 300000 /dev/zero | tr '\\0' x"), Duration::from_secs(60)).await.unwrap();
        assert_eq!(text.len() as u64, OUTPUT_BYTES);
    }

    #[tokio::test]
    async fn reports_failures_with_what_was_printed() {
        let error = run(sh("echo wrong >&2; exit 3"), Duration::from_secs(60)).await.unwrap_err();
        assert!(matches!(&error, LocalPgError::Failed { output, .. } if output == "wrong"), "{error}");
        let error = run(Command::new("/no/such/program"), Duration::from_secs(60)).await.unwrap_err();
        assert!(matches!(error, LocalPgError::Spawn { .. }), "{error}");
    }

    #[tokio::test]
    async fn kills_what_takes_too_long() {
        let error = run(sh("exec sleep 600"), Duration::from_millis(50)).await.unwrap_err();
        assert!(matches!(error, LocalPgError::TimedOut { .. }), "{error}");
    }
}
