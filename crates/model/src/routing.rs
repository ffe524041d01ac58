//! Which backend runs a task, and whether a stop reason means that the turn went well.

use crate::{ChatId, SessionId, StopReason};

/// Whether a task goes to a warm agent.
///
/// A warm agent is kept for one (chat, agent), so the task needs both its session and its chat; a task that lacks
/// either (made by the plain API, an arena, MCP) runs in a fresh process and a worktree of its own. `warm_capable` is
/// the registry's word on the agent: it speaks ACP and is not configured as one-shot.
pub const fn should_use_warm_backend(warm_capable: bool, session: Option<SessionId>, chat: Option<ChatId>) -> bool {
    warm_capable && session.is_some() && chat.is_some()
}

/// Whether a turn that stopped for this reason went well.
///
/// A refusal and a cancellation did not; every other reason did, and an absent one counts as the end of the turn.
pub const fn is_turn_ok_for_stop_reason(reason: Option<&StopReason>) -> bool {
    !matches!(reason, Some(StopReason::Refusal | StopReason::Cancelled))
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    const SESSION: SessionId = SessionId::from_uuid(Uuid::from_u128(1));
    const CHAT: ChatId = ChatId::from_uuid(Uuid::from_u128(2));

    #[test]
    fn a_task_of_a_chat_goes_to_the_warm_agent() {
        assert!(should_use_warm_backend(true, Some(SESSION), Some(CHAT)));
    }

    #[test]
    fn without_its_session_or_its_chat_a_task_runs_one_shot() {
        assert!(!should_use_warm_backend(true, None, None));
        assert!(!should_use_warm_backend(true, Some(SESSION), None));
        assert!(!should_use_warm_backend(true, None, Some(CHAT)));
    }

    #[test]
    fn an_agent_that_cannot_stay_warm_never_does() {
        assert!(!should_use_warm_backend(false, Some(SESSION), Some(CHAT)));
    }

    #[test]
    fn only_refusal_and_cancellation_are_no_success() {
        for (reason, ok) in [
            (StopReason::EndTurn, true),
            (StopReason::MaxTokens, true),
            (StopReason::MaxTurnRequests, true),
            (StopReason::Other("paused".into()), true),
            (StopReason::Refusal, false),
            (StopReason::Cancelled, false),
        ] {
            assert_eq!(is_turn_ok_for_stop_reason(Some(&reason)), ok, "{reason}");
        }
        assert!(is_turn_ok_for_stop_reason(None), "an absent reason is the end of the turn");
    }
}
