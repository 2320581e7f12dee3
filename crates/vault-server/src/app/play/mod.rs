//! Playing a recording.

pub mod findings;
pub mod live;
pub mod served;
pub mod source;
pub mod stream;

#[cfg(test)]
pub(crate) mod testing;
