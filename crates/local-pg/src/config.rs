//! What a caller decides about the database.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::limits::Limits;

/// Where the server's programs come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum BinarySource {
    /// The newest server installed on this machine, else the one from npm.
    #[default]
    Auto,
    /// Only these directories: each holds `postgres` and `initdb`, itself or in its `bin`.
    Dirs(Vec<PathBuf>),
    /// The pinned package from npm, whatever is installed.
    Npm,
}

/// What is needed to start a database. The environment is part of it: nothing is read from the process's own.
#[derive(Clone, Debug)]
pub struct LocalPgConfig {
    /// A directory for the database alone. It is made if it is missing; its parents must let the server's account pass.
    pub data_dir: PathBuf,
    /// Where a fetched server is kept. It may be shared between data directories.
    pub cache_dir: PathBuf,
    /// Where the server's programs come from.
    pub binaries: BinarySource,
    /// The account that the server runs as when this process is root, which PostgreSQL refuses to be. `None` takes
    /// `postgres`, else `nobody`. A cluster that is there keeps its owner.
    pub run_as: Option<String>,
    /// Where programs are looked for, as in `PATH`.
    pub search_path: OsString,
    /// The home directory, in which some installers put servers.
    pub home: Option<PathBuf>,
    /// How long things may take.
    pub limits: Limits,
}

impl LocalPgConfig {
    /// A database in `data_dir` with everything else as usual, and an empty environment.
    pub fn new(data_dir: impl Into<PathBuf>, cache_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            cache_dir: cache_dir.into(),
            binaries: BinarySource::Auto,
            run_as: None,
            search_path: OsString::new(),
            home: None,
            limits: Limits::default(),
        }
    }
}
