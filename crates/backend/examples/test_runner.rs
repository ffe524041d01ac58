//! A runner, as the server's program is one when it is told to be: `test_runner [SETTING]… DIRECTORY MARK`.
//!
//! The settings are for tests: `orphan=MILLISECONDS`, `journal=BYTES`, `segment=BYTES`, and `exit` to fail at once.

use std::sync::Arc;
use std::time::Duration;

use boocoder_backend::RouterBackend;
use boocoder_backend::runner::{RunnerLimits, host};

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stderr, reason = "standard error is what a test looks at")]
async fn main() {
    let mut arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let (mark, dir) = (arguments.pop().expect("a mark"), arguments.pop().expect("a directory"));
    let mut limits = RunnerLimits::default();
    for setting in arguments {
        let setting = setting.into_string().expect("utf-8");
        let (name, value) = setting.split_once('=').unwrap_or((&setting, "0"));
        let value: u64 = value.parse().expect("a number");
        match name {
            "orphan" => limits.orphan = Duration::from_millis(value),
            "journal" => limits.journal = value,
            "segment" => limits.segment = value,
            _ => {
                eprintln!("this runner does not start");
                std::process::exit(3);
            }
        }
    }
    let backend = RouterBackend::new(std::env::vars_os().collect()).owned_by(mark.into_string().expect("utf-8"));
    host(dir.into(), Arc::new(backend), limits).await.expect("the runner works");
}
