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
pub(super) const CYCLE: &str = "cycle";
/// Where an entry quotes the scope.
pub(super) const SCOPE: &str = "scope_sha256";
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
    let begun = quoted.entry(vault, reference::cycle_begun(row.number), &["cycle-begun"]).await?;
    if begun.is_none() {
        return Err(Failure::new(Code::NotInLog).detail("the log knows of no cycle with this number and scope"));
    }
    let asked = quoted.entry(vault, reference::cycle_requested(row.number), &["cycle-requested"]).await?;
    let asked = asked.as_ref().map(staff).transpose()?;
    let confirmed = quoted.entry(vault, reference::cycle_confirmed(row.number), &["cycle-confirmed"]).await?;
    let agreement = match (asked, &confirmed) {
        (Some(asked), Some(entry)) => {
            let text = entry.data(NOT_BEFORE).and_then(|value| value.as_str());
            let not_before = text.and_then(|text| Timestamp::parse(text).ok()).ok_or(Code::NotInLog)?;
            let confirmed = staff(entry)?;
            (asked != confirmed).then_some(Agreement { asked, confirmed, not_before })
        }
        _ => None,
    };
    let ended = quoted.entry(vault, reference::cycle_ended(row.number), &["cycle-cancelled", "cycle-done"]).await?;
    let ended = ended.map(|entry| match entry.data("operation").and_then(|value| value.as_str()) {
        Some("cycle-done") => CycleState::Done,
        _ => CycleState::Cancelled,
    });
    Ok(Word { scope, asked, agreement, ended })
}

/// The scope that a row claims.
pub(super) fn scope(row: &CycleRow) -> Result<Scope, Failure> {
    let unread = |e| Failure::new(Code::IntegrityFailure).because(e).detail("the scope of a cycle cannot be read");
    Scope::parse(&row.scope).map_err(unread)
}

/// The agreement under which a cycle put a destruction down; `None`: it is of no cycle that runs.
pub(in crate::app::keys) async fn agreement_on(
    vault: &Vault,
    row: &DestructionRow,
) -> Result<Option<Agreement>, Failure> {
    let Doomed::Kek(kek) = row.what else { return Ok(None) };
    let Some(running) = running(vault).await? else { return Ok(None) };
    if cycle::destruction(running.number, kek) != row.id {
        return Ok(None);
    }
    let word = word(vault, &running).await?;
    match word.agreement {
        Some(agreement) if word.ended.is_none() && word.scope.covers(kek) => Ok(Some(agreement)),
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
    /// The entry under `reference`, if there is one and it says one of `operations` of this very cycle.
    async fn entry(
        &self,
        vault: &Vault,
        reference: String,
        operations: &[&str],
    ) -> Result<Option<Recorded<RootOperation>>, Failure> {
        let Some(entry) = vault.ledger()?.find_settled::<RootOperation>(&reference).await? else { return Ok(None) };
        let text = |name: &str| entry.data(name).and_then(|value| value.as_str());
        let number = entry.data(CYCLE).and_then(|value| value.as_number());
        let is_so = text("operation").is_some_and(|operation| operations.contains(&operation))
            && number == Some(i64::from(self.number))
            && text(SCOPE) == Some(&self.scope_sha256);
        if is_so { Ok(Some(entry)) } else { Err(Code::NotInLog.into()) }
    }
}

fn staff(entry: &Recorded<RootOperation>) -> Result<PersonId, Failure> {
    Ok(entry.slot(SlotName::Staff).and_then(|text| text.parse().ok()).ok_or(Code::NotInLog)?)
}
