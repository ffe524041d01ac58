//! The embedded database dies under a server that runs.

use std::path::Path;
use std::time::Duration;

use boocoder_local_pg::Limits;
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{sleep, timeout};

use crate::serving::{LIMIT, Place};

/// The process that serves the cluster, once there is one that is not `last`.
async fn next_postmaster(cluster: &Path, last: Option<Pid>) -> Pid {
    let looking = async {
        loop {
            let lock = std::fs::read_to_string(cluster.join("postmaster.pid")).unwrap_or_default();
            let pid = lock.lines().next().and_then(|pid| pid.parse().ok()).and_then(Pid::from_raw);
            match pid {
                Some(pid) if Some(pid) != last => return pid,
                Some(_) | None => sleep(Duration::from_millis(20)).await,
            }
        }
    };
    timeout(LIMIT, looking).await.expect("the database is started again")
}

#[tokio::test]
async fn a_server_whose_database_is_given_up_stops_with_the_reason() {
    let place = Place::new();
    let mut server = place.serve().await;
    let session = server.session(&place).await;
    server.say(&session, "say begun\nsleep 600000").await;
    let cluster = place.data_dir().join("postgres/cluster");
    let mut last = None;
    for _ in 0..=Limits::default().max_restarts {
        assert!(server.child.try_wait().unwrap().is_none(), "the server bears with a database that dies now and then");
        let postmaster = next_postmaster(&cluster, last).await;
        kill_process(postmaster, Signal::KILL).unwrap();
        last = Some(postmaster);
    }
    let (status, log) = server.gone().await;
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("the embedded database is given up") && log.contains("SIGKILL"), "{log}");
    assert!(log.contains("stopped"), "the shutdown was the ordinary one: {log}");
    assert!(!place.data_dir().join("server.json").exists());

    let server = place.serve().await;
    assert_eq!(server.get(&format!("/api/sessions/{session}")).await["id"], session, "nothing is lost");
    server.stop().await;
}
