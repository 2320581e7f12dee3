//! An object written piece by piece: streamed, so that only one piece is in memory; or collected for one PUT, where
//! the store wants to know the length first.

use std::sync::Arc;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt as _, PutPayload};

use super::{Name, ObjectError, timed};

/// An object being written. Nothing can be read under its name before [`PartWriter::finish`] has returned.
pub struct PartWriter {
    sink: Sink,
    written: u64,
}

enum Sink {
    Streamed(Box<dyn MultipartUpload>),
    Collected { store: Arc<dyn ObjectStore>, name: Path, pieces: Vec<Bytes> },
}

impl PartWriter {
    pub(super) async fn streaming(store: &Arc<dyn ObjectStore>, name: &Name) -> Result<Self, ObjectError> {
        Ok(Self { sink: Sink::Streamed(timed(store.put_multipart(name.path())).await?), written: 0 })
    }

    pub(super) fn collecting(store: &Arc<dyn ObjectStore>, name: &Name) -> Self {
        let sink = Sink::Collected { store: Arc::clone(store), name: name.path().clone(), pieces: Vec::new() };
        Self { sink, written: 0 }
    }

    /// Writes the next piece; returns when the store has taken it, so that pieces do not pile up. Where they are
    /// collected the caller keeps the bound ([`super::Objects::longest`]).
    pub async fn write(&mut self, piece: impl Into<Bytes>) -> Result<(), ObjectError> {
        let piece = piece.into();
        let length = piece.len() as u64;
        match &mut self.sink {
            Sink::Streamed(upload) => timed(upload.put_part(PutPayload::from_bytes(piece))).await?,
            Sink::Collected { pieces, .. } => pieces.push(piece),
        }
        self.written += length;
        Ok(())
    }

    /// Bytes written so far.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Makes the object durable and readable under its name.
    pub async fn finish(self) -> Result<u64, ObjectError> {
        match self.sink {
            Sink::Streamed(mut upload) => timed(upload.complete()).await.map(drop)?,
            Sink::Collected { store, name, pieces } => {
                timed(store.put(&name, pieces.into_iter().collect())).await.map(drop)?;
            }
        }
        Ok(self.written)
    }

    /// Gives it up. An error is of no consequence: the intent's name is collected later.
    pub async fn abort(self) {
        if let Sink::Streamed(mut upload) = self.sink
            && let Err(e) = timed(upload.abort()).await
        {
            tracing::debug!(error = %e, "an aborted part is left to the collector");
        }
    }
}
