//! Promise 3 through power loss: acknowledged means durable, also where the page cache is lost.
//!
//! A server runs under `strace`, which records every write and every sync. At each answer that confirms something, a
//! disk is rebuilt that holds only what had been synced before the answer left: file contents and directory entries. A
//! server is started on it and held to everything confirmed until then; likewise after syncs in between, and while the
//! vault is founded. A second disk beside it also keeps some of
//! what was not synced, torn or out of order, as a seed decides. Then the controls: syncs taken for not made are found.
//!
//! `cargo xtask test power-loss` runs it: it needs `strace`. By hand `VAULT_TESTS_IMAGES` sets how many seeded disks
//! there are for each answer (1 when absent), `VAULT_TESTS_SEED` another seed. It shows SQLite and the local file system; what PostgreSQL
//! and an object store owe after power loss is theirs.

mod acts;

use std::fs::File;
use std::io::{BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

use vault_api::names::{TUS_CONTENT_TYPE, TUS_VERSION};
use vault_tests::acknowledged::Acknowledged;
use vault_tests::fixtures::{Chance, by_hand, wav};
use vault_tests::http::answered;
use vault_tests::power::disk::{Disk, Forgets, Kept};
use vault_tests::power::trace::{self, Call, Value};
use vault_tests::vault::{self, Vault};
use vault_tests::{report, tus};

use acts::Extent;

/// Beside every answer, one sync in so many is a moment to lose power at: there are some hundreds.
const SYNCS: u64 = 12;
/// While a vault is founded there are some hundred, and what is left half made is finished by the start after it.
const SYNCS_FOUNDING: u64 = 1;
/// Servers on images beside each other: each waits for most of its start.
const WORKERS: usize = 3;

/// What was confirmed by an answer.
struct Step {
    /// The act, for whoever reads a failure.
    act: &'static str,
    /// The answer: counted from the server's first.
    answer: u64,
    /// What counts from this answer on.
    known: Acknowledged,
    /// What counted while the act was under way: it may have happened already.
    asked: Acknowledged,
}

/// A moment at which the power fails.
#[derive(Clone, Copy)]
enum Moment<'s> {
    /// An answer is about to leave.
    Answer(&'s Step),
    /// A sync has just ended, in the course of this act; none while the vault is founded.
    Sync(Option<&'s Step>),
}

impl Moment<'_> {
    fn known(self) -> Acknowledged {
        match self {
            Self::Answer(step) => step.known.clone(),
            Self::Sync(Some(step)) => step.asked.clone(),
            Self::Sync(None) => Acknowledged::default(),
        }
    }

    fn described(self) -> String {
        match self {
            Self::Answer(step) => format!("after {}", step.act),
            Self::Sync(Some(step)) => format!("during {}", step.act),
            Self::Sync(None) => "while the vault is founded".to_owned(),
        }
    }
}

/// A run that is over.
struct Recording {
    folder: tempfile::TempDir,
    steps: Vec<Step>,
    /// What the server called, in order.
    calls: Vec<(u32, trace::Moment, Call)>,
}

#[test]
#[ignore = "needs strace: cargo xtask test power-loss"]
fn p3_what_was_acknowledged_survives_power_loss() {
    let started = Instant::now();
    let recording = record(Extent::Whole);
    let recorded = started.elapsed();
    let mut chance = Chance::new(by_hand("VAULT_TESTS_SEED").unwrap_or(0x5eed_0103));
    let seeded = by_hand("VAULT_TESTS_IMAGES").unwrap_or(1);
    let mut images = [0, 0, 0];
    let failed = Mutex::new(Vec::new());
    let (images_of, waiting) = mpsc::sync_channel::<(String, Image)>(1);
    let waiting = Mutex::new(waiting);
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                loop {
                    let next = waiting.lock().expect("not poisoned").recv();
                    let Ok((described, image)) = next else { break };
                    let findings = image.hold();
                    if !findings.is_empty() {
                        let told = format!("{described}:\n  {}", findings.join("\n  "));
                        failed.lock().expect("not poisoned").push(told);
                    }
                }
            });
        }
        // Here, so that the workers end when it is dropped, whatever ends the replay.
        let images_of = images_of;
        replay(&recording, None, |moment, disk| {
            let (kind, one_in) = match moment {
                Moment::Answer(_) => (0, 1),
                Moment::Sync(Some(_)) => (1, SYNCS),
                Moment::Sync(None) => (2, SYNCS_FOUNDING),
            };
            if chance.below(one_in) > 0 {
                return;
            }
            for image in 0..=seeded {
                let kept = if image > 0 { Kept::Some(&mut chance) } else { Kept::SyncedOnly };
                let described = format!("{} (image {image})", moment.described());
                images_of.send((described, Image::of(moment, disk, kept))).expect("a worker");
                images[kind] += 1;
            }
        });
    });
    let failed = failed.into_inner().expect("not poisoned");
    report(&format!(
        "power loss: {} acts and {} calls recorded in {recorded:.0?}, {images:?} images held in {:.0?}",
        recording.steps.len(),
        recording.calls.len(),
        started.elapsed() - recorded
    ));
    assert!(failed.is_empty(), "{} of {images:?} images lost something:\n{}", failed.len(), failed.join("\n"));
    assert!(images[0] >= 80 && images[1] >= 10 && images[2] >= 4, "only {images:?} images");
}

/// The same recording, on disks that take one kind of sync for not made: each has to be missed somewhere.
#[test]
#[ignore = "needs strace: cargo xtask test power-loss"]
fn p3_a_sync_left_out_is_found_by_the_power_loss_test() {
    let recording = record(Extent::Short);
    let left_out: [(&str, Forgets); 5] = [
        ("the database's log", |path| path.ends_with("vault.db-wal")),
        ("files of media", |path| below(path, "media") && path.extension().is_none() && !is_folder(path)),
        ("folders of media", |path| below(path, "media") && is_folder(path)),
        ("the journal", |path| below(path, "journal")),
        ("the keyring", |path| path.to_string_lossy().contains("keyring") || path.ends_with("data")),
    ];
    for (what, forgets) in left_out {
        let mut found = 0;
        replay(&recording, Some(forgets), |moment, disk| {
            // One image that misses something is enough, and the last ones miss the most.
            if let (0, Moment::Answer(step)) = (found, moment)
                && step.act.starts_with("last:")
            {
                found += Image::of(moment, disk, Kept::SyncedOnly).hold().len();
            }
        });
        assert!(found > 0, "nothing is missed without syncs of {what}");
    }
}

fn below(path: &Path, folder: &str) -> bool {
    path.components().any(|element| element.as_os_str() == folder)
}

/// Folders of media have names of two digits.
fn is_folder(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.len() == 2 || name == "media" || name == "objects")
}

/// A disk after the power came back, and what was confirmed by then.
struct Image {
    folder: tempfile::TempDir,
    known: Acknowledged,
}

impl Image {
    fn of(moment: Moment<'_>, disk: &Disk, kept: Kept<'_>) -> Self {
        let folder = vault::room();
        disk.image(folder.path(), kept);
        Self { folder, known: moment.known() }
    }

    /// Starts on it and holds the server to what was confirmed.
    fn hold(self) -> Vec<String> {
        let Self { folder, mut known } = self;
        // Counted before the server starts: it would write anew from the database what is missing.
        let journal = std::fs::read_dir(folder.path().join(DATA).join("objects/journal"));
        let journal = journal.into_iter().flatten().flatten();
        let journalled = journal.filter(|entry| entry.metadata().is_ok_and(|meta| meta.len() > 0)).count() as u64;
        let restrictions = known.restrictions();
        let mut findings = match Vault::on(folder, DATA) {
            Err(error) => vec![error],
            Ok(vault) => known.findings(&vault, journalled),
        };
        if journalled < restrictions {
            findings.push(format!("{journalled} entries in the journal, {restrictions} acknowledged"));
        }
        findings
    }
}

/// Goes through a recording, and stops at each sync and at each answer that confirmed something.
fn replay(recording: &Recording, forgets: Option<Forgets>, mut at: impl FnMut(Moment<'_>, &Disk)) {
    let mut disk = Disk::below(recording.folder.path());
    let mut steps = recording.steps.iter().peekable();
    let mut answers = 0;
    let mut founded = false;
    for (thread, moment, call) in &recording.calls {
        let (thread, moment) = (*thread, *moment);
        if moment == trace::Moment::Begins && is_answer(call) {
            answers += 1;
            while let Some(step) = steps.next_if(|step| step.answer == answers) {
                at(Moment::Answer(step), &disk);
            }
            // From the first act on: a vault that was never founded durably would be no finding.
            founded = founded || steps.peek().is_some_and(|first| answers + 1 >= first.answer);
            if let (Some(forgets), true) = (forgets, founded) {
                disk.forget(forgets);
            }
        }
        let before = disk.synced;
        disk.happens(thread, moment, call);
        if disk.synced > before {
            match steps.peek() {
                Some(step) if founded => at(Moment::Sync(Some(step)), &disk),
                Some(_) => at(Moment::Sync(None), &disk),
                None => {}
            }
        }
    }
    assert!(steps.peek().is_none(), "answers that were not recorded");
    assert!(disk.synced > 50, "{} syncs recorded", disk.synced);
}

/// The first bytes of an answer on their way to a client; those to [`noise`] begin otherwise.
fn is_answer(call: &Call) -> bool {
    let to_socket = matches!(call.arguments.first(), Some(Value::File(_, what)) if what.starts_with("socket:"));
    let begins = |bytes: &[u8]| bytes.starts_with(b"HTTP/1.1 ") && !bytes.starts_with(b"HTTP/1.1 100");
    to_socket
        && ["write", "writev", "sendto", "sendmsg"].contains(&call.name.as_str())
        && match call.arguments.get(1) {
            Some(Value::Bytes(bytes)) => begins(bytes),
            Some(Value::Vector(buffers)) => begins(&buffers.concat()),
            _ => false,
        }
}

/// Two levels below what is there for good: both have to be made, and made durable.
const DATA: &str = "new/data";

/// Other clients beside the one whose answers count: their entries go into the same groups of the log, and their syncs
/// overlap with the others. They speak HTTP/1.0, and so do the answers to them, which tells these apart.
fn noise(vault: &Vault, quiet: &AtomicBool, over: &AtomicBool, chance: &mut Chance) {
    let host = vault.dev.url.strip_prefix("http://").expect("plain HTTP on loopback");
    let token = vault.dev.tokens.get("uploader").expect("an uploader");
    let consent = tus::consent(vault).to_string();
    let metadata = tus::metadata(&[("filename", "noise.wav"), ("filetype", "audio/wav"), ("consent", &consent)]);
    while !over.load(Ordering::Relaxed) {
        let recording = wav(usize::try_from(chance.between(500, 10_000)).expect("small"), chance);
        let head = format!(
            "POST /v1/collections/{}/uploads HTTP/1.0\r\nhost: {host}\r\nauthorization: Bearer {token}\r\n\
             tus-resumable: {TUS_VERSION}\r\ncontent-type: {TUS_CONTENT_TYPE}\r\nupload-length: {length}\r\n\
             upload-metadata: {metadata}\r\ncontent-length: {length}\r\n\r\n",
            vault.dev.collection,
            length = recording.len()
        );
        let mut stream = TcpStream::connect(host).expect("the server listens");
        stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&recording)).expect("sent");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("an answer");
        assert!(answer.starts_with(b"HTTP/1.0 201"), "{}", String::from_utf8_lossy(&answer));
        // A recording grows with every byte written.
        std::thread::sleep(Duration::from_millis(20));
        while quiet.load(Ordering::Relaxed) && !over.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Ends the noise when it goes.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Everything a vault confirms, one act after the other, recorded.
fn record(extent: Extent) -> Recording {
    let folder = vault::room();
    let output = folder.path().join("trace");
    let mut vault = Vault::start_under(folder, DATA, &trace::recorder(&output));
    let before = answered();
    let (over, quiet) = (AtomicBool::new(false), AtomicBool::new(false));
    let mut steps = std::thread::scope(|scope| {
        for seed in 0..2 {
            let (vault, quiet, over) = (&vault, &quiet, &over);
            scope.spawn(move || noise(vault, quiet, over, &mut Chance::new(seed)));
        }
        // Also when an act fails: the noise would go on for ever, and the failure would be told by nobody.
        let _over = Over(&over);
        acts::all(&vault, &quiet, extent)
    });
    let asked = answered() - before;
    // The server, then the recorder, which writes out what it has.
    let first = std::fs::read_to_string(&output).expect("a recording");
    let server: i32 = first.split(' ').next().and_then(|n| n.parse().ok()).expect("a process");
    let server = rustix::process::Pid::from_raw(server).expect("a process");
    rustix::process::kill_process(server, rustix::process::Signal::KILL).expect("killed");
    let folder = vault.leave();
    let (mut calls, mut all) = (Vec::new(), 0);
    let input = BufReader::new(File::open(&output).expect("the recording"));
    trace::read(input, |thread, moment, call| {
        all += u64::from(moment == trace::Moment::Begins && is_answer(call));
        calls.push((thread, moment, call.clone()));
    });
    std::fs::remove_file(&output).expect("it has been read");
    // Those of its start came first, this thread's after them.
    for step in &mut steps {
        step.answer = step.answer - before + (all - asked);
    }
    Recording { folder, steps, calls }
}
