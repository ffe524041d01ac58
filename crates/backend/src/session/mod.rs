//! What the actors of sessions share, whichever protocol they speak.
//!
//! | module | holds |
//! | --- | --- |
//! | `handle` | the caller's side: commands to the actor, and their results |
//! | `outbox` | what waits for the consumer |
//! | `turn` | the state of the one turn that may run, without clocks or pipes |

mod handle;
mod outbox;
mod turn;

pub(crate) use handle::{Command, Reply, SessionHandle};
pub(crate) use outbox::Outbox;
pub(crate) use turn::{Overdue, Turn};
