//! A model server that answers what the prompt tells it to.
//!
//! [`MockModel`] speaks the OpenAI protocol on loopback: `POST /v1/chat/completions`, streamed or whole, and
//! `GET /v1/models`. It refuses what a real one refuses, so an agent that breaks the protocol is noticed.
//!
//! The last line of the last user message may be a script: steps joined by ` ;; `, the first with `MOCK:` before it
//! (the others may have it).
//!
//! | step | what the model does |
//! | --- | --- |
//! | `TEXT words` | says it, a word a chunk |
//! | `REASON words` | thinks it |
//! | `SLOW [ms=200] [chunks=20]` | says `chunks` words, `ms` milliseconds apart |
//! | `WRITE path=P content=C` | calls the offered tool that writes a file; `\n` in `C` is a line's end |
//! | `SHELL cmd=C` | calls the offered tool that runs a command |
//! | `ERROR code=N` | answers with HTTP status `N`; after other steps, breaks the stream off with an error |
//! | `HANG` | says no more and leaves the request open |
//!
//! A tool call ends the answer, as it does with a real model; the steps after it are the answer to the request that
//! brings the tool's result. Which tool and which arguments are chosen from the schemas in the request, for every
//! agent has its own. A request that offers no tools is one of the agent's side calls (a title, a suggestion) and is
//! always answered `Mock side answer`. Without a script the answer repeats what the user said and counts the user's
//! messages, so that a test can see whether the history was sent along.

mod connection;
mod log;
mod protocol;
mod reply;
mod script;
mod serve;
mod tools;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::{TestkitError, limits};
pub use log::{Ending, RecordedRequest, TokenUsage};

/// The name of the only model there is.
pub const MODEL: &str = "mock-model";

/// The model server. Dropping it closes its connections, hanging ones too, and waits for its threads.
#[derive(Debug)]
pub struct MockModel {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    stopping: AtomicBool,
    next_id: AtomicU64,
    port: u16,
    open: Mutex<BTreeMap<u64, TcpStream>>,
    log: Mutex<log::Log>,
}

impl Shared {
    fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    fn stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    fn open(&self) -> MutexGuard<'_, BTreeMap<u64, TcpStream>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn log(&self) -> MutexGuard<'_, log::Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MockModel {
    /// Starts a server on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// [`TestkitError::Io`] when there is no port or no thread to be had.
    pub fn start() -> Result<Self, TestkitError> {
        let setup = || TestkitError::io("cannot start the mock model on 127.0.0.1");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(setup())?;
        let address = listener.local_addr().map_err(setup())?;
        let shared = Arc::new(Shared { port: address.port(), ..Shared::default() });
        let accepting = Arc::clone(&shared);
        let acceptor = std::thread::Builder::new().name("mock-model".to_owned());
        let acceptor = acceptor.spawn(move || accept(&listener, &accepting)).map_err(setup())?;
        Ok(Self { address, shared, acceptor: Some(acceptor) })
    }

    /// Where the server listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address with its scheme, `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What OpenAI clients call the base URL, `http://127.0.0.1:PORT/v1`.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("{}/v1", self.origin())
    }

    /// The latest requests, oldest first, at most [`limits::MAX_RECORDED`].
    #[must_use]
    pub fn requests(&self) -> Vec<RecordedRequest> {
        self.shared.log().requests()
    }

    /// The tokens that the answers so far reported to their clients, summed up.
    #[must_use]
    pub fn usage(&self) -> TokenUsage {
        self.shared.log().usage()
    }
}

impl Drop for MockModel {
    fn drop(&mut self) {
        let open = self.shared.open();
        self.shared.stopping.store(true, Ordering::Release);
        for stream in open.values() {
            // It may have been closed by the other side already, which is as good.
            let _ = stream.shutdown(Shutdown::Both);
        }
        drop(open);
        // The acceptor looks at `stopping` after each connection, so it gets one. Should that fail, it is left alone:
        // waiting for it would then never end.
        if TcpStream::connect(self.address).is_ok()
            && let Some(acceptor) = self.acceptor.take()
        {
            let _ = acceptor.join();
        }
    }
}

/// Accepts connections until the server stops, and returns when the last of them has ended.
fn accept(listener: &TcpListener, shared: &Shared) {
    std::thread::scope(|scope| {
        for stream in listener.incoming() {
            // A connection that failed while it was being accepted is its client's matter.
            let Ok(stream) = stream else { continue };
            let Ok(handle) = stream.try_clone() else { continue };
            let id = shared.next_id();
            {
                let mut open = shared.open();
                if shared.stopping() {
                    return;
                }
                if open.len() >= limits::MAX_CONNECTIONS {
                    continue;
                }
                open.insert(id, handle);
            }
            scope.spawn(move || {
                // The end of a connection is in the log, where the tests see it.
                let _ = serve::serve(shared, stream);
                shared.open().remove(&id);
            });
        }
    });
}
