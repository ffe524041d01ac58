//! What is refused, and in which words.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use boocoder_local_pg::{LocalPg, LocalPgError};

use crate::owner::Owner;
use crate::support::{cluster, config, connect, count, place};

/// The user id of `nobody` on every system the tests run on.
const NOBODY: u32 = 65534;

#[tokio::test]
async fn a_second_server_on_the_same_data_is_refused_and_does_no_harm() {
    let place = place();
    let config = config(place.path());
    let mut owner = Owner::spawn(place.path());
    let connection_string = owner.started();
    let acknowledged = owner.acknowledged();
    let error = LocalPg::start(config.clone()).await.unwrap_err();
    assert!(matches!(error, LocalPgError::DataDirInUse { pid, .. } if pid == Some(owner.id())), "{error}");
    assert!(error.to_string().contains(&owner.id().to_string()), "{error}");
    let client = connect(&connection_string).await;
    assert!(count(&client, "rows").await >= acknowledged, "the first one still answers");
    owner.kill();

    let database = LocalPg::start(config.clone()).await.unwrap();
    let error = LocalPg::start(config.clone()).await.unwrap_err();
    assert!(
        matches!(error, LocalPgError::DataDirInUse { pid, .. } if pid == Some(std::process::id())),
        "within one process, too: {error}"
    );
    database.stop().await;
    LocalPg::start(config).await.unwrap().stop().await;
}

#[tokio::test]
async fn data_of_another_major_version_is_refused_and_left_alone() {
    let place = place();
    let config = config(place.path());
    let database = LocalPg::start(config.clone()).await.unwrap();
    let version = database.version();
    database.stop().await;
    let file = cluster(&config).join("PG_VERSION");
    let right = fs::read(&file).unwrap();
    fs::write(&file, "12\n").unwrap();
    let error = LocalPg::start(config.clone()).await.unwrap_err();
    let LocalPgError::VersionMismatch { cluster: 12, found, .. } = &error else { panic!("{error}") };
    assert!(found.is_some_and(|found| found >= version), "{error}");
    assert!(error.to_string().contains("pg_upgrade"), "{error}");
    fs::write(&file, right).unwrap();
    LocalPg::start(config).await.unwrap().stop().await;
}

/// Only root runs the server as somebody else, so only root can meet a closed directory on the way.
#[tokio::test]
async fn a_directory_that_is_closed_to_the_account_is_named() {
    let place = place();
    let closed = place.path().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, Permissions::from_mode(0o700)).unwrap();
    let mut config = config(place.path());
    config.data_dir = closed.join("inner/postgres");
    match LocalPg::start(config).await {
        Err(LocalPgError::Closed { path, account }) => {
            assert_eq!(path, closed.canonicalize().unwrap());
            assert_ne!(account, "root");
        }
        other => {
            assert!(!rustix::process::geteuid().is_root(), "{other:?}");
            other.unwrap().stop().await;
        }
    }
}

/// Root chooses the account; others run the server as themselves, whatever is asked for.
#[tokio::test]
async fn root_runs_the_server_as_another_account_and_keeps_to_it() {
    let place = place();
    let mut config = config(place.path());
    config.run_as = Some("nobody".to_owned());
    LocalPg::start(config.clone()).await.unwrap().stop().await;
    let me = rustix::process::geteuid();
    let owner = if me.is_root() { NOBODY } else { me.as_raw() };
    assert_eq!(cluster(&config).metadata().unwrap().uid(), owner);
    assert_eq!(config.data_dir.metadata().unwrap().uid(), me.as_raw(), "the directory around it stays ours");

    config.run_as = None;
    LocalPg::start(config.clone()).await.unwrap().stop().await;
    assert_eq!(cluster(&config).metadata().unwrap().uid(), owner);
}

#[tokio::test]
async fn a_plain_user_runs_the_server_as_themselves() {
    let me = rustix::process::geteuid();
    let place = place();
    let mut owner = if me.is_root() {
        fs::set_permissions(place.path(), Permissions::from_mode(0o777)).unwrap();
        Owner::spawn_as(NOBODY, place.path())
    } else {
        Owner::spawn(place.path())
    };
    owner.started();
    assert!(owner.acknowledged() > 0);
    let data_dir = place.path().join("postgres").metadata().unwrap();
    assert_eq!(data_dir.uid(), if me.is_root() { NOBODY } else { me.as_raw() });
    assert_eq!(data_dir.mode() & 0o777, 0o700);
    owner.kill();
}

#[tokio::test]
async fn an_account_that_does_not_exist_is_refused() {
    let place = place();
    let mut config = config(place.path());
    config.run_as = Some("no-such-account".to_owned());
    match LocalPg::start(config).await {
        Err(error) => assert!(matches!(error, LocalPgError::NoAccount { .. }), "{error}"),
        Ok(database) => {
            assert!(!rustix::process::geteuid().is_root());
            database.stop().await;
        }
    }
}
