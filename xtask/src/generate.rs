//! `cargo xtask gen`: what is checked in although it follows from something else.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::tools;

/// The page's types. A test of `boocoder-wire` fails while they are not what this writes.
const TYPES: &str = "crates/web/ui/src/generated/wire.ts";

/// Writes the page's types anew, from those of `boocoder-wire`.
pub(crate) fn run() -> Result<()> {
    let root = tools::root();
    let mut example = Command::new("cargo");
    example.args(["run", "--quiet", "--package", "boocoder-wire", "--example", "typescript"]);
    let printed = example.current_dir(&root).stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let printed = printed.context("cannot run cargo")?;
    if !printed.status.success() || printed.stdout.is_empty() {
        bail!("{TYPES} stays as it is, for boocoder-wire has not told its types");
    }
    println!("{TYPES} {}", if keep(&root.join(TYPES), &printed.stdout)? { "is new" } else { "was up to date" });
    Ok(())
}

/// Whether the file had to be written. One that says the same already keeps its time, so that the page is not built again.
fn keep(path: &Path, text: &[u8]) -> Result<bool> {
    if fs::read(path).is_ok_and(|kept| kept == text) {
        return Ok(false);
    }
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_written() {
        let path = std::env::temp_dir().join(format!("boocoder-xtask-{}.ts", std::process::id()));
        assert!(keep(&path, b"one").unwrap() && !keep(&path, b"one").unwrap());
        assert!(keep(&path, b"two").unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"two");
        fs::remove_file(&path).unwrap();
        assert!(keep(&path.join("below"), b"one").is_err());
        assert!(tools::root().join(TYPES).exists());
    }
}
