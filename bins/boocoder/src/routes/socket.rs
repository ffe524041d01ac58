//! The WebSocket: a session's frames as they come, and on request every earlier one first.

use std::time::Duration;

use boocoder_dispatch::Subscription;
use boocoder_model::Seq;
use boocoder_store::StoredFrame;
use futures::stream::SplitSink;
use futures::{SinkExt, StreamExt};
use serde::Deserialize;
use tokio::time::{MissedTickBehavior, interval, timeout};
use warp::Filter;
use warp::reply::{Reply, Response};
use warp::ws::{Message, WebSocket, Ws};

use super::sessions::session_of;
use super::{Route, with};
use crate::app::App;
use crate::limits::SOCKET_CLOSE;
use crate::reject::ApiError;

/// There is nothing left to tell.
const NORMAL: u16 = 1000;
/// The server goes away.
const GOING_AWAY: u16 = 1001;
/// The server cannot go on for a reason of its own.
const INTERNAL_ERROR: u16 = 1011;

/// Where to begin.
#[derive(Deserialize)]
struct Start {
    after: Option<Seq>,
}

pub(super) fn routes(app: &App) -> Route {
    warp::path!("api" / "sessions" / String / "ws")
        .and(warp::get())
        .and(warp::query())
        .and(warp::ws())
        .and(with(app))
        .then(async |id: String, start, ws, app| match open(&id, start, ws, &app).await {
            Ok(response) => response,
            Err(error) => error.into_response(),
        })
        .boxed()
}

/// Subscribes before the upgrade is answered, so that a client that has its socket misses nothing from then on.
async fn open(id: &str, start: Start, ws: Ws, app: &App) -> Result<Response, ApiError> {
    let session = session_of(app, id).await?;
    let permit = app.sockets().clone().try_acquire_owned().map_err(|_| {
        ApiError::unavailable("too_many_sockets", format!("{} WebSockets are open already", app.limits().sockets))
    })?;
    let after = match start.after {
        Some(after) => after,
        None => app.store().last_seq(session.id).await?,
    };
    let subscription = app.dispatcher().subscribe(session.id, after).await?;
    let (app, tracked) = (app.clone(), app.tracker().token());
    let bytes = app.limits().socket_message_bytes;
    let upgrade = ws.max_message_size(bytes).max_frame_size(bytes).on_upgrade(async move |socket| {
        serve(socket, subscription, &app).await;
        drop((permit, tracked));
    });
    Ok(upgrade.into_response())
}

async fn serve(socket: WebSocket, mut frames: Subscription, app: &App) {
    let (mut out, mut incoming) = socket.split();
    let limits = app.limits();
    let mut pings = interval(limits.socket_ping);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut silent = 0;
    let farewell = loop {
        tokio::select! {
            biased;
            () = app.stop().cancelled() => break Some((GOING_AWAY, "the server is shutting down")),
            heard = incoming.next() => match heard {
                Some(Ok(message)) if message.is_close() => break None,
                Some(Ok(_)) => silent = 0,
                Some(Err(_)) | None => break None,
            },
            batch = frames.next() => match batch {
                Ok(Some(batch)) => {
                    if !send(&mut out, Message::text(text_of(&batch)), limits.socket_send, app).await {
                        break None;
                    }
                }
                Ok(None) if frames.is_session_removed() => break Some((NORMAL, "the session was removed")),
                // The dispatcher shuts down a moment before the sockets are told to.
                Ok(None) => break Some((GOING_AWAY, "the server is shutting down")),
                Err(error) => {
                    tracing::warn!(%error, "a session's frames cannot be read");
                    break Some((INTERNAL_ERROR, "the frames cannot be read; come back with `after`"));
                }
            },
            _ = pings.tick() => {
                if silent > 1 || !send(&mut out, Message::ping(Vec::new()), limits.socket_send, app).await {
                    break None;
                }
                silent += 1;
            }
        }
    };
    // A message that was on its way when the server was told to stop is no reason to go without a word.
    let going_away = app.stop().is_cancelled().then_some((GOING_AWAY, "the server is shutting down"));
    if let Some((code, reason)) = farewell.or(going_away) {
        // A client that does not take the good-bye is cut off a moment later all the same.
        let _unheard = timeout(SOCKET_CLOSE, out.send(Message::close_with(code, reason))).await;
    }
}

/// Sends a message, unless the client does not take it within the limit or the server goes meanwhile.
async fn send(out: &mut SplitSink<WebSocket, Message>, message: Message, limit: Duration, app: &App) -> bool {
    let sent = async { timeout(limit, out.send(message)).await.is_ok_and(|sent| sent.is_ok()) };
    app.stop().run_until_cancelled(sent).await.unwrap_or_default()
}

/// One frame as it is; several as a JSON array.
fn text_of(batch: &[StoredFrame]) -> String {
    if let [frame] = batch {
        return frame.body.as_ref().to_owned();
    }
    let bytes: usize = batch.iter().map(|frame| frame.body.len() + 1).sum();
    let mut text = String::with_capacity(bytes + 1);
    for frame in batch {
        text.push(if text.is_empty() { '[' } else { ',' });
        text.push_str(&frame.body);
    }
    text.push(']');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use boocoder_model::SessionId;

    fn frame(seq: u64) -> StoredFrame {
        let session_id = SessionId::from_uuid(uuid::Uuid::nil());
        StoredFrame { session_id, seq: Seq(seq), body: format!(r#"{{"seq":{seq}}}"#).into() }
    }

    #[test]
    fn one_frame_stands_alone_and_several_stand_in_an_array() {
        assert_eq!(text_of(&[frame(1)]), r#"{"seq":1}"#);
        assert_eq!(text_of(&[frame(1), frame(2), frame(3)]), r#"[{"seq":1},{"seq":2},{"seq":3}]"#);
    }
}
