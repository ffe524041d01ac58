//! The suite that every engine passes.
//!
//! Each case is an async function that is given an empty store and panics if the store breaks its word.
//! [`store_conformance!`](crate::store_conformance) makes a test of each:
//!
//! ```
//! # mod tests {
//! use boocoder_store::conformance::Fixture;
//! use boocoder_store::{MemStore, Store};
//!
//! struct Memory(MemStore);
//!
//! impl Fixture for Memory {
//!     async fn new() -> Self {
//!         Self(MemStore::new())
//!     }
//!     fn store(&self) -> &dyn Store {
//!         &self.0
//!     }
//!     async fn end(self) {}
//! }
//!
//! boocoder_store::store_conformance!(Memory);
//! # }
//! ```

mod agents;
mod batches;
mod claims;
mod interactions;
mod log;
mod pending;
mod places;
mod runners;
mod sample;
mod servers;
mod tasks;
mod texts;
mod usage;

use std::time::Duration;

pub use agents::*;
pub use batches::*;
pub use claims::*;
pub use interactions::*;
pub use log::*;
pub use pending::*;
pub use places::*;
pub use runners::*;
pub use servers::*;
pub use tasks::*;
pub use texts::*;
pub use usage::*;

use crate::{Change, Store, StoreError, WriteBatch};

/// How long a case waits for what must come, before it fails.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// An empty store, and whatever it needs around it.
pub trait Fixture: Sized {
    /// Sets it up.
    fn new() -> impl Future<Output = Self>;
    /// The store.
    fn store(&self) -> &dyn Store;
    /// Takes it down.
    fn end(self) -> impl Future<Output = ()>;
}

/// Makes a test of every case of [`conformance`](crate::conformance), each with a [`Fixture`] of its own.
#[macro_export]
macro_rules! store_conformance {
    ($fixture:ty) => {
        $crate::store_conformance! { @each $fixture:
            projects_are_found_by_id_and_by_path
            sessions_are_listed_newest_first
            a_forked_chat_begins_with_what_was_said
            a_removed_session_is_hidden_with_what_it_shows
            a_removed_chat_is_hidden_with_what_it_shows
            what_is_renamed_keeps_its_place
            a_worktree_has_one_owner_and_an_owner_one_worktree
            a_conflict_takes_the_whole_batch_back
            an_id_is_taken_once
            what_is_named_must_be_there
            tasks_read_back_as_they_were_written
            a_task_changes_only_from_the_state_it_is_in
            a_request_key_is_taken_once
            tasks_are_listed_newest_first_as_narrowed
            a_removed_chat_takes_no_task
            a_request_to_cancel_stays_with_its_task
            tasks_are_claimed_in_order
            a_chat_runs_one_task_at_a_time
            nothing_removed_is_claimed
            claimers_at_once_never_share_a_task
            a_waiting_claimer_is_woken
            messages_are_replaced_in_their_place
            messages_that_grow_are_found_in_all_sessions
            a_task_that_begins_as_it_is_added_takes_its_chat
            turns_are_replaced_in_their_place
            agent_sessions_are_listed_freshest_first
            interactions_are_settled_once
            interactions_are_listed_as_narrowed
            pending_changes_are_revised_one_revision_after_the_other
            hunks_move_between_pending_changes
            open_decisions_last_until_they_are_ended
            pending_changes_keep_their_hunks_in_order
            frames_are_read_in_order_within_the_budget
            frames_leave_no_hole_and_no_number_twice
            frames_of_several_sessions_are_written_together
            one_of_two_writers_gets_the_number
            frames_that_are_expected_are_there_or_nothing_is_written
            a_compacted_log_goes_on_from_its_floor
            a_log_is_compacted_before_the_batch_is_appended
            a_refused_compaction_leaves_the_log
            runners_read_back_as_they_were_written
            a_chat_has_one_runner_of_an_agent
            a_runner_ends_once_and_takes_nothing_more
            a_journal_is_never_taken_in_backwards
            a_journal_and_its_frames_are_taken_in_together
            journals_are_taken_in_all_or_none
            one_of_two_readers_of_a_journal_takes_it_in
            a_journal_is_taken_in_with_other_changes
            a_server_that_registers_again_fences_off_what_spoke_for_it
            a_lease_ends_unless_it_is_renewed
            what_nobody_owns_is_the_first_servers
            one_of_two_takers_takes_over
            what_is_taken_over_is_to_be_settled
            a_fenced_off_writer_writes_nothing
            a_task_waits_for_the_server_that_keeps_its_agent
            what_is_written_is_told_once
            a_wish_is_kept_for_the_server_that_runs_the_task
            a_line_of_usage_is_added_once
            lines_read_back_as_they_were_written
            usage_and_the_position_it_came_from_are_written_together
            usage_is_the_sum_of_its_lines_and_never_falls
            ranges_of_time_are_half_open
            usage_is_narrowed_and_grouped_in_any_order
            turns_are_counted_by_how_they_ended
            more_groups_than_allowed_are_no_answer
            any_text_survives
        }
    };
    (@each $fixture:ty: $($case:ident)+) => { $(
        #[tokio::test]
        async fn $case() {
            let fixture = <$fixture as $crate::conformance::Fixture>::new().await;
            $crate::conformance::$case($crate::conformance::Fixture::store(&fixture)).await;
            $crate::conformance::Fixture::end(fixture).await;
        }
    )+ };
}

/// Commits changes that must fit.
async fn write(store: &dyn Store, changes: impl IntoIterator<Item = Change>) {
    try_write(store, changes).await.expect("a batch that fits is written");
}

async fn try_write(store: &dyn Store, changes: impl IntoIterator<Item = Change>) -> Result<(), StoreError> {
    let changes = changes.into_iter().collect();
    store.commit(WriteBatch { changes, frames: Vec::new(), durable: true, writer: None }).await
}

/// The detail of the conflict over `what` that a change must meet.
async fn refused(store: &dyn Store, what: &str, change: Change) -> String {
    let shown = format!("{change:?}");
    match try_write(store, [change]).await {
        Err(StoreError::Conflict { what: noun, detail }) if noun == what => detail,
        other => panic!("{shown} should be a conflict over the {what}, not {other:?}"),
    }
}
