//! `boocoder run`

use std::io::{BufRead, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;

use boocoder_model::{ChatId, SessionId};
use boocoder_wire::http::{
    self, Accepted, Approval, Contents, NewMessage, NewProject, NewSession, Project, ServerInfo, Session,
};
use clap::{Args, ValueEnum};
use tokio::sync::mpsc;

use super::attach::Attached;
use super::client::Client;
use super::conversation::{Conversation, End, Options};
use super::git::project_root;
use super::screen::Screen;
use super::signals::Signals;
use super::{CANCELLED, FAILED};
use crate::config::{Config, DEMO};
use crate::limits::TYPED_LINES;

/// What `run` may be told.
#[derive(Clone, Debug, Args)]
pub(super) struct Run {
    /// What to say to the agent
    prompt: String,
    /// A directory in the git repository to work on [default: the current one]
    #[arg(long, value_name = "PATH")]
    project: Option<PathBuf>,
    /// Which agent; `boocoder agents` shows them
    #[arg(long, value_name = "NAME", default_value = DEMO)]
    agent: String,
    /// Which of the agent's models [default: its own choice]
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// Go on with this session, on its own project [default: a new one]
    #[arg(long, value_name = "ID", conflicts_with = "project")]
    session: Option<SessionId>,
    /// Go on with this chat of the session, whose agent then knows what was said before [default: the first one]
    #[arg(long, value_name = "ID", requires = "session")]
    chat: Option<ChatId>,
    /// Print each frame as a line of JSON instead
    #[arg(long)]
    json: bool,
    /// Who answers when the agent asks for permission
    #[arg(long, value_enum, default_value = "ask")]
    approve: Approve,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Approve {
    /// You, at the terminal. Without a terminal the question stays open on the server.
    Ask,
    /// Nobody: whatever can be allowed once is allowed.
    Auto,
}

/// Where the turn belongs.
enum Place {
    /// A session that is there, and that has its project.
    Session(SessionId),
    /// A new session on the project at this root.
    Project(PathBuf),
}

impl Run {
    /// Runs the turn. `configured` says whether the command line had a say in how a server is configured.
    pub(super) async fn run(self, config: Config, configured: bool) -> anyhow::Result<ExitCode> {
        let mut signals = Signals::listen()?;
        let place = match self.session {
            Some(id) => Place::Session(id),
            None => Place::Project(project_root(self.project.clone()).await?),
        };
        let attached = tokio::select! {
            attached = Attached::find_or_start(config) => attached?,
            () = signals.next() => return Ok(ExitCode::from(CANCELLED)),
        };
        if let Some(ServerInfo { pid, url, .. }) = attached.running().filter(|_| configured) {
            Screen::new().remark(&format!(
                "the running server (process {pid}, {url}) uses its own configuration: --config and --database-url \
                 count for nothing here"
            ))?;
        }
        let ended = tokio::select! {
            ended = self.converse(&attached, place, signals) => ended,
            error = attached.failed() => Err(error),
        };
        let mut impatience = Signals::listen()?;
        tokio::select! {
            () = attached.finish() => {}
            () = impatience.next() => {}
        }
        Ok(match ended? {
            End::Completed => ExitCode::SUCCESS,
            End::Failed => ExitCode::from(FAILED),
            End::Cancelled => ExitCode::from(CANCELLED),
        })
    }

    async fn converse(self, attached: &Attached, place: Place, signals: Signals) -> anyhow::Result<End> {
        let client = &attached.client;
        let session = self.session(client, place).await?;
        // The stream is open before anything is said, so that no frame of the turn is missed.
        let frames = client.frames(session, None).await?;
        let auto = matches!(self.approve, Approve::Auto);
        let message = NewMessage {
            content: Contents::Text(self.prompt),
            agent: self.agent.clone(),
            chat_id: self.chat,
            model: self.model,
            mode_id: None,
            thinking_option_id: None,
            approval: Some(if auto { Approval::Auto } else { Approval::Ask }),
            request_id: None,
        };
        let accepted: Accepted = client.post(&format!("/api/sessions/{session}/messages"), &message).await?;
        let mut screen = Screen::new();
        screen.remark(&format!("session {session} chat {}", accepted.chat_id))?;
        let typed = std::io::stdin().is_terminal().then(typed_lines);
        let lasting = attached.running().is_some();
        let options = Options { agent: self.agent, json: self.json, auto, lasting };
        Conversation::new(client, session, accepted, screen, options).run(frames, typed, signals).await
    }

    async fn session(&self, client: &Client, place: Place) -> anyhow::Result<SessionId> {
        let root = match place {
            Place::Session(id) => {
                let session: Session = client.get(&format!("/api/sessions/{id}")).await?;
                return Ok(session.id);
            }
            Place::Project(root) => root,
        };
        let path = root.to_str().map(ToOwned::to_owned);
        let path = path.ok_or_else(|| anyhow::anyhow!("the path {} is not UTF-8", root.display()))?;
        let project: Project = client.post("/api/projects", &NewProject { path, name: None }).await?;
        let title = Some(self.prompt.lines().next().unwrap_or_default().chars().take(TITLE).collect());
        let session: http::Session =
            client.post("/api/sessions", &NewSession { project_id: project.id, title }).await?;
        Ok(session.id)
    }
}

/// The characters of the prompt that become the title of a new session.
const TITLE: usize = 60;

/// The lines that are typed, read on a thread of their own: reading from a terminal cannot be given up.
fn typed_lines() -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel(TYPED_LINES);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { return };
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    receiver
}
