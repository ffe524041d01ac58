//! The bundled ACP agent: deterministic, without a model, without a network.
//!
//! It lets a newcomer have a first turn with nothing else installed, and lets tests drive every corner of a client:
//! each prompt is a small script, one verb a line, run in order; a line without a verb is echoed word by word.
//!
//! | verb | does |
//! | --- | --- |
//! | `say TEXT`, `think TEXT` | one chunk of answer or of thought |
//! | `write PATH TEXT`, `edit PATH OLD => NEW` | asks permission, then writes through the client's file system |
//! | `shell COMMAND` | runs it in the client's terminal |
//! | `ask QUESTION`, `open URL` | an elicitation, as a form or as an address |
//! | `stream N BYTES` | N numbered chunks, flat out, as fast as the client reads |
//! | `sleep MS`, `hang` | waits; the latter for ever, whatever the client does |
//! | `plan`, `usage IN OUT COST`, `commands`, `mode ID`, `attach` | the update of that kind |
//! | `remember TEXT`, `recall` | keeps a text in the session, across processes |
//! | `pid`, `mcp` | says `pid=… session=…`; names the MCP servers handed over |
//! | `refuse`, `crash`, `garbage` | a refusal; an exit at once; broken lines of output |
//!
//! [`run`] serves one connection over any pair of byte streams. Whoever hosts it in a process of its own ends that
//! process with [`DemoError::exit_code`] when it returns an error: that is how `crash` becomes status
//! [`CRASH_EXIT_CODE`].
//!
//! Deliberately not here: authentication, and any use of the MCP servers, whose names alone are kept. A replayed
//! history has the text of both sides, but no tool calls.
//!
//! To add a verb: a `Step` and a line in `script`, an arm in `turn`, a case in both of their tests.
//!
//! ```
//! use boocoder_demo_agent::{Options, run};
//! use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, duplex, split};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (client, agent) = duplex(4096);
//! let (input, output) = split(agent);
//! let agent = tokio::spawn(run(Options::default(), input, output));
//!
//! let (answers, mut questions) = split(client);
//! let initialize = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":1}}"#;
//! questions.write_all(format!("{initialize}\n").as_bytes()).await?;
//! let mut answer = String::new();
//! BufReader::new(answers).read_line(&mut answer).await?;
//! assert!(answer.contains("boocoder-demo"));
//! # agent.abort();
//! # Ok(())
//! # }
//! ```

mod agent;
mod content;
mod error;
mod limits;
mod questions;
mod script;
mod sessions;
mod settings;
mod state;
mod tools;
mod transport;
mod turn;

use std::{path::PathBuf, pin::pin};

use agent_client_protocol::Lines;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

pub use crate::error::{CRASH_EXIT_CODE, DemoError};
use crate::{agent::DemoAgent, limits::FINAL_FLUSH, state::Store};

/// How the agent is set up.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Where sessions are kept, so that another process can load them; made if missing. Without it they end with
    /// the connection, and the agent does not offer to load them.
    pub state_dir: Option<PathBuf>,
}

/// Serves one client until it closes `input`.
///
/// A host that passes the process's own standard streams ends with `std::process::exit`: the runtime would otherwise
/// wait for a read of standard input that nothing ends.
///
/// # Errors
///
/// [`DemoError::Crash`] when a prompt says `crash`, in the middle of that turn; what was said before has then been
/// written, if the client reads it soon. The other errors are a state directory that cannot be used and a broken
/// connection.
pub async fn run(
    options: Options,
    input: impl AsyncRead + Send + Unpin + 'static,
    output: impl AsyncWrite + Send + Unpin,
) -> Result<(), DemoError> {
    let store = Store::open(options.state_dir).await?;
    let crash = CancellationToken::new();
    let (outlet, queue) = transport::outlet();
    let mut writing = pin!(transport::write_out(queue, output));
    let transport = Lines::new(outlet.sink(), Box::pin(transport::lines(input)));
    let serving = DemoAgent::new(store, outlet.clone(), crash.clone()).serve(transport);

    let ended = tokio::select! {
        served = serving => served.map_err(DemoError::Connection),
        () = crash.cancelled() => Err(DemoError::Crash),
        // The queue has an entrance here, so the writer ends only by failing.
        written = &mut writing => return written.map_err(DemoError::Output),
    };
    let flush = async {
        tokio::select! {
            biased;
            written = &mut writing => written,
            _ = outlet.flush() => Ok(()),
        }
    };
    match timeout(FINAL_FLUSH, flush).await {
        Ok(Err(error)) if ended.is_ok() => Err(DemoError::Output(error)),
        Ok(_) | Err(_) => ended,
    }
}
