//! An object's ciphertext: parts in the object store, read by ranges of the whole.

use core::ops::Range;

use bytes::BytesMut;
use vault_core::ids::{CollectionId, RecordId};
use vault_core::media::layout::{Extent, InvalidExtent, PartError, PartSpan, SegmentLength, SegmentTag, Tags, locate};
use vault_core::media::object::ObjectContext;
use vault_core::media::open::{OpenError, StoredObject};

use crate::objects::{Name, ObjectError, Objects};
use crate::store::StoreError;
use crate::store::records::{ObjectRow, PartRow};

/// Why a recording, or a piece of it, cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Rows that describe no object.
    #[error("the object's rows are damaged: {0}")]
    Rows(&'static str),
    /// Parts that leave a gap.
    #[error(transparent)]
    Parts(#[from] PartError),
    /// A length no object has.
    #[error(transparent)]
    Extent(#[from] InvalidExtent),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The object store.
    #[error(transparent)]
    Objects(#[from] ObjectError),
    /// Damaged, altered, truncated, swapped, foreign or superseded.
    #[error(transparent)]
    Open(#[from] OpenError),
}

impl ReadError {
    /// Whether what is stored is damaged or tampered with, rather than out of reach.
    #[must_use]
    pub const fn is_damage(&self) -> bool {
        match self {
            Self::Rows(_) | Self::Parts(_) | Self::Extent(_) | Self::Open(_) => true,
            Self::Store(StoreError::Corrupt { .. }) => true,
            Self::Objects(ObjectError::Missing | ObjectError::Short) => true,
            Self::Store(_) | Self::Objects(_) => false,
        }
    }

    /// A name for the finding in the log.
    #[must_use]
    pub const fn finding(&self) -> &'static str {
        match self {
            Self::Rows(_) | Self::Parts(_) | Self::Extent(_) | Self::Store(_) => "object-rows-damaged",
            Self::Objects(ObjectError::Missing) => "object-part-missing",
            Self::Objects(_) => "object-part-short",
            Self::Open(OpenError::Superseded(_)) => "object-segment-superseded",
            Self::Open(_) => "object-not-authentic",
        }
    }
}

/// Where the ciphertext of one object lies.
pub struct Source {
    objects: Objects,
    context: ObjectContext,
    header: Vec<u8>,
    extent: Extent,
    spans: Vec<PartSpan>,
    names: Vec<Name>,
    tags: Vec<Tags>,
}

impl Source {
    /// As its rows say; nothing of it is proven yet.
    pub fn of(
        objects: Objects,
        collection: CollectionId,
        record: RecordId,
        object: ObjectRow,
        parts: Vec<PartRow>,
    ) -> Result<Self, ReadError> {
        let segment =
            SegmentLength::from_plaintext(object.segment_length).ok_or(ReadError::Rows("length of a segment"))?;
        let mut source = Self {
            objects,
            context: ObjectContext { collection, record, object: object.id, segment },
            header: object.header,
            extent: Extent::of_plaintext(segment, 0)?,
            spans: Vec::with_capacity(parts.len()),
            names: Vec::with_capacity(parts.len()),
            tags: Vec::with_capacity(parts.len()),
        };
        let mut total = 0_u64;
        for part in parts {
            total = part.start.checked_add(part.length).ok_or(PartError::Gap(part.start))?;
            source.spans.push(PartSpan { offset: part.start, length: part.length });
            source.names.push(part.name);
            source.tags.push(Tags::from_row(part.first_segment, part.tags)?);
        }
        source.extent = Extent::of_ciphertext(segment, total)?;
        Ok(source)
    }

    /// The place the object is bound to.
    #[must_use]
    pub const fn context(&self) -> ObjectContext {
        self.context
    }

    /// Its shape, as its rows claim it.
    #[must_use]
    pub const fn extent(&self) -> Extent {
        self.extent
    }

    /// The tag of the sealing of segment `index` that counts.
    pub fn tag(&self, index: u64) -> Result<SegmentTag, ReadError> {
        // Parts are in order, so the last one that begins at this segment or before holds it, unless it holds none.
        let after = self.tags.partition_point(|tags| tags.first() <= index);
        let found = self.tags.iter().take(after).rev().find_map(|tags| tags.get(index));
        found.ok_or(ReadError::Rows("no tag of a segment"))
    }

    /// The final segment's ciphertext.
    pub async fn final_segment(&self) -> Result<BytesMut, ReadError> {
        let (offset, length) = self.extent.segment_at(self.extent.last())?;
        self.read(offset..offset + length).await
    }

    /// What [`ObjectReader::new`](vault_core::media::open::ObjectReader::new) takes.
    pub fn stored<'a>(&'a self, final_segment: &'a [u8]) -> Result<StoredObject<'a>, ReadError> {
        let final_tag = self.tag(self.extent.last())?;
        Ok(StoredObject { header: &self.header, ciphertext: self.extent.ciphertext(), final_segment, final_tag })
    }

    /// Exactly these bytes of the ciphertext, to be opened where they lie: one read for each part they are in.
    pub async fn read(&self, range: Range<u64>) -> Result<BytesMut, ReadError> {
        let mut whole: Option<BytesMut> = None;
        for read in locate(&self.spans, range)? {
            let name = self.names.get(read.part).ok_or(ReadError::Rows("no name of a part"))?;
            let piece = self.objects.get_range(name, read.from..read.to).await?;
            match &mut whole {
                Some(bytes) => bytes.extend_from_slice(&piece),
                // Without a copy where the back end gave a buffer of its own.
                None => whole = Some(piece.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..]))),
            }
        }
        Ok(whole.unwrap_or_default())
    }
}
