//! Playback: opening a session, reading its media, ending it.

pub mod media;
