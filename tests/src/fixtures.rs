//! Recordings and chance.

use crate::programs::workspace;

/// A recording from `tests/fixtures/media`.
#[must_use]
pub fn media(name: &str) -> Vec<u8> {
    let path = workspace().join("tests/fixtures/media").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What is small and unfolds to much, from `tests/fixtures/bombs`.
#[must_use]
pub fn bomb(name: &str) -> Vec<u8> {
    let path = workspace().join("tests/fixtures/bombs").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All of them: name, and the type as a browser or telephony platform names it.
pub const MEDIA: &[(&str, &str)] = &[
    ("chromium-video.webm", "video/webm;codecs=vp8,opus"),
    ("chromium-voice.webm", "audio/webm;codecs=opus"),
    ("chromium-video.mp4", "video/mp4"),
    ("tone-opus.ogg", "audio/ogg; codecs=opus"),
    ("tone-vorbis.ogg", "audio/ogg"),
    ("tone.mp3", "audio/mpeg"),
];

/// A number that whoever runs a suite by hand sets in the environment: more rounds, another seed.
#[must_use]
pub fn by_hand(name: &str) -> Option<u64> {
    let text = std::env::var_os(name)?;
    Some(text.to_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{name} is not a number")))
}

/// A seeded source of chance (SplitMix64): the same seed, the same run. Not for secrets.
pub struct Chance(u64);

impl Chance {
    /// From a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`, which is not 0. The bias of the remainder does not matter to a test.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.number() % limit
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// Bytes.
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.number().to_le_bytes()[..chunk.len()]);
        }
        bytes
    }
}

/// A WAV recording (PCM, 8 kHz, 16 bits, mono) of at least `length` bytes, full of seeded noise: a valid recording of
/// any size, whose every piece is distinctive.
#[must_use]
pub fn wav(length: usize, chance: &mut Chance) -> Vec<u8> {
    let data = (length.saturating_sub(44) / 2 * 2).max(2);
    let size = u32::try_from(data).expect("a short recording");
    let mut wav = Vec::with_capacity(44 + data);
    wav.extend_from_slice(b"RIFF");
    wav.extend_from_slice(&(36 + size).to_le_bytes());
    wav.extend_from_slice(b"WAVEfmt ");
    wav.extend_from_slice(&16_u32.to_le_bytes());
    for field in [1_u16, 1] {
        wav.extend_from_slice(&field.to_le_bytes()); // PCM, one channel
    }
    wav.extend_from_slice(&8_000_u32.to_le_bytes());
    wav.extend_from_slice(&16_000_u32.to_le_bytes());
    for field in [2_u16, 16] {
        wav.extend_from_slice(&field.to_le_bytes()); // bytes a frame, bits a sample
    }
    wav.extend_from_slice(b"data");
    wav.extend_from_slice(&size.to_le_bytes());
    wav.extend(chance.bytes(data));
    wav
}
