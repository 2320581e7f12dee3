//! Benchmarks of sealing and opening, for `cargo xtask bench`: `bench_core NAME` prints one line of JSON.
//!
//! | name | ours | peer |
//! | --- | --- | --- |
//! | `core.seal` | an object sealed in segments of 256 KiB | bare AES-256-GCM of `aws-lc-rs`, in place, over the same |
//! | `core.open` | the same object opened | likewise |
//!
//! A round is 256 MiB on each side, in one buffer that is used again and again; the sides take turns every 16 MiB, on
//! one thread, so that a noisy machine disturbs both.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use vault_core::media::floe::{AwsLc, Decryptor, Encryptor, FloeKey, Parameters};

const SEGMENT: usize = 256 * 1024;
const OVERHEAD: usize = 32;
/// Segments in a turn: 16 MiB.
const SEGMENTS: usize = 64;
/// Turns in a round: 256 MiB.
const TURNS: usize = 16;
const ROUNDS: usize = 11;

type Failed = Box<dyn std::error::Error>;

/// What one side spends in a round.
#[derive(Default)]
struct Spent(Duration);

impl Spent {
    fn turn(&mut self, run: impl FnOnce() -> Result<(), Failed>) -> Result<(), Failed> {
        let started = Instant::now();
        run()?;
        self.0 += started.elapsed();
        Ok(())
    }

    /// Gigabytes a second.
    fn rate(&self) -> f64 {
        (SEGMENT * SEGMENTS * TURNS) as f64 / self.0.as_secs_f64() / 1e9
    }
}

fn bare_key() -> Result<LessSafeKey, Failed> {
    let bytes = vault_core::random::array::<32>();
    Ok(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &bytes).map_err(|_| "no key")?))
}

fn parameters() -> Result<Parameters, Failed> {
    Ok(Parameters::new(u32::try_from(SEGMENT + OVERHEAD)?)?)
}

fn noise(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    vault_core::random::fill(&mut bytes);
    bytes
}

fn segments(buffer: &mut [u8]) -> impl Iterator<Item = &mut [u8]> {
    buffer.chunks_exact_mut(SEGMENT + OVERHEAD)
}

/// Peer: the same bytes, in place, one key, a counter for the nonce.
fn bare_seal(key: &LessSafeKey, buffer: &mut [u8]) -> Result<(), Failed> {
    for (n, segment) in segments(buffer).enumerate() {
        let nonce = Nonce::assume_unique_for_key(u128::to_be_bytes(n as u128)[4..].try_into()?);
        let tag = key
            .seal_in_place_separate_tag(nonce, Aad::from([0; 9]), &mut segment[16..16 + SEGMENT])
            .map_err(|_| "not sealed")?;
        segment[16 + SEGMENT..].copy_from_slice(tag.as_ref());
    }
    Ok(())
}

fn bare_open(key: &LessSafeKey, buffer: &mut [u8]) -> Result<(), Failed> {
    for (n, segment) in segments(buffer).enumerate() {
        let nonce = Nonce::assume_unique_for_key(u128::to_be_bytes(n as u128)[4..].try_into()?);
        key.open_in_place(nonce, Aad::from([0; 9]), &mut segment[16..]).map_err(|_| "not opened")?;
    }
    Ok(())
}

fn seal() -> Result<(Vec<f64>, Vec<f64>), Failed> {
    let (key, bare) = (FloeKey::from_bytes(vault_core::random::array()), bare_key()?);
    let mut buffer = noise((SEGMENT + OVERHEAD) * SEGMENTS);
    let (mut ours, mut peer) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (mut mine, mut other) = (Spent::default(), Spent::default());
        let (mut sealer, _) = Encryptor::<AwsLc>::create(&key, b"bench", parameters()?);
        for _ in 0..TURNS {
            mine.turn(|| {
                for segment in segments(&mut buffer) {
                    sealer.segment_in_place(segment)?;
                }
                Ok(())
            })?;
            other.turn(|| bare_seal(&bare, &mut buffer))?;
        }
        ours.push(mine.rate());
        peer.push(other.rate());
    }
    Ok((ours, peer))
}

fn open() -> Result<(Vec<f64>, Vec<f64>), Failed> {
    let (key, bare) = (FloeKey::from_bytes(vault_core::random::array()), bare_key()?);
    let mut buffer = noise((SEGMENT + OVERHEAD) * SEGMENTS);
    let (mut ours, mut peer) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (mut mine, mut other) = (Spent::default(), Spent::default());
        for _ in 0..TURNS {
            let (mut sealer, header) = Encryptor::<AwsLc>::create(&key, b"bench", parameters()?);
            for segment in segments(&mut buffer) {
                sealer.segment_in_place(segment)?;
            }
            let opener = Decryptor::<AwsLc>::new(&key, b"bench", parameters()?, &header)?;
            mine.turn(|| {
                for (position, segment) in segments(&mut buffer).enumerate() {
                    opener.segment_in_place(position as u64, false, segment)?;
                }
                Ok(())
            })?;
            bare_seal(&bare, &mut buffer)?;
            other.turn(|| bare_open(&bare, &mut buffer))?;
        }
        ours.push(mine.rate());
        peer.push(other.rate());
    }
    Ok((ours, peer))
}

fn run() -> Result<(), Failed> {
    let name = std::env::args().nth(1).ok_or("the argument is the name of a benchmark")?;
    let (ours, peer) = match name.as_str() {
        "core.seal" => seal()?,
        "core.open" => open()?,
        _ => return Err("no benchmark of that name".into()),
    };
    let about = serde_json::json!({
        "bytes_a_round": SEGMENT * SEGMENTS * TURNS, "segment": SEGMENT, "threads": 1, "storage": "memory, one buffer",
        "peer": "aws-lc-rs AES-256-GCM, in place",
    });
    let figure = serde_json::json!({
        "name": name, "ours": ours, "peer": peer, "unit": "GB/s", "at_least": 0.85, "about": about,
    });
    writeln!(std::io::stdout(), "{figure}")?;
    Ok(())
}

#[allow(clippy::print_stderr)] // A program's own diagnostics.
fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("bench_core: {e}");
            ExitCode::FAILURE
        }
    }
}
