//! Media: sealed and opened in segments, laid out in parts, recognised by content.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`floe`] | the cipher, exactly as specified |

pub mod floe;
