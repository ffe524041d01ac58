//! Errors as answers: the right status, a message for a human, a code for a program.

use std::convert::Infallible;
use std::io::ErrorKind;

use boocoder_dispatch::{Clash, DispatchError};
use boocoder_store::StoreError;
use boocoder_wire::http::Risk;
use boocoder_wire::{FileConflict, Problem};
use boocoder_worktree::WorktreeError;
use warp::http::StatusCode;
use warp::reject::{InvalidHeader, InvalidQuery, MethodNotAllowed, MissingHeader, Reject, Rejection};
use warp::reply::{Reply, Response};
use warp::ws::MissingConnectionUpgrade;

use crate::chain::chain;

/// An error as it is answered.
#[derive(Clone, Debug, PartialEq)]
pub struct ApiError {
    /// The status.
    pub status: StatusCode,
    /// The body. Boxed, since results carry it through every handler.
    pub problem: Box<Problem>,
}

impl ApiError {
    /// An error with this status, code and message.
    pub fn new(status: StatusCode, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { status, problem: Box::new(Problem::new(code, message)) }
    }

    /// 400: the request cannot be read.
    pub fn bad_request(code: &str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// 401: the token is missing or wrong.
    pub fn unauthorized(code: &str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, code, message)
    }

    /// 403: the request does not come from where it may.
    pub fn forbidden(code: &str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, code, message)
    }

    /// 404: there is no such thing.
    pub fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("{}_not_found", what.replace(' ', "_")), format!("{what} not found"))
    }

    /// 422: the request can be read and not be carried out.
    pub fn unprocessable(code: &str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, message)
    }

    /// 503: not now.
    pub fn unavailable(code: &str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, message)
    }

    /// 500: not the caller's fault. It is logged, since nobody else may look into it.
    fn internal(error: &dyn std::error::Error) -> Self {
        let message = chain(error);
        tracing::error!(error = %message, "a request failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message)
    }
}

impl Reject for ApiError {}

impl Reply for ApiError {
    fn into_response(self) -> Response {
        warp::reply::with_status(warp::reply::json(self.problem.as_ref()), self.status).into_response()
    }
}

impl From<DispatchError> for ApiError {
    fn from(error: DispatchError) -> Self {
        let message = error.to_string();
        match error {
            DispatchError::NotFound(what) => Self::not_found(what),
            DispatchError::Invalid(_) => Self::unprocessable("invalid", message),
            DispatchError::UnknownAgent(_) => Self::unprocessable("unknown_agent", message),
            DispatchError::AgentDisabled(_) => Self::unprocessable("agent_disabled", message),
            DispatchError::Conflict(_) => Self::new(StatusCode::CONFLICT, "conflict", message),
            DispatchError::AlreadySettled { outcome, decided_by } => Self {
                status: StatusCode::CONFLICT,
                problem: Box::new(Problem::new("already_settled", message).with_settlement(outcome, decided_by)),
            },
            DispatchError::AtRisk(risk) => {
                let risk = Risk { uncommitted: risk.uncommitted, unmerged: risk.unmerged, pending: risk.pending };
                let problem = Problem::new("at_risk", message).with_risk(risk);
                Self { status: StatusCode::CONFLICT, problem: Box::new(problem) }
            }
            DispatchError::Clash(clashes) => {
                let conflict = |clash: Clash| FileConflict {
                    file_path: clash.path,
                    reason: clash.reason,
                    ours: clash.ours,
                    base: clash.base,
                    theirs: clash.theirs,
                };
                let conflicts = clashes.into_iter().map(conflict).collect();
                let problem = Problem::new("moved_on", message).with_conflicts(conflicts);
                Self { status: StatusCode::CONFLICT, problem: Box::new(problem) }
            }
            DispatchError::Worktree(error) => error.into(),
            DispatchError::Store(error) => error.into(),
            DispatchError::OwnerSilent => Self::unavailable("not_settled", message),
            DispatchError::ShuttingDown => Self::unavailable("shutting_down", message),
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Conflict { .. } => Self::new(StatusCode::CONFLICT, "conflict", chain(&error)),
            StoreError::Unreachable(_) => {
                tracing::warn!(error = %chain(&error), "the database cannot be reached");
                Self::unavailable("database_unreachable", chain(&error))
            }
            StoreError::FencedOff => Self::unavailable("fenced_off", chain(&error)),
            StoreError::Corrupt { .. }
            | StoreError::Driver(_)
            | StoreError::Migration(_)
            | StoreError::TooOld { .. } => Self::internal(&error),
        }
    }
}

impl From<WorktreeError> for ApiError {
    fn from(error: WorktreeError) -> Self {
        use WorktreeError as E;
        let refused = |code| Self::unprocessable(code, chain(&error));
        match &error {
            E::NotARepository { .. } => refused("not_a_repository"),
            E::Bare { .. } => refused("bare_repository"),
            E::Untrusted { .. } => refused("untrusted_repository"),
            E::NoCommits { .. } => refused("no_commits"),
            E::UnsafePath { .. } => refused("unsafe_path"),
            E::Submodule { .. } => refused("submodule"),
            E::TooLarge { .. } => refused("too_large"),
            E::Conflict { .. } => Self::new(StatusCode::CONFLICT, "moved_on", chain(&error)),
            E::Gone { .. } => Self::new(StatusCode::CONFLICT, "objects_gone", chain(&error)),
            E::AtRisk(_) => Self::new(StatusCode::CONFLICT, "at_risk", chain(&error)),
            E::NotPreserved { .. } => Self::new(StatusCode::CONFLICT, "not_preserved", chain(&error)),
            E::Io { source, .. } if source.kind() == ErrorKind::InvalidFilename => refused("name_too_long"),
            E::TimedOut { .. } => Self::unavailable("timed_out", chain(&error)),
            E::GitMissing(_) => Self::unavailable("git_missing", chain(&error)),
            E::SetupFailed { .. } => refused("setup_failed"),
            E::AlreadyExists { .. } => Self::new(StatusCode::CONFLICT, "already_exists", chain(&error)),
            E::NotOurs { .. } => Self::new(StatusCode::CONFLICT, "not_ours", chain(&error)),
            E::Incomplete { .. }
            | E::InvalidId { .. }
            | E::MalformedChange { .. }
            | E::Failed { .. }
            | E::Unreadable { .. }
            | E::Io { .. } => Self::internal(&error),
        }
    }
}

/// Answers a request that no route took.
///
/// What we refused ourselves comes first; then what a route for the path would have taken; a missing route is last.
pub(crate) async fn recover(rejection: Rejection) -> Result<Response, Infallible> {
    let error = if let Some(error) = rejection.find::<ApiError>() {
        error.clone()
    } else if let Some(error) = rejection.find::<InvalidQuery>() {
        ApiError::bad_request("invalid_query", error.to_string().to_lowercase())
    } else if is_no_upgrade(&rejection) {
        ApiError::new(StatusCode::UPGRADE_REQUIRED, "upgrade_required", "this route speaks WebSocket only")
    } else if rejection.find::<MethodNotAllowed>().is_some() {
        ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "this route has no such method")
    } else {
        if !rejection.is_not_found() {
            tracing::warn!(?rejection, "a request was rejected for a reason without an answer of its own");
        }
        ApiError::new(StatusCode::NOT_FOUND, "not_found", "there is no such route")
    };
    Ok(error.into_response())
}

/// Only the WebSocket route asks for headers by filters.
fn is_no_upgrade(rejection: &Rejection) -> bool {
    rejection.find::<MissingHeader>().is_some()
        || rejection.find::<InvalidHeader>().is_some()
        || rejection.find::<MissingConnectionUpgrade>().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use boocoder_dispatch::SessionRisk;
    use boocoder_model::{DecidedBy, InteractionOutcome};
    use serde_json::json;

    fn answered(error: impl Into<ApiError>) -> (u16, serde_json::Value) {
        let error = error.into();
        (error.status.as_u16(), serde_json::to_value(error.problem).unwrap())
    }

    #[test]
    fn every_error_says_what_the_caller_can_do() {
        assert_eq!(
            answered(DispatchError::NotFound("session")),
            (404, json!({"error": "session not found", "code": "session_not_found"}))
        );
        let risk = SessionRisk { uncommitted: 2, unmerged: 0, pending: 1 };
        let (status, body) = answered(DispatchError::AtRisk(risk));
        assert_eq!(
            (status, &body["code"], &body["uncommitted"], &body["pending"]),
            (409, &json!("at_risk"), &json!(2), &json!(1))
        );
        let settled =
            DispatchError::AlreadySettled { outcome: InteractionOutcome::Cancelled, decided_by: DecidedBy::Policy };
        let (status, body) = answered(settled);
        assert_eq!(
            (status, &body["outcome"]["action"], &body["decided_by"]),
            (409, &json!("cancelled"), &json!("policy"))
        );
        for (error, status, code) in [
            (DispatchError::Invalid("no text".into()), 422, "invalid"),
            (DispatchError::UnknownAgent("x".into()), 422, "unknown_agent"),
            (DispatchError::AgentDisabled("x".into()), 422, "agent_disabled"),
            (DispatchError::Conflict("busy".into()), 409, "conflict"),
            (DispatchError::ShuttingDown, 503, "shutting_down"),
            (DispatchError::Worktree(WorktreeError::NotARepository { path: "/tmp".into() }), 422, "not_a_repository"),
            (DispatchError::Store(StoreError::Unreachable("gone".into())), 503, "database_unreachable"),
            (DispatchError::Store(StoreError::Driver("odd".into())), 500, "internal"),
        ] {
            let (found, body) = answered(error);
            assert_eq!((found, &body["code"]), (status, &json!(code)), "{body}");
        }
    }
}
