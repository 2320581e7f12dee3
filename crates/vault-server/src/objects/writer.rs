//! An object written piece by piece: one PUT, of which only one piece is in memory.

use std::sync::Arc;

use bytes::Bytes;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt as _, PutPayload};

use super::{Name, ObjectError, timed};

/// An object being written. Nothing can be read under its name before [`PartWriter::finish`] has returned.
pub struct PartWriter {
    upload: Box<dyn MultipartUpload>,
    written: u64,
}

impl PartWriter {
    pub(super) async fn begin(store: &Arc<dyn ObjectStore>, name: &Name) -> Result<Self, ObjectError> {
        Ok(Self { upload: timed(store.put_multipart(name.path())).await?, written: 0 })
    }

    /// Writes the next piece; returns when the store has taken it, so that pieces do not pile up.
    pub async fn write(&mut self, piece: impl Into<Bytes>) -> Result<(), ObjectError> {
        let piece = piece.into();
        let length = piece.len() as u64;
        timed(self.upload.put_part(PutPayload::from_bytes(piece))).await?;
        self.written += length;
        Ok(())
    }

    /// Bytes written so far.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Makes the object durable and readable under its name.
    pub async fn finish(mut self) -> Result<u64, ObjectError> {
        timed(self.upload.complete()).await?;
        Ok(self.written)
    }

    /// Gives it up. An error is of no consequence: the intent's name is collected later.
    pub async fn abort(mut self) {
        if let Err(e) = timed(self.upload.abort()).await {
            tracing::debug!(error = %e, "an aborted part is left to the collector");
        }
    }
}
