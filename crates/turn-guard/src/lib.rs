//! Is this event part of the turn?
//!
//! Some agents end a turn with an event that names the session but not the turn, and send more such events after an
//! abort or a failure. A client that has begun the next turn by then would take the leftover for the end of the new
//! one. [`TurnGuard`] sits between the event stream of one agent session and whoever runs its turns:
//!
//! * after an abort or a failure it swallows the leftover end, once ([`Verdict::Orphan`]);
//! * a new turn's activity heals it: whatever ends after that ends the new turn, so a leftover that never comes strands
//!   nobody;
//! * where an event carries a key of its turn (a message id), the key decides, and an end without one is held back for
//!   the one with the key ([`Verdict::Undecided`]);
//! * every wait has a limit, and [`TurnGuard::poll_timeout`] tells when to call [`TurnGuard::handle_timeout`].
//!
//! | what | methods |
//! | --- | --- |
//! | commands | [`begin`](TurnGuard::begin), [`cancel`](TurnGuard::cancel) |
//! | inputs, each answered with a [`Verdict`] | [`handle_event`](TurnGuard::handle_event), [`handle_keyed_event`](TurnGuard::handle_keyed_event), [`handle_end`](TurnGuard::handle_end), [`handle_timeout`](TurnGuard::handle_timeout) |
//! | output | [`poll_timeout`](TurnGuard::poll_timeout) |
//!
//! Deliberately not here: clocks (a moment is a [`Duration`](std::time::Duration) since any fixed point that the caller
//! likes), sockets, and what to do about a verdict. A protocol whose turns end with the response to their own request
//! needs no guard.
//!
//! ```
//! use std::time::Duration;
//! use boocoder_model::{AgentEvent, TurnId};
//! use boocoder_turn_guard::{Ending, Limits, TurnGuard, Verdict};
//! # use uuid::Uuid;
//! # let (first, second) = (TurnId::from_uuid(Uuid::from_u128(1)), TurnId::from_uuid(Uuid::from_u128(2)));
//! let now = Duration::ZERO;
//! let mut guard = TurnGuard::new(Limits::default());
//!
//! guard.begin(first, None, now)?;
//! guard.cancel(now)?;
//! assert_eq!(guard.handle_end(None, Ending::Stopped, now), Verdict::Settled(first));
//!
//! guard.begin(second, None, now)?;
//! assert_eq!(guard.handle_end(None, Ending::Stopped, now), Verdict::Orphan, "a leftover of the first turn");
//! assert_eq!(guard.handle_event(&AgentEvent::Text("hello".into()), now), Verdict::Belongs(second));
//! assert_eq!(guard.handle_end(None, Ending::Stopped, now), Verdict::Settled(second));
//! # Ok::<(), boocoder_turn_guard::GuardError>(())
//! ```

mod error;
mod guard;
mod limits;
mod phase;
mod verdict;

pub use error::GuardError;
pub use guard::TurnGuard;
pub use limits::Limits;
pub use phase::{Orphans, TurnKey, TurnPhase};
pub use verdict::{Ending, Verdict};
