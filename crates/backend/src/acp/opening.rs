//! From a fresh process to an open session: `initialize`, then a session of old or a new one.

use std::ffi::OsStr;
use std::path::Path;

use boocoder_model::{AgentSessionId, Resumed};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use super::connection::Incoming;
use super::reading::{AgentInfo, PROTOCOL_VERSION, agent_error, agent_info};
use super::session::{Life, Session};
use super::settings::Settings;
use crate::limits::EVENT_QUEUE;
use crate::process::wait_gone;
use crate::{AgentSpec, BackendError, McpServer, OpenSpec, SessionInfo};

impl Session {
    /// Opens the session, all within the agent's start limit.
    pub(super) async fn open(&mut self, spec: &OpenSpec) -> Result<SessionInfo, BackendError> {
        let deadline = Instant::now() + self.limits.start;
        let hello = self.call("initialize", initialize(&spec.agent), "", deadline).await?;
        let agent = agent_info(&hello)?;
        let mcp_servers = mcp_servers(&spec.agent.mcp_servers, &agent)?;
        let (native_id, resumed, state) = self.enter(spec, &agent, mcp_servers, deadline).await?;
        self.connection.set_session(native_id.clone());
        self.native_id = native_id.clone();
        self.prompt_support = agent.prompt;
        self.settings = Settings::read(&state);
        self.life = Life::Open;
        Ok(SessionInfo {
            native_id,
            resumable: agent.loads || agent.resumes,
            resumed,
            agent_version: agent.version,
            pid: self.process.pid(),
            prompt: agent.prompt,
            options: self.settings.all(),
        })
    }

    /// Enters the session of old, if the agent still can, or else a new one.
    async fn enter(
        &mut self,
        spec: &OpenSpec,
        agent: &AgentInfo,
        mcp_servers: Value,
        deadline: Instant,
    ) -> Result<(AgentSessionId, Resumed, Value), BackendError> {
        let params = json!({ "cwd": spec.cwd, "mcpServers": mcp_servers });
        let way = match (agent.resumes, agent.loads) {
            (true, _) => Some("session/resume"),
            (false, true) => Some("session/load"),
            (false, false) => None,
        };
        if let (Some(old), Some(way)) = (&spec.resume, way) {
            let mut params = params.clone();
            params["sessionId"] = old.as_str().into();
            self.life = Life::Opening { replaying: true };
            let entered = self.call(way, params, &agent.login, deadline).await;
            self.life = Life::Opening { replaying: false };
            // What it replayed is no part of what comes now.
            self.mapper = boocoder_acp_mapper::SessionUpdateMapper::new();
            match entered {
                Ok(state) => return Ok((old.clone(), Resumed::Native, state)),
                Err(BackendError::Agent { code, message }) => {
                    tracing::info!(agent = %spec.agent.name, session = %old, code, message, "the session is not resumed");
                }
                Err(error) => return Err(error),
            }
        }
        let state = self.call("session/new", params, &agent.login, deadline).await?;
        let id = state["sessionId"].as_str().filter(|id| !id.is_empty());
        let id = id.ok_or_else(|| BackendError::Protocol("session/new gave no sessionId".to_owned()))?;
        Ok((AgentSessionId::from(id), Resumed::New, state))
    }

    /// Makes a request and waits for its response, seeing to whatever else comes in.
    async fn call(
        &mut self,
        stage: &'static str,
        params: Value,
        login: &str,
        deadline: Instant,
    ) -> Result<Value, BackendError> {
        let asked = self.connection.request(stage, params);
        loop {
            let Ok(incoming) = timeout_at(deadline, self.incoming.recv()).await else {
                let stderr = self.process.stderr();
                return Err(BackendError::StartTimeout { stage, limit: self.limits.start, stderr });
            };
            match incoming {
                Some(Incoming::Response { serial, result }) if serial == asked => {
                    return result.map_err(|error| agent_error(&error, login));
                }
                Some(Incoming::Eof) | None => return Err(self.exited().await),
                Some(incoming) => self.handle_incoming(incoming),
            }
            if self.outbox.len() > EVENT_QUEUE {
                return Err(BackendError::Protocol("it says too much before its session is open".to_owned()));
            }
        }
    }

    /// The agent has closed its output: it has exited, or has to.
    async fn exited(&mut self) -> BackendError {
        self.process.stop();
        wait_gone(self.process.goes()).await;
        let status = self.process.exit().map_or_else(|| "exit status unknown".to_owned(), |exit| exit.to_string());
        BackendError::Exited { status, stderr: self.process.stderr() }
    }
}

fn initialize(agent: &AgentSpec) -> Value {
    json!({
        "protocolVersion": PROTOCOL_VERSION,
        "clientInfo": { "name": "boocoder", "title": "BooCoder", "version": env!("CARGO_PKG_VERSION") },
        "clientCapabilities": {
            "fs": { "readTextFile": reads_through_client(agent), "writeTextFile": true },
            "terminal": true,
            "elicitation": { "form": {}, "url": {} },
        },
    })
}

/// Whether an agent is offered to read files through us. Gemini is not: it takes the error for a file that does not
/// exist yet as a failure, and then creates no files at all.
fn reads_through_client(agent: &AgentSpec) -> bool {
    agent.name.as_str() != "gemini" && Path::new(&agent.command).file_name() != Some(OsStr::new("gemini"))
}

/// The MCP servers in the protocol's form.
fn mcp_servers(servers: &[McpServer], agent: &AgentInfo) -> Result<Value, BackendError> {
    let pairs = |map: &std::collections::BTreeMap<String, String>| -> Vec<Value> {
        map.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect()
    };
    let server = |server: &McpServer| match server {
        McpServer::Stdio { name, command, args, env } => {
            Ok(json!({ "name": name, "command": command, "args": args, "env": pairs(env) }))
        }
        McpServer::Http { name, url, headers } if agent.mcp_http => {
            Ok(json!({ "type": "http", "name": name, "url": url, "headers": pairs(headers) }))
        }
        McpServer::Http { name, .. } => Err(BackendError::Unsupported(format!("the MCP server {name:?}, over HTTP"))),
    };
    servers.iter().map(server).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::builtins;
    use agent_client_protocol::v1::schema;

    #[test]
    fn what_we_say_is_what_the_protocol_knows() {
        let agents = builtins(Path::new("/bin/boocoder"));
        for agent in &agents {
            let request: schema::InitializeRequest = serde_json::from_value(initialize(agent)).expect("valid");
            let capabilities = request.client_capabilities;
            assert!(capabilities.terminal && capabilities.fs.write_text_file && capabilities.elicitation.is_some());
            assert_eq!(capabilities.fs.read_text_file, agent.name.as_str() != "gemini");
        }
    }

    #[test]
    fn mcp_servers_go_where_the_agent_takes_them() {
        let http =
            McpServer::Http { name: "web".into(), url: "http://a".into(), headers: [("k".into(), "v".into())].into() };
        let stdio = McpServer::Stdio {
            name: "own".into(),
            command: "x".into(),
            args: vec![],
            env: [("k".into(), "v".into())].into(),
        };
        let bare = AgentInfo::default();
        let error = mcp_servers(std::slice::from_ref(&http), &bare).expect_err("no http");
        assert_eq!(error.to_string(), "the agent does not support the MCP server \"web\", over HTTP");
        let able = AgentInfo { mcp_http: true, ..AgentInfo::default() };
        let servers = mcp_servers(&[http, stdio], &able).expect("both");
        let read: Vec<schema::McpServer> = serde_json::from_value(servers).expect("valid");
        assert!(matches!(&read[..], [schema::McpServer::Http(_), schema::McpServer::Stdio(_)]));
    }
}
