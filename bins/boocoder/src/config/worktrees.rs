//! How new worktrees are made ready.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow, bail, ensure};
use boocoder_backend::allowed_environment;
use boocoder_dispatch::Preparations;
use boocoder_worktree::{Preparation, Setup, check_pattern};
use serde::Deserialize;

use super::Surroundings;
use super::overrides::Span;

/// The longest that a setup command may take, unless the file says otherwise.
const SETUP_TIME: Duration = Duration::from_secs(600);

/// `[worktrees]`
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct WorktreesTable {
    copy: Option<Vec<String>>,
    setup: Option<SetupValue>,
    setup_time: Option<Span>,
    /// Projects by the root of their checkout. What one does not say is as for all.
    projects: BTreeMap<String, ProjectTable>,
}

/// `[worktrees.projects."PATH"]`
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ProjectTable {
    copy: Option<Vec<String>>,
    setup: Option<SetupValue>,
    setup_time: Option<Span>,
}

/// A command, or `false` for none.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum SetupValue {
    Command(String),
    Switch(bool),
}

impl WorktreesTable {
    pub(super) fn preparations(&self, surroundings: &Surroundings) -> anyhow::Result<Preparations> {
        let prepare = |copy: &Option<Vec<String>>, setup: &Option<SetupValue>, time: Option<Span>, name: &str| {
            let copy = copy.clone().unwrap_or_default();
            for pattern in &copy {
                check_pattern(pattern).map_err(|reason| anyhow!("{name}.copy: {pattern:?}: {reason}"))?;
            }
            let command = match setup {
                Some(SetupValue::Command(command)) => {
                    ensure!(!command.trim().is_empty(), "{name}.setup: it is empty; `false` is none");
                    Some(command.clone())
                }
                Some(SetupValue::Switch(true)) => bail!("{name}.setup: give the command, or `false` for none"),
                Some(SetupValue::Switch(false)) | None => None,
            };
            let setup = command.map(|command| Setup {
                command,
                environment: allowed_environment(&surroundings.variables),
                time: time.map_or(SETUP_TIME, Into::into),
            });
            Ok(Preparation { copy, setup })
        };
        let all = prepare(&self.copy, &self.setup, self.setup_time, "worktrees")?;
        let of_project = |(path, table): (&String, &ProjectTable)| {
            let name = format!("worktrees.projects.{path:?}");
            let root = PathBuf::from(path);
            ensure!(root.is_absolute(), "{name}: name a project by its absolute path");
            // Git names a checkout by its real path.
            let root = if root.exists() { root.canonicalize().with_context(|| name.clone())? } else { root };
            let copy = table.copy.clone().or_else(|| self.copy.clone());
            let setup = table.setup.clone().or_else(|| self.setup.clone());
            Ok((root, prepare(&copy, &setup, table.setup_time.or(self.setup_time), &name)?))
        };
        Ok(Preparations { all, projects: self.projects.iter().map(of_project).collect::<anyhow::Result<_>>()? })
    }
}
