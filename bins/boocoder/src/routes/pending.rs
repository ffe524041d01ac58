//! Pending changes: edits that wait for a human.

use boocoder_dispatch::{Pick, Verdict};
use boocoder_model::PendingId;
use boocoder_wire::http::{ChangeChoice, HunkChoice, NewPending, PendingChange, PickedChange};
use warp::Filter;
use warp::http::StatusCode;

use super::body::{Body, body};
use super::sessions::session_of;
use super::{Route, any_of, found, path_id, reply, with};
use crate::app::App;
use crate::reject::ApiError;

pub(super) fn routes(app: &App) -> Route {
    let path = warp::path!("api" / "sessions" / String / "pending");
    let get = path.and(warp::get()).and(with(app));
    let post = path.and(warp::post()).and(with(app)).and(body(app));
    let one = |path: warp::filters::BoxedFilter<(String,)>, verdict| {
        let taken = path.and(warp::post()).and(with(app)).and(body(app));
        taken.then(move |id, app, body| reply(StatusCode::OK, decided(id, app, body, verdict))).boxed()
    };
    let several = |path: warp::filters::BoxedFilter<(String,)>, verdict| {
        let taken = path.and(warp::post()).and(with(app)).and(body(app));
        taken.then(move |id, app, body| reply(StatusCode::OK, decided_all(id, app, body, verdict))).boxed()
    };
    any_of([
        get.then(|id, app| reply(StatusCode::OK, list(id, app))).boxed(),
        post.then(|id, app, body| reply(StatusCode::CREATED, add(id, app, body))).boxed(),
        warp::path!("api" / "tasks" / String / "pending")
            .and(warp::get())
            .and(with(app))
            .then(|id, app| reply(StatusCode::OK, list_of_task(id, app)))
            .boxed(),
        warp::path!("api" / "pending" / String)
            .and(warp::get())
            .and(with(app))
            .then(|id, app| reply(StatusCode::OK, show(id, app)))
            .boxed(),
        one(warp::path!("api" / "pending" / String / "apply").boxed(), Verdict::Apply),
        one(warp::path!("api" / "pending" / String / "reject").boxed(), Verdict::Reject),
        one(warp::path!("api" / "pending" / String / "revert").boxed(), Verdict::Revert),
        warp::path!("api" / "pending" / String / "rebase")
            .and(warp::post())
            .and(with(app))
            .then(|id, app| reply(StatusCode::OK, rebased(id, app)))
            .boxed(),
        several(warp::path!("api" / "sessions" / String / "pending" / "apply").boxed(), Verdict::Apply),
        several(warp::path!("api" / "sessions" / String / "pending" / "reject").boxed(), Verdict::Reject),
        several(warp::path!("api" / "sessions" / String / "pending" / "revert").boxed(), Verdict::Revert),
    ])
}

async fn list(id: String, app: App) -> Result<Vec<PendingChange>, ApiError> {
    let session = session_of(&app, &id).await?;
    Ok(app.dispatcher().pending_changes(session.id).await?.into_iter().map(Into::into).collect())
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

async fn show(id: String, app: App) -> Result<PendingChange, ApiError> {
    let id = path_id(&id, "pending change")?;
    Ok(found(app.store().pending_change(id).await?, "pending change")?.into())
}

async fn decided(id: String, app: App, body: Body, verdict: Verdict) -> Result<PendingChange, ApiError> {
    let id: PendingId = path_id(&id, "pending change")?;
    let HunkChoice { hunks } = body.json_or_default()?;
    let changes = app.dispatcher().decide(verdict, &[Pick { id, hunks }]).await?;
    Ok(found(changes.into_iter().next(), "pending change")?.into())
}

async fn rebased(id: String, app: App) -> Result<PendingChange, ApiError> {
    Ok(app.dispatcher().rebase(path_id(&id, "pending change")?).await?.into())
}

/// Several changes of a session at once; without a choice, all that can be decided on.
async fn decided_all(id: String, app: App, body: Body, verdict: Verdict) -> Result<Vec<PendingChange>, ApiError> {
    let session = session_of(&app, &id).await?;
    let ChangeChoice { changes } = body.json_or_default()?;
    let pick = |picked: PickedChange| Pick { id: picked.id, hunks: picked.hunks };
    let picks = changes.map(|changes| changes.into_iter().map(pick).collect());
    let changes = app.dispatcher().decide_in(session.id, verdict, picks).await?;
    Ok(changes.into_iter().map(Into::into).collect())
}
