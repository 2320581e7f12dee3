//! Recordings of any length: what a kiosk or a telephony platform would send, full of noise.

use crate::run;

/// What kind of recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// WAV, cut into segments of 64 KiB.
    Voice,
    /// MP4 with a video track, cut into segments of 256 KiB.
    Video,
}

impl Kind {
    /// The media type a client claims.
    pub const fn filetype(self) -> &'static str {
        match self {
            Self::Voice => "audio/wav",
            Self::Video => "video/mp4",
        }
    }

    /// Plaintext bytes of a segment.
    pub const fn segment(self) -> u64 {
        match self {
            Self::Voice => 64 << 10,
            Self::Video => 256 << 10,
        }
    }
}

/// A recording of exactly `length` bytes, an even number; every call makes the same.
pub fn recording(kind: Kind, length: usize) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(length);
    match kind {
        Kind::Voice => wav_head(&mut bytes, length),
        Kind::Video => {
            // A browser's own recording, with one more box of media behind it, as long as need be.
            let path = run::root().join("tests/fixtures/media/chromium-video.mp4");
            bytes = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            bytes.reserve(length.saturating_sub(bytes.len()));
            let payload = length.saturating_sub(bytes.len());
            let size = u32::try_from(payload).map_err(|error| error.to_string())?;
            bytes.extend_from_slice(&size.to_be_bytes());
            bytes.extend_from_slice(b"mdat");
        }
    }
    if bytes.len() > length {
        return Err(format!("no {kind:?} is as short as {length} bytes"));
    }
    noise(&mut bytes, length);
    Ok(bytes)
}

/// PCM of 16 bits, one channel, 8 kHz.
fn wav_head(bytes: &mut Vec<u8>, length: usize) {
    let data = u32::try_from(length.saturating_sub(44)).unwrap_or(u32::MAX);
    bytes.extend_from_slice(b"RIFF");
    bytes.extend_from_slice(&data.saturating_add(36).to_le_bytes());
    bytes.extend_from_slice(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    bytes.extend_from_slice(&8_000_u32.to_le_bytes());
    bytes.extend_from_slice(&16_000_u32.to_le_bytes());
    bytes.extend_from_slice(b"\x02\0\x10\0data");
    bytes.extend_from_slice(&data.to_le_bytes());
}

/// Fills up to `length` with what no compression and no page cache makes shorter (SplitMix64, seeded).
fn noise(bytes: &mut Vec<u8>, length: usize) {
    let mut state = 0x5eed_u64;
    while bytes.len() < length {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let next = (z ^ (z >> 31)).to_le_bytes();
        let here = next.len().min(length - bytes.len());
        bytes.extend_from_slice(&next[..here]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recordings_have_their_length_and_their_containers_beginning() {
        let voice = recording(Kind::Voice, 1 << 20).expect("made");
        assert_eq!((voice.len(), &voice[..4], &voice[8..16]), (1 << 20, &b"RIFF"[..], &b"WAVEfmt "[..]));
        assert_eq!(&voice[40..44], &((1_u32 << 20) - 44).to_le_bytes());
        let video = recording(Kind::Video, 1 << 20).expect("made");
        assert_eq!((video.len(), &video[4..8]), (1 << 20, &b"ftyp"[..]));
        assert!(recording(Kind::Video, 1 << 10).is_err());
    }
}
