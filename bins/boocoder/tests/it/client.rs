//! A client that bears with a server that comes and goes: it looks up the address and asks again.

use std::path::PathBuf;
use std::time::Duration;

use boocoder_wire::http::ServerInfo;
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::serving::{LIMIT, Place};

/// How long one request may take before it is asked again.
const REQUEST: Duration = Duration::from_secs(30);

/// The pause before something is asked again.
const AGAIN: Duration = Duration::from_millis(10);

pub(crate) type Socket = WebSocketStream<TcpStream>;

#[derive(Clone)]
pub(crate) struct Client {
    announcement: PathBuf,
    http: reqwest::Client,
}

impl Client {
    pub(crate) fn of(place: &Place) -> Self {
        let http = reqwest::Client::builder().no_proxy().timeout(REQUEST).build().expect("a client");
        Self { announcement: place.data_dir().join("server.json"), http }
    }

    fn info(&self) -> Option<ServerInfo> {
        serde_json::from_str(&std::fs::read_to_string(&self.announcement).ok()?).ok()
    }

    /// One request; none if it was not answered whole.
    pub(crate) async fn attempt(&self, method: &str, path: &str, body: Option<&Value>) -> Option<(u16, Value)> {
        let info = self.info()?;
        let method = method.parse().expect("a method");
        let mut request = self.http.request(method, format!("{}{path}", info.url)).bearer_auth(&info.token);
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.ok()?;
        let status = answer.status().as_u16();
        let text = answer.text().await.ok()?;
        Some((status, if text.is_empty() { Value::Null } else { serde_json::from_str(&text).ok()? }))
    }

    /// Asks until there is an answer other than "not now".
    pub(crate) async fn call(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let asking = async {
            loop {
                match self.attempt(method, path, body.as_ref()).await {
                    Some((503, _)) | None => sleep(AGAIN).await,
                    Some(answer) => return answer,
                }
            }
        };
        timeout(LIMIT, asking).await.unwrap_or_else(|_| panic!("{method} {path} is answered in time"))
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let (status, body) = self.call("GET", path, None).await;
        assert_eq!(status, 200, "GET {path}: {body}");
        body
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Value {
        let (status, answer) = self.call("POST", path, Some(body)).await;
        assert!(status < 300, "POST {path}: {status} {answer}");
        answer
    }

    /// The project of the place.
    pub(crate) async fn project(&self, place: &Place) -> String {
        id(&self.post("/api/projects", json!({"path": place.path()})).await)
    }

    /// A new session, with its first chat.
    pub(crate) async fn session(&self, project: &str) -> (String, String) {
        let made = self.post("/api/sessions", json!({"project_id": project})).await;
        (id(&made), id(&made["chats"][0]))
    }

    /// Says something to the demo agent until it is acknowledged, and gives the task's id.
    pub(crate) async fn say(&self, session: &str, chat: &str, content: &str, request: &str) -> String {
        let message = json!({"content": content, "agent": "demo", "chat_id": chat, "request_id": request});
        let kept = self.post(&format!("/api/sessions/{session}/messages"), message).await;
        kept["task_id"].as_str().expect("an id").to_owned()
    }

    /// The task, once it has ended.
    pub(crate) async fn ended(&self, task: &str) -> Value {
        let path = format!("/api/tasks/{task}");
        let looking = async {
            loop {
                let task = self.get(&path).await;
                if is_final(&task) {
                    return task;
                }
                sleep(AGAIN * 2).await;
            }
        };
        timeout(LIMIT, looking).await.unwrap_or_else(|_| panic!("task {task} ends in time"))
    }

    /// A stream of the session's frames behind `after`. A small `buffer` for what is received makes it lag soon.
    pub(crate) async fn connect(&self, session: &str, after: usize, buffer: Option<u32>) -> Option<Socket> {
        let info = self.info()?;
        let host = info.url.strip_prefix("http://")?;
        let address = format!("ws://{host}/api/sessions/{session}/ws?after={after}");
        let mut request = address.into_client_request().expect("an address");
        let bearer = format!("Bearer {}", info.token).parse().expect("a header");
        request.headers_mut().insert("authorization", bearer);
        let socket = TcpSocket::new_v4().expect("a socket");
        if let Some(bytes) = buffer {
            socket.set_recv_buffer_size(bytes).expect("a size");
        }
        let connecting = async {
            let stream = socket.connect(host.parse().expect("an address")).await.ok()?;
            client_async(request, stream).await.ok().map(|(socket, _)| socket)
        };
        timeout(REQUEST, connecting).await.ok()?
    }
}

pub(crate) fn is_final(task: &Value) -> bool {
    ["completed", "failed", "cancelled"].iter().any(|state| task["state"] == *state)
}

pub(crate) fn id(made: &Value) -> String {
    made["id"].as_str().expect("an id").to_owned()
}
