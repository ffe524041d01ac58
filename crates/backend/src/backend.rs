//! The port: what is asked of a backend, whichever agent and protocol stand behind it.
//!
//! Across it goes plain data (commands in, events out, questions and answers by id), so that a backend can live in
//! another process than its caller.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use boocoder_model::{
    AgentEvent, AgentSessionId, Answer, ConfigOption, ContentPart, DecidedBy, InteractionId, InteractionOutcome,
    Position, Question, Resumed, RunnerId, TurnId, TurnOutcome,
};
use tokio::sync::mpsc;

use crate::{AgentSpec, BackendError};

/// What to open a session with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenSpec {
    /// The agent, as the registry knows it.
    pub agent: AgentSpec,
    /// The worktree: where the agent starts, and all that its requests for files and terminals may touch. Absolute.
    pub cwd: PathBuf,
    /// The agent's own session to go on with, if it still can.
    pub resume: Option<AgentSessionId>,
    /// What to call the process that keeps the agent, where there is one; see [`Runners`].
    pub runner: RunnerId,
}

/// An open session: the handle to command it, and the one stream of all that happens in it.
pub struct Opened {
    /// Takes commands.
    pub session: Arc<dyn AgentSession>,
    /// Everything that happens, in order, bounded. It ends after [`SessionEvent::Exited`].
    pub events: mpsc::Receiver<Delivery>,
}

/// An event on its way to the consumer.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    /// Its place in the journal of a runner; none if the session lives in this process and dies with it.
    pub position: Option<Position>,
    /// What happened.
    pub event: SessionEvent,
}

/// What is known of a session once it is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionInfo {
    /// The agent's own id for the session, or nothing if it has none that is known.
    pub native_id: AgentSessionId,
    /// Whether the native id can be resumed by a later process.
    pub resumable: bool,
    /// How the session came to its context: a verified fact.
    pub resumed: Resumed,
    /// The agent's name and version as it tells them.
    pub agent_version: Option<String>,
    /// The process at the top of the agent's tree, or 0 if there is none: a command line has one in a turn alone.
    pub pid: u32,
    /// What a prompt may hold beside text and resource links.
    pub prompt: PromptSupport,
    /// What can be set: modes, models and the rest, whichever way the agent offers them.
    pub options: Vec<ConfigOption>,
}

/// What a prompt may hold beside text and resource links.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PromptSupport {
    /// Images.
    pub image: bool,
    /// Sounds.
    pub audio: bool,
    /// Resources with their content in place.
    pub embedded: bool,
}

/// One turn to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    /// The turn's id: its events and its end carry it.
    pub turn: TurnId,
    /// What to say.
    pub content: Vec<ContentPart>,
    /// The model to switch to first, or as it is.
    pub model: Option<String>,
    /// The mode to switch to first, or as it is.
    pub mode: Option<String>,
    /// The thinking level to switch to first, or as it is.
    pub thinking: Option<String>,
}

/// Something that happened in a session.
#[derive(Clone, Debug, PartialEq)]
pub enum SessionEvent {
    /// The agent said or did something, in a turn or between turns.
    Agent {
        /// The turn, or none between turns.
        turn: Option<TurnId>,
        /// What it said or did.
        event: AgentEvent,
    },
    /// The agent asks a human.
    Asked {
        /// The turn, or none between turns.
        turn: Option<TurnId>,
        /// The id to answer by.
        id: InteractionId,
        /// What it asks.
        question: Question,
    },
    /// A question was settled by something other than [`AgentSession::answer`]: its turn was cancelled, the agent took
    /// it back, or its process died.
    Withdrawn {
        /// The question.
        id: InteractionId,
        /// How it was settled.
        outcome: InteractionOutcome,
        /// By whom.
        decided_by: DecidedBy,
    },
    /// The turn is over. Nothing of it follows.
    TurnEnded {
        /// The turn.
        turn: TurnId,
        /// How it ended.
        outcome: TurnOutcome,
    },
    /// The process has gone, with all of its group. The last event.
    Exited {
        /// Its exit status, in words.
        status: String,
        /// The end of what it wrote to standard error.
        stderr: String,
    },
}

/// Runs agents of one kind.
#[async_trait]
pub trait AgentBackend: Send + Sync + 'static {
    /// Starts the agent and opens a session, within the agent's start limit.
    ///
    /// # Errors
    /// See [`BackendError`]; whatever was started is ended again.
    async fn open(&self, spec: OpenSpec) -> Result<Opened, BackendError>;

    /// The sessions that outlive this program, if those of this backend do.
    fn runners(&self) -> Option<&dyn Runners> {
        None
    }
}

/// What a backend offers whose sessions outlive this program: each is kept by a process of its own, a runner, that
/// writes down all that happens in a journal.
#[async_trait]
pub trait Runners: Send + Sync + 'static {
    /// Every runner of which something is there, be it only its journal.
    async fn list(&self) -> Vec<RunnerId>;

    /// Takes up a session again where the consumer stands: the events after `after` come first, then new ones. Works
    /// for a runner that has died, too: what it wrote down is brought to an end as its death demands (open questions
    /// withdrawn, the turn failed by crash, then [`SessionEvent::Exited`]), once nothing of its agent is left.
    ///
    /// # Errors
    /// [`BackendError::Closed`] if nothing is there of this runner, so that it never got to do anything; the error of
    /// the opening if that failed.
    async fn attach(&self, id: RunnerId, after: Position) -> Result<Attached, BackendError>;

    /// Ends what is left of a runner and of its agent, and forgets its journal.
    async fn discard(&self, id: RunnerId);
}

/// A session that was taken up again.
pub struct Attached {
    /// The session and its events.
    pub opened: Opened,
    /// Where it stands, beyond all events so far.
    pub state: RunnerState,
}

/// Where a runner's session stands, as its journal tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunnerState {
    /// The last event of the journal.
    pub last: Position,
    /// The last turn whose prompt it was given.
    pub turn: Option<TurnId>,
    /// Questions that the agent still asks.
    pub questions: BTreeSet<InteractionId>,
}

/// One open session with an agent. Turns run one at a time.
#[async_trait]
pub trait AgentSession: Send + Sync + 'static {
    /// What is known of the session.
    fn info(&self) -> &SessionInfo;

    /// Starts a turn. It returns when the prompt is on its way; its end comes as [`SessionEvent::TurnEnded`].
    ///
    /// # Errors
    /// [`BackendError::Busy`] while a turn runs; [`BackendError::Unsupported`] for content, a model or a mode that the
    /// agent does not take; [`BackendError::Closed`] if the process has gone.
    async fn prompt(&self, prompt: Prompt) -> Result<(), BackendError>;

    /// Answers a question. It returns when the answer is on its way to the agent.
    ///
    /// # Errors
    /// [`BackendError::UnknownInteraction`] if nobody is asking (any more); [`BackendError::InvalidAnswer`] if the
    /// answer names no option of the question.
    async fn answer(&self, id: InteractionId, answer: Answer) -> Result<(), BackendError>;

    /// Cancels the turn, if it is the one that runs: open questions are withdrawn, running tools shown as cancelled,
    /// and an agent that does not answer within its limit is ended. The turn's end comes as an event either way.
    async fn cancel(&self, turn: TurnId, decided_by: DecidedBy) -> Result<(), BackendError>;

    /// Tells that all up to this record is taken in and kept, so that the journal need not hold it any more.
    async fn acknowledge(&self, _consumed: Position) {}

    /// Ends the session and its process: politely, then by SIGTERM, then by SIGKILL, each to the whole group. Returns
    /// when nothing of it is left.
    async fn close(&self);
}
