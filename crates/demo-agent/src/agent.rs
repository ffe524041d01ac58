//! The agent's side of the protocol: one handler for each request.
//!
//! A handler that waits would stop all others of its connection, so whatever waits for the client runs in a task.

use std::{
    convert::Infallible,
    future,
    sync::{Arc, Mutex, PoisonError},
};

use agent_client_protocol::{
    Agent, Client, ConnectTo, Error, on_receive_notification, on_receive_request,
    schema::ProtocolVersion,
    v1::{
        ConnectionTo, Responder,
        schema::{
            AgentCapabilities, AvailableCommand, AvailableCommandInput, AvailableCommandsUpdate, CancelNotification,
            ClientCapabilities, CloseSessionRequest, CloseSessionResponse, ConfigOptionUpdate, ContentChunk,
            CurrentModeUpdate, DeleteSessionRequest, DeleteSessionResponse, Implementation, InitializeRequest,
            InitializeResponse, ListSessionsRequest, LoadSessionRequest, LoadSessionResponse, McpCapabilities,
            NewSessionRequest, NewSessionResponse, Notice, NoticeSeverity, PromptCapabilities, PromptRequest,
            PromptResponse, ResumeSessionRequest, ResumeSessionResponse, SessionCapabilities, SessionCloseCapabilities,
            SessionDeleteCapabilities, SessionId, SessionListCapabilities, SessionModeId, SessionNotification,
            SessionResumeCapabilities, SessionUpdate, SetSessionConfigOptionRequest, SetSessionConfigOptionResponse,
            SetSessionModeRequest, SetSessionModeResponse, UnstructuredCommandInput,
        },
    },
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    script::{VERBS, Verb},
    sessions::Sessions,
    settings::MODE,
    state::{Shared, Speaker, Store},
    transport::Outlet,
    turn::Turn,
};

/// What all handlers and turns of one connection share.
pub(crate) struct DemoAgent {
    pub(crate) sessions: Sessions,
    pub(crate) outlet: Outlet,
    /// Set by `crash`; whoever runs the agent then gives up at once.
    pub(crate) crash: CancellationToken,
    client: Mutex<ClientCapabilities>,
}

impl DemoAgent {
    pub(crate) fn new(store: Store, outlet: Outlet, crash: CancellationToken) -> Arc<Self> {
        Arc::new(Self { sessions: Sessions::new(store), outlet, crash, client: Mutex::default() })
    }

    /// Serves the connection until the client closes it.
    pub(crate) async fn serve(self: Arc<Self>, transport: impl ConnectTo<Agent> + 'static) -> Result<(), Error> {
        let [a, b, c, d, e, f, g, h, i, j, k] = std::array::from_fn(|_| Arc::clone(&self));
        Agent
            .v1()
            .name("boocoder-demo")
            .on_receive_request(async move |r: InitializeRequest, to, _| a.initialize(r, to), on_receive_request!())
            .on_receive_request(
                async move |r: NewSessionRequest, to, cx| b.new_session(r, to, &cx).await,
                on_receive_request!(),
            )
            .on_receive_request(
                async move |r: LoadSessionRequest, to, cx| c.load_session(r, to, &cx),
                on_receive_request!(),
            )
            .on_receive_request(
                async move |r: ResumeSessionRequest, to, cx| d.resume_session(r, to, &cx).await,
                on_receive_request!(),
            )
            .on_receive_request(
                async move |r: ListSessionsRequest, to, _| to.respond_with_result(e.sessions.list(r).await),
                on_receive_request!(),
            )
            .on_receive_request(
                async move |r: CloseSessionRequest, to, _| f.close_session(&r, to),
                on_receive_request!(),
            )
            .on_receive_request(
                async move |r: DeleteSessionRequest, to, _| g.delete_session(&r, to).await,
                on_receive_request!(),
            )
            .on_receive_request(
                async move |r: SetSessionModeRequest, to, cx| h.set_mode(r, to, &cx).await,
                on_receive_request!(),
            )
            .on_receive_request(
                async move |r: SetSessionConfigOptionRequest, to, cx| i.set_option(r, to, &cx).await,
                on_receive_request!(),
            )
            .on_receive_request(async move |r: PromptRequest, to, cx| j.prompt(r, to, &cx), on_receive_request!())
            .on_receive_notification(async move |n: CancelNotification, _| k.cancel(&n), on_receive_notification!())
            .connect_to(transport)
            .await
    }

    /// What the client can do, as it said in `initialize`.
    pub(crate) fn client(&self) -> ClientCapabilities {
        self.client.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn initialize(&self, request: InitializeRequest, responder: Responder<InitializeResponse>) -> Result<(), Error> {
        *self.client.lock().unwrap_or_else(PoisonError::into_inner) = request.client_capabilities;
        let sessions = SessionCapabilities::new()
            .list(SessionListCapabilities::new())
            .resume(SessionResumeCapabilities::new())
            .close(SessionCloseCapabilities::new())
            .delete(SessionDeleteCapabilities::new());
        let capabilities = AgentCapabilities::new()
            .load_session(self.sessions.are_durable())
            .prompt_capabilities(PromptCapabilities::new().image(true).audio(true).embedded_context(true))
            .mcp_capabilities(McpCapabilities::new().http(true).sse(true))
            .session_capabilities(sessions);
        let info = Implementation::new("boocoder-demo", env!("CARGO_PKG_VERSION")).title("BooCoder Demo".to_owned());
        responder
            .respond(InitializeResponse::new(ProtocolVersion::V1).agent_capabilities(capabilities).agent_info(info))
    }

    async fn new_session(
        &self,
        request: NewSessionRequest,
        responder: Responder<NewSessionResponse>,
        connection: &ConnectionTo<Client>,
    ) -> Result<(), Error> {
        #[expect(clippy::disallowed_methods, reason = "a session's id is drawn where the session is opened")]
        let id = Uuid::now_v7().to_string();
        match self.sessions.create(id.clone(), request.cwd, &request.mcp_servers).await {
            Ok(open) => {
                let settings = open.lock().session.settings.clone();
                let response = NewSessionResponse::new(id.clone());
                responder.respond(response.modes(settings.modes()).config_options(settings.options()))?;
                announce(connection, &id.into(), commands())
            }
            Err(error) => responder.respond_with_error(error),
        }
    }

    fn load_session(
        self: &Arc<Self>,
        request: LoadSessionRequest,
        responder: Responder<LoadSessionResponse>,
        connection: &ConnectionTo<Client>,
    ) -> Result<(), Error> {
        let (agent, id, to) = (Arc::clone(self), request.session_id, connection.clone());
        connection.spawn(async move {
            let loaded = async {
                let open = agent.sessions.restore(&id, request.cwd, &request.mcp_servers).await?;
                agent.replay(&id, &open).await?;
                Ok(open)
            };
            match loaded.await {
                Ok(open) => {
                    let settings = open.lock().session.settings.clone();
                    let response = LoadSessionResponse::new();
                    responder.respond(response.modes(settings.modes()).config_options(settings.options()))?;
                    announce(&to, &id, commands())
                }
                Err(error) => responder.respond_with_error(error),
            }
        })
    }

    async fn resume_session(
        &self,
        request: ResumeSessionRequest,
        responder: Responder<ResumeSessionResponse>,
        connection: &ConnectionTo<Client>,
    ) -> Result<(), Error> {
        let id = request.session_id;
        match self.sessions.restore(&id, request.cwd, &request.mcp_servers).await {
            Ok(open) => {
                let settings = open.lock().session.settings.clone();
                let response = ResumeSessionResponse::new();
                responder.respond(response.modes(settings.modes()).config_options(settings.options()))?;
                announce(connection, &id, commands())
            }
            Err(error) => responder.respond_with_error(error),
        }
    }

    /// Sends the kept part of the conversation again.
    async fn replay(&self, id: &SessionId, open: &Shared) -> Result<(), Error> {
        let history = open.lock().session.history.clone();
        let notify = async |update| {
            let notification = SessionNotification::new(id.clone(), update);
            self.outlet.notify(&notification).await
        };
        if history.dropped > 0 {
            let title = format!("{} older messages are no longer kept", history.dropped);
            notify(SessionUpdate::Notice(Notice::new(NoticeSeverity::Info, title))).await?;
        }
        for entry in history.entries {
            let mark = if entry.cut { " … [cut]" } else { "" };
            let chunk = ContentChunk::new(format!("{}{mark}", entry.text).into());
            notify(match entry.speaker {
                Speaker::User => SessionUpdate::UserMessageChunk(chunk),
                Speaker::Agent => SessionUpdate::AgentMessageChunk(chunk),
                Speaker::Thought => SessionUpdate::AgentThoughtChunk(chunk),
            })
            .await?;
        }
        Ok(())
    }

    fn close_session(
        &self,
        request: &CloseSessionRequest,
        responder: Responder<CloseSessionResponse>,
    ) -> Result<(), Error> {
        responder.respond_with_result(self.sessions.close(&request.session_id).map(|_| CloseSessionResponse::new()))
    }

    async fn delete_session(
        &self,
        request: &DeleteSessionRequest,
        responder: Responder<DeleteSessionResponse>,
    ) -> Result<(), Error> {
        let deleted = self.sessions.delete(&request.session_id).await;
        responder.respond_with_result(deleted.map(|()| DeleteSessionResponse::new()))
    }

    async fn set_mode(
        &self,
        request: SetSessionModeRequest,
        responder: Responder<SetSessionModeResponse>,
        connection: &ConnectionTo<Client>,
    ) -> Result<(), Error> {
        let id = request.session_id;
        match self.sessions.set(&id, MODE, &request.mode_id.0).await {
            Ok(open) => {
                let options = ConfigOptionUpdate::new(open.lock().session.settings.options());
                responder.respond(SetSessionModeResponse::new())?;
                announce(connection, &id, mode_update(request.mode_id))?;
                announce(connection, &id, SessionUpdate::ConfigOptionUpdate(options))
            }
            Err(error) => responder.respond_with_error(error),
        }
    }

    async fn set_option(
        &self,
        request: SetSessionConfigOptionRequest,
        responder: Responder<SetSessionConfigOptionResponse>,
        connection: &ConnectionTo<Client>,
    ) -> Result<(), Error> {
        let (id, config) = (request.session_id, request.config_id.0);
        let value = request.value.as_value_id().map(|value| Arc::clone(&value.0)).unwrap_or_default();
        match self.sessions.set(&id, &config, &value).await {
            Ok(open) => {
                let options = open.lock().session.settings.options();
                responder.respond(SetSessionConfigOptionResponse::new(options))?;
                if *config == *MODE { announce(connection, &id, mode_update(value.into())) } else { Ok(()) }
            }
            Err(error) => responder.respond_with_error(error),
        }
    }

    /// Starts a turn, which answers its prompt. The client may cancel it by `session/cancel` or by withdrawing the
    /// request.
    fn prompt(
        self: &Arc<Self>,
        request: PromptRequest,
        responder: Responder<PromptResponse>,
        connection: &ConnectionTo<Client>,
    ) -> Result<(), Error> {
        let (open, cancel) = match self.sessions.begin(&request.session_id) {
            Ok(begun) => begun,
            Err(error) => return responder.respond_with_error(error),
        };
        let mut turn = Turn::new(Arc::clone(self), connection.clone(), open.clone(), cancel.clone());
        connection.spawn(async move {
            let withdrawn = responder.cancellation();
            let watch = async {
                withdrawn.cancelled().await;
                cancel.cancel();
                future::pending::<Infallible>().await
            };
            let response = tokio::select! {
                response = turn.run(&request.prompt) => response,
                never = watch => match never {},
            };
            open.lock().running = None;
            responder.respond_with_result(response)
        })
    }

    /// A cancel for a session that is unknown or idle has nothing to do.
    fn cancel(&self, notification: &CancelNotification) -> Result<(), Error> {
        if let Ok(open) = self.sessions.get(&notification.session_id) {
            open.cancel();
        }
        Ok(())
    }
}

/// Sends an update behind the responses that the library has yet to write.
fn announce(connection: &ConnectionTo<Client>, id: &SessionId, update: SessionUpdate) -> Result<(), Error> {
    connection.send_notification(SessionNotification::new(id.clone(), update))
}

/// The verbs as commands.
pub(crate) fn commands() -> SessionUpdate {
    let command = |verb: &Verb| {
        let hint = (!verb.arguments.is_empty()).then(|| UnstructuredCommandInput::new(verb.arguments));
        AvailableCommand::new(verb.name, verb.about).input(hint.map(AvailableCommandInput::Unstructured))
    };
    SessionUpdate::AvailableCommandsUpdate(AvailableCommandsUpdate::new(VERBS.iter().map(command).collect()))
}

pub(crate) fn mode_update(mode: SessionModeId) -> SessionUpdate {
    SessionUpdate::CurrentModeUpdate(CurrentModeUpdate::new(mode))
}
