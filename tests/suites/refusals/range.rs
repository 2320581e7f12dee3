//! RFC 9110 §14 to the letter, against the plaintext.

use vault_api::playback::Session;
use vault_tests::fixtures::{Chance, wav};
use vault_tests::http::Answer;
use vault_tests::vault::Vault;
use vault_tests::{access, cli, tus};

/// Longer than two voice segments of 64 KiB, and no multiple of one.
const LENGTH: usize = 150_044;

struct Player<'a> {
    vault: &'a Vault,
    session: Session,
    recording: Vec<u8>,
}

impl<'a> Player<'a> {
    fn new(vault: &'a Vault) -> Self {
        let recording = wav(LENGTH, &mut Chance::new(14));
        let record = tus::upload(vault, "call.wav", "audio/wav", &recording);
        Self { vault, session: access::granted(vault, &record), recording }
    }

    fn get(&self, range: &str) -> Answer {
        self.with(&[("range", range)])
    }

    fn with(&self, headers: &[(&str, &str)]) -> Answer {
        self.vault.person("analyst").send("GET", &self.session.playback_url, headers, &[])
    }

    /// A single range: 206, exactly these bytes, and a Content-Range that says so.
    #[track_caller]
    fn gives(&self, range: &str, first: usize, last: usize) {
        let answer = self.get(range).expect(206);
        let expected = format!("bytes {first}-{last}/{}", self.recording.len());
        assert_eq!(answer.header("content-range"), Some(expected.as_str()), "{range}");
        assert!(answer.body == self.recording[first..=last], "{range}: other bytes");
    }

    /// Nothing satisfiable: 416, the length, no byte.
    #[track_caller]
    fn unsatisfiable(&self, range: &str) {
        let answer = self.get(range);
        answer.refused(416, "range_not_satisfiable");
        let expected = format!("bytes */{}", self.recording.len());
        assert_eq!(answer.header("content-range"), Some(expected.as_str()), "{range}");
    }

    /// Not a range of RFC 9110, or of another unit: ignored, everything is served.
    #[track_caller]
    fn ignored(&self, range: &str) {
        let answer = self.get(range).expect(200);
        assert_eq!(answer.header("content-range"), None, "{range}");
        assert!(answer.body == self.recording, "{range}: other bytes");
    }
}

#[test]
fn single_ranges() {
    let vault = Vault::start();
    let player = Player::new(&vault);
    let last = player.recording.len() - 1;
    player.gives("bytes=0-0", 0, 0);
    player.gives("bytes=0-", 0, last);
    player.gives(&format!("bytes={last}-"), last, last);
    player.gives("bytes=65535-65536", 65_535, 65_536);
    player.gives("bytes=65536-131071", 65_536, 131_071);
    player.gives("bytes=-1", last, last);
    player.gives("bytes=-70000", last + 1 - 70_000, last);
    player.gives("bytes=-999999999", 0, last);
    player.gives("bytes=5-999999999", 5, last);
    player.gives(&format!("bytes=0-{}", u64::MAX), 0, last);
    player.gives("bytes=0-99999999999999999999999999", 0, last);
    player.gives("bytes=-99999999999999999999999999", 0, last);
    player.gives("BYTES=1-2", 1, 2);

    player.unsatisfiable(&format!("bytes={}-", last + 1));
    player.unsatisfiable(&format!("bytes={}-{}", last + 1, last + 9));
    player.unsatisfiable(&format!("bytes={}-", u64::MAX));
    player.unsatisfiable("bytes=99999999999999999999999999-");
    player.unsatisfiable("bytes=-0");

    for nonsense in [
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=5",
        "bytes=5-3",
        "bytes=a-b",
        "bytes=1-2x",
        "lines=1-2",
        "bytes=+1-2",
        "bytes=0x1-2",
    ] {
        player.ignored(nonsense);
    }
    let _clean = cli::verify_log(&vault).expect(0);
}

#[test]
fn many_ranges() {
    let vault = Vault::start();
    let player = Player::new(&vault);
    // A server may answer with a multipart body, with everything, or with one range that covers them; never
    // with something else.
    for ranges in ["bytes=0-9,100-109", "bytes=0-0,-1", "bytes=10-20,15-30", "bytes=0-9,99999999-", "bytes=0-,0-,0-,0-"]
    {
        let answer = player.get(ranges);
        match answer.status {
            200 => assert!(answer.body == player.recording, "{ranges}"),
            206 => {
                let kind = answer.header("content-type").unwrap_or_default();
                if kind.starts_with("multipart/byteranges") {
                    assert!(answer.body.len() < player.recording.len() + 1000, "{ranges}: amplified");
                } else {
                    let range = answer.header("content-range").unwrap_or_else(|| panic!("{ranges}: {answer}"));
                    let (first, last) = range
                        .strip_prefix("bytes ")
                        .and_then(|range| range.split('/').next())
                        .and_then(|range| range.split_once('-'))
                        .unwrap_or_else(|| panic!("{ranges}: {range}"));
                    let (first, last): (usize, usize) = (first.parse().expect("first"), last.parse().expect("last"));
                    assert!(answer.body == player.recording[first..=last], "{ranges}");
                }
            }
            _ => panic!("{ranges}: {answer}"),
        }
    }
    player.unsatisfiable("bytes=99999999-,-0");
    // Hundreds of ranges are an attack on memory, not a player.
    let many: Vec<String> = (0..2000).map(|n| format!("{n}-{n}")).collect();
    let answer = player.get(&format!("bytes={}", many.join(",")));
    assert!(answer.status < 500 && answer.body.len() <= player.recording.len() + 1000, "{}", answer.status);
}

#[test]
fn conditions() {
    let vault = Vault::start();
    let player = Player::new(&vault);
    let etag = player.get("bytes=0-0").header("etag").expect("an ETag").to_owned();
    assert!(etag.starts_with('"'), "If-Range needs a strong validator: {etag}");
    let matched = player.with(&[("range", "bytes=0-9"), ("if-range", &etag)]);
    assert_eq!((matched.status, matched.body.len()), (206, 10));
    for other in ["\"other\"", &format!("W/{etag}"), "Wed, 21 Oct 2015 07:28:00 GMT", "nonsense"] {
        let whole = player.with(&[("range", "bytes=0-9"), ("if-range", other)]);
        assert_eq!(whole.status, 200, "{other}: {}", whole.status);
        assert!(whole.body == player.recording, "{other}");
    }
    let head = vault.person("analyst").send("HEAD", &player.session.playback_url, &[("range", "bytes=0-9")], &[]);
    assert!(matches!(head.status, 200 | 206) && head.body.is_empty(), "{head:?}");
    assert_eq!(player.with(&[("if-match", "\"other\"")]).status, 412);
    assert_eq!(player.with(&[("if-none-match", &etag)]).status, 304);
}

#[test]
fn seeded_ranges_are_the_plaintext() {
    let vault = Vault::start();
    let player = Player::new(&vault);
    let mut chance = Chance::new(9110);
    let length = player.recording.len() as u64;
    for _ in 0..120 {
        match chance.below(3) {
            0 => {
                let first = chance.below(length);
                let last = chance.between(first, length + 1000);
                let end = last.min(length - 1);
                player.gives(&format!("bytes={first}-{last}"), first as usize, end as usize);
            }
            1 => {
                let first = chance.below(length);
                player.gives(&format!("bytes={first}-"), first as usize, length as usize - 1);
            }
            _ => {
                let suffix = chance.between(1, length + 1000);
                player.gives(&format!("bytes=-{suffix}"), length.saturating_sub(suffix) as usize, length as usize - 1);
            }
        }
    }
}
