//! What the design relies on, asked of the very store that is configured, before anything is entrusted to it.
//!
//! | relied on | because |
//! | --- | --- |
//! | the bucket is there, and may be read, written, deleted from | |
//! | absence is told as absence | the collector forgets a name only once it is absent |
//! | a new name is readable at once, whole, with its length | a part is registered after its PUT, and played |
//! | ranges are exact, and end with the object | a Range request is arithmetic |
//! | a name that is replaced reads as the new bytes at once | the log's checkpoint |
//! | a deleted name is gone | erasure of unfinished and refused uploads |
//! | a PUT keeps no older version, nor a DELETE a copy, nor did they once | likewise; as far as the store tells |
//!
//! Listings are not relied on and not asked for. The one name it writes lies below `check/` and is deleted at the end;
//! a process that ends in between leaves 4 KiB of nothing there.

use super::{Name, ObjectError, Objects};

/// Why a store is not fit to hold what a vault entrusts to it.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// There is no such bucket.
    #[error("there is no such bucket")]
    NoBucket(#[source] ObjectError),
    /// The clocks differ too much for signed requests.
    #[error("the object store refuses signed requests: this machine's clock and the store's are too far apart")]
    ClockSkew(#[source] ObjectError),
    /// The credentials are unknown or wrong.
    #[error("the object store does not accept the credentials")]
    Credentials(#[source] ObjectError),
    /// The credentials do not allow what the vault does.
    #[error(
        "may not {0}: the vault needs s3:GetObject, s3:PutObject and s3:DeleteObject on its prefix, and s3:ListBucket on the bucket so that what is absent is answered 404"
    )]
    Denied(&'static str, #[source] ObjectError),
    /// The region is another one.
    #[error("the bucket is in another region; set objects.region")]
    Region(#[source] ObjectError),
    /// It does not do what it should, or cannot be reached.
    #[error("the object store cannot {0}")]
    Cannot(&'static str, #[source] ObjectError),
    /// It does something else than it should.
    #[error("this store is not fit for a vault: {0}")]
    Wrong(&'static str),
    /// Old versions stay after a delete.
    #[error(
        "the bucket keeps old versions: what the vault deletes would stay readable there. Use a bucket without versioning; or let a lifecycle rule remove noncurrent versions, count its days into every erasure, and set objects.acknowledge_versioning = true"
    )]
    Versioned,
    /// Versioning was on once.
    #[error(
        "the bucket's versioning is suspended: what was written while it was on keeps its old versions, and a delete does not reach them. Use a bucket that never had versioning; or remove the old versions, and set objects.acknowledge_versioning = true"
    )]
    Suspended,
}

const FIRST: [u8; 4096] = pattern();
const SECOND: &[u8] = b"replaced";

/// Bytes of which no two neighbouring ranges are alike.
const fn pattern() -> [u8; 4096] {
    let mut bytes = [0; 4096];
    let mut at = 0;
    while at < bytes.len() {
        // Modulo a prime, so that it fits.
        bytes[at] = (at % 251) as u8;
        at += 1;
    }
    bytes
}

impl Objects {
    /// Asks all of it, in some ten requests. `versions` acknowledges a bucket that keeps old versions.
    pub async fn check(&self, versions: bool) -> Result<(), Unfit> {
        let name = Name::check();
        let outcome = self.asked(&name, versions).await;
        if outcome.is_err() {
            // Best effort: a store that failed a question may fail this one too.
            let _ = self.delete(&name).await;
        }
        outcome
    }

    async fn asked(&self, name: &Name, versions: bool) -> Result<(), Unfit> {
        self.absent(name, "it answers for a name that nobody has written").await?;
        let version = self.put_told(name, FIRST.to_vec()).await.map_err(|e| told("write", e))?;
        match version.as_deref() {
            _ if versions => {}
            // What is written now is deleted for good, under this one name for its version; but versioning cannot have been
            // suspended without having been on, perhaps by an earlier vault's or this one's parts.
            Some("null") => return Err(Unfit::Suspended),
            Some(_) => return Err(Unfit::Versioned),
            None => {}
        }
        self.reads(name, &FIRST, "a name just written cannot be read whole at once").await?;
        self.ranges(name).await?;
        self.put(name, SECOND.to_vec()).await.map_err(|e| told("replace", e))?;
        self.reads(name, SECOND, "a name just replaced still reads as before").await?;
        self.delete(name).await.map_err(|e| told("delete", e))?;
        self.absent(name, "a name just deleted is still there").await?;
        self.delete(name).await.map_err(|e| told("delete what is absent", e))
    }

    async fn absent(&self, name: &Name, otherwise: &'static str) -> Result<(), Unfit> {
        match self.get(name).await {
            Err(ObjectError::Missing) => {}
            Err(e) => return Err(told("read", e)),
            Ok(_) => return Err(Unfit::Wrong(otherwise)),
        }
        match self.exists(name).await {
            Ok(false) => Ok(()),
            Err(e) => Err(told("tell that a name is absent", e)),
            Ok(true) => Err(Unfit::Wrong(otherwise)),
        }
    }

    async fn reads(&self, name: &Name, expected: &[u8], otherwise: &'static str) -> Result<(), Unfit> {
        let read = match self.get(name).await {
            Ok(read) => read,
            Err(ObjectError::Missing) => return Err(Unfit::Wrong(otherwise)),
            Err(e) => return Err(told("read", e)),
        };
        let length = self.length(name).await.map_err(|e| told("tell the length of an object", e))?;
        if read != expected || length != expected.len() as u64 {
            return Err(Unfit::Wrong(otherwise));
        }
        Ok(())
    }

    async fn ranges(&self, name: &Name) -> Result<(), Unfit> {
        let whole = FIRST.len() as u64;
        for (start, end) in [(0, 1), (7, 1000), (FIRST.len() - 1, FIRST.len()), (0, FIRST.len())] {
            match self.get_range(name, start as u64..end as u64).await {
                Ok(read) if FIRST.get(start..end) == Some(&*read) => {}
                // All of an object instead of a piece comes out as short, too.
                Ok(_) | Err(ObjectError::Short) => return Err(Unfit::Wrong("a range is not answered exactly")),
                Err(e) => return Err(told("read a range", e)),
            }
        }
        for beyond in [whole - 1..whole + 1, whole..whole + 1] {
            match self.get_range(name, beyond).await {
                Err(ObjectError::Short) => {}
                Err(e) => return Err(told("tell that a range is beyond the end of an object", e)),
                Ok(_) => return Err(Unfit::Wrong("a range beyond the end of an object is not told as one")),
            }
        }
        Ok(())
    }
}

/// What a refusal means, by the code that S3 gives in its answer's body. A HEAD has none.
fn told(act: &'static str, e: ObjectError) -> Unfit {
    let mut text = String::new();
    let mut next: Option<&dyn core::error::Error> = Some(&e);
    while let Some(cause) = next {
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    let says = |codes: &[&str]| codes.iter().any(|code| text.contains(code));
    if says(&["RequestTimeTooSkewed", "RequestExpired"]) {
        Unfit::ClockSkew(e)
    } else if says(&["NoSuchBucket"]) {
        Unfit::NoBucket(e)
    } else if says(&["InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "ExpiredToken", "status code: 401"])
    {
        Unfit::Credentials(e)
    } else if says(&["PermanentRedirect", "AuthorizationHeaderMalformed", "incorrectly configured region"]) {
        Unfit::Region(e)
    } else if says(&["AccessDenied", "status code: 403"]) {
        Unfit::Denied(act, e)
    } else {
        Unfit::Cannot(act, e)
    }
}
