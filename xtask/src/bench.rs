//! `cargo xtask bench`: the numbers that the project promises, measured on this machine.

use anyhow::Result;

use crate::tools;

/// The benchmarks, by package. Each prints its figures as ratios to a baseline of the same run.
const BENCHES: [(&str, &str); 3] =
    [("boocoder-acp-mapper", "mapper"), ("boocoder-worktree", "big"), ("boocoder", "path")];

pub(crate) fn run() -> Result<()> {
    for (package, bench) in BENCHES {
        tools::cargo(&["bench", "--package", package, "--bench", bench])?;
    }
    Ok(())
}
