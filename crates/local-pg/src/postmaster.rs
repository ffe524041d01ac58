//! One run of the database server: started as a child, awaited until it answers, and stopped.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStderr, Command};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, NoTls};

use crate::account::Accounts;
use crate::cluster::{DataDir, PORT, ROLE, server_env};
use crate::discover::Binaries;
use crate::error::LocalPgError;
use crate::leftovers;
use crate::limits::{KILLED, LOG_DRAIN, LOG_LINE_BYTES, LOG_LINES, Limits, POLL};
use crate::program::end_with_this_thread;

/// Answers of a server that is starting or recovering.
const NOT_NOW: [SqlState; 3] = [SqlState::CANNOT_CONNECT_NOW, SqlState::CRASH_SHUTDOWN, SqlState::ADMIN_SHUTDOWN];

/// All that is needed to start the server, any number of times.
#[derive(Debug)]
pub(crate) struct Launch {
    pub(crate) data_dir: DataDir,
    pub(crate) accounts: Accounts,
    pub(crate) binaries: Binaries,
    pub(crate) socket_dir: PathBuf,
    pub(crate) limits: Limits,
}

/// A server that accepts connections.
#[derive(Debug)]
pub(crate) struct Postmaster {
    child: Child,
    log: Log,
}

impl Launch {
    /// Ends what an earlier server left, starts a new one and waits until it answers and has our database.
    pub(crate) async fn start(&self) -> Result<Postmaster, LocalPgError> {
        leftovers::clear(&self.data_dir.cluster(), &self.limits).await?;
        self.data_dir.ensure_socket_dir(&self.accounts)?;
        let mut command = self.command();
        let mut child = command.spawn().map_err(|source| LocalPgError::Spawn {
            program: self.binaries.dir.join("postgres").display().to_string(),
            source,
        })?;
        let log = Log::follow(child.stderr.take());
        let mut postmaster = Postmaster { child, log };
        let answer = timeout(self.limits.start, self.first_answer());
        tokio::select! {
            answer = answer => match answer {
                Ok(Ok(())) => Ok(postmaster),
                Ok(Err(error)) => {
                    postmaster.stop(&self.limits).await;
                    Err(LocalPgError::Refused(error))
                }
                Err(_) => {
                    postmaster.stop(&self.limits).await;
                    Err(LocalPgError::TimedOut { what: "starting the database".to_owned(), limit: self.limits.start })
                }
            },
            status = postmaster.child.wait() => {
                let status = status.map_err(|error| LocalPgError::Keeper(Some(error)))?;
                Err(LocalPgError::EndedAtStart { status, log: postmaster.log.end().await })
            }
        }
    }

    /// The connection string of a database over the socket, in libpq's `key='value'` form.
    pub(crate) fn connection_string(&self, database: &str) -> String {
        let quoted = self.socket_dir.display().to_string().replace('\\', "\\\\").replace('\'', "\\'");
        format!("host='{quoted}' port={PORT} user={ROLE} dbname={database}")
    }

    fn command(&self) -> Command {
        let cluster = self.data_dir.cluster();
        let mut command = Command::new(self.binaries.dir.join("postgres"));
        command.arg("-D").arg(&cluster);
        for (name, value) in self.settings() {
            let mut setting = OsString::from(name);
            setting.push("=");
            setting.push(value);
            command.arg("-c").arg(setting);
        }
        command.env_clear().envs(server_env()).current_dir(&cluster);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        // Its own process group, so that Ctrl-C in a terminal does not stop the database under a draining server.
        command.process_group(0).kill_on_drop(true);
        self.accounts.become_server(&mut command);
        end_with_this_thread(&mut command, Signal::INT);
        command
    }

    /// The settings that matter, given with each start rather than kept in the cluster, so that they follow the program.
    fn settings(&self) -> Vec<(&'static str, OsString)> {
        let file = |name: &str| self.data_dir.path.join(name).into_os_string();
        let text = |text: &str| OsString::from(text);
        vec![
            ("listen_addresses", text("")),
            ("unix_socket_directories", self.socket_dir.clone().into_os_string()),
            ("unix_socket_permissions", text("0700")),
            ("port", text(&PORT.to_string())),
            ("hba_file", file("pg_hba.conf")),
            ("ident_file", file("pg_ident.conf")),
            ("max_connections", text(&self.limits.max_connections.to_string())),
            // What was acknowledged survives a crash and a power cut.
            ("fsync", text("on")),
            ("full_page_writes", text("on")),
            ("synchronous_commit", text("on")),
            // Short statements gain nothing from a compiler, which costs memory and start-up time.
            ("jit", text("off")),
            ("ssl", text("off")),
            ("timezone", text("UTC")),
            ("log_timezone", text("UTC")),
            ("lc_messages", text("C")),
            ("cluster_name", text(ROLE)),
            ("logging_collector", text("off")),
            ("log_destination", text("stderr")),
            ("log_line_prefix", text("")),
            // Statements carry what people and agents wrote, which has no place in a log.
            ("log_min_error_statement", text("panic")),
        ]
    }

    /// Tries until the server answers; makes our database in a new cluster. Only a real refusal is an error.
    async fn first_answer(&self) -> Result<(), tokio_postgres::Error> {
        loop {
            let Err(error) = self.make_database().await else { return Ok(()) };
            match error.code() {
                // There is no socket yet, or the connection broke: the server is not that far.
                None => {}
                Some(code) if NOT_NOW.contains(code) => {}
                // Clients that waited for a restart were faster than we.
                Some(code) if *code == SqlState::TOO_MANY_CONNECTIONS => return Ok(()),
                Some(_) => return Err(error),
            }
            sleep(POLL).await;
        }
    }

    /// Makes our database, if it is not there. It is looked up rather than tried, so that a first start logs no error.
    async fn make_database(&self) -> Result<(), tokio_postgres::Error> {
        let client = connect(&self.connection_string("postgres")).await?;
        let there = client.query_opt("SELECT FROM pg_database WHERE datname = $1", &[&ROLE]).await?;
        if there.is_none() {
            client.batch_execute(&format!("CREATE DATABASE {ROLE}")).await?;
        }
        Ok(())
    }
}

async fn connect(connection_string: &str) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(connection_string, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

impl Postmaster {
    /// Waits until the server is dead, however it came to that, and tells how it ended.
    pub(crate) async fn ended(&mut self) -> String {
        let ended = self.child.wait().await;
        let log = self.log.end().await;
        match ended {
            Ok(status) => format!("{status}: {log}"),
            Err(error) => format!("its end could not be awaited: {error}"),
        }
    }

    /// Shuts the server down: fast, then at once, then by force, each with its limit.
    pub(crate) async fn stop(mut self, limits: &Limits) {
        let steps = [(Signal::INT, limits.stop), (Signal::QUIT, limits.quit), (Signal::KILL, KILLED)];
        for (signal, limit) in steps {
            // Without an id it has ended and was awaited, so the number may be another process's by now.
            let Some(pid) = self.child.id().and_then(|id| Pid::from_raw(id.cast_signed())) else { return };
            if let Err(error) = kill_process(pid, signal) {
                tracing::debug!(%pid, ?signal, %error, "not signalled");
            }
            match timeout(limit, self.child.wait()).await {
                Ok(Ok(status)) => return tracing::info!(%status, ?signal, "the database server has stopped"),
                Ok(Err(error)) => return tracing::warn!(%error, "the database server's end could not be awaited"),
                Err(_) => tracing::warn!(?signal, ?limit, "the database server did not stop in time"),
            }
        }
    }
}

/// The server's own log: passed on to ours, and its last lines kept for error messages.
#[derive(Debug)]
struct Log {
    last: Arc<Mutex<VecDeque<String>>>,
    reader: JoinHandle<()>,
}

impl Log {
    fn follow(stderr: Option<ChildStderr>) -> Self {
        let last = Arc::new(Mutex::new(VecDeque::with_capacity(LOG_LINES)));
        let reader = tokio::spawn(pass_on(stderr, Arc::clone(&last)));
        Self { last, reader }
    }

    /// The last lines, after the server has ended. Its children may hold the pipe open a little longer.
    async fn end(&mut self) -> String {
        if timeout(LOG_DRAIN, &mut self.reader).await.is_err() {
            tracing::debug!("the log of the dead database server is still open");
        }
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }
}

async fn pass_on(stderr: Option<ChildStderr>, last: Arc<Mutex<VecDeque<String>>>) {
    let Some(stderr) = stderr else { return };
    let mut reader = BufReader::new(stderr);
    let mut bytes = Vec::new();
    while (&mut reader).take(LOG_LINE_BYTES).read_until(b'\n', &mut bytes).await.is_ok_and(|read| read > 0) {
        let line = String::from_utf8_lossy(&bytes).trim_end().to_owned();
        // FATAL ends one client's connection, as every restart does; what ends the server itself is in its last lines.
        let grave = ["WARNING:", "PANIC:"].iter().any(|level| line.starts_with(level));
        if grave {
            tracing::warn!(target: "local_pg::server", "{line}");
        } else {
            tracing::debug!(target: "local_pg::server", "{line}");
        }
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.len() == LOG_LINES {
            last.pop_front();
        }
        last.push_back(line);
        bytes.clear();
    }
}
