//! Just enough of an ACP client to take a real agent through a turn.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use boocoder_testkit::agents::AgentLaunch;
use boocoder_testkit::process;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::{Value, json};

/// The longest that an agent may be silent: it starts a runtime of its own, on a machine that may be busy.
const LIMIT: Duration = Duration::from_secs(120);

/// An agent in its own process group, ended with all its children when this is dropped.
pub(crate) struct AcpClient {
    child: Child,
    stdin: Option<ChildStdin>,
    messages: Receiver<Value>,
    next_id: u64,
    session: Value,
    /// The kind of option that is chosen when the agent asks for permission.
    pub(crate) choice: &'static str,
    /// How many permissions it asked for.
    pub(crate) asked: usize,
    /// The updates of the latest turn.
    pub(crate) updates: Vec<Value>,
}

impl AcpClient {
    /// Starts the agent in `directory` and opens a session there.
    pub(crate) fn open(launch: &AgentLaunch, directory: &Path) -> Self {
        let mut command = launch.to_command(directory);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
        let mut child = command.spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, messages) = sync_channel(1024);
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let message = serde_json::from_str(&line).unwrap_or_else(|_| json!({"noise": line}));
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        let stdin = child.stdin.take();
        let mut client = Self {
            child,
            stdin,
            messages,
            next_id: 0,
            session: Value::Null,
            choice: "allow_once",
            asked: 0,
            updates: Vec::new(),
        };
        let started = client.request("initialize", &json!({"protocolVersion": 1, "clientCapabilities": {}}));
        assert_eq!(started["protocolVersion"], 1);
        let opened = client.request("session/new", &json!({"cwd": directory, "mcpServers": []}));
        client.session = opened["sessionId"].clone();
        client
    }

    /// Runs a turn to its end and returns what the agent said in it.
    pub(crate) fn prompt(&mut self, words: &str) -> String {
        self.updates.clear();
        let prompt = json!({"sessionId": self.session, "prompt": [{"type": "text", "text": words}]});
        let result = self.request("session/prompt", &prompt);
        assert_eq!(result["stopReason"], "end_turn", "{result}");
        self.said("agent_message_chunk")
    }

    /// The text of this kind of chunk in the latest turn.
    pub(crate) fn said(&self, kind: &str) -> String {
        let chunks = self.updates.iter().filter(|update| update["sessionUpdate"] == kind);
        chunks.filter_map(|chunk| chunk.pointer("/content/text")?.as_str()).collect()
    }

    fn request(&mut self, method: &str, params: &Value) -> Value {
        let id = self.next_id;
        self.next_id += 1;
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
        loop {
            let message = self.messages.recv_timeout(LIMIT).unwrap_or_else(|error| panic!("{method}: {error}"));
            match message["method"].as_str() {
                Some("session/update") => self.updates.push(message["params"]["update"].clone()),
                Some(asked) if !message["id"].is_null() => self.answer(asked, &message),
                None if message["id"] == id => {
                    assert!(message["error"].is_null(), "{method}: {message}");
                    return message["result"].clone();
                }
                Some(_) | None => {}
            }
        }
    }

    fn answer(&mut self, method: &str, request: &Value) {
        let id = &request["id"];
        if method != "session/request_permission" {
            let error = json!({"code": -32601, "message": "not offered"});
            return self.send(&json!({"jsonrpc": "2.0", "id": id, "error": error}));
        }
        self.asked += 1;
        let options = request["params"]["options"].as_array().unwrap();
        let chosen = options.iter().find(|option| option["kind"] == self.choice).unwrap();
        let outcome = json!({"outcome": {"outcome": "selected", "optionId": chosen["optionId"]}});
        self.send(&json!({"jsonrpc": "2.0", "id": id, "result": outcome}));
    }

    fn send(&mut self, message: &Value) {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(format!("{message}\n").as_bytes()).unwrap();
    }
}

impl Drop for AcpClient {
    fn drop(&mut self) {
        let leader = self.child.id();
        let mut family: BTreeSet<u32> = process::descendants(leader).into_iter().collect();
        family.insert(leader);
        self.stdin.take();
        // The leader is not reaped yet, so its id and its group's are still its own.
        let pid = |id: u32| Pid::from_raw(i32::try_from(id).unwrap()).unwrap();
        let _ = kill_process_group(pid(leader), Signal::KILL);
        for &member in family.iter().filter(|&&member| member != leader && process::alive(member)) {
            let _ = kill_process(pid(member), Signal::KILL);
        }
        self.child.wait().unwrap();
        let gone =
            process::wait_until(LIMIT, "the end of the agent", || !family.iter().any(|&pid| process::alive(pid)));
        if !std::thread::panicking() {
            gone.unwrap();
        }
    }
}
