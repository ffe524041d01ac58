//! Lines in and out. Output has one writer and one bounded queue, shared by the protocol library and by turns.
//!
//! The library's own send never waits, so a fast turn would pile up messages in memory. Turns therefore put their
//! updates straight into the queue here and wait while it is full. The library's requests and responses enter the same
//! queue, which keeps what a turn does in order: an update is queued before the request or response that follows it.

use std::io;

use agent_client_protocol::{Error, v1::schema::SessionNotification};
use futures::{Sink, SinkExt as _, Stream, future, stream};
use serde::Serialize;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader},
    sync::{mpsc, oneshot},
    time::sleep,
};
use tokio_util::sync::PollSender;

use crate::limits::{BROKEN_LINE_PAUSE, MAX_LINE_BYTES, OUTPUT_QUEUE, WRITE_BATCH_BYTES};

/// Something for the writer to do.
pub(crate) enum Output {
    /// Bytes that end with a line break.
    Lines(Vec<u8>),
    /// A line that comes in two parts with a pause between them.
    Broken { head: Vec<u8>, tail: Vec<u8> },
    /// Tell when everything before this is written.
    Flush(oneshot::Sender<()>),
}

/// The queue's entrance.
#[derive(Debug, Clone)]
pub(crate) struct Outlet(mpsc::Sender<Output>);

/// A queue of output; the receiver belongs to [`write_out`].
pub(crate) fn outlet() -> (Outlet, mpsc::Receiver<Output>) {
    let (sender, receiver) = mpsc::channel(OUTPUT_QUEUE);
    (Outlet(sender), receiver)
}

impl Outlet {
    /// Queues a `session/update`, and waits while the queue is full. Either all of it is queued or, if the caller
    /// stops waiting, nothing.
    pub(crate) async fn notify(&self, notification: &SessionNotification) -> Result<(), Error> {
        #[derive(Serialize)]
        struct Message<'a> {
            jsonrpc: &'static str,
            method: &'static str,
            params: &'a SessionNotification,
        }
        let message = Message { jsonrpc: "2.0", method: "session/update", params: notification };
        let mut line = serde_json::to_vec(&message).map_err(Error::into_internal_error)?;
        line.push(b'\n');
        self.put(Output::Lines(line)).await
    }

    /// Queues output, or fails because the client has closed its end and the writer is gone.
    pub(crate) async fn put(&self, output: Output) -> Result<(), Error> {
        self.0.send(output).await.map_err(|_| closed())
    }

    /// Waits until everything queued so far is written.
    pub(crate) async fn flush(&self) -> Result<(), Error> {
        let (done, written) = oneshot::channel();
        self.put(Output::Flush(done)).await?;
        written.await.map_err(|_| closed())
    }

    /// The entrance as the protocol library takes it.
    pub(crate) fn sink(&self) -> impl Sink<String, Error = io::Error> + Send + use<> {
        let queue = PollSender::new(self.0.clone()).sink_map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe));
        queue.with(|line: String| {
            let mut line = line.into_bytes();
            line.push(b'\n');
            future::ok::<_, io::Error>(Output::Lines(line))
        })
    }
}

fn closed() -> Error {
    Error::internal_error().data("the client has closed the output")
}

/// Writes the queue until its last entrance is dropped or the writer fails. What waits is written together.
pub(crate) async fn write_out(
    mut queue: mpsc::Receiver<Output>,
    mut writer: impl AsyncWrite + Unpin,
) -> io::Result<()> {
    let mut batch = Vec::new();
    while let Some(output) = queue.recv().await {
        let mut next = Some(output);
        while let Some(output) = next {
            match output {
                Output::Lines(lines) => batch.extend_from_slice(&lines),
                Output::Broken { head, tail } => {
                    batch.extend_from_slice(&head);
                    write_batch(&mut writer, &mut batch).await?;
                    sleep(BROKEN_LINE_PAUSE).await;
                    batch.extend_from_slice(&tail);
                }
                Output::Flush(done) => {
                    write_batch(&mut writer, &mut batch).await?;
                    // Whoever asked may have stopped waiting.
                    let _ = done.send(());
                }
            }
            next = if batch.len() < WRITE_BATCH_BYTES { queue.try_recv().ok() } else { None };
        }
        write_batch(&mut writer, &mut batch).await?;
    }
    Ok(())
}

async fn write_batch(writer: &mut (impl AsyncWrite + Unpin), batch: &mut Vec<u8>) -> io::Result<()> {
    writer.write_all(batch).await?;
    batch.clear();
    // A single large message should not hold its memory for the life of the process.
    batch.shrink_to(WRITE_BATCH_BYTES);
    writer.flush().await
}

/// The lines of the input. Bytes that are not UTF-8 are replaced, and one line has a greatest length.
pub(crate) fn lines(input: impl AsyncRead + Send + Unpin + 'static) -> impl Stream<Item = io::Result<String>> + Send {
    stream::try_unfold(BufReader::new(input), |mut input| async move {
        let mut line = Vec::new();
        let read = (&mut input).take(MAX_LINE_BYTES as u64 + 1).read_until(b'\n', &mut line).await?;
        if read == 0 {
            return Ok(None);
        }
        if read > MAX_LINE_BYTES {
            let message = format!("a line of the input is longer than {MAX_LINE_BYTES} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        let text = String::from_utf8_lossy(line.trim_ascii_end()).into_owned();
        Ok(Some((text, input)))
    })
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt as _, TryStreamExt as _};
    use tokio::io::duplex;

    use super::*;

    #[tokio::test]
    async fn lines_survive_bytes_that_are_not_text() {
        let read: Vec<String> = lines(&b"{\"a\":1}\r\n\xff!\nlast"[..]).try_collect().await.unwrap();
        assert_eq!(read, ["{\"a\":1}", "\u{fffd}!", "last"]);
    }

    #[tokio::test]
    async fn a_line_without_end_is_refused() {
        let read: io::Result<Vec<String>> = lines(tokio::io::repeat(b'x')).try_collect().await;
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[tokio::test]
    async fn a_reader_that_stops_makes_the_sender_wait() {
        let (writer, mut reader) = duplex(1024);
        let (outlet, queue) = outlet();
        let writing = tokio::spawn(write_out(queue, writer));
        let line = || Output::Lines(vec![b'x'; 1024]);
        let mut accepted = 0;
        while tokio::time::timeout(std::time::Duration::from_millis(200), outlet.put(line())).await.is_ok() {
            accepted += 1;
            assert!(accepted < 1000, "nothing bounds the queue");
        }
        assert!(outlet.flush().now_or_never().is_none(), "what is not read cannot be written");

        drop(outlet);
        let mut received = Vec::new();
        reader.read_to_end(&mut received).await.unwrap();
        writing.await.unwrap().unwrap();
        assert_eq!(received.len(), accepted * 1024, "what was accepted is delivered");
    }
}
