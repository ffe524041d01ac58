//! The page at `/` with what it loads, and the entrance that turns the printed address into a cookie.

use warp::Filter;
use warp::http::StatusCode;
use warp::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, LOCATION, SET_COOKIE};
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

/// `GET /` and `GET /assets/NAME`
pub(super) fn routes() -> Route {
    let page = warp::path::end().and(warp::get()).map(|| file(boocoder_web::page()));
    let asset = warp::path!("assets" / String).and(warp::get()).map(|name: String| asset(&name));
    page.or(asset).unify().boxed()
}

fn file(file: boocoder_web::File) -> Response {
    let mut response = Response::new(file.bytes.into());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(file.content_type));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(boocoder_web::POLICY));
    response
}

fn asset(name: &str) -> Response {
    let Some(found) = boocoder_web::asset(name) else {
        return ApiError::not_found("asset").into_response();
    };
    let mut response = file(found);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static(boocoder_web::ASSET_CACHING));
    response
}
