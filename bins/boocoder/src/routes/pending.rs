//! Pending changes: edits that wait for a human.

use boocoder_model::PendingId;
use boocoder_wire::http::{HunkChoice, NewPending, PendingChange};
use warp::Filter;
use warp::http::StatusCode;

use super::body::{Body, body};
use super::sessions::session_of;
use super::{Route, any_of, found, path_id, reply, with};
use crate::app::App;
use crate::reject::ApiError;

/// What a human decides on a pending change.
#[derive(Clone, Copy)]
enum Decision {
    Apply,
    Reject,
    Revert,
}

pub(super) fn routes(app: &App) -> Route {
    let path = warp::path!("api" / "sessions" / String / "pending");
    let get = path.and(warp::get()).and(with(app));
    let post = path.and(warp::post()).and(with(app)).and(body(app));
    let decide = |path: warp::filters::BoxedFilter<(String,)>, decision| {
        let taken = path.and(warp::post()).and(with(app)).and(body(app));
        taken.then(move |id, app, body| reply(StatusCode::OK, decided(id, app, body, decision))).boxed()
    };
    any_of([
        get.then(|id, app| reply(StatusCode::OK, list(id, app))).boxed(),
        post.then(|id, app, body| reply(StatusCode::CREATED, add(id, app, body))).boxed(),
        warp::path!("api" / "tasks" / String / "pending")
            .and(warp::get())
            .and(with(app))
            .then(|id, app| reply(StatusCode::OK, list_of_task(id, app)))
            .boxed(),
        decide(warp::path!("api" / "pending" / String / "apply").boxed(), Decision::Apply),
        decide(warp::path!("api" / "pending" / String / "reject").boxed(), Decision::Reject),
        decide(warp::path!("api" / "pending" / String / "revert").boxed(), Decision::Revert),
    ])
}

async fn list(id: String, app: App) -> Result<Vec<PendingChange>, ApiError> {
    let session = session_of(&app, &id).await?;
    Ok(app.store().pending_changes(session.id).await?.into_iter().map(Into::into).collect())
}

/// What a task changed: the only list that shows the changes of a task without a session.
async fn list_of_task(id: String, app: App) -> Result<Vec<PendingChange>, ApiError> {
    let task = found(app.store().task(path_id(&id, "task")?).await?, "task")?;
    Ok(app.store().pending_changes_of_task(task.id).await?.into_iter().map(Into::into).collect())
}

async fn add(id: String, app: App, body: Body) -> Result<PendingChange, ApiError> {
    let id = path_id(&id, "session")?;
    let NewPending { file_path, content } = body.json()?;
    Ok(app.dispatcher().queue_file(id, &file_path, content).await?.into())
}

async fn decided(id: String, app: App, body: Body, decision: Decision) -> Result<PendingChange, ApiError> {
    let id: PendingId = path_id(&id, "pending change")?;
    let HunkChoice { hunks } = body.json_or_default()?;
    if !hunks.is_empty() {
        let message = "changes are decided on as a whole in this version: leave `hunks` out";
        return Err(ApiError::unprocessable("hunks_unsupported", message));
    }
    let dispatcher = app.dispatcher();
    let change = match decision {
        Decision::Apply => dispatcher.apply(id).await,
        Decision::Reject => dispatcher.reject(id).await,
        Decision::Revert => dispatcher.revert(id).await,
    };
    Ok(change?.into())
}
