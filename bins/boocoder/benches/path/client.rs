//! A real server in a directory of its own, and a client of it.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use boocoder_testkit::agents::{self, AgentLaunch};
use boocoder_testkit::llm::MockModel;
use boocoder_testkit::repo::TestRepo;
use futures::{SinkExt, StreamExt};
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// Nothing comes for so long once a log has been read to its end.
const QUIET: Duration = Duration::from_millis(500);

pub(crate) struct Server {
    process: Child,
    http: reqwest::Client,
    url: String,
    token: String,
    project: String,
    opencode: AgentLaunch,
    _repo: TestRepo,
    _model: MockModel,
    _dir: TempDir,
}

impl Server {
    /// Starts the server with the measuring agent and with real qwen and goose on the mock model.
    pub(crate) async fn start() -> Self {
        let dir = tempfile::Builder::new().prefix("boocoder-bench-").tempdir_in("/tmp").unwrap();
        open_to_all(dir.path());
        let model = MockModel::start().unwrap();
        let config = dir.path().join("config.toml");
        let home = dir.path().join("home-opencode");
        std::fs::create_dir_all(&home).unwrap();
        let opencode = agents::opencode_server(&model, &home).unwrap();
        std::fs::write(&config, configuration(&model, dir.path(), &opencode)).unwrap();
        let (process, url, token) = launch(dir.path()).await;
        let repo = TestRepo::new().unwrap();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut server =
            Self { process, http, url, token, project: String::new(), opencode, _model: model, _dir: dir, _repo: repo };
        let path = server._repo.path().to_owned();
        server.project = id(&server.post("/api/projects", json!({ "path": path })).await);
        server
    }

    pub(crate) async fn stop(mut self) {
        self.end(Signal::TERM).await;
    }

    /// Ends the server by this signal, and starts it again. Says how long the start took.
    pub(crate) async fn restart(&mut self, signal: Signal) -> Duration {
        self.end(signal).await;
        // A killed one has left it there.
        let _ = std::fs::remove_file(self._dir.path().join("data/server.json"));
        let begin = Instant::now();
        (self.process, self.url, self.token) = launch(self._dir.path()).await;
        begin.elapsed()
    }

    async fn end(&mut self, signal: Signal) {
        let pid = rustix::process::Pid::from_raw(i32::try_from(self.pid()).unwrap()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
        self.process.wait().await.unwrap();
    }

    /// Reads a session's log from its beginning: the frames, their bytes, and how long that took.
    pub(crate) async fn replay(&self, session: &str) -> (usize, usize, Duration) {
        let log = self.get(&format!("/api/sessions/{session}")).await;
        assert_eq!(log["id"], session);
        let begin = Instant::now();
        let mut socket = self.watch(session).await;
        let (mut frames, mut bytes) = (0, 0);
        // The log has ended when nothing comes for a while, which does not count.
        while let Ok(Some(message)) = tokio::time::timeout(QUIET, socket.next()).await {
            if let Message::Text(text) = message.unwrap() {
                bytes += text.len();
                frames += text.matches("{\"seq\":").count();
            }
        }
        (frames, bytes, begin.elapsed() - QUIET)
    }

    async fn watch(&self, session: &str) -> WebSocketStream<MaybeTlsStream<TcpStream>> {
        let url = format!("{}/api/sessions/{session}/ws?after=0", self.url.replace("http", "ws"));
        let mut request = url.into_client_request().unwrap();
        request.headers_mut().insert("authorization", format!("Bearer {}", self.token).parse().unwrap());
        connect_async(request).await.unwrap().0
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id().unwrap()
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Value {
        let request = self.http.post(format!("{}{path}", self.url)).bearer_auth(&self.token).json(&body);
        let answer = request.send().await.unwrap().error_for_status().unwrap();
        answer.json().await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let request = self.http.get(format!("{}{path}", self.url)).bearer_auth(&self.token);
        request.send().await.unwrap().error_for_status().unwrap().json().await.unwrap()
    }

    /// The event stream of opencode's server, in a session's worktree.
    pub(crate) async fn opencode_events(&self, session: &str) -> reqwest::Response {
        let data = self._dir.path().join("data");
        let host = data.join("servers").read_dir().unwrap().next().unwrap().unwrap().path();
        let listening: Value = serde_json::from_slice(&std::fs::read(host.join("address.json")).unwrap()).unwrap();
        let address = &listening["address"];
        let worktree = data.join("worktrees").join(format!("session-{session}"));
        let url = format!("{}/event?directory={}", address["url"].as_str().unwrap(), worktree.display());
        let request = self.http.get(url).basic_auth("opencode", address["password"].as_str());
        request.send().await.unwrap().error_for_status().unwrap()
    }

    /// `opencode run`, which starts from nothing.
    pub(crate) fn opencode_run(&self, prompt: &str) -> std::process::Command {
        let launch = AgentLaunch { args: vec!["run".to_owned(), prompt.to_owned()], ..self.opencode.clone() };
        launch.to_command(self._repo.path())
    }

    /// A new session with one chat, watched.
    pub(crate) async fn session(&self) -> Session<'_> {
        let made = self.post("/api/sessions", json!({ "project_id": self.project })).await;
        let id = id(&made);
        let socket = self.watch(&id).await;
        Session { server: self, id, socket }
    }

    /// Runs a task without a chat to its end.
    pub(crate) async fn one_shot(&self, agent: &str, input: &str) {
        let task = json!({ "project_id": self.project, "agent": agent, "input": input, "approval": "auto" });
        let id = id(&self.post("/api/tasks", task).await);
        loop {
            let task = self.get(&format!("/api/tasks/{id}")).await;
            match task["state"].as_str().unwrap() {
                "queued" | "running" => tokio::time::sleep(Duration::from_millis(2)).await,
                "completed" => return,
                other => panic!("the task is {other}: {task}"),
            }
        }
    }
}

pub(crate) struct Session<'a> {
    server: &'a Server,
    pub(crate) id: String,
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Session<'_> {
    /// Sends a message and hands every frame of its turn to `see`.
    pub(crate) async fn turn(&mut self, agent: &str, content: &str, mut see: impl FnMut(&Value)) {
        let message = json!({ "content": content, "agent": agent, "approval": "auto" });
        let sent = self.server.post(&format!("/api/sessions/{}/messages", self.id), message).await;
        loop {
            match self.socket.next().await.unwrap().unwrap() {
                Message::Text(text) => {
                    let message: Value = serde_json::from_str(&text).unwrap();
                    let frames = message.as_array().map_or(std::slice::from_ref(&message), Vec::as_slice);
                    frames.iter().for_each(&mut see);
                    let ended = |frame: &&Value| frame["type"] == "task_updated" && frame["outcome"].is_object();
                    if let Some(end) = frames.iter().filter(ended).find(|frame| frame["task_id"] == sent["task_id"]) {
                        assert_eq!(end["state"], "completed", "{end}");
                        return;
                    }
                }
                Message::Ping(data) => self.socket.send(Message::Pong(data)).await.unwrap(),
                Message::Binary(_) | Message::Pong(_) | Message::Frame(_) => {}
                Message::Close(reason) => panic!("the server closed the stream: {reason:?}"),
            }
        }
    }
}

/// Starts a server in this directory, and waits until it is ready.
async fn launch(dir: &Path) -> (Child, String, String) {
    let data = dir.join("data");
    let process = Command::new(env!("CARGO_BIN_EXE_boocoder"))
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(&data)
        .arg("--config")
        .arg(dir.join("config.toml"))
        .env_remove("DATABASE_URL")
        .env("RUST_LOG", "warn")
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    loop {
        match std::fs::read_to_string(data.join("server.json")) {
            Ok(text) => {
                let info: Value = serde_json::from_str(&text).unwrap();
                let text = |key: &str| info[key].as_str().unwrap().to_owned();
                return (process, text("url"), text("token"));
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(2)).await,
        }
    }
}

fn id(made: &Value) -> String {
    made["id"].as_str().unwrap().to_owned()
}

/// The embedded database may run under another account than ours.
fn open_to_all(dir: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn configuration(model: &MockModel, dir: &Path, opencode: &AgentLaunch) -> String {
    let mut config = format!(
        "[limits.turns]\nmax_warm = 500\nmax_running = 200\n[agents.measured]\ncommand = {:?}\nargs = [\"agent\"]\n\n",
        std::env::current_exe().unwrap().display().to_string()
    );
    for name in ["qwen", "goose", "opencode"] {
        let home = dir.join(format!("home-{name}"));
        std::fs::create_dir_all(&home).unwrap();
        let AgentLaunch { command, args, env } = match name {
            "qwen" => agents::qwen(model, &home).unwrap(),
            "goose" => agents::goose(model, &home).unwrap(),
            _ => opencode.clone(),
        };
        config += &format!("[agents.{name}]\ncommand = {:?}\nargs = {args:?}\n", command.display().to_string());
        config += &format!("[agents.{name}.env]\n");
        for (key, value) in env {
            config += &format!("{key} = {value:?}\n");
        }
    }
    config
}
