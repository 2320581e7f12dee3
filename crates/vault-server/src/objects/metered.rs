//! Calls to the object store, timed and counted.

use core::fmt;
use core::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt as _};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use tracing::Instrument as _;

use crate::metrics::Metrics;

/// A store whose calls are counted. A call that is given up (its deadline) counts as `abandoned`.
#[derive(Clone)]
pub(super) struct Metered {
    pub(super) inner: Arc<dyn ObjectStore>,
    pub(super) metrics: Arc<Metrics>,
}

impl fmt::Debug for Metered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl fmt::Display for Metered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.inner, f)
    }
}

/// A call under way; dropped before its end it was given up.
struct Call<'m> {
    metrics: &'m Metrics,
    operation: &'static str,
    started: Instant,
    outcome: &'static str,
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.metrics.object_call(self.operation, self.outcome, self.started.elapsed());
    }
}

impl Metered {
    async fn call<T>(&self, operation: &'static str, work: impl Future<Output = Result<T>>) -> Result<T> {
        let mut call = Call { metrics: &self.metrics, operation, started: Instant::now(), outcome: "abandoned" };
        let done = work.instrument(tracing::debug_span!("object", operation)).await;
        call.outcome = outcome(&done);
        done
    }
}

/// Absence is an answer, not a failure.
fn outcome<T>(done: &Result<T>) -> &'static str {
    match done {
        Ok(_) => "ok",
        Err(Error::NotFound { .. }) => "absent",
        Err(_) => "failed",
    }
}

#[async_trait::async_trait]
impl ObjectStore for Metered {
    async fn put_opts(&self, at: &Path, bytes: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.call("put", self.inner.put_opts(at, bytes, options)).await
    }

    async fn put_multipart_opts(&self, at: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let upload = self.call("begin", self.inner.put_multipart_opts(at, options)).await?;
        Ok(Box::new(MeteredUpload { inner: upload, store: self.clone() }))
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        let operation = if options.head { "head" } else { "get" };
        self.call(operation, self.inner.get_opts(at, options)).await
    }

    async fn get_ranges(&self, at: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.call("get", self.inner.get_ranges(at, ranges)).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let metrics = Arc::clone(&self.metrics);
        let started = Instant::now();
        // The vault deletes one object at a time.
        let told = move |done| {
            metrics.object_call("delete", outcome(&done), started.elapsed());
            done
        };
        self.inner.delete_stream(locations).map(told).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.call("list", self.inner.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.call("copy", self.inner.copy_opts(from, to, options)).await
    }
}

/// An object that is written piece by piece. Pieces are not timed one by one: their writing may overlap.
#[derive(Debug)]
struct MeteredUpload {
    inner: Box<dyn MultipartUpload>,
    store: Metered,
}

#[async_trait::async_trait]
impl MultipartUpload for MeteredUpload {
    fn put_part(&mut self, piece: PutPayload) -> object_store::UploadPart {
        self.inner.put_part(piece)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.store.call("finish", self.inner.complete()).await
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await
    }
}
