//! Serves one connection of the mock model.

use std::io::{self, ErrorKind};
use std::net::TcpStream;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::llm::connection::{Connection, Request};
use crate::llm::log::{Ending, TokenUsage};
use crate::llm::protocol::{self, Chat, Refusal};
use crate::llm::reply::{self, Part};
use crate::llm::tools::Call;
use crate::llm::{MODEL, Shared};

/// Answers the requests of a connection until either side closes it.
pub(crate) fn serve(shared: &Shared, stream: TcpStream) -> io::Result<()> {
    let mut connection = Connection::new(stream)?;
    loop {
        let request = match connection.read_request() {
            Ok(Some(request)) => request,
            Ok(None) => return Ok(()),
            Err(error) if error.kind() == ErrorKind::InvalidData => {
                return connection.respond(400, &Refusal::bad_request(error.to_string()).body());
            }
            Err(error) => return Err(error),
        };
        let body = if request.body.is_empty() {
            Value::Null
        } else {
            let text = || String::from_utf8_lossy(&request.body).into_owned();
            serde_json::from_slice(&request.body).unwrap_or_else(|_| Value::String(text()))
        };
        let number = shared.log().begin(&request.path, body.clone());
        let mut exchange = Exchange { shared, connection: &mut connection, number };
        if let Err(error) = answer(&mut exchange, &request, &body) {
            exchange.end(if shared.stopping() { Ending::Stopped } else { Ending::DroppedByClient });
            return Err(error);
        }
        if !request.keep_alive {
            return Ok(());
        }
    }
}

fn answer(exchange: &mut Exchange<'_>, request: &Request, body: &Value) -> io::Result<()> {
    let refusal = match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/v1/models") => {
            let model = json!({"id": MODEL, "object": "model", "created": 0, "owned_by": "mock"});
            return exchange.respond(&json!({"object": "list", "data": [model]}));
        }
        ("POST", "/v1/chat/completions") => {
            let planned = protocol::read(body).and_then(|chat| Ok((reply::plan(&chat)?, chat)));
            match planned {
                Ok((parts, chat)) => {
                    let prompt_tokens = (request.body.len() as u64).div_ceil(4);
                    let completion_tokens = parts.iter().map(Part::tokens).sum();
                    let usage = TokenUsage { prompt_tokens, completion_tokens };
                    let id = exchange.shared.next_id();
                    let answer = Answer { exchange, id, chat, usage };
                    return if answer.chat.stream { answer.stream(parts) } else { answer.whole(parts) };
                }
                Err(refusal) => refusal,
            }
        }
        (_, "/v1/models" | "/v1/chat/completions") => Refusal { status: 405, message: "wrong method".to_owned() },
        (_, path) => Refusal { status: 404, message: format!("unknown path {path}") },
    };
    exchange.refuse(&refusal)
}

/// A request that is being answered.
///
/// How it ended is noted before its last bytes are written, so that who has read them finds it noted.
struct Exchange<'a> {
    shared: &'a Shared,
    connection: &'a mut Connection,
    number: u64,
}

impl Exchange<'_> {
    fn end(&self, ending: Ending) {
        self.shared.log().end(self.number, ending);
    }

    fn respond(&mut self, body: &Value) -> io::Result<()> {
        self.end(Ending::Complete);
        self.connection.respond(200, body)
    }

    fn refuse(&mut self, refusal: &Refusal) -> io::Result<()> {
        self.end(Ending::Refused(refusal.status));
        self.connection.respond(refusal.status, &refusal.body())
    }

    fn end_events(&mut self, last: &str, ending: Ending) -> io::Result<()> {
        self.end(ending);
        self.connection.event(last)?;
        self.connection.end_events()
    }
}

/// An answer that is being written.
struct Answer<'a, 'b> {
    exchange: &'a mut Exchange<'b>,
    id: u64,
    chat: Chat,
    usage: TokenUsage,
}

impl Answer<'_, '_> {
    fn stream(mut self, parts: Vec<Part>) -> io::Result<()> {
        if let Some(Part::Error(refusal)) = parts.first() {
            return self.exchange.refuse(refusal);
        }
        self.exchange.connection.start_events()?;
        self.chunk(&json!({"role": "assistant", "content": ""}), None)?;
        let mut finish = "stop";
        for part in parts {
            match part {
                Part::Text { chunks, pace } => {
                    for chunk in chunks {
                        self.exchange.connection.pause(pace)?;
                        self.chunk(&json!({"content": chunk}), None)?;
                    }
                }
                Part::Reasoning { chunks } => {
                    for chunk in chunks {
                        self.chunk(&json!({"reasoning_content": chunk}), None)?;
                    }
                }
                Part::Call(call) => {
                    self.stream_call(&call)?;
                    finish = "tool_calls";
                }
                Part::Error(refusal) => {
                    let last = refusal.body().to_string();
                    return self.exchange.end_events(&last, Ending::Refused(refusal.status));
                }
                Part::Silence(limit) => {
                    self.exchange.connection.pause(limit)?;
                    break;
                }
            }
        }
        self.chunk(&json!({}), Some(finish))?;
        if self.chat.include_usage {
            let mut last = self.envelope("chat.completion.chunk");
            last["choices"] = json!([]);
            last["usage"] = usage_json(self.usage);
            self.exchange.shared.log().report(self.usage);
            self.exchange.connection.event(&last.to_string())?;
        }
        self.exchange.end_events("[DONE]", Ending::Complete)
    }

    /// Streams a call the way models do: its name first, its arguments in fragments after it.
    fn stream_call(&mut self, call: &Call) -> io::Result<()> {
        let head = json!({"index": 0, "id": self.call_id(), "type": "function",
            "function": {"name": call.tool, "arguments": ""}});
        self.chunk(&json!({"tool_calls": [head]}), None)?;
        let arguments: Vec<char> = call.arguments.to_string().chars().collect();
        for fragment in arguments.chunks(arguments.len().div_ceil(2)) {
            let fragment = json!({"index": 0, "function": {"arguments": fragment.iter().collect::<String>()}});
            self.chunk(&json!({"tool_calls": [fragment]}), None)?;
        }
        Ok(())
    }

    fn whole(self, parts: Vec<Part>) -> io::Result<()> {
        let (mut content, mut reasoning) = (String::new(), String::new());
        let mut message = json!({"role": "assistant", "content": null});
        let mut finish = "stop";
        for part in parts {
            match part {
                Part::Text { chunks, pace } => {
                    for chunk in chunks {
                        self.exchange.connection.pause(pace)?;
                        content.push_str(&chunk);
                    }
                }
                Part::Reasoning { chunks } => reasoning.extend(chunks),
                Part::Call(call) => {
                    let function = json!({"name": call.tool, "arguments": call.arguments.to_string()});
                    message["tool_calls"] = json!([{"id": self.call_id(), "type": "function", "function": function}]);
                    finish = "tool_calls";
                }
                Part::Error(refusal) => return self.exchange.refuse(&refusal),
                Part::Silence(limit) => self.exchange.connection.pause(limit)?,
            }
        }
        if !content.is_empty() {
            message["content"] = Value::String(content);
        }
        if !reasoning.is_empty() {
            message["reasoning_content"] = Value::String(reasoning);
        }
        let mut body = self.envelope("chat.completion");
        body["choices"] = json!([{"index": 0, "message": message, "finish_reason": finish}]);
        body["usage"] = usage_json(self.usage);
        self.exchange.shared.log().report(self.usage);
        self.exchange.respond(&body)
    }

    fn chunk(&mut self, delta: &Value, finish: Option<&str>) -> io::Result<()> {
        let mut chunk = self.envelope("chat.completion.chunk");
        chunk["choices"] = json!([{"index": 0, "delta": delta, "finish_reason": finish}]);
        self.exchange.connection.event(&chunk.to_string())
    }

    fn envelope(&self, object: &str) -> Value {
        json!({"id": format!("chatcmpl-{}", self.id), "object": object, "created": now(), "model": self.chat.model})
    }

    /// Unique among servers too, since an agent's history may outlive the server that it began with.
    fn call_id(&self) -> String {
        format!("call_{}_{}", self.exchange.shared.port, self.id)
    }
}

fn usage_json(usage: TokenUsage) -> Value {
    let TokenUsage { prompt_tokens, completion_tokens } = usage;
    let total_tokens = prompt_tokens + completion_tokens;
    json!({"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens, "total_tokens": total_tokens})
}

#[expect(clippy::disallowed_methods, reason = "a model server stamps its answers, and agents sort by the stamp")]
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
