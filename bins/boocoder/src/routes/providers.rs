//! Providers: the agents, and what each offers as far as it is known before a session is open.

use boocoder_backend::{AgentSpec, Environment};
use boocoder_dispatch::Offered;
use boocoder_wire::http::Provider;
use boocoder_wire::parts::ConfigOption;
use serde::Deserialize;
use warp::Filter;
use warp::http::StatusCode;

use super::{Route, found, query_id, reply, with};
use crate::app::App;
use crate::found::{hint, program_of};
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
    let dispatcher = app.dispatcher();
    let all = dispatcher.registry().iter();
    Ok(all.map(|agent| provider(agent, app.environment(), dispatcher.offered(&agent.name))).collect())
}

fn provider(agent: &AgentSpec, environment: &Environment, offered: Offered) -> Provider {
    let missing = program_of(agent, environment).err();
    let hint = if !agent.enabled {
        Some(format!("set `enabled = true` under [agents.{}] in the configuration", agent.name))
    } else {
        missing.as_ref().and_then(|_| hint(agent))
    };
    let options: Vec<ConfigOption> = offered.options.into_iter().map(Into::into).collect();
    let of = |category: &str| {
        let option = options.iter().find(|option| option.category.as_deref() == Some(category));
        option.map_or_else(Vec::new, |option| option.choices.clone())
    };
    Provider {
        name: agent.name.to_string(),
        label: agent.label.clone(),
        enabled: agent.enabled,
        status: if missing.is_none() { "ready" } else { "unavailable" }.to_owned(),
        reason: missing.map(|error| error.to_string()),
        hint,
        models: of("model"),
        modes: of("mode"),
        thinking_options: of("thought_level"),
        commands: offered.commands.unwrap_or_else(|| agent.commands.clone()).into_iter().map(Into::into).collect(),
    }
}
