//! Pending changes: edits that wait for a human.

use boocoder_dispatch::Pick;
use boocoder_model::{PendingId, PendingStatus};
use boocoder_wire::http::{ChangeChoice, HunkChoice, NewPending, PendingChange};
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
    let one = |path: warp::filters::BoxedFilter<(String,)>, decision| {
        let taken = path.and(warp::post()).and(with(app)).and(body(app));
        taken.then(move |id, app, body| reply(StatusCode::OK, decided(id, app, body, decision))).boxed()
    };
    let several = |path: warp::filters::BoxedFilter<(String,)>, decision| {
        let taken = path.and(warp::post()).and(with(app)).and(body(app));
        taken.then(move |id, app, body| reply(StatusCode::OK, decided_all(id, app, body, decision))).boxed()
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
        one(warp::path!("api" / "pending" / String / "apply").boxed(), Decision::Apply),
        one(warp::path!("api" / "pending" / String / "reject").boxed(), Decision::Reject),
        one(warp::path!("api" / "pending" / String / "revert").boxed(), Decision::Revert),
        warp::path!("api" / "pending" / String / "rebase")
            .and(warp::post())
            .and(with(app))
            .then(|id, app| reply(StatusCode::OK, rebased(id, app)))
            .boxed(),
        several(warp::path!("api" / "sessions" / String / "pending" / "apply").boxed(), Decision::Apply),
        several(warp::path!("api" / "sessions" / String / "pending" / "reject").boxed(), Decision::Reject),
        several(warp::path!("api" / "sessions" / String / "pending" / "revert").boxed(), Decision::Revert),
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

async fn decided(id: String, app: App, body: Body, decision: Decision) -> Result<PendingChange, ApiError> {
    let id: PendingId = path_id(&id, "pending change")?;
    let HunkChoice { hunks } = body.json_or_default()?;
    let changes = decide(&app, decision, &[Pick { id, hunks }]).await?;
    found(changes.into_iter().next(), "pending change")
}

async fn rebased(id: String, app: App) -> Result<PendingChange, ApiError> {
    Ok(app.dispatcher().rebase(path_id(&id, "pending change")?).await?.into())
}

/// Several changes of a session at once; without a choice, all that can be decided on.
async fn decided_all(id: String, app: App, body: Body, decision: Decision) -> Result<Vec<PendingChange>, ApiError> {
    let session = session_of(&app, &id).await?;
    let ChangeChoice { changes } = body.json_or_default()?;
    let rows = app.store().pending_changes(session.id).await?;
    let picks: Vec<Pick> = match changes {
        Some(changes) => {
            if changes.iter().any(|picked| rows.iter().all(|row| row.id != picked.id)) {
                return Err(ApiError::not_found("pending change"));
            }
            changes.into_iter().map(|picked| Pick { id: picked.id, hunks: picked.hunks }).collect()
        }
        None => {
            let is_meant = |status: PendingStatus| match decision {
                Decision::Apply | Decision::Reject => matches!(status, PendingStatus::Pending | PendingStatus::Stale),
                Decision::Revert => status == PendingStatus::Applied,
            };
            let meant =
                rows.iter().filter(|row| is_meant(row.status) || row.hunks.iter().any(|hunk| is_meant(hunk.status)));
            meant.map(|row| Pick { id: row.id, hunks: Vec::new() }).collect()
        }
    };
    decide(&app, decision, &picks).await
}

async fn decide(app: &App, decision: Decision, picks: &[Pick]) -> Result<Vec<PendingChange>, ApiError> {
    let dispatcher = app.dispatcher();
    let changes = match decision {
        Decision::Apply => dispatcher.apply(picks).await,
        Decision::Reject => dispatcher.reject(picks).await,
        Decision::Revert => dispatcher.revert(picks).await,
    };
    Ok(changes?.into_iter().map(Into::into).collect())
}
