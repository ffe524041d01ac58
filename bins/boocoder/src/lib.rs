//! The BooCoder server and its command line, wired together from the crates below.
//!
//! The binary is a page; what it does is here, so that it can be tested without a process:
//!
//! | module | holds |
//! | --- | --- |
//! | [`config`] | command line, file and environment as one [`Config`] |
//! | [`data_dir`] | one server per data directory; the token; the announcement that `run` finds |
//! | [`server`] | [`Server`]: started and stopped in order |
//! | [`routes`](fn@routes) | every HTTP route as one warp filter over an [`App`], without a socket |
//! | [`auth`], [`reject`] | who may ask; errors as answers |
//! | [`metrics`] | what is counted |
//! | [`cli`] | the commands: `serve`, `run`, `agents`, `doctor`, `demo-agent` |
//!
//! What is deliberately not here: what a turn is and how it goes (`boocoder-dispatch`), and the JSON that clients see
//! (`boocoder-wire`). To add a route: a function in the module of its noun below `routes`, a line in that module's
//! `routes`, its bodies in `boocoder-wire`.
//!
//! ```
//! use boocoder::auth::{Access, Token};
//! use warp::http::HeaderMap;
//!
//! let token = Token::from_random([7; Token::BYTES]);
//! let access = Access::new(token, "127.0.0.1:4317".parse().unwrap(), vec![]);
//! let mut headers = HeaderMap::new();
//! headers.insert("host", "rebound.example:4317".parse().unwrap());
//! assert_eq!(access.check_place(&headers).unwrap_err().problem.code, "wrong_host");
//! ```

mod accept;
pub mod app;
pub mod auth;
mod chain;
pub mod cli;
pub mod config;
pub mod data_dir;
mod found;
pub mod limits;
pub mod metrics;
pub mod reject;
pub mod routes;
pub mod server;

use std::future::Future;

use tokio::net::TcpListener;

pub use app::App;
pub use config::Config;
pub use routes::routes;
pub use server::{Server, Stop};

/// This program's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Runs a server until it is told to [`Stop`], or until it [cannot go on](Server::failed). `ready` is told the address that
/// a browser can open, token included.
///
/// # Errors
/// What could not be started, or go on, and why. Nothing is left running but agents that are handed over: to the next
/// server that starts on the same data directory.
pub async fn run(
    config: Config,
    listener: TcpListener,
    ready: impl FnOnce(&str),
    shutdown: impl Future<Output = Stop>,
) -> anyhow::Result<()> {
    let server = Server::start(config, listener).await?;
    let info = server.info();
    ready(&format!("{}/?token={}", info.url, info.token));
    let (how, ended) = tokio::select! {
        how = shutdown => {
            tracing::info!(?how, "shutting down");
            (how, Ok(()))
        }
        error = server.failed() => {
            tracing::error!(%error, "shutting down");
            // What the agents say until there is a database again is kept in their journals.
            (Stop::HandOver, Err(error))
        }
    };
    server.stop(how).await;
    ended
}
