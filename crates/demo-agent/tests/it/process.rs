//! The agent as a process of its own: what only its end, its id and its memory can show.

use std::{path::PathBuf, process::Stdio, time::Duration};

use serde_json::json;
use tokio::{
    process::{Child, Command},
    time::timeout,
};

use crate::peer::{Peer, Reply};

/// The example program, which stands beside the directory of the test programs.
fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let program = test.parent().unwrap().parent().unwrap().join("examples/demo_agent");
    assert!(program.exists(), "build it first: cargo build -p boocoder-demo-agent --example demo_agent");
    program
}

async fn spawn(state_dir: &std::path::Path) -> (Child, Peer) {
    let mut child = Command::new(program())
        .arg("--state-dir")
        .arg(state_dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut peer = Peer::over(child.stdin.take().unwrap(), child.stdout.take().unwrap());
    peer.initialize().await;
    (child, peer)
}

async fn exit_code(child: &mut Child) -> Option<i32> {
    timeout(Duration::from_secs(60), child.wait()).await.expect("the process ends").unwrap().code()
}

#[tokio::test]
async fn a_crash_exits_with_101_and_the_session_lives_on_in_the_next_process() {
    let dir = tempfile::tempdir().unwrap();
    let (mut child, mut peer) = spawn(dir.path()).await;
    let session = peer.new_session("/w").await;
    let said = peer.prompt(&session, "pid\nremember the milk").await.text();
    assert!(said.starts_with(&format!("pid={} session={session}\n", child.id().unwrap())), "{said}");
    peer.start_prompt(&session, "crash").await;
    assert_eq!(exit_code(&mut child).await, Some(101));

    let (mut child, mut peer) = spawn(dir.path()).await;
    let id = peer.request("session/load", json!({ "sessionId": session, "cwd": "/w", "mcpServers": [] })).await;
    assert!(peer.finish(id, |_| Reply::Silence).await.chunks("user_message_chunk").contains(&"crash"));
    peer.until("session/update").await;
    assert_eq!(peer.prompt(&session, "recall").await.text(), "the milk");
    drop(peer);
    assert_eq!(exit_code(&mut child).await, Some(0), "closing its input ends it in good order");
}

/// Kilobytes of memory that the process has had at most.
#[cfg(target_os = "linux")]
fn peak_memory(child: &Child) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id().unwrap())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_stream_that_nobody_reads_takes_no_memory() {
    let dir = tempfile::tempdir().unwrap();
    let (mut child, mut peer) = spawn(dir.path()).await;
    let session = peer.new_session("/w").await;
    let before = peak_memory(&child);
    let id = peer.start_prompt(&session, "stream 20000 2000").await;
    peer.until("session/update").await;
    // What is written without being read would be 40 MB; what waits in the agent is bounded.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let grown = peak_memory(&child) - before;
    assert!(grown < 16 << 10, "{grown} kB more");
    let turn = peer.finish(id, |_| Reply::Silence).await;
    assert_eq!(turn.updates.len(), 19_999);
    drop(peer);
    assert_eq!(exit_code(&mut child).await, Some(0));
}
