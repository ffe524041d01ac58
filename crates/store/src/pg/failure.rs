//! What an error of the driver means: whether it is worth another attempt, and which rule was broken.

use std::error::Error;
use std::time::Duration;

use deadpool_postgres::{HookError, PoolError};
use tokio_postgres::error::{DbError, Severity, SqlState};

use crate::limits::PgLimits;
use crate::rule::{self, conflict};
use crate::{StoreError, rule::SEQ};

/// Why a round trip failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("{}", words(.0))]
    Driver(#[from] tokio_postgres::Error),
    #[error("no connection: {}", pool_words(.0))]
    Pool(#[from] PoolError),
    #[error("no answer within {0:?}")]
    Silent(Duration),
    #[error("the connection was closed")]
    Closed,
}

/// The message of an error and of its causes, since the driver's own says as little as "db error".
fn words(error: &(dyn Error + 'static)) -> String {
    if let Some(db) = error.downcast_ref::<DbError>() {
        return db.message().to_owned();
    }
    match error.source() {
        Some(source) if source.is::<DbError>() => words(source),
        Some(source) => format!("{error}: {}", words(source)),
        None => error.to_string(),
    }
}

/// The pool's own messages wrap the driver's in several lines.
fn pool_words(error: &PoolError) -> String {
    match error {
        PoolError::Backend(error) | PoolError::PostCreateHook(HookError::Backend(error)) => words(error),
        PoolError::Timeout(_) => "none was there in time".to_owned(),
        PoolError::Closed => "the store is closed".to_owned(),
        PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(HookError::Message(_)) => error.to_string(),
    }
}

impl Failure {
    /// The driver's error, if it is one.
    fn driver(&self) -> Option<&tokio_postgres::Error> {
        match self {
            Self::Driver(error)
            | Self::Pool(PoolError::Backend(error) | PoolError::PostCreateHook(HookError::Backend(error))) => {
                Some(error)
            }
            Self::Pool(
                PoolError::Timeout(_)
                | PoolError::Closed
                | PoolError::NoRuntimeSpecified
                | PoolError::PostCreateHook(HookError::Message(_)),
            )
            | Self::Silent(_)
            | Self::Closed => None,
        }
    }

    /// Whether the server itself said that this one statement failed. Then nothing of it was done, and the connection
    /// goes on.
    pub(super) fn is_verdict(&self) -> bool {
        let db = self.driver().and_then(tokio_postgres::Error::as_db_error);
        db.and_then(DbError::parsed_severity) == Some(Severity::Error)
    }

    /// Whether the same may succeed a little later: the connection broke, the server starts or stops, or two
    /// transactions were in each other's way.
    pub(super) fn is_transient(&self) -> bool {
        match self.driver() {
            Some(error) => match error.code() {
                Some(code) => is_transient_code(code),
                None => error.is_closed() || is_io(error),
            },
            None => matches!(self, Self::Silent(_) | Self::Closed | Self::Pool(PoolError::Timeout(_))),
        }
    }

    /// Whether the server gave the statement up since it took too long, as it does when another transaction does not end.
    pub(super) fn is_out_of_time(&self) -> bool {
        self.driver().and_then(tokio_postgres::Error::code) == Some(&SqlState::QUERY_CANCELED)
    }

    /// Whether this is the rule that a chat runs one task at a time.
    pub(super) fn is_busy_chat(&self) -> bool {
        let db = self.driver().and_then(tokio_postgres::Error::as_db_error);
        db.and_then(DbError::constraint) == Some("tasks_running")
    }
}

fn is_transient_code(code: &SqlState) -> bool {
    const TRANSIENT: [SqlState; 6] = [
        SqlState::ADMIN_SHUTDOWN,
        SqlState::CRASH_SHUTDOWN,
        SqlState::CANNOT_CONNECT_NOW,
        SqlState::TOO_MANY_CONNECTIONS,
        SqlState::T_R_SERIALIZATION_FAILURE,
        SqlState::T_R_DEADLOCK_DETECTED,
    ];
    // Class 08 is that of connection exceptions.
    TRANSIENT.contains(code) || code.code().starts_with("08")
}

/// Whether the cause is the connection itself.
fn is_io(error: &tokio_postgres::Error) -> bool {
    std::iter::successors(error.source(), |&source| source.source()).any(|source| source.is::<std::io::Error>())
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        if let Some(conflict) = failure.driver().and_then(tokio_postgres::Error::as_db_error).and_then(broken_rule) {
            return conflict;
        }
        let closed = matches!(failure, Failure::Pool(PoolError::Closed));
        if closed || failure.is_transient() { Self::Unreachable(failure.into()) } else { Self::Driver(failure.into()) }
    }
}

/// The conflict that an error of class 23 is: constraints are called by their table and their rule.
fn broken_rule(error: &DbError) -> Option<StoreError> {
    let table = error.table().filter(|_| error.code().code().starts_with("23"))?;
    let what = match table {
        "projects" => "project",
        "sessions" => "session",
        "chats" => "chat",
        "tasks" => "task",
        "messages" => "message",
        "turns" => "turn",
        "usage_entries" => "usage entry",
        "agent_sessions" => "agent session",
        "interactions" => "interaction",
        "worktrees" => "worktree",
        "pending_changes" => "pending change",
        "pending_hunks" => "hunk",
        "open_decisions" => "decision",
        "runners" => "runner",
        "wishes" => "wish",
        // The statement that takes journals in adds a frame of no session if it does not fit them.
        // And one without a body if its writer is fenced off.
        "frames" if error.column() == Some("body") => return Some(StoreError::FencedOff),
        "frames" if error.column() == Some("session_id") => return Some(conflict("runner", rule::PASSED)),
        "frames" => return Some(conflict("frame", SEQ)),
        _ => return None,
    };
    let name = error.constraint().and_then(|name| name.strip_prefix(table)).unwrap_or_default();
    let detail = match name {
        "_pkey" => rule::ID_TAKEN,
        "_path" => rule::PATH_TAKEN,
        "_request" => rule::REQUEST_TAKEN,
        "_running" => rule::CHAT_BUSY,
        "_one_per_agent" => rule::HAS_RUNNER,
        "_one_per_session" | "_one_per_task" => rule::HAS_WORKTREE,
        "_owner" => rule::ONE_OWNER,
        "_project" => rule::NO_PROJECT,
        "_session" => rule::NO_SESSION,
        "_chat" => rule::NO_CHAT,
        "_chat_session" => rule::OTHER_SESSION,
        "_task" => rule::NO_TASK,
        "_turn" => rule::NO_TURN,
        "_message" => rule::NO_MESSAGE,
        "_worktree" => rule::NO_WORKTREE,
        _ => return Some(conflict(what, error.message())),
    };
    Some(conflict(what, detail))
}

/// The pauses between attempts, and their end.
pub(super) struct Attempts {
    left: u32,
    pause: Duration,
    longest: Duration,
}

impl Attempts {
    pub(super) const fn new(limits: &PgLimits) -> Self {
        Self { left: limits.attempts, pause: limits.first_pause, longest: limits.longest_pause }
    }

    /// Waits before another attempt; says false at once if there is none left.
    pub(super) async fn another(&mut self) -> bool {
        self.left = self.left.saturating_sub(1);
        if self.left == 0 {
            return false;
        }
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(self.longest);
        true
    }
}
