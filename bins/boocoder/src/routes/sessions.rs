//! Sessions, their chats, and what is known of the agents in them.

use boocoder_model::{Dimension, GroupValue, SessionId};
use boocoder_store::StatsQuery;
use boocoder_wire::http::{AgentSession, Chat, NewChat, NewFork, NewSession, NewTitle, Risk, Session};
use serde::de::{Error, Unexpected};
use serde::{Deserialize, Deserializer};
use warp::Filter;
use warp::http::StatusCode;

use super::body::{Body, body};
use super::{Route, any_of, found, path_id, reply, reply_done, with};
use crate::app::App;
use crate::reject::ApiError;

/// What `DELETE /api/sessions/:id` may be told.
#[derive(Deserialize)]
struct Removal {
    /// Whether work may be lost.
    #[serde(default, deserialize_with = "switch")]
    force: bool,
}

/// A switch in a query: `true` or `1`, `false` or `0`.
fn switch<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    match String::deserialize(deserializer)?.as_str() {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        other => Err(D::Error::invalid_value(Unexpected::Str(other), &"true, 1, false or 0")),
    }
}

pub(super) fn routes(app: &App) -> Route {
    let all = warp::path!("api" / "sessions");
    let one = warp::path!("api" / "sessions" / String);
    let chats = warp::path!("api" / "sessions" / String / "chats");
    let chat = warp::path!("api" / "chats" / String);
    let fork = warp::path!("api" / "chats" / String / "fork");
    let agents = warp::path!("api" / "sessions" / String / "agent-sessions");
    let risk = warp::path!("api" / "sessions" / String / "worktree-risk");
    any_of([
        all.and(warp::get()).and(with(app)).then(|app| reply(StatusCode::OK, list(app))).boxed(),
        all.and(warp::post())
            .and(with(app))
            .and(body(app))
            .then(|app, body| reply(StatusCode::CREATED, add(app, body)))
            .boxed(),
        one.and(warp::get()).and(with(app)).then(|id, app| reply(StatusCode::OK, get(id, app))).boxed(),
        one.and(warp::delete())
            .and(warp::query())
            .and(with(app))
            .then(|id, how, app| reply_done(remove(id, how, app)))
            .boxed(),
        one.and(warp::patch())
            .and(with(app))
            .and(body(app))
            .then(|id, app, body| reply(StatusCode::OK, rename(id, app, body)))
            .boxed(),
        chat.and(warp::patch())
            .and(with(app))
            .and(body(app))
            .then(|id, app, body| reply(StatusCode::OK, rename_chat(id, app, body)))
            .boxed(),
        chats
            .and(warp::post())
            .and(with(app))
            .and(body(app))
            .then(|id, app, body| reply(StatusCode::CREATED, add_chat(id, app, body)))
            .boxed(),
        fork.and(warp::post())
            .and(with(app))
            .and(body(app))
            .then(|id, app, body| reply(StatusCode::CREATED, fork_chat(id, app, body)))
            .boxed(),
        chat.and(warp::delete()).and(with(app)).then(|id, app| reply_done(remove_chat(id, app))).boxed(),
        agents.and(warp::get()).and(with(app)).then(|id, app| reply(StatusCode::OK, agent_sessions(id, app))).boxed(),
        risk.and(warp::get()).and(with(app)).then(|id, app| reply(StatusCode::OK, worktree_risk(id, app))).boxed(),
    ])
}

/// The session of a path, which has to exist.
pub(super) async fn session_of(app: &App, id: &str) -> Result<boocoder_model::Session, ApiError> {
    let id: SessionId = path_id(id, "session")?;
    found(app.store().session(id).await?, "session")
}

async fn list(app: App) -> Result<Vec<Session>, ApiError> {
    let mut sessions = Vec::new();
    for session in app.store().sessions().await? {
        let chats = app.store().chats(session.id).await?;
        sessions.push(Session::new(session, chats));
    }
    Ok(sessions)
}

async fn get(id: String, app: App) -> Result<Session, ApiError> {
    let session = session_of(&app, &id).await?;
    let chats = app.store().chats(session.id).await?;
    Ok(Session::new(session, chats))
}

async fn add(app: App, body: Body) -> Result<Session, ApiError> {
    let NewSession { project_id, title } = body.json()?;
    let (session, chat) = app.dispatcher().add_session(project_id, title).await?;
    Ok(Session::new(session, vec![chat]))
}

async fn rename(id: String, app: App, body: Body) -> Result<Session, ApiError> {
    let id = path_id(&id, "session")?;
    let NewTitle { title } = body.json()?;
    let session = app.dispatcher().rename_session(id, title).await?;
    let chats = app.store().chats(id).await?;
    Ok(Session::new(session, chats))
}

async fn rename_chat(id: String, app: App, body: Body) -> Result<Chat, ApiError> {
    let id = path_id(&id, "chat")?;
    let NewTitle { title } = body.json()?;
    Ok(app.dispatcher().rename_chat(id, title).await?.into())
}

async fn remove(id: String, how: Removal, app: App) -> Result<(), ApiError> {
    Ok(app.dispatcher().remove_session(path_id(&id, "session")?, how.force).await?)
}

async fn add_chat(id: String, app: App, body: Body) -> Result<Chat, ApiError> {
    let id = path_id(&id, "session")?;
    let NewChat { title } = body.json_or_default()?;
    Ok(app.dispatcher().add_chat(id, title).await?.into())
}

async fn fork_chat(id: String, app: App, body: Body) -> Result<Chat, ApiError> {
    let id = path_id(&id, "chat")?;
    let NewFork { message_id, title } = body.json_or_default()?;
    Ok(app.dispatcher().fork_chat(id, message_id, title).await?.into())
}

async fn remove_chat(id: String, app: App) -> Result<(), ApiError> {
    Ok(app.dispatcher().remove_chat(path_id(&id, "chat")?).await?)
}

async fn agent_sessions(id: String, app: App) -> Result<Vec<AgentSession>, ApiError> {
    let session = session_of(&app, &id).await?;
    let query = StatsQuery {
        session_id: Some(session.id),
        group_by: vec![Dimension::Chat, Dimension::Agent],
        // There are no more of them than there are agent sessions, which are all listed.
        groups: usize::MAX,
        ..StatsQuery::default()
    };
    let mut used = app.store().usage(&query).await?.unwrap_or_default();
    let sessions = app.store().agent_sessions(session.id).await?.into_iter();
    let listed = sessions.map(|session| {
        let key = [GroupValue::Chat(Some(session.chat_id)), GroupValue::Agent(session.agent.clone())];
        let used = used.remove(&key[..]).unwrap_or_default();
        AgentSession::new(session, &used.totals())
    });
    Ok(listed.collect())
}

async fn worktree_risk(id: String, app: App) -> Result<Risk, ApiError> {
    let risk = app.dispatcher().worktree_risk(path_id(&id, "session")?).await?;
    Ok(Risk { uncommitted: risk.uncommitted, unmerged: risk.unmerged, pending: risk.pending })
}
