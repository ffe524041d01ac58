//! The agent on the standard streams: `demo_agent [--state-dir DIR]`.

use std::{env, path::PathBuf, process::exit};

use boocoder_demo_agent::{Options, run};
use tokio::io::{stdin, stdout};

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stderr, reason = "this is a program's outermost layer")]
async fn main() {
    let mut arguments = env::args_os().skip(1);
    let state_dir = match (arguments.next(), arguments.next(), arguments.next()) {
        (None, ..) => None,
        (Some(flag), Some(dir), None) if flag == "--state-dir" => Some(PathBuf::from(dir)),
        _ => {
            eprintln!("usage: demo_agent [--state-dir DIR]");
            exit(2);
        }
    };
    exit(match run(Options { state_dir }, stdin(), stdout()).await {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("{error}");
            error.exit_code()
        }
    });
}
