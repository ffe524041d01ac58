//! The agent as a client meets it: raw JSON lines in and out, in process and as a process.

#![expect(clippy::unwrap_used, reason = "a test that meets the unexpected fails")]

mod peer;
mod process;
mod session;
mod tools;
mod turn;
