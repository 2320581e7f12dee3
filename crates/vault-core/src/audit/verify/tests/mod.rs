//! The verifier against a log in memory, whole and tampered with in every way we could think of.

mod successions;

use std::collections::BTreeMap;
use std::convert::Infallible;

use proptest::prelude::*;

use super::*;
use crate::audit::bundle::{self, Header};
use crate::audit::checkpoint::CheckpointSigner;
use crate::audit::entry::{Draft, PlaybackOpened, Prepared, RecordErased};
use crate::audit::slot::{Opening, OpeningKeys, OpeningUnder, SlotName};
use crate::keys::hierarchy::{LogSeed, StaffAuditKey};

/// A log held whole, shown as it is or as a test bent it.
#[derive(Clone)]
struct Log {
    signer: std::sync::Arc<CheckpointSigner>,
    checkpoint: String,
    entries: Vec<Vec<u8>>,
    tiles: BTreeMap<Tile, Vec<u8>>,
    openings: BTreeMap<(u64, SlotName), Kept>,
    complete: bool,
    has_tiles: bool,
}

#[derive(Clone)]
enum Kept {
    Here { salt: [u8; 32], value: String },
    Erased,
    Withheld,
}

impl Log {
    fn of(entries: u64) -> Self {
        let signer = CheckpointSigner::new("log.example/v", &LogSeed::generate()).expect("a valid origin");
        let mut log = Self {
            signer: std::sync::Arc::new(signer),
            checkpoint: String::new(),
            entries: Vec::new(),
            tiles: BTreeMap::new(),
            openings: BTreeMap::new(),
            complete: true,
            has_tiles: true,
        };
        for n in 0..entries {
            log.append(&prepared(n));
        }
        log.publish();
        log
    }

    fn append<E: crate::audit::entry::EntryKind>(&mut self, prepared: &Prepared<E>) {
        let index = self.entries.len() as u64;
        self.entries.push(prepared.entry().to_vec());
        for opening in prepared.openings() {
            let kept = Kept::Here { salt: *opening.salt(), value: opening.value().to_owned() };
            self.openings.insert((index, opening.slot()), kept);
        }
    }

    /// Tiles and a signed checkpoint of what there is.
    fn publish(&mut self) {
        self.tiles.clear();
        let mut rows = Rows::default();
        for entry in &self.entries {
            rows.append(Hash::leaf(entry), |tile, hashes| {
                self.tiles.insert(tile, hashes.iter().flat_map(|h| *h.as_bytes()).collect());
            });
        }
        let size = self.size();
        for tile in Tile::new_since(0, size) {
            let bytes = match tile.kind {
                Kind::Entries => {
                    let mut bundle = Vec::new();
                    for entry in self.entries.iter().skip(tile.index as usize * 256).take(tile.width.into()) {
                        tile::push_entry(&mut bundle, entry).expect("short");
                    }
                    bundle
                }
                Kind::Hashes(_) if tile.is_full() => continue,
                Kind::Hashes(level) => {
                    let hashes = rows.partial(level, tile.width).expect("held");
                    hashes.iter().flat_map(|h| *h.as_bytes()).collect()
                }
            };
            self.tiles.insert(tile, bytes);
        }
        self.checkpoint = self.signer.sign(size, rows.root()).note().to_owned();
    }

    fn size(&self) -> u64 {
        self.entries.len() as u64
    }

    fn verify(&mut self, known: &[String]) -> Report {
        let key = self.signer.verifier().clone();
        match verify(self, &key, known, |_, _| ()) {
            Ok(report) => report,
            Err(never) => match never {},
        }
    }

    fn codes(&mut self, known: &[String]) -> Vec<&'static str> {
        self.verify(known).findings.iter().map(Finding::code).collect()
    }
}

impl Source for Log {
    type Error = Infallible;

    fn checkpoint(&mut self) -> Result<String, Infallible> {
        Ok(self.checkpoint.clone())
    }

    fn entries(&mut self, bundle: Tile) -> Result<Option<Vec<u8>>, Infallible> {
        Ok(self.tiles.get(&bundle).cloned())
    }

    fn has_tiles(&self) -> bool {
        self.has_tiles
    }

    fn hashes(&mut self, tile: Tile) -> Result<Option<Vec<u8>>, Infallible> {
        Ok(self.tiles.get(&tile).cloned())
    }

    fn openings(&mut self, first: u64, end: u64) -> Result<Vec<Shown>, Infallible> {
        let range = (first, SlotName::ALL[0])..(end, SlotName::ALL[0]);
        let shown = self.openings.range(range).map(|((index, slot), kept)| Shown {
            index: *index,
            slot: *slot,
            claim: match kept {
                Kept::Here { salt, value } => Claim::Opened(Opening::from_parts(*slot, *salt, value.clone())),
                Kept::Erased => Claim::Erased,
                Kept::Withheld => Claim::Withheld,
            },
        });
        Ok(shown.collect())
    }

    fn is_complete(&self) -> bool {
        self.complete
    }
}

fn at(n: u64) -> Timestamp {
    Timestamp::from_millis(1_790_000_000_000 + i64::try_from(n).unwrap() * 1_000)
}

fn keys() -> StaffAuditKey {
    StaffAuditKey::generate()
}

fn prepared(n: u64) -> Prepared<PlaybackOpened> {
    Draft::new(at(n))
        .data("number", n)
        .slot(SlotName::Staff, format!("person {n}"), OpeningUnder::Staff)
        .slot(SlotName::Reason, "because".to_owned(), OpeningUnder::Staff)
        .prepare(&OpeningKeys { staff: &keys(), record: None })
        .expect("a valid draft")
}

fn erasing(n: u64, pairs: &[(u64, SlotName)]) -> Prepared<RecordErased> {
    let pairs: Vec<String> = pairs.iter().map(|(index, slot)| erased_pair(*index, *slot)).collect();
    Draft::new(at(n)).data(ERASED, pairs).prepare(&OpeningKeys { staff: &keys(), record: None }).expect("a valid draft")
}

#[test]
fn p9_a_whole_log_has_no_findings_at_any_size() {
    for size in [0, 1, 2, 255, 256, 257, 600] {
        let mut log = Log::of(size);
        let report = log.verify(&[]);
        assert_eq!(report.findings, [], "{size}");
        assert_eq!((report.entries, report.slots.opened), (size, 2 * size));
        assert_eq!(report.checkpoint.map(|c| c.size()), Some(size));
        assert!(report.warnings.is_empty());
    }
}

#[test]
fn p9_every_checkpoint_seen_before_is_found_to_be_a_beginning() {
    let mut log = Log::of(0);
    let mut known = vec![log.checkpoint.clone()];
    for n in 0..300 {
        log.append(&prepared(n));
        log.publish();
        known.push(log.checkpoint.clone());
    }
    let report = log.verify(&known);
    assert_eq!((report.findings.as_slice(), report.known_extended), ([].as_slice(), 301));
}

#[test]
fn p9_truncation_is_found_with_a_checkpoint_seen_before() {
    let mut log = Log::of(300);
    let known = log.checkpoint.clone();
    log.entries.truncate(299);
    log.openings.retain(|(index, _), _| *index < 299);
    log.publish();
    assert_eq!(log.verify(&[known]).findings, [Finding::Truncated { known: 300, size: 299 }]);
}

#[test]
fn p9_a_fork_signed_by_the_log_itself_is_found() {
    for changed in [0, 254, 255, 256, 299] {
        let mut log = Log::of(300);
        let known = log.checkpoint.clone();
        // The operator rewrites history and signs it anew, then goes on.
        log.openings.retain(|(index, _), _| *index != changed as u64);
        log.entries[changed] = erasing(changed as u64, &[]).entry().to_vec();
        log.append(&prepared(300));
        log.publish();
        assert_eq!(log.verify(&[known]).findings, [Finding::Fork { size: 300 }]);
    }
}

#[test]
fn p9_edits_and_reordering_are_named_by_their_entries() {
    let mut log = Log::of(300);
    let bundle = Tile { kind: Kind::Entries, index: 0, width: WIDTH };
    let rebundle = |entries: &[Vec<u8>]| {
        let mut bytes = Vec::new();
        entries.iter().for_each(|entry| tile::push_entry(&mut bytes, entry).expect("short"));
        bytes
    };
    let mut edited = log.entries[..256].to_vec();
    edited[17] = erasing(17, &[]).entry().to_vec();
    log.tiles.insert(bundle, rebundle(&edited));
    log.openings.retain(|(index, _), _| *index != 17);
    assert_eq!(log.verify(&[]).findings, [Finding::WrongRoot { size: 300 }, Finding::EntryEdited { index: 17 }]);

    let mut log = Log::of(300);
    let mut moved = log.entries[..256].to_vec();
    moved.swap(3, 200);
    log.tiles.insert(bundle, rebundle(&moved));
    let findings = log.verify(&[]).findings;
    assert!(findings.contains(&Finding::EntryMoved { index: 3, belongs: 200 }), "{findings:?}");
    assert!(findings.contains(&Finding::EntryMoved { index: 200, belongs: 3 }), "{findings:?}");

    // Without tiles the root alone tells.
    log.has_tiles = false;
    assert!(log.codes(&[]).contains(&"wrong_root"));
}

#[test]
fn p9_tiles_that_lie_are_told_from_entries_that_do() {
    let whole = Log::of(600);
    for tile in [Tile::full(0, 1), Tile { width: 88, ..Tile::full(0, 2) }, Tile { width: 2, ..Tile::full(1, 0) }] {
        let mut log = whole.clone();
        log.tiles.get_mut(&tile).expect("published")[40 % 32] ^= 1;
        assert_eq!(log.verify(&[]).findings, [Finding::TileWrong(tile)]);
        log.tiles.get_mut(&tile).expect("published").push(0);
        assert_eq!(log.verify(&[]).findings, [Finding::ResourceMalformed(tile)]);
        log.tiles.remove(&tile);
        assert_eq!(log.verify(&[]).findings, [Finding::ResourceMissing(tile)]);
    }
    let mut log = whole.clone();
    log.tiles.remove(&Tile { kind: Kind::Entries, ..Tile::full(0, 1) });
    // Their tile still leads to the root: the entries are missing, the rest of the log stands.
    let findings = log.verify(&[]).findings;
    assert!(findings.contains(&Finding::ResourceMissing(Tile { kind: Kind::Entries, ..Tile::full(0, 1) })));
    assert!(!findings.iter().any(|f| matches!(f, Finding::WrongRoot { .. })), "{findings:?}");
}

#[test]
fn p9_another_key_another_origin_and_a_broken_signature_stop_everything() {
    let mut log = Log::of(3);
    let other = CheckpointSigner::new("log.example/v", &LogSeed::generate()).expect("a valid origin");
    let Ok(report) = verify(&mut log, other.verifier(), &[], |_, _| ());
    assert_eq!(report.findings.iter().map(Finding::code).collect::<Vec<_>>(), ["bad_checkpoint"]);
    assert_eq!(report.entries, 0);
    let foreign = other.sign(3, Hash::EMPTY_ROOT).note().to_owned();
    assert_eq!(log.codes(&[foreign]), ["bad_known_checkpoint"]);
}

#[test]
fn p9_committed_bytes_that_are_no_entry_are_found() {
    let mut log = Log::of(3);
    log.entries.push(b"{\"at\": 1}".to_vec());
    log.publish();
    assert_eq!(log.codes(&[]), ["entry_invalid"]);
}

#[test]
fn p8_erasing_an_opening_leaves_the_tree_whole() {
    let mut log = Log::of(20);
    let before = log.checkpoint.clone();
    let pairs = [(4, SlotName::Staff), (4, SlotName::Reason), (9, SlotName::Reason)];
    log.append(&erasing(20, &pairs));
    log.publish();
    for pair in pairs {
        log.openings.insert(pair, Kept::Erased);
    }
    let report = log.verify(&[before]);
    assert_eq!(report.findings, []);
    assert_eq!(report.slots, Counts { opened: 37, withheld: 0, erased: 3, missing: 0 });
    // Not shown at all is erased too: an entry says so.
    log.openings.remove(&(9, SlotName::Reason));
    assert_eq!(log.verify(&[]).slots.erased, 3);
}

#[test]
fn p8_an_opening_of_what_was_erased_is_a_finding() {
    let mut log = Log::of(5);
    log.append(&erasing(5, &[(2, SlotName::Staff)]));
    log.publish();
    assert_eq!(log.verify(&[]).findings, [Finding::ErasureUndone { index: 2, slot: SlotName::Staff, by: 5 }]);
}

#[test]
fn openings_are_opened_withheld_erased_or_missing() {
    let slot = SlotName::Staff;
    let mut log = Log::of(5);
    log.openings.insert((1, slot), Kept::Erased);
    assert_eq!(log.verify(&[]).findings, [Finding::ErasureUnexplained { index: 1, slot }]);
    log.openings.insert((1, slot), Kept::Withheld);
    assert_eq!((log.verify(&[]).findings.as_slice(), log.verify(&[]).slots.withheld), ([].as_slice(), 1));
    log.openings.remove(&(1, slot));
    assert_eq!(log.verify(&[]).findings, [Finding::OpeningMissing { index: 1, slot }]);
    log.complete = false;
    assert_eq!((log.verify(&[]).findings.as_slice(), log.verify(&[]).slots.withheld), ([].as_slice(), 1));
    log.openings.insert((1, slot), Kept::Here { salt: [0; 32], value: "someone else".into() });
    assert_eq!(log.verify(&[]).findings, [Finding::OpeningWrong { index: 1, slot }]);
    log.openings.insert((1, SlotName::Grant), Kept::Withheld);
    assert!(log.verify(&[]).findings.contains(&Finding::OpeningForeign { index: 1, slot: SlotName::Grant }));
    // An entry cannot erase what comes after it.
    let mut log = Log::of(0);
    log.append(&erasing(0, &[(1, slot)]));
    log.append(&prepared(1));
    log.publish();
    assert_eq!(log.verify(&[]).slots.opened, 2);
    assert_eq!(log.verify(&[]).findings, []);
}

#[test]
fn time_going_backwards_is_a_warning_and_no_finding() {
    let mut log = Log::of(5);
    log.append(&prepared(1));
    log.publish();
    let report = log.verify(&[]);
    assert_eq!(report.warnings, [Warning::TimeWentBack { index: 5, millis: 3_000 }]);
    assert!(report.is_clean());
}

#[test]
fn an_export_holds_the_entries_to_the_byte_and_what_is_shown_of_their_slots() {
    let mut log = Log::of(3);
    log.openings.insert((1, SlotName::Staff), Kept::Withheld);
    let shown = log.openings(1, 2).unwrap();
    let line = bundle::entry_line(&log.entries[1], &shown).expect("an entry");
    let (entry, back) = bundle::parse_line(1, line.trim_end()).expect("reads back");
    assert_eq!(entry, log.entries[1]);
    assert!(
        matches!(&back[..], [Shown { claim: Claim::Opened(o), .. }, Shown { claim: Claim::Withheld, .. }] if o.value() == "because")
    );
    let header = Header::new(log.checkpoint.clone(), true);
    assert_eq!(Header::parse(header.to_line().unwrap().trim_end()), Ok(header));
    for bad in ["", "{}", "{\"format\":\"x\",\"checkpoint\":\"\",\"complete\":true}"] {
        assert!(Header::parse(bad).is_err());
        assert!(bundle::parse_line(0, bad).is_err());
    }
    for (from, to) in
        [("\"opened\"", "\"withheld\""), ("\"slot\":\"reason\"", "\"slot\":\"raisin\""), ("\"salt\"", "\"pepper\"")]
    {
        assert!(bundle::parse_line(1, &line.trim_end().replacen(from, to, 1)).is_err(), "{from}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Any flipped bit in any resource, and in any opening, is found.
    #[test]
    fn p9_any_flipped_bit_is_found(which in any::<prop::sample::Index>(), byte in any::<prop::sample::Index>(), bit in 0_u8..8) {
        thread_local!(static WHOLE: Log = Log::of(300));
        let mut log = WHOLE.with(Log::clone);
        let resources: Vec<Tile> = log.tiles.keys().copied().collect();
        let slots: Vec<(u64, SlotName)> = log.openings.keys().copied().collect();
        match which.index(resources.len() + 2) {
            0 => {
                let mut note = log.checkpoint.clone().into_bytes();
                let at = byte.index(note.len());
                note[at] ^= 1 << bit;
                // A note that is no text never reaches the verifier.
                prop_assume!(String::from_utf8(note.clone()).is_ok());
                log.checkpoint = String::from_utf8(note).unwrap();
            }
            1 => {
                let slot = slots[byte.index(slots.len())];
                let Some(Kept::Here { salt, .. }) = log.openings.get_mut(&slot) else { unreachable!() };
                salt[usize::from(bit)] ^= 1 << bit;
            }
            n => {
                let bytes = log.tiles.get_mut(&resources[n - 2]).unwrap();
                let at = byte.index(bytes.len());
                bytes[at] ^= 1 << bit;
            }
        }
        prop_assert!(!log.verify(&[]).is_clean());
    }
}
