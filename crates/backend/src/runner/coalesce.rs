//! Joins neighbouring chunks of text before they are written down, so that what shares a record, and later a frame, is
//! fixed by the journal.

use boocoder_model::AgentEvent;

use crate::SessionEvent;
use crate::limits::JOINED_TEXT;

/// The events with neighbouring chunks of one kind and turn joined, up to [`JOINED_TEXT`] bytes each.
pub(crate) fn coalesce(events: impl IntoIterator<Item = SessionEvent>) -> Vec<SessionEvent> {
    let mut joined: Vec<SessionEvent> = Vec::new();
    for event in events {
        let rest = match joined.last_mut() {
            Some(last) => join(last, event),
            None => Some(event),
        };
        joined.extend(rest);
    }
    joined
}

/// Adds a chunk to the one before it, or gives it back.
fn join(last: &mut SessionEvent, next: SessionEvent) -> Option<SessionEvent> {
    let (SessionEvent::Agent { turn, event: last }, SessionEvent::Agent { turn: of, event }) = (last, &next) else {
        return Some(next);
    };
    let (text, more) = match (last, event) {
        (AgentEvent::Text(text), AgentEvent::Text(more))
        | (AgentEvent::Reasoning(text), AgentEvent::Reasoning(more)) => (text, more),
        _ => return Some(next),
    };
    if turn != of || text.len() + more.len() > JOINED_TEXT {
        return Some(next);
    }
    text.push_str(more);
    None
}

#[cfg(test)]
#[expect(clippy::wildcard_enum_match_arm, reason = "the tests make three kinds of events")]
mod tests {
    use boocoder_model::TurnId;
    use proptest::prelude::*;

    use super::*;

    fn agent(turn: u8, event: AgentEvent) -> SessionEvent {
        let turn = (turn > 0).then(|| TurnId::from_uuid(uuid::Uuid::from_u128(turn.into())));
        SessionEvent::Agent { turn, event }
    }

    fn chunk() -> impl Strategy<Value = SessionEvent> {
        let text = prop_oneof![4 => "[a-z]{0,4}", 1 => Just("x".repeat(30_000))];
        (0..2_u8, 0..3_u8, text).prop_map(|(turn, kind, text)| {
            let event = match kind {
                0 => AgentEvent::Text(text),
                1 => AgentEvent::Reasoning(text),
                _ => AgentEvent::Notice(text),
            };
            agent(turn, event)
        })
    }

    /// Every byte with where it belongs, in order.
    fn bytes(events: &[SessionEvent]) -> Vec<(Option<TurnId>, u8, u8)> {
        let mut all = Vec::new();
        for event in events {
            let SessionEvent::Agent { turn, event } = event else { panic!("{event:?}") };
            let text = match event {
                AgentEvent::Text(text) => Some((0, text)),
                AgentEvent::Reasoning(text) => Some((1, text)),
                AgentEvent::Notice(text) => Some((2, text)),
                _ => None,
            };
            let (kind, text) = text.expect("one of the three");
            all.extend(text.bytes().map(|byte| (*turn, kind, byte)));
        }
        all
    }

    proptest! {
        #[test]
        fn nothing_is_lost_moved_or_too_long(events in prop::collection::vec(chunk(), 0..40)) {
            let joined = coalesce(events.clone());
            prop_assert_eq!(bytes(&joined), bytes(&events));
            prop_assert!(joined.len() <= events.len());
            let notices = |events: &[SessionEvent]| {
                let is = |event: &&SessionEvent| matches!(event, SessionEvent::Agent { event: AgentEvent::Notice(_), .. });
                events.iter().filter(is).count()
            };
            prop_assert_eq!(notices(&joined), notices(&events), "only chunks are joined");
            for event in &joined {
                if let SessionEvent::Agent { event: AgentEvent::Text(text), .. } = event {
                    prop_assert!(text.len() <= JOINED_TEXT);
                }
            }
        }
    }

    #[test]
    fn neighbours_of_one_turn_are_joined_and_others_are_not() {
        let text = |turn, text: &str| agent(turn, AgentEvent::Text(text.into()));
        let thought = |text: &str| agent(1, AgentEvent::Reasoning(text.into()));
        let joined = coalesce([text(1, "a"), text(1, "b"), text(0, "c"), text(1, "d"), thought("e"), thought("f")]);
        assert_eq!(joined, [text(1, "ab"), text(0, "c"), text(1, "d"), thought("ef")]);
        let long = text(1, &"x".repeat(JOINED_TEXT + 1));
        assert_eq!(coalesce([text(1, "a"), long.clone()]), [text(1, "a"), long]);
    }
}
