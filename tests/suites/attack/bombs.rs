//! Bombs: bodies that unfold to a thousandfold, and containers that are more work than they look.
//!
//! Those in `tests/fixtures/bombs` are real. What they unfold to would be taken: a WAV recording of 32 MiB of silence, and the
//! JSON of a request with an identifier as long.

use vault_tests::fixtures::bomb;
use vault_tests::memory::{peak, reset_peak};
use vault_tests::tus;
use vault_tests::vault::Vault;

/// What each of them unfolds to.
const UNFOLDED: u64 = 32 << 20;
/// What the vault may hold more while it refuses all of them: half of what it takes to unfold one.
const MAY_GROW: u64 = UNFOLDED / 2;

/// The length that a gzip member says it unfolds to (RFC 1952 §2.3.1).
fn announced(member: &[u8]) -> u64 {
    assert!(member.starts_with(&[0x1f, 0x8b, 8]), "no gzip");
    u32::from_le_bytes(*member.last_chunk().expect("a trailer")).into()
}

#[test]
fn p11_a_compressed_body_is_inflated_nowhere() {
    let vault = Vault::start();
    let (silence, request) = (bomb("silence.wav.gz"), bomb("request.json.gz"));
    for member in [&silence, &request] {
        assert!(announced(member) > UNFOLDED && (member.len() as u64) < UNFOLDED / 900, "no bomb");
    }
    let before = reset_peak(&vault);

    // The bytes of a recording. gzip's frame holds what `deflate` means.
    let deflated = &silence[10..silence.len() - 8];
    let zstd = bomb("silence.wav.zst");
    for (encoding, body) in [("gzip", &silence[..]), ("deflate", deflated), ("zstd", &zstd), ("br", &silence)] {
        let upload = tus::create(&vault, "clip", "audio/wav", body.len());
        let headers = [
            ("tus-resumable", "1.0.0"),
            ("content-type", "application/offset+octet-stream"),
            ("upload-offset", "0"),
            ("content-encoding", encoding),
        ];
        let answer = vault.nobody().send("PATCH", &upload.location, &headers, body);
        // Taken for what it is: bytes that are no recording.
        assert!((400..500).contains(&answer.status) && answer.code().starts_with("content_"), "{encoding}: {answer}");
    }

    // The body of a request, and its consent, which is small enough for a header where it is folded twice.
    let headers = [("content-type", "application/json"), ("content-encoding", "gzip")];
    let answer = vault.person("analyst").send("POST", "/v1/access-requests", &headers, &request);
    answer.refused(400, "invalid_request");
    let answer = vault.person("uploader").send(
        "POST",
        &format!("/v1/collections/{}/uploads", vault.dev.collection),
        &[
            ("tus-resumable", "1.0.0"),
            ("upload-length", "1000"),
            ("upload-metadata", &metadata(&bomb("request.json.gz.gz"))),
        ],
        &[],
    );
    // A consent is text; this is none until it is unfolded.
    answer.refused(400, "upload_metadata");
    assert!(peak(&vault) < before + MAY_GROW, "{} bytes more", peak(&vault) - before);
}

/// `Upload-Metadata` with these bytes for a consent.
fn metadata(consent: &[u8]) -> String {
    use base64::Engine as _;
    let encode = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
    format!("filetype {},consent {}", encode(b"audio/wav"), encode(consent))
}

/// A box of MP4.
fn mp4(kind: &[u8; 4], payload: &[u8]) -> Vec<u8> {
    let size = u32::try_from(payload.len() + 8).expect("a short box");
    [&size.to_be_bytes()[..], kind, payload].concat()
}

/// An element of EBML, its length in eight bytes.
fn ebml(id: &[u8], payload: &[u8]) -> Vec<u8> {
    let size = (payload.len() as u64) | 1 << 56;
    [id, &size.to_be_bytes(), payload].concat()
}

/// As deep as it goes: `head` a hundred thousand times.
fn nested(beginning: &[u8], head: &[u8]) -> Vec<u8> {
    [beginning, &head.repeat(100_000)].concat()
}

#[test]
fn p11_a_container_that_unfolds_is_refused_and_costs_nothing() {
    let vault = Vault::start();
    let silence = bomb("silence.wav.gz");
    let deflated = &silence[10..silence.len() - 8];
    let ftyp = mp4(b"ftyp", b"isom\0\0\0\0isom");
    // QuickTime's compressed movie header: which algorithm, the length behind it, the data.
    let folded = [&u32::try_from(UNFOLDED).expect("short").to_be_bytes()[..], deflated].concat();
    let header = mp4(b"cmov", &[mp4(b"dcom", b"zlib"), mp4(b"cmvd", &folded)].concat());
    let doc = ebml(&[0x1a, 0x45, 0xdf, 0xa3], &ebml(&[0x42, 0x82], b"webm"));
    // A track under zlib (ContentEncodings, ContentEncoding, ContentCompression, ContentCompAlgo 0).
    let zlib = ebml(&[0x62, 0x40], &ebml(&[0x50, 0x34], &ebml(&[0x42, 0x54], &[0])));
    let fields = [ebml(&[0xd7], &[1]), ebml(&[0x83], &[2]), ebml(&[0x86], b"A_OPUS"), ebml(&[0x6d, 0x80], &zlib)];
    let tracks = ebml(&[0x16, 0x54, 0xae, 0x6b], &ebml(&[0xae], &fields.concat()));
    let cluster = ebml(&[0x1f, 0x43, 0xb6, 0x75], &ebml(&[0xa3], deflated));
    let compressed = ebml(&[0x18, 0x53, 0x80, 0x67], &[tracks, cluster].concat());
    // A page of a stream that begins, with nothing in it, each of another stream.
    let page = |serial: u32| [b"OggS\0\x02\0\0\0\0\0\0\0\0", &serial.to_le_bytes()[..], &[0; 9]].concat();
    let pages: Vec<u8> = (0..40_000).flat_map(page).collect();
    let huge = [&1_u32.to_be_bytes()[..], b"mdat", &(u64::MAX >> 1).to_be_bytes()].concat();
    let unknown = [0x18, 0x53, 0x80, 0x67, 0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    let bombs = [
        ("a compressed movie header", "video/mp4", [ftyp.clone(), mp4(b"moov", &header)].concat()),
        ("a compressed track", "audio/webm", [doc.clone(), compressed].concat()),
        ("boxes in boxes", "video/mp4", nested(&ftyp, b"\x7f\xff\xff\xffmoov")),
        ("segments in segments", "video/webm", nested(&doc, &unknown)),
        ("a million nothings", "video/mp4", nested(&ftyp, &mp4(b"free", b"").repeat(4))),
        ("a box of exabytes", "video/mp4", [ftyp, huge].concat()),
        ("streams without end", "audio/ogg", pages),
    ];
    let before = reset_peak(&vault);
    for (what, filetype, bytes) in bombs {
        let upload = tus::create(&vault, "clip", filetype, bytes.len());
        let answer = upload.patch(&vault, 0, &bytes);
        assert!((400..500).contains(&answer.status) && answer.code().starts_with("content_"), "{what}: {answer}");
        assert_eq!(upload.head(&vault).status, 410, "{what}");
    }
    assert!(peak(&vault) < before + MAY_GROW, "{} bytes more", peak(&vault) - before);
}
