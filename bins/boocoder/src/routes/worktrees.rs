//! Worktrees: how each is, and mending them.

use boocoder_dispatch::{WorktreeReport, WorktreeState};
use boocoder_wire::http::Worktree;
use serde::Deserialize;
use warp::Filter;
use warp::http::StatusCode;

use super::{Route, any_of, path_id, query_id, reply, with};
use crate::app::App;
use crate::reject::ApiError;

/// `GET /api/worktrees`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    project_id: Option<String>,
}

pub(super) fn routes(app: &App) -> Route {
    let list = warp::path!("api" / "worktrees").and(warp::get()).and(warp::query()).and(with(app));
    let repair = warp::path!("api" / "worktrees" / String / "repair").and(warp::post()).and(with(app));
    any_of([
        list.then(|which, app| reply(StatusCode::OK, list_worktrees(which, app))).boxed(),
        repair.then(|id, app| reply(StatusCode::OK, repair_worktree(id, app))).boxed(),
    ])
}

async fn list_worktrees(which: Which, app: App) -> Result<Vec<Worktree>, ApiError> {
    let project = query_id(which.project_id.as_deref(), "project_id")?;
    Ok(app.dispatcher().worktrees(project).await?.into_iter().map(view).collect())
}

async fn repair_worktree(id: String, app: App) -> Result<Worktree, ApiError> {
    Ok(view(app.dispatcher().repair_worktree(path_id(&id, "worktree")?).await?))
}

fn view(report: WorktreeReport) -> Worktree {
    let state = report.state.as_str();
    let problem = match report.state {
        WorktreeState::NoProject(problem) => Some(problem),
        WorktreeState::Ready | WorktreeState::Gone | WorktreeState::Unlinked | WorktreeState::Incomplete => None,
    };
    Worktree::new(report.worktree, state, problem, report.tasks.iter().map(|task| task.id).collect())
}
