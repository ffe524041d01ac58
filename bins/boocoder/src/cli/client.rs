//! A client of a running server: requests, and the stream of a session's frames.

use anyhow::{Context, anyhow, bail};
use boocoder_model::{Seq, SessionId};
use boocoder_wire::http::ServerInfo;
use boocoder_wire::{Frame, Problem};
use futures::{SinkExt, StreamExt};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as SocketError, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use crate::limits::{CLIENT_PROBE, CLIENT_REQUEST, STREAM_MESSAGE_BYTES};

/// Talks to one server.
pub(super) struct Client {
    http: reqwest::Client,
    info: ServerInfo,
}

impl Client {
    pub(super) fn new(info: ServerInfo) -> anyhow::Result<Self> {
        let headers = HeaderMap::from_iter([(AUTHORIZATION, bearer(&info)?)]);
        // What is meant for loopback must not take a detour over a proxy.
        let http = reqwest::Client::builder().default_headers(headers).no_proxy().build();
        Ok(Self { http: http.context("no HTTP client")?, info })
    }

    /// How the server announced itself.
    pub(super) fn info(&self) -> &ServerInfo {
        &self.info
    }

    /// Where the server is.
    pub(super) fn url(&self) -> &str {
        &self.info.url
    }

    /// Whether a server answers there that knows the token. Another program may have the port by now.
    pub(super) async fn is_alive(&self) -> bool {
        let asked = self.http.get(format!("{}/api/ready", self.info.url)).timeout(CLIENT_PROBE).send().await;
        asked.is_ok_and(|answer| matches!(answer.status(), StatusCode::OK | StatusCode::SERVICE_UNAVAILABLE))
    }

    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        self.ask(Method::GET, path, None::<&()>).await
    }

    pub(super) async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> anyhow::Result<T> {
        self.ask(Method::POST, path, Some(body)).await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        how: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> anyhow::Result<T> {
        let mut request = self.http.request(how, format!("{}{path}", self.info.url)).timeout(CLIENT_REQUEST);
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer =
            request.send().await.with_context(|| format!("the server at {} does not answer", self.info.url))?;
        let status = answer.status();
        let text = answer.text().await.context("the server's answer broke off")?;
        if !status.is_success() {
            return Err(match serde_json::from_str::<Problem>(&text) {
                Ok(problem) => anyhow!("{} ({status}, {})", problem.error, problem.code),
                Err(_) => anyhow!("the server answered {status}: {text}"),
            });
        }
        serde_json::from_str(&text).with_context(|| format!("the server's answer to {path} cannot be read"))
    }

    /// Opens the stream of a session's frames, after `after` or from now on.
    pub(super) async fn frames(&self, session: SessionId, after: Option<Seq>) -> anyhow::Result<Frames> {
        let from = after.map_or_else(String::new, |after| format!("?after={after}"));
        let address = format!("{}/api/sessions/{session}/ws{from}", self.info.url.replacen("http", "ws", 1));
        let mut request = address.into_client_request().context("the server's address cannot be used")?;
        request.headers_mut().insert(AUTHORIZATION, bearer(&self.info)?);
        let config = WebSocketConfig::default()
            .max_message_size(Some(STREAM_MESSAGE_BYTES))
            .max_frame_size(Some(STREAM_MESSAGE_BYTES));
        let opening = connect_async_with_config(request, Some(config), true);
        let opened =
            tokio::time::timeout(CLIENT_REQUEST, opening).await.context("the stream of frames did not open")?;
        match opened {
            Ok((socket, _)) => Ok(Frames { socket }),
            Err(SocketError::Http(answer)) => bail!("the stream of frames was refused: {}", answer.status()),
            Err(error) => Err(error).context("the stream of frames cannot be opened"),
        }
    }
}

fn bearer(info: &ServerInfo) -> anyhow::Result<HeaderValue> {
    let mut value = HeaderValue::try_from(format!("Bearer {}", info.token)).context("server.json holds no token")?;
    value.set_sensitive(true);
    Ok(value)
}

/// A frame as it came.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) seq: Seq,
    /// The JSON text.
    pub(super) text: String,
    /// What it tells; none for a type that a newer server has and this program does not know.
    pub(super) frame: Option<Frame>,
}

/// The frames of a session, in order.
pub(super) struct Frames {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Frames {
    /// The next frames, or none when the stream has broken. Cancel-safe.
    pub(super) async fn next(&mut self) -> anyhow::Result<Option<Vec<Line>>> {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => return lines(&text).map(Some),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return Ok(None),
                Some(Ok(Message::Ping(_))) => self.flush_pong().await,
                Some(Ok(Message::Binary(_) | Message::Pong(_) | Message::Frame(_))) => {}
            }
        }
    }

    /// The socket has queued its pong by itself. If it cannot be sent, the next read tells.
    async fn flush_pong(&mut self) {
        let _told_by_the_next_read = self.socket.flush().await;
    }
}

fn lines(text: &str) -> anyhow::Result<Vec<Line>> {
    let frames: Vec<&RawValue> = if text.trim_start().starts_with('[') {
        serde_json::from_str(text).context("the server sent an array that cannot be read")?
    } else {
        vec![serde_json::from_str(text).context("the server sent a frame that cannot be read")?]
    };
    frames.into_iter().map(line).collect()
}

fn line(frame: &RawValue) -> anyhow::Result<Line> {
    #[derive(serde::Deserialize)]
    struct Numbered {
        seq: Seq,
    }
    let text = frame.get().to_owned();
    let Numbered { seq } = serde_json::from_str(&text).context("the server sent a frame without a number")?;
    Ok(Line { seq, frame: serde_json::from_str(&text).ok(), text })
}

#[cfg(test)]
mod tests {
    use super::*;
    use boocoder_wire::FrameBody;

    #[test]
    fn one_frame_and_several_are_read_alike() {
        let one = lines(r#"{"seq":4,"type":"delta","content":"a"}"#).unwrap();
        assert_eq!((one.len(), one[0].seq), (1, Seq(4)));
        let two = lines(r#"[{"seq":5,"type":"delta","content":"a"},{"seq":6,"type":"novelty","x":{"y":1}}]"#).unwrap();
        assert_eq!(two[0].frame.as_ref().unwrap().body, FrameBody::Delta { content: "a".into() });
        assert_eq!((two[1].seq, two[1].frame.as_ref()), (Seq(6), None));
        assert_eq!(two[1].text, r#"{"seq":6,"type":"novelty","x":{"y":1}}"#, "an unknown frame is kept as it came");
        assert!(lines("nonsense").is_err() && lines(r#"{"type":"delta"}"#).is_err());
    }
}
