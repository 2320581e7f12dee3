//! Whom a bearer token speaks for, and what they may do: from what the log proves, never from rows alone.
//!
//! Rows of `tokens` and `role_bindings` only say where to look. A token counts when its `token.issued` entry says what
//! the row says; a role counts when its `role.granted` entry is in the log, is about this person, and neither the log
//! nor a restriction takes it away. So a row that somebody writes into the database by hand opens nothing.
//!
//! An answer is kept in memory for [`FRESH`], and each use of it asks the restrictions: what is taken away bites at
//! once, what is given takes a moment on other nodes.

mod cache;
mod denials;
mod proof;
mod token;
mod usage;

#[cfg(test)]
mod tests;

use core::time::Duration;
use std::sync::Arc;

use vault_api::code::Code;
use vault_core::access::binding::Binding;
use vault_core::access::caller;
use vault_core::access::decision;
use vault_core::access::person::{Kind, Place};
use vault_core::access::role::Action;
use vault_core::ids::{PersonId, TokenId};
use vault_core::time::Timestamp;

pub use cache::Callers;
pub use denials::note_denial;
pub use proof::{proven_holders, proven_roles};
pub use token::{TokenTerms, TokenText};
pub use usage::{Trace, note_use};

use crate::app::error::Failure;
use crate::app::restrict::{Refusal, Subject, Watch};
use crate::state::Vault;
use crate::store::people::{BindingRow, PersonRow, TokenRow};

/// How long an answer is kept.
const FRESH: Duration = Duration::from_secs(1);

/// The most roles a person can hold at once.
pub const MAX_ROLES: u32 = 64;

/// Who calls.
#[derive(Debug)]
pub struct Caller {
    held: caller::Caller,
    kind: Kind,
    token: TokenId,
    token_ends: Timestamp,
    /// Person, token and roles: if any of them is taken away, the answer is looked for again.
    watch: Watch,
}

impl Caller {
    /// The person or machine.
    #[must_use]
    pub const fn person(&self) -> PersonId {
        self.held.person()
    }

    /// Whether a human or a machine calls.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// The token that was presented.
    #[must_use]
    pub const fn token(&self) -> TokenId {
        self.token
    }

    /// When that token ends by itself.
    #[must_use]
    pub const fn token_ends(&self) -> Timestamp {
        self.token_ends
    }

    /// What decisions in vault-core take: the person with their proven roles, narrowed by the token.
    #[must_use]
    pub const fn held(&self) -> &caller::Caller {
        &self.held
    }

    /// Whether some role lets them do `action` somewhere.
    #[must_use]
    pub fn may_somewhere(&self, action: Action) -> bool {
        self.held.holds(action, Place::Anywhere).is_some()
    }

    /// Lets through who may do `action` at a place that names nothing: 403 for others.
    pub fn permit(&self, action: Action, place: Place) -> Result<&Binding, Failure> {
        decision::permit(&self.held, action, place).map_err(|denial| Failure::refused(action, denial))
    }

    /// Lets through who may do `action` on a named thing at `place`: 404 for who may not even see it, else 403.
    pub fn permit_on(&self, action: Action, place: Place) -> Result<&Binding, Failure> {
        decision::permit_on(&self.held, action, place).map_err(|denial| Failure::refused(action, denial))
    }
}

/// The one answer for whatever is wrong with a token.
fn unauthenticated() -> Failure {
    Failure::new(Code::Unauthenticated)
}

/// Whether this node has let this token in before: then it is no guess.
#[must_use]
pub fn is_known(vault: &Vault, text: &str) -> bool {
    text.parse::<TokenText>().is_ok_and(|token| vault.callers.was_good(&token.hash()))
}

/// The caller a token speaks for. Unknown, malformed, expired, revoked, without its log entry, of a disabled person:
/// all answer alike.
pub async fn authenticate(vault: &Vault, text: &str) -> Result<Arc<Caller>, Failure> {
    let hash = text.parse::<TokenText>().map_err(|_| unauthenticated())?.hash();
    // Who cannot learn of restrictions believes nobody, and need not wait for a database that may never answer.
    vault.restrictions.check(&Subject::new())?;
    let now = vault.clock.now();
    if let Some(caller) = vault.callers.known(&hash, now) {
        match vault.restrictions.check_watched(&caller.watch) {
            Ok(()) => return Ok(caller),
            Err(Refusal::Stale) => return Err(Refusal::Stale.into()),
            Err(Refusal::Restricted(_)) => {}
        }
    }
    let caller = Arc::new(resolve(vault, &hash, now).await?);
    vault.callers.keep(hash, now, Arc::clone(&caller));
    Ok(caller)
}

async fn resolve(vault: &Vault, hash: &[u8; 32], now: Timestamp) -> Result<Caller, Failure> {
    let mut reader = vault.store.read().await?;
    let row = TokenRow::by_hash(reader.conn(), hash).await?;
    let row = row.filter(|row| row.revoked_at.is_none() && now < row.expires_at).ok_or_else(unauthenticated)?;
    let person = PersonRow::get(reader.conn(), row.person).await?;
    let person = person.filter(|person| person.disabled_at.is_none()).ok_or_else(unauthenticated)?;
    let bindings = BindingRow::active_of(reader.conn(), row.person, MAX_ROLES).await?;
    drop(reader);

    let subject = Subject::new().person(row.person).token(row.id);
    vault.restrictions.check(&subject)?;
    let terms = proof::token(vault, &row, hash, now).await?.ok_or_else(unauthenticated)?;
    let mut held = proof::proven(vault, &bindings, now).await?;
    held.retain(|binding| terms.carries(binding.role()));
    let subject = held.iter().fold(subject, |subject, binding| subject.binding(binding.id()));
    Ok(Caller {
        held: caller::Caller::new(terms.person, held, terms.narrowing),
        kind: person.kind,
        token: row.id,
        token_ends: row.expires_at,
        watch: Watch::new(subject),
    })
}
