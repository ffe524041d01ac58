//! The agents that the tests run: the well-behaved demo agent, and one that does each wrong thing on request.
//!
//! `test_agent demo [STATE_DIR]` is the demo agent. `test_agent FAULT [ARGUMENT]` is an agent with a fault of its start,
//! and `test_agent script` one whose prompts name what it does wrong.

use std::io::{BufRead, StdinLock, Write, stdin, stdout};
use std::process::exit;

use serde_json::{Value, json};

#[expect(clippy::print_stderr, reason = "standard error is what some tests look at")]
fn main() {
    let mut arguments = std::env::args().skip(1);
    let (fault, argument) = (arguments.next().unwrap_or_default(), arguments.next());
    match fault.as_str() {
        "demo" => demo(argument),
        "exit" => {
            eprintln!("no configuration found");
            exit(3);
        }
        "--version" => say_line("test agent 1.2.3"),
        "endless-version" => loop {
            say_line("");
        },
        _ => Agent { fault, argument, input: stdin().lock(), asked: 0 }.run(),
    }
}

fn demo(state_dir: Option<String>) {
    let options = boocoder_demo_agent::Options { state_dir: state_dir.map(Into::into) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    exit(match runtime.block_on(boocoder_demo_agent::run(options, tokio::io::stdin(), tokio::io::stdout())) {
        Ok(()) => 0,
        Err(error) => error.exit_code(),
    });
}

fn say_line(line: &str) {
    let mut out = stdout().lock();
    if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
        exit(0);
    }
}

fn say(message: &Value) {
    say_line(&message.to_string());
}

fn update(update: Value) {
    say(&json!({ "jsonrpc": "2.0", "method": "session/update", "params": { "sessionId": "s", "update": update } }));
}

fn text(text: &str) {
    update(json!({ "sessionUpdate": "agent_message_chunk", "content": { "type": "text", "text": text } }));
}

struct Agent {
    fault: String,
    argument: Option<String>,
    input: StdinLock<'static>,
    asked: u64,
}

impl Agent {
    fn run(mut self) {
        while let Some(message) = self.read() {
            let answer = |result: Value| say(&json!({ "jsonrpc": "2.0", "id": message["id"], "result": result }));
            let fail = |error: Value| say(&json!({ "jsonrpc": "2.0", "id": message["id"], "error": error }));
            match (message["method"].as_str().unwrap_or_default(), self.fault.as_str()) {
                ("initialize", "mute") => {}
                ("initialize", "version") => answer(json!({ "protocolVersion": 99 })),
                ("initialize", _) => answer(json!({
                    "protocolVersion": 1,
                    "agentCapabilities": { "loadSession": self.fault == "forgetful" },
                    "authMethods": [{ "id": "x", "name": "Log in", "description": "run `x login`" }],
                })),
                ("session/new", "login") => fail(json!({ "code": -32000, "message": "Authentication required" })),
                ("session/new", "mute-session") => {}
                ("session/load", _) => fail(json!({ "code": -32002, "message": "no such session" })),
                ("session/new", _) => {
                    update(json!({ "sessionUpdate": "available_commands_update",
                        "availableCommands": [{ "name": "early", "description": "before the session" }] }));
                    answer(json!({ "sessionId": "s", "modes": { "currentModeId": "ask",
                        "availableModes": [{ "id": "ask", "name": "Ask" }, { "id": "stuck", "name": "Stuck" }] } }));
                }
                ("session/set_mode", _) => {}
                ("session/prompt", _) => self.prompt(&message),
                _ => {}
            }
        }
        if self.argument.as_deref() == Some("stays") {
            std::thread::sleep(std::time::Duration::from_secs(600));
        }
    }

    fn read(&mut self) -> Option<Value> {
        let mut line = String::new();
        match self.input.read_line(&mut line) {
            Ok(0) | Err(_) => None,
            Ok(_) => serde_json::from_str(&line).ok(),
        }
    }

    /// Asks the client and waits for the answer.
    fn request(&mut self, method: &str, params: &Value) -> Value {
        self.asked += 1;
        say(&json!({ "jsonrpc": "2.0", "id": self.asked, "method": method, "params": params }));
        while let Some(message) = self.read() {
            if message["id"] == self.asked {
                return message;
            }
        }
        exit(0)
    }

    fn prompt(&mut self, message: &Value) {
        let words = message["params"]["prompt"][0]["text"].as_str().unwrap_or_default().to_owned();
        let (verb, argument) = words.split_once(' ').unwrap_or((&words, ""));
        let mut result = json!({ "stopReason": "end_turn" });
        match verb {
            "long" => text(&"x".repeat(argument.parse().expect("a number"))),
            "stop" => result = json!({ "stopReason": argument, "usage": { "inputTokens": 7, "outputTokens": 3 } }),
            "nothing" => result = Value::Null,
            "permission" => {
                let options = json!([{ "optionId": "odd", "kind": "allow_for_a_day" }, { "optionId": "no", "kind": "reject_once" }]);
                let answer =
                    self.request("session/request_permission", &json!({ "sessionId": "s", "options": options }));
                text(&answer["result"].to_string());
            }
            "raw" => {
                for line in argument.split('|') {
                    say_line(line);
                }
                text("raw written");
            }
            "call" => {
                let (method, params) = argument.split_once(' ').unwrap_or((argument, "{}"));
                let answer = self.request(method, &serde_json::from_str(params).expect("params"));
                text(&answer.to_string());
            }
            "error" => {
                let error = json!({ "code": -32603, "message": "Internal error", "data": { "details": argument } });
                return say(&json!({ "jsonrpc": "2.0", "id": message["id"], "error": error }));
            }
            "late" => {
                // In one write, so that nothing can come between.
                let chunk =
                    json!({ "sessionUpdate": "agent_message_chunk", "content": { "type": "text", "text": "late" } });
                let late = json!({ "jsonrpc": "2.0", "method": "session/update", "params": { "sessionId": "s", "update": chunk } });
                let answer = json!({ "jsonrpc": "2.0", "id": message["id"], "result": result });
                return say_line(&format!("{answer}\n{late}"));
            }
            "tool" => {
                update(
                    json!({ "sessionUpdate": "tool_call", "toolCallId": "1", "title": "dig", "status": "in_progress" }),
                );
                text("digging");
                while self.read().is_some_and(|message| message["method"] != "session/cancel") {}
            }
            "taken-back" => {
                self.asked += 1;
                let options = json!([{ "optionId": "yes", "kind": "allow_once" }]);
                say(
                    &json!({ "jsonrpc": "2.0", "id": self.asked, "method": "session/request_permission", "params": { "sessionId": "s", "options": options } }),
                );
                say(&json!({ "jsonrpc": "2.0", "method": "$/cancel_request", "params": { "requestId": self.asked } }));
                let answer = self.read().unwrap_or_default();
                text(&answer["error"]["code"].to_string());
            }
            "children" => {
                // One in a session of its own that knows nothing of SIGTERM, with a child of its own.
                let line = "trap '' TERM; setsid sh -c \"trap '' TERM; sleep 600 & wait\" & echo $!";
                let child = std::process::Command::new("sh").args(["-c", line]).output_of_first_line();
                text(&child);
            }
            "die" => exit(9),
            "deaf" => std::thread::sleep(std::time::Duration::from_secs(600)),
            _ => text(&words),
        }
        say(&json!({ "jsonrpc": "2.0", "id": message["id"], "result": result }));
    }
}

/// Starts a command that stays, and reads its first line.
trait FirstLine {
    fn output_of_first_line(&mut self) -> String;
}

impl FirstLine for std::process::Command {
    #[expect(clippy::zombie_processes, reason = "a child that nobody cares for is what the test is about")]
    fn output_of_first_line(&mut self) -> String {
        let child = self.stdout(std::process::Stdio::piped()).spawn().expect("a shell");
        let mut line = String::new();
        std::io::BufReader::new(child.stdout.expect("piped")).read_line(&mut line).expect("readable");
        line.trim().to_owned()
    }
}
