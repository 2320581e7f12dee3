//! Recordings as they come in and lie at rest.

use core::str;

use vault_core::ids::{ObjectId, UploadId};
use vault_core::keys::hierarchy::RecordKey;
use vault_core::media::container::{ClaimedType, Inspector, Kind, MAX_STATE, Recognised, Refusal};
use vault_core::media::floe::{AesGcm, AwsLc, Decryptor, FloeKey, HEADER_LEN, Header, Parameters, open_whole};
use vault_core::media::layout::{Extent, PartSpan, SegmentLength, Tags, locate, segment_offset};
use vault_core::media::tail::{TailContext, TailError, open_tail, seal_tail};

use super::altered;

const CLAIMED: [&str; 8] =
    ["video/webm", "audio/webm", "video/x-matroska", "video/mp4", "audio/mp4", "audio/ogg", "audio/wav", "audio/mpeg"];

/// What the server may serve a recording with: nothing that a browser runs.
const SERVED: [&str; 10] = [
    "video/webm",
    "audio/webm",
    "video/x-matroska",
    "audio/x-matroska",
    "video/mp4",
    "audio/mp4",
    "video/ogg",
    "audio/ogg",
    "audio/wav",
    "audio/mpeg",
];

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

/// The first two bytes say which type is claimed and how the rest is cut: the answer is the same however it is, and
/// names a type that nothing runs.
pub fn container(data: &[u8]) {
    let [selector, size, bytes @ ..] = data else { return };
    let size = usize::from(*size) + 1 + bytes.len() / 512;
    let answer = whole(*selector, bytes);
    assert_eq!(answer, portioned(*selector, size, bytes));
    if let Ok(recognised) = answer {
        let served = recognised.content_type();
        assert!(SERVED.contains(&served), "{served}");
        let claimed = CLAIMED[usize::from(*selector) % CLAIMED.len()];
        // Who claims sound alone gets nothing else in; the container is the one that was claimed.
        assert!(!(claimed.starts_with("audio/") && recognised.is_video()), "{claimed} came in as {served}");
        let family = |text: &str| text.split_once('/').map(|(_, kind)| kind.trim_start_matches("x-").to_owned());
        assert_eq!(family(claimed), family(served));
        assert_eq!(recognised.is_video(), recognised.kind() == Kind::Video);
    }
}

/// The first byte says how much is a saved state; the rest comes behind it. A state is read only in the form in which it
/// would be saved.
pub fn container_state(data: &[u8]) {
    let [length, rest @ ..] = data else { return };
    let (state, more) = rest.split_at(usize::from(*length).min(rest.len()));
    let Ok(mut inspector) = Inspector::restore(state) else { return };
    if let Some(saved) = inspector.save() {
        assert_eq!(saved, state, "one state has two forms");
    }
    let pushed = inspector.push(more);
    let saved = inspector.save();
    assert_eq!(saved.is_some(), pushed.is_ok(), "a refusal is final, and nothing else is");
    if let Some(saved) = saved {
        assert!(saved.len() <= MAX_STATE);
        let again = Inspector::restore(&saved).expect("what was saved is restored");
        assert_eq!(again.finish(), inspector.finish());
    }
}

/// A media type as a client claims it: parameters and case change nothing.
pub fn claimed_type(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let Ok(claimed) = ClaimedType::parse(text) else { return };
    let essence = text.split(';').next().unwrap_or_default();
    assert_eq!(ClaimedType::parse(essence), Ok(claimed));
    assert_eq!(ClaimedType::parse(&essence.to_ascii_uppercase()), Ok(claimed));
    assert!(essence.trim().starts_with(['a', 'A', 'v', 'V']), "neither audio nor video");
}

/// The first two bytes are the segment length; both back ends agree on any message.
pub fn floe(data: &[u8]) {
    let Some((length, message)) = data.split_first_chunk::<2>() else { return };
    let Ok(params) = Parameters::new(u32::from(u16::from_be_bytes(*length))) else { return };
    let key = FloeKey::from_bytes([0; 32]);
    let one = open_whole::<AwsLc>(&key, b"This is AAD", params, message);
    let two = open_whole::<AesGcm>(&key, b"This is AAD", params, message);
    assert_eq!(one, two);
    if let Ok(plain) = one {
        assert!(plain.len() + HEADER_LEN < message.len(), "as long as its ciphertext");
    }
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
        if let Ok(extent) = Extent::of_plaintext(segment, total) {
            assert_eq!(extent.claimed_plaintext(), total);
            assert_eq!(Extent::of_ciphertext(segment, extent.ciphertext()), Ok(extent));
        }
        if let Ok(extent) = Extent::of_ciphertext(segment, total) {
            assert_eq!(extent.ciphertext(), total);
            assert!(extent.claimed_plaintext() < total);
            match extent.segment_at(start) {
                Ok((offset, length)) => {
                    assert!(start <= extent.last() && offset + length <= total && length <= segment.encrypted());
                    assert_eq!(segment_offset(segment, start), Ok(offset));
                    assert_eq!(offset + length == total, start == extent.last());
                }
                Err(_) => assert!(start > extent.last()),
            }
        }
    }
    let parts = [PartSpan { offset: next(), length: next() }, PartSpan { offset: next(), length: next() }];
    if let Ok(reads) = locate(&parts, start..end) {
        let brought: u64 = reads.iter().map(|r| r.to - r.from).sum();
        assert_eq!(brought, end.saturating_sub(start));
    }
    if let Ok(tags) = Tags::from_row(start, data.to_vec()) {
        let held = data.len() as u64 / 16;
        let within = end.checked_sub(start).is_some_and(|at| at < held);
        assert_eq!(tags.get(end).is_some(), within);
    }
}

/// No bytes are the tail of a key that was just made; a tail opens as it was sealed, and altered anywhere not at all.
/// The first byte is the length of what is sealed as state, the second of what is sealed as plaintext.
pub fn tail(data: &[u8]) {
    let key = RecordKey::generate().object_key(ObjectId::from_bytes([1; 16]));
    let place = TailContext { upload: UploadId::from_bytes([2; 16]), offset: 3, fence: 4 };
    assert!(open_tail(&key, place, data).is_err());
    let [states, plains, rest @ ..] = data else { return };
    let (state, rest) = rest.split_at(usize::from(*states).min(rest.len()));
    let (plain, mask) = rest.split_at(usize::from(*plains).min(rest.len()));
    let sealed = seal_tail(&key, place, state, plain).expect("within bounds");
    let (bytes, first) = altered(&sealed, mask);
    match (open_tail(&key, place, &bytes), first) {
        (Ok(tail), None) => assert_eq!((tail.inspector_state(), tail.plaintext()), (state, plain)),
        (Err(e), Some(at)) => {
            assert_eq!(e, if at == 0 { TailError::Malformed } else { TailError::Forged }, "byte {at}");
        }
        (Ok(_), Some(at)) => panic!("opened although byte {at} was altered"),
        (Err(e), None) => panic!("{e}"),
    }
}
