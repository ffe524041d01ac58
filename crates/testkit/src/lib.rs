//! What the tests of BooCoder share, and what no released binary contains.
//!
//! - [`llm::MockModel`]: an OpenAI-compatible model server on loopback whose answers are scripted by the prompt itself,
//!   so that real agents run a known turn without a login, a network or a bill.
//! - [`agents`]: the real agents that the tests drive, pinned, installed once from npm into a cache.
//! - [`transcript`]: reads recorded conversations with agents.
//! - [`repo`]: a small git repository to work in.
//! - [`process`]: which processes are alive, whose children they are and what memory they hold.
//!
//! The crate blocks and uses plain threads: a test may call it from any runtime, and the pure crates can use it without
//! getting one. It is deliberately no test framework: every helper returns a [`TestkitError`] that says what was awaited
//! or missing, and the test decides.
//!
//! ```
//! use std::io::{Read, Write};
//!
//! let model = boocoder_testkit::llm::MockModel::start()?;
//! let mut client = std::net::TcpStream::connect(model.address())?;
//! client.write_all(b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
//! let mut answer = String::new();
//! client.read_to_string(&mut answer)?;
//! assert!(answer.contains("mock-model"));
//! assert_eq!(model.requests()[0].path, "/v1/models");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod agents;
mod error;
pub mod limits;
pub mod llm;
pub mod process;
pub mod repo;
pub mod transcript;

pub use error::TestkitError;
