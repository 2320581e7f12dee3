//! Whether every wrap of a collection opens under the version it names. Nothing is released: each key is wiped as soon as its
//! commitment and tag have been checked.

use vault_api::keys::{VerifiedKeys, WrapFinding, WrapProblem, WrapScope};
use vault_core::access::person::Place;
use vault_core::access::role::Action;
use vault_core::ids::CollectionName;
use vault_core::keys::wrap::ChildKind;

use crate::app::callers::Caller;
use crate::app::collections;
use crate::app::error::Failure;
use crate::custody::{Checked, Fault, Finding, Scope};
use crate::state::Vault;
use crate::store::keys;

/// Checks at most `limit` records behind `after`; at the beginning the collection's KEK versions and own keys too. The cursor of
/// the answer is the last record of the page as its row has it.
pub async fn verify(
    vault: &Vault,
    caller: &Caller,
    name: &CollectionName,
    after: &str,
    limit: u32,
) -> Result<VerifiedKeys, Failure> {
    let collection = collections::find(vault, name).await?;
    caller.permit_on(Action::KeyRead, Place::Collection(collection.id))?;
    let service = vault.keys()?;
    let mut checked = Checked::default();
    if after.is_empty() {
        checked.add(service.verify_collection(collection.id).await?);
    }
    let mut rows = {
        let mut reader = vault.store.read().await?;
        keys::all_wraps(reader.conn(), collection.id, after, limit.saturating_add(1)).await?
    };
    let whole = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = rows.len() > whole;
    rows.truncate(whole);
    let next_cursor = rows.last().filter(|_| more).map(|row| row.id.clone());
    checked.add(service.verify_records(collection.id, rows).await?);
    for found in &checked.findings {
        let (record, version) = (found.record.as_deref(), found.version);
        tracing::error!(collection = %collection.id, scope = ?found.scope, record, version, fault = ?found.fault,
            "a wrap does not open");
    }
    let Checked { checked, skipped, findings } = checked;
    Ok(VerifiedKeys { checked, skipped, findings: findings.into_iter().map(finding).collect(), next_cursor })
}

fn finding(found: Finding) -> WrapFinding {
    WrapFinding {
        scope: match found.scope {
            Scope::Record => WrapScope::Record,
            Scope::Child(ChildKind::StaffAudit) => WrapScope::StaffAudit,
            Scope::Child(ChildKind::Subject) => WrapScope::Subject,
            Scope::Kek => WrapScope::Kek,
        },
        record_id: found.record,
        kek_version: found.version,
        problem: match found.fault {
            Fault::Unreadable => WrapProblem::Unreadable,
            Fault::Missing => WrapProblem::Missing,
            Fault::Malformed => WrapProblem::Malformed,
            Fault::NamesAnotherKey => WrapProblem::NamesAnotherKey,
            Fault::WrongKey => WrapProblem::WrongKey,
            Fault::Forged => WrapProblem::Forged,
            Fault::NoSuchVersion => WrapProblem::NoSuchVersion,
            Fault::VersionDestroyed => WrapProblem::VersionDestroyed,
            Fault::VersionUnused => WrapProblem::VersionUnused,
            Fault::VersionUnusable => WrapProblem::VersionUnusable,
        },
    }
}
