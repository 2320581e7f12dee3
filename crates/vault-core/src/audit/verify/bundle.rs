//! What can be said of one bundle by itself: the expensive part of a verification, which needs nothing of the other
//! bundles and may be done side by side.

use super::Finding;
use super::openings::{Openings, Shown};
use super::succession::Started;
use crate::audit::entry::Entry;
use crate::audit::merkle::Hash;
use crate::audit::tile::{self, Tile, WIDTH};
use crate::time::Timestamp;

/// A bundle's bytes, `None` when the source says that it is not there, and what is shown of its entries' openings.
pub type Read = (Option<Vec<u8>>, Vec<Shown>);

/// A bundle that was read; understanding what was read may wait for whoever looks into it.
pub type Unread = Box<dyn FnOnce() -> Read + Send>;

/// A bundle to look into.
#[must_use = "a bundle that nobody looks into is not verified"]
pub struct Job {
    bundle: Tile,
    read: Unread,
}

/// A bundle that was looked into.
pub struct Checked {
    pub(super) bundle: Tile,
    /// That the bundle is missing or malformed.
    pub(super) resource: Option<Finding>,
    /// The hashes of its entries, when it has the right number of them.
    pub(super) leaves: Option<Vec<Hash>>,
    /// When its valid entries were drafted, by index.
    pub(super) times: Vec<(u64, Timestamp)>,
    pub(super) findings: Vec<Finding>,
    pub(super) openings: Openings,
    /// Entries `log.started`, by index.
    pub(super) started: Vec<(u64, Started)>,
}

impl Job {
    pub(super) const fn new(bundle: Tile, read: Unread) -> Self {
        Self { bundle, read }
    }

    /// Parses, hashes and opens.
    pub fn run(self) -> Checked {
        let Self { bundle, read } = self;
        let (bytes, shown) = read();
        let first = bundle.index * u64::from(WIDTH);
        let (entries, resource) = match bytes.as_deref().map(|bytes| tile::entries(bundle.width, bytes)) {
            Some(Ok(entries)) => (Some(entries), None),
            Some(Err(_)) => (None, Some(Finding::ResourceMalformed(bundle))),
            None => (None, Some(Finding::ResourceMissing(bundle))),
        };
        let leaves = entries.as_ref().map(|entries| entries.iter().map(|entry| Hash::leaf(entry)).collect());
        let entries = entries.unwrap_or_default();
        let (mut times, mut findings) = (Vec::with_capacity(entries.len()), Vec::new());
        let mut parsed = Vec::with_capacity(entries.len());
        let mut started = Vec::new();
        for (index, bytes) in (first..).zip(&entries) {
            match Entry::parse(bytes) {
                Ok(entry) => {
                    times.push((index, entry.at()));
                    started.extend(Started::of(&entry).map(|one| (index, one)));
                    parsed.push(Some(entry));
                }
                Err(e) => {
                    findings.push(Finding::EntryInvalid { index, problem: e.problem });
                    parsed.push(None);
                }
            }
        }
        let mut openings = Openings::default();
        openings.bundle(first, &parsed, &shown, |finding| findings.push(finding));
        Checked { bundle, resource, leaves, times, findings, openings, started }
    }
}
