//! Recordings recognised and checked by their content.

/// The longest saved state.
pub const MAX_STATE: usize = 1024;
