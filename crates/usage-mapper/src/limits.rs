//! What one agent session may make us remember.

/// In how many currencies one agent session may tell its costs. A cost in one more is taken for untold.
pub const CURRENCIES: usize = 8;
