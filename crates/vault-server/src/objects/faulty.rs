//! An object store in memory whose n-th call of a kind fails, having happened or not.

use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt as _,
    PutMultipartOptions, PutOptions, PutPayload, PutResult,
};

use super::Objects;

/// What a call is called in a sweep: what it does, to what. `put media`, `get log`, `head journal`.
pub type Call = String;

/// Whether a call that says it failed happened all the same.
type Persisted = bool;

/// The store, shared by the vault and the test that makes it fail.
#[derive(Debug, Default)]
pub struct Faulty {
    inner: Arc<InMemory>,
    made: Mutex<BTreeMap<Call, u64>>,
    next: Mutex<Option<(Call, u64, Persisted)>>,
    down: AtomicBool,
}

impl Faulty {
    /// For a vault that writes as it writes to a bucket.
    pub fn objects(self: &Arc<Self>) -> Objects {
        Objects::over(Arc::clone(self) as Arc<dyn ObjectStore>).collecting(140_000)
    }

    /// The call `call` that comes after `before` others of its name fails, having happened or not.
    pub fn fail(&self, call: &str, before: u64, persisted: bool) {
        *self.next.lock().unwrap() = Some((call.to_owned(), before, persisted));
    }

    /// No more faults; whether there was one waiting that never came.
    pub fn heal(&self) -> bool {
        self.down.store(false, Ordering::SeqCst);
        self.next.lock().unwrap().take().is_some()
    }

    /// Every call fails until it is up again.
    pub fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::SeqCst);
    }

    /// The calls made since this was last asked.
    pub fn made(&self) -> BTreeMap<Call, u64> {
        std::mem::take(&mut *self.made.lock().unwrap())
    }

    /// The names of everything below `media/`.
    pub async fn media(&self) -> BTreeSet<String> {
        let listed = self.inner.list(Some(&Path::from("media")));
        listed.map(|meta| meta.unwrap().location.to_string()).collect().await
    }

    /// What lies under a name.
    pub async fn look(&self, name: &str) -> Option<Bytes> {
        self.inner.get(&Path::from(name)).await.ok()?.bytes().await.ok()
    }

    /// Takes away what lies there, if anything does.
    pub async fn remove(&self, name: &str) {
        match self.inner.delete(&Path::from(name)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
            Err(e) => panic!("{e}"),
        }
    }

    fn called(&self, what: &str, at: &Path) -> Option<Persisted> {
        if self.down.load(Ordering::SeqCst) {
            return Some(false);
        }
        let call = format!("{what} {}", at.parts().next().map_or_else(String::new, |part| part.as_ref().to_owned()));
        *self.made.lock().unwrap().entry(call.clone()).or_default() += 1;
        let mut next = self.next.lock().unwrap();
        match next.as_mut() {
            Some((wanted, before, _)) if *wanted == call && *before > 0 => *before -= 1,
            Some((wanted, _, _)) if *wanted == call => return next.take().map(|(_, _, fault)| fault),
            _ => {}
        }
        None
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faulty")
    }
}

fn failed() -> object_store::Error {
    object_store::Error::Generic { store: "faulty", source: "as asked".into() }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, at: &Path, bytes: PutPayload, options: PutOptions) -> object_store::Result<PutResult> {
        let fault = self.called("put", at);
        if fault == Some(false) {
            return Err(failed());
        }
        let done = self.inner.put_opts(at, bytes, options).await?;
        if fault.is_some() { Err(failed()) } else { Ok(done) }
    }

    async fn put_multipart_opts(
        &self,
        at: &Path,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(at, options).await
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        if self.called(if options.head { "head" } else { "get" }, at).is_some() {
            return Err(failed());
        }
        self.inner.get_opts(at, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        // The vault deletes one name at a time, below `media/` or `check/`.
        let fault = self.called("delete", &Path::from("media"));
        if fault == Some(false) {
            return futures_util::stream::once(async { Err(failed()) }).boxed();
        }
        let deleted = self.inner.delete_stream(locations);
        if fault.is_some() { deleted.map(|_| Err(failed())).boxed() } else { deleted }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> object_store::Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
