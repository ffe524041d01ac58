//! Finding the server of a data directory, or starting one for the time of a turn.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, bail};
use boocoder_wire::http::ServerInfo;
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};

use super::client::Client;
use crate::config::Config;
use crate::data_dir::{InUse, announced};
use crate::limits::{CLIENT_POLL, CLIENT_WAIT};
use crate::server::{Server, Stop};

/// A server to talk to, which is ours to stop if we started it.
pub(super) struct Attached {
    pub(super) client: Client,
    own: Option<Server>,
}

impl Attached {
    /// Attaches to the server that runs, or starts one in this process. A server that is only just starting is waited
    /// for.
    pub(super) async fn find_or_start(config: Config) -> anyhow::Result<Self> {
        let dir = config.data_dir.clone();
        let start = Instant::now();
        loop {
            if let Some(info) = announced(&dir)? {
                let client = Client::new(info)?;
                if client.is_alive().await {
                    return Ok(Self { client, own: None });
                }
            }
            // An address of our own choice: this server is for one turn, and the configured port may be taken.
            let listener =
                TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.context("cannot listen")?;
            match Server::start(config.clone(), listener).await {
                Ok(server) => {
                    return Ok(Self { client: Client::new(server.info().clone())?, own: Some(server) });
                }
                Err(error) if error.is::<InUse>() => {
                    if start.elapsed() >= CLIENT_WAIT {
                        bail!("{error}; it did not become ready within {} s", CLIENT_WAIT.as_secs());
                    }
                    sleep(CLIENT_POLL).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The server that was running already, if it is one.
    pub(super) fn running(&self) -> Option<&ServerInfo> {
        self.own.is_none().then(|| self.client.info())
    }

    /// Waits until a server of our own cannot go on. One that was running already is not ours to watch.
    pub(super) async fn failed(&self) -> anyhow::Error {
        match &self.own {
            Some(server) => server.failed().await,
            None => std::future::pending().await,
        }
    }

    /// Stops the server, if it was started for this turn.
    pub(super) async fn finish(self) {
        if let Some(server) = self.own {
            // What an earlier server left is not this turn's to end.
            let how = if server.has_taken_up() { Stop::HandOver } else { Stop::Drain };
            server.stop(how).await;
        }
    }
}
