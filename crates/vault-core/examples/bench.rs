//! Benchmarks of vault-core, for `cargo xtask bench`: `bench NAME` prints one line of JSON.
//!
//! | name | ours | peer |
//! | --- | --- | --- |
//! | `core.seal` | an object sealed in segments of 256 KiB | bare AES-256-GCM of `aws-lc-rs`, in place, over the same |
//! | `core.open` | the same object opened | likewise |
//!
//! Both sides run in turns on one core in one process, so that a noisy machine disturbs both; the
//! figure is the median of the rounds.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Instant;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use vault_core::media::floe::{AwsLc, Decryptor, Encryptor, FloeKey, Parameters};

const SEGMENT: usize = 256 * 1024;
const OVERHEAD: usize = 32;
/// Segments in a round: 16 MiB, so that the sides alternate every few milliseconds.
const SEGMENTS: usize = 64;
const ROUNDS: usize = 101;

type Failed = Box<dyn std::error::Error>;

/// Bytes a second, in GB, of one pass over everything.
fn rate(run: impl FnOnce() -> Result<(), Failed>) -> Result<f64, Failed> {
    let started = Instant::now();
    run()?;
    Ok((SEGMENT * SEGMENTS) as f64 / started.elapsed().as_secs_f64() / 1e9)
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
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

/// Peer: the same bytes, in place, one key, a counter for the nonce.
fn bare_pass(key: &LessSafeKey, buffer: &mut [u8]) -> Result<(), Failed> {
    for (n, segment) in buffer.chunks_exact_mut(SEGMENT + OVERHEAD).enumerate() {
        let nonce = Nonce::assume_unique_for_key(u128::to_be_bytes(n as u128)[4..].try_into()?);
        let tag = key
            .seal_in_place_separate_tag(nonce, Aad::from([0; 9]), &mut segment[16..16 + SEGMENT])
            .map_err(|_| "not sealed")?;
        segment[16 + SEGMENT..].copy_from_slice(tag.as_ref());
    }
    Ok(())
}

fn bare_open(key: &LessSafeKey, buffer: &mut [u8]) -> Result<(), Failed> {
    for (n, segment) in buffer.chunks_exact_mut(SEGMENT + OVERHEAD).enumerate() {
        let nonce = Nonce::assume_unique_for_key(u128::to_be_bytes(n as u128)[4..].try_into()?);
        key.open_in_place(nonce, Aad::from([0; 9]), &mut segment[16..]).map_err(|_| "not opened")?;
    }
    Ok(())
}

fn seal() -> Result<(f64, f64), Failed> {
    let (key, bare) = (FloeKey::from_bytes(vault_core::random::array()), bare_key()?);
    let mut buffer = noise((SEGMENT + OVERHEAD) * SEGMENTS);
    let (mut ours, mut peer) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(rate(|| {
            let (mut sealer, _) = Encryptor::<AwsLc>::create(&key, b"bench", parameters()?);
            for segment in buffer.chunks_exact_mut(SEGMENT + OVERHEAD) {
                sealer.segment_in_place(segment)?;
            }
            Ok(())
        })?);
        peer.push(rate(|| bare_pass(&bare, &mut buffer))?);
    }
    Ok((median(ours), median(peer)))
}

fn open() -> Result<(f64, f64), Failed> {
    let (key, bare) = (FloeKey::from_bytes(vault_core::random::array()), bare_key()?);
    let mut buffer = noise((SEGMENT + OVERHEAD) * SEGMENTS);
    let (mut ours, mut peer) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (mut sealer, header) = Encryptor::<AwsLc>::create(&key, b"bench", parameters()?);
        for segment in buffer.chunks_exact_mut(SEGMENT + OVERHEAD) {
            sealer.segment_in_place(segment)?;
        }
        ours.push(rate(|| {
            let mut opener = Decryptor::<AwsLc>::new(&key, b"bench", parameters()?, &header)?;
            for (position, segment) in buffer.chunks_exact_mut(SEGMENT + OVERHEAD).enumerate() {
                opener.segment_in_place(position as u64, false, segment)?;
            }
            Ok(())
        })?);
        bare_pass(&bare, &mut buffer)?;
        peer.push(rate(|| bare_open(&bare, &mut buffer))?);
    }
    Ok((median(ours), median(peer)))
}

fn run() -> Result<(), Failed> {
    let name = std::env::args().nth(1).ok_or("the argument is the name of a benchmark")?;
    let (ours, peer) = match name.as_str() {
        "core.seal" => seal()?,
        "core.open" => open()?,
        _ => return Err("no benchmark of that name".into()),
    };
    let figure = serde_json::json!({"name": name, "ours": ours, "peer": peer, "unit": "GB/s", "at_least": 0.85});
    writeln!(std::io::stdout(), "{figure}")?;
    Ok(())
}

#[allow(clippy::print_stderr)] // A program's own diagnostics.
fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("bench: {e}");
            ExitCode::FAILURE
        }
    }
}
