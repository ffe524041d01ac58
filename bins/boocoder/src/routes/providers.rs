//! Providers: the agents, and what each offers as far as it is known before a session is open.

use boocoder_backend::{AgentSpec, Environment};
use boocoder_wire::http::Provider;
use serde::Deserialize;
use warp::Filter;
use warp::http::StatusCode;

use super::{Route, found, query_id, reply, with};
use crate::app::App;
use crate::found::program_of;
use crate::reject::ApiError;

/// For which project.
#[derive(Deserialize)]
struct Which {
    project_id: Option<String>,
}

pub(super) fn routes(app: &App) -> Route {
    warp::path!("api" / "providers")
        .and(warp::get())
        .and(warp::query())
        .and(with(app))
        .then(|which, app| reply(StatusCode::OK, list(which, app)))
        .boxed()
}

async fn list(which: Which, app: App) -> Result<Vec<Provider>, ApiError> {
    if let Some(id) = query_id(which.project_id.as_deref(), "project_id")? {
        found(app.store().project(id).await?, "project")?;
    }
    Ok(app.dispatcher().registry().iter().map(|agent| provider(agent, app.environment())).collect())
}

fn provider(agent: &AgentSpec, environment: &Environment) -> Provider {
    let missing = program_of(agent, environment).err();
    Provider {
        name: agent.name.to_string(),
        label: agent.label.clone(),
        enabled: agent.enabled,
        status: if missing.is_none() { "ready" } else { "unavailable" }.to_owned(),
        reason: missing.map(|error| error.to_string()),
        models: Vec::new(),
        modes: Vec::new(),
        thinking_options: Vec::new(),
        commands: agent.commands.iter().cloned().map(Into::into).collect(),
    }
}
