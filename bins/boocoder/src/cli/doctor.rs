//! `boocoder doctor`

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use boocoder_local_pg::{LocalPg, LocalPgConfig};
use boocoder_store::{PgConfig, PgStore, Store};
use boocoder_wire::http::Worktree;
use tokio::time::timeout;

use super::client::Client;
use super::{FAILED, agents, git};
use crate::chain::chain;
use crate::config::Config;
use crate::data_dir::{DataDir, announced};
use crate::limits::DOCTOR_CHECK;

/// One line of the doctor's report.
struct Finding {
    grade: Grade,
    about: &'static str,
    text: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Grade {
    /// As it should be.
    Well,
    /// Something is missing that is not needed for everything.
    Note,
    /// Nothing works before this is mended.
    Wrong,
}

impl Finding {
    fn new(grade: Grade, about: &'static str, text: impl Into<String>) -> Self {
        Self { grade, about, text: text.into() }
    }

    fn from_result(about: &'static str, result: anyhow::Result<String>) -> Self {
        match result {
            Ok(text) => Self::new(Grade::Well, about, text),
            Err(error) => Self::new(Grade::Wrong, about, chain(error.as_ref())),
        }
    }

    fn line(&self) -> String {
        let mark = match self.grade {
            Grade::Well => "ok   ",
            Grade::Note => "note ",
            Grade::Wrong => "WRONG",
        };
        format!("{mark}  {:<16}{}", self.about, self.text)
    }
}

/// Checks everything and reports each check as soon as it is done. The exit status is 1 if something is wrong.
pub(super) async fn run(config: anyhow::Result<Config>) -> anyhow::Result<ExitCode> {
    let mut sound = true;
    let mut report = |finding: Finding| {
        sound &= finding.grade != Grade::Wrong;
        writeln!(std::io::stdout(), "{}", finding.line()).context("standard output is closed")
    };
    report(Finding::from_result("git", git::version().await.map_err(Into::into)))?;
    match config {
        Ok(config) => {
            report(Finding::new(Grade::Well, "configuration", config.source()))?;
            for finding in server_and_database(&config).await {
                report(finding)?;
            }
            for finding in agent_findings(&config).await? {
                report(finding)?;
            }
        }
        Err(error) => report(Finding::from_result("configuration", Err(error)))?,
    }
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

/// Asks the server that runs, if one does; otherwise tries what a server would do first.
async fn server_and_database(config: &Config) -> Vec<Finding> {
    let place = config.data_dir.display();
    if let Ok(Some(info)) = announced(&config.data_dir) {
        let (pid, url) = (info.pid, info.url.clone());
        let ready = async {
            let client = Client::new(info)?;
            let health = client.get::<boocoder_wire::http::Health>("/api/ready").await?;
            anyhow::Ok((health, client.get::<Vec<Worktree>>("/api/worktrees").await))
        };
        if let Ok((health, worktrees)) = ready.await {
            let runs = format!("version {} runs at {url} (process {pid}), and its database answers", health.version);
            let mut findings = vec![
                Finding::new(Grade::Well, "data directory", place.to_string()),
                Finding::new(Grade::Well, "server", runs),
            ];
            findings.extend(worktree_findings(worktrees));
            return findings;
        }
    }
    let passable = config.database_url.is_none() && config.surroundings.root;
    let dir = match DataDir::take(&config.data_dir, passable) {
        Ok(dir) => dir,
        Err(error) => return vec![Finding::from_result("data directory", Err(error))],
    };
    let database = match &config.database_url {
        Some(url) => given_database(url).await,
        None => own_database(config, &dir).await,
    };
    vec![
        Finding::new(Grade::Well, "data directory", place.to_string()),
        Finding::new(Grade::Note, "server", "none runs; `boocoder serve` starts one, `boocoder run` needs none"),
        Finding::from_result("database", database),
    ]
}

fn worktree_findings(worktrees: anyhow::Result<Vec<Worktree>>) -> Vec<Finding> {
    let worktrees = match worktrees {
        Ok(worktrees) => worktrees,
        Err(error) => return vec![Finding::from_result("worktrees", Err(error))],
    };
    let told = |worktree: &Worktree| {
        let problem = match (worktree.state.as_str(), &worktree.problem) {
            ("ready", _) => return None,
            ("gone", _) => "is not there; it comes back as the last turn left it".to_owned(),
            ("no_project", Some(problem)) => {
                let mend = "tell where the project is by PATCH /api/projects/ID";
                return Some(format!("{}: {problem}: {mend} (project {})", worktree.path, worktree.project_id));
            }
            (state, _) => format!("is {state}; it is mended"),
        };
        let mend = format!("when it is used next, or by POST /api/worktrees/{}/repair", worktree.id);
        Some(format!("{} {problem} {mend}", worktree.path))
    };
    let notes: Vec<_> = worktrees.iter().filter_map(told).collect();
    if notes.is_empty() {
        return vec![Finding::new(Grade::Well, "worktrees", format!("{}, all as they should be", worktrees.len()))];
    }
    notes.into_iter().map(|note| Finding::new(Grade::Note, "worktrees", note)).collect()
}

async fn given_database(url: &str) -> anyhow::Result<String> {
    let checked = async {
        let store = PgStore::connect(PgConfig::new(url)).await?;
        let answer = store.ping().await;
        store.close().await;
        answer
    };
    timeout(DOCTOR_CHECK, checked).await.context("the database did not answer in time")?.context(
        "the database that was named cannot be used; check --database-url, `database_url` in the configuration and the \
         variable DATABASE_URL",
    )?;
    Ok("the one that was named answers".to_owned())
}

/// Starting it is the only way to know that it starts.
async fn own_database(config: &Config, dir: &DataDir) -> anyhow::Result<String> {
    let mut local = LocalPgConfig::new(dir.path().join("postgres"), dir.path().join("cache"));
    local.search_path = config.surroundings.search_path();
    local.home = config.surroundings.home();
    let database = LocalPg::start(local).await.context("the embedded database does not start")?;
    let source = database.source().to_owned();
    database.stop().await;
    Ok(format!("embedded; starts and stops: {source}"))
}

async fn agent_findings(config: &Config) -> anyhow::Result<Vec<Finding>> {
    let lines = agents::look(config).await?;
    Ok(lines
        .into_iter()
        .map(|line| {
            let problem = line.problem.map_or_else(String::new, |problem| format!(": {problem}"));
            match (line.found, line.enabled) {
                (true, true) if !line.doubts.is_empty() => Finding::new(
                    Grade::Note,
                    "agent",
                    format!("{} is found{problem}, but {}", line.name, line.doubts.join("; ")),
                ),
                (true, true) => Finding::new(Grade::Well, "agent", format!("{} is found{problem}", line.name)),
                (true, false) => Finding::new(Grade::Note, "agent", format!("{} is found and disabled", line.name)),
                (false, _) => Finding::new(Grade::Note, "agent", format!("{}{problem}", line.name)),
            }
        })
        .collect())
}
