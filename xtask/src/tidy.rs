//! Rules for files and packages that neither the compiler nor clippy knows.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::metadata::{Metadata, Package};

/// The most lines that a source file may have.
const MAX_LINES: usize = 500;

/// Marks of unfinished work, in two halves each so that this file does not hold them.
const UNFINISHED: [&str; 5] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("to", "do!("),
    concat!("unimplemen", "ted!("),
    concat!("#[ign", "ore"),
];

/// Where Rust sources lie.
const SOURCES: [&str; 3] = ["crates", "bins", "xtask"];

/// The only test binary a package has, so that its tests link once.
const TEST_BINARY: &str = "it";

/// What is untidy in the workspace at `root`, a sentence each.
///
/// # Errors
/// When a file or directory that must be there cannot be read.
pub(crate) fn check(root: &Path, metadata: &Metadata) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    for path in rust_files(root)? {
        let text = read(&path)?;
        findings.extend(source(&path.strip_prefix(root).unwrap_or(&path).display().to_string(), &text));
    }
    let mut folders = BTreeSet::new();
    for member in metadata.members() {
        findings.extend(package(member, &read(&member.manifest_path)?));
        let folder = member.manifest_path.parent().and_then(|folder| folder.strip_prefix(root).ok());
        folders.extend(folder.map(|folder| folder.display().to_string()));
    }
    findings.extend(architecture(&read(&root.join("docs/architecture.md"))?, &folders));
    findings.extend(changelog(&read(&root.join("CHANGELOG.md"))?));
    findings.extend(migrations(file_names(&root.join("migrations"))?));
    Ok(findings)
}

fn source(path: &str, text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    let opening = text.lines().next().and_then(|line| line.strip_prefix("//!"));
    if opening.is_none_or(|line| line.trim().is_empty()) {
        findings.push(format!("{path} does not open with a `//!` line that says what it is for"));
    }
    let lines = text.lines().count();
    if lines > MAX_LINES {
        findings.push(format!("{path} has {lines} lines; divide it, {MAX_LINES} is the most"));
    }
    for (index, line) in text.lines().enumerate() {
        findings.extend(
            UNFINISHED.iter().filter(|mark| line.contains(**mark)).map(|mark| {
                format!("{path}:{}: `{mark}` marks unfinished work; finish it or open an issue", index + 1)
            }),
        );
    }
    findings
}

fn package(package: &Package, manifest: &str) -> Vec<String> {
    let mut findings = Vec::new();
    let name = &package.name;
    if package.description.as_deref().is_none_or(|description| description.trim().is_empty()) {
        findings.push(format!("{name} has no description"));
    }
    let mut lines = manifest.lines().map(str::trim).skip_while(|line| *line != "[lints]").skip(1);
    if lines.next() != Some("workspace = true") {
        findings.push(format!("{name} does not inherit the workspace's lints"));
    }
    let tests = package.targets.iter().filter(|target| target.kind.iter().any(|kind| kind == "test"));
    findings.extend(
        tests
            .filter(|test| test.name != TEST_BINARY)
            .map(|test| format!("{name} has a test binary {:?}; make it a module of tests/{TEST_BINARY}", test.name)),
    );
    findings
}

/// The document must name each folder of a package and no folder that is not one.
fn architecture(text: &str, folders: &BTreeSet<String>) -> Vec<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || "-_/.".contains(c)));
    let named: BTreeSet<String> = words
        .filter_map(|word| match word.split('/').collect::<Vec<_>>().as_slice() {
            [top @ ("crates" | "bins"), name, ..] if !name.is_empty() => Some(format!("{top}/{name}")),
            ["xtask", ..] => Some("xtask".to_owned()),
            _ => None,
        })
        .collect();
    let missing = folders.difference(&named).map(|folder| format!("docs/architecture.md does not name {folder}"));
    let gone =
        named.difference(folders).map(|folder| format!("docs/architecture.md names {folder}, which is not there"));
    missing.chain(gone).collect()
}

fn changelog(text: &str) -> Option<String> {
    let found = text.lines().any(|line| matches!(line.trim(), "## Unreleased" | "## [Unreleased]"));
    (!found).then(|| "CHANGELOG.md has no section `## Unreleased`".to_owned())
}

/// Migrations are numbered from 1 without a gap, since the database remembers them by number.
fn migrations(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    let checked = names.iter().zip(1..).filter(|(name, number)| {
        let title = name.strip_prefix(&format!("V{number:04}__")).and_then(|rest| rest.strip_suffix(".sql"));
        !title.is_some_and(|title| {
            !title.is_empty() && title.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        })
    });
    checked.map(|(name, number)| format!("migrations/{name} should be named V{number:04}__title.sql")).collect()
}

fn rust_files(root: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders: Vec<PathBuf> = SOURCES.iter().map(|folder| root.join(folder)).collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))? {
            let entry = entry?;
            let path = entry.path();
            if entry.file_type()?.is_dir() {
                let foreign = ["target", "node_modules"].iter().any(|name| path.ends_with(name));
                if !foreign {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

fn file_names(folder: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools;

    #[test]
    fn a_source_file_says_what_it_is_for_and_is_finished_and_short() {
        assert_eq!(source("a.rs", "//! What it is.\nfn main() {}\n"), [""; 0]);
        for opening in ["fn main() {}\n", "//!\n", "// A comment.\n"] {
            assert!(source("a.rs", opening)[0].starts_with("a.rs does not open"));
        }
        for mark in UNFINISHED {
            let found = source("a.rs", &format!("//! What it is.\n\n{mark}"));
            assert!(found[0].starts_with("a.rs:3: "), "{found:?}");
        }
        let long = format!("//! What it is.\n{}", "\n".repeat(MAX_LINES));
        assert_eq!(source("a.rs", &long), ["a.rs has 501 lines; divide it, 500 is the most"]);
    }

    #[test]
    fn a_package_is_described_linted_and_links_its_tests_once() {
        let with = |description: &str, test: &str| -> Package {
            let targets = serde_json::json!([{"name": test, "kind": ["test"]}, {"name": "x", "kind": ["lib"]}]);
            let package = serde_json::json!({"id": "x", "name": "x", "version": "1", "description": description,
                "targets": targets});
            serde_json::from_value(package).unwrap()
        };
        assert_eq!(package(&with("It does x", "it"), "[package]\n\n[lints]\nworkspace = true\n"), [""; 0]);
        let found = package(&with(" ", "more"), "[package]\n[lints.rust]\nunsafe_code = \"allow\"\n");
        assert_eq!(found.len(), 3, "{found:?}");
    }

    #[test]
    fn the_document_names_what_is_there() {
        let folders = ["crates/a", "bins/b", "xtask"].map(str::to_owned).into();
        assert_eq!(
            architecture("- `crates/a/src/lib.rs`, (bins/b) and xtask.", &folders),
            ["docs/architecture.md does not name xtask"]
        );
        assert_eq!(
            architecture("crates/a crates/c bins/b `xtask`", &folders),
            ["docs/architecture.md names crates/c, which is not there"]
        );
    }

    #[test]
    fn the_changelog_has_a_place_for_the_next_change() {
        assert_eq!(changelog("# Changes\n\n## Unreleased\n"), None);
        assert!(changelog("# Changes\n\n## 0.1.0\n").is_some());
    }

    #[test]
    fn migrations_are_numbered_without_a_gap() {
        let check = |names: &[&str]| migrations(names.iter().map(|name| (*name).to_owned()).collect());
        assert_eq!(check(&["V0002__more.sql", "V0001__first_2.sql"]), [""; 0]);
        for wrong in ["V0002__x.sql", "V1__x.sql", "V0001__.sql", "V0001__X.sql", "V0001__x.txt"] {
            assert_eq!(check(&[wrong]), [format!("migrations/{wrong} should be named V0001__title.sql")]);
        }
    }

    #[test]
    fn this_workspace_is_tidy() {
        assert_eq!(check(&tools::root(), &Metadata::load().unwrap()).unwrap(), [""; 0]);
    }

    #[test]
    fn this_workspace_is_formatted() {
        tools::cargo(&["fmt", "--all", "--check"]).unwrap();
    }
}
