//! Interactions: questions from agents to a human.

use boocoder_store::InteractionFilter;
use boocoder_wire::http::{NewAnswer, Settled};
use boocoder_wire::parts::Interaction;
use serde::Deserialize;
use warp::Filter;
use warp::http::StatusCode;

use super::body::{Body, body};
use super::{Route, any_of, path_id, query_id, reply, with};
use crate::app::App;
use crate::reject::ApiError;

/// Which questions are meant.
#[derive(Deserialize)]
struct Which {
    session_id: Option<String>,
}

pub(super) fn routes(app: &App) -> Route {
    let list = warp::path!("api" / "interactions").and(warp::get()).and(warp::query()).and(with(app));
    let answer = warp::path!("api" / "interactions" / String).and(warp::post()).and(with(app)).and(body(app));
    any_of([
        list.then(|which, app| reply(StatusCode::OK, open_questions(which, app))).boxed(),
        answer.then(|id, app, body| reply(StatusCode::OK, settle(id, app, body))).boxed(),
    ])
}

async fn open_questions(which: Which, app: App) -> Result<Vec<Interaction>, ApiError> {
    let session_id = query_id(which.session_id.as_deref(), "session_id")?;
    let filter = InteractionFilter { session_id, ..InteractionFilter::default() };
    Ok(app.store().interactions(filter).await?.into_iter().map(Into::into).collect())
}

async fn settle(id: String, app: App, body: Body) -> Result<Settled, ApiError> {
    let id = path_id(&id, "interaction")?;
    let answer: NewAnswer = body.json()?;
    let interaction = app.dispatcher().answer(id, answer.into()).await?;
    let (outcome, decided_by) = interaction.settled.ok_or_else(|| {
        ApiError::unavailable("not_settled", "the answer was taken and is not kept yet: look again in a moment")
    })?;
    Ok(Settled { id, outcome: outcome.into(), decided_by: decided_by.to_string() })
}
