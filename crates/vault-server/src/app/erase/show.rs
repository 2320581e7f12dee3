//! The certificate of an erasure.

use vault_api::code::Code;
use vault_api::erasure::{Erasure, FORMAT, RecordOpening};
use vault_core::audit::entry::RecordErased;
use vault_core::audit::evidence::Recorded;
use vault_core::audit::slot::SlotName;
use vault_core::ids::{CollectionId, RecordId};
use vault_core::privacy::erasure::HungOn;
use vault_core::time::Timestamp;

use super::horizon::{self, Known};
use crate::app::collections;
use crate::app::error::Failure;
use crate::app::reference;
use crate::state::Vault;
use crate::store::erasures::{self, ErasureRow};

/// What the certificate is made of: rows, which may be edited, and evidence, where the log has it.
struct Facts {
    row: Option<ErasureRow>,
    journalled: bool,
    names_left: u64,
    evidence: Option<Recorded<RecordErased>>,
}

/// The certificate of an erased record, with today's horizon. Entry and proof are absent while they wait for the log.
pub(super) async fn certificate(vault: &Vault, record: RecordId, collection: CollectionId) -> Result<Erasure, Failure> {
    let facts = facts(vault, record).await?;
    let (at, hung) = facts.when_and_what().ok_or(Code::NotInLog)?;
    let known = Known::of(vault, collection).await?;
    let reach = horizon::reach(vault, &known, &hung).await?;
    let (entry, proof, opening) = match &facts.evidence {
        Some(evidence) => shown(vault, evidence).await?,
        None => (None, None, None),
    };
    // A collection whose row is damaged is named by its identifier.
    let name =
        collections::get(vault, collection).await.map_or_else(|_| collection.to_string(), |c| c.name.to_string());
    Ok(Erasure {
        format: FORMAT.to_owned(),
        record_id: record.to_string(),
        collection: name,
        erased_at: at.to_string(),
        journalled: facts.journalled,
        completed_at: facts.row.and_then(|row| row.completed_at).map(|at| at.to_string()),
        names_left: facts.names_left,
        entry,
        proof,
        opening,
        destroyed: known.witnesses(&hung, reach.root_epochs),
        horizon: reach,
    })
}

async fn facts(vault: &Vault, record: RecordId) -> Result<Facts, Failure> {
    let evidence = vault.ledger()?.find::<RecordErased>(&reference::record_erased(record)).await?;
    if let Some(evidence) = &evidence
        && evidence.slot(SlotName::Record).is_some_and(|named| named != record.to_string())
    {
        // The reference is a row's: somebody has put another record's there.
        return Err(Code::NotInLog.into());
    }
    let mut reader = vault.store.read().await?;
    let row = erasures::find(reader.conn(), record).await?;
    let journalled = match &row {
        Some(row) => erasures::is_journalled(reader.conn(), row.restriction).await?,
        None => false,
    };
    let names_left = erasures::names_left(reader.conn(), record).await?;
    Ok(Facts { row, journalled, names_left, evidence })
}

impl Facts {
    /// By the log's entry where there is one, by the row while it waits.
    fn when_and_what(&self) -> Option<(Timestamp, HungOn)> {
        match (&self.evidence, &self.row) {
            (Some(evidence), _) => Some((evidence.at(), evidence.hung_on())),
            (None, Some(row)) => {
                let (kek_version, root_epoch, resume_key) = (row.kek_version, row.root_epoch, row.resume_key);
                Some((row.at, HungOn { kek_version, root_epoch, resume_key }))
            }
            (None, None) => None,
        }
    }
}

type Shown = (Option<String>, Option<String>, Option<RecordOpening>);

/// Entry, proof and opening, for a stranger to verify.
async fn shown(vault: &Vault, evidence: &Recorded<RecordErased>) -> Result<Shown, Failure> {
    let Some((entry, proof)) = vault.ledger()?.witness(evidence.index()).await? else { return Ok((None, None, None)) };
    let entry = String::from_utf8(entry).map_err(|e| Failure::new(Code::IntegrityFailure).because(e))?;
    let opening = evidence
        .opening(SlotName::Record)
        .map(|opening| RecordOpening { value: opening.value().to_owned(), salt: hex::encode(opening.salt()) });
    Ok((Some(entry), Some(proof.to_string()), opening))
}
