//! Start, stop, and every way to be killed.

use std::fs::File;
use std::time::Duration;

use boocoder_local_pg::{LocalPg, PgState};
use rustix::process::Signal;

use crate::owner::Owner;
use crate::support::{NONE, cluster, config, connect, count, kill, place, postmaster, processes_in, text, until};

#[tokio::test]
async fn a_fresh_database_is_durable_private_and_keeps_its_data() {
    let place = place();
    let config = config(place.path());
    let database = LocalPg::start(config.clone()).await.unwrap();
    assert!(database.source().contains(&database.version().to_string()), "{}", database.source());
    let client = connect(&database.connection_string()).await;
    for (setting, value) in [
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("full_page_writes", "on"),
        ("data_checksums", "on"),
        ("listen_addresses", ""),
        ("unix_socket_permissions", "0700"),
        ("server_encoding", "UTF8"),
        ("TimeZone", "UTC"),
    ] {
        assert_eq!(text(&client, &format!("SHOW {setting}")).await, value, "{setting}");
    }
    let collation = "SELECT datcollate FROM pg_database WHERE datname = current_database()";
    assert_eq!(text(&client, collation).await, "C");
    assert_eq!(text(&client, "SELECT current_user::text").await, database.user());
    client.batch_execute("CREATE TABLE kept AS SELECT generate_series(1, 100)").await.unwrap();
    assert!(!processes_in(&cluster(&config)).is_empty(), "the look at processes sees a running server");
    database.stop().await;
    assert_eq!(processes_in(&cluster(&config)), NONE, "nothing is left after a stop");

    let database = LocalPg::start(config.clone()).await.unwrap();
    let client = connect(&database.connection_string()).await;
    assert_eq!(count(&client, "kept").await, 100);
    let state = database.state();
    assert_eq!(*state.borrow(), PgState::Running { restarts: 0 });
    drop(database);
    until("a dropped database has stopped", || *state.borrow() == PgState::Stopped).await;
    assert_eq!(processes_in(&cluster(&config)), NONE);
}

#[tokio::test]
async fn a_killed_server_is_started_again_with_all_its_data() {
    let place = place();
    let config = config(place.path());
    let database = LocalPg::start(config.clone()).await.unwrap();
    let mut state = database.state();
    let client = connect(&database.connection_string()).await;
    client.batch_execute("CREATE TABLE kept (number int)").await.unwrap();
    for round in 1..=2 {
        let client = connect(&database.connection_string()).await;
        client.batch_execute("INSERT INTO kept SELECT generate_series(1, 50)").await.unwrap();
        let first = postmaster(&cluster(&config));
        kill(first, Signal::KILL);
        state.wait_for(|state| *state == PgState::Running { restarts: round }).await.unwrap();
        let client = connect(&database.connection_string()).await;
        assert_eq!(count(&client, "kept").await, i64::from(round) * 50);
        assert_ne!(postmaster(&cluster(&config)), first);
    }
    database.stop().await;
    assert_eq!(processes_in(&cluster(&config)), NONE);
}

#[tokio::test]
async fn a_server_that_dies_too_often_is_given_up() {
    let place = place();
    let mut config = config(place.path());
    config.limits.max_restarts = 1;
    let database = LocalPg::start(config.clone()).await.unwrap();
    let mut state = database.state();
    kill(postmaster(&cluster(&config)), Signal::KILL);
    state.wait_for(|state| *state == PgState::Running { restarts: 1 }).await.unwrap();
    kill(postmaster(&cluster(&config)), Signal::KILL);
    let end = state.wait_for(|state| matches!(state, PgState::Failed { .. })).await.unwrap().clone();
    assert!(matches!(&end, PgState::Failed { reason } if reason.contains("SIGKILL")), "{end:?}");
    assert_eq!(PgState::Failed { reason: database.given_up().await }, end);
    database.stop().await;
    until("the orphans have ended", || processes_in(&cluster(&config)).is_empty()).await;
}

#[tokio::test]
async fn a_server_that_ran_for_a_while_may_die_again() {
    let place = place();
    let mut config = config(place.path());
    (config.limits.max_restarts, config.limits.restart_window) = (1, Duration::ZERO);
    let database = LocalPg::start(config.clone()).await.unwrap();
    let mut state = database.state();
    for restarts in 1..=3 {
        kill(postmaster(&cluster(&config)), Signal::KILL);
        state.wait_for(|state| *state == PgState::Running { restarts }).await.unwrap();
    }
    database.stop().await;
    assert_eq!(processes_in(&cluster(&config)), NONE);
}

#[tokio::test]
async fn a_start_right_after_the_owner_was_killed_has_every_acknowledged_row() {
    let place = place();
    let config = config(place.path());
    // Orphans become children of this process, which awaits none of them, so each dead server stays a zombie whose
    // number still answers: the worst case of a machine whose init is slow or missing.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).unwrap();
    let mut acknowledged = 0;
    for round in 0..4 {
        let mut owner = Owner::spawn(place.path());
        owner.started();
        for _ in 0..20 {
            acknowledged = owner.acknowledged();
        }
        // Every other time the server is killed as well, so that nothing is shut down in an orderly way.
        if round % 2 == 1 {
            let server = postmaster(&cluster(&config));
            acknowledged = owner.kill().unwrap_or(acknowledged);
            // The owner's death may have ended the server already.
            let _gone = rustix::process::Pid::from_raw(server)
                .map(|server| rustix::process::kill_process(server, Signal::KILL));
        } else {
            acknowledged = owner.kill().unwrap_or(acknowledged);
        }
        let database = LocalPg::start(config.clone()).await.unwrap();
        let client = connect(&database.connection_string()).await;
        let there = count(&client, "rows").await;
        assert!(there >= acknowledged, "round {round}: {there} rows of {acknowledged} acknowledged ones");
        let last: i64 = client.query_one("SELECT max(number) FROM rows", &[]).await.unwrap().get(0);
        assert_eq!(last, there, "rows without a hole");
        database.stop().await;
    }
    assert_eq!(processes_in(&cluster(&config)), NONE);
}

#[tokio::test]
async fn a_server_ends_with_its_owner() {
    let place = place();
    let config = config(place.path());
    let mut owner = Owner::spawn(place.path());
    owner.started();
    assert!(!processes_in(&cluster(&config)).is_empty());
    owner.kill();
    until("the server has ended", || processes_in(&cluster(&config)).is_empty()).await;
}

#[tokio::test]
async fn a_server_that_does_not_end_with_its_owner_is_replaced() {
    let place = place();
    let mut config = config(place.path());
    let mut owner = Owner::spawn(place.path());
    owner.started();
    let acknowledged = owner.acknowledged();
    // A stopped process answers no signal but the last one.
    let stuck = postmaster(&cluster(&config));
    kill(stuck, Signal::STOP);
    owner.kill();
    (config.limits.stop, config.limits.quit) = (Duration::from_millis(200), Duration::from_millis(200));
    let database = LocalPg::start(config.clone()).await.unwrap();
    assert_ne!(postmaster(&cluster(&config)), stuck);
    let client = connect(&database.connection_string()).await;
    assert!(count(&client, "rows").await >= acknowledged);
    database.stop().await;
    assert_eq!(processes_in(&cluster(&config)), NONE);
}

#[tokio::test]
async fn a_cluster_that_was_cut_short_is_made_anew() {
    let place = place();
    let config = config(place.path());
    let aside = config.data_dir.join("cluster.new");
    for sign in ["PG_VERSION", "base/1", "global/pg_control"] {
        let owner = Owner::spawn(place.path());
        until("the cluster is being made", || aside.join(sign).exists() || cluster(&config).exists()).await;
        owner.kill();
        assert!(!cluster(&config).exists(), "the kill came too late to test anything");
    }
    let database = LocalPg::start(config.clone()).await.unwrap();
    assert!(!aside.exists());
    let client = connect(&database.connection_string()).await;
    assert_eq!(text(&client, "SELECT current_database()::text").await, database.database());
    database.stop().await;
}

#[tokio::test]
async fn a_start_that_nobody_waits_for_leaves_nothing_behind() {
    let place = place();
    let config = config(place.path());
    let dirs = [cluster(&config), config.data_dir.join("cluster.new")];
    let running = || dirs.iter().any(|dir| !processes_in(dir).is_empty());
    let unlocked = || File::open(config.data_dir.join("lock")).unwrap().try_lock().is_ok();
    for sign in ["cluster.new/PG_VERSION", "cluster/postmaster.pid"] {
        let begun = config.data_dir.join(sign);
        tokio::select! {
            started = LocalPg::start(config.clone()) => panic!("not cut short: {started:?}"),
            () = until("the start has come that far", || begun.exists()) => {}
        }
        until("it has been called off", || unlocked() && !running()).await;
    }
    LocalPg::start(config.clone()).await.unwrap().stop().await;
    assert!(!running());
}

#[tokio::test]
async fn a_lock_file_whose_number_belongs_to_another_process_is_no_obstacle() {
    use std::os::unix::fs::MetadataExt;
    use std::os::unix::process::CommandExt;

    let place = place();
    let config = config(place.path());
    LocalPg::start(config.clone()).await.unwrap().stop().await;
    // PostgreSQL takes a process of its own user for a server; one of another user it would see through.
    let owner = cluster(&config).metadata().unwrap();
    let mut other = std::process::Command::new("sleep");
    other.arg("600").current_dir("/");
    if rustix::process::geteuid().is_root() {
        other.uid(owner.uid()).gid(owner.gid());
    }
    let mut other = other.spawn().unwrap();
    for lock in [cluster(&config).join("postmaster.pid"), config.data_dir.join("run/.s.PGSQL.5432.lock")] {
        std::fs::write(&lock, format!("{}\n{}\n0\n5432\n", other.id(), cluster(&config).display())).unwrap();
    }
    let database = LocalPg::start(config).await;
    other.kill().unwrap();
    other.wait().unwrap();
    database.unwrap().stop().await;
}
