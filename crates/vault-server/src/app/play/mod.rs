//! Playing a recording.

pub mod served;
pub mod source;
