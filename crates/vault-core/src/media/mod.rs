//! Media: sealed and opened in segments, laid out in parts, recognised by content.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`floe`] | the cipher, exactly as specified |
//! | [`layout`] | offsets: plaintext range → segments → ciphertext → parts |

pub mod floe;
pub mod layout;
