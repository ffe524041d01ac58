//! Where an agent's program is.

use std::ffi::OsStr;
use std::path::PathBuf;

use boocoder_backend::{AgentSpec, BackendError, Environment, environment_for, locate};

/// The program that would be started for the agent, with the search path that the agent would get.
pub(crate) fn program_of(agent: &AgentSpec, ours: &Environment) -> Result<PathBuf, BackendError> {
    let environment = environment_for(agent, ours);
    locate(agent, environment.get(OsStr::new("PATH")).map(|path| path.as_os_str()))
}
