//! What a session's worktree held after each turn.

use boocoder_dispatch::Moment;
use boocoder_model::SessionId;
use boocoder_wire::http::{Branch, Checkpoint, Comparison, FileComparison, NewExport, NewRestore};
use serde::Deserialize;
use warp::Filter;
use warp::http::StatusCode;
use warp::http::header::CONTENT_TYPE;
use warp::reply::{Reply, Response};

use super::body::{Body, body};
use super::{Route, any_of, path_id, reply, reply_done, with};
use crate::app::App;
use crate::reject::ApiError;

/// `?from=…&to=…` of a comparison.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Range {
    from: Option<String>,
    to: Option<String>,
}

pub(super) fn routes(app: &App) -> Route {
    any_of([
        warp::path!("api" / "sessions" / String / "turns")
            .and(warp::get())
            .and(with(app))
            .then(|id, app| reply(StatusCode::OK, list(id, app)))
            .boxed(),
        warp::path!("api" / "sessions" / String / "diff")
            .and(warp::get())
            .and(warp::query())
            .and(with(app))
            .then(|id, range, app| reply(StatusCode::OK, compare(id, range, app)))
            .boxed(),
        warp::path!("api" / "sessions" / String / "restore")
            .and(warp::post())
            .and(with(app))
            .and(body(app))
            .then(|id, app, body| reply_done(restore(id, app, body)))
            .boxed(),
        warp::path!("api" / "sessions" / String / "export")
            .and(warp::get())
            .and(with(app))
            .then(|id, app| async { patch(id, app).await.unwrap_or_else(Reply::into_response) })
            .boxed(),
        warp::path!("api" / "sessions" / String / "export")
            .and(warp::post())
            .and(with(app))
            .and(body(app))
            .then(|id, app, body| reply(StatusCode::CREATED, branch(id, app, body)))
            .boxed(),
    ])
}

async fn list(id: String, app: App) -> Result<Vec<Checkpoint>, ApiError> {
    let id: SessionId = path_id(&id, "session")?;
    let checkpoints = app.dispatcher().checkpoints(id).await?;
    let shown = checkpoints.into_iter().map(|checkpoint| Checkpoint {
        turn: checkpoint.task.id,
        chat_id: checkpoint.task.chat_id,
        agent: checkpoint.task.agent.to_string(),
        state: checkpoint.task.state.to_string(),
        started_at: checkpoint.turn.started_at,
        ended_at: checkpoint.turn.ended_at,
        before_tree: checkpoint.turn.before_tree,
        after_tree: checkpoint.turn.after_tree,
    });
    Ok(shown.collect())
}

async fn compare(id: String, range: Range, app: App) -> Result<Comparison, ApiError> {
    let id: SessionId = path_id(&id, "session")?;
    let from = range.from.map_or(Ok(Moment::Base), |text| moment(&text))?;
    let to = range.to.map_or(Ok(Moment::Now), |text| moment(&text))?;
    let files = app.dispatcher().compare(id, from, to).await?.into_iter().map(|file| FileComparison {
        file_path: file.change.path.to_string(),
        old_path: file.change.old_path.map(|path| path.to_string()),
        operation: file.change.operation.to_string(),
        binary: file.binary,
        diff: file.diff,
    });
    Ok(Comparison { files: files.collect() })
}

async fn restore(id: String, app: App, body: Body) -> Result<(), ApiError> {
    let id: SessionId = path_id(&id, "session")?;
    let NewRestore { turn } = body.json()?;
    Ok(app.dispatcher().restore(id, turn).await?)
}

async fn patch(id: String, app: App) -> Result<Response, ApiError> {
    let id: SessionId = path_id(&id, "session")?;
    let patch = app.dispatcher().export_patch(id).await?;
    Ok(warp::reply::with_header(patch, CONTENT_TYPE, "text/x-patch").into_response())
}

async fn branch(id: String, app: App, body: Body) -> Result<Branch, ApiError> {
    let id: SessionId = path_id(&id, "session")?;
    let NewExport { branch } = body.json()?;
    let commit = app.dispatcher().export_branch(id, &branch).await?.to_string();
    Ok(Branch { branch, commit })
}

/// `base`, `now`, a turn's id, or a tree that a turn began or ended with.
fn moment(text: &str) -> Result<Moment, ApiError> {
    /// The shortest id of a tree.
    const TREE: usize = 40;
    match text {
        "base" => Ok(Moment::Base),
        "now" => Ok(Moment::Now),
        text if text.len() >= TREE && text.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            Ok(Moment::Tree(text.to_owned()))
        }
        text => text.parse().map(Moment::After).map_err(|_| {
            let message = format!("{text:?} is neither `base` nor `now`, nor the id of a turn or a tree");
            ApiError::bad_request("invalid_query", message)
        }),
    }
}
