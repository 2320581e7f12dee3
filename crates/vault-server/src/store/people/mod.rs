//! Persons, the roles they hold, the tokens that speak for them.
//!
//! None of these rows is authority by itself: what a caller may do comes from the log's entries, found through the
//! references that these rows name (`app::callers`).

mod bindings;
mod persons;
mod tokens;
mod views;

pub use bindings::{BindingRow, BindingState};
pub use persons::PersonRow;
pub use tokens::TokenRow;
pub use views::{BindingFilter, BindingView, TokenView};

use super::{Conn, StoreError};

type Result<T> = core::result::Result<T, StoreError>;
