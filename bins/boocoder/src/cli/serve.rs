//! `boocoder serve`

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, bail};
use tokio::net::TcpListener;

use super::signals::{self, Signals};
use crate::config::Config;
use crate::metrics::Metrics;
use crate::server::Stop;

pub(super) async fn serve(mut config: Config) -> anyhow::Result<ExitCode> {
    config.metrics = Some(Metrics::install()?);
    let (mut first, mut second) = (Signals::listen()?, Signals::listen()?);
    let listener =
        TcpListener::bind(config.listen).await.with_context(|| format!("cannot listen on {}", config.listen))?;
    let shutdown = async move {
        tokio::select! {
            () = first.next() => Stop::Drain,
            Ok(()) = signals::hang_up() => Stop::HandOver,
        }
    };
    let impatience = async {
        second.next().await;
        second.next().await;
    };
    tokio::select! {
        ended = crate::run(config, listener, print_address, shutdown) => ended.map(|()| ExitCode::SUCCESS),
        () = impatience => bail!("stopped at once, without waiting for agents and clients"),
    }
}

/// Prints the one result of this command. A closed standard output is no reason not to serve.
fn print_address(address: &str) {
    let mut out = std::io::stdout();
    if let Err(error) = writeln!(out, "{address}").and_then(|()| out.flush()) {
        tracing::warn!(%error, "the address could not be printed; it is in server.json");
    }
}
