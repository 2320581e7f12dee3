//! Objects in and out: ranges, tampering, superseded segments, tails.

use proptest::prelude::*;

use super::disclosure::Disclosure;
use super::floe::{FloeError, Header};
use super::layout::{InvalidExtent, SegmentLength, SegmentTag};
use super::object::ObjectContext;
use super::open::{ObjectChecker, ObjectReader, OpenError, StoredObject};
use super::seal::{ObjectSealer, SealError};
use super::tail::{TailContext, TailError, open_tail, seal_tail};
use super::{PLAIN_AT, SEGMENT_OVERHEAD};
use crate::ids::{CollectionId, ObjectId, RecordId, UploadId};
use crate::keys::hierarchy::{ObjectKey, RecordKey};

const WHOLE: usize = 65_536;
const SEALED: usize = WHOLE + SEGMENT_OVERHEAD;

fn context() -> ObjectContext {
    ObjectContext {
        collection: CollectionId::from_bytes([1; 16]),
        record: RecordId::from_bytes([2; 16]),
        object: ObjectId::from_bytes([3; 16]),
        segment: SegmentLength::Voice,
    }
}

fn evidence() -> Disclosure {
    Disclosure::for_test(context().record, context().object)
}

struct Object {
    key: ObjectKey,
    header: Header,
    segments: Vec<Vec<u8>>,
    tags: Vec<SegmentTag>,
}

impl Object {
    /// Sealed with a new sealer for every segment, as an upload in many requests does.
    fn seal(plain: &[u8]) -> Self {
        let key = RecordKey::generate().object_key(context().object);
        let (_, header) = ObjectSealer::create(&key, context()).unwrap();
        let (mut segments, mut tags) = (Vec::new(), Vec::new());
        let whole = plain.chunks_exact(WHOLE);
        let last = whole.remainder();
        for (index, part) in whole.enumerate() {
            let mut sealer = ObjectSealer::resume(&key, context(), &header, index as u64).unwrap();
            let mut out = vec![0; SEALED];
            if index % 2 == 0 {
                tags.push(sealer.seal_segment(part, &mut out).unwrap());
            } else {
                out[PLAIN_AT..PLAIN_AT + WHOLE].copy_from_slice(part);
                tags.push(sealer.seal_segment_in_place(&mut out).unwrap());
            }
            segments.push(out);
        }
        let sealer = ObjectSealer::resume(&key, context(), &header, segments.len() as u64).unwrap();
        let mut out = vec![0; last.len() + SEGMENT_OVERHEAD];
        let sealed = sealer.finish(last, &mut out).unwrap();
        assert_eq!(sealed.plaintext(), plain.len() as u64);
        tags.push(sealed.tag());
        segments.push(out);
        Self { key, header, segments, tags }
    }

    fn stored(&self) -> StoredObject<'_> {
        StoredObject {
            header: self.header.as_bytes(),
            ciphertext: self.segments.iter().map(|s| s.len() as u64).sum::<u64>() + 74,
            final_segment: self.segments.last().unwrap(),
            final_tag: *self.tags.last().unwrap(),
        }
    }

    fn reader(&self) -> ObjectReader {
        ObjectReader::new(&self.key, context(), self.stored(), &evidence(), &mut Vec::new()).unwrap()
    }

    fn checker(&self) -> ObjectChecker {
        ObjectChecker::new(&self.key, context(), self.stored(), &mut Vec::new()).unwrap()
    }
}

fn noise(length: usize) -> Vec<u8> {
    let mut x = 0x9E37_79B9_7F4A_7C15_u64;
    (0..length)
        .map(|_| {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            x as u8
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_range_reads_as_the_plaintext(
        length in prop_oneof![0usize..300_000, Just(0), Just(WHOLE), Just(2 * WHOLE), Just(WHOLE - 1), Just(WHOLE + 1)],
        cuts in proptest::collection::vec((0.0..1.0f64, 0.0..1.0f64), 1..6),
    ) {
        let plain = noise(length);
        let object = Object::seal(&plain);
        let reader = object.reader();
        let proven = reader.length();
        prop_assert_eq!(proven.plaintext(), length as u64);
        for (a, b) in cuts {
            let at = |x: f64| (x * (length + 1) as f64) as u64;
            let range = at(a).min(at(b))..at(a).max(at(b));
            let mut got = Vec::new();
            for slice in proven.segments(range.clone()).unwrap() {
                let index = slice.index as usize;
                let mut out = vec![0; proven.plaintext_of(slice.index).unwrap()];
                reader.read_segment(slice.index, object.tags[index], &object.segments[index], &mut out).unwrap();
                got.extend_from_slice(&out[slice.from..slice.to]);
                let mut buffer = object.segments[index].clone();
                let in_place = reader.read_segment_in_place(slice.index, object.tags[index], &mut buffer).unwrap();
                prop_assert_eq!(&in_place[..], &out[..]);
                let mut buffer = object.segments[index].clone();
                prop_assert!(object.checker().verify_segment(slice.index, object.tags[index], &mut buffer).is_ok());
                prop_assert!(buffer.iter().all(|b| *b == 0), "a check leaves no plaintext");
            }
            prop_assert_eq!(got, &plain[range.start as usize..range.end as usize]);
        }
        prop_assert!(proven.segments(0..length as u64 + 1).is_err());
    }
}

#[test]
fn p4_evidence_about_another_object_opens_nothing() {
    let object = Object::seal(&noise(10));
    let others = [
        Disclosure::for_test(RecordId::from_bytes([9; 16]), context().object),
        Disclosure::for_test(context().record, ObjectId::from_bytes([9; 16])),
    ];
    for other in others {
        let refused = ObjectReader::new(&object.key, context(), object.stored(), &other, &mut Vec::new()).err();
        assert_eq!(refused, Some(OpenError::OtherDisclosure));
    }
}

#[test]
fn swapped_reordered_superseded_and_truncated_segments() {
    let plain = noise(3 * WHOLE + 5);
    let object = Object::seal(&plain);
    let reader = object.reader();
    let mut out = vec![0xAA; WHOLE];
    let read = |index: u64, tag: usize, segment: &[u8], out: &mut [u8]| {
        reader.read_segment(index, object.tags[tag], segment, out)
    };

    assert_eq!(read(0, 0, &object.segments[1], &mut out), Err(FloeError::Forged(0).into()), "reordered");
    let foreign = Object::seal(&plain);
    assert_eq!(read(0, 0, &foreign.segments[0], &mut out), Err(FloeError::Forged(0).into()), "of another object");
    assert_eq!(read(0, 0, &object.segments[0][1..], &mut out), Err(FloeError::SegmentLength(0).into()), "cut");
    assert_eq!(read(4, 0, &object.segments[0], &mut out), Err(InvalidExtent.into()), "beyond the end");
    assert_eq!(read(3, 3, &object.segments[0], &mut out), Err(FloeError::SegmentLength(3).into()), "not the last");
    let mut flipped = object.segments[0].clone();
    flipped[70] ^= 1;
    assert_eq!(read(0, 0, &flipped, &mut out), Err(FloeError::Forged(0).into()), "flipped");
    assert!(out.iter().all(|b| *b == 0), "nothing of it was released");

    // Sealed again after a lost connection: authentic, but not what was registered.
    let mut again = ObjectSealer::resume(&object.key, context(), &object.header, 1).unwrap();
    let mut superseded = vec![0; SEALED];
    again.seal_segment(&noise(WHOLE), &mut superseded).unwrap();
    out.fill(0xAA);
    assert_eq!(read(1, 1, &superseded, &mut out), Err(OpenError::Superseded(1)));
    assert!(out.iter().all(|b| *b == 0), "nothing of it was released");
    let in_place = reader.read_segment_in_place(1, object.tags[1], &mut superseded.clone()).err();
    assert_eq!(in_place, Some(OpenError::Superseded(1)));
    let checked = object.checker().verify_segment(1, object.tags[1], &mut superseded);
    assert_eq!(checked, Err(OpenError::Superseded(1)));
    assert!(superseded.iter().all(|b| *b == 0));
}

#[test]
fn a_wrong_length_or_final_segment_proves_nothing() {
    let object = Object::seal(&noise(2 * WHOLE + 5));
    let check = |stored| ObjectChecker::new(&object.key, context(), stored, &mut Vec::new()).err();
    let good = object.stored();
    assert_eq!(check(good), None);
    // A row edited to end the object at an internal segment.
    let shorter = StoredObject {
        ciphertext: 74 + 2 * SEALED as u64,
        final_segment: &object.segments[1],
        final_tag: object.tags[1],
        ..good
    };
    assert_eq!(check(shorter), Some(FloeError::SegmentKind(1).into()));
    assert_eq!(
        check(StoredObject { ciphertext: good.ciphertext - 1, ..good }),
        Some(FloeError::SegmentLength(2).into())
    );
    // The final segment moved to an earlier position.
    let moved = StoredObject { ciphertext: good.ciphertext - SEALED as u64, ..good };
    assert_eq!(check(moved), Some(FloeError::Forged(1).into()));
    assert_eq!(check(StoredObject { ciphertext: 5, ..good }), Some(InvalidExtent.into()));
    assert_eq!(check(StoredObject { header: &good.header[1..], ..good }), Some(FloeError::HeaderLength.into()));
    assert_eq!(check(StoredObject { final_tag: object.tags[0], ..good }), Some(OpenError::Superseded(2)));
}

#[test]
fn an_object_opens_in_its_own_place_only() {
    let object = Object::seal(&noise(100));
    let c = context();
    let places = [
        (ObjectContext { collection: CollectionId::from_bytes([9; 16]), ..c }, FloeError::HeaderTag),
        (ObjectContext { record: RecordId::from_bytes([9; 16]), ..c }, FloeError::HeaderTag),
        (ObjectContext { object: ObjectId::from_bytes([9; 16]), ..c }, FloeError::HeaderTag),
        (ObjectContext { segment: SegmentLength::Video, ..c }, FloeError::HeaderParameters),
    ];
    for (place, expected) in places {
        let opened = ObjectChecker::new(&object.key, place, object.stored(), &mut Vec::new()).err();
        assert_eq!(opened, Some(expected.into()), "{place:?}");
        assert_eq!(ObjectSealer::resume(&object.key, place, &object.header, 0).err(), Some(expected.into()));
    }
    let other = RecordKey::generate().object_key(c.object);
    let opened = ObjectChecker::new(&other, c, object.stored(), &mut Vec::new()).err();
    assert_eq!(opened, Some(FloeError::HeaderTag.into()));
}

#[test]
fn a_full_segment_is_internal() {
    let key = RecordKey::generate().object_key(context().object);
    let (sealer, _) = ObjectSealer::create(&key, context()).unwrap();
    let refused = sealer.finish(&vec![0; WHOLE], &mut vec![0; SEALED]).err();
    assert_eq!(refused, Some(SealError::Floe(FloeError::SegmentLength(0))));
}

#[test]
fn a_tail_opens_at_its_own_place_only() {
    let key = RecordKey::generate().object_key(context().object);
    let place = TailContext { upload: UploadId::from_bytes([5; 16]), offset: 70_000, fence: 3 };
    let sealed = seal_tail(&key, place, b"state", b"plaintext of a tail").unwrap();
    let tail = open_tail(&key, place, &sealed).unwrap();
    assert_eq!((tail.inspector_state(), tail.plaintext()), (&b"state"[..], &b"plaintext of a tail"[..]));

    let places = [
        TailContext { upload: UploadId::from_bytes([6; 16]), ..place },
        TailContext { offset: 70_001, ..place },
        TailContext { fence: 2, ..place },
    ];
    for other in places {
        assert_eq!(open_tail(&key, other, &sealed).err(), Some(TailError::Forged), "{other:?}");
    }
    let other = RecordKey::generate().object_key(context().object);
    assert_eq!(open_tail(&other, place, &sealed).err(), Some(TailError::Forged));
    for at in 0..sealed.len() {
        let mut altered = sealed.clone();
        altered[at] ^= 0x80;
        let expected = if at == 0 { TailError::Malformed } else { TailError::Forged };
        assert_eq!(open_tail(&key, place, &altered).err(), Some(expected), "byte {at}");
        assert!(open_tail(&key, place, &sealed[..at]).is_err(), "cut at {at}");
    }
    let empty = seal_tail(&key, place, b"", b"").unwrap();
    assert!(open_tail(&key, place, &empty).unwrap().plaintext().is_empty());
    assert_eq!(seal_tail(&key, place, &[0; 1025], b"").err(), Some(TailError::Malformed));
    assert_eq!(seal_tail(&key, place, b"", &vec![0; 262_144]).err(), Some(TailError::Malformed));
}
