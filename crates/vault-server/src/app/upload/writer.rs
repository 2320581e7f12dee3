//! From plaintext as it comes to immutable parts: one segment in memory, sealed where it lies. For uploads, and for recordings that
//! are written again.
//!
//! A bucket takes a part in one PUT, out of memory: the part ends when it is as long as such a PUT may be, or when the
//! byte budget has no room for its next segment. What a request has written is registered in one transaction, however
//! many parts it is.

use core::time::Duration;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use vault_api::code::Code;
use vault_core::media::layout::{SegmentLength, Tags};
use vault_core::media::seal::{ObjectSealer, Sealed};
use vault_core::media::{PLAIN_AT, SEGMENT_OVERHEAD as OVERHEAD};
use vault_core::time::Clock;
use zeroize::Zeroizing;

use crate::app::error::Failure;
use crate::objects::{DEADLINE, Name, Objects, PartWriter};
use crate::store::Store;
use crate::store::intents::{self, Owner};
use crate::store::uploads::NewPart;

/// Where a writer stands when it begins.
pub(in crate::app) struct Position {
    /// Ciphertext bytes in registered parts.
    pub ciphertext: u64,
    /// Who writes, under which fence.
    pub owner: Owner,
}

/// What a writer works with.
pub(in crate::app) struct Ground<'a> {
    pub objects: &'a Objects,
    pub store: &'a Store,
    pub clock: &'a dyn Clock,
    /// The byte budget, in KiB.
    pub room: &'a Arc<Semaphore>,
}

struct OpenPart {
    name: Name,
    writer: PartWriter,
    tags: Tags,
    /// Room for segments that wait in memory for their PUT, beyond the one that the request has room for anyway.
    room: Vec<OwnedSemaphorePermit>,
}

/// Seals segments and writes them into parts. The segment under way lies in `buffer` at the place where it will be
/// sealed: behind the room for length and nonce, before the room for the tag.
pub(in crate::app) struct SegmentWriter<'a> {
    ground: Ground<'a>,
    at: Position,
    header: Vec<u8>,
    sealer: ObjectSealer,
    segment: SegmentLength,
    /// Empty between one segment and the first byte of the next: what waits for a store to take a segment waits without
    /// room for another.
    buffer: Zeroizing<Vec<u8>>,
    filled: usize,
    part: Option<OpenPart>,
    /// Parts that are durable and not yet registered, in order.
    done: Vec<NewPart>,
}

impl<'a> SegmentWriter<'a> {
    /// Goes on with `tail` in the buffer.
    pub fn new(
        ground: Ground<'a>,
        at: Position,
        header: Vec<u8>,
        sealer: ObjectSealer,
        segment: SegmentLength,
        tail: &[u8],
    ) -> Self {
        let mut buffer = Zeroizing::new(Vec::new());
        if !tail.is_empty() {
            buffer = empty(segment);
            buffer[PLAIN_AT..PLAIN_AT + tail.len()].copy_from_slice(tail);
        }
        Self { ground, at, header, sealer, segment, buffer, filled: tail.len(), part: None, done: Vec::new() }
    }

    /// Takes in the next plaintext; whole segments are sealed and written on the way.
    pub async fn push(&mut self, mut plain: &[u8]) -> Result<(), Failure> {
        let whole = capacity(self.segment);
        while !plain.is_empty() {
            if self.buffer.is_empty() {
                self.buffer = empty(self.segment);
            }
            let (now, later) = plain.split_at(plain.len().min(whole - self.filled));
            let from = PLAIN_AT + self.filled;
            self.buffer[from..from + now.len()].copy_from_slice(now);
            self.filled += now.len();
            plain = later;
            if self.filled == whole {
                self.seal_full().await?;
            }
        }
        Ok(())
    }

    async fn seal_full(&mut self) -> Result<(), Failure> {
        let tag = self.sealer.seal_segment_in_place(&mut self.buffer).map_err(defect)?;
        // Sealed, so no longer secret: the store may have the bytes themselves.
        let sealed = std::mem::take(&mut *self.buffer);
        self.filled = 0;
        let length = sealed.len() as u64;
        let (longest, room) = (self.ground.objects.longest(), Arc::clone(self.ground.room));
        let part = self.open_part(self.sealer.next() - 1).await?;
        part.writer.write(sealed).await?;
        part.tags.push(tag);
        let Some(longest) = longest else { return Ok(()) };
        // Room for the next one; without it the part ends here, however short it is.
        let kib = u32::try_from(length.div_ceil(1024)).unwrap_or(u32::MAX);
        match room.try_acquire_many_owned(kib) {
            Ok(permit) if part.writer.written() + length <= longest => part.room.push(permit),
            _ => self.end_part().await?,
        }
        Ok(())
    }

    /// The part under way, begun when there is none: first the intent, then the PUT.
    async fn open_part(&mut self, first_segment: u64) -> Result<&mut OpenPart, Failure> {
        let part = match self.part.take() {
            Some(part) => part,
            None => {
                let name = Name::fresh_part();
                // A PUT may last as long as the upload sends; the collector waits for a dead fence first, then for this.
                let deadline = self.ground.clock.now().plus(DEADLINE.max(Duration::from_secs(1)));
                intents::intend(self.ground.store, self.at.owner, &name, deadline).await?;
                let mut writer = self.ground.objects.begin(&name).await?;
                if self.at.ciphertext == 0 {
                    writer.write(self.header.clone()).await?;
                }
                OpenPart { name, writer, tags: Tags::starting_at(first_segment), room: Vec::new() }
            }
        };
        Ok(self.part.insert(part))
    }

    /// Bytes in the part under way.
    pub fn unsettled(&self) -> u64 {
        self.part.as_ref().map_or(0, |part| part.writer.written())
    }

    /// Whether there are parts that wait only to be registered.
    pub fn has_parts(&self) -> bool {
        !self.done.is_empty()
    }

    /// Makes the part under way durable; to be registered by the caller with those before it.
    pub async fn settle(&mut self) -> Result<Vec<NewPart>, Failure> {
        self.end_part().await?;
        Ok(std::mem::take(&mut self.done))
    }

    async fn end_part(&mut self) -> Result<(), Failure> {
        let Some(part) = self.part.take() else { return Ok(()) };
        let part = ended(&self.ground, part, self.at.ciphertext).await?;
        self.at.ciphertext += part.length;
        self.done.push(part);
        Ok(())
    }

    /// Plaintext of the unfinished segment.
    pub fn tail(&self) -> &[u8] {
        self.buffer.get(PLAIN_AT..PLAIN_AT + self.filled).unwrap_or_default()
    }

    /// Seals what is left as the final segment and makes the last part durable. Answers all that wait to be registered.
    pub async fn finish(mut self) -> Result<(Sealed, Vec<NewPart>), Failure> {
        self.open_part(self.sealer.next()).await?;
        let mut last = vec![0; self.filled + OVERHEAD];
        let plain = self.buffer.get(PLAIN_AT..PLAIN_AT + self.filled).unwrap_or_default();
        let sealed = self.sealer.finish(plain, &mut last).map_err(defect)?;
        let Some(mut part) = self.part.take() else { return Err(defect("no part under way")) };
        part.writer.write(last).await?;
        part.tags.push(sealed.tag());
        self.done.push(ended(&self.ground, part, self.at.ciphertext).await?);
        Ok((sealed, self.done))
    }

    /// Gives up the part under way; its name is the collector's.
    pub async fn abort(self) {
        if let Some(part) = self.part {
            part.writer.abort().await;
        }
    }
}

/// Makes a part durable that begins at `start`.
async fn ended(ground: &Ground<'_>, part: OpenPart, start: u64) -> Result<NewPart, Failure> {
    let part = renewed(ground, part).await?;
    let length = part.writer.finish().await?;
    let first_segment = part.tags.first();
    Ok(NewPart { name: part.name, start, length, first_segment, tags: part.tags.as_bytes().to_vec() })
}

/// Says again, before a part is made readable, that its name is about to be written. A request that lost the upload
/// long ago must not make a part readable whose absence the collector has verified.
async fn renewed(ground: &Ground<'_>, part: OpenPart) -> Result<OpenPart, Failure> {
    if intents::renew_intent(ground.store, &part.name, ground.clock.now().plus(DEADLINE)).await? {
        return Ok(part);
    }
    part.writer.abort().await;
    Err(Code::UploadBusy.into())
}

fn capacity(segment: SegmentLength) -> usize {
    usize::try_from(segment.plaintext()).unwrap_or(usize::MAX)
}

fn empty(segment: SegmentLength) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(vec![0; capacity(segment) + OVERHEAD])
}

/// What cannot happen with buffers of these lengths.
fn defect(e: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Failure {
    Failure::new(Code::Internal).because(e)
}
