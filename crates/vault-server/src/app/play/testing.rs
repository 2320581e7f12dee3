//! For tests: a sealed object in memory, and a session that plays it on evidence from a log of one entry.

use core::time::Duration;
use std::sync::Arc;

use tokio::sync::mpsc;
use vault_core::audit::checkpoint::CheckpointSigner;
use vault_core::audit::entry::{Draft, PlaybackOpened, Prepared};
use vault_core::audit::evidence::Recorded;
use vault_core::audit::merkle::Hash;
use vault_core::audit::slot::{OpeningKeys, OpeningUnder, SlotName};
use vault_core::ids::{BindingId, CollectionId, GrantId, ObjectId, PersonId, RecordId, RequestId, SessionId, TokenId};
use vault_core::keys::hierarchy::{LogSeed, RecordKey, StaffAuditKey};
use vault_core::media::disclosure::Disclosure;
use vault_core::media::layout::{SegmentLength, SegmentTag};
use vault_core::media::object::ObjectContext;
use vault_core::media::open::ObjectReader;
use vault_core::media::seal::ObjectSealer;
use vault_core::time::{Clock, Timestamp};

use super::findings::{Damage, Findings};
use super::live::Live;
use super::source::{ReadError, Source};
use super::stream::{Bearer, Gate};
use crate::app::ledger::Ledger;
use crate::app::restrict::{Restrictions, Subject};
use crate::clock::{Agreement, HeldClock};
use crate::metrics::Metrics;
use crate::objects::{Name, Objects};
use crate::store::Store;
use crate::store::records::{ObjectRow, PartRow};
use crate::store::sessions::SessionRow;

pub const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);

/// A recording that is no recording: every byte tells its place.
pub fn plaintext(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i ^ (i >> 8) ^ (i >> 16)) as u8).collect()
}

/// Rows and keys of one sealed object.
pub struct Stored {
    pub objects: Objects,
    pub key: RecordKey,
    pub collection: CollectionId,
    pub record: RecordId,
    pub object: ObjectId,
    pub header: Vec<u8>,
    pub segment: SegmentLength,
    /// Name, start, and the ciphertext as it was written.
    pub parts: Vec<(Name, u64, Vec<u8>)>,
    tags: Vec<(u64, Vec<u8>)>,
}

impl Stored {
    /// Seals `plain` and cuts its ciphertext into parts of `segments_each` segments.
    pub async fn seal(plain: &[u8], segment: SegmentLength, segments_each: usize) -> Self {
        let (collection, record, object) = (CollectionId::new(NOW), RecordId::new(NOW), ObjectId::new(NOW));
        let key = RecordKey::generate();
        let context = ObjectContext { collection, record, object, segment };
        let (mut sealer, header) = ObjectSealer::create(&key.object_key(object), context).unwrap();
        let whole = segment.plaintext() as usize;
        let mut sealed: Vec<(Vec<u8>, SegmentTag)> = Vec::new();
        let mut chunks = plain.chunks_exact(whole);
        for chunk in &mut chunks {
            let mut out = vec![0; segment.encrypted() as usize];
            let tag = sealer.seal_segment(chunk, &mut out).unwrap();
            sealed.push((out, tag));
        }
        let rest = chunks.remainder();
        let mut out = vec![0; rest.len() + 32];
        let _ = sealer.finish(rest, &mut out).unwrap();
        let tag = SegmentTag(*out.last_chunk().unwrap());
        sealed.push((out, tag));

        let objects = Objects::memory();
        let (mut parts, mut tags, mut start) = (Vec::new(), Vec::new(), 0);
        for (i, group) in sealed.chunks(segments_each).enumerate() {
            let mut bytes = if i == 0 { header.as_bytes().to_vec() } else { Vec::new() };
            group.iter().for_each(|(segment, _)| bytes.extend_from_slice(segment));
            let name = Name::fresh_part();
            objects.put(&name, bytes.clone()).await.unwrap();
            tags.push(((i * segments_each) as u64, group.iter().flat_map(|(_, tag)| tag.0).collect()));
            parts.push((name, start, bytes.clone()));
            start += bytes.len() as u64;
        }
        let header = header.as_bytes().to_vec();
        Self { objects, key, collection, record, object, header, segment, parts, tags }
    }

    /// Its source, as its rows tell it.
    pub fn source(&self) -> Source {
        let row = ObjectRow {
            id: self.object,
            content_type: "video/webm".to_owned(),
            header: self.header.clone(),
            segment_length: self.segment.plaintext(),
            plaintext_length: 0,
        };
        let parts = self.parts.iter().zip(&self.tags).map(|((name, start, bytes), (first, tags))| PartRow {
            name: name.clone(),
            start: *start,
            length: bytes.len() as u64,
            first_segment: *first,
            tags: tags.clone(),
        });
        Source::of(self.objects.clone(), self.collection, self.record, row, parts.collect()).unwrap()
    }

    /// A session of this object that ends at `expires_at`, on evidence of a log of one entry.
    pub async fn live(&self, expires_at: Timestamp) -> Result<Live, ReadError> {
        let source = self.source();
        let last = source.final_segment().await?;
        let reader = ObjectReader::new(
            &self.key.object_key(self.object),
            source.context(),
            source.stored(&last)?,
            &self.disclosure(),
            &mut Vec::new(),
        )?;
        let row = SessionRow {
            id: SessionId::new(NOW),
            request: RequestId::new(NOW),
            grant: GrantId::new(NOW),
            binding: BindingId::new(NOW),
            collection: self.collection,
            record: self.record,
            object: self.object,
            person: PersonId::new(NOW),
            representation: "original".to_owned(),
            instance: "test".to_owned(),
            created_at: NOW,
            expires_at,
            closed_at: None,
        };
        Ok(Live::new(row, "video/webm", source, reader, &HeldClock::at(NOW)).joined())
    }

    fn disclosure(&self) -> Disclosure {
        let (staff, field) = (StaffAuditKey::generate(), self.key.field_key());
        let prepared = Draft::<PlaybackOpened>::new(NOW)
            .slot(SlotName::Record, self.record.to_string(), OpeningUnder::Record)
            .slot(SlotName::Object, self.object.to_string(), OpeningUnder::Record)
            .prepare(&OpeningKeys { staff: &staff, record: Some((self.record, &field)) })
            .unwrap();
        Disclosure::of_playback(&recorded(prepared)).unwrap()
    }
}

/// Commits to a log of one entry that nobody keeps: proven like any other, nothing forged.
fn recorded(prepared: Prepared<PlaybackOpened>) -> Recorded<PlaybackOpened> {
    let (entry, _, openings) = prepared.into_parts();
    let signer = CheckpointSigner::new("log.test", &LogSeed::generate()).unwrap();
    Recorded::prove(&entry, 0, &[], &signer.sign(1, Hash::leaf(&entry)), openings).unwrap()
}

/// A gate over a database of its own, with a clock that stands.
pub struct TestGate {
    pub gate: Gate,
    /// The token that requests come with; it ends after a day.
    pub token: TokenId,
    pub store: Store,
    pub clock: Arc<HeldClock>,
    pub damage: mpsc::Receiver<Damage>,
    _dir: tempfile::TempDir,
}

impl TestGate {
    /// A fresh one, polled once; keep polling with [`Self::poll_for_ever`] in tests that take longer.
    pub async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = crate::store::testing::store(dir.path()).await;
        let restrictions = Restrictions::new(store.clone(), Objects::memory());
        restrictions.load().await.unwrap();
        let clock = Arc::new(HeldClock::at(NOW));
        let (findings, damage) = Findings::new();
        let token = TokenId::new(NOW);
        let metrics = Arc::new(Metrics::new());
        let (of_log, at) = (Arc::clone(&metrics), Arc::clone(&clock) as Arc<dyn Clock>);
        let gate = Gate {
            ledger: Ledger::new(store.clone(), Objects::memory(), at, of_log, Duration::from_secs(1)),
            bearer: Bearer::new(Subject::new().token(token), NOW.plus(Duration::from_hours(24))),
            restrictions,
            agreement: Arc::new(Agreement::with(clock.as_ref())),
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            metrics,
            findings,
        };
        Self { gate, token, store, clock, damage, _dir: dir }
    }

    /// Polls while the test runs.
    pub fn poll_for_ever(&self) {
        tokio::spawn(self.gate.restrictions.clone().poll_until(tokio_util::sync::CancellationToken::new()));
    }
}
