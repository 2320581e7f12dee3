//! Persons and machines, the roles they hold, the tokens that speak for them.
//!
//! | act | rule beside the role |
//! | --- | --- |
//! | give a role that plays, approves, holds keys or gives roles | two administrators, neither of them the receiver |
//! | act by a token as somebody with such a role | two administrators handed it out: one issued it, another confirmed it |
//! | hold roles | those of `docs/roles.md` that exclude each other are not held together |
//! | take a role, disable a person | at least two administrators remain |
//!
//! Each act commits together with its log entry. What gives waits until that entry is in the log under a signed
//! checkpoint; what takes away does not wait.

mod first;
mod persons;
mod roles;
mod tokens;

#[cfg(test)]
mod tests;

use std::collections::HashSet;

use vault_api::code::Code;
use vault_core::access::binding::Binding;
use vault_core::access::role::Role;
use vault_core::ids::{BindingId, CollectionId, CollectionName, PersonId};

pub use crate::store::people::{BindingFilter, BindingRow, BindingState, BindingView, PersonRow, TokenRow, TokenView};
pub use first::{First, enter_first};
pub use persons::{Me, add, disable, get, list, me};
pub use roles::{Proposal, confirm, list as list_roles, propose, revoke};
pub use tokens::{NewToken, confirm as confirm_token, issue, list as list_tokens, revoke as revoke_token};

use super::error::Failure;
use crate::app::{callers, collections};
use crate::state::Vault;
use crate::store::Tx;

/// The fewest administrators a vault keeps.
pub const FEWEST_ADMINISTRATORS: usize = 2;

/// A text within bounds, or a failure that names the member.
pub(crate) fn text(member: &'static str, value: &str, most_chars: usize) -> Result<String, Failure> {
    let value = value.trim();
    let printable = value.chars().all(|c| !c.is_control() || matches!(c, '\n' | '\t'));
    if value.is_empty() || value.chars().count() > most_chars || !printable {
        return Err(Failure::new(Code::InvalidValue).detail(format!("{member}: 1 to {most_chars} characters")));
    }
    Ok(value.to_owned())
}

/// A value that is not allowed.
pub(crate) fn invalid(what: &'static str) -> Failure {
    Failure::new(Code::InvalidValue).detail(what)
}

/// The collection that a role or token is to be for, by the name that the log knows it by.
async fn collection_named(vault: &Vault, name: Option<&CollectionName>) -> Result<Option<CollectionId>, Failure> {
    let Some(name) = name else { return Ok(None) };
    match collections::find(vault, name).await {
        Ok(row) => Ok(Some(row.id)),
        Err(failure) if failure.code() == Code::NotFound => Err(invalid("collection: no such collection")),
        Err(failure) => Err(failure),
    }
}

/// The administrators whom the log proves, found before the transaction that may take one away.
struct Administrators(HashSet<BindingId>);

impl Administrators {
    /// Those for a time count for nothing: the vault would run out of them by itself.
    async fn now(vault: &Vault) -> Result<Self, Failure> {
        let holders = callers::proven_holders(vault, Role::Administrator, None).await?;
        Ok(Self(holders.iter().filter(|held| held.until().is_none()).map(Binding::id).collect()))
    }

    /// Refuses when too few would remain once the bindings that `goes` names are gone.
    async fn remain_without(&self, tx: &mut Tx, goes: impl Fn(&BindingRow) -> bool) -> Result<(), Failure> {
        let rows = BindingRow::reaching(tx.conn(), Role::Administrator, None).await?;
        let proven = rows.iter().filter(|row| self.0.contains(&row.id));
        let (going, staying): (Vec<_>, Vec<_>) = proven.partition(|row| goes(row));
        let remaining: HashSet<PersonId> = staying.iter().map(|row| row.person).collect();
        if !going.is_empty() && remaining.len() < FEWEST_ADMINISTRATORS {
            return Err(Code::LastAdministrator.into());
        }
        Ok(())
    }
}
