//! Installs the pinned agents if they are not there yet, and prints where they are.

use boocoder_testkit::{TestkitError, agents};

#[expect(clippy::print_stdout, reason = "the path is this program's result")]
fn main() -> Result<(), TestkitError> {
    println!("{}", agents::install()?.display());
    Ok(())
}
