//! A model client on a plain socket, so that the tests see every byte of the protocol.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use boocoder_testkit::llm::MockModel;
use serde_json::{Value, json};

/// The longest that a test waits for the next bytes.
const LIMIT: Duration = Duration::from_secs(30);

/// One keep-alive connection.
pub(crate) struct Client {
    reader: BufReader<TcpStream>,
}

/// An answer, with the events of its stream if it is one.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Client {
    pub(crate) fn connect(model: &MockModel) -> Self {
        let stream = TcpStream::connect(model.address()).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        Self { reader: BufReader::new(stream) }
    }

    pub(crate) fn send(&mut self, method: &str, path: &str, body: &str) {
        let length = body.len();
        let request = format!("{method} {path} HTTP/1.1\r\nHost: test\r\nContent-Length: {length}\r\n\r\n{body}");
        self.reader.get_mut().write_all(request.as_bytes()).unwrap();
    }

    /// The status and headers of the next answer; the headers in lower case.
    pub(crate) fn head(&mut self) -> (u16, Vec<String>) {
        let status = self.line().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = std::iter::repeat_with(|| self.line().to_ascii_lowercase()).take_while(|line| !line.is_empty());
        (status, headers.collect())
    }

    /// The next chunk of a chunked body; empty at its end.
    pub(crate) fn chunk(&mut self) -> String {
        let length = usize::from_str_radix(&self.line(), 16).unwrap();
        let chunk = self.exactly(length);
        assert_eq!(self.line(), "");
        chunk
    }

    pub(crate) fn answer(&mut self) -> Answer {
        let (status, headers) = self.head();
        let length = headers.iter().find_map(|header| header.strip_prefix("content-length: "));
        let body = match length {
            Some(length) => self.exactly(length.parse().unwrap()),
            None => std::iter::repeat_with(|| self.chunk()).take_while(|chunk| !chunk.is_empty()).collect(),
        };
        Answer { status, body }
    }

    /// Sends a chat request with two tools and reads the answer.
    pub(crate) fn chat(&mut self, messages: &Value, stream: bool) -> Answer {
        self.send("POST", "/v1/chat/completions", &chat_body(messages, stream).to_string());
        self.answer()
    }

    /// Whether the server has closed the connection.
    pub(crate) fn is_closed(&mut self) -> bool {
        self.reader.fill_buf().map_or(true, <[u8]>::is_empty)
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.reader.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn exactly(&mut self, length: usize) -> String {
        let mut bytes = vec![0; length];
        self.reader.read_exact(&mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// The events of a stream without the final `[DONE]`, which must be there.
    pub(crate) fn events(&self) -> Vec<Value> {
        let mut lines: Vec<&str> = self.body.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
        assert_eq!(lines.pop(), Some("[DONE]"));
        lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The text under this pointer of all deltas of a stream, joined.
    pub(crate) fn deltas(&self, pointer: &str) -> String {
        let pointer = format!("/choices/0/delta/{pointer}");
        self.events().iter().filter_map(|event| event.pointer(&pointer)?.as_str()).collect()
    }
}

/// A chat request with a tool that writes and one that runs commands.
pub(crate) fn chat_body(messages: &Value, stream: bool) -> Value {
    let text = json!({"type": "string"});
    let tool = |name: &str, properties: Value, required: Value| {
        let parameters = json!({"type": "object", "properties": properties, "required": required});
        json!({"type": "function", "function": {"name": name, "parameters": parameters}})
    };
    let tools = [
        tool("write", json!({"path": text, "content": text}), json!(["path", "content"])),
        tool("shell", json!({"command": text}), json!(["command"])),
    ];
    let options = json!({"include_usage": true});
    json!({"model": "mock-model", "messages": messages, "stream": stream, "stream_options": options, "tools": tools})
}

/// Messages with this one of the user.
pub(crate) fn user(words: &str) -> Value {
    json!([{"role": "system", "content": "be brief"}, {"role": "user", "content": words}])
}
