//! The web page: what it needs from npm, its checks, and its build.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

use anyhow::{Context, Result};

use crate::metadata::Metadata;
use crate::tools;

/// What the page is built from, beside its `src`.
const SOURCES: [&str; 4] = ["index.html", "package-lock.json", "vite.config.ts", "tsconfig.json"];

/// Builds the page, unless it is newer than everything that it is built from.
pub(crate) fn build() -> Result<()> {
    tools::ensure("node", "nodejs")?;
    tools::ensure("npm", "npm")?;
    let ui = ui();
    let page = modified(&ui.join("dist/index.html"));
    if page.is_some() && newest(&ui)? <= page {
        return Ok(());
    }
    install(&ui)?;
    npm(&ui, &["run", "build"], &[])
}

/// Typechecks and lints the page, runs the tests that need no browser, and builds it.
pub(crate) fn check() -> Result<()> {
    build()?;
    let ui = ui();
    install(&ui)?;
    npm(&ui, &["run", "typecheck"], &[])?;
    npm(&ui, &["run", "lint"], &[])?;
    npm(&ui, &["test"], &[])
}

/// Runs the page in a real browser, on the server that was built.
pub(crate) fn end_to_end() -> Result<()> {
    in_browser(&["run", "e2e"])
}

/// Takes pictures of the page's main states.
pub(crate) fn screens() -> Result<()> {
    build()?;
    let folder = tools::root().join("docs/screens").display().to_string();
    in_browser(&["run", "screens", "--", &folder])
}

/// Prints how large and how quick the page is. It fails when a goal is missed.
pub(crate) fn speed() -> Result<()> {
    build()?;
    in_browser(&["run", "speed"])
}

fn in_browser(args: &[&str]) -> Result<()> {
    tools::ensure("chromium", "chromium")?;
    tools::cargo(&["build", "--package", "boocoder", "--bin", "boocoder"])?;
    let program = Metadata::load()?.target_directory.join("debug/boocoder").display().to_string();
    npm(&ui(), args, &[("BOOCODER", &program), ("CHROMIUM", "chromium")])
}

fn ui() -> PathBuf {
    tools::root().join("crates/web/ui")
}

/// npm notes in this file what it installed, so it is older than the lock file if that has changed since.
fn install(ui: &Path) -> Result<()> {
    let installed = modified(&ui.join("node_modules/.package-lock.json"));
    if installed.is_some() && modified(&ui.join("package-lock.json")) <= installed {
        return Ok(());
    }
    npm(ui, &["ci", "--no-audit", "--no-fund"], &[])
}

/// When the youngest source of the page was changed. A folder counts too, for it is younger than what was removed from it.
fn newest(ui: &Path) -> Result<Option<SystemTime>> {
    let mut newest = SOURCES.iter().map(|name| modified(&ui.join(name))).max().flatten();
    let mut folders = vec![ui.join("src")];
    while let Some(folder) = folders.pop() {
        newest = newest.max(modified(&folder));
        for entry in fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))? {
            let path = entry?.path();
            newest = newest.max(modified(&path));
            if path.is_dir() {
                folders.push(path);
            }
        }
    }
    Ok(newest)
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|found| found.modified()).ok()
}

fn npm(ui: &Path, args: &[&str], variables: &[(&str, &str)]) -> Result<()> {
    let mut npm = Command::new("npm");
    npm.args(args).envs(variables.iter().copied()).current_dir(ui).stdin(Stdio::null());
    tools::stage(&format!("npm {}, in crates/web/ui", args.join(" ")), npm)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_is_there_and_the_newest_is_found() {
        let ui = ui();
        for name in SOURCES {
            assert!(modified(&ui.join(name)).is_some(), "{name}");
        }
        let found = newest(&ui).unwrap();
        assert!(found >= modified(&ui.join("src/main.tsx")) && found >= modified(&ui.join("src")));
    }
}
