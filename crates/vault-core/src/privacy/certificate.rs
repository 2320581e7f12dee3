//! The certificate of an erasure, verified by a stranger (promises 8 and 9; `docs/format.md` §10).
//!
//! What is believed comes from log entries proven under the log's public key: `record.erased` says that the record was
//! erased, when, and what its key hung on then; `key.operation` and `root.operation` prove that keys were destroyed. The
//! rest of a certificate is what the vault says of today, and is held against them: it may claim less than they prove,
//! never more. That the upload's resume key is gone, no entry proves; there the vault's word stands alone.

use std::borrow::Cow;

use crate::audit::entry::{Entry, InvalidEntry, Kind, RecordErased, Value};
use crate::audit::evidence::Recorded;
use crate::audit::note::VerifierKey;
use crate::audit::proof::{TlogProof, TlogProofError};
use crate::audit::slot::{Opening, SALT_LEN, SlotName};
use crate::ids::{CollectionId, ResumeKeyId};
use crate::time::Timestamp;

use super::erasure::{EpochFate, Fate, HungOn, KekFate, Keys, WaitsFor, horizon};

/// Names under `data` of `record.erased`: the highest root epoch, and the upload's resume key. The highest KEK version is
/// the entry's `kek_version`.
pub const ROOT_EPOCH: &str = "root_epoch";
/// See [`ROOT_EPOCH`].
pub const RESUME_KEY: &str = "resume_key";

/// The value of `operation` under `data` of an entry that says that a key was destroyed. With it stands the number of
/// what was destroyed: `kek_version` and, under `data`, [`ROOT_EPOCH`] (the last that wrapped it); or `epoch`.
pub const DESTROY: &str = "destroy";

/// An entry with the proof that it is in the log.
#[derive(Clone, Copy, Debug)]
pub struct Witness<'a> {
    /// The canonical bytes, as text.
    pub entry: &'a str,
    /// The proof (c2sp.org/tlog-proof).
    pub proof: &'a str,
}

/// A certificate as somebody shows it: nothing of it is believed yet.
#[derive(Clone, Debug)]
pub struct Presented<'a> {
    /// The record.
    pub record: &'a str,
    /// When it was erased, as the certificate says.
    pub erased_at: &'a str,
    /// The entry `record.erased`.
    pub erased: Witness<'a>,
    /// Salt and value that open the entry's slot `record`.
    pub opening: ([u8; SALT_LEN], &'a str),
    /// Entries that prove the destruction of keys.
    pub destroyed: Vec<Witness<'a>>,
    /// What is still to be destroyed, as the certificate says.
    pub waits_for: Vec<WaitsFor>,
    /// Whether it says that no backup brings the record back.
    pub claims_final: bool,
}

/// What is wrong with a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateFault {
    /// The entry is not in the log of this key.
    #[error("the erasure is not in the log of this key: {0}")]
    NotInLog(TlogProofError),
    /// The entry is none.
    #[error("the entry is not one of a log: {0}")]
    Entry(InvalidEntry),
    /// The entry tells of something else.
    #[error("the entry tells of something else: {found}", found = .0.as_str())]
    NotAnErasure(Kind),
    /// The opening does not open the entry's slot.
    #[error("the opening does not open the entry: it is not shown that this record was erased")]
    OpeningWrong,
    /// The entry is about another record.
    #[error("another record was erased")]
    AnotherRecord,
    /// It was erased at another time.
    #[error("the record was erased at {0}, and the certificate says something else")]
    AnotherTime(Timestamp),
    /// A piece of evidence is not in the log, or does not tell of a destruction.
    #[error("piece {0} of the evidence does not prove that a key was destroyed")]
    Evidence(usize),
    /// It leaves out something that nothing proves to be destroyed.
    #[error("nothing proves that {} is destroyed", key(.0))]
    Unproven(WaitsFor),
    /// It says that it is final, and waits for something.
    #[error("it is called final, and waits for keys")]
    NotFinal,
}

fn key(of: &WaitsFor) -> Cow<'static, str> {
    match of {
        WaitsFor::KekVersion(version) => format!("version {version} of the collection's key").into(),
        WaitsFor::RootEpoch(epoch) => format!("root epoch {epoch}").into(),
        WaitsFor::ResumeKey => "the upload's resume key".into(),
    }
}

impl CertificateFault {
    /// A stable name, for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotInLog(_) => "not_in_log",
            Self::Entry(_) => "entry_invalid",
            Self::NotAnErasure(_) => "not_an_erasure",
            Self::OpeningWrong => "opening_wrong",
            Self::AnotherRecord => "another_record",
            Self::AnotherTime(_) => "another_time",
            Self::Evidence(_) => "evidence_wrong",
            Self::Unproven(_) => "destruction_unproven",
            Self::NotFinal => "not_final",
        }
    }
}

/// What a certificate proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proven {
    /// The entry's place in the log.
    pub index: u64,
    /// When the record was erased.
    pub erased_at: Timestamp,
    /// Its collection, if the entry names one.
    pub collection: Option<CollectionId>,
    /// What its key hung on then.
    pub hung: HungOn,
    /// What no entry proves to be destroyed, the resume key left out: there is only the vault's word.
    pub unproven: Vec<WaitsFor>,
}

/// What `record.erased` says that the record's key hung on. What it does not say, nobody knows.
#[must_use]
pub fn hung_on(kek_version: Option<u32>, data: impl Fn(&str) -> Option<Value<'static>>) -> HungOn {
    let root_epoch = data(ROOT_EPOCH).and_then(|value| value.as_number()).and_then(|n| u32::try_from(n).ok());
    let resume_key = data(RESUME_KEY).and_then(|value| value.as_str()?.parse::<ResumeKeyId>().ok());
    HungOn { kek_version: kek_version.unwrap_or(0), root_epoch: root_epoch.unwrap_or(0), resume_key }
}

impl Recorded<RecordErased> {
    /// What the record's key hung on when it was erased.
    #[must_use]
    pub fn hung_on(&self) -> HungOn {
        hung_on(self.kek_version(), |name| self.data(name).cloned())
    }
}

/// A key that an entry proves to be destroyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// A version of the collection's KEK, and the root epoch that wrapped it last.
    Kek {
        /// Its number.
        version: u32,
        /// The epoch.
        root_epoch: u32,
    },
    /// A root epoch.
    Epoch(u32),
}

/// What `entry` proves to be destroyed, where it is of use to records of `collection`.
#[must_use]
pub fn destroyed_by(entry: &Entry<'_>, collection: Option<CollectionId>) -> Option<Gone> {
    let number = |name: &str| entry.data(name)?.as_number().and_then(|n| u32::try_from(n).ok());
    if entry.data("operation")?.as_str()? != DESTROY {
        return None;
    }
    match entry.kind() {
        Kind::KeyOperation if collection.is_some() && entry.collection() == collection => {
            Some(Gone::Kek { version: entry.kek_version()?, root_epoch: number(ROOT_EPOCH)? })
        }
        Kind::RootOperation => Some(Gone::Epoch(number("epoch")?)),
        _ => None,
    }
}

/// Verifies a certificate against the log of `key`; everything that is wrong with it.
pub fn verify(shown: &Presented<'_>, key: &VerifierKey) -> Result<Proven, Vec<CertificateFault>> {
    let one = |fault| vec![fault];
    let (index, entry) = in_log(&shown.erased, key).map_err(one)?;
    if entry.kind() != Kind::RecordErased {
        return Err(one(CertificateFault::NotAnErasure(entry.kind())));
    }
    let mut faults = Vec::new();
    let (salt, value) = shown.opening;
    let opening = Opening::from_parts(SlotName::Record, salt, value.to_owned());
    if !entry.commitment(SlotName::Record).is_some_and(|commitment| opening.opens(commitment)) {
        faults.push(CertificateFault::OpeningWrong);
    } else if value != shown.record {
        faults.push(CertificateFault::AnotherRecord);
    }
    if Timestamp::parse(shown.erased_at) != Ok(entry.at()) {
        faults.push(CertificateFault::AnotherTime(entry.at()));
    }
    let hung = hung_on(entry.kek_version(), |name| entry.data(name).cloned().map(Value::into_owned));
    let (mut keks, mut epochs) = (Vec::new(), Vec::new());
    for (number, witness) in shown.destroyed.iter().enumerate() {
        let proven = in_log(witness, key).ok();
        match proven.and_then(|(_, witness)| destroyed_by(&witness, entry.collection())) {
            Some(Gone::Kek { version, root_epoch }) => {
                keks.push(KekFate { version, fate: Fate::Destroyed, root_epoch });
            }
            Some(Gone::Epoch(epoch)) => epochs.push(EpochFate { epoch, fate: Fate::Destroyed }),
            None => faults.push(CertificateFault::Evidence(number)),
        }
    }
    let keys = Keys { keks: &keks, epochs: &epochs, resume_key: &Fate::Destroyed };
    let unproven = horizon(&hung, &keys).waits_for;
    let unclaimed = unproven.iter().filter(|one| !shown.waits_for.contains(one));
    faults.extend(unclaimed.map(|one| CertificateFault::Unproven(*one)));
    if shown.claims_final && !(shown.waits_for.is_empty() && unproven.is_empty()) {
        faults.push(CertificateFault::NotFinal);
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    Ok(Proven { index, erased_at: entry.at(), collection: entry.collection(), hung, unproven })
}

/// The entry of a witness, and its place, once it is shown to be in the log.
fn in_log<'a>(witness: &Witness<'a>, key: &VerifierKey) -> Result<(u64, Entry<'a>), CertificateFault> {
    let proof = TlogProof::parse(witness.proof).map_err(CertificateFault::NotInLog)?;
    let _checkpoint = proof.verify(witness.entry.as_bytes(), key).map_err(CertificateFault::NotInLog)?;
    let entry = Entry::parse(witness.entry.as_bytes()).map_err(CertificateFault::Entry)?;
    Ok((proof.index, entry))
}

#[cfg(test)]
mod tests;
