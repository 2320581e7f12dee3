//! A certificate of an erasure as a file holds it, brought into the form in which it is verified (`docs/format.md` §10).
//!
//! No I/O, and nothing of the command line: the fuzz targets read certificates with this very file.

use vault_api::erasure::{Erasure, FORMAT, KeyKind, ResumeKeyState, WaitsFor as Wire};
use vault_core::audit::bundle::salt_of;
use vault_core::privacy::certificate::{Presented, Witness};
use vault_core::privacy::erasure::WaitsFor;

/// Why there is nothing to verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotPresented {
    /// Not a certificate.
    Unreadable,
    /// One without its entry or proof.
    Incomplete,
    /// One that does not open its entry.
    Unopened,
}

impl NotPresented {
    /// A stable name, for programs.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Unreadable => "not_a_certificate",
            Self::Incomplete => "incomplete",
            Self::Unopened => "opening_missing",
        }
    }

    /// In words.
    pub const fn detail(self) -> &'static str {
        match self {
            Self::Unreadable => "the file is no certificate of an erasure",
            Self::Incomplete => "there is no proof in it: the entry waited for the audit log when it was written",
            Self::Unopened => "there is nothing in it that opens the entry: it is not shown which record was erased",
        }
    }
}

/// The document.
pub fn read(bytes: &[u8]) -> Result<Erasure, NotPresented> {
    let erased: Erasure = serde_json::from_slice(bytes).map_err(|_| NotPresented::Unreadable)?;
    if erased.format == FORMAT { Ok(erased) } else { Err(NotPresented::Unreadable) }
}

/// What it shows. A key that it waits for and that is none is not passed over: a certificate must not become final by what a
/// reader does not understand.
pub fn presented(erased: &Erasure) -> Result<Presented<'_>, NotPresented> {
    let (Some(entry), Some(proof)) = (&erased.entry, &erased.proof) else { return Err(NotPresented::Incomplete) };
    let opening = erased.opening.as_ref().and_then(|opening| Some((salt_of(&opening.salt)?, opening.value.as_str())));
    let opening = opening.ok_or(NotPresented::Unopened)?;
    let horizon = &erased.horizon;
    let waits_for: Option<Vec<WaitsFor>> = horizon.waits_for.iter().map(waits_for).collect();
    let mut waits_for = waits_for.ok_or(NotPresented::Unreadable)?;
    if horizon.resume_key == ResumeKeyState::Standing {
        waits_for.push(WaitsFor::ResumeKey);
    }
    Ok(Presented {
        record: &erased.record_id,
        erased_at: &erased.erased_at,
        erased: Witness { entry, proof },
        opening,
        destroyed: erased.destroyed.iter().map(|w| Witness { entry: &w.entry, proof: &w.proof }).collect(),
        waits_for,
        claims_final: horizon.is_final,
    })
}

const fn waits_for(key: &Wire) -> Option<WaitsFor> {
    match (key.kind, key.number) {
        (KeyKind::KekVersion, Some(number)) => Some(WaitsFor::KekVersion(number)),
        (KeyKind::RootEpoch, Some(number)) => Some(WaitsFor::RootEpoch(number)),
        (KeyKind::ResumeKey, None) => Some(WaitsFor::ResumeKey),
        _ => None,
    }
}
