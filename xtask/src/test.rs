//! `cargo xtask test`: everything that must pass.

use anyhow::Result;

use crate::{tools, web};

/// Gets what the tests need, then runs them stage by stage; the first that fails ends it.
///
/// The doctests and the page come first, so that the summary of all other tests is the last thing that is printed.
pub(crate) fn run() -> Result<()> {
    tools::ensure("git", "git")?;
    tools::ensure("node", "nodejs")?;
    tools::ensure("npm", "npm")?;
    tools::cargo(&["run", "--quiet", "--package", "boocoder-testkit", "--example", "fetch-agents"])?;
    // The page comes before whatever embeds it.
    web::check()?;
    // Some tests start an example as a process of its own.
    tools::cargo(&["build", "--workspace", "--examples"])?;
    tools::cargo(&["test", "--workspace", "--doc"])?;
    web::end_to_end()?;
    if tools::found("cargo", &["nextest", "--version"]) {
        tools::cargo(&["nextest", "run", "--workspace", "--no-fail-fast"])
    } else {
        tools::cargo(&["test", "--workspace", "--lib", "--bins", "--tests", "--no-fail-fast"])
    }
}
