//! The offline verifier: given the public key and any checkpoint seen before, it finds edits, reordering, truncation and
//! forks, and checks every opening it is shown (promise 9; `docs/audit-log.md` §8).
//!
//! It trusts nothing of its [`Source`], and holds one bundle of entries at a time; [`verify_with`] holds as many as it is
//! told to, for callers who have threads to look into them side by side.

mod bundle;
mod finding;
mod openings;
mod succession;

#[cfg(test)]
mod tests;

pub use bundle::{Checked, Job, Read, Unread};
pub use finding::{Finding, Warning};
pub use openings::{Claim, Counts, ERASED, LOG_SIZE, REPLAYED, Shown, erased_pair, erased_portions, listed_as_erased};
pub use succession::Predecessor;

use openings::Openings;
use succession::{Foreign, Successions};

use crate::audit::checkpoint::VerifiedCheckpoint;
use crate::audit::merkle::Hash;
use crate::audit::note::VerifierKey;
use crate::audit::tile::{self, Kind, Rows, Tile, WIDTH};
use crate::time::Timestamp;

/// How far clocks of nodes may differ before it is worth a warning.
const CLOCK_TOLERANCE_MILLIS: u64 = 2_000;

/// Findings of one kind of damage can be as many as there are entries; beyond this many they are only counted.
const MAX_FINDINGS: usize = 1_000;

/// Where a log is read from: a server, a directory, an export.
pub trait Source {
    /// Why something cannot be read. Not a finding: a source that cannot be read proves nothing.
    type Error;

    /// The checkpoint, as a signed note.
    fn checkpoint(&mut self) -> Result<String, Self::Error>;

    /// A bundle of entries; `None` when the source says that it is not there.
    fn entries(&mut self, bundle: Tile) -> Result<Option<Vec<u8>>, Self::Error>;

    /// Whether the source has tiles of hashes to check. An export has none: the entries are enough.
    fn has_tiles(&self) -> bool;

    /// A tile of hashes; `None` when the source says that it is not there.
    fn hashes(&mut self, tile: Tile) -> Result<Option<Vec<u8>>, Self::Error>;

    /// What is shown of the openings of entries `first..end`.
    fn openings(&mut self, first: u64, end: u64) -> Result<Vec<Shown>, Self::Error>;

    /// A bundle of entries with what is shown of their openings. A source that has much to understand in what it read
    /// leaves that to the answer, which may be called on another thread.
    fn bundle(&mut self, bundle: Tile) -> Result<Unread, Self::Error> {
        let first = bundle.index * u64::from(WIDTH);
        let entries = self.entries(bundle)?;
        let shown = self.openings(first, first + u64::from(bundle.width))?;
        Ok(Box::new(move || (entries, shown)))
    }

    /// Whether the source holds more entries than the checkpoint covers. Asked last. A server always may.
    fn has_surplus(&mut self) -> Result<bool, Self::Error> {
        Ok(false)
    }

    /// Whether the source declares that it withholds nothing: then an opening that is not shown is missing.
    fn is_complete(&self) -> bool;
}

/// What was verified and what was found.
#[derive(Debug, Default)]
pub struct Report {
    /// The checkpoint, if it can be believed.
    pub checkpoint: Option<VerifiedCheckpoint>,
    /// Checkpoints seen before that the log extends.
    pub known_extended: u64,
    /// The logs that this one succeeds, the first of them first.
    pub predecessors: Vec<Predecessor>,
    /// Entries read and parsed.
    pub entries: u64,
    /// Slots by what is known of them.
    pub slots: Counts,
    /// What was found, at most a thousand.
    pub findings: Vec<Finding>,
    /// How many findings there were in all.
    pub findings_total: u64,
    /// What is odd.
    pub warnings: Vec<Warning>,
}

impl Report {
    /// Whether nothing was found.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.findings_total == 0
    }

    /// Holds the log against the key of a predecessor that the caller knows: one that it does not name is a finding.
    pub fn expect_predecessor(&mut self, key: &VerifierKey) {
        if !self.predecessors.iter().any(|predecessor| predecessor.key == *key) {
            self.found(Finding::PredecessorMissing);
        }
    }

    fn found(&mut self, finding: Finding) {
        self.findings_total += 1;
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(finding);
        }
    }
}

/// Verifies the log of `key` as `source` shows it, against checkpoints `known` from before (signed notes). `progress`
/// is told entries done and entries in all.
pub fn verify<S: Source>(
    source: &mut S,
    key: &VerifierKey,
    known: &[String],
    progress: impl FnMut(u64, u64),
) -> Result<Report, S::Error> {
    verify_with(source, key, known, progress, 1, |jobs| || jobs.into_iter().map(Job::run).collect())
}

/// As [`verify`], with up to three times `at_once` bundles in memory. `crew` begins to look into `at_once` of them, each
/// job in any way, and what it answers waits for them, in their order; meanwhile the next are read and those before them
/// are put into the tree.
pub fn verify_with<S: Source, W: FnOnce() -> Vec<Checked>>(
    source: &mut S,
    key: &VerifierKey,
    known: &[String],
    mut progress: impl FnMut(u64, u64),
    at_once: usize,
    mut crew: impl FnMut(Vec<Job>) -> W,
) -> Result<Report, S::Error> {
    let mut report = Report::default();
    let checkpoint = match key.verify_checkpoint(&source.checkpoint()?) {
        Ok(checkpoint) => checkpoint,
        Err(e) => {
            report.found(Finding::Checkpoint(e));
            return Ok(report);
        }
    };
    let size = checkpoint.size();
    let (known, foreign) = believed(key, known, size, &mut report);
    let mut walk = Walk::new(report);
    walk.successions.watch(&foreign);
    let mut bundles = (0..size.div_ceil(u64::from(WIDTH))).map_while(|n| Tile::of_size(Kind::Entries, n, size));
    let mut under_way: Option<W> = None;
    loop {
        let mut jobs = Vec::new();
        for bundle in bundles.by_ref().take(at_once.max(1)) {
            jobs.push(Job::new(bundle, source.bundle(bundle)?));
        }
        let begun = (!jobs.is_empty()).then(|| crew(jobs));
        let Some(done) = core::mem::replace(&mut under_way, begun) else {
            if under_way.is_none() {
                break;
            }
            continue;
        };
        for checked in done() {
            let bundle = checked.bundle;
            walk.bundle(source, checked, size, &known)?;
            progress((bundle.index * u64::from(WIDTH) + u64::from(bundle.width)).min(size), size);
        }
    }
    for at in known.iter().filter(|k| k.size() == 0) {
        walk.check_known(at, Hash::EMPTY_ROOT);
    }
    if source.has_surplus()? {
        walk.report.found(Finding::Surplus { size });
    }
    core::mem::take(&mut walk.successions).finish(key, foreign, &mut walk.report);
    Ok(walk.finish(checkpoint, source.is_complete()))
}

/// Those of the known checkpoints that can be believed and that the log is long enough for; and those of another key, which
/// may be a predecessor's.
fn believed(
    key: &VerifierKey,
    known: &[String],
    size: u64,
    report: &mut Report,
) -> (Vec<VerifiedCheckpoint>, Vec<Foreign>) {
    let (mut believed, mut foreign) = (Vec::new(), Vec::new());
    for note in known {
        match key.verify_checkpoint(note) {
            Err(why_not) => foreign.push(Foreign { note: note.clone(), why_not }),
            Ok(checkpoint) if checkpoint.size() > size => {
                report.found(Finding::Truncated { known: checkpoint.size(), size });
            }
            Ok(checkpoint) => believed.push(checkpoint),
        }
    }
    (believed, foreign)
}

/// The tree by the entries and the tree by the tiles: one until they differ.
#[derive(Default)]
struct Trees {
    by_entries: Rows,
    by_tiles: Option<Rows>,
}

struct Walk {
    report: Report,
    trees: Trees,
    openings: Openings,
    successions: Successions,
    last: Option<Timestamp>,
    /// Entries whose hash is not that of the lowest tile. Which of the two is wrong, the root tells.
    doubted: Vec<Doubt>,
    /// Tiles above the lowest that differ from the tree by the entries, and whether they fit the tree by the tiles.
    doubted_tiles: Vec<(Tile, bool)>,
}

struct Doubt {
    index: u64,
    by_entry: Hash,
    by_tile: Hash,
}

impl Walk {
    fn new(report: Report) -> Self {
        Self {
            report,
            trees: Trees::default(),
            openings: Openings::default(),
            successions: Successions::default(),
            last: None,
            doubted: Vec::new(),
            doubted_tiles: Vec::new(),
        }
    }

    fn bundle<S: Source>(
        &mut self,
        source: &mut S,
        checked: Checked,
        size: u64,
        known: &[VerifiedCheckpoint],
    ) -> Result<(), S::Error> {
        let Checked { bundle, resource, leaves, times, findings, openings, started } = checked;
        let first = bundle.index * u64::from(WIDTH);
        let end = first + u64::from(bundle.width);
        resource.into_iter().for_each(|finding| self.report.found(finding));
        let lowest = Tile { kind: Kind::Hashes(0), ..bundle };
        let by_tile = if source.has_tiles() { self.tile(source, lowest)? } else { None };

        // Without its entries a bundle's place in the tree is still known by its tile.
        let unknown = vec![Hash::EMPTY_ROOT; usize::from(bundle.width)];
        let by_entry = leaves.as_ref().or(by_tile.as_ref()).unwrap_or(&unknown);
        let by_tile = by_tile.as_ref().unwrap_or(by_entry);
        if by_tile != by_entry {
            self.trees.by_tiles.get_or_insert_with(|| self.trees.by_entries.clone());
            let differing = (first..).zip(by_entry.iter().zip(by_tile)).filter(|(_, (entry, tile))| entry != tile);
            self.doubted.extend(differing.map(|(index, (by_entry, by_tile))| Doubt {
                index,
                by_entry: *by_entry,
                by_tile: *by_tile,
            }));
        }
        let mut by_entries = Vec::new();
        let mut started = started.into_iter().peekable();
        for (index, leaf) in (first..).zip(by_entry) {
            if let Some((_, started)) = started.next_if(|(at, _)| *at == index) {
                self.successions.started(index, self.trees.by_entries.root(), started, &mut self.report);
            }
            self.trees.by_entries.append(*leaf, |tile, hashes| by_entries.push((tile, hashes.to_vec())));
            for at in known.iter().filter(|k| k.size() == index + 1) {
                let root = self.trees.by_entries.root();
                self.check_known(at, root);
            }
            self.successions.note_root(index + 1, || self.trees.by_entries.root());
        }
        let mut by_tiles = Vec::new();
        if let Some(tree) = &mut self.trees.by_tiles {
            for leaf in by_tile {
                tree.append(*leaf, |tile, hashes| by_tiles.push((tile, hashes.to_vec())));
            }
        }
        if end == size {
            edge(&self.trees.by_entries, &mut by_entries);
            self.trees.by_tiles.iter().for_each(|tree| edge(tree, &mut by_tiles));
        }
        if source.has_tiles() {
            // The lowest tile is held against the entries one by one.
            for (tile, expected) in by_entries.iter().filter(|(tile, _)| tile.kind != Kind::Hashes(0)) {
                let Some(hashes) = self.tile(source, *tile)? else { continue };
                if hashes != *expected {
                    let fits = by_tiles.iter().any(|(other, expected)| other == tile && hashes == *expected);
                    self.doubted_tiles.push((*tile, fits));
                }
            }
        }
        for (index, at) in times {
            self.time(index, at);
            self.report.entries += 1;
        }
        findings.into_iter().for_each(|finding| self.report.found(finding));
        self.openings.absorb(openings);
        Ok(())
    }

    fn tile<S: Source>(&mut self, source: &mut S, tile: Tile) -> Result<Option<Vec<Hash>>, S::Error> {
        Ok(match source.hashes(tile)?.map(|bytes| tile::hashes(tile, &bytes)) {
            Some(Ok(hashes)) => Some(hashes),
            Some(Err(_)) => {
                self.report.found(Finding::ResourceMalformed(tile));
                None
            }
            None => {
                self.report.found(Finding::ResourceMissing(tile));
                None
            }
        })
    }

    fn check_known(&mut self, known: &VerifiedCheckpoint, root: Hash) {
        if *known.root() == root {
            self.report.known_extended += 1;
        } else {
            self.report.found(Finding::Fork { size: known.size() });
        }
    }

    fn time(&mut self, index: u64, at: Timestamp) {
        if let Some(last) = self.last {
            let back = u64::try_from(last.since(at).as_millis()).unwrap_or(u64::MAX);
            if back > CLOCK_TOLERANCE_MILLIS && self.report.warnings.len() < MAX_FINDINGS {
                self.report.warnings.push(Warning::TimeWentBack { index, millis: back });
            }
        }
        self.last = Some(at);
    }

    /// Holds the trees against the signed root and says which of two differing copies is the wrong one.
    fn finish(mut self, checkpoint: VerifiedCheckpoint, complete: bool) -> Report {
        let entries_lead = self.trees.by_entries.root() == *checkpoint.root();
        let tiles_lead = self.trees.by_tiles.as_ref().is_some_and(|tree| tree.root() == *checkpoint.root());
        if !entries_lead {
            self.report.found(Finding::WrongRoot { size: checkpoint.size() });
        }
        for (tile, fits) in core::mem::take(&mut self.doubted_tiles) {
            if !(fits && tiles_lead) {
                self.report.found(Finding::TileWrong(tile));
            }
        }
        let mut wrong_tile = None;
        for doubt in &self.doubted {
            if entries_lead {
                let tile = Tile::of_size(Kind::Hashes(0), doubt.index / u64::from(WIDTH), checkpoint.size());
                if tile != wrong_tile {
                    wrong_tile = tile;
                    tile.into_iter().for_each(|tile| self.report.found(Finding::TileWrong(tile)));
                }
                continue;
            }
            let belongs = self.doubted.iter().find(|other| other.by_tile == doubt.by_entry);
            match belongs.filter(|_| tiles_lead) {
                Some(other) => self.report.found(Finding::EntryMoved { index: doubt.index, belongs: other.index }),
                None => self.report.found(Finding::EntryEdited { index: doubt.index }),
            }
        }
        let report = &mut self.report;
        let (slots, lost) = self.openings.finish(complete, |finding| report.found(finding));
        self.report.slots = slots;
        let lost = lost.into_iter().map(|l| Warning::OpeningsLost { first: l.first, last: l.end - 1, by: l.by });
        self.report.warnings.extend(lost);
        self.report.checkpoint = Some(checkpoint);
        self.report
    }
}

/// The partial tiles at a tree's right edge.
fn edge(tree: &Rows, tiles: &mut Vec<(Tile, Vec<Hash>)>) {
    for level in 0_u8..8 {
        let index = Tile::level_width(tree.size(), level) / u64::from(WIDTH);
        let tile = Tile::of_size(Kind::Hashes(level), index, tree.size());
        if let Some((tile, hashes)) = tile.and_then(|tile| Some((tile, tree.partial(level, tile.width)?))) {
            tiles.push((tile, hashes.to_vec()));
        }
    }
}
