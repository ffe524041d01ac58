//! `cargo xtask test`: everything that must pass.

use anyhow::Result;

use crate::tools;

/// Gets what the tests need, then runs them stage by stage; the first that fails ends it.
///
/// The doctests come first, so that the summary of all other tests is the last thing that is printed.
pub(crate) fn run() -> Result<()> {
    tools::ensure("git", "git")?;
    tools::ensure("node", "nodejs")?;
    tools::ensure("npm", "npm")?;
    tools::cargo(&["run", "--quiet", "--package", "boocoder-testkit", "--example", "fetch-agents"])?;
    tools::cargo(&["test", "--workspace", "--doc"])?;
    if tools::found("cargo", &["nextest", "--version"]) {
        tools::cargo(&["nextest", "run", "--workspace", "--no-fail-fast"])
    } else {
        tools::cargo(&["test", "--workspace", "--lib", "--bins", "--tests", "--examples", "--no-fail-fast"])
    }
}
