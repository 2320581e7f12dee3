//! Drafting an entry and preparing it: commitments made, openings sealed, bytes fixed.

use core::fmt;
use core::marker::PhantomData;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;

use super::parse::is_data_name;
use super::{Decision, EntryKind, MAX_ENTRY, VERSION, Value};
use crate::audit::slot::{
    Commitment, KeptUnder, MAX_VALUE, Opening, OpeningKeys, OpeningUnder, SealedOpening, SlotName,
};
use crate::ids::{CollectionId, RecordId};
use crate::keys::tag::FieldTag;
use crate::time::Timestamp;

/// A draft that cannot become an entry. Each is a mistake of the code that drafted it, or a text
/// that a handler should have bounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DraftError {
    /// The entry would be longer than [`MAX_ENTRY`].
    #[error("the audit entry would be too long")]
    TooLong,
    /// A name or number under `data` that the format cannot hold.
    #[error("the audit entry's data cannot be written")]
    InvalidData,
    /// A slot filled twice, or with a value longer than [`MAX_VALUE`].
    #[error("the audit entry's slots cannot be written")]
    InvalidSlot,
    /// A slot under the record's key, but no record was named.
    #[error("the audit entry has a slot of a record, and no record's key was given")]
    NoRecordKey,
}

/// An entry being written.
#[must_use = "a draft is not in the log until it is prepared and appended"]
pub struct Draft<E> {
    at: Timestamp,
    collection: Option<CollectionId>,
    decision: Option<Decision>,
    kek_version: Option<u32>,
    policy: Option<[u8; 32]>,
    data: Vec<(&'static str, Value<'static>)>,
    slots: Vec<(SlotName, String, OpeningUnder)>,
    kind: PhantomData<E>,
}

/// The entry as it is written; RFC 8785's order comes from the canonical writer.
#[derive(Serialize)]
struct Wire<'a> {
    at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    collection: Option<CollectionId>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    data: BTreeMap<&'static str, &'a Value<'static>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decision: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kek_version: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    slots: BTreeMap<&'static str, String>,
    r#type: &'static str,
    v: i64,
}

impl<E: EntryKind> Draft<E> {
    /// A draft of the entry type `E`, of the moment `at`.
    pub const fn new(at: Timestamp) -> Self {
        Self {
            at,
            collection: None,
            decision: None,
            kek_version: None,
            policy: None,
            data: Vec::new(),
            slots: Vec::new(),
            kind: PhantomData,
        }
    }

    /// The collection it is about; its staff audit key seals the openings that name staff.
    pub const fn collection(mut self, collection: CollectionId) -> Self {
        self.collection = Some(collection);
        self
    }

    /// What was decided.
    pub const fn decision(mut self, decision: Decision) -> Self {
        self.decision = Some(decision);
        self
    }

    /// The version of the collection's KEK it concerns.
    pub const fn kek_version(mut self, version: u32) -> Self {
        self.kek_version = Some(version);
        self
    }

    /// SHA-256 of the policy that decided.
    pub const fn policy(mut self, hash: [u8; 32]) -> Self {
        self.policy = Some(hash);
        self
    }

    /// Something that is not personal, in the clear and for ever.
    pub fn data(mut self, name: &'static str, value: impl Into<Value<'static>>) -> Self {
        self.data.push((name, value.into()));
        self
    }

    /// Something personal: the entry carries a commitment, the value is sealed beside the log.
    pub fn slot(mut self, slot: SlotName, value: impl Into<String>, under: OpeningUnder) -> Self {
        self.slots.push((slot, value.into(), under));
        self
    }

    /// The collection named so far.
    #[must_use]
    pub const fn for_collection(&self) -> Option<CollectionId> {
        self.collection
    }

    /// Makes commitments, seals openings and fixes the entry's bytes.
    pub fn prepare(self, keys: &OpeningKeys<'_>) -> Result<Prepared<E>, DraftError> {
        let data: BTreeMap<_, _> = self.data.iter().map(|(name, value)| (*name, value)).collect();
        let allowed = self.data.iter().all(|(name, value)| is_data_name(name) && value.is_allowed());
        if data.len() != self.data.len() || !allowed {
            return Err(DraftError::InvalidData);
        }
        let mut commitments: BTreeMap<&'static str, String> = BTreeMap::new();
        let (mut openings, mut sealed) = (Vec::new(), Vec::new());
        let mut under_record = None;
        for (slot, value, under) in self.slots {
            if value.len() > MAX_VALUE || commitments.contains_key(slot.as_str()) {
                return Err(DraftError::InvalidSlot);
            }
            let opening = Opening::fresh(slot, value);
            let one = match under {
                OpeningUnder::Record => {
                    let (record, key) = keys.record.ok_or(DraftError::NoRecordKey)?;
                    under_record = Some((record, key.tag()));
                    SealedOpening::seal(&opening, KeptUnder::Record(record), key)
                }
                OpeningUnder::Staff => {
                    let owner = self.collection.unwrap_or(CollectionId::VAULT);
                    SealedOpening::seal(&opening, KeptUnder::Staff(owner), keys.staff)
                }
            };
            commitments.insert(slot.as_str(), encode(&one.commitment));
            openings.push(opening);
            sealed.push(one);
        }
        let wire = Wire {
            at: self.at,
            collection: self.collection,
            data,
            decision: self.decision.map(Decision::as_str),
            kek_version: self.kek_version,
            policy: self.policy.map(|hash| URL_SAFE_NO_PAD.encode(hash)),
            slots: commitments,
            r#type: E::TYPE,
            v: VERSION,
        };
        let entry = serde_json_canonicalizer::to_vec(&wire).map_err(|_| DraftError::InvalidData)?;
        if entry.len() > MAX_ENTRY {
            return Err(DraftError::TooLong);
        }
        Ok(Prepared { entry, sealed, openings, under_record, kind: PhantomData })
    }
}

fn encode(commitment: &Commitment) -> String {
    URL_SAFE_NO_PAD.encode(commitment.as_bytes())
}

impl<E: EntryKind> fmt::Debug for Draft<E> {
    /// Names the type only: slots are personal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Draft").field(&E::TYPE).finish()
    }
}

/// An entry ready to be appended, with its openings sealed and, until the evidence is made, open.
#[must_use = "a prepared entry is not in the log until it is appended"]
pub struct Prepared<E> {
    entry: Vec<u8>,
    sealed: Vec<SealedOpening>,
    openings: Vec<Opening>,
    under_record: Option<(RecordId, FieldTag)>,
    kind: PhantomData<E>,
}

impl<E: EntryKind> Prepared<E> {
    /// The record whose field key seals some of the openings, and which key that was: the record may have another by the time
    /// the entry is committed.
    #[must_use]
    pub const fn under_record(&self) -> Option<(RecordId, FieldTag)> {
        self.under_record
    }

    /// The canonical bytes.
    #[must_use]
    pub fn entry(&self) -> &[u8] {
        &self.entry
    }

    /// The openings as they are stored.
    #[must_use]
    pub fn sealed(&self) -> &[SealedOpening] {
        &self.sealed
    }

    /// The openings in the clear, for the evidence made when the entry is committed.
    #[must_use]
    pub fn openings(&self) -> &[Opening] {
        &self.openings
    }

    /// Its parts: entry, sealed openings, openings.
    #[must_use]
    pub fn into_parts(self) -> (Vec<u8>, Vec<SealedOpening>, Vec<Opening>) {
        (self.entry, self.sealed, self.openings)
    }
}

impl<E: EntryKind> fmt::Debug for Prepared<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared").field("type", &E::TYPE).field("bytes", &self.entry.len()).finish_non_exhaustive()
    }
}
