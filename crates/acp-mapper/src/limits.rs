//! What the mapper remembers at most.

/// How many tool calls one mapper remembers. Beyond it the oldest finished call is forgotten, or the oldest at all where
/// none has finished; an update to a forgotten call starts a snapshot anew.
pub const MAX_TOOL_CALLS: usize = 256;
