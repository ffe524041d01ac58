//! Projects: the git repositories to work on.

use std::io::ErrorKind;
use std::path::Path;

use boocoder_dispatch::DispatchError;
use boocoder_wire::http::{MovedProject, NewProject, Project};
use boocoder_worktree::WorktreeError;
use warp::Filter;
use warp::http::StatusCode;

use super::body::{Body, body};
use super::{Route, any_of, path_id, reply, with};
use crate::app::App;
use crate::reject::ApiError;

pub(super) fn routes(app: &App) -> Route {
    let list = warp::path!("api" / "projects").and(warp::get()).and(with(app));
    let add = warp::path!("api" / "projects").and(warp::post()).and(with(app)).and(body(app));
    let moved = warp::path!("api" / "projects" / String).and(warp::patch()).and(with(app)).and(body(app));
    any_of([
        moved.then(|id, app, body| reply(StatusCode::OK, move_project(id, app, body))).boxed(),
        list.then(|app| reply(StatusCode::OK, list_projects(app))).boxed(),
        add.then(|app, body| reply(StatusCode::CREATED, add_project(app, body))).boxed(),
    ])
}

async fn list_projects(app: App) -> Result<Vec<Project>, ApiError> {
    Ok(app.store().projects().await?.into_iter().map(Into::into).collect())
}

async fn add_project(app: App, body: Body) -> Result<Project, ApiError> {
    let NewProject { path, name } = body.json()?;
    let path = absolute(&path)?;
    opened(path, app.dispatcher().add_project(path, name).await)
}

async fn move_project(id: String, app: App, body: Body) -> Result<Project, ApiError> {
    let MovedProject { path } = body.json()?;
    let path = absolute(&path)?;
    opened(path, app.dispatcher().move_project(path_id(&id, "project")?, path).await)
}

fn absolute(path: &str) -> Result<&Path, ApiError> {
    let text = "the path has to be absolute: the server's directory is not yours";
    Some(Path::new(path))
        .filter(|path| path.is_absolute())
        .ok_or_else(|| ApiError::unprocessable("relative_path", text))
}

fn opened(path: &Path, opened: Result<boocoder_model::Project, DispatchError>) -> Result<Project, ApiError> {
    match opened {
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
