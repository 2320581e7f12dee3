//! Promise 11: memory is bounded, whatever the size of the recording.

use vault_tests::fixtures::{Chance, wav};
use vault_tests::memory::{peak, reset_peak};
use vault_tests::vault::Vault;
use vault_tests::{access, tus};

const LENGTH: usize = 128 << 20;
/// What one upload or playback may add: segments, parts on their way to disk, buffers of sockets.
const MAY_GROW: u64 = 32 << 20;

#[test]
fn p11_memory_does_not_grow_with_the_recording() {
    let vault = Vault::start();
    let mut chance = Chance::new(0x5eed_0011);
    // Warm up: allocator, connections, caches.
    let small = tus::upload(&vault, "small.wav", "audio/wav", &wav(2 << 20, &mut chance));
    let session = access::granted(&vault, &small);
    let _played = access::play(&vault, &session);

    let recording = wav(LENGTH, &mut chance);
    let before = reset_peak(&vault);
    // One PATCH with all of it: the worst a client can send.
    let record = tus::upload(&vault, "large.wav", "audio/wav", &recording);
    let uploading = peak(&vault) - before;
    assert!(uploading < MAY_GROW, "an upload of {LENGTH} bytes took {uploading} bytes more");

    let session = access::granted(&vault, &record);
    let before = reset_peak(&vault);
    // The client asks for more than it would hold at once, in ranges that a player could send.
    let analyst = vault.person("analyst");
    for start in (0..LENGTH).step_by(32 << 20) {
        let end = (start + (32 << 20)).min(recording.len()) - 1;
        let range = format!("bytes={start}-{end}");
        let answer = analyst.send("GET", &session.playback_url, &[("range", &range)], &[]).expect(206);
        assert!(answer.body == recording[start..=end], "{range} is not what was recorded");
    }
    let playing = peak(&vault).saturating_sub(before);
    assert!(playing < MAY_GROW, "a playback of {LENGTH} bytes took {playing} bytes more");
}
