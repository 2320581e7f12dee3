//! Taking in bytes: one PATCH, or the body of a creation.
//!
//! What is acknowledged is durable: parts are synced, then offset, part and tail are committed by compare-and-set
//! on (offset, fence). A body that ends early is kept as far as it came, unless it carries a checksum, which covers
//! all of it or nothing.

use core::pin::pin;
use core::time::Duration;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use vault_api::code::Code;
use vault_core::ids::RecordId;
use vault_core::keys::hierarchy::{ObjectKey, RecordKey};
use vault_core::keys::upload::{UploadSecret, unwrap_in_progress};
use vault_core::media::container::{ClaimedType, Inspector, Refusal as ContentRefusal};
use vault_core::media::floe::Header;
use vault_core::media::layout::SegmentLength;
use vault_core::media::object::ObjectContext;
use vault_core::media::seal::ObjectSealer;
use vault_core::media::tail::{TailContext, open_tail, seal_tail};
use vault_core::time::Timestamp;

use super::active::Place;
use super::checksum::Checksum;
use super::writer::{Ground, Position, SegmentWriter};
use super::{complete, find, refuse, refused_state};
use crate::app::collections;
use crate::app::error::Failure;
use crate::app::limits;
use crate::app::restrict::{Refusal, Subject};
use crate::state::Vault;
use crate::store::collections::CollectionState;
use crate::store::intents::Owner;
use crate::store::uploads::{self, Advance, Taken, UploadRow, UploadState};

/// Parts are cut at this length, so that a long request commits on the way and a crash costs no more than this. A
/// bucket's are shorter.
pub(in crate::app) const PART_BYTES: u64 = 32 << 20;

/// Bytes a second below which a request that has lasted longer than the idle time is ended: a third of what the
/// thinnest voice codec sends.
const SLOWEST: u64 = 256;

/// How long a request may be silent, or slower than that, while others wait for the room that it holds: half of what they wait.
const PRESSED: Duration = Duration::from_secs(5);

/// How often a silent request looks whether others wait.
const LOOK: Duration = Duration::from_secs(1);

/// However often bytes come, an upload ends this long after it began: its resume key must not live for ever.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);

/// The longest that an upload lasts.
pub fn lasts(vault: &Vault) -> Duration {
    LONGEST.max(Duration::from_secs(vault.config.limits.upload_hours * 3600))
}

/// What a request brings besides its body.
pub struct Incoming {
    /// Where the client believes the upload stands.
    pub offset: u64,
    /// The length, when the client declares it only now.
    pub length: Option<u64>,
    /// The body's length, when the request says it.
    pub body_length: Option<u64>,
    /// What the body must sum up to.
    pub checksum: Option<Checksum>,
}

/// Where the upload stands afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Bytes that are durable.
    pub offset: u64,
    /// The record it became, if this completed it.
    pub record: Option<RecordId>,
    /// When it ends if nothing more comes.
    pub expires_at: Timestamp,
}

/// Why reading the body stopped.
enum Stop {
    End,
    /// The client went away, fell silent, or another request wants the upload.
    Interrupted,
    Evicted,
    /// The node stops. The client has done nothing wrong, and 4xx would tell it not to come back.
    Leaving,
}

impl Stop {
    /// What a client is told whose body was not read to its end.
    const fn code(&self) -> Code {
        match self {
            Self::End | Self::Interrupted => Code::UploadInterrupted,
            Self::Evicted => Code::UploadBusy,
            Self::Leaving => Code::NodeStopping,
        }
    }
}

/// Takes in a body for the upload of `secret`.
pub async fn receive<B, E>(
    vault: &Arc<Vault>,
    secret: &UploadSecret,
    incoming: Incoming,
    body: B,
) -> Result<Received, Failure>
where
    B: Stream<Item = Result<Bytes, E>> + Send,
{
    let row = find(vault, secret).await?;
    refused_state(vault, &row)?;
    still_taken(vault, &row).await?;
    let length = declared(&row, incoming.length)?;
    if length.is_some_and(|l| l > vault.config.limits.upload_bytes) {
        return Err(Code::UploadTooLarge.into());
    }
    if row.received != incoming.offset {
        return Err(conflict(row.received));
    }
    check_fits(vault, incoming.offset, length, incoming.body_length)?;
    limits::goes_on(vault, &row, incoming.length, vault.clock.now()).await?;
    let place = vault.uploads.enter(row.id).await;
    let Some(taken) = uploads::take(&vault.store, row.id, incoming.offset).await? else {
        // It moved while the request before this one settled.
        let row = find(vault, secret).await?;
        refused_state(vault, &row)?;
        return Err(conflict(row.received));
    };
    // Again on the row that is held now: the request before this one may have declared the length.
    let length = declared(&taken.row, incoming.length)?;
    check_fits(vault, incoming.offset, length, incoming.body_length)?;
    Session::open(vault, secret, taken, length, place).await?.run(incoming.checksum, body).await
}

/// Whether the collection still takes what was begun: it is open, and nobody has suspended it or disabled the uploader.
/// A countermeasure that lapsed stops new uploads, not those under way.
async fn still_taken(vault: &Vault, row: &UploadRow) -> Result<(), Failure> {
    if collections::get(vault, row.collection).await?.state != CollectionState::Open {
        return Err(Code::CollectionNotOpen.into());
    }
    unrestricted(vault, row)
}

/// The part of it that is asked for each piece of a body: in memory.
fn unrestricted(vault: &Vault, row: &UploadRow) -> Result<(), Failure> {
    match vault.restrictions.check(&Subject::new().collection(row.collection).person(row.person)) {
        Ok(()) => Ok(()),
        Err(Refusal::Restricted(_)) => Err(Code::CollectionNotOpen.into()),
        Err(Refusal::Stale) => Err(Refusal::Stale.into()),
    }
}

fn conflict(stands_at: u64) -> Failure {
    Failure::new(Code::UploadOffsetConflict).member("offset", stands_at)
}

/// The length that holds from now on; one that is declared cannot change.
fn declared(row: &UploadRow, late: Option<u64>) -> Result<Option<u64>, Failure> {
    match (row.length, late) {
        (Some(known), Some(said)) if known != said => Err(Code::UploadLength.into()),
        (None, Some(said)) if said < row.received => Err(Code::UploadLength.into()),
        (known, said) => Ok(known.or(said)),
    }
}

fn check_fits(vault: &Vault, offset: u64, length: Option<u64>, body: Option<u64>) -> Result<(), Failure> {
    let Some(body) = body else { return Ok(()) };
    let end = offset.saturating_add(body);
    if length.is_some_and(|l| end > l) {
        return Err(Code::UploadPastLength.into());
    }
    if end > vault.config.limits.upload_bytes {
        return Err(Code::UploadTooLarge.into());
    }
    Ok(())
}

/// One request that holds an upload.
struct Session<'v> {
    vault: &'v Arc<Vault>,
    row: UploadRow,
    length: Option<u64>,
    place: Place,
    record_key: RecordKey,
    object_key: ObjectKey,
    writer: SegmentWriter<'v>,
    inspector: Inspector,
    /// Plaintext bytes committed.
    committed: u64,
    /// Plaintext bytes taken in.
    taken: u64,
    _budget: tokio::sync::OwnedSemaphorePermit,
}

impl<'v> Session<'v> {
    async fn open(
        vault: &'v Arc<Vault>,
        secret: &UploadSecret,
        taken: Taken,
        length: Option<u64>,
        place: Place,
    ) -> Result<Self, Failure> {
        let Taken { row, ciphertext, segments } = taken;
        let damaged = |e: &dyn std::error::Error| Failure::new(Code::IntegrityFailure).because(e.to_string());
        let segment = SegmentLength::from_plaintext(row.segment_length)
            .ok_or_else(|| Failure::new(Code::IntegrityFailure).because("segment length of the upload"))?;
        let (Some(resume), Some(wrap)) = (row.resume_key, row.wrap.as_deref()) else {
            return Err(Failure::new(Code::IntegrityFailure).because("an open upload has no wrap"));
        };
        let budget = super::reserve(vault, segment).await?;
        let resume_key = vault.keys()?.resume_key(resume).await?;
        let record_key =
            unwrap_in_progress(secret, (resume, &resume_key), row.id, row.record, wrap).map_err(|e| damaged(&e))?;
        let object_key = record_key.object_key(row.object);
        let context = ObjectContext { collection: row.collection, record: row.record, object: row.object, segment };
        let header = Header::from_slice(&row.header).map_err(|e| damaged(&e))?;
        let sealer = ObjectSealer::resume(&object_key, context, &header, segments).map_err(|e| damaged(&e))?;
        let ground = Ground {
            objects: &vault.objects,
            store: &vault.store,
            clock: vault.clock.as_ref(),
            room: &vault.uploads.room,
        };
        let owner = Owner::upload(row.id, row.record, row.fence);
        let at = Position { ciphertext, owner };
        let (writer, inspector) = match &row.tail {
            Some(sealed) => {
                let place = TailContext { upload: row.id, offset: row.received, fence: row.tail_fence };
                let tail = open_tail(&object_key, place, sealed).map_err(|e| damaged(&e))?;
                let inspector = Inspector::restore(tail.inspector_state()).map_err(|e| damaged(&e))?;
                let whole = segment.plaintext();
                if segments.saturating_mul(whole).checked_add(tail.plaintext().len() as u64) != Some(row.received) {
                    return Err(Failure::new(Code::IntegrityFailure).because("an upload's parts and offset disagree"));
                }
                (SegmentWriter::new(ground, at, row.header.clone(), sealer, segment, tail.plaintext()), inspector)
            }
            None if row.received == 0 && segments == 0 => {
                let claimed = ClaimedType::parse(&row.filetype).map_err(|e| damaged(&e))?;
                (SegmentWriter::new(ground, at, row.header.clone(), sealer, segment, &[]), Inspector::new(claimed))
            }
            None => return Err(Failure::new(Code::IntegrityFailure).because("an upload lost its tail")),
        };
        let committed = row.received;
        Ok(Self {
            vault,
            row,
            length,
            place,
            record_key,
            object_key,
            writer,
            inspector,
            committed,
            taken: committed,
            _budget: budget,
        })
    }

    async fn run<B, E>(mut self, mut checksum: Option<Checksum>, body: B) -> Result<Received, Failure>
    where
        B: Stream<Item = Result<Bytes, E>> + Send,
    {
        let mut body = pin!(body);
        // With a checksum nothing is decided before all of it has come: a damaged transfer is no bad content.
        let mut refusal = None;
        let idle = Duration::from_secs(self.vault.config.limits.idle_seconds);
        let (began, began_at) = (tokio::time::Instant::now(), self.taken);
        let mut heard = began;
        let stopped = loop {
            unrestricted(self.vault, &self.row)?;
            // Whoever trickles holds room that others wait for.
            let patience = if self.vault.uploads.is_short() { idle.min(PRESSED) } else { idle };
            let spent = began.elapsed();
            let trickles = spent > patience && (self.taken - began_at) / spent.as_secs().max(1) < SLOWEST;
            if trickles || heard.elapsed() >= patience {
                break Stop::Interrupted;
            }
            let next = tokio::select! {
                biased;
                () = self.place.stop.cancelled() => break Stop::Evicted,
                () = self.vault.stopping.cancelled() => break Stop::Leaving,
                next = tokio::time::timeout(LOOK, body.next()) => next,
            };
            match next {
                Ok(Some(Ok(bytes))) => {
                    match self.take_in(&bytes, checksum.as_mut(), refusal.is_some()).await? {
                        Err(refused) if checksum.is_none() => return self.reject(refused).await,
                        Err(refused) => refusal = Some(refused),
                        Ok(()) => {}
                    }
                    // A whole recording is committed by its adoption alone: a full offset without a record would be one that
                    // nobody ever completes.
                    let settles = self.writer.has_parts() || self.writer.unsettled() >= PART_BYTES;
                    if settles && checksum.is_none() && self.length != Some(self.taken) {
                        self.commit().await?;
                    }
                    // What the store takes its time for is no silence of the client's.
                    heard = tokio::time::Instant::now();
                }
                Ok(None) => break Stop::End,
                Ok(Some(Err(_))) => break Stop::Interrupted,
                Err(_) => {}
            }
        };
        if let Some(sum) = checksum {
            if !matches!(stopped, Stop::End) {
                self.writer.abort().await;
                return Err(stopped.code().into());
            }
            if !sum.matches() {
                self.writer.abort().await;
                return Err(Code::UploadChecksum.into());
            }
        }
        if let Some(refusal) = refusal {
            return self.reject(refusal).await;
        }
        if self.length == Some(self.taken) {
            return self.complete().await;
        }
        let expires_at = self.commit().await?;
        match stopped {
            Stop::End => Ok(Received { offset: self.committed, record: None, expires_at }),
            early => Err(early.code().into()),
        }
    }

    /// One piece of the body. The inner error is a refusal of the content: what comes after it, `refused`, is summed
    /// up and kept no more.
    async fn take_in(
        &mut self,
        bytes: &[u8],
        checksum: Option<&mut Checksum>,
        refused: bool,
    ) -> Result<Result<(), ContentRefusal>, Failure> {
        let end = self.taken.saturating_add(bytes.len() as u64);
        if self.length.is_some_and(|l| end > l) {
            return Err(Code::UploadPastLength.into());
        }
        if end > self.vault.config.limits.upload_bytes {
            return Err(Code::UploadTooLarge.into());
        }
        if let Some(sum) = checksum {
            sum.update(bytes);
        }
        if refused {
            self.taken = end;
            return Ok(Ok(()));
        }
        if let Err(refusal) = self.inspector.push(bytes) {
            self.taken = end;
            return Ok(Err(refusal));
        }
        self.writer.push(bytes).await?;
        self.taken = end;
        self.vault.metrics.uploaded_bytes.inc_by(bytes.len() as u64);
        Ok(Ok(()))
    }

    /// Makes durable what was taken in and advances the offset. Answers when the upload now expires.
    async fn commit(&mut self) -> Result<Timestamp, Failure> {
        let now = self.vault.clock.now();
        let hours = Duration::from_secs(self.vault.config.limits.upload_hours * 3600);
        let expires_at = now.plus(hours).min(self.row.created_at.plus(lasts(self.vault)));
        if self.taken == self.committed && self.length == self.row.length {
            return Ok(self.row.expires_at);
        }
        let parts = self.writer.settle().await?;
        let place = TailContext { upload: self.row.id, offset: self.taken, fence: self.row.fence };
        let Some(state) = self.inspector.save() else {
            return Err(Failure::new(Code::Internal).because("refused content"));
        };
        let tail = seal_tail(&self.object_key, place, &state, self.writer.tail())
            .map_err(|e| Failure::new(Code::Internal).because(e))?;
        let advance = Advance {
            id: self.row.id,
            fence: self.row.fence,
            from: self.committed,
            to: self.taken,
            length: self.length,
            parts: &parts,
            object: self.row.object,
            tail,
            expires_at,
        };
        let mut tx = self.vault.store.begin("advance_upload").await?;
        if !uploads::advance(&mut tx, &advance).await? {
            tx.rollback().await?;
            return Err(Code::UploadBusy.into());
        }
        tx.commit().await?;
        self.committed = self.taken;
        self.row.received = self.taken;
        self.row.length = self.length;
        self.row.expires_at = expires_at;
        Ok(expires_at)
    }

    async fn complete(self) -> Result<Received, Failure> {
        let recognised = match self.inspector.finish() {
            Ok(recognised) => recognised,
            Err(refusal) => {
                self.writer.abort().await;
                return Err(refuse(self.vault, &self.row, refusal).await);
            }
        };
        let (sealed, parts) = self.writer.finish().await?;
        let offer = complete::Offer {
            row: &self.row,
            from: self.committed,
            record_key: &self.record_key,
            recognised,
            sealed,
            parts,
        };
        let record = complete::adopt(self.vault, offer).await?;
        drop(self.place);
        Ok(Received { offset: self.taken, record: Some(record), expires_at: self.row.expires_at })
    }

    async fn reject(self, refusal: ContentRefusal) -> Result<Received, Failure> {
        self.writer.abort().await;
        Err(refuse(self.vault, &self.row, refusal).await)
    }
}

/// Where an upload stands, for HEAD.
#[derive(Debug)]
pub struct Status {
    /// Bytes that are durable.
    pub offset: u64,
    /// The declared length.
    pub length: Option<u64>,
    /// The content type as claimed.
    pub filetype: String,
    /// The record it became.
    pub record: Option<RecordId>,
    /// When it ends if nothing more comes.
    pub expires_at: Timestamp,
}

/// Where the upload of `secret` stands. A request that is writing it is asked to commit first, so that a client
/// whose connection broke is told all that arrived.
pub async fn status(vault: &Arc<Vault>, secret: &UploadSecret) -> Result<Status, Failure> {
    let row = find(vault, secret).await?;
    vault.uploads.settle(row.id).await;
    let row = find(vault, secret).await?;
    match row.state {
        UploadState::Complete => {}
        _ => refused_state(vault, &row)?,
    }
    Ok(Status {
        offset: row.received,
        length: row.length,
        filetype: row.filetype,
        record: (row.state == UploadState::Complete).then_some(row.record),
        expires_at: row.expires_at,
    })
}
