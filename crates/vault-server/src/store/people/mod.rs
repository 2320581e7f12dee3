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

use vault_core::ids::PersonId;

use super::{Conn, StoreError, Tx};

type Result<T> = core::result::Result<T, StoreError>;

/// Writes a person's row as it is: transactions that count what is theirs come one after the other, on any engine.
pub async fn touch(tx: &mut Tx, person: PersonId) -> Result<()> {
    sqlx::query("UPDATE persons SET kind = kind WHERE id = $1").bind(person.to_string()).execute(tx.conn()).await?;
    Ok(())
}
