//! Who is killed, when, and what must come of the turn then.

use std::time::Duration;

/// A moment of a turn that can be seen from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The message was answered with 202, or is just about to be.
    Accepted,
    /// A frame says that the task runs.
    Claimed,
    /// The session's worktree is there; a runner or an agent that is to die has just been started.
    WorktreeMade,
    /// The demo agent has put the prompt into its session's file.
    PromptSent,
    /// Frames bring what the agent says while it says more.
    Streaming,
    /// A frame brings a question.
    PermissionOpen,
    /// The question's answer was acknowledged, or is just about to be.
    PermissionAnswered,
    /// A command of the agent has written its line and still runs.
    ToolRunning,
    /// A frame brings the last words of the prompt's answer.
    PromptReturned,
    /// What the turn changed is under a ref of the project.
    Diffed,
    /// A frame says how the turn ended, and a change of it is applied, or just about to be.
    Settled,
}

/// All steps, in their order.
pub(super) const STEPS: [Step; 11] = [
    Step::Accepted,
    Step::Claimed,
    Step::WorktreeMade,
    Step::PromptSent,
    Step::Streaming,
    Step::PermissionOpen,
    Step::PermissionAnswered,
    Step::ToolRunning,
    Step::PromptReturned,
    Step::Diffed,
    Step::Settled,
];

impl Step {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Claimed => "claimed",
            Self::WorktreeMade => "worktree made",
            Self::PromptSent => "prompt sent",
            Self::Streaming => "streaming",
            Self::PermissionOpen => "permission open",
            Self::PermissionAnswered => "permission answered",
            Self::ToolRunning => "tool running",
            Self::PromptReturned => "prompt returned",
            Self::Diffed => "diffed",
            Self::Settled => "settled",
        }
    }

    /// How long after the step the kill comes at most: many steps take only a moment.
    pub(super) fn late(self) -> Duration {
        Duration::from_millis(if self.is_in_prompt() { 60 } else { 15 })
    }

    /// Whether the agent is at work on the prompt in this step, and goes on for as long as it should.
    pub(super) fn is_in_prompt(self) -> bool {
        match self {
            Self::PromptSent
            | Self::Streaming
            | Self::PermissionOpen
            | Self::PermissionAnswered
            | Self::ToolRunning => true,
            Self::Accepted
            | Self::Claimed
            | Self::WorktreeMade
            | Self::PromptReturned
            | Self::Diffed
            | Self::Settled => false,
        }
    }
}

/// The process that is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Victim {
    Server,
    Runner,
    Agent,
    Postgres,
}

impl Victim {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Runner => "runner",
            Self::Agent => "agent",
            Self::Postgres => "postgres",
        }
    }

    /// Whether the turn itself loses what it runs on.
    pub(super) fn holds_the_turn(self) -> bool {
        match self {
            Self::Runner | Self::Agent => true,
            Self::Server | Self::Postgres => false,
        }
    }
}

/// What must come of the turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expect {
    /// It completes, as if nothing had happened.
    TurnGoesOn,
    /// It fails, decided by crash.
    TurnCrashes,
    /// Either: which came first cannot be seen from outside.
    Either,
}

impl Expect {
    pub(super) fn of(victim: Victim, step: Step) -> Self {
        match (victim, step) {
            (Victim::Server | Victim::Postgres, _) => Self::TurnGoesOn,
            (Victim::Runner | Victim::Agent, step) if step.is_in_prompt() => Self::TurnCrashes,
            (Victim::Runner | Victim::Agent, Step::Diffed | Step::Settled) => Self::TurnGoesOn,
            (Victim::Runner | Victim::Agent, _) => Self::Either,
        }
    }
}
