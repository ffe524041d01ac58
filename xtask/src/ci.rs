//! `cargo xtask ci`: what a change must pass before it is merged.

use anyhow::Result;

use crate::metadata::Metadata;
use crate::{ladder, test, tidy, tools};

/// Runs the checks, quick ones first; the first that fails ends it.
pub(crate) fn run() -> Result<()> {
    tools::cargo(&["fmt", "--all", "--check"])?;
    let metadata = Metadata::load()?;
    tools::report("ladder", &ladder::check(&metadata))?;
    tools::report("tidy", &tidy::check(&tools::root(), &metadata)?)?;
    // The other stages then build what Cargo.lock says.
    tools::cargo(&["clippy", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"])?;
    test::run()?;
    each_alone(&metadata)?;
    if tools::found("cargo", &["deny", "--version"]) {
        tools::cargo(&["deny", "check", "licenses", "bans"])
    } else {
        println!(
            "\ncargo-deny is not installed, so licenses and bans were not checked: cargo install --locked cargo-deny"
        );
        Ok(())
    }
}

/// Builds every crate without the others, whose features would otherwise hide that it lacks one of its own.
fn each_alone(metadata: &Metadata) -> Result<()> {
    for package in metadata.members() {
        let check = |features: &[&str]| {
            let package = ["clippy", "--package", &package.name, "--all-targets"];
            tools::cargo(&[&package[..], features, &["--", "-D", "warnings"]].concat())
        };
        check(&[])?;
        if package.features.contains_key("default") {
            check(&["--no-default-features"])?;
        }
    }
    Ok(())
}
