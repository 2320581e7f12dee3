//! Real recordings, built ones, and what must be refused.

use proptest::prelude::*;

use super::*;

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/../../tests/fixtures/media/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn inspect(claimed: &str, bytes: &[u8]) -> Result<Recognised, Refusal> {
    let mut inspector = Inspector::new(ClaimedType::parse(claimed).unwrap());
    inspector.push(bytes)?;
    inspector.finish()
}

/// The same in portions of `size`, saved and restored between any two.
fn inspect_in_portions(claimed: &str, bytes: &[u8], size: usize) -> Result<Recognised, Refusal> {
    let mut inspector = Inspector::new(ClaimedType::parse(claimed).unwrap());
    for portion in bytes.chunks(size) {
        inspector.push(portion)?;
        let saved = inspector.save().unwrap();
        assert!(saved.len() <= MAX_STATE, "{} bytes", saved.len());
        inspector = Inspector::restore(&saved).unwrap();
        assert_eq!(inspector.save().unwrap(), saved);
    }
    assert_eq!(inspector.taken(), bytes.len() as u64);
    inspector.finish()
}

fn wav(tag: u16, bits: u16, samples: &[u8], extra: &[u8]) -> Vec<u8> {
    let mut format = Vec::new();
    let block = bits / 8;
    for half in [tag, 1] {
        format.extend(half.to_le_bytes());
    }
    for word in [8000_u32, 8000 * u32::from(block)] {
        format.extend(word.to_le_bytes());
    }
    for half in [block, bits] {
        format.extend(half.to_le_bytes());
    }
    let chunk = |name: &[u8; 4], data: &[u8]| {
        let pad = vec![0; data.len() % 2];
        [&name[..], &u32::try_from(data.len()).unwrap().to_le_bytes(), data, &pad].concat()
    };
    let body = [&b"WAVE"[..], &chunk(b"fmt ", &format), extra, &chunk(b"data", samples)].concat();
    [&b"RIFF"[..], &u32::try_from(body.len()).unwrap().to_le_bytes(), &body].concat()
}

fn ogg_page(flags: u8, granule: u64, serial: u32, sequence: u32, payload: &[u8]) -> Vec<u8> {
    let mut page = b"OggS\0".to_vec();
    page.push(flags);
    page.extend(granule.to_le_bytes());
    page.extend(serial.to_le_bytes());
    page.extend(sequence.to_le_bytes());
    page.extend([0; 4]);
    let lacing: Vec<u8> = (0..payload.len() / 255).map(|_| 255).chain([(payload.len() % 255) as u8]).collect();
    page.push(lacing.len() as u8);
    page.extend(lacing);
    page.extend(payload);
    page
}

fn ogg() -> Vec<u8> {
    [
        ogg_page(2, 0, 7, 0, b"OpusHead\x01\x01\x38\x01\x80\xBB\0\0\0\0\0"),
        ogg_page(0, 0, 7, 1, b"OpusTags\x07\0\0\0Mozilla\0\0\0\0"),
        ogg_page(0, 960, 7, 2, &[0x55; 600]),
        ogg_page(4, 1920, 7, 3, &[0xAA; 300]),
    ]
    .concat()
}

/// MPEG 1 layer III, 64 kbit/s, 44.1 kHz: 208 bytes without padding.
fn mp3_frame() -> Vec<u8> {
    let mut frame = vec![0x11; 208];
    frame[..4].copy_from_slice(&[0xFF, 0xFB, 0x50, 0xC4]);
    frame
}

fn id3(frames: &[u8]) -> Vec<u8> {
    let size = frames.len();
    let length = [(size >> 21) as u8, (size >> 14 & 0x7F) as u8, (size >> 7 & 0x7F) as u8, (size & 0x7F) as u8];
    [&b"ID3\x04\0\0"[..], &length, frames].concat()
}

fn mp3() -> Vec<u8> {
    let tag = id3(b"TSSE\0\0\0\x06\0\0\x03Lavf\0\0\0\0\0\0\0");
    [tag, mp3_frame(), mp3_frame(), mp3_frame()].concat()
}

fn good() -> Vec<(&'static str, Vec<u8>, Recognised)> {
    let is = |content_type, kind| Recognised { content_type, kind };
    let pcm = wav(1, 16, &[1; 400], b"LIST\x04\0\0\0INFO");
    let mut open = wav(7, 8, &[9; 401], b"");
    let data = open.len() - 402;
    open[4..8].fill(0xFF);
    open[data - 4..data].fill(0xFF);
    let v1 = [mp3(), [b"TAG".to_vec(), vec![b' '; 125]].concat()].concat();
    vec![
        ("video/webm;codecs=vp8,opus", fixture("chromium-video.webm"), is("video/webm", Kind::Video)),
        ("video/webm; codecs=\"vp8, opus\"", fixture("chromium-video.webm"), is("video/webm", Kind::Video)),
        ("video/x-matroska", fixture("chromium-video.webm"), is("video/x-matroska", Kind::Video)),
        ("audio/webm;codecs=opus", fixture("chromium-voice.webm"), is("audio/webm", Kind::Audio)),
        ("video/webm", fixture("chromium-voice.webm"), is("audio/webm", Kind::Audio)),
        ("video/mp4", fixture("chromium-video.mp4"), is("video/mp4", Kind::Video)),
        ("audio/ogg; codecs=opus", ogg(), is("audio/ogg", Kind::Audio)),
        ("audio/wav", pcm, is("audio/wav", Kind::Audio)),
        ("audio/x-wav", wav(6, 8, &[1; 401], b""), is("audio/wav", Kind::Audio)),
        ("audio/wave", open, is("audio/wav", Kind::Audio)),
        ("audio/mpeg", mp3(), is("audio/mpeg", Kind::Audio)),
        ("audio/mp3", v1, is("audio/mpeg", Kind::Audio)),
        ("audio/ogg", fixture("tone-opus.ogg"), is("audio/ogg", Kind::Audio)),
        ("audio/ogg", fixture("tone-vorbis.ogg"), is("audio/ogg", Kind::Audio)),
        ("audio/mpeg", fixture("tone.mp3"), is("audio/mpeg", Kind::Audio)),
        ("audio/mpeg", fixture("tone-vbr.mp3"), is("audio/mpeg", Kind::Audio)),
    ]
}

#[test]
fn recordings_are_recognised_however_they_are_cut() {
    for (claimed, bytes, expected) in good() {
        assert_eq!(inspect(claimed, &bytes), Ok(expected), "{claimed}");
        for size in [1, 2, 3, 7, 100, 4096, 65_537] {
            let size = if bytes.len() > 10_000 { size.max(97) } else { size };
            assert_eq!(inspect_in_portions(claimed, &bytes, size), Ok(expected), "{claimed} in {size}s");
        }
    }
    assert_eq!(inspect_in_portions("video/webm", &fixture("chromium-voice.webm"), 1).unwrap().kind, Kind::Audio);
}

#[test]
fn what_is_not_the_claimed_container_is_refused_in_its_first_bytes() {
    let others: [&[u8]; 10] = [
        b"<!doctype html><script>alert(1)</script>",
        b"%PDF-1.7\n%\xE2\xE3\xCF\xD3\n1 0 obj",
        b"PK\x03\x04\x14\0\0\0\x08\0abcdefgh",
        b"\x7FELF\x02\x01\x01\0\0\0\0\0\0\0\0\0",
        b"MZ\x90\0\x03\0\0\0\x04\0\0\0\xFF\xFF\0\0",
        b"#!/bin/sh\nexec something else\n",
        b"\x89PNG\r\n\x1A\n\0\0\0\rIHDR",
        b"<svg xmlns='http://www.w3.org/2000/svg'>",
        b"\0asm\x01\0\0\0\0\0\0\0",
        b"plain text, nothing else at all",
    ];
    for claimed in ["video/webm", "audio/webm", "video/mp4", "audio/ogg", "audio/wav", "audio/mpeg", "video/x-matroska"]
    {
        for other in others {
            let mut inspector = Inspector::new(ClaimedType::parse(claimed).unwrap());
            assert_eq!(inspector.push(other), Err(Refusal::NotTheClaimedType), "{other:?} as {claimed}");
            assert_eq!(inspector.push(b"x"), Err(Refusal::NotTheClaimedType), "a refusal is final");
            assert!(inspector.save().is_none());
            assert_eq!(inspector.finish(), Err(Refusal::NotTheClaimedType));
        }
        for (name, bytes, _) in good() {
            let magic = |claimed: &str| good().iter().find(|(c, ..)| *c == claimed).map(|(.., r)| r.content_type);
            let family = |t: Option<&str>| t.and_then(|t| t.split('/').nth(1)).map(|t| t.replace("x-matroska", "webm"));
            let other =
                family(magic(name)) != family(ClaimedType::parse(claimed).ok().map(|c| c.content_type(c.kind())));
            if other {
                assert_eq!(
                    inspect(claimed, &bytes[..64]).err(),
                    Some(Refusal::NotTheClaimedType),
                    "{name} as {claimed}"
                );
            }
        }
        assert_eq!(inspect(claimed, b""), Err(Refusal::Empty));
    }
}

#[test]
fn video_may_not_pass_as_sound() {
    assert_eq!(inspect("audio/webm", &fixture("chromium-video.webm")), Err(Refusal::VideoInAudio));
    assert_eq!(inspect("audio/mp4", &fixture("chromium-video.mp4")), Err(Refusal::VideoInAudio));
}

#[test]
fn a_recording_that_breaks_off_is_refused() {
    for (claimed, bytes, _) in good() {
        // The last cut is within the last element whatever it is; MediaRecorder's WebM and an open
        // WAV may end between elements, so not every cut shows.
        let open = claimed == "audio/wave";
        for cut in [1, 2, 5].map(|n| bytes.len() - n) {
            // One byte less of an odd WAV is only its padding.
            let padding = claimed == "audio/x-wav" && cut + 1 == bytes.len();
            if !open && !padding {
                assert_eq!(inspect(claimed, &bytes[..cut]), Err(Refusal::Truncated), "{claimed} cut at {cut}");
            }
        }
    }
}

#[test]
fn a_recording_that_goes_on_after_its_end_is_refused() {
    for (claimed, bytes, _) in good() {
        for trailing in [&b"<html>"[..], b"PK\x03\x04.......", b"\0\0\0\0\0\0\0\0\0\0\0\0", b"MZ"] {
            if claimed != "audio/wave" {
                let longer = [&bytes[..], trailing].concat();
                assert!(inspect(claimed, &longer).is_err(), "{claimed} with {trailing:?}");
            }
        }
        // An archive behind a recording is found even where the container has no end of its own.
        let zip = [&bytes[..], b"PK\x05\x06\0\0\0\0\x01\0\x01\0AAAABBBB\0\0"].concat();
        assert!(inspect(claimed, &zip).is_err(), "{claimed} with an archive");
        let twice = [&bytes[..], &bytes[..]].concat();
        if claimed != "audio/wave" && claimed != "audio/mpeg" {
            assert!(inspect(claimed, &twice).is_err(), "{claimed} twice");
        }
    }
}

#[test]
fn active_content_in_padding_and_metadata_is_refused() {
    let active = |what| Err(Refusal::ActiveContent(what));
    let html = b"<script>alert(1)</script>";
    let mp4 = fixture("chromium-video.mp4");
    let free = [&33_u32.to_be_bytes()[..], b"free", html].concat();
    assert_eq!(inspect("video/mp4", &[&mp4[..], &free].concat()), active("a script"));

    let webm = fixture("chromium-video.webm");
    let void = [&[0xEC, 0x80 | 25][..], html].concat();
    assert_eq!(inspect("video/webm", &[&webm[..], &void].concat()), active("a script"));

    let info = [&b"LIST"[..], &26_u32.to_le_bytes(), html, b"\0"].concat();
    assert_eq!(inspect("audio/wav", &wav(1, 16, &[0; 400], &info)), active("a script"));
    assert_eq!(inspect("audio/wav", &wav(1, 16, &[0; 400], b"LIST\x06\0\0\0%PDF-1")), active("PDF"));

    let tags =
        [ogg_page(2, 0, 1, 0, b"OpusHead12345678"), ogg_page(0, 0, 1, 1, b"OpusTags<svg onload=alert(1)>")].concat();
    assert_eq!(inspect("audio/ogg", &tags), active("SVG"));

    let comment = id3(b"TXXX\0\0\0\x20\0\0\0<script>alert(document.domain);");
    assert_eq!(inspect("audio/mpeg", &[comment, mp3()].concat()), active("a script"));
    let picture = id3(b"APIC\0\0\0\x04\0\0abcd");
    assert_eq!(inspect("audio/mpeg", &[picture, mp3_frame()].concat()), Err(Refusal::Forbidden("attachments")));
}

#[test]
fn attachments_chapters_and_foreign_tracks_are_refused() {
    let webm = fixture("chromium-video.webm");
    let attachments = [&webm[..], &[0x19, 0x41, 0xA4, 0x69, 0x84, 0, 0, 0, 0]].concat();
    assert_eq!(inspect("video/webm", &attachments), Err(Refusal::Forbidden("attachments")));
    let chapters = [&webm[..], &[0x10, 0x43, 0xA7, 0x70, 0x80]].concat();
    assert_eq!(inspect("video/webm", &chapters), Err(Refusal::Forbidden("chapters")));

    let replaced = |from: &[u8], to: &[u8]| {
        let at = memchr::memmem::find(&webm, from).unwrap();
        let mut altered = webm.clone();
        altered[at..at + to.len()].copy_from_slice(to);
        inspect("video/webm", &altered)
    };
    let codec = Refusal::Forbidden("a track in a codec that recordings do not use");
    assert_eq!(replaced(b"A_OPUS", b"A_EVIL"), Err(codec));
    assert_eq!(replaced(b"webm", b"docx"), Err(Refusal::NotTheClaimedType));

    let subtitle = ogg_page(2, 0, 1, 0, b"\x80kate\0\0\0\0");
    assert_eq!(inspect("audio/ogg", &subtitle), Err(codec));
    assert_eq!(inspect("audio/wav", &wav(0x55, 8, &[0; 4], b"")), Err(codec));
}

#[test]
fn an_mp4_hides_nothing_behind_odd_boxes() {
    let mp4 = fixture("chromium-video.mp4");
    let with = |tail: &[u8]| inspect("video/mp4", &[&mp4[..], tail].concat());
    assert_eq!(with(b"\0\0\0\0mdat"), Err(Refusal::Malformed("a box that reaches to the end of the file")));
    assert_eq!(with(b"\0\0\0\x10uuid12345678"), Err(Refusal::Malformed("an unknown box")));
    assert_eq!(with(b"\0\0\0\x07free"), Err(Refusal::Malformed("a box of impossible size")));
    assert_eq!(
        with(b"\0\0\0\x01mdat\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF"),
        Err(Refusal::Malformed("a box of impossible size"))
    );
    let quicktime = [&mp4[..8], b"qt  ", &mp4[12..]].concat();
    assert_eq!(inspect("video/mp4", &quicktime), Err(Refusal::NotTheClaimedType));
    assert_eq!(inspect("video/mp4", &mp4[..usize::from(mp4[3])]), Err(Refusal::Truncated), "ftyp alone");
}

#[test]
fn ogg_pages_come_in_order_and_from_declared_streams() {
    let page = |flags, granule, serial, sequence| ogg_page(flags, granule, serial, sequence, &[1; 10]);
    let head = ogg_page(2, 0, 1, 0, b"OpusHead12345678");
    let with = |pages: &[Vec<u8>]| inspect("audio/ogg", &[&head[..], &pages.concat()].concat());
    assert!(with(&[page(0, 5, 1, 1), page(0, 9, 1, 2)]).is_ok(), "without a last page");
    assert_eq!(with(&[page(0, 5, 1, 2)]), Err(Refusal::Malformed("an Ogg page out of order")));
    assert_eq!(with(&[page(0, 5, 2, 0)]), Err(Refusal::Malformed("a page of a stream that never began")));
    assert_eq!(with(&[page(4, 5, 1, 1), page(0, 9, 1, 2)]), Err(Refusal::TrailingBytes));
    assert_eq!(with(&[page(4, 5, 1, 1), ogg_page(2, 0, 2, 0, b"OpusHead")]), Err(Refusal::TrailingBytes), "chained");
    assert_eq!(with(&[]), Err(Refusal::NoMedia));
}

#[test]
fn what_is_not_a_saved_state_is_refused() {
    let mut inspector = Inspector::new(ClaimedType::parse("video/webm").unwrap());
    inspector.push(&fixture("chromium-video.webm")[..1000]).unwrap();
    let saved = inspector.save().unwrap();
    for cut in 0..saved.len() {
        assert!(Inspector::restore(&saved[..cut]).is_err(), "cut at {cut}");
    }
    assert!(Inspector::restore(&[&saved[..], &[0]].concat()).is_err());
    let mut other = saved;
    other[0] = 1;
    assert!(Inspector::restore(&other).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_bytes_make_it_panic(
        which in 0usize..16,
        keep in 0usize..300,
        noise in proptest::collection::vec(any::<u8>(), 0..400),
        size in 1usize..50,
    ) {
        let (claimed, bytes, _) = good().swap_remove(which);
        let bytes = [&bytes[..keep.min(bytes.len())], &noise].concat();
        let mut inspector = Inspector::new(ClaimedType::parse(claimed).unwrap());
        for portion in bytes.chunks(size) {
            if inspector.push(portion).is_err() {
                break;
            }
            let saved = inspector.save().unwrap();
            prop_assert!(saved.len() <= MAX_STATE);
            inspector = Inspector::restore(&saved).unwrap();
        }
        let _ = inspector.finish();
    }

    #[test]
    fn a_mutated_recording_gives_the_same_answer_however_it_is_cut(
        which in 0usize..16,
        flips in proptest::collection::vec((0.0..1.0f64, any::<u8>()), 1..8),
        size in 1usize..5000,
    ) {
        let (claimed, mut bytes, _) = good().swap_remove(which);
        // Structure is dense at the beginning: most of the changes go there.
        let near = bytes.len().min(2000);
        for (i, (place, value)) in flips.iter().enumerate() {
            let span = if i % 4 == 3 { bytes.len() } else { near };
            bytes[(place * span as f64) as usize] = *value;
        }
        prop_assert_eq!(inspect(claimed, &bytes), inspect_in_portions(claimed, &bytes, size.max(bytes.len() / 500)));
    }

    #[test]
    fn any_saved_state_is_refused_or_goes_on_without_a_panic(
        which in 0usize..16,
        flips in proptest::collection::vec((0.0..1.0f64, any::<u8>()), 1..6),
        more in proptest::collection::vec(any::<u8>(), 0..600),
    ) {
        let (claimed, bytes, _) = good().swap_remove(which);
        let mut inspector = Inspector::new(ClaimedType::parse(claimed).unwrap());
        inspector.push(&bytes[..bytes.len().min(333)]).unwrap();
        let mut saved = inspector.save().unwrap();
        for (place, value) in flips {
            let at = (place * saved.len() as f64) as usize;
            saved[at] = value;
        }
        if let Ok(mut inspector) = Inspector::restore(&saved) {
            let _ = inspector.push(&more);
            let _ = inspector.finish();
        }
    }
}
