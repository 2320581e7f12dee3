//! From plaintext as it comes to immutable parts: one segment in memory, sealed where it lies.

use core::time::Duration;

use vault_api::code::Code;
use vault_core::ids::UploadId;
use vault_core::media::layout::{SegmentLength, Tags};
use vault_core::media::seal::{ObjectSealer, Sealed};
use vault_core::media::{PLAIN_AT, SEGMENT_OVERHEAD as OVERHEAD};
use vault_core::time::Clock;
use zeroize::Zeroizing;

use crate::app::error::Failure;
use crate::objects::{DEADLINE, Name, Objects, PartWriter};
use crate::store::Store;
use crate::store::uploads::{self, NewPart};

/// Where a writer stands when a request takes the upload.
pub(super) struct Position {
    /// Ciphertext bytes in registered parts.
    pub ciphertext: u64,
    /// The upload's fence for this request.
    pub fence: u64,
    /// Which upload.
    pub upload: UploadId,
}

/// What a writer works with.
pub(super) struct Ground<'a> {
    pub objects: &'a Objects,
    pub store: &'a Store,
    pub clock: &'a dyn Clock,
}

struct OpenPart {
    name: Name,
    writer: PartWriter,
    tags: Tags,
}

/// Seals segments and writes them into parts. The segment under way lies in `buffer` at the place where it will be
/// sealed: behind the room for length and nonce, before the room for the tag.
pub(super) struct SegmentWriter<'a> {
    ground: Ground<'a>,
    at: Position,
    header: Vec<u8>,
    sealer: ObjectSealer,
    segment: SegmentLength,
    buffer: Zeroizing<Vec<u8>>,
    filled: usize,
    part: Option<OpenPart>,
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
        let mut buffer = empty(segment);
        buffer[PLAIN_AT..PLAIN_AT + tail.len()].copy_from_slice(tail);
        Self { ground, at, header, sealer, segment, buffer, filled: tail.len(), part: None }
    }

    /// Takes in the next plaintext; whole segments are sealed and written on the way.
    pub async fn push(&mut self, mut plain: &[u8]) -> Result<(), Failure> {
        let whole = capacity(self.segment);
        while !plain.is_empty() {
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
        *self.buffer = vec![0; sealed.len()];
        self.filled = 0;
        let part = self.open_part(self.sealer.next() - 1).await?;
        part.writer.write(sealed).await?;
        part.tags.push(tag);
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
                uploads::intend(self.ground.store, self.at.upload, self.at.fence, &name, deadline).await?;
                let mut writer = self.ground.objects.begin(&name).await?;
                if self.at.ciphertext == 0 {
                    writer.write(self.header.clone()).await?;
                }
                OpenPart { name, writer, tags: Tags::starting_at(first_segment) }
            }
        };
        Ok(self.part.insert(part))
    }

    /// Bytes in the part under way.
    pub fn unsettled(&self) -> u64 {
        self.part.as_ref().map_or(0, |part| part.writer.written())
    }

    /// Makes the part under way durable; to be registered by the caller. `None` when there is none.
    pub async fn settle(&mut self) -> Result<Option<NewPart>, Failure> {
        let Some(part) = self.part.take() else { return Ok(None) };
        let part = renewed(&self.ground, part).await?;
        let length = part.writer.finish().await?;
        let start = self.at.ciphertext;
        self.at.ciphertext += length;
        let first_segment = part.tags.first();
        Ok(Some(NewPart { name: part.name, start, length, first_segment, tags: part.tags.as_bytes().to_vec() }))
    }

    /// Plaintext of the unfinished segment.
    pub fn tail(&self) -> &[u8] {
        &self.buffer[PLAIN_AT..PLAIN_AT + self.filled]
    }

    /// Seals what is left as the final segment and makes the last part durable.
    pub async fn finish(mut self) -> Result<(Sealed, NewPart), Failure> {
        self.open_part(self.sealer.next()).await?;
        let mut last = vec![0; self.filled + OVERHEAD];
        let sealed = self.sealer.finish(&self.buffer[PLAIN_AT..PLAIN_AT + self.filled], &mut last).map_err(defect)?;
        let Some(mut part) = self.part.take() else { return Err(defect("no part under way")) };
        part.writer.write(last).await?;
        part.tags.push(sealed.tag());
        let part = renewed(&self.ground, part).await?;
        let length = part.writer.finish().await?;
        let (start, first_segment) = (self.at.ciphertext, part.tags.first());
        let tags = part.tags.as_bytes().to_vec();
        Ok((sealed, NewPart { name: part.name, start, length, first_segment, tags }))
    }

    /// Gives up the part under way; its name is the collector's.
    pub async fn abort(self) {
        if let Some(part) = self.part {
            part.writer.abort().await;
        }
    }
}

/// Says again, before a part is made readable, that its name is about to be written. A request that lost the upload
/// long ago must not make a part readable whose absence the collector has verified.
async fn renewed(ground: &Ground<'_>, part: OpenPart) -> Result<OpenPart, Failure> {
    if uploads::renew_intent(ground.store, &part.name, ground.clock.now().plus(DEADLINE)).await? {
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
