//! Known answers, the two oracles, and what FLOE must refuse.

use proptest::prelude::*;

use super::*;

const AAD: &[u8] = b"This is AAD";

fn zero_key() -> FloeKey {
    FloeKey::from_bytes([0; 32])
}

fn vector(name: &str) -> (Vec<u8>, Vec<u8>) {
    let read = |kind: &str| {
        let path = format!("{}/tests/vectors/floe/{name}_{kind}.txt", env!("CARGO_MANIFEST_DIR"));
        hex::decode(std::fs::read_to_string(path).unwrap().trim()).unwrap()
    };
    (read("ct"), read("pt"))
}

const VECTORS: [(&str, u32, u8); 8] = [
    ("go_GCM256_IV256_4K", 4096, 20),
    ("go_GCM256_IV256_64", 64, 20),
    ("go_rotation", 40, 2),
    ("java_GCM256_IV256_64", 64, 20),
    ("java_lastSegAligned", 40, 20),
    ("java_lastSegEmpty", 40, 20),
    ("java_rotation", 40, 2),
    ("go_GCM256_IV256_64", 64, 63),
];

fn params(length: u32, bits: u8) -> Parameters {
    Parameters::new(length).unwrap().with_rotation_bits(bits).unwrap()
}

fn known_answers<B: Backend>() {
    for (name, length, bits) in VECTORS {
        let (cipher, plain) = vector(name);
        let opened = open_whole::<B>(&zero_key(), AAD, params(length, bits), &cipher).unwrap();
        assert_eq!(*opened, plain, "{name}");
    }
}

#[test]
fn known_answers_by_both_back_ends() {
    known_answers::<AwsLc>();
    known_answers::<AesGcm>();
}

#[test]
fn a_rotation_vector_opens_with_its_own_rotation_only() {
    let (cipher, _) = vector("go_rotation");
    let opened = open_whole::<AwsLc>(&zero_key(), AAD, Parameters::new(40).unwrap(), &cipher);
    assert_eq!(opened.unwrap_err(), FloeError::Forged(4));
}

#[test]
fn every_altered_header_byte_is_refused() {
    let (mut cipher, _) = vector("go_GCM256_IV256_64");
    for at in 0..HEADER_LEN {
        for bit in 0..8 {
            cipher[at] ^= 1 << bit;
            let refused = open_whole::<AwsLc>(&zero_key(), AAD, params(64, 20), &cipher).unwrap_err();
            let expected = if at < 10 { FloeError::HeaderParameters } else { FloeError::HeaderTag };
            assert_eq!(refused, expected, "byte {at}, bit {bit}");
            cipher[at] ^= 1 << bit;
        }
    }
    for cut in 0..HEADER_LEN {
        let refused = open_whole::<AwsLc>(&zero_key(), AAD, params(64, 20), &cipher[..cut]).unwrap_err();
        assert_eq!(refused, FloeError::HeaderLength);
    }
}

#[test]
fn every_altered_body_byte_is_refused_and_leaves_nothing_behind() {
    let (cipher, plain) = vector("java_lastSegAligned");
    let header = Header::from_slice(&cipher[..HEADER_LEN]).unwrap();
    let opener = Decryptor::<AwsLc>::new(&zero_key(), AAD, params(40, 20), &header).unwrap();
    let mut out = [0; 8];
    let first = cipher[HEADER_LEN..HEADER_LEN + 40].to_vec();
    opener.segment(0, false, &first, &mut out).unwrap();
    assert_eq!(out, plain[..8]);
    for at in 0..first.len() {
        let mut altered = first.clone();
        altered[at] ^= 0x10;
        out.fill(0xAA);
        assert!(opener.segment(0, false, &altered, &mut out).is_err(), "byte {at}");
        assert_eq!(out, [0; 8], "byte {at}");
        assert!(opener.segment_in_place(0, false, &mut altered).is_err(), "byte {at}");
        assert_eq!(altered, [0; 40], "byte {at}");
    }
}

#[test]
fn segments_open_at_their_own_place_only() {
    let plain: Vec<u8> = (0..40).collect();
    let cipher = seal_whole::<AwsLc>(&zero_key(), AAD, params(40, 20), &plain).unwrap();
    let header = Header::from_slice(&cipher[..HEADER_LEN]).unwrap();
    let opener = Decryptor::<AesGcm>::new(&zero_key(), AAD, params(40, 20), &header).unwrap();
    let body = &cipher[HEADER_LEN..];
    let mut out = [0; 8];
    assert_eq!(opener.segment(1, false, &body[..40], &mut out), Err(FloeError::Forged(1)));
    assert_eq!(opener.segment(0, true, &body[..40], &mut out), Err(FloeError::SegmentKind(0)));
    assert_eq!(opener.segment(4, false, &body[160..], &mut out), Err(FloeError::SegmentKind(4)));
    assert_eq!(opener.segment(4, true, &body[160..], &mut out), Ok(()));
    assert_eq!(opener.segment(4, true, &body[160..199], &mut out), Err(FloeError::SegmentKind(4)));
    assert_eq!(opener.segment(0, true, &body[..31], &mut out), Err(FloeError::SegmentLength(0)));
    assert_eq!(opener.segment(0, false, &body[..39], &mut out), Err(FloeError::SegmentLength(0)));
    assert_eq!(opener.segment(0, false, &body[..40], &mut out[..7]), Err(FloeError::SegmentLength(0)));
}

#[test]
fn truncation_at_a_segment_boundary_is_refused() {
    let plain = [7; 64];
    let cipher = seal_whole::<AwsLc>(&zero_key(), AAD, params(40, 20), &plain).unwrap();
    for segments in 0..8 {
        let cut = &cipher[..HEADER_LEN + segments * 40];
        assert!(open_whole::<AwsLc>(&zero_key(), AAD, params(40, 20), cut).is_err(), "{segments} segments");
    }
    let longer = [&cipher[..], &cipher[HEADER_LEN..HEADER_LEN + 40]].concat();
    assert!(open_whole::<AwsLc>(&zero_key(), AAD, params(40, 20), &longer).is_err());
}

#[test]
fn another_key_or_place_is_refused_before_any_segment() {
    let (cipher, _) = vector("go_GCM256_IV256_64");
    let other = FloeKey::from_bytes([1; 32]);
    let refused = open_whole::<AwsLc>(&other, AAD, params(64, 20), &cipher).unwrap_err();
    assert_eq!(refused, FloeError::HeaderTag);
    let refused = open_whole::<AwsLc>(&zero_key(), b"This is AAE", params(64, 20), &cipher).unwrap_err();
    assert_eq!(refused, FloeError::HeaderTag);
    let refused = open_whole::<AwsLc>(&zero_key(), AAD, params(65, 20), &cipher).unwrap_err();
    assert_eq!(refused, FloeError::HeaderParameters);
}

#[test]
fn the_last_position_is_left_to_the_final_segment() {
    let key = zero_key();
    let p = params(40, 20);
    let (_, header) = Encryptor::<AwsLc>::create(&key, AAD, p);
    let mut sealer = Encryptor::<AwsLc>::resume(&key, AAD, p, &header, MAX_SEGMENTS - 1).unwrap();
    let mut out = [0; 40];
    assert_eq!(sealer.segment(&[0; 8], &mut out), Err(FloeError::TooManySegments));
    assert_eq!(sealer.segment_in_place(&mut [0; 40]), Err(FloeError::TooManySegments));
    sealer.finish(&[1; 8], &mut out).unwrap();
    let opener = Decryptor::<AesGcm>::new(&key, AAD, p, &header).unwrap();
    let mut plain = [0; 8];
    opener.segment(MAX_SEGMENTS - 1, true, &out, &mut plain).unwrap();
    assert_eq!(plain, [1; 8]);
    assert_eq!(opener.segment(MAX_SEGMENTS, true, &out, &mut plain), Err(FloeError::TooManySegments));
    let beyond = Encryptor::<AwsLc>::resume(&key, AAD, p, &header, MAX_SEGMENTS);
    assert_eq!(beyond.err(), Some(FloeError::TooManySegments));
}

#[test]
fn impossible_parameters() {
    for length in [0, 1, 31, 32, u32::MAX] {
        assert_eq!(Parameters::new(length), Err(FloeError::Parameters), "{length}");
    }
    assert!(Parameters::new(33).is_ok() && Parameters::new(u32::MAX - 1).is_ok());
    assert_eq!(params(64, 20).with_rotation_bits(64), Err(FloeError::Parameters));
}

#[test]
fn a_segment_sealed_again_is_another_ciphertext_of_the_same_message() {
    let (key, p) = (zero_key(), params(40, 20));
    let (mut sealer, header) = Encryptor::<AwsLc>::create(&key, AAD, p);
    let (mut one, mut two) = ([0; 40], [0; 40]);
    sealer.segment(b"12345678", &mut one).unwrap();
    let mut again = Encryptor::<AesGcm>::resume(&key, AAD, p, &header, 0).unwrap();
    two[BODY_AT..24].copy_from_slice(b"12345678");
    again.segment_in_place(&mut two).unwrap();
    assert_ne!(one, two);
    let opener = Decryptor::<AwsLc>::new(&key, AAD, p, &header).unwrap();
    assert_eq!(opener.segment_in_place(0, false, &mut one).unwrap(), b"12345678");
    assert_eq!(opener.segment_in_place(0, false, &mut two).unwrap(), b"12345678");
}

/// `floe-rs` takes the segment length as a constant.
fn floe_rs_seal<const S: u32>(key: [u8; 32], aad: &[u8], plain: &[u8]) -> Vec<u8> {
    use zerocopy::IntoBytes as _;
    let key = floe_rs::gcm::FloeKey::from(key);
    let sealer = floe_rs::gcm::FloeEncryptor::<S>::new(&key, aad);
    let mut out = sealer.header().as_bytes().to_vec();
    let whole = S as usize - OVERHEAD;
    let internal = plain.len().saturating_sub(1) / whole;
    for position in 0..=internal {
        let part = &plain[position * whole..plain.len().min((position + 1) * whole)];
        let mut segment = vec![0; part.len() + OVERHEAD];
        sealer.encrypt_segment(part, &mut segment, position as u64, position == internal).unwrap();
        out.extend(segment);
    }
    out
}

fn floe_rs_open<const S: u32>(key: [u8; 32], aad: &[u8], message: &[u8]) -> Vec<u8> {
    let header = floe_rs::gcm::Header::from_bytes(&message[..HEADER_LEN]).unwrap();
    let key = floe_rs::gcm::FloeKey::from(key);
    let opener = floe_rs::gcm::FloeDecryptor::<S>::new(&key, aad, &header).unwrap();
    let segments: Vec<&[u8]> = message[HEADER_LEN..].chunks(S as usize).collect();
    let mut out = Vec::new();
    for (position, segment) in segments.iter().enumerate() {
        let parsed = floe_rs::gcm::Segment::from_bytes(segment).unwrap();
        let mut plain = vec![0; segment.len() - OVERHEAD];
        opener.decrypt_segment(&parsed, &mut plain, position as u64, position + 1 == segments.len()).unwrap();
        out.extend(plain);
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn both_oracles_open_what_is_sealed_here_and_the_other_way_round(
        key: [u8; 32],
        aad in proptest::collection::vec(any::<u8>(), 0..80),
        plain in proptest::collection::vec(any::<u8>(), 0..400),
    ) {
        let p = Parameters::new(100).unwrap();
        let own = FloeKey::from_bytes(key);
        let sealed = seal_whole::<AwsLc>(&own, &aad, p, &plain).unwrap();
        prop_assert_eq!(&*open_whole::<AesGcm>(&own, &aad, p, &sealed).unwrap(), &plain);
        let fast_key = fast_floe::Key::from_bytes(key);
        prop_assert_eq!(&fast_floe::decrypt(&fast_key, &aad, &sealed).unwrap(), &plain);
        prop_assert_eq!(&floe_rs_open::<100>(key, &aad, &sealed), &plain);

        let fast = fast_floe::encrypt(&fast_key, &aad, fast_floe::Parameters::with_segment_length(100).unwrap(), &plain).unwrap();
        prop_assert_eq!(&*open_whole::<AwsLc>(&own, &aad, p, &fast).unwrap(), &plain);
        let other = floe_rs_seal::<100>(key, &aad, &plain);
        prop_assert_eq!(&*open_whole::<AesGcm>(&own, &aad, p, &other).unwrap(), &plain);
    }

    #[test]
    fn any_bytes_instead_of_a_message_are_refused_without_a_panic(
        message in proptest::collection::vec(any::<u8>(), 0..300),
        length in 33u32..200,
    ) {
        prop_assert!(open_whole::<AwsLc>(&zero_key(), AAD, Parameters::new(length).unwrap(), &message).is_err());
    }
}
