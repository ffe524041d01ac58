//! Projects: the git repositories to work on.

use std::io::ErrorKind;
use std::path::Path;

use boocoder_dispatch::DispatchError;
use boocoder_wire::http::{NewProject, Project};
use boocoder_worktree::WorktreeError;
use warp::Filter;
use warp::http::StatusCode;

use super::body::{Body, body};
use super::{Route, any_of, reply, with};
use crate::app::App;
use crate::reject::ApiError;

pub(super) fn routes(app: &App) -> Route {
    let list = warp::path!("api" / "projects").and(warp::get()).and(with(app));
    let add = warp::path!("api" / "projects").and(warp::post()).and(with(app)).and(body(app));
    any_of([
        list.then(|app| reply(StatusCode::OK, list_projects(app))).boxed(),
        add.then(|app, body| reply(StatusCode::CREATED, add_project(app, body))).boxed(),
    ])
}

async fn list_projects(app: App) -> Result<Vec<Project>, ApiError> {
    Ok(app.store().projects().await?.into_iter().map(Into::into).collect())
}

async fn add_project(app: App, body: Body) -> Result<Project, ApiError> {
    let NewProject { path, name } = body.json()?;
    let path = Path::new(&path);
    if !path.is_absolute() {
        return Err(ApiError::unprocessable(
            "relative_path",
            "the path has to be absolute: the server's directory is not yours",
        ));
    }
    match app.dispatcher().add_project(path, name).await {
        Ok(project) => Ok(project.into()),
        Err(DispatchError::Worktree(WorktreeError::Io { source, .. })) if is_callers(source.kind()) => {
            Err(ApiError::unprocessable("not_a_repository", format!("{} cannot be opened: {source}", path.display())))
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether the path that the caller named is at fault.
fn is_callers(kind: ErrorKind) -> bool {
    use ErrorKind as K;
    // A path with a NUL byte is invalid input; one that is too long is an invalid file name.
    matches!(kind, K::NotFound | K::NotADirectory | K::PermissionDenied | K::InvalidInput | K::InvalidFilename)
}
