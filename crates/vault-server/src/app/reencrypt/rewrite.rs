//! One recording, read under evidence and sealed again under a fresh key.
//!
//! The log's entry `record.reencrypting` is committed and published before a byte is opened; only that makes an [`ObjectReader`]. What is in
//! memory is what a request of a playback and one of an upload hold: some segments of ciphertext, one of plaintext, the buffers of the
//! writer, and the tags of what is written (16 bytes for each segment).

use core::time::Duration;
use std::time::Instant;

use bytes::BytesMut;
use vault_api::code::Code;
use vault_core::audit::entry::{Draft, RecordReencrypting};
use vault_core::audit::evidence::Recorded;
use vault_core::audit::slot::{OpeningKeys, OpeningUnder, SlotName};
use vault_core::ids::{ObjectId, RecordId, RewriteId};
use vault_core::keys::hierarchy::RecordKey;
use vault_core::keys::wrap::KekRef;
use vault_core::media::PLAIN_AT;
use vault_core::media::disclosure::Disclosure;
use vault_core::media::object::ObjectContext;
use vault_core::media::open::ObjectReader;
use vault_core::media::seal::ObjectSealer;
use zeroize::Zeroize as _;

use super::swap::Swap;
use super::work::Work;
use crate::app::error::Failure;
use crate::app::keys::TERM;
use crate::app::ledger::LedgerError;
use crate::app::play::open::record_key;
use crate::app::play::source::{ReadError, Source};
use crate::app::restrict::{Kind, Refusal, Subject};
use crate::app::upload;
use crate::app::upload::receive::PART_BYTES;
use crate::app::upload::writer::{Ground, Position, SegmentWriter};
use crate::custody::{CustodyError, KeyError};
use crate::store::intents::Owner;
use crate::store::records::{self, ObjectRow, RecordRow};
use crate::store::reencryptions::{self as rows, ReencryptionState};
use crate::store::uploads::NewPart;
use crate::store::{StoreError, rekey};

/// Ciphertext read at once: of a bucket each read is a request.
const READ_AHEAD: u64 = 256 * 1024 + 4 * 32;

/// How often the lease is renewed, and looked whether somebody has stopped it.
pub(super) const LOOK: Duration = Duration::from_secs(1);

/// The longest pause of a throttled one between two looks.
const PAUSE: Duration = Duration::from_millis(250);

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is under a fresh key, and noted as such.
    Anew,
    /// It is erased.
    Gone,
    /// Somebody has stopped the re-encryption, another node has it, or this one stops.
    Stopped,
}

/// Why a record is not under a fresh key.
pub(super) enum Trouble {
    /// What is stored cannot be read, now or later.
    Damaged {
        /// As the log names it.
        finding: &'static str,
        /// The object, where that is what is damaged.
        object: Option<ObjectId>,
    },
    /// It may be done later.
    Failed(Failure),
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<StoreError> for Trouble {
    fn from(e: StoreError) -> Self {
        Self::Failed(e.into())
    }
}

impl From<LedgerError> for Trouble {
    fn from(e: LedgerError) -> Self {
        Self::Failed(e.into())
    }
}

/// Damage of the record's rows; anything else may be done later.
fn of_rows(failure: Failure) -> Trouble {
    match failure.code() {
        Code::IntegrityFailure => Trouble::Damaged { finding: "record-row-damaged", object: None },
        _ => Trouble::Failed(failure),
    }
}

fn unreadable(e: ReadError, object: ObjectId) -> Trouble {
    if e.is_damage() {
        return Trouble::Damaged { finding: e.finding(), object: Some(object) };
    }
    Trouble::Failed(Failure::new(Code::Unavailable).because(e))
}

fn defect(e: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Trouble {
    Trouble::Failed(Failure::new(Code::Internal).because(e))
}

/// A buffer that holds plaintext in the end, and is wiped whatever becomes of it.
struct Wiped(BytesMut);

impl Drop for Wiped {
    fn drop(&mut self) {
        self.0.as_mut().zeroize();
    }
}

/// A recording that may be read.
struct Reading {
    source: Source,
    reader: ObjectReader,
    content_type: String,
}

impl Work<'_> {
    /// Writes a record again under a fresh key, and puts that in the place of the former one.
    pub(super) async fn rewrite(&self, record: RecordId) -> Result<Outcome, Trouble> {
        let trouble = match self.attempt(record).await {
            Err(trouble) => trouble,
            Ok(Outcome::Stopped) if self.is_erased(record) => return Ok(Outcome::Gone),
            outcome => return outcome,
        };
        // An erasure takes rows and intents away in the middle of anything.
        let row = records::find(&self.vault.store, record).await;
        if row.is_ok_and(|row| row.is_none_or(|row| row.wrap.is_none())) {
            return Ok(Outcome::Gone);
        }
        Err(trouble)
    }

    async fn attempt(&self, record: RecordId) -> Result<Outcome, Trouble> {
        let (vault, began) = (self.vault, Instant::now());
        if self.is_erased(record) {
            return Ok(Outcome::Gone);
        }
        let row = records::find(&vault.store, record).await.map_err(|e| of_rows(e.into()))?;
        let Some(row) = row.filter(|row| row.wrap.is_some()) else { return Ok(Outcome::Gone) };
        if row.collection != self.row.collection {
            return Err(Trouble::Damaged { finding: "record-row-damaged", object: None });
        }
        let former = self.key_of(&row).await?;
        let found = records::original(&vault.store, record).await.map_err(|e| of_rows(e.into()))?;
        let Some((object, parts)) = found else {
            return Err(Trouble::Damaged { finding: "object-rows-damaged", object: None });
        };
        let (id, content_type) = (object.id, object.content_type.clone());
        let source = Source::of(vault.objects.clone(), row.collection, record, object, parts);
        let source = source.map_err(|e| unreadable(e, id))?;
        let last = source.final_segment().await.map_err(|e| unreadable(e, id))?;

        let (rewrite, evidence) = match self.announce(&row, &former, id).await? {
            Ok(announced) => announced,
            Err(outcome) => return Ok(outcome),
        };
        let disclosure = Disclosure::of_reencryption(&evidence).map_err(defect)?;
        let stored = source.stored(&last).map_err(|e| unreadable(e, id))?;
        let key = former.object_key(id);
        let reader = ObjectReader::new(&key, source.context(), stored, &disclosure, &mut Vec::new());
        let ended = match reader.map_err(|e| unreadable(e.into(), id)) {
            Ok(reader) => {
                let reading = Reading { source, reader, content_type };
                self.replace(&row, &former, &reading, rewrite, began).await
            }
            Err(trouble) => Err(trouble),
        };
        if !matches!(ended, Ok(Outcome::Anew)) {
            // What was written is garbage from here on. Should this fail too, the next attempt says so.
            let mut tx = vault.store.begin("end_rewrite").await?;
            rows::end_rewrite(tx.conn(), rewrite).await?;
            tx.commit().await?;
        }
        ended
    }

    async fn replace(
        &self,
        row: &RecordRow,
        former: &RecordKey,
        reading: &Reading,
        rewrite: RewriteId,
        began: Instant,
    ) -> Result<Outcome, Trouble> {
        let fresh = RecordKey::generate();
        let Some((object, parts)) = self.copy(row.id, reading, &fresh, rewrite).await? else {
            return Ok(Outcome::Stopped);
        };
        let from = reading.source.context().object;
        self.swap(Swap { record: row.id, former, fresh: &fresh, from, object, parts, rewrite, began }).await
    }

    /// The key that the record is under. One whose wrap is on its way out of a compromised version is waited for.
    async fn key_of(&self, row: &RecordRow) -> Result<RecordKey, Trouble> {
        let failure = match record_key(self.vault, row).await {
            Ok(key) => return Ok(key),
            Err(failure) => failure,
        };
        let lost = match failure.code() {
            Code::IntegrityFailure | Code::KeyUnusable => true,
            Code::KeyCompromised => !self.keys_are_moving().await?,
            // The version's own wrap does not open: what it holds is lost until somebody mends it, and the others go on.
            Code::KeyringUnusable => {
                let kek = KekRef { collection: row.collection, version: row.kek_version };
                let opened = self.vault.keys()?.kek(kek).await.map(drop);
                matches!(opened, Err(KeyError::Custody(CustodyError::Unwrap(_))))
            }
            _ => false,
        };
        // A rotation may have moved it between the two looks.
        let now = records::find(&self.vault.store, row.id).await?;
        let lost = lost && now.is_some_and(|now| now.wrap == row.wrap);
        if lost { Err(Trouble::Damaged { finding: "record-key-damaged", object: None }) } else { Err(failure.into()) }
    }

    /// Says in the log that the recording is about to be read, and enters the rewrite with it. Once this returns, the entry is committed
    /// and published.
    async fn announce(
        &self,
        row: &RecordRow,
        former: &RecordKey,
        object: ObjectId,
    ) -> Result<Result<(RewriteId, Recorded<RecordReencrypting>), Outcome>, Trouble> {
        let (vault, now, field) = (self.vault, self.vault.clock.now(), former.field_key());
        let staff = vault.keys()?.staff_audit_key(row.collection).await.map_err(Failure::from)?;
        let entry = Draft::<RecordReencrypting>::new(now)
            .collection(row.collection)
            .kek_version(row.kek_version)
            .data("reencryption", self.row.id.to_string())
            .slot(SlotName::Record, row.id.to_string(), OpeningUnder::Record)
            .slot(SlotName::Object, object.to_string(), OpeningUnder::Record)
            .prepare(&OpeningKeys { staff: &staff, record: Some((row.id, &field)) })
            .map_err(defect)?;
        let id = RewriteId::new(now);
        let mut tx = vault.store.begin("announce_rewrite").await?;
        let mine = self.lease.check_and_renew(&mut tx).await? && rows::hold_running(tx.conn(), &self.row, now).await?;
        if !mine {
            tx.rollback().await?;
            return Ok(Err(Outcome::Stopped));
        }
        if rekey::hold(&mut tx, row.id).await?.is_none() {
            tx.rollback().await?;
            return Ok(Err(Outcome::Gone));
        }
        rows::begin_rewrite(tx.conn(), id, row.id, self.row.id).await?;
        let ticket = vault.ledger()?.enqueue(&mut tx, entry, None).await?;
        tx.commit().await?;
        Ok(Ok((id, vault.ledger()?.settle(ticket).await?)))
    }

    /// Writes what is read. `None`: somebody has stopped it.
    async fn copy(
        &self,
        record: RecordId,
        reading: &Reading,
        fresh: &RecordKey,
        rewrite: RewriteId,
    ) -> Result<Option<(ObjectRow, Vec<NewPart>)>, Trouble> {
        let (vault, began) = (self.vault, Instant::now());
        let Reading { source, reader, content_type } = reading;
        let from = source.context();
        let _room = upload::reserve(vault, from.segment).await?;
        let object = ObjectId::new(vault.clock.now());
        let context = ObjectContext { object, ..from };
        let (sealer, header) = ObjectSealer::create(&fresh.object_key(object), context).map_err(defect)?;
        let ground = Ground {
            objects: &vault.objects,
            store: &vault.store,
            clock: vault.clock.as_ref(),
            room: vault.uploads.room(),
        };
        let at = Position { ciphertext: 0, owner: Owner::rewrite(rewrite, record) };
        let header = header.as_bytes().to_vec();
        let mut writer = SegmentWriter::new(ground, at, header.clone(), sealer, from.segment, &[]);
        let (mut parts, mut written, mut looked) = (Vec::new(), 0_u64, Instant::now());
        let extent = reader.length().extent();
        let mut next = 0;
        while next <= extent.last() {
            if !self.goes_on(record, &mut looked).await? {
                writer.abort().await;
                return Ok(None);
            }
            let (start, mut end, first) = (extent.segment_at(next).map_err(defect)?.0, 0, next);
            while next <= extent.last() {
                let (offset, length) = extent.segment_at(next).map_err(defect)?;
                if next > first && offset + length - start > READ_AHEAD {
                    break;
                }
                (end, next) = (offset + length, next + 1);
            }
            let mut ahead = source.read(start..end).await.map_err(|e| unreadable(e, from.object))?;
            for index in first..next {
                let (_, length) = extent.segment_at(index).map_err(defect)?;
                let mut segment = Wiped(ahead.split_to(usize::try_from(length).map_err(defect)?));
                let tag = source.tag(index).map_err(|e| unreadable(e, from.object))?;
                let opened = reader.read_segment_in_place(index, tag, &mut segment.0);
                let length = opened.map_err(|e| unreadable(e.into(), from.object))?.len();
                writer.push(&segment.0[PLAIN_AT..PLAIN_AT + length]).await?;
                written += length as u64;
            }
            if writer.unsettled() >= PART_BYTES {
                parts.extend(writer.settle().await?);
            }
            while self.is_early(began, written) && self.goes_on(record, &mut looked).await? {
                tokio::time::sleep(PAUSE).await;
            }
        }
        if !self.goes_on(record, &mut looked).await? {
            writer.abort().await;
            return Ok(None);
        }
        let (sealed, rest) = writer.finish().await?;
        parts.extend(rest);
        let row = ObjectRow {
            id: object,
            content_type: content_type.clone(),
            header,
            segment_length: from.segment.plaintext(),
            plaintext_length: sealed.plaintext(),
        };
        Ok(Some((row, parts)))
    }

    /// Whether a throttled one has written more than its time allows.
    fn is_early(&self, began: Instant, written: u64) -> bool {
        let due = self.row.throttle.map(|most| Duration::from_millis(written.saturating_mul(1000) / most.max(1)));
        due.is_some_and(|due| began.elapsed() < due)
    }

    fn is_erased(&self, record: RecordId) -> bool {
        let refused = self.vault.restrictions.check(&Subject::new().record(record));
        refused == Err(Refusal::Restricted(Kind::RecordErased))
    }

    /// Whether this node goes on: asked before each read, looked up once a second. An erasure bites at once.
    async fn goes_on(&self, record: RecordId, looked: &mut Instant) -> Result<bool, Failure> {
        let vault = self.vault;
        if vault.stopping.is_cancelled() || self.is_erased(record) {
            return Ok(false);
        }
        if looked.elapsed() < LOOK {
            return Ok(true);
        }
        *looked = Instant::now();
        let now = {
            let mut reader = vault.store.read().await?;
            rows::find(reader.conn(), self.row.collection).await?
        };
        let runs = now.is_some_and(|row| row.id == self.row.id && row.state == ReencryptionState::Running);
        Ok(runs && self.lease.renew(&vault.store, vault.clock.now().plus(TERM)).await?)
    }
}
