//! Much at once: a consumer that lags, and one that never takes anything.

use std::time::Duration;

use boocoder_backend::SessionEvent;
use boocoder_model::{AgentEvent, TurnStatus};
use boocoder_testkit::process::{alive, private_kib};

use crate::support::{Home, PATIENCE, Rig, in_both_homes};

/// How many bytes a process has written so far.
fn written(pid: u32) -> u64 {
    let io = std::fs::read_to_string(format!("/proc/{pid}/io")).expect("its counters");
    let line = io.lines().find_map(|line| line.strip_prefix("wchar: ")).expect("bytes written");
    line.trim().parse().expect("a number")
}

in_both_homes! {
    a_slow_consumer_slows_the_agent_and_loses_nothing,
}

async fn a_slow_consumer_slows_the_agent_and_loses_nothing(home: Home) {
    const UPDATES: usize = 200_000;
    const BYTES: usize = 300;
    let mut rig = Rig::demo(home).await;
    let turn = rig.start(&format!("stream {UPDATES} {BYTES}")).await;
    // Enough for the agent to say it all, if anybody took it.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let said = written(rig.pid());
    // A journal takes much more before it slows anybody.
    let most = if home == Home::Here { 8 * 1024 * 1024 } else { 256 * 1024 * 1024 };
    assert!(said < most, "the agent has written {said} bytes though nobody reads them");
    let mut bytes = 0;
    let outcome = loop {
        match rig.next().await.expect("the turn has an end") {
            SessionEvent::Agent { turn: Some(of), event: AgentEvent::Text(text) } => {
                assert_eq!(of, turn);
                bytes += text.len();
            }
            SessionEvent::TurnEnded { outcome, .. } => break outcome,
            _ => {}
        }
    };
    assert_eq!((bytes, outcome.status), (UPDATES * BYTES, TurnStatus::Completed));
    let kib = private_kib(std::process::id()).expect("this process");
    assert!(kib < 512 * 1024, "{kib} KiB, other tests included");
}

#[tokio::test]
async fn a_session_is_closed_though_nobody_takes_its_events() {
    let mut rig = Rig::demo(Home::Here).await;
    rig.start("stream 1000000 300").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    tokio::time::timeout(PATIENCE, rig.session.close()).await.expect("closing does not wait for that");
    assert!(!alive(rig.pid()));
    let (events, _, _) = rig.exited().await;
    assert!(events.len() >= 1024, "what was there is still to be had: {}", events.len());
}
