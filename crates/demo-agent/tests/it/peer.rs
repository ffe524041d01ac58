//! A client small enough to trust: it writes JSON lines, reads JSON lines, and answers what it is asked.

use std::{collections::VecDeque, path::PathBuf, time::Duration};

use boocoder_demo_agent::{DemoError, Options, run};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader, duplex, split},
    task::JoinHandle,
    time::timeout,
};

/// Far longer than any answer takes, so that a hang fails the test instead of stopping it.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the client answers to a request of the agent.
pub(crate) enum Reply {
    Result(Value),
    Error(&'static str),
    /// Never answers.
    Silence,
}

/// A prompt's answer and all that came before it.
pub(crate) struct Turn {
    pub(crate) response: Value,
    /// The `update` objects, in order.
    pub(crate) updates: Vec<Value>,
    /// The agent's requests and other notifications, in order.
    pub(crate) asked: Vec<Value>,
}

impl Turn {
    pub(crate) fn stop_reason(&self) -> &str {
        self.response["result"]["stopReason"].as_str().unwrap_or("none")
    }

    /// All answer text, joined.
    pub(crate) fn text(&self) -> String {
        self.chunks("agent_message_chunk").concat()
    }

    pub(crate) fn chunks(&self, kind: &str) -> Vec<&str> {
        let of_kind = self.updates.iter().filter(|update| update["sessionUpdate"] == kind);
        of_kind.filter_map(|update| update["content"]["text"].as_str()).collect()
    }

    /// The states that tool calls went through.
    pub(crate) fn statuses(&self) -> Vec<&str> {
        let of_tools =
            self.updates.iter().filter(|update| update["sessionUpdate"].as_str().unwrap().starts_with("tool"));
        of_tools.filter_map(|update| update.get("status").map_or(Some("pending"), Value::as_str)).collect()
    }

    pub(crate) fn methods(&self) -> Vec<&str> {
        self.asked.iter().filter_map(|message| message["method"].as_str()).collect()
    }
}

pub(crate) struct Peer {
    input: Box<dyn AsyncWrite + Send + Unpin>,
    output: BufReader<Box<dyn AsyncRead + Send + Unpin>>,
    next_id: u64,
    /// Messages read while waiting for something else.
    early: VecDeque<Value>,
    pub(crate) agent: Option<JoinHandle<Result<(), DemoError>>>,
}

impl Peer {
    pub(crate) fn over(
        input: impl AsyncWrite + Send + Unpin + 'static,
        output: impl AsyncRead + Send + Unpin + 'static,
    ) -> Self {
        let output = BufReader::new(Box::new(output) as Box<dyn AsyncRead + Send + Unpin>);
        Self { input: Box::new(input), output, next_id: 0, early: VecDeque::new(), agent: None }
    }

    /// An agent in this process, not yet initialized.
    pub(crate) fn in_process(state_dir: Option<PathBuf>) -> Self {
        let (client, agent) = duplex(1 << 16);
        let (input, output) = split(agent);
        let running = tokio::spawn(run(Options { state_dir }, input, output));
        let (output, input) = split(client);
        Self { agent: Some(running), ..Self::over(input, output) }
    }

    /// An agent in this process with a client that can do everything, and a session in `/srv/dir`.
    pub(crate) async fn with_session() -> (Self, String) {
        let mut peer = Self::in_process(None);
        peer.initialize().await;
        let session = peer.new_session("/srv/dir").await;
        (peer, session)
    }

    pub(crate) async fn initialize(&mut self) -> Value {
        let fs = json!({ "readTextFile": true, "writeTextFile": true });
        let elicitation = json!({ "form": {}, "url": {} });
        self.initialize_with(json!({ "fs": fs, "terminal": true, "elicitation": elicitation })).await
    }

    pub(crate) async fn initialize_with(&mut self, capabilities: Value) -> Value {
        self.call("initialize", json!({ "protocolVersion": 1, "clientCapabilities": capabilities })).await
    }

    pub(crate) async fn new_session(&mut self, cwd: &str) -> String {
        let opened = self.call("session/new", json!({ "cwd": cwd, "mcpServers": [] })).await;
        let session = opened["result"]["sessionId"].as_str().expect("a session opens").to_owned();
        let announced = self.next().await;
        assert_eq!(announced["params"]["update"]["sessionUpdate"], "available_commands_update");
        session
    }

    pub(crate) async fn write(&mut self, message: &Value) {
        self.input.write_all(format!("{message}\n").as_bytes()).await.expect("the agent reads");
        self.input.flush().await.expect("the agent reads");
    }

    pub(crate) async fn notify(&mut self, method: &str, params: Value) {
        self.write(&json!({ "jsonrpc": "2.0", "method": method, "params": params })).await;
    }

    pub(crate) async fn cancel(&mut self, session: &str) {
        self.notify("session/cancel", json!({ "sessionId": session })).await;
    }

    /// Sends a request and returns its id.
    pub(crate) async fn request(&mut self, method: &str, params: Value) -> u64 {
        self.next_id += 1;
        self.write(&json!({ "jsonrpc": "2.0", "id": self.next_id, "method": method, "params": params })).await;
        self.next_id
    }

    /// One line of output as it is, without its line break; `None` at the end.
    pub(crate) async fn raw_line(&mut self) -> Option<Vec<u8>> {
        let mut line = Vec::new();
        let read = timeout(PATIENCE, self.output.read_until(b'\n', &mut line)).await.expect("the agent says something");
        line.pop_if(|last| *last == b'\n');
        read.is_ok_and(|read| read > 0).then_some(line)
    }

    pub(crate) async fn next(&mut self) -> Value {
        match self.early.pop_front() {
            Some(message) => message,
            None => serde_json::from_slice(&self.raw_line().await.expect("the agent is there")).expect("JSON"),
        }
    }

    /// Sends a request and waits for its response; what else comes is kept for later.
    pub(crate) async fn call(&mut self, method: &str, params: Value) -> Value {
        let id = self.request(method, params).await;
        let mut others = Vec::new();
        loop {
            let message = self.next().await;
            if message["id"] == id && message.get("method").is_none() {
                self.early.extend(others);
                return message;
            }
            others.push(message);
        }
    }

    pub(crate) async fn start_prompt(&mut self, session: &str, text: &str) -> u64 {
        let prompt = json!([{ "type": "text", "text": text }]);
        self.request("session/prompt", json!({ "sessionId": session, "prompt": prompt })).await
    }

    /// A whole turn in which the agent asks nothing.
    pub(crate) async fn prompt(&mut self, session: &str, text: &str) -> Turn {
        self.prompt_with(session, text, |message| panic!("unexpected: {message}")).await
    }

    /// A whole turn; the agent's requests are answered by `answer`.
    pub(crate) async fn prompt_with(&mut self, session: &str, text: &str, answer: impl FnMut(&Value) -> Reply) -> Turn {
        let id = self.start_prompt(session, text).await;
        self.finish(id, answer).await
    }

    /// Goes on until the response of this id.
    pub(crate) async fn finish(&mut self, id: u64, mut answer: impl FnMut(&Value) -> Reply) -> Turn {
        let (mut updates, mut asked) = (Vec::new(), Vec::new());
        loop {
            let message = self.next().await;
            match message["method"].as_str() {
                None if message["id"] == id => return Turn { response: message, updates, asked },
                None => panic!("a response to nothing: {message}"),
                Some("session/update") => updates.push(message["params"]["update"].clone()),
                Some(_) if message.get("id").is_none() => asked.push(message),
                Some(_) => {
                    let (id, reply) = (message["id"].clone(), answer(&message));
                    asked.push(message);
                    match reply {
                        Reply::Result(result) => {
                            self.write(&json!({ "jsonrpc": "2.0", "id": id, "result": result })).await
                        }
                        Reply::Error(text) => {
                            let error = json!({ "code": -32000, "message": text });
                            self.write(&json!({ "jsonrpc": "2.0", "id": id, "error": error })).await;
                        }
                        Reply::Silence => {}
                    }
                }
            }
        }
    }

    /// Reads until a message of this method comes, and returns it.
    pub(crate) async fn until(&mut self, method: &str) -> Value {
        loop {
            let message = self.next().await;
            if message["method"] == method {
                return message;
            }
        }
    }
}
