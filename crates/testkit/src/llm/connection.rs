//! The few parts of HTTP/1.1 that a model server needs: keep-alive, sized bodies in, sized or chunked bodies out.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

use crate::limits;

/// A request as it was read.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) keep_alive: bool,
    pub(crate) body: Vec<u8>,
}

/// One client's connection.
#[derive(Debug)]
pub(crate) struct Connection {
    reader: BufReader<TcpStream>,
}

fn malformed(why: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, why)
}

impl Connection {
    pub(crate) fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(limits::STALLED_WRITE))?;
        Ok(Self { reader: BufReader::new(stream) })
    }

    /// The next request, or `None` when the client has closed the connection. What is not HTTP is
    /// [`ErrorKind::InvalidData`].
    pub(crate) fn read_request(&mut self) -> io::Result<Option<Request>> {
        self.reader.get_ref().set_read_timeout(Some(limits::IDLE_CONNECTION))?;
        let mut head = self.reader.by_ref().take(limits::MAX_HEAD_BYTES);
        let mut line = String::new();
        if head.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let mut words = line.split_whitespace();
        let (Some(method), Some(target), Some(version)) = (words.next(), words.next(), words.next()) else {
            return Err(malformed("the request line is not `METHOD TARGET VERSION`"));
        };
        let mut request = Request {
            method: method.to_owned(),
            path: target.split('?').next().unwrap_or(target).to_owned(),
            keep_alive: version == "HTTP/1.1",
            body: Vec::new(),
        };
        let mut length = 0;
        loop {
            let mut line = String::new();
            if head.read_line(&mut line)? == 0 {
                return Err(malformed("the headers are cut off or too long"));
            }
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').ok_or_else(|| malformed("a header is not `name: value`"))?;
            let (name, value) = (name.to_ascii_lowercase(), value.trim());
            match name.as_str() {
                "content-length" => length = value.parse().map_err(|_| malformed("content-length is not a number"))?,
                "transfer-encoding" => return Err(malformed("only bodies with a content-length are read")),
                "connection" => request.keep_alive &= !value.eq_ignore_ascii_case("close"),
                _ => {}
            }
        }
        if length > limits::MAX_BODY_BYTES {
            return Err(malformed("the body is too long"));
        }
        request.body.resize(length, 0);
        self.reader.read_exact(&mut request.body)?;
        Ok(Some(request))
    }

    /// Writes a whole answer.
    pub(crate) fn respond(&mut self, status: u16, body: &Value) -> io::Result<()> {
        let body = body.to_string();
        let head = head(status, "application/json", &format!("Content-Length: {}", body.len()));
        self.write(format!("{head}{body}").as_bytes())
    }

    /// Begins an event stream.
    pub(crate) fn start_events(&mut self) -> io::Result<()> {
        self.write(head(200, "text/event-stream", "Cache-Control: no-cache\r\nTransfer-Encoding: chunked").as_bytes())
    }

    /// Writes one event of an event stream.
    pub(crate) fn event(&mut self, data: &str) -> io::Result<()> {
        let event = format!("data: {data}\n\n");
        self.write(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes())
    }

    /// Ends an event stream.
    pub(crate) fn end_events(&mut self) -> io::Result<()> {
        self.write(b"0\r\n\r\n")
    }

    /// Lets `pause` pass, but fails at once when the connection is closed from either side.
    pub(crate) fn pause(&self, pause: Duration) -> io::Result<()> {
        if pause.is_zero() {
            return Ok(());
        }
        let stream = self.reader.get_ref();
        stream.set_read_timeout(Some(pause))?;
        match stream.peek(&mut [0]) {
            Ok(0) => Err(ErrorKind::ConnectionAborted.into()),
            Ok(_) => Err(malformed("a second request came before the first was answered")),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.reader.get_mut().write_all(bytes)
    }
}

fn head(status: u16, content_type: &str, length: &str) -> String {
    // Clients go by the number; the reason phrase may be empty.
    format!("HTTP/1.1 {status} \r\nContent-Type: {content_type}\r\n{length}\r\n\r\n")
}
