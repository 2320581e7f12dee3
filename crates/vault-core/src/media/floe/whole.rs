//! A whole message in memory. The vault itself never holds one; tests and the example do.

use zeroize::Zeroizing;

use super::{Backend, Decryptor, Encryptor, FloeError, FloeKey, HEADER_LEN, Header, OVERHEAD, Parameters};

/// Seals `plain` as one message. A final segment is full rather than followed by an empty one.
pub fn seal_whole<B: Backend>(
    key: &FloeKey,
    aad: &[u8],
    params: Parameters,
    plain: &[u8],
) -> Result<Vec<u8>, FloeError> {
    let (mut sealer, header) = Encryptor::<B>::create(key, aad, params);
    let internal = plain.len().saturating_sub(1) / params.plaintext_length();
    let mut out = vec![0; HEADER_LEN + plain.len() + (internal + 1) * OVERHEAD];
    out[..HEADER_LEN].copy_from_slice(header.as_bytes());
    let (body, last) = plain.split_at(internal * params.plaintext_length());
    let (sealed_body, sealed_last) = out[HEADER_LEN..].split_at_mut(internal * params.segment_length());
    let segments = sealed_body.chunks_exact_mut(params.segment_length());
    for (plain, segment) in body.chunks_exact(params.plaintext_length()).zip(segments) {
        sealer.segment(plain, segment)?;
    }
    sealer.finish(last, sealed_last)?;
    Ok(out)
}

/// Opens a whole message, or nothing: every segment has authenticated, the last as the last.
pub fn open_whole<B: Backend>(
    key: &FloeKey,
    aad: &[u8],
    params: Parameters,
    message: &[u8],
) -> Result<Zeroizing<Vec<u8>>, FloeError> {
    let (header, body) = message.split_at_checked(HEADER_LEN).ok_or(FloeError::HeaderLength)?;
    let opener = Decryptor::<B>::new(key, aad, params, &Header::from_slice(header)?)?;
    // A body that ends with a whole segment ends with a full final one: there is always a last.
    let internal = body.len().saturating_sub(1) / params.segment_length();
    let (body, last) = body.split_at(internal * params.segment_length());
    let plain_internal = internal * params.plaintext_length();
    let plain_last = last.len().checked_sub(OVERHEAD).ok_or(FloeError::SegmentLength(internal as u64))?;
    let mut out = Zeroizing::new(vec![0; plain_internal + plain_last]);
    let (out_body, out_last) = out.split_at_mut(plain_internal);
    let outs = out_body.chunks_exact_mut(params.plaintext_length());
    for (position, (segment, out)) in body.chunks_exact(params.segment_length()).zip(outs).enumerate() {
        opener.segment(position as u64, false, segment, out)?;
    }
    opener.segment(internal as u64, true, last, out_last)?;
    Ok(out)
}
