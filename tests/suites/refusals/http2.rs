//! Uploads over HTTP/2, which drops a request's handler where it stands when connection or stream end.

use std::time::{Duration, Instant};

use vault_api::names::VAULT_RECORD_ID;
use vault_tests::fixtures::{Chance, wav};
use vault_tests::h2::{Connection, taken_in};
use vault_tests::vault::Vault;
use vault_tests::{access, cli, tus};

/// A server takes in what was sent, however busy the machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// How an upload is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    /// The connection is closed.
    Closed,
    /// The connection is reset.
    Reset,
    /// The request alone is taken back; the connection stands.
    Cancelled,
}

#[test]
fn p3_an_upload_cut_over_http_2_keeps_what_came_and_goes_on() {
    let vault = Vault::start();
    for (seed, cut) in [(0x0321, Cut::Closed), (0x0322, Cut::Reset), (0x0323, Cut::Cancelled)] {
        let recording = wav(900_000, &mut Chance::new(seed));
        let upload = tus::create(&vault, "call.wav", "audio/wav", recording.len());
        let connection = Connection::open(&vault, cut == Cut::Reset);
        let acknowledged = connection.patch(&upload, 0, &recording[..200_000]).expect(204);
        assert_eq!(acknowledged.header("upload-offset"), Some("200000"), "{cut:?}");

        let before = taken_in(&vault);
        let (rest, sent) = (&recording[200_000..], 300_000);
        let begun = connection.begin_patch(&upload, 200_000, rest.len(), &rest[..sent]);
        let started = Instant::now();
        while taken_in(&vault) < before + sent as u64 {
            assert!(started.elapsed() < PATIENCE, "{cut:?}: {} bytes taken in", taken_in(&vault) - before);
            std::thread::sleep(Duration::from_millis(5));
        }
        if cut == Cut::Cancelled {
            begun.cancel();
            // The connection serves on: where the upload stands is told to whoever believes something else.
            connection.patch(&upload, 100, &recording[100..200]).refused(409, "upload_offset_conflict");
        } else {
            drop((begun, connection));
        }

        // All that came is kept, not only what was acknowledged.
        assert_eq!(upload.offset(&vault), 500_000, "{cut:?}");
        let connection = Connection::open(&vault, false);
        let whole = connection.patch(&upload, 500_000, &recording[500_000..]).expect(204);
        let record = whole.header(VAULT_RECORD_ID).expect("a record").to_owned();
        let session = access::granted(&vault, &record);
        assert!(access::play(&vault, &session) == recording, "{cut:?}: the record differs");
        access::close(&vault, &session);
    }
    let _clean = cli::verify_log(&vault).expect(0);
}
