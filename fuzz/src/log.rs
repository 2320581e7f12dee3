//! The audit log: what a verifier reads from a stranger.
//!
//! Notes are signed here a second time, from c2sp.org/signed-note alone, so that what the vault's own reader takes can
//! be altered under a right signature too.

use core::str;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer as _, SigningKey};
use sha2::{Digest as _, Sha256};
use vault_core::audit::bundle::{self, Header};
use vault_core::audit::checkpoint::Checkpoint;
use vault_core::audit::entry::{Entry, Kind as EntryKind, MAX_ENTRY};
use vault_core::audit::merkle::{Edge, Hash};
use vault_core::audit::note::{MAX_NOTE, VerifierKey};
use vault_core::audit::proof::TlogProof;
use vault_core::audit::slot::{Opening, SlotName};
use vault_core::audit::tile::{self, Kind, Tile, WIDTH};
use vault_core::audit::verify::{Finding, Shown, Source, verify};

use super::{altered, number};

pub(crate) const ORIGIN: &str = "log.example/fuzz";

fn signing_key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

fn key_id(public: &[u8; 32]) -> [u8; 4] {
    let digest = Sha256::new().chain_update(ORIGIN).chain_update([b'\n', 1]).chain_update(public).finalize();
    digest.first_chunk().copied().expect("32 bytes")
}

pub(crate) fn verifier_key() -> VerifierKey {
    let public = signing_key().verifying_key().to_bytes();
    let material = [&[1][..], &public].concat();
    let text = format!("{ORIGIN}+{}+{}", hex::encode(key_id(&public)), STANDARD.encode(material));
    text.parse().expect("a verifier key by the specification")
}

/// `text`, which ends in a newline, signed.
pub(crate) fn signed(text: &str) -> String {
    let key = signing_key();
    let id = key_id(&key.verifying_key().to_bytes());
    let signature = [&id[..], &key.sign(text.as_bytes()).to_bytes()].concat();
    format!("{text}\n\u{2014} {ORIGIN} {}\n", STANDARD.encode(signature))
}

/// An entry: the strict parser takes what a general one takes and writes the same again, no more.
pub fn audit_entry(data: &[u8]) {
    match Entry::parse(data) {
        Ok(entry) => {
            assert!(data.len() <= MAX_ENTRY);
            assert!(entry.slots().windows(2).all(|pair| pair[0].0 < pair[1].0), "slots are in order, none twice");
            let names: Vec<&str> = entry.all_data().map(|(name, _)| name).collect();
            assert!(names.windows(2).all(|pair| pair[0] < pair[1]), "data are in order, none twice");
            let value: serde_json::Value = serde_json::from_slice(data).expect("an entry is JSON");
            let canonical = serde_json_canonicalizer::to_string(&value).expect("it was JSON");
            assert_eq!(canonical.as_bytes(), data, "not in the form of RFC 8785");
            assert_eq!(Entry::parse(data).expect("parsed before"), entry.into_owned());
        }
        Err(e) => assert!(e.at <= data.len(), "{e}"),
    }
}

/// Edges, bundles of entries, openings.
pub fn audit_log(data: &[u8]) {
    if let Ok(mut edge) = Edge::from_bytes(data) {
        assert_eq!(edge.to_bytes(), data);
        if edge.size() < 1 << 62 {
            let before = edge.size();
            edge.append(Hash::leaf(data));
            assert_eq!(edge.size(), before + 1);
            let _ = edge.root();
        }
    }
    for width in [1, 2, WIDTH] {
        if let Ok(entries) = tile::entries(width, data) {
            assert_eq!(entries.len(), usize::from(width));
            let mut again = Vec::new();
            for entry in entries {
                tile::push_entry(&mut again, entry).expect("it was in a bundle");
            }
            assert_eq!(again, data);
        }
        match tile::prefix_len(width, data) {
            Ok(length) => assert!(tile::entries(width, &data[..length]).is_ok()),
            Err(_) => assert!(tile::entries(width, data).is_err()),
        }
    }
    if let Ok(opening) = Opening::from_bytes(SlotName::Record, data) {
        assert_eq!(&opening.to_bytes()[..], data);
        assert!(opening.opens(&opening.commitment()));
    }
}

/// The first eight bytes say where a note is altered, the ninth how; the rest is its text. What was signed is read, and
/// no altered byte of a note is.
pub fn note(data: &[u8]) {
    if let Ok(text) = str::from_utf8(data) {
        if let Ok(key) = text.parse::<VerifierKey>() {
            assert_eq!(key.to_string(), text);
        }
        assert!(verifier_key().verify(text).is_err(), "a note that nobody signed");
    }
    let (at, rest) = number(data);
    let Some((mask, text)) = rest.split_first() else { return };
    let Ok(text) = str::from_utf8(text) else { return };
    let text = format!("{text}\n");
    let note = signed(&text);
    let readable = note.len() <= MAX_NOTE && !text.bytes().any(|c| c < 0x20 && c != b'\n');
    let key = verifier_key();
    assert_eq!(key.verify(&note).ok(), readable.then_some(text.as_str()));
    let at = usize::try_from(at % note.len() as u64).expect("an index");
    let mut bytes = note.into_bytes();
    bytes[at] ^= mask;
    if *mask != 0
        && let Ok(note) = str::from_utf8(&bytes)
    {
        assert!(key.verify(note).is_err(), "byte {at} was altered");
    }
}

/// A checkpoint's text has one form, extensions aside; signed, it is read as that.
pub fn checkpoint(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let parsed = Checkpoint::parse(text);
    if let Ok(checkpoint) = &parsed {
        let written = checkpoint.to_string();
        assert!(text.starts_with(&written), "{written:?}");
        assert!(text[written.len()..].split_terminator('\n').all(|line| !line.is_empty()));
        assert_eq!(Checkpoint::parse(&written).as_ref(), Ok(checkpoint));
    }
    if text.ends_with('\n') && !text.bytes().any(|c| c < 0x20 && c != b'\n') && text.len() < MAX_NOTE / 2 {
        let verified = verifier_key().verify_checkpoint(&signed(text));
        let ours = parsed.ok().filter(|checkpoint| checkpoint.origin == ORIGIN);
        assert_eq!(verified.ok().map(|c| (c.size(), *c.root())), ours.map(|c| (c.size, c.root)));
    }
}

/// A proof has one form; and none proves what is not under a signed checkpoint.
pub fn proof(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    if let Ok(proof) = TlogProof::parse(text) {
        assert_eq!(proof.to_string(), text);
        assert!(proof.inclusion.len() <= 64);
        assert!(proof.verify(b"entry", &verifier_key()).is_err());
        // The same under a checkpoint that is signed: of a tree of one entry, which is its own root.
        let root = Checkpoint { origin: ORIGIN.into(), size: 1, root: Hash::leaf(b"entry") };
        let whole = proof.index == 0 && proof.inclusion.is_empty();
        let proof = TlogProof { checkpoint: signed(&root.to_string()), ..proof };
        assert_eq!(proof.verify(b"entry", &verifier_key()).is_ok(), whole);
        assert!(proof.verify(b"other", &verifier_key()).is_err());
    }
}

/// A tile's path has one form; and what is new in a log of one size is what one of another size has not.
pub fn tile_path(data: &[u8]) {
    if let Ok(text) = str::from_utf8(data)
        && let Ok(tile) = text.parse::<Tile>()
    {
        assert_eq!(tile.to_string(), text);
        assert!((1..=WIDTH).contains(&tile.width));
    }
    let (index, rest) = number(data);
    let (size, rest) = number(rest);
    let level = rest.first().copied().unwrap_or(0);
    for kind in [Kind::Entries, Kind::Hashes(level % 64)] {
        if let Some(tile) = Tile::of_size(kind, index, size) {
            assert_eq!(tile.to_string().parse(), Ok(tile));
            assert!(tile.index * u64::from(WIDTH) < size);
        }
    }
    let (old, size) = (index % 200_000, size % 200_000);
    let new = Tile::new_since(old, size);
    let entries = new.iter().filter(|tile| tile.kind == Kind::Entries);
    let covered: u64 = entries.map(|tile| u64::from(tile.width)).sum();
    let missing = size.saturating_sub(old / u64::from(WIDTH) * u64::from(WIDTH));
    assert_eq!(covered, if old < size { missing } else { 0 });
    assert!(new.iter().all(|tile| Tile::of_size(tile.kind, tile.index, size) == Some(*tile)));
}

/// A line of an export, and its first one: what is read is written again, and read as the same.
pub fn export_line(data: &[u8]) {
    let Ok(line) = str::from_utf8(data) else { return };
    if let Ok(header) = Header::parse(line) {
        let again = header.to_line().expect("it was a line");
        assert_eq!(Header::parse(again.trim_end_matches('\n')).as_ref(), Ok(&header));
    }
    let Ok((entry, shown)) = bundle::parse_line(7, line) else { return };
    assert!(shown.iter().all(|shown| shown.index == 7));
    // A break within the entry would be none of a line's: the writer refuses it.
    let Ok(again) = bundle::entry_line(entry, &shown) else {
        assert!(entry.contains(&b'\n') || entry.contains(&b'\r'));
        return;
    };
    assert!(again.ends_with('\n') && !again.trim_end_matches('\n').contains('\n'));
    let (entry_again, shown_again) = bundle::parse_line(7, again.trim_end_matches('\n')).expect("it was written");
    assert_eq!(entry_again, entry);
    assert_eq!(bundle::entry_line(entry_again, &shown_again).as_ref(), Ok(&again));
}

/// A log as somebody shows it.
struct Shelf {
    checkpoint: String,
    bundle: Vec<u8>,
    hashes: Vec<u8>,
}

impl Source for Shelf {
    type Error = core::convert::Infallible;

    fn checkpoint(&mut self) -> Result<String, Self::Error> {
        Ok(self.checkpoint.clone())
    }

    fn entries(&mut self, bundle: Tile) -> Result<Option<Vec<u8>>, Self::Error> {
        Ok((bundle.index == 0).then(|| self.bundle.clone()))
    }

    fn has_tiles(&self) -> bool {
        true
    }

    fn hashes(&mut self, tile: Tile) -> Result<Option<Vec<u8>>, Self::Error> {
        Ok((tile.kind == Kind::Hashes(0) && tile.index == 0).then(|| self.hashes.clone()))
    }

    fn openings(&mut self, _first: u64, _end: u64) -> Result<Vec<Shown>, Self::Error> {
        Ok(Vec::new())
    }

    fn is_complete(&self) -> bool {
        false
    }
}

/// The first eight bytes are the length of a mask; behind it come entries, a newline between two. A log of them is
/// verified, every one that is none is found, and so is the first byte that the mask alters in bundle or tile.
pub fn verifier(data: &[u8]) {
    let (length, rest) = number(data);
    let length = usize::try_from(length).unwrap_or(usize::MAX).min(rest.len());
    let (mask, rest) = rest.split_at(length);
    let entries: Vec<&[u8]> = rest.split(|byte| *byte == b'\n').take(200).collect();
    if entries.iter().any(|entry| entry.len() > MAX_ENTRY) {
        return;
    }
    let (mut edge, mut bundle, mut hashes) = (Edge::default(), Vec::new(), Vec::new());
    for entry in &entries {
        tile::push_entry(&mut bundle, entry).expect("short enough");
        hashes.extend_from_slice(Hash::leaf(entry).as_bytes());
        edge.append(Hash::leaf(entry));
    }
    let head = Checkpoint { origin: ORIGIN.into(), size: edge.size(), root: edge.root() };
    let checkpoint = signed(&head.to_string());
    let mut shelf = Shelf { checkpoint: checkpoint.clone(), bundle: bundle.clone(), hashes: hashes.clone() };
    let known = [checkpoint.clone()];
    let Ok(report) = verify(&mut shelf, &verifier_key(), &known, |_, _| {});
    let invalid = entries.iter().filter(|entry| Entry::parse(entry).is_err()).count() as u64;
    // An entry that begins a log may declare another one than that it stands in: that is found too, and only there.
    let begins = |index: &u64| {
        let entry = usize::try_from(*index).ok().and_then(|index| entries.get(index));
        entry.is_some_and(|entry| Entry::parse(entry).is_ok_and(|entry| entry.kind() == EntryKind::LogStarted))
    };
    let of_declarations =
        report.findings.iter().filter(|finding| matches!(finding, Finding::SuccessionWrong { index } if begins(index)));
    assert_eq!(report.findings_total, invalid + of_declarations.count() as u64);
    let found = report.findings.iter().filter(|finding| matches!(finding, Finding::EntryInvalid { .. }));
    assert_eq!(found.count() as u64, invalid);
    assert_eq!((report.entries + invalid, report.known_extended), (entries.len() as u64, 1));

    let both = [bundle.as_slice(), hashes.as_slice()].concat();
    let (both, first) = altered(&both, mask);
    if first.is_none() {
        return;
    }
    let (bundle, hashes) = both.split_at(bundle.len());
    let mut shelf = Shelf { checkpoint, bundle: bundle.to_vec(), hashes: hashes.to_vec() };
    let Ok(report) = verify(&mut shelf, &verifier_key(), &known, |_, _| {});
    let about_the_log =
        |finding: &Finding| !matches!(finding, Finding::EntryInvalid { .. } | Finding::SuccessionWrong { .. });
    assert!(report.findings.iter().any(about_the_log), "what was altered was not found");
}
