//! The whole path, measured: from an agent's line to a client's frame, and from a client's request to an agent's prompt.
//!
//! Each figure stands beside a baseline of the same run, since machines differ and are noisy: read the ratios.

#![expect(clippy::print_stdout, reason = "the result of a benchmark goes to standard output")]
#![expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run stops")]

mod agent;
mod client;
mod measures;
mod opencode;
mod relay;
mod stamp;

use client::Server;

fn main() {
    if std::env::args().nth(1).as_deref() == Some("agent") {
        return agent::main();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut server = Server::start().await;
        measures::latency(&server).await;
        measures::accept_to_prompt(&server).await;
        measures::sustained(&server).await;
        measures::warm_against_cold(&server).await;
        opencode::latency(&server).await;
        opencode::warm_against_cold(&server).await;
        measures::memory(&server).await;
        measures::runner_memory(&server);
        measures::replay(&server).await;
        measures::restarts(&mut server).await;
        server.stop().await;
    });
}
