//! A node that stands still for a while, as a virtual machine does that is moved: what was taken away meanwhile it does
//! not serve from memory when it goes on.

use std::time::Duration;

use vault_tests::fixtures::{Chance, wav};
use vault_tests::http::Answer;
use vault_tests::stream::{self, Stream};
use vault_tests::vault::Vault;
use vault_tests::{access, tus};

use super::Pair;

/// Longer than a node believes what it last learnt of restrictions (750 ms).
const STILL: Duration = Duration::from_secs(1);
/// A node that is frozen while it writes holds up the other; then both are tried again.
const TRIES: usize = 5;

/// Freezes `two` and revokes on `one`, which answers although the other does nothing.
#[track_caller]
fn revoke_while_frozen(one: &Vault, two: &Vault, grant: &str) -> Answer {
    for _ in 0..TRIES {
        two.freeze();
        let revoked = one.person("approver").delete(&format!("/v1/grants/{grant}"));
        if revoked.status != 503 {
            return revoked;
        }
        two.thaw();
        one.wait_until_ready();
    }
    panic!("a revocation was never taken");
}

#[test]
fn p6_a_node_that_stood_still_serves_nothing_of_what_was_revoked_meanwhile() {
    let pair = Pair::start();
    let recording = wav(stream::LENGTH, &mut Chance::new(0x0606));
    let record = tus::upload(&pair.one, "call.wav", "audio/wav", &recording);
    // The one that sequences the log, and the one that follows it.
    for (one, two) in pair.both_ways() {
        let request = access::request(one, "analyst", &record, "Hear what was said", "C-6");
        let approved = access::approve(one, "approver", &request);
        let session = access::open(two, "analyst", &request);
        let stream = Stream::begin(two, &session);
        let revoked = revoke_while_frozen(one, two, &approved.grant_id);
        // Decided: an attempt that was not answered well was taken all the same.
        assert!([200, 202, 409].contains(&revoked.status), "{revoked}");
        std::thread::sleep(STILL);
        two.thaw();
        for _ in 0..20 {
            let refused = two.person("analyst").get(&session.playback_url);
            assert!([403, 503].contains(&refused.status), "{refused}");
        }
        let received = stream.rest();
        assert!(received < recording.len() / 2, "{received} bytes of {} came", recording.len());
        for node in [one, two] {
            node.wait_until_ready();
            let again = access::granted(node, &record);
            assert_eq!(access::play_range(node, &again, 0..=99), recording[..100]);
        }
    }
    pair.verify();
}
