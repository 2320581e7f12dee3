//! A file sealed to a file, one segment in memory: what `cargo xtask bench file.seal` holds against `age`.
//!
//! `seal_file KEY PLAIN SEALED`: KEY is a file of 64 hex digits. What it writes is one FLOE message in the vault's segments
//! of a video, and `floe -- open --key … --aad seal-file --segment-length 262176` opens it.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::ExitCode;

use vault_core::media::floe::{AwsLc, Encryptor, FloeKey, OVERHEAD, Parameters};
use vault_core::media::{PLAIN_AT, layout::SegmentLength};
use zeroize::Zeroizing;

type Failed = Box<dyn std::error::Error>;

fn run() -> Result<(), Failed> {
    let mut arguments = std::env::args_os().skip(1);
    let mut next = || arguments.next().ok_or("the arguments are KEY PLAIN SEALED");
    let (key, plain, sealed) = (next()?, next()?, next()?);
    let mut bytes = [0; 32];
    hex::decode_to_slice(Zeroizing::new(std::fs::read_to_string(key)?).trim(), &mut bytes)?;
    let key = FloeKey::from_bytes(bytes);

    let (mut plain, mut sealed) = (File::open(plain)?, File::create(sealed)?);
    let whole = usize::try_from(SegmentLength::Video.plaintext())?;
    let parameters = Parameters::new(u32::try_from(whole + OVERHEAD)?)?;
    let (mut encryptor, header) = Encryptor::<AwsLc>::create(&key, b"seal-file", parameters);
    sealed.write_all(header.as_bytes())?;
    let mut buffer = Zeroizing::new(vec![0; whole + OVERHEAD]);
    loop {
        let filled = fill(&mut plain, &mut buffer[PLAIN_AT..PLAIN_AT + whole])?;
        if filled < whole {
            // The final segment is never full, and may be empty.
            let mut last = vec![0; filled + OVERHEAD];
            encryptor.finish(&buffer[PLAIN_AT..PLAIN_AT + filled], &mut last)?;
            return Ok(sealed.write_all(&last)?);
        }
        encryptor.segment_in_place(&mut buffer)?;
        sealed.write_all(&buffer)?;
    }
}

/// Reads until `buffer` is full or the file ends.
fn fill(file: &mut File, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..])? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(filled)
}

#[allow(clippy::print_stderr)] // A program's own diagnostics.
fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("seal_file: {e}");
            ExitCode::FAILURE
        }
    }
}
