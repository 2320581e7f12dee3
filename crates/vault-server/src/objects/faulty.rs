//! An object store whose n-th call of a kind fails, having happened or not: in memory, or the local disk's own.

use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path as Folder;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt as _,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, UploadPart,
};

use super::Objects;

/// What a call is called in a sweep: what it does, to what. `put media`, `get log`, `head journal`; `begin`, `piece`,
/// `finish` and `abort` of what is written piece by piece.
pub type Call = String;

/// Whether a call that says it failed happened all the same.
type Persisted = bool;

/// The store, shared by the vault and the test that makes it fail.
#[derive(Debug)]
pub struct Faulty {
    inner: Arc<dyn ObjectStore>,
    plan: Arc<Plan>,
}

/// What is to fail, and what was asked.
#[derive(Debug, Default)]
struct Plan {
    made: Mutex<BTreeMap<Call, u64>>,
    next: Mutex<Option<(Call, u64, Persisted)>>,
    down: AtomicBool,
}

impl Default for Faulty {
    fn default() -> Self {
        Self { inner: Arc::new(InMemory::new()), plan: Arc::default() }
    }
}

impl Faulty {
    /// For a vault that writes as it writes to a bucket.
    pub fn objects(self: &Arc<Self>) -> Objects {
        Objects::over(Arc::clone(self) as Arc<dyn ObjectStore>).collecting(140_000)
    }

    /// A directory, for a vault that writes piece by piece; every call goes through this, reading too.
    pub fn local(folder: &Folder) -> (Arc<Self>, Objects) {
        let local = Objects::local(folder).unwrap();
        let faulty = Arc::new(Self { inner: Arc::clone(&local.inner), plan: Arc::default() });
        let inner = Arc::clone(&faulty) as Arc<dyn ObjectStore>;
        (faulty, Objects { inner, files: None, ..local })
    }

    /// The call `call` that comes after `before` others of its name fails, having happened or not.
    pub fn fail(&self, call: &str, before: u64, persisted: bool) {
        *self.plan.next.lock().unwrap() = Some((call.to_owned(), before, persisted));
    }

    /// Whether a fault is waiting still.
    pub fn waits(&self) -> bool {
        self.plan.next.lock().unwrap().is_some()
    }

    /// No more faults; whether there was one waiting that never came.
    pub fn heal(&self) -> bool {
        self.plan.down.store(false, Ordering::SeqCst);
        self.plan.next.lock().unwrap().take().is_some()
    }

    /// Every call fails until it is up again.
    pub fn set_down(&self, down: bool) {
        self.plan.down.store(down, Ordering::SeqCst);
    }

    /// The calls made since this was last asked.
    pub fn made(&self) -> BTreeMap<Call, u64> {
        std::mem::take(&mut *self.plan.made.lock().unwrap())
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
}

impl Plan {
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

    /// A call that is made, unless it fails without.
    async fn call<T>(
        &self,
        what: &str,
        at: &Path,
        work: impl Future<Output = object_store::Result<T>>,
    ) -> object_store::Result<T> {
        match self.called(what, at) {
            Some(false) => Err(failed()),
            None => work.await,
            Some(true) => {
                drop(work.await);
                Err(failed())
            }
        }
    }
}

/// What is written piece by piece.
#[derive(Debug)]
struct Pieces {
    inner: Box<dyn MultipartUpload>,
    plan: Arc<Plan>,
    at: Path,
}

#[async_trait]
impl MultipartUpload for Pieces {
    fn put_part(&mut self, piece: PutPayload) -> UploadPart {
        match self.plan.called("piece", &self.at) {
            Some(false) => Box::pin(async { Err(failed()) }),
            None => self.inner.put_part(piece),
            Some(true) => {
                let written = self.inner.put_part(piece);
                Box::pin(async move {
                    written.await?;
                    Err(failed())
                })
            }
        }
    }

    async fn complete(&mut self) -> object_store::Result<PutResult> {
        self.plan.call("finish", &self.at, self.inner.complete()).await
    }

    async fn abort(&mut self) -> object_store::Result<()> {
        self.plan.call("abort", &self.at, self.inner.abort()).await
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
        self.plan.call("put", at, self.inner.put_opts(at, bytes, options)).await
    }

    async fn put_multipart_opts(
        &self,
        at: &Path,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        let inner = self.plan.call("begin", at, self.inner.put_multipart_opts(at, options)).await?;
        Ok(Box::new(Pieces { inner, plan: Arc::clone(&self.plan), at: at.clone() }))
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        // Having happened is the same as not having happened, but for who is billed.
        self.plan.call(if options.head { "head" } else { "get" }, at, self.inner.get_opts(at, options)).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        // The vault deletes one name at a time, below `media/` or `check/`.
        let fault = self.plan.called("delete", &Path::from("media"));
        if fault == Some(false) {
            return futures_util::stream::once(async { Err(failed()) }).boxed();
        }
        let deleted = self.inner.delete_stream(locations);
        if fault.is_some() { deleted.map(|_| Err(failed())).boxed() } else { deleted }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        match self.plan.called("list", prefix.unwrap_or(&Path::default())) {
            Some(_) => futures_util::stream::once(async { Err(failed()) }).boxed(),
            None => self.inner.list(prefix),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        let listed = self.inner.list_with_delimiter(prefix);
        self.plan.call("list", prefix.unwrap_or(&Path::default()), listed).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> object_store::Result<()> {
        self.plan.call("copy", to, self.inner.copy_opts(from, to, options)).await
    }
}
