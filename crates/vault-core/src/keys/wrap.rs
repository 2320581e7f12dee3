//! Wraps: a key sealed under another, committing, bound to its place, naming its parent
//! (`docs/format.md` §5.3).
//!
//! ```text
//! "FVW1" | kind 1 | parent's name 16 | parent's version 4 | nonce 24 | commitment 32 | key 32 | tag 16
//! ```
//!
//! The associated data repeats everything the wrap claims and adds what it is for (the record, the
//! collection), so that a wrap moved to another row opens nothing.

use core::fmt;

use super::committing::{self, OpenError};
use super::hierarchy::{IngestSecret, Kek, LogSeed, RecordKey, ResumeKey, RootKey, StaffAuditKey, SubjectKey};
use crate::framing::framed;
use crate::ids::{CollectionId, KeyringId, RecordId, ResumeKeyId};
use crate::secret::Secret;

const MAGIC: &[u8; 4] = b"FVW1";
const HEADER_LEN: usize = 4 + 1 + 16 + 4;
/// Length of every wrap.
pub const WRAP_LEN: usize = HEADER_LEN + 32 + committing::OVERHEAD;

const LABEL: &str = "feedback-vault/v1/wrap";

/// A version of a collection's KEK.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KekRef {
    /// Whose KEK.
    pub collection: CollectionId,
    /// Which version; the first is 1.
    pub version: u32,
}

impl fmt::Display for KekRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KEK {} of collection {}", self.version, self.collection)
    }
}

/// A root epoch (or, for resume keys, a version of the ingest secret) of one keyring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RootRef {
    /// Which keyring.
    pub keyring: KeyringId,
    /// Which epoch; the first is 1.
    pub epoch: u32,
}

/// Keys beside the record keys that hang directly under a collection's KEK.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChildKind {
    /// The key of log openings that name staff.
    StaffAudit,
    /// The key that makes pseudonyms.
    Subject,
}

impl ChildKind {
    /// The name it has in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::StaffAudit => "staff-audit",
            Self::Subject => "subject",
        }
    }

    /// All of them: what moves with its KEK beside the record keys.
    pub const ALL: [Self; 2] = [Self::StaffAudit, Self::Subject];

    /// The kind called `name`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    const fn kind(self) -> Kind {
        match self {
            Self::StaffAudit => Kind::StaffAuditKey,
            Self::Subject => Kind::SubjectKey,
        }
    }
}

/// What a wrap holds and what kind of key holds it. The numbers are the format's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    RecordKey = 1,
    StaffAuditKey = 2,
    SubjectKey = 3,
    Kek = 4,
    LogSeed = 5,
    InProgress = 6,
    ResumeKey = 7,
}

/// Why a wrap was not opened. No key byte has left the wrap in any of these cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnwrapError {
    /// Not a wrap of the expected kind: wrong length, magic or kind.
    #[error("not a wrap of the expected kind")]
    Malformed,
    /// A wrap, but made by another key version, epoch or keyring than the one asked for.
    #[error("the wrap names another key")]
    NamesAnotherKey,
    /// The commitment does not belong to this key.
    #[error("the wrap was not made by the key it names")]
    WrongKey,
    /// Made by this key, but altered, or moved from another record or collection.
    #[error("the wrap was altered or belongs elsewhere")]
    Forged,
}

impl From<OpenError> for UnwrapError {
    fn from(e: OpenError) -> Self {
        match e {
            OpenError::Malformed => Self::Malformed,
            OpenError::WrongKey => Self::WrongKey,
            OpenError::Forged => Self::Forged,
        }
    }
}

/// Who made the wrap: sixteen bytes and a version.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Parent([u8; 16], u32);

impl From<KekRef> for Parent {
    fn from(kek: KekRef) -> Self {
        Self(*kek.collection.as_bytes(), kek.version)
    }
}

impl From<RootRef> for Parent {
    fn from(root: RootRef) -> Self {
        Self(*root.keyring.as_bytes(), root.epoch)
    }
}

impl From<ResumeKeyId> for Parent {
    fn from(id: ResumeKeyId) -> Self {
        Self(*id.as_bytes(), 0)
    }
}

fn header(kind: Kind, parent: Parent) -> [u8; HEADER_LEN] {
    let mut bytes = [0; HEADER_LEN];
    bytes[..4].copy_from_slice(MAGIC);
    bytes[4] = kind as u8;
    bytes[5..21].copy_from_slice(&parent.0);
    bytes[21..].copy_from_slice(&parent.1.to_be_bytes());
    bytes
}

pub(super) fn wrap(by: &Secret<32>, kind: Kind, parent: Parent, place: &[&[u8]], key: &Secret<32>) -> Vec<u8> {
    let header = header(kind, parent);
    let mut out = Vec::with_capacity(WRAP_LEN);
    out.extend_from_slice(&header);
    committing::seal_into(by, &associated(&header, place), key.expose(), &mut out);
    out
}

pub(super) fn unwrap(
    by: &Secret<32>,
    kind: Kind,
    parent: Parent,
    place: &[&[u8]],
    wrap: &[u8],
) -> Result<Secret<32>, UnwrapError> {
    let (named, sealed) = parse(kind, wrap)?;
    if named != parent {
        return Err(UnwrapError::NamesAnotherKey);
    }
    Ok(committing::open_key(by, &associated(&header(kind, parent), place), sealed)?)
}

fn associated(header: &[u8; HEADER_LEN], place: &[&[u8]]) -> Vec<u8> {
    let mut fields: Vec<&[u8]> = Vec::with_capacity(1 + place.len());
    fields.push(header);
    fields.extend_from_slice(place);
    framed(LABEL, &fields)
}

/// The parent a wrap of `kind` names, and its sealed part.
fn parse(kind: Kind, wrap: &[u8]) -> Result<(Parent, &[u8]), UnwrapError> {
    let wrap: &[u8; WRAP_LEN] = wrap.try_into().map_err(|_| UnwrapError::Malformed)?;
    let rest = wrap.strip_prefix(MAGIC).and_then(|r| r.strip_prefix(&[kind as u8])).ok_or(UnwrapError::Malformed)?;
    let (name, rest) = rest.split_first_chunk::<16>().ok_or(UnwrapError::Malformed)?;
    let (version, sealed) = rest.split_first_chunk::<4>().ok_or(UnwrapError::Malformed)?;
    Ok((Parent(*name, u32::from_be_bytes(*version)), sealed))
}

/// The KEK version that a record key's wrap names: a claim, true once it has been opened.
pub fn names(wrap: &[u8]) -> Result<KekRef, UnwrapError> {
    let (Parent(name, version), _) = parse(Kind::RecordKey, wrap)?;
    Ok(KekRef { collection: CollectionId::from_bytes(name), version })
}

/// The root epoch that the wrap of a KEK or a log seed names: a claim, true once it has been opened.
pub fn names_root(wrap: &[u8]) -> Result<RootRef, UnwrapError> {
    let (Parent(name, epoch), _) = parse(Kind::Kek, wrap).or_else(|_| parse(Kind::LogSeed, wrap))?;
    Ok(RootRef { keyring: KeyringId::from_bytes(name), epoch })
}

/// The resume key that a wrap in progress names.
pub(super) fn names_resume(wrap: &[u8]) -> Result<ResumeKeyId, UnwrapError> {
    match parse(Kind::InProgress, wrap)? {
        (Parent(name, 0), _) => Ok(ResumeKeyId::from_bytes(name)),
        _ => Err(UnwrapError::Malformed),
    }
}

impl Kek {
    /// Wraps the key of `record` under this KEK, which is `me`.
    #[must_use]
    pub fn wrap_record_key(&self, me: KekRef, record: RecordId, key: &RecordKey) -> Vec<u8> {
        wrap(self.secret(), Kind::RecordKey, me.into(), &[record.as_bytes()], key.secret())
    }

    /// The key of `record` out of its wrap under this KEK, which is `me`.
    pub fn unwrap_record_key(&self, me: KekRef, record: RecordId, bytes: &[u8]) -> Result<RecordKey, UnwrapError> {
        unwrap(self.secret(), Kind::RecordKey, me.into(), &[record.as_bytes()], bytes).map(RecordKey::from_secret)
    }

    /// Wraps the collection's staff audit key.
    #[must_use]
    pub fn wrap_staff_audit_key(&self, me: KekRef, key: &StaffAuditKey) -> Vec<u8> {
        wrap(self.secret(), Kind::StaffAuditKey, me.into(), &[], key.secret())
    }

    /// The collection's staff audit key.
    pub fn unwrap_staff_audit_key(&self, me: KekRef, bytes: &[u8]) -> Result<StaffAuditKey, UnwrapError> {
        unwrap(self.secret(), Kind::StaffAuditKey, me.into(), &[], bytes).map(StaffAuditKey::from_secret)
    }

    /// Wraps the collection's subject key.
    #[must_use]
    pub fn wrap_subject_key(&self, me: KekRef, key: &SubjectKey) -> Vec<u8> {
        wrap(self.secret(), Kind::SubjectKey, me.into(), &[], key.secret())
    }

    /// The collection's subject key.
    pub fn unwrap_subject_key(&self, me: KekRef, bytes: &[u8]) -> Result<SubjectKey, UnwrapError> {
        unwrap(self.secret(), Kind::SubjectKey, me.into(), &[], bytes).map(SubjectKey::from_secret)
    }

    /// Moves a record key's wrap from this KEK to its successor; the record key itself never
    /// leaves this call.
    pub fn rewrap_record_key(
        &self,
        me: KekRef,
        successor: (&Self, KekRef),
        record: RecordId,
        bytes: &[u8],
    ) -> Result<Vec<u8>, UnwrapError> {
        let key = self.unwrap_record_key(me, record, bytes)?;
        Ok(successor.0.wrap_record_key(successor.1, record, &key))
    }

    /// Whether the wrap of one of the collection's other keys opens; the key in it is wiped at once.
    pub fn check_child(&self, me: KekRef, child: ChildKind, bytes: &[u8]) -> Result<(), UnwrapError> {
        unwrap(self.secret(), child.kind(), me.into(), &[], bytes).map(drop)
    }

    /// Moves the wrap of one of the collection's other keys to a successor of this KEK.
    pub fn rewrap_child(
        &self,
        me: KekRef,
        successor: (&Self, KekRef),
        child: ChildKind,
        bytes: &[u8],
    ) -> Result<Vec<u8>, UnwrapError> {
        let kind = child.kind();
        let key = unwrap(self.secret(), kind, me.into(), &[], bytes)?;
        Ok(wrap(successor.0.secret(), kind, successor.1.into(), &[], &key))
    }
}

impl RootKey {
    /// Wraps a KEK under this root key, which is `me`.
    #[must_use]
    pub fn wrap_kek(&self, me: RootRef, kek: KekRef, key: &Kek) -> Vec<u8> {
        let version = kek.version.to_be_bytes();
        wrap(self.secret(), Kind::Kek, me.into(), &[kek.collection.as_bytes(), &version], key.secret())
    }

    /// A KEK out of its wrap under this root key, which is `me`.
    pub fn unwrap_kek(&self, me: RootRef, kek: KekRef, bytes: &[u8]) -> Result<Kek, UnwrapError> {
        let version = kek.version.to_be_bytes();
        unwrap(self.secret(), Kind::Kek, me.into(), &[kek.collection.as_bytes(), &version], bytes).map(Kek::from_secret)
    }

    /// Wraps the log seed; `key_name` is the name in the log's verifier key.
    #[must_use]
    pub fn wrap_log_seed(&self, me: RootRef, key_name: &str, seed: &LogSeed) -> Vec<u8> {
        wrap(self.secret(), Kind::LogSeed, me.into(), &[key_name.as_bytes()], seed.secret())
    }

    /// The log seed of the log called `key_name`.
    pub fn unwrap_log_seed(&self, me: RootRef, key_name: &str, bytes: &[u8]) -> Result<LogSeed, UnwrapError> {
        unwrap(self.secret(), Kind::LogSeed, me.into(), &[key_name.as_bytes()], bytes).map(LogSeed::from_secret)
    }
}

impl IngestSecret {
    /// Seals a resume key for its file (`docs/format.md` §8); `me` counts versions of this secret.
    #[must_use]
    pub fn wrap_resume_key(&self, me: RootRef, id: ResumeKeyId, key: &ResumeKey) -> Vec<u8> {
        wrap(self.secret(), Kind::ResumeKey, me.into(), &[id.as_bytes()], key.secret())
    }

    /// A resume key out of its file.
    pub fn unwrap_resume_key(&self, me: RootRef, id: ResumeKeyId, bytes: &[u8]) -> Result<ResumeKey, UnwrapError> {
        unwrap(self.secret(), Kind::ResumeKey, me.into(), &[id.as_bytes()], bytes).map(ResumeKey::from_secret)
    }
}

#[cfg(test)]
mod tests;
