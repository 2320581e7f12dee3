//! What an access request covers: one record, a frozen batch, or a standing filter; and its rights.

use serde::{Deserialize, Serialize};

use crate::ids::{CollectionId, RecordId};
use crate::time::Timestamp;

/// The most records a frozen batch holds.
pub const MAX_BATCH: usize = 500;

/// The most records a day a standing grant may let through.
pub const MAX_RECORDS_PER_DAY: u32 = 500;

/// Audio or video, as recognised from the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Media {
    /// Voice.
    Audio,
    /// Pictures, with or without voice.
    Video,
}

/// Which records of its collection a standing grant covers; the default covers all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// Only audio or only video.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Media>,
    /// Only received at this time or later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received_from: Option<Timestamp>,
    /// Only received before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received_until: Option<Timestamp>,
}

/// What a request covers, inside one collection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// One record.
    Record(RecordId),
    /// These records and no others: sorted, distinct, at least one.
    Batch(Batch),
    /// Whatever the filter covers; view only, bounded in days and records a day.
    Standing(Filter),
}

/// The records of a frozen batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<RecordId>", into = "Vec<RecordId>")]
pub struct Batch(Vec<RecordId>);

/// A batch with no record or too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a batch holds 1 to {MAX_BATCH} records")]
pub struct InvalidBatch;

impl TryFrom<Vec<RecordId>> for Batch {
    type Error = InvalidBatch;
    fn try_from(mut ids: Vec<RecordId>) -> Result<Self, InvalidBatch> {
        ids.sort_unstable();
        ids.dedup();
        if (1..=MAX_BATCH).contains(&ids.len()) { Ok(Self(ids)) } else { Err(InvalidBatch) }
    }
}

impl From<Batch> for Vec<RecordId> {
    fn from(batch: Batch) -> Self {
        batch.0
    }
}

impl Batch {
    /// The records, sorted.
    #[must_use]
    pub fn ids(&self) -> &[RecordId] {
        &self.0
    }
}

/// What a decision must know of a record.
#[derive(Clone, Debug)]
pub struct RecordFacts {
    /// The record.
    pub id: RecordId,
    /// Its collection.
    pub collection: CollectionId,
    /// Whether it is in the state `available`.
    pub available: bool,
    /// Audio or video.
    pub kind: Media,
    /// When it was received.
    pub received_at: Timestamp,
    /// The purposes its consent names.
    pub consented: Vec<String>,
    /// When that consent ends by itself.
    pub consent_expires_at: Option<Timestamp>,
    /// When its retention ends.
    pub retain_until: Option<Timestamp>,
}

impl Scope {
    /// Whether `record`, of the scope's collection, is covered.
    #[must_use]
    pub fn covers(&self, record: &RecordFacts) -> bool {
        match self {
            Self::Record(id) => *id == record.id,
            Self::Batch(batch) => batch.0.binary_search(&record.id).is_ok(),
            Self::Standing(filter) => {
                filter.kind.is_none_or(|kind| kind == record.kind)
                    && filter.received_from.is_none_or(|from| from <= record.received_at)
                    && filter.received_until.is_none_or(|until| record.received_at < until)
            }
        }
    }

    /// The one record, for a scope of one.
    #[must_use]
    pub const fn single(&self) -> Option<RecordId> {
        if let Self::Record(id) = self { Some(*id) } else { None }
    }

    /// Whether it also covers records that have not arrived yet.
    #[must_use]
    pub const fn is_standing(&self) -> bool {
        matches!(self, Self::Standing(_))
    }
}

/// What may be done with a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Right {
    /// Play it.
    View,
    /// Have the original, byte for byte, as a file.
    Export,
}

/// A set of rights; `view` is always in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<Right>", into = "Vec<Right>")]
pub struct Rights {
    export: bool,
}

impl Rights {
    /// To view only.
    pub const VIEW: Self = Self { export: false };
    /// To view and to export.
    pub const EXPORT: Self = Self { export: true };

    /// Whether `right` is among them.
    #[must_use]
    pub const fn has(self, right: Right) -> bool {
        match right {
            Right::View => true,
            Right::Export => self.export,
        }
    }

    /// Whether `other` asks for nothing more.
    #[must_use]
    pub const fn include(self, other: Self) -> bool {
        self.export || !other.export
    }
}

impl From<Vec<Right>> for Rights {
    fn from(rights: Vec<Right>) -> Self {
        Self { export: rights.contains(&Right::Export) }
    }
}

impl From<Rights> for Vec<Right> {
    fn from(rights: Rights) -> Self {
        if rights.export { vec![Right::View, Right::Export] } else { vec![Right::View] }
    }
}

/// Bounds on the use of a grant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Playback sessions in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sessions: Option<u32>,
    /// Different records in one day (UTC).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records_per_day: Option<u32>,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn facts(n: u8) -> RecordFacts {
        RecordFacts {
            id: RecordId::from_bytes([n; 16]),
            collection: CollectionId::from_bytes([7; 16]),
            available: true,
            kind: Media::Audio,
            received_at: Timestamp::from_millis(1_000),
            consented: vec!["service-improvement".into()],
            consent_expires_at: None,
            retain_until: None,
        }
    }

    #[test]
    fn each_scope_covers_what_it_names_and_nothing_else() {
        let (one, two) = (facts(1), facts(2));
        assert!(Scope::Record(one.id).covers(&one) && !Scope::Record(one.id).covers(&two));
        let batch = Scope::Batch(vec![one.id, one.id].try_into().unwrap());
        assert!(batch.covers(&one) && !batch.covers(&two));
        let later = Filter { received_from: Some(Timestamp::from_millis(1_001)), ..Filter::default() };
        let video = Filter { kind: Some(Media::Video), ..Filter::default() };
        let before = Filter { received_until: Some(Timestamp::from_millis(1_000)), ..Filter::default() };
        for filter in [later, video, before] {
            assert!(!Scope::Standing(filter).covers(&one));
        }
        assert!(Scope::Standing(Filter::default()).covers(&one));
    }

    #[test]
    fn a_batch_is_bounded_and_reads_back() {
        assert_eq!(Batch::try_from(Vec::new()), Err(InvalidBatch));
        let many = (0..=MAX_BATCH).map(|n| RecordId::from_bytes((n as u128).to_be_bytes())).collect::<Vec<_>>();
        assert_eq!(Batch::try_from(many.clone()), Err(InvalidBatch));
        let scope = Scope::Batch(many[1..].to_vec().try_into().unwrap());
        let text = serde_json::to_string(&scope).unwrap();
        assert_eq!(serde_json::from_str::<Scope>(&text).unwrap(), scope);
        assert!(serde_json::from_str::<Scope>("{\"batch\":[]}").is_err());
    }

    #[test]
    fn rights_are_a_set_with_view_in_it() {
        assert_eq!(Rights::from(vec![]), Rights::VIEW);
        assert_eq!(Rights::from(vec![Right::Export]), Rights::EXPORT);
        assert!(Rights::EXPORT.include(Rights::VIEW) && !Rights::VIEW.include(Rights::EXPORT));
        assert_eq!(serde_json::to_string(&Rights::EXPORT).unwrap(), "[\"view\",\"export\"]");
    }
}
