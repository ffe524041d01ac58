//! The server and the command line as their users meet them.

mod checkpoints;
mod checks;
mod cli;
mod client;
mod command_lines;
mod crash;
mod database;
mod kinds;
mod load;
mod matrix;
mod memory;
mod openapi;
mod pending;
mod processes;
mod queued;
mod random;
mod real_agents;
mod replay;
mod requests;
mod serving;
mod shared;
mod sockets;
mod stats;
mod turns;
mod watcher;
mod worktrees;
