//! Messages: what a human says and what agents answer.

use boocoder_dispatch::{NewMessage, TaskOptions};
use boocoder_model::{ChatId, MessageId};
use boocoder_wire::http::{self, Accepted, EditedMessage, Message, NewSwap};
use serde::Deserialize;
use warp::Filter;
use warp::http::StatusCode;

use super::body::{Body, body};
use super::sessions::session_of;
use super::{Route, any_of, found, path_id, query_id, reply, reply_done, with};
use crate::app::App;
use crate::reject::ApiError;

/// Which messages are meant.
#[derive(Deserialize)]
struct Which {
    chat_id: Option<String>,
    before: Option<String>,
    limit: Option<usize>,
}

pub(super) fn routes(app: &App) -> Route {
    let path = warp::path!("api" / "sessions" / String / "messages");
    let get = path.and(warp::get()).and(warp::query()).and(with(app));
    let post = path.and(warp::post()).and(with(app)).and(body(app));
    let one = warp::path!("api" / "messages" / String);
    let patch = one.and(warp::patch()).and(with(app)).and(body(app));
    let delete = one.and(warp::delete()).and(with(app));
    let swap = warp::path!("api" / "messages" / String / "swap").and(warp::post()).and(with(app)).and(body(app));
    any_of([
        swap.then(|id, app, body| reply_done(swap_places(id, app, body))).boxed(),
        patch.then(|id, app, body| reply(StatusCode::OK, edit(id, app, body))).boxed(),
        delete.then(|id, app| reply_done(remove(id, app))).boxed(),
        get.then(|id, which, app| reply(StatusCode::OK, list(id, which, app))).boxed(),
        post.then(|id, app, body| reply(StatusCode::ACCEPTED, send(id, app, body))).boxed(),
    ])
}

async fn list(id: String, which: Which, app: App) -> Result<Vec<Message>, ApiError> {
    let chat: Option<ChatId> = query_id(which.chat_id.as_deref(), "chat_id")?;
    let session = session_of(&app, &id).await?;
    if let Some(chat) = chat {
        let chat = app.store().chat(chat).await?.filter(|chat| chat.session_id == session.id);
        found(chat, "chat")?;
    }
    let before: Option<MessageId> = query_id(which.before.as_deref(), "before")?;
    let messages = match (before, which.limit) {
        (None, None) => app.dispatcher().messages(session.id, chat).await?,
        (before, limit) => {
            app.dispatcher().messages_page(session.id, chat, before, limit.unwrap_or(usize::MAX)).await?
        }
    };
    Ok(messages.into_iter().map(Into::into).collect())
}

async fn send(id: String, app: App, body: Body) -> Result<Accepted, ApiError> {
    let session_id = path_id(&id, "session")?;
    let message: http::NewMessage = body.json()?;
    let message = NewMessage {
        session_id,
        chat_id: message.chat_id,
        content: message.content.into(),
        options: TaskOptions {
            agent: message.agent.into(),
            model: message.model,
            mode_id: message.mode_id,
            thinking_option_id: message.thinking_option_id,
            approval: message.approval.unwrap_or_default().into(),
            request_id: message.request_id,
        },
    };
    let kept = app.dispatcher().send_message(message).await?;
    Ok(Accepted { message_id: kept.message_id, task_id: kept.task_id, chat_id: kept.chat_id })
}

async fn edit(id: String, app: App, body: Body) -> Result<Message, ApiError> {
    let id = path_id(&id, "message")?;
    let EditedMessage { content } = body.json()?;
    Ok(app.dispatcher().edit_message(id, content.into()).await?.into())
}

async fn swap_places(id: String, app: App, body: Body) -> Result<(), ApiError> {
    let id = path_id(&id, "message")?;
    let NewSwap { with } = body.json()?;
    Ok(app.dispatcher().swap_messages(id, with).await?)
}

async fn remove(id: String, app: App) -> Result<(), ApiError> {
    Ok(app.dispatcher().drop_message(path_id(&id, "message")?).await?)
}
