//! A runner, as the server's program is one when it is told to be: `test_runner [SETTING]… DIRECTORY MARK`.
//!
//! The settings are for tests: `orphan=MILLISECONDS`, `journal=BYTES`, `segment=BYTES`, and `exit` to fail at once.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use boocoder_backend::runner::{RunnerLimits, host};
use boocoder_backend::{Environment, OpencodeBackend, RouterBackend};

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
    let (ours, mark): (Environment, _) = (std::env::vars_os().collect(), mark.into_string().expect("utf-8"));
    let dir = PathBuf::from(dir);
    let place = dir.parent().and_then(Path::parent).expect("runners are in a directory of their own").join("servers");
    let program = std::env::current_exe().expect("this program").with_file_name("test_server_host");
    let owner = mark.rsplit_once('/').expect("an owner").0;
    let opencode = OpencodeBackend::shared(ours.clone(), program, [] as [&str; 0], place, owner);
    let backend = RouterBackend::new(ours).owned_by(mark).with_opencode(opencode);
    host(dir, Arc::new(backend), limits).await.expect("the runner works");
}
