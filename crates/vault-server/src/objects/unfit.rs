//! Stores that are not fit, each in one way, and what the check at start says of each.

use core::fmt;
use core::sync::atomic::{AtomicU32, Ordering};
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt as _, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use super::{Objects, Unfit};

/// In what way it is not fit.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// A call fails: what it does, and how many of its kind went well before.
    Fails(Call, u32),
    /// The first read fails with this code in the answer.
    Says(&'static str),
    /// A name that was never written can be read.
    AnswersForNobody,
    /// The length of a name that was never written is told.
    KnowsNobody,
    /// A PUT tells this version.
    Versions(&'static str),
    /// What was written is there after a while.
    Late,
    /// The last byte of a PUT is lost.
    Cuts,
    /// One bit of what is read is wrong.
    Flips,
    /// Lengths are told wrong.
    Miscounts,
    /// Ranges begin a byte late.
    Shifts,
    /// A range is answered with everything.
    IgnoresRanges,
    /// A range beyond the end is filled up.
    Pads,
    /// The first bytes of a name stay.
    KeepsFirst,
    /// What is deleted stays.
    KeepsDeleted,
    /// What is deleted cannot be read, and yet is there.
    RemembersDeleted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Get,
    Range,
    Head,
    Put,
    Delete,
}

#[derive(Debug)]
struct Store {
    inner: InMemory,
    way: Way,
    made: [AtomicU32; 5],
}

impl Store {
    fn new(way: Way) -> Arc<Self> {
        Arc::new(Self { inner: InMemory::new(), way, made: Default::default() })
    }

    /// How many calls of this kind there were.
    fn made(&self, call: Call) -> u32 {
        self.made[call as usize].load(Ordering::SeqCst)
    }

    /// Notes a call; whether it is to fail.
    fn fails(&self, call: Call) -> bool {
        let before = self.made[call as usize].fetch_add(1, Ordering::SeqCst);
        matches!(self.way, Way::Fails(failing, after) if failing == call && after == before)
    }
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("unfit")
    }
}

fn failed(because: &'static str) -> Error {
    Error::Generic { store: "unfit", source: because.into() }
}

fn missing(at: &Path) -> Error {
    Error::NotFound { path: at.to_string(), source: "as asked".into() }
}

/// The answer of a store in which these bytes are.
async fn answer(at: &Path, bytes: Vec<u8>, options: GetOptions) -> Result<GetResult> {
    let other = InMemory::new();
    other.put(at, bytes.into()).await?;
    other.get_opts(at, options).await
}

#[async_trait]
impl ObjectStore for Store {
    async fn put_opts(&self, at: &Path, bytes: PutPayload, options: PutOptions) -> Result<PutResult> {
        let again = self.made(Call::Put) > 0;
        if self.fails(Call::Put) {
            return Err(failed("as asked"));
        }
        let whole: Vec<u8> = bytes.iter().flat_map(|piece| piece.iter().copied()).collect();
        let stored = match self.way {
            Way::Cuts => whole[..whole.len() - 1].to_vec(),
            Way::KeepsFirst if again => {
                return self.inner.put_opts(at, self.inner.get(at).await?.bytes().await?.into(), options).await;
            }
            _ => whole,
        };
        let done = self.inner.put_opts(at, stored.into(), options).await?;
        let version = if let Way::Versions(version) = self.way { Some(version.to_owned()) } else { None };
        Ok(PutResult { version, ..done })
    }

    async fn put_multipart_opts(&self, at: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(at, options).await
    }

    async fn get_opts(&self, at: &Path, mut options: GetOptions) -> Result<GetResult> {
        let call = match (options.head, options.range.is_some()) {
            (true, _) => Call::Head,
            (false, true) => Call::Range,
            (false, false) => Call::Get,
        };
        if self.fails(call) {
            return Err(failed("as asked"));
        }
        let (written, deleted) = (self.made(Call::Put) > 0, self.made(Call::Delete) > 0);
        match (self.way, call) {
            (Way::Says(code), Call::Get) => return Err(failed(code)),
            (Way::AnswersForNobody, Call::Get) | (Way::KnowsNobody, Call::Head) if !written => {
                return answer(at, b"?".to_vec(), options).await;
            }
            (Way::RemembersDeleted, Call::Head) if deleted => return answer(at, b"?".to_vec(), options).await,
            (Way::Late, Call::Get) if written => return Err(missing(at)),
            _ => {}
        }
        let mut bytes = self.inner.get(at).await?.bytes().await?.to_vec();
        match (self.way, call) {
            (Way::Flips, Call::Get) => bytes[17] ^= 1,
            (Way::Miscounts, Call::Head) => bytes.push(0),
            (Way::Shifts, Call::Range) => bytes.rotate_left(1),
            (Way::IgnoresRanges, Call::Range) => options.range = None,
            (Way::Pads, Call::Range) => bytes.extend([0; 64]),
            _ => {}
        }
        answer(at, bytes, options).await
    }

    fn delete_stream(&self, names: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        if self.fails(Call::Delete) {
            return futures_util::stream::once(async { Err(failed("as asked")) }).boxed();
        }
        if matches!(self.way, Way::KeepsDeleted) { names } else { self.inner.delete_stream(names) }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

/// What the check says of such a store, and whether it leaves something there.
async fn refused(way: Way) -> (Unfit, bool) {
    let store = Store::new(way);
    let refused = Objects::over(Arc::clone(&store) as Arc<dyn ObjectStore>).check(false).await;
    let left = store.list(None).count().await > 0;
    (refused.expect_err("it is not fit"), left)
}

#[tokio::test]
async fn a_store_that_fails_a_question_is_refused_with_the_question() {
    for (call, after, act) in [
        (Call::Get, 0, "read"),
        (Call::Head, 0, "tell that a name is absent"),
        (Call::Put, 0, "write"),
        (Call::Get, 1, "read"),
        (Call::Head, 1, "tell the length of an object"),
        (Call::Range, 0, "read a range"),
        (Call::Head, 2, "tell that a range is beyond the end of an object"),
        (Call::Put, 1, "replace"),
        (Call::Get, 2, "read"),
        (Call::Head, 3, "tell the length of an object"),
        (Call::Delete, 0, "delete"),
        (Call::Get, 3, "read"),
        (Call::Head, 4, "tell that a name is absent"),
        (Call::Delete, 1, "delete what is absent"),
    ] {
        let (refused, left) = refused(Way::Fails(call, after)).await;
        assert!(matches!(refused, Unfit::Cannot(told, _) if told == act), "{call:?} {after}: {refused:?}");
        assert!(!left, "{call:?} {after}");
    }
}

#[tokio::test]
async fn a_store_that_does_something_else_is_refused_with_what_it_does() {
    for (way, what) in [
        (Way::AnswersForNobody, "it answers for a name that nobody has written"),
        (Way::KnowsNobody, "it answers for a name that nobody has written"),
        (Way::Late, "a name just written cannot be read whole at once"),
        (Way::Cuts, "a name just written cannot be read whole at once"),
        (Way::Flips, "a name just written cannot be read whole at once"),
        (Way::Miscounts, "a name just written cannot be read whole at once"),
        (Way::Shifts, "a range is not answered exactly"),
        (Way::IgnoresRanges, "a range is not answered exactly"),
        (Way::Pads, "a range beyond the end of an object is not told as one"),
        (Way::KeepsFirst, "a name just replaced still reads as before"),
        (Way::KeepsDeleted, "a name just deleted is still there"),
        (Way::RemembersDeleted, "a name just deleted is still there"),
    ] {
        let (refused, left) = refused(way).await;
        assert!(matches!(refused, Unfit::Wrong(told) if told == what), "{way:?}: {refused:?}");
        assert_eq!(left, matches!(way, Way::KeepsDeleted), "{way:?}");
    }
}

#[tokio::test]
async fn a_store_that_keeps_versions_or_kept_them_is_refused_unless_somebody_answers_for_it() {
    assert!(matches!(refused(Way::Versions("3HL4kqtJvjVBH40Nrjfkd")).await, (Unfit::Versioned, false)));
    assert!(matches!(refused(Way::Versions("null")).await, (Unfit::Suspended, false)));
    for version in ["3HL4kqtJvjVBH40Nrjfkd", "null"] {
        Objects::over(Store::new(Way::Versions(version))).check(true).await.unwrap();
    }
}

/// The codes as a store gives them in a body; over HTTP they are told in `tests/suites/object_store.rs`.
#[tokio::test]
async fn a_refusal_is_told_by_its_code() {
    for code in ["RequestTimeTooSkewed", "RequestExpired"] {
        assert!(matches!(refused(Way::Says(code)).await.0, Unfit::ClockSkew(_)), "{code}");
    }
    assert!(matches!(refused(Way::Says("NoSuchBucket")).await.0, Unfit::NoBucket(_)));
    for code in ["InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "ExpiredToken", "status code: 401"] {
        assert!(matches!(refused(Way::Says(code)).await.0, Unfit::Credentials(_)), "{code}");
    }
    for code in ["PermanentRedirect", "AuthorizationHeaderMalformed", "incorrectly configured region"] {
        assert!(matches!(refused(Way::Says(code)).await.0, Unfit::Region(_)), "{code}");
    }
    for code in ["AccessDenied", "status code: 403"] {
        assert!(matches!(refused(Way::Says(code)).await.0, Unfit::Denied("read", _)), "{code}");
    }
    assert!(matches!(refused(Way::Says("InternalError")).await.0, Unfit::Cannot("read", _)));
}
