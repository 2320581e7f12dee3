//! An object written piece by piece: streamed, so that one piece is being written while the next one is made; or
//! collected for one PUT, where the store wants to know the length first.

use std::sync::Arc;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt as _, PutPayload};
use tokio::task::JoinHandle;

use super::{Name, ObjectError, timed};

/// An object being written. Nothing can be read under its name before [`PartWriter::finish`] has returned.
pub struct PartWriter {
    sink: Sink,
    written: u64,
}

enum Sink {
    Streamed { upload: Box<dyn MultipartUpload>, under_way: Option<JoinHandle<Result<(), ObjectError>>> },
    Collected { store: Arc<dyn ObjectStore>, name: Path, pieces: Vec<Bytes> },
}

impl PartWriter {
    pub(super) async fn streaming(store: &Arc<dyn ObjectStore>, name: &Name) -> Result<Self, ObjectError> {
        let upload = timed(store.put_multipart(name.path())).await?;
        Ok(Self { sink: Sink::Streamed { upload, under_way: None }, written: 0 })
    }

    pub(super) fn collecting(store: &Arc<dyn ObjectStore>, name: &Name) -> Self {
        let sink = Sink::Collected { store: Arc::clone(store), name: name.path().clone(), pieces: Vec::new() };
        Self { sink, written: 0 }
    }

    /// Writes the next piece; returns when the store has taken the one before, so that pieces do not pile up and writing
    /// goes on beside the making of the next. An error is told by the next call. Where pieces are collected the caller
    /// keeps the bound ([`super::Objects::longest`]).
    pub async fn write(&mut self, piece: impl Into<Bytes>) -> Result<(), ObjectError> {
        let piece = piece.into();
        let length = piece.len() as u64;
        match &mut self.sink {
            Sink::Streamed { upload, under_way } => {
                settled(under_way).await?;
                *under_way = Some(tokio::spawn(timed(upload.put_part(PutPayload::from_bytes(piece)))));
            }
            Sink::Collected { pieces, .. } => pieces.push(piece),
        }
        self.written += length;
        Ok(())
    }

    /// Bytes handed over so far.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Makes the object durable and readable under its name.
    pub async fn finish(self) -> Result<u64, ObjectError> {
        match self.sink {
            Sink::Streamed { mut upload, mut under_way } => {
                settled(&mut under_way).await?;
                timed(upload.complete()).await.map(drop)?;
            }
            Sink::Collected { store, name, pieces } => {
                timed(store.put(&name, pieces.into_iter().collect())).await.map(drop)?;
            }
        }
        Ok(self.written)
    }

    /// Gives it up. An error is of no consequence: the intent's name is collected later.
    pub async fn abort(self) {
        if let Sink::Streamed { mut upload, mut under_way } = self.sink {
            let written = settled(&mut under_way).await;
            if let Err(e) = written.and(timed(upload.abort()).await) {
                tracing::debug!(error = %e, "an aborted part is left to the collector");
            }
        }
    }
}

/// Waits for the piece that is being written.
async fn settled(under_way: &mut Option<JoinHandle<Result<(), ObjectError>>>) -> Result<(), ObjectError> {
    match under_way.take() {
        None => Ok(()),
        // It does not panic and nobody cancels it: only a runtime that goes down ends it before its time.
        Some(writing) => writing.await.unwrap_or(Err(ObjectError::Deadline)),
    }
}
