//! What every input must satisfy: one function for each parser of vault-core.
//!
//! The fuzz targets call these, and so does an ordinary test, with every file of the corpora
//! (`crates/vault-core/tests/corpora.rs`). None may panic; where a parser has a writer, what is read
//! is written again the same way.

use core::str;

use vault_core::audit::checkpoint::Checkpoint;
use vault_core::audit::entry::Entry;
use vault_core::audit::merkle::Edge;
use vault_core::audit::note::VerifierKey;
use vault_core::audit::slot::{Opening, SlotName};
use vault_core::audit::tile;
use vault_core::ids::{CollectionName, ObjectId, RecordId, UploadId};
use vault_core::keys::hierarchy::RecordKey;
use vault_core::keys::upload::UploadSecret;
use vault_core::keys::{upload, wrap};
use vault_core::media::container::{ClaimedType, Inspector, MAX_STATE, Recognised, Refusal};
use vault_core::media::floe::{AesGcm, AwsLc, Decryptor, FloeKey, HEADER_LEN, Header, Parameters, open_whole};
use vault_core::media::layout::{Extent, PartSpan, SegmentLength, Tags, locate, segment_offset};
use vault_core::media::tail::{TailContext, open_tail};
use vault_core::privacy::consent::Consent;
use vault_core::privacy::policy::CollectionPolicy;
use vault_core::time::Timestamp;

/// A target: its name, which is also its corpus's, and what it checks.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: [Target; 11] = [
    ("audit_entry", audit_entry),
    ("audit_log", audit_log),
    ("claimed_type", claimed_type),
    ("container", container),
    ("container_state", container_state),
    ("floe", floe),
    ("layout", layout),
    ("privacy", privacy),
    ("tail", tail),
    ("texts", texts),
    ("wraps", wraps),
];

const CLAIMED: [&str; 8] =
    ["video/webm", "audio/webm", "video/x-matroska", "video/mp4", "audio/mp4", "audio/ogg", "audio/wav", "audio/mpeg"];

fn inspector(selector: u8) -> Inspector {
    let claimed = CLAIMED[usize::from(selector) % CLAIMED.len()];
    Inspector::new(ClaimedType::parse(claimed).expect("a type the vault takes"))
}

fn whole(selector: u8, bytes: &[u8]) -> Result<Recognised, Refusal> {
    let mut inspector = inspector(selector);
    inspector.push(bytes)?;
    inspector.finish()
}

fn portioned(selector: u8, size: usize, bytes: &[u8]) -> Result<Recognised, Refusal> {
    let mut inspector = inspector(selector);
    for portion in bytes.chunks(size) {
        inspector.push(portion)?;
        let saved = inspector.save().expect("not refused");
        assert!(saved.len() <= MAX_STATE);
        inspector = Inspector::restore(&saved).expect("what was saved is restored");
    }
    inspector.finish()
}

/// The first two bytes say which type is claimed and how the rest is cut: the answer is the same
/// however it is.
pub fn container(data: &[u8]) {
    let [selector, size, bytes @ ..] = data else { return };
    let size = usize::from(*size) + 1 + bytes.len() / 512;
    assert_eq!(whole(*selector, bytes), portioned(*selector, size, bytes));
}

/// The first byte says how much is a saved state; the rest comes behind it.
pub fn container_state(data: &[u8]) {
    let [length, rest @ ..] = data else { return };
    let (state, more) = rest.split_at(usize::from(*length).min(rest.len()));
    if let Ok(mut inspector) = Inspector::restore(state) {
        let _ = inspector.push(more);
        let _ = inspector.save();
        let _ = inspector.finish();
    }
}

/// A media type as a client claims it.
pub fn claimed_type(data: &[u8]) {
    if let Ok(text) = str::from_utf8(data) {
        let _ = ClaimedType::parse(text);
    }
}

/// The first two bytes are the segment length; both back ends agree on any message.
pub fn floe(data: &[u8]) {
    let Some((length, message)) = data.split_first_chunk::<2>() else { return };
    let Ok(params) = Parameters::new(u32::from(u16::from_be_bytes(*length))) else { return };
    let key = FloeKey::from_bytes([0; 32]);
    let one = open_whole::<AwsLc>(&key, b"This is AAD", params, message);
    let two = open_whole::<AesGcm>(&key, b"This is AAD", params, message);
    assert_eq!(one, two);
    let Some((header, body)) = message.split_at_checked(HEADER_LEN) else { return };
    let Ok(header) = Header::from_slice(header) else { return };
    let Ok(opener) = Decryptor::<AwsLc>::new(&key, b"This is AAD", params, &header) else { return };
    for last in [false, true] {
        let mut buffer = body.to_vec();
        if opener.segment_in_place(0, last, &mut buffer).is_err() {
            assert!(buffer.iter().all(|b| *b == 0), "nothing of a segment that was refused is left");
        }
    }
}

/// Three numbers and two lengths, any at all.
pub fn layout(data: &[u8]) {
    let mut numbers = data.chunks_exact(8).map(|b| u64::from_be_bytes(b.try_into().expect("eight bytes")));
    let mut next = || numbers.next().unwrap_or(0);
    let (total, start, end) = (next(), next(), next());
    for segment in [SegmentLength::Voice, SegmentLength::Video] {
        let _ = segment_offset(segment, start);
        let _ = Extent::of_plaintext(segment, total);
        if let Ok(extent) = Extent::of_ciphertext(segment, total) {
            assert_eq!(extent.ciphertext(), total);
            let _ = extent.segment_at(start);
        }
    }
    let parts = [PartSpan { offset: next(), length: next() }, PartSpan { offset: next(), length: next() }];
    if let Ok(reads) = locate(&parts, start..end) {
        let brought: u64 = reads.iter().map(|r| r.to - r.from).sum();
        assert_eq!(brought, end.saturating_sub(start));
    }
    if let Ok(tags) = Tags::from_row(start, data.to_vec()) {
        let _ = tags.get(end);
    }
}

/// No bytes are the tail of a key that was just made.
pub fn tail(data: &[u8]) {
    let key = RecordKey::generate().object_key(ObjectId::from_bytes([1; 16]));
    let place = TailContext { upload: UploadId::from_bytes([2; 16]), offset: 3, fence: 4 };
    assert!(open_tail(&key, place, data).is_err());
}

/// An entry of the log.
pub fn audit_entry(data: &[u8]) {
    if let Ok(entry) = Entry::parse(data) {
        assert!(entry.slots().windows(2).all(|pair| pair[0].0 < pair[1].0), "slots are in order, none twice");
        let owned = entry.into_owned();
        assert_eq!(Entry::parse(data).expect("parsed before").kind(), owned.kind());
    }
}

/// Checkpoints, keys, bundles, edges, openings: what a verifier reads from a stranger.
pub fn audit_log(data: &[u8]) {
    if let Ok(edge) = Edge::from_bytes(data) {
        assert_eq!(edge.to_bytes(), data);
    }
    for width in [1, 2, 256] {
        if let Ok(entries) = tile::entries(width, data) {
            let mut again = Vec::new();
            for entry in entries {
                tile::push_entry(&mut again, entry).expect("it was in a bundle");
            }
            assert_eq!(again, data);
        }
        let _ = tile::prefix_len(width, data);
    }
    if let Ok(opening) = Opening::from_bytes(SlotName::Record, data) {
        assert_eq!(&opening.to_bytes()[..], data);
    }
    if let Ok(text) = str::from_utf8(data) {
        let _ = Checkpoint::parse(text);
        if let Ok(key) = text.parse::<VerifierKey>() {
            assert_eq!(key.to_string(), text);
        }
        let key = "log.example+6ba62de1+AQhAwImQyLiv4mmSMMSy5MlqqSGAXqcVq5gmP2ZXK3Jy";
        if let Ok(key) = key.parse::<VerifierKey>() {
            assert!(key.verify_checkpoint(text).is_err());
        }
    }
}

/// Consents and policies.
pub fn privacy(data: &[u8]) {
    if let Ok(consent) = Consent::parse(data) {
        let text = consent.to_json();
        assert_eq!(Consent::parse(text.as_bytes()).expect("what was written").to_json(), text);
    }
    if let Ok(policy) = CollectionPolicy::parse(data) {
        let text = policy.to_json();
        assert_eq!(CollectionPolicy::parse(text.as_bytes()).expect("what was written").to_json(), text);
    }
}

/// Identifiers, names, times, addresses: each has one spelling, or, a time, one moment.
pub fn texts(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    if let Ok(id) = text.parse::<RecordId>() {
        assert_eq!(id.to_string(), text);
    }
    if let Ok(name) = text.parse::<CollectionName>() {
        assert_eq!(name.as_str(), text);
    }
    if let Ok(secret) = UploadSecret::parse(text) {
        assert_eq!(secret.reveal().as_str(), text);
    }
    if let Ok(time) = Timestamp::parse(text) {
        assert_eq!(Timestamp::parse(&time.to_string()), Ok(time));
    }
}

/// Wraps name their keys before they are opened.
pub fn wraps(data: &[u8]) {
    let _ = wrap::names(data);
    let _ = upload::names(data);
}
