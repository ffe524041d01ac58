//! What can be written: typed changes, and the batch that carries them together with frames.

use std::path::PathBuf;

use boocoder_model::{
    AgentSession, Chat, ChatId, Consumed, DecidedBy, DecisionId, Interaction, InteractionId, InteractionOutcome,
    Message, OpenDecision, PendingChange, Project, ProjectId, Runner, RunnerId, Seq, Session, SessionId, Task, TaskId,
    TaskState, Turn, UsageEntry, Worktree, WorktreeId,
};
use jiff::Timestamp;

use crate::{About, StoredFrame, Wish, Writer};

/// What one transaction writes: first the changes, then the frames.
///
/// A batch of frames and of [`Change::Consume`] alone is the cheap one, as it is written all the time; any other costs a
/// round trip more.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WriteBatch {
    /// The changes, in their order.
    pub changes: Vec<Change>,
    /// The frames. Within a session their numbers follow on from the last one, whether or not that one was removed.
    pub frames: Vec<StoredFrame>,
    /// Whether the commit must be on disk before it is reported. A batch that is not durable may be lost if the
    /// database machine or the database itself dies within a second, never if only this process does; a later durable
    /// batch makes it durable too.
    pub durable: bool,
    /// Who writes, where several servers share the store: the batch is refused once that one is fenced off, the runners
    /// that it adds are that server's, and the others are told of it. Without one nothing is checked and nothing told.
    pub writer: Option<Writer>,
}

impl WriteBatch {
    /// What the other servers are told of it, each once.
    pub(crate) fn news(&self) -> Vec<About> {
        let mut news: Vec<_> = self.frames.iter().map(|frame| About::Frames(frame.session_id)).collect();
        news.dedup();
        news.extend(self.changes.iter().filter_map(Change::news));
        let mut told = Vec::with_capacity(news.len());
        for about in news {
            if !told.contains(&about) {
                told.push(about);
            }
        }
        told
    }

    /// Whether a task may become claimable by it. The end of a runner counts only where others wait for it: within one
    /// server nobody does.
    pub(crate) fn wakes_claimers(&self) -> bool {
        let lets_others = |change: &Change| self.writer.is_some() && matches!(change, Change::EndRunner { .. });
        self.changes.iter().any(|change| change.wakes_claimers() || lets_others(change))
    }
}

/// One change of state.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Adds a project. Conflict if there is one at the same path.
    AddProject(Project),
    /// Notes that a project's checkout is elsewhere now. Conflict if there is none with this id, or another one at that path.
    MoveProject {
        /// Which one.
        id: ProjectId,
        /// The root of its checkout.
        path: PathBuf,
    },
    /// Adds a session.
    AddSession(Session),
    /// Hides a session and its chats from now on. Conflict if there is none, or none any more.
    RemoveSession {
        /// Which one.
        id: SessionId,
        /// When.
        at: Timestamp,
    },
    /// Gives a session another title. Conflict if there is none, or none any more.
    RenameSession {
        /// Which one.
        id: SessionId,
        /// The title.
        title: String,
    },
    /// Gives a chat another title. Conflict if there is none, or none any more.
    RenameChat {
        /// Which one.
        id: ChatId,
        /// The title.
        title: String,
    },
    /// Adds a chat. Conflict if its session was removed.
    AddChat(Chat),
    /// Hides a chat from now on. Conflict if there is none, or none any more.
    RemoveChat {
        /// Which one.
        id: ChatId,
        /// When.
        at: Timestamp,
    },
    /// Adds a task and wakes whoever claims. Conflict if the request key is taken, or if its session or its chat was
    /// removed, since nobody would ever claim it.
    AddTask {
        /// The task, queued.
        task: Box<Task>,
        /// What makes a repeated request the same request.
        request_key: Option<String>,
    },
    /// Replaces what is known of a task, except for `cancel_requested`, which only [`Change::RequestCancel`] sets: who
    /// replaces a task writes an older copy of it, and must not undo a request that came in between. Conflict unless it
    /// is in the state `from`, or if it would be the second one to run in its chat; wakes whoever claims unless it runs.
    UpdateTask {
        /// The task as it is now.
        task: Box<Task>,
        /// The state that it must be in.
        from: TaskState,
    },
    /// Keeps with a task who wants it to stop. The first request stays: another one changes nothing. Conflict unless the
    /// task is running, since any other is stopped by replacing it.
    RequestCancel {
        /// Which one.
        task: TaskId,
        /// Who wants it.
        by: DecidedBy,
    },
    /// Adds a message, or replaces the one with its id.
    PutMessage(Box<Message>),
    /// Adds a turn, or replaces the one with its id.
    PutTurn(Turn),
    /// Adds what is known of an agent in a chat, or replaces it.
    PutAgentSession(Box<AgentSession>),
    /// Adds a line to the usage ledger. One whose id is there already changes nothing, since it tells of the same report.
    AddUsage(UsageEntry),
    /// Adds an open interaction.
    OpenInteraction(Box<Interaction>),
    /// Settles an interaction. Conflict if it is settled already.
    SettleInteraction {
        /// Which one.
        id: InteractionId,
        /// How.
        outcome: InteractionOutcome,
        /// By whom.
        decided_by: DecidedBy,
        /// When.
        at: Timestamp,
    },
    /// Adds a worktree. Conflict if its session or task has one.
    AddWorktree(Worktree),
    /// Notes that a worktree is elsewhere now. Conflict if there is none, or none any more.
    MoveWorktree {
        /// Which one.
        id: WorktreeId,
        /// Where it is.
        path: PathBuf,
    },
    /// Forgets a worktree that was removed from the disk.
    RemoveWorktree {
        /// Which one.
        id: WorktreeId,
        /// When.
        at: Timestamp,
    },
    /// Adds a pending change with its hunks.
    AddPending(Box<PendingChange>),
    /// Replaces what may change of a pending change, and all of its hunks. Conflict unless it is in the revision before. A
    /// hunk may move from one change to another in one batch: first the one that it leaves, then the one it comes to.
    RevisePending(Box<PendingChange>),
    /// Adds a decision that is about to be carried out.
    BeginDecision(Box<OpenDecision>),
    /// Takes it away again. Conflict if there is none.
    EndDecision {
        /// Which one.
        id: DecisionId,
    },
    /// Adds a runner. Conflict if its chat has one for the same agent that has not ended.
    AddRunner(Box<Runner>),
    /// Replaces how far a runner's journal is taken in. Conflict if there is none or it has ended, or if it would go
    /// back; to write the same position again changes nothing that matters.
    Consume {
        /// Whose journal.
        runner: RunnerId,
        /// How far.
        consumed: Consumed,
    },
    /// Ends a runner: it takes nothing in any more, and its chat may have another. Conflict if there is none or it has
    /// ended.
    EndRunner {
        /// Which one.
        id: RunnerId,
        /// When.
        at: Timestamp,
    },
    /// Changes nothing. Conflict unless the session's log reaches at least so far: for whoever committed without waiting
    /// for the disk, and goes on only if the database still has it.
    ExpectFrames {
        /// The session.
        session: SessionId,
        /// The number of the last frame that should be there.
        through: Seq,
    },
    /// Keeps an answer that was given to a server which does not run the task. One that was kept before for the same
    /// question is replaced. Conflict if the question is settled.
    PutWish(Wish),
    /// Removes the frames of a session up to a number and remembers that number as the floor of its log, also if the
    /// session was removed. Up to or below the floor it changes nothing. Conflict if the log ends before that number; the
    /// frames of the same batch do not count, as they are written after its changes.
    CompactFrames {
        /// Whose log.
        session: SessionId,
        /// The last frame to remove.
        through: Seq,
    },
}

impl Change {
    /// Whether a task may become claimable by it: one was added, or one no longer holds its chat.
    fn wakes_claimers(&self) -> bool {
        match self {
            Self::AddTask { task, .. } => task.state == TaskState::Queued,
            Self::UpdateTask { task, .. } => task.state != TaskState::Running,
            Self::AddProject(_)
            | Self::MoveProject { .. }
            | Self::AddSession(_)
            | Self::RenameSession { .. }
            | Self::RenameChat { .. }
            | Self::RemoveSession { .. }
            | Self::AddChat(_)
            | Self::RemoveChat { .. }
            | Self::RequestCancel { .. }
            | Self::PutMessage(_)
            | Self::PutTurn(_)
            | Self::PutAgentSession(_)
            | Self::AddUsage(_)
            | Self::OpenInteraction(_)
            | Self::SettleInteraction { .. }
            | Self::AddWorktree(_)
            | Self::MoveWorktree { .. }
            | Self::RemoveWorktree { .. }
            | Self::AddPending(_)
            | Self::RevisePending(_)
            | Self::BeginDecision(_)
            | Self::EndDecision { .. }
            | Self::AddRunner(_)
            | Self::Consume { .. }
            | Self::EndRunner { .. }
            | Self::PutWish(_)
            | Self::CompactFrames { .. }
            | Self::ExpectFrames { .. } => false,
        }
    }

    /// What the other servers are told of it.
    fn news(&self) -> Option<About> {
        match self {
            Self::RemoveSession { id, .. } => Some(About::SessionRemoved(*id)),
            Self::RemoveChat { id, .. } => Some(About::ChatRemoved(*id)),
            Self::RequestCancel { task, .. } => Some(About::CancelRequested(*task)),
            Self::PutWish(wish) => Some(About::Wished(wish.interaction_id)),
            Self::AddProject(_)
            | Self::MoveProject { .. }
            | Self::AddSession(_)
            | Self::RenameSession { .. }
            | Self::RenameChat { .. }
            | Self::AddChat(_)
            | Self::AddTask { .. }
            | Self::UpdateTask { .. }
            | Self::PutMessage(_)
            | Self::PutTurn(_)
            | Self::PutAgentSession(_)
            | Self::AddUsage(_)
            | Self::OpenInteraction(_)
            | Self::SettleInteraction { .. }
            | Self::AddWorktree(_)
            | Self::MoveWorktree { .. }
            | Self::RemoveWorktree { .. }
            | Self::AddPending(_)
            | Self::RevisePending(_)
            | Self::BeginDecision(_)
            | Self::EndDecision { .. }
            | Self::AddRunner(_)
            | Self::Consume { .. }
            | Self::EndRunner { .. }
            | Self::CompactFrames { .. }
            | Self::ExpectFrames { .. } => None,
        }
    }
}
