//! Whether the server is there, and whether it is ready.

use boocoder_wire::http::Health;
use tokio::time::timeout;
use warp::Filter;
use warp::http::StatusCode;
use warp::http::header::CONTENT_TYPE;
use warp::reply::{Reply, Response};

use super::{Route, reply, with};
use crate::app::App;
use crate::reject::ApiError;

/// `GET /api/health`, the one route without a token.
pub(super) fn health() -> Route {
    warp::path!("api" / "health").and(warp::get()).then(|| reply(StatusCode::OK, async { Ok(well()) })).boxed()
}

/// `GET /api/ready`
pub(super) fn ready(app: &App) -> Route {
    warp::path!("api" / "ready").and(warp::get()).and(with(app)).then(|app| reply(StatusCode::OK, check(app))).boxed()
}

/// `GET /metrics`, in the form that Prometheus reads.
pub(super) fn metrics(app: &App) -> Route {
    warp::path!("metrics").and(warp::get()).and(with(app)).map(|app: App| counted(&app)).boxed()
}

fn counted(app: &App) -> Response {
    match app.metrics() {
        Some(text) => warp::reply::with_header(text, CONTENT_TYPE, "text/plain; version=0.0.4").into_response(),
        None => ApiError::unavailable("not_counted", "this process does not count").into_response(),
    }
}

async fn check(app: App) -> Result<Health, ApiError> {
    match timeout(app.limits().ready, app.store().ping()).await {
        Ok(Ok(())) => Ok(well()),
        Ok(Err(error)) => Err(ApiError::unavailable("not_ready", format!("the database does not answer: {error}"))),
        Err(_) => {
            let message = format!("the database did not answer within {} s", app.limits().ready.as_secs_f32());
            Err(ApiError::unavailable("not_ready", message))
        }
    }
}

fn well() -> Health {
    Health { status: "ok".into(), version: crate::VERSION.into() }
}
