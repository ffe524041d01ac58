//! The page at `/`, and the entrance that turns the printed address into a cookie.

use warp::Filter;
use warp::http::StatusCode;
use warp::http::header::{HeaderValue, LOCATION, SET_COOKIE};
use warp::reply::{Reply, Response};

use super::{Route, with};
use crate::app::App;
use crate::reject::ApiError;

#[derive(serde::Deserialize)]
struct Entrance {
    token: String,
}

/// `GET /?token=…`: sets the cookie and leads to the page, so that the token leaves the address bar and the history.
pub(super) fn entrance(app: &App) -> Route {
    warp::path::end()
        .and(warp::get())
        .and(warp::query::<Entrance>().or_else(async |_| Err(warp::reject::not_found())))
        .and(with(app))
        .map(|entrance: Entrance, app: App| enter(&app, &entrance.token))
        .boxed()
}

fn enter(app: &App, token: &str) -> Response {
    let cookie = app.access().cookie_for(token).and_then(|cookie| HeaderValue::from_str(&cookie).ok());
    let Some(cookie) = cookie else {
        let message = "the token in this address is not this server's: open the address that it printed last";
        return ApiError::unauthorized("wrong_token", message).into_response();
    };
    let mut response = StatusCode::SEE_OTHER.into_response();
    response.headers_mut().insert(LOCATION, HeaderValue::from_static("/"));
    response.headers_mut().insert(SET_COOKIE, cookie);
    response
}

/// `GET /`
pub(super) fn routes(app: &App) -> Route {
    warp::path::end().and(warp::get()).and(with(app)).map(|app| warp::reply::html(page(&app)).into_response()).boxed()
}

fn page(app: &App) -> String {
    let version = crate::VERSION;
    let agents: String = app
        .dispatcher()
        .registry()
        .iter()
        .filter(|agent| agent.enabled)
        .map(|agent| format!("<li>{}</li>\n", escape(&agent.label)))
        .collect();
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>BooCoder</title></head>\n<body>\n\
         <h1>BooCoder {version}</h1>\n\
         <p>The server runs and knows you. This version has no pages beside this one yet; everything it does is in its\n\
         HTTP interface below <code>/api/</code>, such as <a href=\"/api/sessions\">/api/sessions</a>.</p>\n\
         <p>To work with an agent from a terminal, go to a git repository and type\n\
         <code>boocoder run --agent demo \"say hello\"</code>.</p>\n\
         <p>Agents it is configured for:</p>\n<ul>\n{agents}</ul>\n</body>\n</html>\n"
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
