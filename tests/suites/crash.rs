//! Promise 3: acknowledged means durable. A server is killed with SIGKILL in the middle of uploads, over and
//! over, at moments that a seed decides; what it confirmed before must be there afterwards.

use std::sync::Mutex;
use std::time::Duration;

use vault_tests::fixtures::{Chance, wav};
use vault_tests::tus::{self, Upload};
use vault_tests::vault::Vault;
use vault_tests::{access, cli};

/// Enough rounds to hit creation, mid-upload, segment boundaries and completion, in a minute or two.
const ROUNDS: usize = 12;
const UPLOADS: usize = 3;

struct Running {
    upload: Upload,
    recording: Vec<u8>,
    /// The highest offset that the server has confirmed.
    acknowledged: u64,
    /// The record, once the completing answer has named it.
    record: Option<String>,
}

#[test]
fn p3_what_was_acknowledged_survives_kill_9() {
    // The seed decides sizes, chunks and moments; scheduling decides the rest.
    let mut chance = Chance::new(0x5eed_0003);
    let mut vault = Vault::start();
    let mut running: Vec<Running> = Vec::new();
    let mut finished: Vec<Running> = Vec::new();

    for round in 0..ROUNDS {
        while running.len() < UPLOADS {
            let length = chance.between(2_000, 700_000);
            let recording = wav(usize::try_from(length).expect("small"), &mut chance);
            let upload = tus::create(&vault, "call.wav", "audio/wav", recording.len());
            running.push(Running { upload, recording, acknowledged: 0, record: None });
        }
        let moment = Duration::from_millis(chance.between(1, 120));
        let seeds: Vec<u64> = running.iter().map(|_| chance.number()).collect();
        let state = Mutex::new(&mut vault);
        std::thread::scope(|scope| {
            let base = state.lock().expect("not poisoned").nobody();
            for (one, seed) in running.iter_mut().zip(seeds) {
                let base = base.clone();
                scope.spawn(move || send_until_cut(&base, one, &mut Chance::new(seed)));
            }
            std::thread::sleep(moment);
            state.lock().expect("not poisoned").kill();
        });
        vault.launch();

        let mut left = Vec::new();
        for mut one in running {
            let head = one.upload.head(&vault).expect(200);
            let offset: u64 = head.header("upload-offset").and_then(|n| n.parse().ok()).expect("an offset");
            assert!(offset >= one.acknowledged, "round {round}: {offset} found, {} acknowledged", one.acknowledged);
            assert!(offset <= one.recording.len() as u64, "round {round}: more than was sent");
            let named = head.header("vault-record-id").map(str::to_owned);
            if one.record.is_some() {
                assert_eq!(named, one.record, "round {round}: another record, or none, after the crash");
            }
            // A full offset without a record would be a recording that nobody can ever play.
            assert_eq!(offset == one.recording.len() as u64, named.is_some(), "round {round}: {head}");
            (one.acknowledged, one.record) = (offset, named);
            if one.record.is_some() { finished.push(one) } else { left.push(one) }
        }
        running = left;
    }

    for mut one in running {
        let rest = &one.recording[usize::try_from(one.acknowledged).expect("small")..];
        let answer = one.upload.patch(&vault, one.acknowledged, rest).expect(204);
        one.record = answer.header("vault-record-id").map(str::to_owned);
        finished.push(one);
    }
    assert!(finished.len() >= UPLOADS);
    for one in &finished {
        let record = one.record.as_deref().expect("a finished upload has a record");
        let session = access::granted(&vault, record);
        assert!(access::play(&vault, &session) == one.recording, "{record} does not play back what was recorded");
        access::close(&vault, &session);
    }
    let _clean = cli::verify_log(&vault).expect(0);
}

/// Sends chunk after chunk and notes what is confirmed, until the server is gone.
fn send_until_cut(base: &vault_tests::http::Caller, one: &mut Running, chance: &mut Chance) {
    while one.record.is_none() {
        let from = usize::try_from(one.acknowledged).expect("small");
        let left = one.recording.len() - from;
        let wanted = chance.between(1, 150_000).min(left as u64);
        let chunk = &one.recording[from..from + usize::try_from(wanted).expect("small")];
        let Some(answer) = one.upload.try_patch(base, one.acknowledged, chunk) else { return };
        assert_eq!(answer.status, 204, "{answer}");
        let confirmed = answer.header("upload-offset").and_then(|n| n.parse().ok()).expect("an offset");
        assert_eq!(confirmed, one.acknowledged + chunk.len() as u64, "{answer}");
        one.acknowledged = confirmed;
        one.record = answer.header("vault-record-id").map(str::to_owned);
    }
}
