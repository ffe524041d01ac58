//! Logs do not grow for ever: once the turns that they tell of have ended, what was said is in their messages.

use boocoder_model::{MessageStatus, Seq, SessionId, TaskState};
use boocoder_store::{Change, StoreError, TaskFilter};

use crate::lane::LaneParts;
use crate::log::Entry;

/// Removes the oldest frames of a session once there are many more than are to be kept. Those of turns that run stay,
/// since their messages are put together from them. A client that asks for what was removed is told to fetch the state.
pub(crate) async fn compact(parts: &LaneParts, session: SessionId) -> Result<(), StoreError> {
    let keep = parts.limits.log_frames;
    let (head, floor) = (parts.log.head(session), parts.store.log_floor(session).await?);
    // Half as much again may gather, so that this is rare.
    if head.0.saturating_sub(floor.0) <= keep + keep / 2 {
        return Ok(());
    }
    let grows = |message: &boocoder_model::Message| message.status == MessageStatus::Streaming;
    let running = TaskFilter { session_id: Some(session), state: Some(TaskState::Running), ..TaskFilter::default() };
    let mut through = Seq(head.0 - keep);
    let mut in_turns = 0;
    for task in parts.store.tasks(running).await? {
        for turn in parts.store.turns_of_task(task.id).await?.into_iter().filter(|turn| turn.outcome.is_none()) {
            through = through.min(turn.after);
            in_turns += 1;
        }
    }
    let growing = parts.store.streaming_messages().await?;
    if growing.iter().filter(|message| message.session_id == Some(session) && grows(message)).count() > in_turns {
        // Something grows outside of any turn; the next turn's end is soon enough.
        return Ok(());
    }
    if through <= floor {
        return Ok(());
    }
    let changes = vec![Change::CompactFrames { session, through }];
    parts.log.write(Entry { session: Some(session), changes, frames: Vec::new() }).await
}
