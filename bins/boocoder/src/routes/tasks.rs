//! Tasks: units of work, from a chat or from elsewhere.

use boocoder_dispatch::{NewTask, TaskOptions};
use boocoder_model::{MessageRole, TaskId, TaskState, UnknownName};
use boocoder_store::TaskFilter;
use boocoder_wire::http::{self, Task};
use serde::Deserialize;
use warp::Filter;
use warp::http::StatusCode;

use super::body::{Body, body};
use super::{Route, any_of, found, path_id, query_id, reply, with};
use crate::app::App;
use crate::reject::ApiError;

/// Which tasks to list. Each field narrows.
#[derive(Deserialize)]
struct Which {
    session_id: Option<String>,
    chat_id: Option<String>,
    state: Option<String>,
    limit: Option<usize>,
}

pub(super) fn routes(app: &App) -> Route {
    let all = warp::path!("api" / "tasks");
    let one = warp::path!("api" / "tasks" / String);
    let cancel = warp::path!("api" / "tasks" / String / "cancel");
    any_of([
        all.and(warp::get())
            .and(warp::query())
            .and(with(app))
            .then(|which, app| reply(StatusCode::OK, list(which, app)))
            .boxed(),
        all.and(warp::post())
            .and(with(app))
            .and(body(app))
            .then(|app, body| reply(StatusCode::ACCEPTED, add(app, body)))
            .boxed(),
        one.and(warp::get()).and(with(app)).then(|id, app| reply(StatusCode::OK, get(id, app))).boxed(),
        cancel.and(warp::post()).and(with(app)).then(|id, app| reply(StatusCode::OK, stop(id, app))).boxed(),
    ])
}

async fn list(which: Which, app: App) -> Result<Vec<Task>, ApiError> {
    let state: Result<Option<TaskState>, UnknownName> = which.state.map(|state| state.parse()).transpose();
    let filter = TaskFilter {
        session_id: query_id(which.session_id.as_deref(), "session_id")?,
        chat_id: query_id(which.chat_id.as_deref(), "chat_id")?,
        state: state.map_err(|error| ApiError::bad_request("invalid_query", error.to_string()))?,
        limit: which.limit,
    };
    Ok(app.store().tasks(filter).await?.into_iter().map(Into::into).collect())
}

async fn get(id: String, app: App) -> Result<Task, ApiError> {
    let id: TaskId = path_id(&id, "task")?;
    let task = found(app.store().task(id).await?, "task")?;
    let messages = app.store().messages_of_task(id).await?;
    let answers: Vec<String> = messages
        .into_iter()
        .filter(|message| message.role == MessageRole::Assistant)
        .map(|message| message.content)
        .collect();
    let output = (!answers.is_empty()).then(|| answers.concat());
    Ok(Task { output, ..task.into() })
}

async fn add(app: App, body: Body) -> Result<Task, ApiError> {
    let task: http::NewTask = body.json()?;
    let task = NewTask {
        project_id: task.project_id,
        session_id: task.session_id,
        chat_id: task.chat_id,
        input: task.input.into(),
        options: TaskOptions {
            agent: task.agent.into(),
            model: task.model,
            mode_id: task.mode_id,
            thinking_option_id: task.thinking_option_id,
            approval: task.approval.unwrap_or_default().into(),
            request_id: task.request_id,
        },
    };
    Ok(app.dispatcher().add_task(task).await?.into())
}

async fn stop(id: String, app: App) -> Result<Task, ApiError> {
    Ok(app.dispatcher().cancel_task(path_id(&id, "task")?).await?.into())
}
