//! The first version of the server's HTTP protocol, all that is known of it in one place. A second one can stand beside it.
//!
//! Two things make a lenient client wrong here: a path that the server does not know is answered 200 with a web page, and
//! so is a reply to a question that nobody asks. So an answer counts only if it is the JSON that was asked for.

use std::time::Duration;

use futures::StreamExt;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::BackendError;
use crate::limits::{HTTP_ANSWER, MESSAGES_ASKED};

/// The major version that speaks this protocol.
const MAJOR: &str = "1";

/// Whom the password is for, unless the server is told another name.
const USER: &str = "opencode";

/// Where a server listens, and what it wants to hear.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Address {
    pub(super) url: String,
    pub(super) password: String,
}

/// Why a request came to nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApiError {
    #[error("opencode's server cannot be reached: {0}")]
    Unreachable(reqwest::Error),
    #[error("opencode did not answer {path} within {limit:?}")]
    Late { path: String, limit: Duration },
    #[error("opencode refused {path}: {message} ({status})")]
    Refused { path: String, status: u16, message: String },
    #[error("opencode's answer to {path} is not what was asked for: {detail}")]
    Odd { path: String, detail: String },
}

impl From<ApiError> for BackendError {
    fn from(error: ApiError) -> Self {
        match error {
            ApiError::Unreachable(_) => Self::Closed,
            ApiError::Refused { status, message, .. } => Self::Agent { code: i64::from(status), message },
            ApiError::Late { .. } | ApiError::Odd { .. } => Self::Protocol(error.to_string()),
        }
    }
}

/// What is asked in a turn.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Asked {
    /// Our id for the message.
    pub(super) id: String,
    pub(super) parts: Vec<Value>,
    /// `provider/model`.
    pub(super) model: Option<String>,
    pub(super) mode: Option<String>,
    pub(super) variant: Option<String>,
    /// A slash command and its arguments, if it is one.
    pub(super) command: Option<(String, String)>,
}

/// A server, seen from one directory.
#[derive(Clone, Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    address: Address,
    directory: String,
    limit: Duration,
}

/// How a session stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Snapshot {
    /// It works on something.
    pub(super) is_busy: bool,
    /// Its latest messages with their parts, and those of sessions that it has started for parts of its work.
    pub(super) messages: Vec<Value>,
    /// Sessions that it has started.
    pub(super) children: Vec<Value>,
    /// Permissions that are asked for in this directory.
    pub(super) permissions: Vec<Value>,
    /// Questions that are open in this directory.
    pub(super) questions: Vec<Value>,
}

impl Client {
    /// A client whose requests may each take so long.
    pub(super) fn new(address: Address, directory: String, limit: Duration) -> Result<Self, ApiError> {
        let http = reqwest::Client::builder().connect_timeout(limit).build().map_err(ApiError::Unreachable)?;
        Ok(Self { http, address, directory, limit })
    }

    /// Asks for the version, and makes sure that it speaks this protocol.
    pub(super) async fn version(&self) -> Result<String, BackendError> {
        let health = self.get("/global/health").await?;
        let version = health["version"].as_str().unwrap_or_default().to_owned();
        check_version(&version)?;
        Ok(version)
    }

    /// Whether the server has this session.
    pub(super) async fn has_session(&self, id: &str) -> Result<bool, ApiError> {
        match self.get(&format!("/session/{id}")).await {
            Ok(session) => Ok(session["id"].as_str() == Some(id)),
            Err(ApiError::Refused { status: 400..500, .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Begins a session. It gets a title at once: without one the server asks the model for it, and does not tell what
    /// that cost.
    pub(super) async fn create_session(&self, title: &str) -> Result<String, ApiError> {
        let path = "/session";
        let session = self.post(path, &json!({ "title": title })).await?;
        match session["id"].as_str() {
            Some(id) if !id.is_empty() => Ok(id.to_owned()),
            Some(_) | None => Err(odd(path, "it has no id")),
        }
    }

    /// Sends a prompt. The answer comes by the events; the server only says that it has it. A slash command is answered
    /// when its turn is over, so that nobody waits for it here.
    pub(super) async fn prompt(&self, session: &str, asked: &Asked) -> Result<(), ApiError> {
        if let Some((command, arguments)) = &asked.command {
            let mut body = json!({ "messageID": asked.id, "command": command, "arguments": arguments });
            put(&mut body, "model", asked.model.as_deref().map(Value::from));
            put(&mut body, "agent", asked.mode.as_deref().map(Value::from));
            put(&mut body, "variant", asked.variant.as_deref().map(Value::from));
            let path = format!("/session/{session}/command");
            let request = self.request(Method::POST, &path).json(&body);
            return self.answer(&path, request, None).await.map(drop);
        }
        let mut body = json!({ "messageID": asked.id, "parts": asked.parts });
        let model = asked.model.as_deref().and_then(|model| model.split_once('/'));
        put(&mut body, "model", model.map(|(provider, model)| json!({ "providerID": provider, "modelID": model })));
        put(&mut body, "agent", asked.mode.as_deref().map(Value::from));
        put(&mut body, "variant", asked.variant.as_deref().map(Value::from));
        let path = format!("/session/{session}/prompt_async");
        let request = self.request(Method::POST, &path).json(&body);
        self.answer(&path, request, Some(self.limit)).await.map(drop)
    }

    /// Stops what the session does. Open questions stay open; see [`Self::reply`].
    pub(super) async fn abort(&self, session: &str) -> Result<(), ApiError> {
        self.post(&format!("/session/{session}/abort"), &json!({})).await.map(drop)
    }

    /// Answers a permission or a question, which must be known to be open: the server says yes to any id.
    pub(super) async fn reply(&self, path: &str, body: &Value) -> Result<(), ApiError> {
        let answer = self.post(path, body).await?;
        if answer.as_bool() == Some(true) { Ok(()) } else { Err(odd(path, &format!("it is {answer}"))) }
    }

    /// The permissions that are asked for in this directory.
    pub(super) async fn permissions(&self) -> Result<Vec<Value>, ApiError> {
        self.list("/permission").await
    }

    /// The questions that are open in this directory.
    pub(super) async fn questions(&self) -> Result<Vec<Value>, ApiError> {
        self.list("/question").await
    }

    /// How a session stands; of sessions that it has started, those since `since`, in milliseconds since 1970.
    pub(super) async fn snapshot(&self, session: &str, since: u64) -> Result<Snapshot, ApiError> {
        let is_busy = self.is_busy(session).await?;
        let mut messages = self.list(&format!("/session/{session}/message?limit={MESSAGES_ASKED}")).await?;
        let mut children = self.list(&format!("/session/{session}/children")).await?;
        children.retain(|child| child["time"]["created"].as_u64().is_none_or(|created| created >= since));
        for child in &children {
            let Some(id) = child["id"].as_str() else { continue };
            messages.splice(0..0, self.list(&format!("/session/{id}/message?limit={MESSAGES_ASKED}")).await?);
        }
        Ok(Snapshot {
            is_busy,
            messages,
            children,
            permissions: self.permissions().await?,
            questions: self.questions().await?,
        })
    }

    /// Whether a session works on something.
    pub(super) async fn is_busy(&self, session: &str) -> Result<bool, ApiError> {
        let status = self.get("/session/status").await?;
        Ok(!matches!(status[session]["type"].as_str(), None | Some("idle")))
    }

    /// The models, with their providers.
    pub(super) async fn providers(&self) -> Result<Value, ApiError> {
        self.get("/config/providers").await
    }

    /// The modes, which this server calls agents.
    pub(super) async fn modes(&self) -> Result<Vec<Value>, ApiError> {
        self.list("/agent").await
    }

    /// The configuration in this directory.
    pub(super) async fn config(&self) -> Result<Value, ApiError> {
        self.get("/config").await
    }

    /// The slash commands.
    pub(super) async fn commands(&self) -> Result<Value, ApiError> {
        self.get("/command").await
    }

    /// Opens the stream of events of this directory.
    pub(super) async fn events(&self) -> Result<Response, ApiError> {
        let path = "/event";
        let request = self.request(Method::GET, path).header("accept", "text/event-stream").send();
        let response = tokio::time::timeout(self.limit, request).await;
        let late = |_| ApiError::Late { path: path.to_owned(), limit: self.limit };
        let response = response.map_err(late)?.map_err(ApiError::Unreachable)?;
        if response.status() != StatusCode::OK || !has_type(&response, "text/event-stream") {
            return Err(odd(path, &format!("it is no stream of events ({})", response.status())));
        }
        Ok(response)
    }

    async fn list(&self, path: &str) -> Result<Vec<Value>, ApiError> {
        let Value::Array(list) = self.get(path).await? else { return Err(odd(path, "it is no list")) };
        Ok(list)
    }

    async fn get(&self, path: &str) -> Result<Value, ApiError> {
        self.answer(path, self.request(Method::GET, path), Some(self.limit)).await
    }

    async fn post(&self, path: &str, body: &Value) -> Result<Value, ApiError> {
        self.answer(path, self.request(Method::POST, path).json(body), Some(self.limit)).await
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.address.url));
        let request = request.basic_auth(USER, Some(&self.address.password));
        // What concerns the server as a whole must not make it load a directory.
        if path.starts_with("/global/") { request } else { request.query(&[("directory", &self.directory)]) }
    }

    async fn answer(&self, path: &str, request: RequestBuilder, limit: Option<Duration>) -> Result<Value, ApiError> {
        let answering = async {
            let response = request.send().await.map_err(ApiError::Unreachable)?;
            let (status, is_json) = (response.status(), has_type(&response, "application/json"));
            let body = body(path, response).await?;
            if status == StatusCode::NO_CONTENT {
                return Ok(Value::Null);
            }
            let value = if is_json { serde_json::from_slice(&body).ok() } else { None };
            match value {
                Some(value) if status.is_success() => Ok(value),
                value if !status.is_success() => {
                    let message = value.as_ref().map(refusal).unwrap_or_default();
                    Err(ApiError::Refused { path: path.to_owned(), status: status.as_u16(), message })
                }
                _ => Err(odd(path, "it is no JSON")),
            }
        };
        match limit {
            None => answering.await,
            Some(limit) => match tokio::time::timeout(limit, answering).await {
                Ok(answer) => answer,
                Err(_) => Err(ApiError::Late { path: path.to_owned(), limit }),
            },
        }
    }
}

/// Whether a version of opencode is one whose HTTP server this program can use: its major version is 1.
///
/// # Errors
/// [`BackendError::Unsupported`], which says what to configure instead.
pub fn check_version(version: &str) -> Result<(), BackendError> {
    if version.split('.').next() == Some(MAJOR) {
        return Ok(());
    }
    let theirs = if version.is_empty() { "unknown" } else { version };
    Err(BackendError::Unsupported(format!(
        "being run as a server in version {theirs}: this program knows version {MAJOR}; set protocol = \"acp\" and args = [\"acp\"] for it"
    )))
}

fn odd(path: &str, detail: &str) -> ApiError {
    ApiError::Odd { path: path.to_owned(), detail: detail.to_owned() }
}

fn put(body: &mut Value, name: &str, value: Option<Value>) {
    if let Some(value) = value {
        body[name] = value;
    }
}

fn has_type(response: &Response, kind: &str) -> bool {
    let told = response.headers().get("content-type").and_then(|told| told.to_str().ok());
    told.is_some_and(|told| told.starts_with(kind))
}

/// What an error says: several shapes are in use.
fn refusal(value: &Value) -> String {
    let told = [&value["data"]["message"], &value["message"], &value["error"]["message"], &value["error"]];
    told.into_iter().find_map(Value::as_str).map_or_else(|| value.to_string(), str::to_owned)
}

async fn body(path: &str, response: Response) -> Result<Vec<u8>, ApiError> {
    let mut stream = response.bytes_stream();
    let mut body = Vec::new();
    while let Some(chunk) = stream.next().await {
        body.extend_from_slice(&chunk.map_err(ApiError::Unreachable)?);
        if body.len() > HTTP_ANSWER {
            return Err(odd(path, &format!("it is longer than {HTTP_ANSWER} bytes")));
        }
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_major_version_is_refused_in_words() {
        check_version("1.18.33").expect("known");
        for version in ["2.0.1", "0.9", "", "10.0"] {
            let error = check_version(version).expect_err("unknown").to_string();
            assert!(error.contains("this program knows version 1"), "{error}");
        }
    }
}
