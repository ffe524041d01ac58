//! The HTTP routes, as one warp filter. Handlers parse, call the dispatcher or read the store, and reply.
//!
//! A handler never rejects: once a route's path and method fit, the request is its own, and its error is the answer.

mod body;
mod checkpoints;
mod interactions;
mod messages;
mod openapi;
mod page;
mod pending;
mod projects;
mod providers;
mod sessions;
mod socket;
mod stats;
mod status;
mod tasks;
mod worktrees;

use std::convert::Infallible;
use std::future::Future;
use std::str::FromStr;

use serde::Serialize;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::http::StatusCode;
use warp::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderMap, HeaderName, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use warp::reject::Rejection;
use warp::reply::{Reply, Response};

use crate::app::App;
use crate::auth::Access;
use crate::reject::{self, ApiError};

/// A route, or several.
type Route = BoxedFilter<(Response,)>;

/// Headers of every answer that has no others of that name. Nothing here is for embedding, caching or sniffing.
const HEADERS: [(HeaderName, &str); 6] = [
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    (REFERRER_POLICY, "no-referrer"),
    (CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"),
];

/// All routes, with their checks and with an answer to whatever none of them takes.
pub fn routes(app: &App) -> BoxedFilter<(Response,)> {
    let closed = guard(app, Access::check_token).and(any_of([
        page::routes(),
        status::ready(app),
        status::metrics(app),
        projects::routes(app),
        sessions::routes(app),
        messages::routes(app),
        tasks::routes(app),
        interactions::routes(app),
        pending::routes(app),
        checkpoints::routes(app),
        worktrees::routes(app),
        providers::routes(app),
        socket::routes(app),
        stats::routes(app),
        openapi::routes(),
    ]));
    let open = any_of([status::health(), page::entrance(app)]);
    guard(app, Access::check_place).and(open.or(closed).unify()).recover(reject::recover).unify().map(secure).boxed()
}

/// Lets a request pass that the check lets pass.
fn guard(app: &App, check: fn(&Access, &HeaderMap) -> Result<(), ApiError>) -> BoxedFilter<()> {
    let access = app.access().clone();
    warp::header::headers_cloned()
        .and_then(move |headers: HeaderMap| {
            let checked = check(&access, &headers).map_err(warp::reject::custom);
            async move { checked }
        })
        .untuple_one()
        .boxed()
}

fn any_of<const N: usize>(routes: [Route; N]) -> Route {
    let none = warp::any().and_then(async || Err::<Response, Rejection>(warp::reject::not_found())).boxed();
    routes.into_iter().rev().fold(none, |rest, route| route.or(rest).unify().boxed())
}

/// Hands the state to a handler.
fn with(app: &App) -> impl Filter<Extract = (App,), Error = Infallible> + Clone + use<> {
    let app = app.clone();
    warp::any().map(move || app.clone())
}

/// Replies with the work's result, or its error.
async fn reply<T: Serialize>(status: StatusCode, work: impl Future<Output = Result<T, ApiError>>) -> Response {
    match work.await {
        Ok(body) => warp::reply::with_status(warp::reply::json(&body), status).into_response(),
        Err(error) => error.into_response(),
    }
}

/// Replies with nothing but that the work is done, or its error.
async fn reply_done(work: impl Future<Output = Result<(), ApiError>>) -> Response {
    match work.await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => error.into_response(),
    }
}

/// An id in a path. One that is malformed names nothing, so it is not found.
fn path_id<I: FromStr>(text: &str, what: &str) -> Result<I, ApiError> {
    text.parse().map_err(|_| ApiError::not_found(what))
}

/// An id in a query.
fn query_id<I: FromStr>(text: Option<&str>, name: &str) -> Result<Option<I>, ApiError> {
    text.map(|text| text.parse().map_err(|_| ApiError::bad_request("invalid_query", format!("{name} is not an id"))))
        .transpose()
}

/// What was found, or that there is no such thing.
fn found<T>(thing: Option<T>, what: &str) -> Result<T, ApiError> {
    thing.ok_or_else(|| ApiError::not_found(what))
}

fn secure(mut response: Response) -> Response {
    for (name, value) in HEADERS {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}
