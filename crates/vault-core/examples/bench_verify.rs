//! Verifying a log offline, for `cargo xtask bench audit.verify.merkle` and `audit.verify`.
//!
//! | call | does |
//! | --- | --- |
//! | `bench_verify make FILE COUNT` | writes an export of COUNT entries with every opening; prints the log's public key |
//! | `bench_verify merkle FILE` | both sides of `audit.verify.merkle`: one line of JSON |
//! | `bench_verify hash FILE THREADS` | the peer of `audit.verify`: bare SHA-256 over the file, a piece for each thread |

use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use sha2::{Digest as _, Sha256};
use vault_core::audit::bundle::{self, Header, entry_line};
use vault_core::audit::checkpoint::CheckpointSigner;
use vault_core::audit::entry::{Draft, PlaybackOpened};
use vault_core::audit::merkle::Hash;
use vault_core::audit::slot::{OpeningKeys, OpeningUnder, SlotName};
use vault_core::audit::tile::Rows;
use vault_core::audit::verify::{Claim, Shown};
use vault_core::ids::{CollectionId, PersonId, RecordId, SessionId};
use vault_core::keys::hierarchy::{LogSeed, StaffAuditKey};
use vault_core::time::Timestamp;

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// When the log begins, in milliseconds of 2026; an entry a second.
const FIRST: i64 = 1_767_225_600_000;
const ROUNDS: usize = 7;

/// Entry `n` as a playback makes it, as a line of an export, and its hash.
fn line(n: u64, collection: CollectionId, staff: &StaffAuditKey) -> Result<(String, Hash), Failed> {
    let at = Timestamp::from_millis(FIRST + i64::try_from(n)? * 1_000);
    let prepared = Draft::<PlaybackOpened>::new(at)
        .collection(collection)
        .data("representation", "original")
        .slot(SlotName::Session, SessionId::new(at).to_string(), OpeningUnder::Staff)
        .slot(SlotName::Staff, PersonId::new(at).to_string(), OpeningUnder::Staff)
        .slot(SlotName::Record, RecordId::new(at).to_string(), OpeningUnder::Staff)
        .slot(SlotName::Reason, "Hear what was said about the delivery".to_owned(), OpeningUnder::Staff)
        .prepare(&OpeningKeys { staff, record: None })?;
    let (entry, _, openings) = prepared.into_parts();
    let shown: Vec<Shown> =
        openings.into_iter().map(|o| Shown { index: n, slot: o.slot(), claim: Claim::Opened(o) }).collect();
    Ok((entry_line(&entry, &shown).map_err(|_| "not a line")?, Hash::leaf(&entry)))
}

fn make(path: &Path, count: u64) -> Result<(), Failed> {
    let (collection, staff) = (CollectionId::new(Timestamp::from_millis(FIRST)), StaffAuditKey::generate());
    let signer = CheckpointSigner::new("bench.example/log", &LogSeed::generate())?;
    let body = path.with_extension("body");
    let mut rows = Rows::default();
    {
        let mut out = BufWriter::new(File::create(&body)?);
        for n in 0..count {
            let (line, leaf) = line(n, collection, &staff)?;
            out.write_all(line.as_bytes())?;
            rows.append(leaf, |_, _| ());
        }
        out.flush()?;
    }
    let header = Header::new(signer.sign(count, rows.root()).note().to_owned(), true);
    let mut out = File::create(path)?;
    out.write_all(header.to_line()?.as_bytes())?;
    std::io::copy(&mut File::open(&body)?, &mut out)?;
    std::fs::remove_file(body)?;
    writeln!(std::io::stdout(), "{}", signer.verifier())?;
    Ok(())
}

/// Every entry of an export, one behind the other, and their lengths.
fn entries(path: &Path) -> Result<(Vec<u8>, Vec<usize>), Failed> {
    let (mut all, mut lengths) = (Vec::new(), Vec::new());
    for (index, line) in (0..).zip(BufReader::new(File::open(path)?).lines().skip(1)) {
        let line = line?;
        let (entry, _) = bundle::parse_line(index, &line)?;
        all.extend_from_slice(entry);
        lengths.push(entry.len());
    }
    Ok((all, lengths))
}

/// Ours: the tree over the entries. Peer: SHA-256 over the same bytes as one message. Both on one thread, out of memory.
fn merkle(path: &Path) -> Result<(), Failed> {
    let (all, lengths) = entries(path)?;
    let (mut ours, mut peer) = (Vec::new(), Vec::new());
    let rate = |started: Instant| all.len() as f64 / started.elapsed().as_secs_f64() / 1e6;
    let mut roots = Vec::new();
    for _ in 0..ROUNDS {
        let started = Instant::now();
        let (mut rows, mut rest) = (Rows::default(), all.as_slice());
        for length in &lengths {
            let (entry, later) = rest.split_at(*length);
            rest = later;
            rows.append(Hash::leaf(entry), |_, _| ());
        }
        roots.push(rows.root());
        ours.push(rate(started));

        let started = Instant::now();
        let digest = Sha256::digest(&all);
        peer.push(rate(started));
        roots.push(Hash::from_bytes(digest.into()));
    }
    // Read, so that no side's work can be left out.
    if roots.chunks(2).any(|round| round[0] == round[1] || round != &roots[..2]) {
        return Err("rounds do not agree".into());
    }
    let figure = serde_json::json!({
        "name": "audit.verify.merkle", "ours": ours, "peer": peer, "unit": "MB/s", "at_least": 0.5,
        "about": {"entries": lengths.len(), "bytes": all.len(), "threads": 1, "storage": "memory",
            "peer": "SHA-256 (crate sha2) over the entries' bytes as one message"},
    });
    writeln!(std::io::stdout(), "{figure}")?;
    Ok(())
}

/// SHA-256 over `path` in as many pieces as threads.
fn hash(path: &Path, threads: u64) -> Result<(), Failed> {
    let length = std::fs::metadata(path)?.len();
    let piece = length.div_ceil(threads.max(1));
    let digests = std::thread::scope(|scope| {
        let work: Vec<_> = (0..threads)
            .map(|n| scope.spawn(move || hash_piece(path, n * piece, piece.min(length.saturating_sub(n * piece)))))
            .collect();
        work.into_iter()
            .map(|work| work.join().map_err(|_| Failed::from("a thread ended"))?)
            .collect::<Result<Vec<_>, Failed>>()
    })?;
    writeln!(std::io::stdout(), "{}", digests.join(" "))?;
    Ok(())
}

fn hash_piece(path: &Path, from: u64, length: u64) -> Result<String, Failed> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(from))?;
    let (mut sum, mut buffer, mut left) = (Sha256::new(), vec![0; 256 * 1024], length);
    while left > 0 {
        let most = buffer.len().min(usize::try_from(left)?);
        let read = file.read(&mut buffer[..most])?;
        if read == 0 {
            return Err("the file became shorter".into());
        }
        sum.update(&buffer[..read]);
        left -= read as u64;
    }
    Ok(hex::encode(sum.finalize()))
}

fn run() -> Result<(), Failed> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["make", path, count] => make(Path::new(path), count.parse()?),
        ["merkle", path] => merkle(Path::new(path)),
        ["hash", path, threads] => hash(Path::new(path), threads.parse()?),
        _ => Err("the arguments are make FILE COUNT, merkle FILE, or hash FILE THREADS".into()),
    }
}

#[allow(clippy::print_stderr)] // A program's own diagnostics.
fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("bench_verify: {e}");
            ExitCode::FAILURE
        }
    }
}
