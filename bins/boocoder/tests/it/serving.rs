//! A real server in a process of its own, and a client of it.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};
use std::time::Duration;

use boocoder_testkit::repo::TestRepo;
use boocoder_wire::http::ServerInfo;
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// The longest that anything here may take; a slow machine is no failure.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);

/// A data directory and a project of one test's own.
pub(crate) struct Place {
    dir: TempDir,
    data: &'static str,
    pub(crate) repo: TestRepo,
}

impl Place {
    pub(crate) fn new() -> Self {
        use std::os::unix::fs::PermissionsExt;
        // The database of a root's server runs as another account, which has to get through.
        let open = std::fs::Permissions::from_mode(0o755);
        let dir = tempfile::Builder::new().permissions(open).tempdir().expect("a directory");
        Self { dir, data: "data", repo: TestRepo::new().expect("a repository") }
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.dir.path().join(self.data)
    }

    /// Moves the data directory, as a human would while no server runs.
    pub(crate) fn move_data(&mut self, name: &'static str) {
        std::fs::rename(self.data_dir(), self.dir.path().join(name)).expect("it can be moved");
        self.data = name;
    }

    /// Puts a configuration file where the program looks for it.
    pub(crate) fn configure(&self, text: &str) {
        let path = self.dir.path().join("config/boocoder/config.toml");
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        std::fs::write(path, text).expect("a file");
    }

    /// The program, in the project, with nothing of the tester's own configuration.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_boocoder"));
        command.args(args).arg("--data-dir").arg(self.data_dir()).current_dir(self.repo.path());
        command.env_remove("DATABASE_URL").env_remove("RUST_LOG").env_remove("BOOCODER_CONFIG");
        command.env("XDG_CONFIG_HOME", self.dir.path().join("config"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }

    /// Runs the program to its end.
    pub(crate) async fn output(&self, args: &[&str]) -> Output {
        let running = self.command(args).spawn().expect("the program starts").wait_with_output();
        timeout(LIMIT, running).await.expect("it ends").expect("it is waited for")
    }

    pub(crate) async fn serve(&self) -> Serving {
        self.serve_with(&[]).await
    }

    /// Starts a server, and waits until it has announced itself.
    pub(crate) async fn serve_with(&self, args: &[&str]) -> Serving {
        let args = [&["serve", "--listen", "127.0.0.1:0"], args].concat();
        let mut child = self.command(&args).spawn().expect("the server starts");
        let pid = child.id().expect("it runs");
        let mut stderr = child.stderr.take().expect("it is piped");
        // A pipe that nobody reads would stop the server in the end.
        let mut log = tokio::spawn(async move {
            let mut log = String::new();
            stderr.read_to_string(&mut log).await.map(|_| log)
        });
        let announced = async {
            loop {
                let text = std::fs::read_to_string(self.data_dir().join("server.json")).unwrap_or_default();
                match serde_json::from_str::<ServerInfo>(&text) {
                    Ok(info) if info.pid == pid => return info,
                    _ => {}
                }
                if let Some(status) = child.try_wait().expect("it can be asked") {
                    let log = (&mut log).await.expect("it is read").unwrap_or_default();
                    panic!("the server ended: {status}\n{log}");
                }
                sleep(Duration::from_millis(20)).await;
            }
        };
        let info = timeout(LIMIT, announced).await.expect("the server is ready in time");
        Serving { child, info, log, http: reqwest::Client::builder().no_proxy().build().expect("a client") }
    }

    /// The project's path, for requests.
    pub(crate) fn path(&self) -> &Path {
        self.repo.path()
    }
}

/// A server that runs.
pub(crate) struct Serving {
    pub(crate) child: Child,
    pub(crate) info: ServerInfo,
    log: tokio::task::JoinHandle<std::io::Result<String>>,
    http: reqwest::Client,
}

/// A client of a session's frames.
pub(crate) struct Listener(WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>>);

impl Serving {
    pub(crate) async fn request(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let method = method.parse().expect("a method");
        let mut request = self.http.request(method, format!("{}{path}", self.info.url)).bearer_auth(&self.info.token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = timeout(LIMIT, request.send()).await.expect("in time").expect("an answer");
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap_or_default())
    }

    /// What a route answers that is no JSON.
    pub(crate) async fn text(&self, path: &str) -> String {
        let request = self.http.get(format!("{}{path}", self.info.url)).bearer_auth(&self.info.token);
        timeout(LIMIT, request.send()).await.expect("in time").expect("an answer").text().await.expect("text")
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let (status, body) = self.request("GET", path, None).await;
        assert_eq!(status, 200, "GET {path}: {body}");
        body
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Value {
        let (status, answer) = self.request("POST", path, Some(body)).await;
        assert!(status < 300, "POST {path}: {status} {answer}");
        answer
    }

    /// A new session on the place's project.
    pub(crate) async fn session(&self, place: &Place) -> String {
        let project = self.post("/api/projects", json!({"path": place.path()})).await;
        let session = self.post("/api/sessions", json!({"project_id": project["id"]})).await;
        session["id"].as_str().expect("an id").to_owned()
    }

    /// Says something to the demo agent, and gives the task's id.
    pub(crate) async fn say(&self, session: &str, content: &str) -> String {
        let message = json!({"content": content, "agent": "demo"});
        let kept = self.post(&format!("/api/sessions/{session}/messages"), message).await;
        kept["task_id"].as_str().expect("an id").to_owned()
    }

    /// Waits until `found` finds what it looks for.
    pub(crate) async fn until<T>(&self, path: &str, found: impl Fn(&Value) -> Option<T>) -> T {
        let looking = async {
            loop {
                if let Some(it) = found(&self.get(path).await) {
                    return it;
                }
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(LIMIT, looking).await.unwrap_or_else(|_| panic!("{path} shows it in time"))
    }

    /// The task, once it has ended.
    pub(crate) async fn ended(&self, task: &str) -> Value {
        let is_final = |task: &Value| ["completed", "failed", "cancelled"].iter().any(|state| task["state"] == *state);
        self.until(&format!("/api/tasks/{task}"), |task| is_final(task).then(|| task.clone())).await
    }

    /// What the demo agent answers.
    pub(crate) async fn answer(&self, session: &str, content: &str) -> String {
        let task = self.ended(&self.say(session, content).await).await;
        assert_eq!(task["state"], "completed", "{content}: {task}");
        task["output"].as_str().expect("an answer").to_owned()
    }

    /// The question that a session's agent asks.
    pub(crate) async fn question(&self, session: &str) -> Value {
        let path = format!("/api/interactions?session_id={session}");
        self.until(&path, |open| open.as_array()?.first().cloned()).await
    }

    pub(crate) async fn listen(&self, session: &str, query: &str) -> Listener {
        Listener(connect_async(self.handshake(session, query)).await.expect("a WebSocket").0)
    }

    pub(crate) fn handshake(
        &self,
        session: &str,
        query: &str,
    ) -> tokio_tungstenite::tungstenite::handshake::client::Request {
        let address = format!("{}/api/sessions/{session}/ws{query}", self.info.url.replacen("http", "ws", 1));
        let mut request = address.into_client_request().expect("an address");
        let bearer = format!("Bearer {}", self.info.token).parse().expect("a header");
        request.headers_mut().insert("authorization", bearer);
        request
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.info.pid as i32).expect("a process id");
        rustix::process::kill_process(pid, signal).expect("it can be signalled");
    }

    /// Waits for the server's end, and gives its status and its log.
    pub(crate) async fn gone(mut self) -> (ExitStatus, String) {
        let status = timeout(LIMIT, self.child.wait()).await.expect("it ends in time").expect("it is waited for");
        let log = timeout(LIMIT, self.log).await.expect("the log ends").expect("it is read").expect("it is UTF-8");
        (status, log)
    }

    /// Kills the server, if it still runs, and gives what it had logged. What it leaves behind may hold its log open.
    pub(crate) async fn killed(mut self) -> String {
        self.child.kill().await.expect("it is ended");
        let log = timeout(Duration::from_secs(2), self.log).await;
        log.ok().and_then(Result::ok).and_then(Result::ok).unwrap_or_default()
    }

    /// Stops the server politely.
    pub(crate) async fn stop(self) -> (ExitStatus, String) {
        self.signal(rustix::process::Signal::TERM);
        self.gone().await
    }
}

impl Listener {
    /// The next frames.
    pub(crate) async fn next(&mut self) -> Option<Vec<Value>> {
        loop {
            match timeout(LIMIT, self.0.next()).await.expect("a frame comes in time")? {
                Ok(Message::Text(text)) => {
                    let frames: Value = serde_json::from_str(&text).expect("JSON");
                    return Some(frames.as_array().cloned().unwrap_or_else(|| vec![frames]));
                }
                Ok(Message::Close(_)) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    pub(crate) async fn send_text(&mut self, text: String) {
        self.0.send(Message::text(text)).await.expect("it is sent");
    }

    /// All frames up to the one that brings this text.
    pub(crate) async fn until_said(&mut self, text: &str) -> Vec<Value> {
        self.until(|frame| frame["type"] == "delta" && frame["content"] == text).await
    }

    /// All frames up to the one that ends the task.
    pub(crate) async fn until_end_of(&mut self, task: &str) -> Vec<Value> {
        let is_end =
            |frame: &Value| frame["type"] == "task_updated" && frame["task_id"] == task && !frame["outcome"].is_null();
        self.until(is_end).await
    }

    pub(crate) async fn until(&mut self, is_last: impl Fn(&Value) -> bool) -> Vec<Value> {
        let mut all = Vec::new();
        loop {
            all.extend(self.next().await.expect("the stream goes on"));
            if let Some(last) = all.iter().position(&is_last) {
                all.truncate(last + 1);
                return all;
            }
        }
    }

    /// The code with which the server closes the stream.
    pub(crate) async fn close_code(&mut self) -> Option<u16> {
        loop {
            match timeout(LIMIT, self.0.next()).await.expect("the stream ends in time")? {
                Ok(Message::Close(reason)) => return reason.map(|reason| reason.code.into()),
                Ok(_) => {}
                Err(_) => return None,
            }
        }
    }
}
