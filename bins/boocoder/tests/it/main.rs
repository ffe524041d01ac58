//! The server and the command line as their users meet them.

mod checks;
mod cli;
mod crash;
mod database;
mod load;
mod memory;
mod real_agents;
mod requests;
mod serving;
mod sockets;
mod turns;
