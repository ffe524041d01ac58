//! What servers tell each other, as the text of a notification: a word and two ids.

use boocoder_model::{ChatId, InteractionId, ServerId, SessionId, TaskId};
use uuid::Uuid;

use super::conn::{Query, params};
use crate::{About, News};

/// The channel on which servers tell each other what they wrote.
pub(super) const CHANNEL: &str = "boocoder_news";

/// The word for a log that has grown, which one statement makes in the database itself.
pub(super) const FRAMES: &str = "frames";

/// The notification of what a server wrote.
pub(super) fn tell(by: ServerId, about: About) -> Query<'static> {
    let (word, id) = match about {
        About::Frames(id) => (FRAMES, id.as_uuid()),
        About::SessionRemoved(id) => ("session_removed", id.as_uuid()),
        About::ChatRemoved(id) => ("chat_removed", id.as_uuid()),
        About::CancelRequested(id) => ("cancel_requested", id.as_uuid()),
        About::Wished(id) => ("wished", id.as_uuid()),
    };
    Query::new("SELECT pg_notify($1, $2)", params![CHANNEL, format!("{word} {by} {id}")])
}

/// What a notification tells. One that is not understood, from a later version perhaps, may tell of anything.
pub(super) fn read(payload: &str) -> News {
    try_read(payload).unwrap_or(News::Missed)
}

fn try_read(payload: &str) -> Option<News> {
    let mut words = payload.split(' ');
    let word = words.next()?;
    let by: ServerId = words.next()?.parse().ok()?;
    let id: Uuid = words.next()?.parse().ok()?;
    let about = match word {
        FRAMES => About::Frames(SessionId::from_uuid(id)),
        "session_removed" => About::SessionRemoved(SessionId::from_uuid(id)),
        "chat_removed" => About::ChatRemoved(ChatId::from_uuid(id)),
        "cancel_requested" => About::CancelRequested(TaskId::from_uuid(id)),
        "wished" => About::Wished(InteractionId::from_uuid(id)),
        _ => return None,
    };
    words.next().is_none().then_some(News::Written { by, about })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_understood_may_have_told_of_anything() {
        let (by, id) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let about = About::Wished(InteractionId::from_uuid(id));
        let told = News::Written { by: ServerId::from_uuid(by), about };
        assert_eq!(read(&format!("wished {by} {id}")), told);
        for odd in [String::new(), format!("song {by} {id}"), format!("wished {by}"), format!("wished {by} {id} more")]
        {
            assert_eq!(read(&odd), News::Missed, "{odd:?}");
        }
    }
}
