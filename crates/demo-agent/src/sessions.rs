//! The sessions of this process and the stored ones behind them.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
};

use agent_client_protocol::{
    Error, ErrorCode,
    v1::schema::{self, ListSessionsRequest, ListSessionsResponse, McpServer, SessionId, SessionInfo},
};
use tokio_util::sync::CancellationToken;

use crate::{
    DemoError,
    limits::{LIST_PAGE, MAX_OPEN_SESSIONS},
    state::{Session, Shared, Store},
};

/// Open sessions by id, and the store.
#[derive(Debug)]
pub(crate) struct Sessions {
    store: Store,
    open: Mutex<BTreeMap<String, Shared>>,
}

impl Sessions {
    pub(crate) fn new(store: Store) -> Self {
        Self { store, open: Mutex::default() }
    }

    /// Whether sessions outlive the process.
    pub(crate) fn are_durable(&self) -> bool {
        self.store.is_durable()
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<String, Shared>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The open session of this id.
    pub(crate) fn get(&self, id: &SessionId) -> Result<Shared, Error> {
        self.all().get(&*id.0).cloned().ok_or_else(|| unknown(id))
    }

    pub(crate) async fn save(&self, open: &Shared) -> Result<(), Error> {
        self.store.save(open).await.map_err(protocol_error)
    }

    /// Opens a new session and stores it.
    pub(crate) async fn create(&self, id: String, cwd: PathBuf, mcp_servers: &[McpServer]) -> Result<Shared, Error> {
        let open = self.open(Session::new(id, absolute(cwd)?), mcp_servers)?;
        self.save(&open).await?;
        Ok(open)
    }

    /// Opens a session that this or an earlier process knew, in the directory that the client names now.
    pub(crate) async fn restore(&self, id: &SessionId, cwd: PathBuf, servers: &[McpServer]) -> Result<Shared, Error> {
        let cwd = absolute(cwd)?;
        let open = self.all().get(&*id.0).cloned();
        let mut session = match open {
            Some(open) => {
                let open = open.lock();
                if open.running.is_some() {
                    return Err(refused("a prompt is running in this session; cancel it first"));
                }
                open.session.clone()
            }
            None => self.store.load(&id.0).await.map_err(protocol_error)?.ok_or_else(|| unknown(id))?,
        };
        session.cwd = cwd;
        self.open(session, servers)
    }

    fn open(&self, session: Session, mcp_servers: &[McpServer]) -> Result<Shared, Error> {
        let mut all = self.all();
        if all.len() >= MAX_OPEN_SESSIONS && !all.contains_key(&session.id) {
            return Err(refused(&format!("{MAX_OPEN_SESSIONS} sessions are open; close one first")));
        }
        let id = session.id.clone();
        let open = Shared::new(session, mcp_servers.iter().map(server_name).collect());
        all.insert(id, open.clone());
        Ok(open)
    }

    /// Marks a session as busy with a turn, which the token cancels.
    pub(crate) fn begin(&self, id: &SessionId) -> Result<(Shared, CancellationToken), Error> {
        let open = self.get(id)?;
        let mut session = open.lock();
        if session.running.is_some() {
            return Err(refused("a prompt is running in this session; wait for it or cancel it"));
        }
        let cancel = CancellationToken::new();
        session.running = Some(cancel.clone());
        drop(session);
        Ok((open, cancel))
    }

    /// Sets one setting of a session.
    pub(crate) async fn set(&self, id: &SessionId, setting: &str, value: &str) -> Result<Shared, Error> {
        let open = self.get(id)?;
        let set = open.lock().session.settings.set(setting, value);
        set.map_err(|reason| Error::new(ErrorCode::INVALID_PARAMS, reason))?;
        self.save(&open).await?;
        Ok(open)
    }

    /// Forgets an open session in this process and cancels its turn. What is stored stays.
    pub(crate) fn close(&self, id: &SessionId) -> Result<Shared, Error> {
        let open = self.all().remove(&*id.0).ok_or_else(|| unknown(id))?;
        open.cancel();
        Ok(open)
    }

    /// Closes a session if it is open, and removes what is stored of it.
    pub(crate) async fn delete(&self, id: &SessionId) -> Result<(), Error> {
        let open = self.close(id).ok();
        if let Some(open) = &open {
            open.lock().deleted = true;
        }
        let stored = self.store.delete(&id.0).await.map_err(protocol_error)?;
        if stored || open.is_some() { Ok(()) } else { Err(unknown(id)) }
    }

    /// One page of all sessions, oldest first. The cursor is the last id of the page before.
    pub(crate) async fn list(&self, request: ListSessionsRequest) -> Result<ListSessionsResponse, Error> {
        let mut ids = self.store.ids().await.map_err(protocol_error)?;
        ids.extend(self.all().keys().cloned());
        let mut found: Vec<SessionInfo> = Vec::new();
        for id in ids.into_iter().filter(|id| request.cursor.as_ref().is_none_or(|cursor| id > cursor)) {
            let open = self.all().get(&id).map(|open| open.lock().session.clone());
            let session = match open {
                Some(session) => Some(session),
                None => self.store.load(&id).await.map_err(protocol_error)?,
            };
            // A session that was deleted since its id was read is simply not there any more.
            let Some(session) = session else { continue };
            if request.cwd.as_ref().is_some_and(|cwd| *cwd != session.cwd) {
                continue;
            }
            if found.len() == LIST_PAGE {
                let last = found.last().map(|info| info.session_id.to_string());
                return Ok(ListSessionsResponse::new(found).next_cursor(last));
            }
            found.push(SessionInfo::new(session.id, session.cwd).title(session.title));
        }
        Ok(ListSessionsResponse::new(found))
    }
}

/// The protocol's enums are open: a server of a kind yet unknown still counts.
fn server_name(server: &McpServer) -> String {
    match server {
        McpServer::Http(server) => server.name.clone(),
        McpServer::Sse(server) => server.name.clone(),
        McpServer::Stdio(server) => server.name.clone(),
        _ => "(of an unknown kind)".to_owned(),
    }
}

fn absolute(cwd: PathBuf) -> Result<PathBuf, Error> {
    if cwd.is_absolute() {
        return Ok(cwd);
    }
    let message = format!("cwd must be an absolute path, not \"{}\"", cwd.display());
    Err(Error::new(ErrorCode::INVALID_PARAMS, message))
}

fn protocol_error(error: DemoError) -> Error {
    error.to_protocol()
}

fn unknown(id: &SessionId) -> Error {
    schema::Error::session_not_found(id.clone()).into()
}

fn refused(message: &str) -> Error {
    Error::new(ErrorCode::INVALID_REQUEST, message)
}
