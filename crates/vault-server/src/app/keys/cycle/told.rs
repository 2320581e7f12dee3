//! What the log says of a cycle: that it began with this scope, who agreed to that, and whether it has ended.
//!
//! Whoever writes the database can write a row of `cycles` with any scope and anybody's name in it. So a scope is worth what
//! the log's entries quote its hash for, and nothing is destroyed without the [`Agreement`] that they make.

use vault_api::code::Code;
use vault_core::audit::entry::RootOperation;
use vault_core::audit::evidence::Recorded;
use vault_core::audit::slot::SlotName;
use vault_core::ids::PersonId;
use vault_core::keys::cycle::{self, Scope};
use vault_core::time::Timestamp;

use crate::app::error::Failure;
use crate::app::reference;
use crate::state::Vault;
use crate::store::keys::{self, CycleRow, CycleState, DestructionRow, Doomed};

/// Where an entry names the cycle.
pub(in crate::app::keys) const CYCLE: &str = "cycle";
/// The operation of the entry that begins one.
pub(in crate::app::keys) const BEGUN: &str = "cycle-begun";
/// The operations of the entries that end one.
pub(in crate::app::keys) const CALLED_OFF: [&str; 2] = ["cycle-cancelled", "cycle-done"];
/// Where an entry quotes the scope.
pub(in crate::app::keys) const SCOPE: &str = "scope_sha256";
/// Where the second agreement says from when on versions may be destroyed.
pub(super) const NOT_BEFORE: &str = "not_before";

/// That two persons agreed to a scope.
#[derive(Clone, Copy, Debug)]
pub(in crate::app::keys) struct Agreement {
    /// Who agreed first.
    pub(in crate::app::keys) asked: PersonId,
    /// Who agreed second: somebody else.
    pub(in crate::app::keys) confirmed: PersonId,
    /// Nothing is destroyed before.
    pub(in crate::app::keys) not_before: Timestamp,
}

/// What the log says of a cycle.
pub(super) struct Word {
    /// The scope, as the log has it.
    pub(super) scope: Scope,
    /// Who agreed first.
    pub(super) asked: Option<PersonId>,
    /// That two did.
    pub(super) agreement: Option<Agreement>,
    /// How it ended.
    pub(super) ended: Option<CycleState>,
}

/// What the log says of the cycle in `row`. A scope that is not the one it began with is no scope.
pub(super) async fn word(vault: &Vault, row: &CycleRow) -> Result<Word, Failure> {
    let scope = scope(row)?;
    let quoted = Quoted { number: row.number, scope_sha256: scope.sha256() };
    let begun = quoted.entry(vault, reference::cycle_begun(row.number), BEGUN).await?;
    let unknown = || Failure::new(Code::NotInLog).detail("the log knows of no cycle with this number and scope");
    let begun = begun.ok_or_else(unknown)?;
    let asked = quoted.entry(vault, reference::cycle_requested(row.number), "cycle-requested").await?;
    let confirmed = quoted.entry(vault, reference::cycle_confirmed(row.number), "cycle-confirmed").await?;
    let agreement = match (&asked, &confirmed) {
        // In this order: nobody agreed to it before it was there.
        (Some(first), Some(entry)) if begun.index() < first.index() && first.index() < entry.index() => {
            let asked = staff(first)?;
            let text = entry.data(NOT_BEFORE).and_then(|value| value.as_str());
            let not_before = text.and_then(|text| Timestamp::parse(text).ok()).ok_or(Code::NotInLog)?;
            let confirmed = staff(entry)?;
            (asked != confirmed).then_some(Agreement { asked, confirmed, not_before })
        }
        _ => None,
    };
    let asked = asked.as_ref().map(staff).transpose()?;
    let ended = ended(vault, row.number).await?;
    Ok(Word { scope, asked, agreement, ended })
}

/// How a cycle ended. Whatever scope the entry quotes: one whose row was edited can be cancelled too.
async fn ended(vault: &Vault, number: u32) -> Result<Option<CycleState>, Failure> {
    let reference = reference::cycle_ended(number);
    let Some(entry) = vault.ledger()?.find_settled::<RootOperation>(&reference).await? else { return Ok(None) };
    let this = entry.data(CYCLE).and_then(|value| value.as_number()) == Some(i64::from(number));
    Ok(match entry.data("operation").and_then(|value| value.as_str()) {
        Some("cycle-done") if this => Some(CycleState::Done),
        Some("cycle-cancelled") if this => Some(CycleState::Cancelled),
        _ => return Err(Code::NotInLog.into()),
    })
}

/// The scope that a row claims.
pub(super) fn scope(row: &CycleRow) -> Result<Scope, Failure> {
    let unread = |e| Failure::new(Code::IntegrityFailure).because(e).detail("the scope of a cycle cannot be read");
    Scope::parse(&row.scope).map_err(unread)
}

/// The cycle that put a destruction down, and the agreement under which it did; `None`: it is of no cycle that runs.
pub(in crate::app::keys) async fn agreement_on(
    vault: &Vault,
    row: &DestructionRow,
) -> Result<Option<(u32, Agreement)>, Failure> {
    let Doomed::Kek(kek) = row.what else { return Ok(None) };
    let Some(running) = running(vault).await? else { return Ok(None) };
    if cycle::destruction(running.number, kek) != row.id {
        return Ok(None);
    }
    let word = word(vault, &running).await?;
    match word.agreement {
        Some(agreement) if word.ended.is_none() && word.scope.covers(kek) => Ok(Some((running.number, agreement))),
        _ => Err(Code::NotInLog.into()),
    }
}

/// The cycle under way.
pub(super) async fn running(vault: &Vault) -> Result<Option<CycleRow>, Failure> {
    let mut reader = vault.store.read().await?;
    Ok(keys::last_cycle(reader.conn()).await?.filter(|row| row.state == CycleState::Running))
}

/// What every entry of a cycle quotes.
struct Quoted {
    number: u32,
    scope_sha256: String,
}

impl Quoted {
    /// The entry under `reference`, if there is one and it says `operation` of this very cycle.
    async fn entry(
        &self,
        vault: &Vault,
        reference: String,
        operation: &str,
    ) -> Result<Option<Recorded<RootOperation>>, Failure> {
        let Some(entry) = vault.ledger()?.find_settled::<RootOperation>(&reference).await? else { return Ok(None) };
        let text = |name: &str| entry.data(name).and_then(|value| value.as_str());
        let number = entry.data(CYCLE).and_then(|value| value.as_number());
        let is_so = text("operation") == Some(operation)
            && number == Some(i64::from(self.number))
            && text(SCOPE) == Some(&self.scope_sha256);
        if is_so { Ok(Some(entry)) } else { Err(Code::NotInLog.into()) }
    }
}

fn staff(entry: &Recorded<RootOperation>) -> Result<PersonId, Failure> {
    Ok(entry.slot(SlotName::Staff).and_then(|text| text.parse().ok()).ok_or(Code::NotInLog)?)
}
