//! FLOE from outside: seals or opens standard input to standard output.
//!
//! `cargo run -p vault-core --example floe -- open|seal --key HEX --aad TEXT --segment-length N [--rotation-mask BITS]`
//!
//! N is FLOE's *encrypted* segment length. On any failure: exit 1 and no output, which is why the
//! whole input is held in memory and nothing is written before everything has authenticated.

use std::io::{Read as _, Write as _};
use std::process::ExitCode;

use vault_core::media::floe::{AwsLc, FloeKey, Parameters, open_whole, seal_whole};
use zeroize::Zeroizing;

struct Arguments {
    seal: bool,
    key: FloeKey,
    aad: String,
    params: Parameters,
}

fn parse(mut args: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let seal = match args.next().as_deref() {
        Some("seal") => true,
        Some("open") => false,
        _ => return Err("the first argument is `open` or `seal`".to_owned()),
    };
    let (mut key, mut aad, mut length, mut bits) = (None, None, None, None);
    while let Some(name) = args.next() {
        let place = match name.as_str() {
            "--key" => &mut key,
            "--aad" => &mut aad,
            "--segment-length" => &mut length,
            "--rotation-mask" => &mut bits,
            _ => return Err(format!("unknown argument {name}")),
        };
        let value = args.next().ok_or(format!("{name} needs a value"))?;
        if place.replace(value).is_some() {
            return Err(format!("{name} is given twice"));
        }
    }
    let mut bytes = [0; 32];
    hex::decode_to_slice(key.ok_or("--key is missing")?, &mut bytes).map_err(|_| "--key is 64 hex digits")?;
    let length: u32 =
        length.ok_or("--segment-length is missing")?.parse().map_err(|_| "--segment-length is a number")?;
    let mut params = Parameters::new(length).map_err(|e| e.to_string())?;
    if let Some(bits) = bits {
        let bits = bits.parse().map_err(|_| "--rotation-mask is a number")?;
        params = params.with_rotation_bits(bits).map_err(|e| e.to_string())?;
    }
    Ok(Arguments { seal, key: FloeKey::from_bytes(bytes), aad: aad.ok_or("--aad is missing")?, params })
}

fn run() -> Result<(), String> {
    let Arguments { seal, key, aad, params } = parse(std::env::args().skip(1))?;
    let mut input = Zeroizing::new(Vec::new());
    std::io::stdin().lock().read_to_end(&mut input).map_err(|e| format!("cannot read: {e}"))?;
    let output = if seal {
        seal_whole::<AwsLc>(&key, aad.as_bytes(), params, &input).map(Zeroizing::new)
    } else {
        open_whole::<AwsLc>(&key, aad.as_bytes(), params, &input)
    };
    let output = output.map_err(|e| e.to_string())?;
    let mut out = std::io::stdout().lock();
    out.write_all(&output).and_then(|()| out.flush()).map_err(|e| format!("cannot write: {e}"))
}

#[allow(clippy::print_stderr)] // A program's own diagnostics.
fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("floe: {e}");
            ExitCode::FAILURE
        }
    }
}
